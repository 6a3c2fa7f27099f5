//! Importing a table that has one row per version of a file.

use std::collections::HashMap;

use pgrx::prelude::*;
use pgrx::{Uuid, pg_sys};
use serde_json::json;

use super::file_table::{self, CREATED_AT};
use super::history::{self, Known, Last, Legacy, Planned};
use super::projects::{self, Importer, Named, Opened};
use super::report::{Action, Report};
use super::start::start;
use crate::args;
use crate::backend::{
    self, Answer, Bytes, Call, Db, FreshSnapshot, Lookup, Owner, Row, Statement, Timestamp, Use, Value, as_owner,
};
use crate::caller::Caller;
use crate::content::{self, Hash};
use crate::error::{Error, Flaw};
use crate::exclusive::Exclusive;
use crate::file::{self, Appending, Body};
use crate::progress::Progress;
use crate::{input, path};

/// Rows of the map that are written together.
const MAP_ROWS: usize = 1_000;

/// What is the same for the whole import.
struct Import<'d> {
    importer: Importer<'d>,
    source: String,
    known: Known,
    has_current: bool,
}

/// Where the import is.
struct State<'d> {
    report: Report,
    progress: Progress,
    /// The projects that are still to come, in order.
    named: std::iter::Peekable<std::vec::IntoIter<Named>>,
    project: Option<Project<'d>>,
}

/// The project whose rows are being read.
struct Project<'d> {
    key: Option<String>,
    fate: Result<Uuid, String>,
    /// `None` in a dry run, and for a project whose rows are skipped.
    exclusive: Option<Exclusive<'d>>,
    /// Whether it exists.
    is_there: bool,
    /// Whether rows of this table were imported before, whatever is left of what they became.
    is_mapped: bool,
    /// The files that were imported from this table before, by path.
    imported: HashMap<String, Uuid>,
    /// Versions that were written and read back.
    verified: i64,
    /// Rows of the map that are not written yet, as JSON.
    mapped: Vec<serde_json::Value>,
    /// Rows of the map in all.
    map_rows: i64,
    file: Option<File<'d>>,
}

/// The file whose rows are being read.
struct File<'d> {
    path: Option<String>,
    /// Why its rows are skipped, unless they were imported before.
    refused: Option<String>,
    /// `None` until there is something to write.
    appending: Option<Appending<'d>>,
    head: Option<file::Head>,
    last: Option<Last>,
    /// The last row that became a version.
    taken: Option<Taken>,
    /// The greatest place, by number and time, of a row that became a version.
    last_place: i64,
    /// The versions that were added, and what they must contain.
    written: Vec<(i32, Option<Hash>)>,
    rows: i64,
    /// Whether one of the rows is said to be current.
    has_current: bool,
}

/// A row that became a version.
struct Taken {
    source_id: String,
    author: Option<Uuid>,
    /// Whether it is marked as deleted and its version has its content: another one is to delete it.
    is_pending: bool,
    /// Whether the report has it as repaired already.
    is_repaired: bool,
}

impl File<'_> {
    fn is_pending(&self) -> bool {
        self.taken.as_ref().is_some_and(|taken| taken.is_pending)
    }
}

static MAPPED: Lookup = Lookup::new(
    c"imported_files",
    c"imported_files_pkey",
    &["project_id", "source", "source_id"],
    "SELECT * FROM {s}.imported_files WHERE project_id = :project_id AND source = :source AND source_id = :source_id",
);

impl<'d> Import<'d> {
    /// Whether an earlier import has taken a row.
    fn is_mapped(&self, project: Uuid, source_id: &str) -> Result<bool, Error> {
        let key = args! { project_id: project, source: self.source.as_str(), source_id };
        Ok(self.importer.db.look_up(&MAPPED, &key)?.is_some())
    }

    /// Whether this table has brought something to a project.
    fn has_map(&self, project: Uuid) -> bool {
        static MAPPED: Statement =
            Statement::new("SELECT FROM {s}.imported_files WHERE project_id = :project AND source = :source LIMIT 1");
        !self.importer.db.read(&MAPPED, &args! { project, source: self.source.as_str() }).is_empty()
    }

    /// The files of a project that this table has brought, by path.
    fn imported(&self, project: Uuid) -> HashMap<String, Uuid> {
        static FILES: Statement = Statement::new(
            "SELECT v.file_path, m.file_id
               FROM {s}.imported_files m
               JOIN {s}.project_file_versions v
                 ON v.project_id = m.project_id AND v.file_id = m.file_id AND v.version = m.version
              WHERE m.project_id = :project AND m.source = :source
              GROUP BY 1, 2",
        );
        let rows = self.importer.db.read(&FILES, &args! { project, source: self.source.as_str() });
        rows.iter().map(|row| (row.value("file_path"), row.value("file_id"))).collect()
    }

    /// Begins with a project: locks it, unless nothing is written.
    fn begin_project(&self, state: &mut State<'d>, key: Option<String>, owner: &Owner) -> Result<Project<'d>, Error> {
        let named = state.named.next_if(|named| named.key == key).ok_or(Error::Internal)?;
        let Opened { id: fate, exclusive, is_there } =
            named.open(&self.importer, owner, &state.report, place(None, None))?;
        let _now = FreshSnapshot::take();
        let imported = fate.as_ref().map(|project| self.imported(*project)).unwrap_or_default();
        let is_mapped = fate.as_ref().is_ok_and(|project| self.has_map(*project));
        let (mapped, file) = (Vec::new(), None);
        Ok(Project { key, fate, exclusive, is_there, is_mapped, imported, verified: 0, mapped, map_rows: 0, file })
    }

    /// Begins with a file: finds out whether versions can be added to it.
    fn begin_file(
        &self,
        project: &Project<'d>,
        path: Option<String>,
        current: Option<&str>,
        last: Option<&str>,
    ) -> Result<File<'d>, Error> {
        let mut file = File {
            path,
            refused: None,
            appending: None,
            head: None,
            last: None,
            taken: None,
            last_place: 0,
            written: Vec::new(),
            rows: 0,
            has_current: current.is_some(),
        };
        let refused = match (&project.fate, &file.path) {
            (Err(why), _) => Some(why.clone()),
            (_, None) => Some("it has no path".to_owned()),
            (Ok(id), Some(path)) => match path::check(path) {
                Err(problem) => Some(format!("its path is not valid: {problem}")),
                Ok(()) => match self.head(project, *id, path, current, last)? {
                    Ok(head) => {
                        if let Some((head, at)) = head {
                            file.last = Some(Last { version: head.version, at, hash: head.hash });
                            file.head = Some(head);
                        }
                        None
                    }
                    Err(why) => Some(why.to_owned()),
                },
            },
        };
        file.refused = refused;
        Ok(file)
    }

    /// The head to add versions to, and its time; `None` for a new file. Otherwise what is in the way. `current` is the row
    /// that is marked as current, and `last` the one whose number is the highest.
    #[allow(clippy::type_complexity)]
    fn head(
        &self,
        project: &Project,
        id: Uuid,
        path: &str,
        current: Option<&str>,
        last: Option<&str>,
    ) -> Result<Result<Option<(file::Head, Timestamp)>, &'static str>, Error> {
        static OWN: Lookup = Lookup::new(
            c"imported_files",
            c"imported_files_version",
            &["project_id", "file_id", "version"],
            "SELECT * FROM {s}.imported_files
              WHERE project_id = :project_id AND file_id = :file_id AND version = :version",
        );
        if !project.is_there {
            return Ok(Ok(None));
        }
        let _now = FreshSnapshot::take();
        let Some(file_id) = project.imported.get(path).copied() else {
            let taken = file::head_at(self.importer.db, id, path)?.is_some();
            return Ok(if taken {
                Err("there is a file at its path that did not come from this table")
            } else {
                Ok(None)
            });
        };
        let changed = Err("the file has been changed since it was imported");
        let Some((head, row)) = file::head_of(self.importer.db, id, file_id)? else { return Ok(changed) };
        let key = args! { project_id: id, file_id, version: head.version };
        let is_own =
            self.importer.db.look_up(&OWN, &key)?.is_some_and(|own| own.value::<String>("source") == self.source);
        // A deleted file's path may have another one meanwhile.
        let is_there = file::head_at(self.importer.db, id, path)?.is_some_and(|at| at.file_id == file_id);
        if !(is_own && is_there && row.value::<String>("file_path") == path) {
            return Ok(changed);
        }
        if let Some(current) = current
            && self.is_mapped(id, current)?
        {
            return Ok(Err("the file's current row was imported before, and would not be current any more"));
        }
        if let (None, Some(last)) = (current, last)
            && self.is_mapped(id, last)?
        {
            return Ok(Err("the file's last row was imported before, and would not be the last any more"));
        }
        Ok(Ok(Some((head, row.value("updated_at")))))
    }

    /// Takes one row of the table.
    fn take(&self, state: &mut State<'d>, row: &Row, owner: &Owner) -> Result<(), Error> {
        let (key, path): (Option<String>, Option<String>) = (row.get("project"), row.get("path"));
        if state.project.as_ref().is_none_or(|project| project.key != key) {
            self.end_project(state)?;
            state.project = Some(self.begin_project(state, key, owner)?);
        }
        let State { report, project: Some(project), .. } = state else { return Err(Error::Internal) };
        if project.file.as_ref().is_none_or(|file| file.path != path) {
            self.end_file(report, project)?;
            let [current, last] = ["current_id", "last_id"].map(|id| row.get::<String>(id));
            project.file = Some(self.begin_file(project, path, current.as_deref(), last.as_deref())?);
        }
        report.totals.read += 1;
        let source_id: String = row.value("source_id");
        let Some(file) = &mut project.file else { return Err(Error::Internal) };
        if let (Ok(id), true) = (&project.fate, project.is_mapped) {
            let _now = FreshSnapshot::take();
            if self.is_mapped(*id, &source_id)? {
                report.totals.unchanged += 1;
                return Ok(());
            }
        }
        let content: Option<String> = row.get("content");
        let planned = match (&project.fate, &file.refused, self.plan(file, row, &source_id, content.as_deref())) {
            (Ok(_), None, planned) => planned,
            // What is wrong with the row itself comes first.
            (Ok(_), Some(_), Err(why)) => Err(why),
            (_, Some(why), _) | (Err(why), None, _) => Err(why.clone()),
        };
        let planned = match planned {
            Ok(planned) => planned,
            Err(why) => {
                let at = place(file.path.as_deref(), None);
                report.totals.skipped += 1;
                report.push(Action::Skipped, Some(&source_id), project.fate.clone().ok(), at, Some(&why), 1);
                return Ok(());
            }
        };
        // Deleted in between: the row before is marked as deleted, this one is not.
        if file.is_pending() && !row.value::<bool>("is_deleted") {
            self.delete(report, project)?;
        }
        self.add(report, project, (&source_id, row.value("place")), content.as_deref(), planned)
    }

    fn plan(&self, file: &File, row: &Row, source_id: &str, content: Option<&str>) -> Result<Planned, String> {
        if content.is_some() {
            input::content(content, "content").map_err(|error| error.to_string())?;
        }
        let text = |name: &str| row.get::<String>(name);
        let (file_type, version, hash, author) = (text("file_type"), text("version"), text("hash"), text("author"));
        let is_current = row.value::<bool>("is_current");
        let is_the_current = text("current_id").as_deref() == Some(source_id);
        let moved = match (is_current, is_the_current) {
            (true, false) => Some("it is marked as current, and a later row is, too"),
            (_, true) if row.value::<i64>("place") < file.last_place => Some("it is current, and put after the others"),
            _ => None,
        };
        let is_deleted = row.value("is_deleted");
        let legacy = Legacy {
            content,
            file_type: file_type.as_deref(),
            version: version.as_deref(),
            is_deleted,
            hash: hash.as_deref(),
            author: author.as_deref(),
            at: row.get("at"),
            earliest: row.get("earliest"),
            moved,
        };
        // The version that deletes the file before this one comes first.
        let after_deletion = file.last.clone().filter(|_| file.is_pending() && !is_deleted);
        let after_deletion =
            after_deletion.map(|last| Last { version: last.version.saturating_add(1), hash: None, ..last });
        history::plan(&legacy, self.known, after_deletion.as_ref().or(file.last.as_ref()), self.importer.now)
    }

    /// Adds the version that a row becomes.
    fn add(
        &self,
        report: &mut Report,
        project: &mut Project<'d>,
        (source_id, row_place): (&str, i64),
        content: Option<&str>,
        planned: Planned,
    ) -> Result<(), Error> {
        let Planned { hash, file_type, author, at, is_deleted_after, repairs } = planned;
        let version = self.write(project, source_id, (content, hash, &file_type), author, at)?;
        let Some(file) = &mut project.file else { return Err(Error::Internal) };
        file.rows += 1;
        let is_repaired = !repairs.is_empty();
        file.last_place = file.last_place.max(row_place);
        file.taken = Some(Taken { source_id: source_id.to_owned(), author, is_pending: is_deleted_after, is_repaired });
        report.totals.imported += 1;
        if is_repaired {
            let at = place(file.path.as_deref(), Some(version));
            report.totals.repaired += 1;
            report.push(Action::Repaired, Some(source_id), project.fate.clone().ok(), at, Some(&repairs.join("; ")), 1);
        }
        Ok(())
    }

    /// Adds the version that deletes a file after its content.
    fn delete(&self, report: &mut Report, project: &mut Project<'d>) -> Result<(), Error> {
        let Some(file) = &mut project.file else { return Ok(()) };
        let Some(taken) = file.taken.take_if(|taken| taken.is_pending) else { return Ok(()) };
        let Taken { source_id, author, is_repaired, .. } = taken;
        let Some(last) = file.last.clone() else { return Ok(()) };
        let version = self.write(project, &source_id, (None, None, ""), author, last.at)?;
        let path = project.file.as_ref().and_then(|file| file.path.as_deref());
        let detail = format!("it is marked as deleted: version {} has its content, {version} deletes it", version - 1);
        let at = place(path, Some(version));
        report.totals.repaired += i64::from(!is_repaired);
        report.push(Action::Repaired, Some(&source_id), project.fate.clone().ok(), at, Some(&detail), 1);
        Ok(())
    }

    /// Writes a version and its row of the map, unless it is a dry run; returns its number.
    fn write(
        &self,
        project: &mut Project<'d>,
        source_id: &str,
        (content, hash, file_type): (Option<&str>, Option<Hash>, &str),
        author: Option<Uuid>,
        at: Timestamp,
    ) -> Result<i32, Error> {
        let Some(file) = &mut project.file else { return Err(Error::Internal) };
        let mut version = file.last.as_ref().map_or(1, |last| last.version.saturating_add(1));
        if let Some(exclusive) = &project.exclusive {
            let _now = FreshSnapshot::take();
            let appending = file.appending.get_or_insert_with(|| {
                let path = file.path.clone().unwrap_or_default();
                Appending::begin(self.importer.db, exclusive.project, path, exclusive.snapshot_seq, file.head.clone())
            });
            let body = hash.zip(content).map(|(hash, text)| Body { text, hash, file_type });
            let added = appending.add(body, author, at)?;
            version = added.version;
            file.written.push((version, hash));
            project.mapped.push(json!({
                "source_id": source_id,
                "version": version,
                "file_id": appending.file_id.to_string(),
                "id": added.id.to_string(),
            }));
            if project.mapped.len() >= MAP_ROWS {
                self.flush(project)?;
            }
        }
        let Some(file) = &mut project.file else { return Err(Error::Internal) };
        file.last = Some(Last { version, at, hash });
        Ok(version)
    }

    /// Writes what has gathered of the map.
    fn flush(&self, project: &mut Project<'d>) -> Result<(), Error> {
        static MAP: Statement = Statement::new(
            "WITH mapped AS (
                INSERT INTO {s}.imported_files (project_id, source, source_id, version, file_id, id, imported_at)
                SELECT :project, :source, r.source_id, r.version, r.file_id, r.id, :now
                  FROM jsonb_to_recordset(:rows::jsonb) AS r (source_id text, version integer, file_id uuid, id uuid)
                RETURNING version)
             SELECT count(*) AS rows FROM mapped",
        );
        let (Some(exclusive), false) = (&project.exclusive, project.mapped.is_empty()) else { return Ok(()) };
        let rows = serde_json::to_string(&project.mapped).map_err(|_| Error::Internal)?;
        let args = args! {
            project: exclusive.project,
            source: self.source.as_str(),
            rows: rows.as_str(),
            now: self.importer.now,
        };
        let written: i64 = backend::in_own_memory(|| self.importer.db.run(&MAP, &args).one().value("rows"));
        if written != project.mapped.len() as i64 {
            return Err(Error::SuppressedMap);
        }
        project.map_rows += written;
        project.mapped.clear();
        Ok(())
    }

    /// Ends a file: writes its head, and reads back what was written.
    fn end_file(&self, report: &mut Report, project: &mut Project<'d>) -> Result<(), Error> {
        self.delete(report, project)?;
        let Some(file) = project.file.take() else { return Ok(()) };
        let (id, path) = (project.fate.clone().ok(), file.path.as_deref());
        let Some(last) = file.last.filter(|_| file.rows > 0) else { return Ok(()) };
        let at = place(path, Some(last.version));
        if self.has_current && !file.has_current && last.hash.is_some() {
            let detail = "no row of the file is marked as current: this one is now";
            let taken = file.taken.as_ref();
            report.totals.repaired += i64::from(!taken.is_some_and(|taken| taken.is_repaired));
            report.push(Action::Repaired, taken.map(|taken| taken.source_id.as_str()), id, at, Some(detail), 1);
        }
        report.push(Action::Imported, None, id, at, None, file.rows);
        let Some(appending) = file.appending else { return Ok(()) };
        let file_id = appending.file_id;
        appending.finish()?;
        let Some(exclusive) = &project.exclusive else { return Ok(()) };
        let _now = FreshSnapshot::take();
        for (version, hash) in &file.written {
            backend::check_for_interrupts();
            backend::in_own_memory(|| self.read_back(exclusive.project, path, file_id, *version, hash.as_ref()))?;
        }
        project.verified += file.written.len() as i64;
        Ok(())
    }

    /// XX001 if a version does not contain what was written.
    fn read_back(
        &self,
        project: Uuid,
        path: Option<&str>,
        file_id: Uuid,
        version: i32,
        hash: Option<&Hash>,
    ) -> Result<(), Error> {
        let damaged = |flaw| Error::Damaged { project, path: path.unwrap_or_default().to_owned(), version, flaw };
        let row =
            content::version_row(self.importer.db, project, file_id, version)?.ok_or_else(|| damaged(Flaw::Missing))?;
        // This also decodes it and compares it with the hash in its row.
        let text = content::read_text(self.importer.db, project, &row)?;
        let stored = row.get::<Bytes>("content_hash");
        let is_same = stored.map(Bytes::fetch) == hash.map(|hash| hash.as_slice()) && text.is_some() == hash.is_some();
        if is_same { Ok(()) } else { Err(damaged(Flaw::HashMismatch)) }
    }

    /// Ends a project: completes the map, and compares it with what is there.
    fn end_project(&self, state: &mut State<'d>) -> Result<(), Error> {
        static COUNT: Statement = Statement::new(
            "SELECT count(*) AS rows
               FROM {s}.imported_files m
               JOIN {s}.project_file_versions v
                 ON v.project_id = m.project_id AND v.file_id = m.file_id AND v.version = m.version AND v.id = m.id
              WHERE m.project_id = :project AND m.source = :source AND m.imported_at = :now",
        );
        let State { report, project, .. } = state;
        let Some(mut project) = project.take() else { return Ok(()) };
        self.end_file(report, &mut project)?;
        self.flush(&mut project)?;
        let Some(exclusive) = project.exclusive.as_ref().filter(|_| project.verified > 0) else { return Ok(()) };
        exclusive.touch();
        let id = exclusive.project;
        let args = args! { project: id, source: self.source.as_str(), now: self.importer.now };
        let there: i64 = self.importer.db.run(&COUNT, &args).one().value("rows");
        if (there, project.map_rows) != (project.verified, project.verified) {
            return Err(Error::SuppressedMap);
        }
        report.totals.verified += there;
        report.push(Action::Verified, None, Some(id), place(None, None), None, there);
        Ok(())
    }
}

/// The columns for path and version of a row of the report.
fn place(path: Option<&str>, version: Option<i32>) -> [Value<'_>; 2] {
    [path.into(), version.into()]
}

/// Where in the list of tables the map comes: see [`crate::locks`].
const MAP: [(&core::ffi::CStr, Use); 1] = [(c"imported_files", Use::Write)];

fn import(call: &Call, caller: Caller, db: &Db, json: &str, is_dry_run: bool) -> Result<Answer, Error> {
    let table = file_table::read(call, db, json)?;
    let named = projects::all(db, &table.source, &CREATED_AT)?;
    let all_are_locked = match is_dry_run {
        true => false,
        false => as_owner(call, |_| {
            let all = Exclusive::lock_tables_for(db, named.len())?;
            db.lock_tables(&MAP, || Ok(()))?;
            Ok(all)
        })?,
    };
    let import = Import {
        importer: Importer { call, db, caller, is_dry_run, all_are_locked, now: backend::clock() },
        source: table.source.name,
        known: table.known,
        has_current: table.has_current,
    };
    let mut state = State {
        report: Report::begin(call),
        progress: Progress::begin("rows read"),
        named: named.into_iter().peekable(),
        project: None,
    };
    // The table is read by the caller, between what the owner does with its rows.
    db.dynamic_each_of_all(&table.query, &[], |row| {
        as_owner(import.importer.call, |owner| import.take(&mut state, row, owner))?;
        state.progress.step();
        Ok(())
    })?;
    as_owner(call, |_| import.end_project(&mut state))?;
    Ok(state.report.done(place(None, None), (!is_dry_run).then_some("versions that were read back")))
}

/// See the COMMENT in `sql/import.sql`.
#[pg_extern(sql = false)]
fn import_project_files(fcinfo: pg_sys::FunctionCallInfo) -> Answer {
    Call::answer(fcinfo, |call| start(call, 1, "import files", import))
}
