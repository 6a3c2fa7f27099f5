//! Importing a table of project versions, and a table of what is known about them.

use std::collections::{HashMap, HashSet};

use pgrx::prelude::*;
use pgrx::{Uuid, pg_sys};

use super::projects::{self, Importer, Named, Opened};
use super::releases::{self, Known, Legacy, Numbers, Planned};
use super::report::{Action, Report};
use super::start::start;
use super::version_tables::{AMOUNTS, CREATED_AT, NUMBER, Tables};
use crate::args;
use crate::backend::{
    self, Answer, Call, Db, FreshSnapshot, Lookup, Owner, Row, Statement, Timestamp, Use, Value, as_owner,
};
use crate::caller::Caller;
use crate::error::Error;
use crate::exclusive::Exclusive;
use crate::progress::Progress;
use crate::version::{self, Adopted, Number, Snapshot};
use crate::{id, input};

/// What is the same for the whole import.
struct Import<'d> {
    importer: Importer<'d>,
    source: String,
    known: Known,
}

/// Where the import is.
struct State<'d> {
    report: Report,
    progress: Progress,
    /// The projects that are still to come, in order.
    named: std::iter::Peekable<std::vec::IntoIter<Named>>,
    /// The numbers that the table gives, by project.
    given: HashMap<Option<String>, HashSet<Number>>,
    project: Option<Project<'d>>,
}

/// The project whose versions are being read.
struct Project<'d> {
    key: Option<String>,
    fate: Result<Uuid, String>,
    /// `None` in a dry run, and for a project whose versions are skipped.
    exclusive: Option<Exclusive<'d>>,
    /// Whether it is there already, or was written.
    is_there: bool,
    /// What later versions are compared with; `None` until something is imported.
    snapshot: Option<Snapshot>,
    numbers: Numbers,
    last: Option<Timestamp>,
    /// The version that the row before became, if that was imported before.
    before: Option<String>,
    /// What the rows became, by id.
    ids: HashMap<String, String>,
    /// Those ids that are theirs.
    used: HashSet<String>,
    /// Versions whose parents have not come yet.
    orphans: Vec<Orphan>,
    published: Vec<Published>,
    has_published: bool,
    imported: i64,
}

struct Orphan {
    source_id: String,
    version_id: String,
    semver: String,
    parent: String,
    is_repaired: bool,
}

/// A version that the table calls published. The newest one is the greatest.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Published {
    at: (Timestamp, Timestamp),
    version_id: String,
    source_id: String,
    semver: String,
    is_repaired: bool,
}

static MAPPED: Lookup = Lookup::new(
    c"imported_versions",
    c"imported_versions_pkey",
    &["project_id", "source", "source_id"],
    "SELECT * FROM {s}.imported_versions WHERE project_id = :project_id AND source = :source AND source_id = :source_id",
);

impl<'d> Import<'d> {
    /// The version that a row became, in this import or before.
    fn mapped(&self, project: &Project, source_id: &str) -> Result<Option<String>, Error> {
        if let Some(known) = project.ids.get(source_id) {
            return Ok(Some(known.clone()));
        }
        let (Ok(id), true) = (&project.fate, project.is_there) else { return Ok(None) };
        let key = args! { project_id: *id, source: self.source.as_str(), source_id };
        let _now = FreshSnapshot::take();
        Ok(self.importer.db.look_up(&MAPPED, &key)?.map(|row| row.value("version_id")))
    }

    fn begin_project(&self, state: &mut State<'d>, key: Option<String>, owner: &Owner) -> Result<Project<'d>, Error> {
        let named = state.named.next_if(|named| named.key == key).ok_or(Error::Internal)?;
        let Opened { id: fate, exclusive, is_there } =
            named.open(&self.importer, owner, &state.report, [None::<&str>.into(); 2])?;
        let _now = FreshSnapshot::take();
        let (taken, has_published) = match &fate {
            Ok(id) if is_there => {
                (version::numbers(self.importer.db, *id)?, version::has_published(self.importer.db, *id))
            }
            _ => (Vec::new(), false),
        };
        let given = state.given.remove(&key).unwrap_or_default();
        Ok(Project {
            key,
            fate,
            exclusive,
            is_there,
            snapshot: None,
            numbers: Numbers::new(taken, given),
            last: None,
            before: None,
            ids: HashMap::new(),
            used: HashSet::new(),
            orphans: Vec::new(),
            published: Vec::new(),
            has_published,
            imported: 0,
        })
    }

    /// Takes one row of the table.
    fn take(&self, state: &mut State<'d>, row: &Row, owner: &Owner) -> Result<(), Error> {
        let key: Option<String> = row.get("project");
        if state.project.as_ref().is_none_or(|project| project.key != key) {
            self.end_project(state)?;
            state.project = Some(self.begin_project(state, key, owner)?);
        }
        let State { report, project: Some(project), .. } = state else { return Err(Error::Internal) };
        report.totals.read += 1;
        let source_id: String = row.value("source_id");
        let skip = |report: &mut Report, id: Option<Uuid>, why: &str| {
            report.totals.skipped += 1;
            report.push(Action::Skipped, Some(&source_id), id, [None::<&str>.into(); 2], Some(why), 1);
        };
        let id = match &project.fate {
            Ok(id) => *id,
            Err(why) => {
                skip(report, None, why);
                return Ok(());
            }
        };
        if let Some(known) = self.mapped(project, &source_id)? {
            project.before = Some(known.clone());
            project.ids.insert(source_id, known);
            report.totals.unchanged += 1;
            return Ok(());
        }
        match self.import(report, project, id, &source_id, row)? {
            Ok(()) => Ok(()),
            Err(why) => {
                skip(report, Some(id), why);
                Ok(())
            }
        }
    }

    /// The id of the version that a row becomes: its own, if that is a free ULID.
    fn version_id(&self, project: &Project, id: Uuid, source_id: &str, at: Timestamp) -> Result<String, Error> {
        if let Some(own) = id::ulid::parse(source_id).map(|ulid| ulid.to_string())
            && !(project.used.contains(&own) || project.is_there && version::is_taken(self.importer.db, id, &own)?)
        {
            return Ok(own);
        }
        Ok(id::at(at).to_string())
    }

    /// Makes a version of a row, unless there is a reason not to.
    fn import(
        &self,
        report: &mut Report,
        project: &mut Project<'d>,
        id: Uuid,
        source_id: &str,
        row: &Row,
    ) -> Result<Result<(), &'static str>, Error> {
        let text = |name: &str| row.get::<String>(name);
        if let Some(before) = project.before.take() {
            project.last = project.last.max(version::created_at(self.importer.db, id, &before)?);
        }
        let planned = legacy(row, source_id);
        let mut planned =
            match releases::plan(planned, self.known, &mut project.numbers, project.last, self.importer.now) {
                Ok(planned) => planned,
                Err(why) => return Ok(Err(why)),
            };
        let (parent, is_late) = match text("parent_version_id") {
            None => (None, None),
            Some(parent) => match self.mapped(project, &parent)? {
                Some(known) => (Some(known), None),
                None => (None, Some(parent)),
            },
        };
        if let Some(base) = &planned.facts.base_version_id
            && let Some(known) = self.mapped(project, base)?
        {
            planned.facts.base_version_id = Some(known);
        }
        let version_id = self.version_id(project, id, source_id, planned.at)?;
        if project.exclusive.is_some() {
            self.write(project, source_id, &version_id, parent.as_deref(), &planned, row)?;
        }
        project.last = Some(planned.at);
        project.imported += 1;
        let (semver, is_repaired) = (planned.semver(), !planned.repairs.is_empty());
        let place = [version_id.as_str().into(), semver.as_str().into()];
        let detail = (!row.value::<bool>("has_metadata")).then_some("it has no metadata");
        report.push(Action::Imported, Some(source_id), Some(id), place, detail, 1);
        report.totals.imported += 1;
        if is_repaired {
            report.totals.repaired += 1;
            report.push(Action::Repaired, Some(source_id), Some(id), place, Some(&planned.repairs.join("; ")), 1);
        }
        if let Some(parent) = is_late {
            let (source_id, version_id, semver) = (source_id.to_owned(), version_id.clone(), semver.clone());
            project.orphans.push(Orphan { source_id, version_id, semver, parent, is_repaired });
        }
        if planned.is_published {
            let at = (planned.published_at.unwrap_or(planned.at), planned.at);
            let (source_id, version_id) = (source_id.to_owned(), version_id.clone());
            project.published.push(Published { at, version_id, source_id, semver, is_repaired });
        }
        project.used.insert(version_id.clone());
        project.ids.insert(source_id.to_owned(), version_id);
        Ok(Ok(()))
    }

    /// Writes a version and its row of the map.
    fn write(
        &self,
        project: &mut Project<'d>,
        source_id: &str,
        version_id: &str,
        parent: Option<&str>,
        planned: &Planned,
        row: &Row,
    ) -> Result<(), Error> {
        let Some(exclusive) = &project.exclusive else { return Ok(()) };
        let snapshot = match project.snapshot {
            Some(snapshot) => snapshot,
            None => version::cut(exclusive)?,
        };
        project.snapshot = Some(snapshot);
        let session_id = row.get::<String>("ai_session_id");
        let result = serde_json::to_string(&planned.facts).map_err(|_| Error::Internal)?;
        let adopted = Adopted {
            version_id,
            user: planned.user,
            prompt: planned.prompt.as_deref(),
            framework: planned.framework.as_deref().unwrap_or(&exclusive.framework),
            parent,
            status: planned.status,
            change: planned.counts_as(),
            is_defaulted: planned.change.is_none(),
            number: planned.number,
            stats: planned.stats,
            ai_session: (session_id.as_deref(), row.get("ai_session_created_at"), row.get("ai_session_last_used_at")),
            published: (planned.published_at, planned.published_by),
            deleted_at: planned.deleted_at,
            at: planned.at,
            updated_at: planned.updated_at,
            result: &result,
        };
        let is_written = version::adopt(exclusive, snapshot, &adopted) && self.map(exclusive, source_id, version_id);
        if is_written { Ok(()) } else { Err(Error::SuppressedMap) }
    }

    /// Records what a row became. Returns whether no trigger has kept it from being written.
    fn map(&self, exclusive: &Exclusive, source_id: &str, version_id: &str) -> bool {
        static MAP: Statement = Statement::new(
            "INSERT INTO {s}.imported_versions (project_id, source, source_id, version_id, imported_at)
             VALUES (:project, :source, :source_id, :version_id, :now)
             RETURNING version_id",
        );
        let args = args! {
            project: exclusive.project,
            source: self.source.as_str(),
            source_id,
            version_id,
            now: self.importer.now,
        };
        !self.importer.db.run(&MAP, &args).is_empty()
    }

    /// Ends a project: parents, what is published, what is current; counts what was written.
    fn end_project(&self, state: &mut State<'d>) -> Result<(), Error> {
        static COUNT: Statement = Statement::new(
            "SELECT count(*) AS rows
               FROM {s}.imported_versions m
               JOIN {s}.project_versions v ON v.project_id = m.project_id AND v.version_id = m.version_id
              WHERE m.project_id = :project AND m.source = :source AND m.imported_at = :now",
        );
        let State { report, project, .. } = state;
        let Some(mut project) = project.take() else { return Ok(()) };
        let id = project.fate.clone().ok();
        let repair = |report: &mut Report, source_id: &str, place: [Value; 2], why: &str, is_counted: bool| {
            report.totals.repaired += i64::from(!is_counted);
            report.push(Action::Repaired, Some(source_id), id, place, Some(why), 1);
        };
        let mut repaired = HashSet::new();
        for Orphan { source_id, version_id, semver, parent, is_repaired } in std::mem::take(&mut project.orphans) {
            match (self.mapped(&project, &parent)?, &project.exclusive) {
                (Some(known), Some(exclusive)) => version::set_parent(exclusive, &version_id, &known),
                (Some(_), None) => {}
                (None, _) => {
                    let why = format!("parent_version_id \"{}\" is unknown: it becomes NULL", input::abridged(&parent));
                    let place = [version_id.as_str().into(), semver.as_str().into()];
                    repair(report, &source_id, place, &why, is_repaired);
                    repaired.insert(source_id);
                }
            }
        }
        project.published.sort();
        let winner = if project.has_published { None } else { project.published.pop() };
        if let (Some(winner), Some(exclusive)) = (&winner, &project.exclusive) {
            version::set_published(exclusive, &winner.version_id);
        }
        for Published { version_id, source_id, semver, is_repaired, .. } in &project.published {
            let why = "it is published, and so is another version: it is not published any more";
            let place = [version_id.as_str().into(), semver.as_str().into()];
            repair(report, source_id, place, why, *is_repaired || repaired.contains(source_id));
        }
        let Some(exclusive) = project.exclusive.as_ref().filter(|_| project.imported > 0) else { return Ok(()) };
        version::settle_current(exclusive);
        let args = args! { project: exclusive.project, source: self.source.as_str(), now: self.importer.now };
        let there: i64 = self.importer.db.run(&COUNT, &args).one().value("rows");
        if there != project.imported {
            return Err(Error::SuppressedMap);
        }
        report.totals.verified += there;
        report.push(Action::Verified, None, id, [None::<&str>.into(); 2], None, there);
        Ok(())
    }
}

/// A row with its metadata.
fn legacy(row: &Row, source_id: &str) -> Legacy {
    let text = |name: &str| row.get::<String>(name);
    Legacy {
        facts: row.value("facts"),
        status: text("status"),
        at: row.get("created_at"),
        of_id: id::ulid::parse(source_id).map(id::time_of),
        updated_at: row.get("updated_at"),
        change_type: text("change_type"),
        number: std::array::from_fn(|n| text(NUMBER[n].name)),
        semver: text("semver"),
        user: text("user_id"),
        prompt: text("prompt"),
        framework: text("framework"),
        stats: std::array::from_fn(|n| text(AMOUNTS[n].name)),
        is_published: row.value("is_published"),
        published_at: row.get("published_at"),
        published_by: text("published_by_user_id"),
        deleted_at: row.get("soft_deleted_at"),
    }
}

/// The numbers that the table gives, by project.
fn given_numbers(db: &Db, tables: &Tables) -> Result<HashMap<Option<String>, HashSet<Number>>, Error> {
    let mut given: HashMap<Option<String>, HashSet<Number>> = HashMap::new();
    db.dynamic_each_of_all(&tables.numbers_query(db)?, &[], |row| {
        let columns: [Option<String>; 3] = std::array::from_fn(|n| row.get(NUMBER[n].name));
        let semver: Option<String> = row.get("semver");
        if let Some((number, _)) = releases::number(columns.each_ref().map(Option::as_deref), semver.as_deref()) {
            given.entry(row.get("project")).or_default().insert(number);
        }
        Ok(())
    })?;
    Ok(given)
}

/// Says which metadata is of no use.
fn report_metadata(db: &Db, tables: &Tables, report: &mut Report) -> Result<(), Error> {
    let Some(query) = tables.odd_metadata_query(db)? else { return Ok(()) };
    let mut skipped = 0;
    db.dynamic_each_of_all(&query, &[], |row| {
        let (source_id, rows): (Option<String>, i64) = (row.get("source_id"), row.value("rows"));
        let (why, rows) = match row.value("is_orphan") {
            true => ("metadata of a version that is not there", rows),
            false => ("older metadata of the version", rows - 1),
        };
        skipped += rows;
        let source_id = source_id.as_deref().unwrap_or_default();
        report.push(Action::Skipped, Some(source_id), None, [None::<&str>.into(); 2], Some(why), rows);
        Ok(())
    })?;
    report.totals.metadata_skipped = Some(skipped);
    Ok(())
}

fn import(call: &Call, caller: Caller, db: &Db, json: &str, is_dry_run: bool) -> Result<Answer, Error> {
    const MAP: [(&core::ffi::CStr, Use); 1] = [(c"imported_versions", Use::Write)];
    let tables = Tables::read(call, db, json)?;
    let query = tables.query(db)?;
    let named = projects::all(db, &tables.versions, &CREATED_AT)?;
    let given = given_numbers(db, &tables)?;
    let all_are_locked = match is_dry_run {
        true => false,
        false => as_owner(call, |_| {
            let all = Exclusive::lock_tables_for(db, named.len())?;
            version::lock_list(db)?;
            db.lock_tables(&MAP, || Ok(()))?;
            Ok(all)
        })?,
    };
    let import = Import {
        importer: Importer { call, db, caller, is_dry_run, all_are_locked, now: backend::clock() },
        source: tables.versions.name.clone(),
        known: tables.known()?,
    };
    let mut report = Report::begin(call);
    report_metadata(db, &tables, &mut report)?;
    let mut state = State {
        report,
        progress: Progress::begin("rows read"),
        named: named.into_iter().peekable(),
        given,
        project: None,
    };
    // The tables are read by the caller, between what the owner does with their rows.
    db.dynamic_each_of_all(&query, &[], |row| {
        as_owner(import.importer.call, |owner| import.take(&mut state, row, owner))?;
        state.progress.step();
        Ok(())
    })?;
    as_owner(call, |_| import.end_project(&mut state))?;
    Ok(state.report.done([None::<&str>.into(); 2], (!is_dry_run).then_some("versions that were found again")))
}

/// See the COMMENT in `sql/import.sql`.
#[pg_extern(sql = false)]
fn import_project_versions(fcinfo: pg_sys::FunctionCallInfo) -> Answer {
    Call::answer(fcinfo, |call| start(call, 2, "import versions", import))
}
