//! Proves what is made of versions: their list, the differences between two of them, and going back to one.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};

use postgres::fallible_iterator::FallibleIterator;
use postgres::types::ToSql;
use postgres::{Client, Row};
use uuid::Uuid;

use crate::builds::Version;
use crate::compare::{Comparer, name_faults};
use crate::failure::{Doing, Failure};
use crate::history::{Difference, HistoryError, Mirror};
use crate::progress::Progress;
use crate::proof::CURRENT;

/// Versions on a page of the list: few, so that there are several pages.
const PAGE: i32 = 5;

/// One version as `get_project_version_history` lists it.
pub struct Listed {
    /// Its number.
    pub semver: String,
    /// A tag, or the commit's short name.
    pub name: String,
    /// Files changed since the version before it.
    pub files: i32,
    /// Lines added.
    pub added: i64,
    /// Lines removed.
    pub removed: i64,
}

/// Two versions that were compared.
pub struct Compared {
    /// Their numbers, or that it is now.
    pub names: [String; 2],
    /// Files that differ.
    pub files: usize,
    /// Bytes of the patch.
    pub bytes: u64,
}

/// What was compared, and what was wrong.
#[derive(Default)]
pub struct Versions {
    /// The list, newest first.
    pub list: Vec<Listed>,
    /// Pages that it came in.
    pub pages: usize,
    /// Versions whose lines were not compared, because the extension did not compare a file.
    pub too_long: usize,
    /// Versions that were compared with each other.
    pub diffs: Vec<Compared>,
    /// The version that was restored, and how many files that changed.
    pub restored: Option<(String, usize)>,
    /// Everything that was wrong.
    pub faults: usize,
}

/// All files of a project, with their versions and hashes, and how many file versions there are.
#[derive(PartialEq)]
struct State {
    files: BTreeMap<String, (i32, String)>,
    versions: i64,
}

struct Prover<'a, 'r> {
    client: &'a mut Client,
    project: Uuid,
    comparer: &'a mut Comparer<'r>,
    mirror: &'a Mirror,
    made: &'a [Version],
    progress: Progress,
    /// `pg_versioned.max_compared_lines`.
    limit: usize,
    found: Versions,
}

/// The versions' trees as a project can hold them, in git.
pub fn mirror(comparer: &mut Comparer, made: &[Version]) -> Result<Mirror, Failure> {
    let mut progress = Progress::start("mirror", "versions", made.len());
    let repository = comparer.repository;
    let mirror = Mirror::build(repository, made.len(), |at| {
        let files = comparer.files(made[at].commit)?;
        progress.show(at, || format!("{} files", files.len()));
        Ok::<_, Failure>(files.into_iter().map(|(path, oid, _)| (path, oid)).collect())
    })?;
    progress.finish("for git to compare");
    Ok(mirror)
}

/// Compares the list, differences and, if asked to, a restore with git; all is as before afterwards.
pub fn prove(
    client: &mut Client,
    project: Uuid,
    comparer: &mut Comparer,
    mirror: &Mirror,
    made: &[Version],
    restore: bool,
) -> Result<Versions, Failure> {
    let limit: i32 = client
        .query_one("SELECT current_setting('pg_versioned.max_compared_lines')::integer", &[])
        .doing("reading a setting")?
        .get(0);
    // One step a version in the list, two diffs, and a restore.
    let progress = Progress::start("versions", "steps", made.len() + 3);
    let (limit, found) = (limit as usize, Versions::default());
    let mut prover = Prover { client, project, comparer, mirror, made, progress, limit, found };
    prover.list()?;
    if let Some(newest) = made.len().checked_sub(1) {
        if newest > 0 {
            prover.diff(newest - 1, Some(newest))?;
        }
        prover.progress.show(made.len() + 1, || "diff".to_owned());
        prover.diff(0, None)?;
        prover.progress.show(made.len() + 2, || "restore".to_owned());
        if restore {
            prover.restore()?;
        }
    }
    let Prover { progress, found, .. } = prover;
    progress.finish(&format!("{} listed, {} diffs", found.list.len(), found.diffs.len()));
    Ok(found)
}

impl Prover<'_, '_> {
    fn list(&mut self) -> Result<(), Failure> {
        let mut rows: Vec<Row> = Vec::new();
        let mut faults = Vec::new();
        loop {
            let last: Option<String> = rows.last().map(|row| row.get(0));
            let page = self
                .client
                .query(
                    "SELECT version_id, semver, version_name, git_commit_sha, files_changed, lines_added, lines_removed,
                            is_current, change_type, total_count
                       FROM get_project_version_history($1, $2, p_include_checkpoints => true, p_before_version_id => $3)",
                    &[&self.project, &PAGE, &last],
                )
                .doing("listing the versions")?;
            let expected = last.is_none().then_some(self.made.len() as i64);
            if page.iter().any(|row| row.get::<_, Option<i64>>("total_count") != expected) {
                faults.push(format!("page {} has not the total_count {expected:?}", self.found.pages + 1));
            }
            if page.is_empty() {
                break;
            }
            self.found.pages += 1;
            rows.extend(page);
        }
        if rows.len() != self.made.len() {
            faults.push(format!("{} versions are listed, where {} were made", rows.len(), self.made.len()));
        }
        for (at, row) in (0..self.made.len()).rev().zip(&rows) {
            faults.extend(self.listed(at, row)?);
            self.progress.show(self.made.len() - at, || format!("{} pages", self.found.pages));
        }
        faults.extend(self.without_checkpoints(&rows)?);
        self.report("the list of versions", faults);
        self.found.list = rows.iter().map(listed).collect();
        Ok(())
    }

    /// What is wrong with a version in the list.
    fn listed(&mut self, at: usize, row: &Row) -> Result<Option<String>, Failure> {
        let made = &self.made[at];
        let differences = self.mirror.differences(at.checked_sub(1), at)?;
        let exact = differences.values().all(|difference| !self.is_too_long(difference));
        self.found.too_long += usize::from(!exact);
        let sum = |lines: fn(&Difference) -> i64| differences.values().map(lines).sum::<i64>();
        let lines = |git, listed: &str| if exact { git } else { row.get::<_, i64>(listed) };
        let expected = (
            (&made.id, &made.number, &made.name, made.commit.to_string()),
            (differences.len() as i32, lines(sum(|file| file.added), "lines_added")),
            (lines(sum(|file| file.removed), "lines_removed"), at + 1 == self.made.len()),
        );
        let [id, semver, name, commit] =
            [0, 1, 2, 3].map(|column| row.get::<_, Option<String>>(column).unwrap_or_default());
        let found =
            ((&id, &semver, &name, commit), (row.get(4), row.get(5)), (row.get(6), row.get::<_, bool>("is_current")));
        Ok((found != expected).then(|| format!("{found:?}, where git has {expected:?}")))
    }

    /// The list without checkpoints is the list without patch versions.
    fn without_checkpoints(&mut self, rows: &[Row]) -> Result<Option<String>, Failure> {
        let shown = self
            .client
            .query("SELECT version_id FROM get_project_version_history($1, 1000)", &[&self.project])
            .doing("listing the versions without checkpoints")?;
        let expected = rows.iter().filter(|row| row.get::<_, &str>("change_type") != "patch").take(1000);
        let same = shown.iter().map(|row| row.get::<_, &str>(0)).eq(expected.map(|row| row.get::<_, &str>(0)));
        Ok((!same).then(|| "without checkpoints it has not all others".to_owned()))
    }

    /// Compares a version with another one, or with the files as they are.
    fn diff(&mut self, from: usize, to: Option<usize>) -> Result<(), Failure> {
        let of = |at: usize| &self.made[at];
        let names = [of(from).number.clone(), to.map_or_else(|| "now".to_owned(), |to| of(to).number.clone())];
        let name = format!("the diff {} … {}", names[0], names[1]);
        let (project, from_id, to_id) = (self.project, &of(from).id, to.map(|to| &of(to).id));
        let to = to.unwrap_or(self.made.len() - 1);
        let mut expected = self.mirror.differences(Some(from), to)?;
        let mut faults = Vec::new();
        let (mut files, mut bytes) = (0, 0);
        let file = self.mirror.scratch().file("demo.patch");
        let written = |error: std::io::Error| Failure::Broken(format!("writing {}: {error}", file.display()));
        let mut patch = BufWriter::new(File::create(&file).map_err(written)?);
        let sql = "SELECT file_path, change, lines_added, lines_removed, diff FROM diff_project_versions($1, $2, $3)";
        let args: [&(dyn ToSql + Sync); 3] = [&project, from_id, &to_id];
        let mut rows = self.client.query_raw(sql, args).doing(&name)?;
        while let Some(row) = rows.next().doing(&name)? {
            let (path, change): (String, &str) = (row.get(0), row.get(1));
            let wrong = match expected.remove(&path) {
                None => Some("is the same in git".to_owned()),
                Some(git) if change != kind(&git) => Some(format!("is {change}, in git {}", kind(&git))),
                Some(git) if self.comparer.lines(git.from).max(self.comparer.lines(git.to)) > self.limit => None,
                Some(git) => {
                    let lines: (i64, i64) = (row.get(2), row.get(3));
                    let same = lines == (git.added, git.removed);
                    (!same).then(|| format!("has {lines:?} lines, in git {:?}", (git.added, git.removed)))
                }
            };
            faults.extend(wrong.map(|wrong| format!("{path} {wrong}")));
            let diff: &str = row.get(4);
            patch.write_all(diff.as_bytes()).map_err(written)?;
            files += 1;
            bytes += diff.len() as u64;
        }
        drop(rows);
        faults.extend(expected.into_keys().map(|path| format!("{path} is missing")));
        patch.into_inner().map_err(|error| written(error.into_error()))?;
        match self.mirror.apply(from, &file) {
            Ok(tree) if tree == self.mirror.tree(to) => {}
            Ok(_) => faults.push("git apply makes another tree of it".to_owned()),
            Err(error @ HistoryError::Failed { .. }) => faults.push(error.to_string()),
            Err(error) => return Err(error.into()),
        }
        self.report(&name, faults);
        self.found.diffs.push(Compared { names, files, bytes });
        Ok(())
    }

    /// Goes back to the first version, compares, and takes it back.
    fn restore(&mut self) -> Result<(), Failure> {
        let first = &self.made[0];
        let name = format!("the restore of {}", first.number);
        let before = self.state()?;
        self.client.batch_execute("BEGIN").doing("beginning to restore")?;
        let promised = self.restore_rows(&first.id, true)?;
        let mut faults = Vec::new();
        if self.state()? != before {
            faults.push("the dry run changed something".to_owned());
        }
        let done = self.restore_rows(&first.id, false)?;
        if promised != done {
            faults.push("the dry run promised something else".to_owned());
        }
        let newest = self.made.len() - 1;
        let mut expected = self.mirror.differences(Some(newest), 0)?;
        for (path, change, _) in &done {
            if expected.remove(path).is_none_or(|git| kind(&git) != change) {
                faults.push(format!("{path} is {change}, in git it is not"));
            }
        }
        faults.extend(expected.into_keys().map(|path| format!("{path} was not restored")));
        let query: (&str, &[&(dyn ToSql + Sync)]) = (CURRENT, &[&self.project]);
        faults.extend(self.comparer.snapshot(self.client, query, &name, first.commit, |_| {})?.1);
        self.client.batch_execute("ROLLBACK").doing("taking the restore back")?;
        if self.state()? != before {
            faults.push("the project is not as before after a ROLLBACK".to_owned());
        }
        self.report(&name, faults);
        self.found.restored = Some((first.number.clone(), done.len()));
        Ok(())
    }

    fn restore_rows(&mut self, version: &str, dry_run: bool) -> Result<Vec<(String, String, i32)>, Failure> {
        let sql = "SELECT file_path, change, version FROM restore_project_version($1, $2, $3)";
        let rows = self.client.query(sql, &[&self.project, &version, &dry_run]).doing("restoring a version")?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect())
    }

    /// What a rollback has to leave as it was.
    fn state(&mut self) -> Result<State, Failure> {
        let sql = "SELECT file_path, version, content_hash FROM project_files
                    WHERE project_id = $1 AND is_current_version";
        let rows = self.client.query(sql, &[&self.project]).doing("reading the files")?;
        let files = rows.iter().map(|row| (row.get(0), (row.get(1), row.get(2)))).collect();
        let sql = "SELECT count(*) FROM project_file_versions WHERE project_id = $1";
        let versions = self.client.query_one(sql, &[&self.project]).doing("counting file versions")?.get(0);
        Ok(State { files, versions })
    }

    /// Whether the extension may not have compared the lines of a file.
    fn is_too_long(&self, difference: &Difference) -> bool {
        self.comparer.lines(difference.from).max(self.comparer.lines(difference.to)) > self.limit
    }

    fn report(&mut self, name: &str, faults: Vec<String>) {
        self.found.faults += name_faults(&self.progress, name, faults);
    }
}

fn listed(row: &Row) -> Listed {
    let text = |column: &str| row.get::<_, Option<String>>(column).unwrap_or_default();
    Listed {
        semver: text("semver"),
        name: text("version_name"),
        files: row.get("files_changed"),
        added: row.get("lines_added"),
        removed: row.get("lines_removed"),
    }
}

/// What the extension calls what git did.
fn kind(difference: &Difference) -> &'static str {
    match (difference.from, difference.to) {
        (None, _) => "added",
        (_, None) => "deleted",
        _ => "modified",
    }
}
