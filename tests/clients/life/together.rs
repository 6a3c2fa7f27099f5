//! Everything done by several users at once, without a model: what is promised of any interleaving.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use postgres::Row;
use serde_json::json;
use uuid::Uuid;

use super::answers;
use super::ops::{OWNER, VIEWER};
use super::patches::{self, Tree};
use super::{World, variable};
use crate::calls::{Answer, Listed};
use crate::invariants;
use crate::support::{Database, Random, Session};

const PATHS: [&str; 8] = ["a", "b", "c/d", "c/e", "f", "g", "h i", "j/k/l"];
const VERSION_FILES: &str = "SELECT file_path, version, content FROM versioned.get_project_version_files($1, $2)";
const HISTORY: &str = "
    SELECT h.*, v.pruned_at IS NOT NULL AS is_pruned
      FROM versioned.get_project_version_history($1, $2, 0, true, 'all', true, $3) WITH ORDINALITY AS h
      JOIN versioned.project_versions v ON v.project_id = $1 AND v.version_id = h.version_id
     ORDER BY h.ordinality";

/// Of each worker.
const STEPS: usize = 600;

type Number = (i32, i32, i32);

/// A user at work, and what they were told.
struct Worker {
    session: Session,
    project: Uuid,
    random: Random,
    name: usize,
    may_prune: bool,
    /// Saved versions of files by their ids, with their contents.
    saved: Vec<(Uuid, Option<String>)>,
    /// The files of versions, when they were new.
    versions: Vec<(String, Vec<Listed>)>,
    /// The files of builds, when they were cut.
    cuts: Vec<(String, Vec<Listed>)>,
    numbers: Vec<(Number, String)>,
    done: BTreeMap<&'static str, usize>,
}

fn listed(rows: Vec<Row>) -> Vec<Listed> {
    rows.iter().map(|row| (row.get("file_path"), row.get("version"), row.get("content"))).collect()
}

fn number(row: &Row) -> Number {
    (row.get("major_version"), row.get("minor_version"), row.get("patch_version"))
}

impl Worker {
    fn path(&mut self) -> &'static str {
        PATHS[self.random.below(PATHS.len())]
    }

    /// Lines of which two texts share most, and one that no other text has.
    fn content(&mut self, n: usize) -> String {
        let mut lines: Vec<String> = (0..40).map(|line| format!("line {line}\n")).collect();
        for _ in 0..self.random.below(4) {
            let line = self.random.below(lines.len());
            lines[line] = format!("by {}\r\n", self.name);
        }
        let at = self.random.below(lines.len());
        lines.insert(at, format!("{} {n}\n", self.name));
        lines.concat()
    }

    fn version(&mut self) -> Answer<String> {
        let rows = self.session.try_rows(HISTORY, &[&self.project, &6, &None::<String>])?;
        match rows.len() {
            0 => Ok(Uuid::new_v4().to_string()),
            count => Ok(rows[self.random.below(count)].get("version_id")),
        }
    }

    fn build(&mut self) -> Answer<String> {
        self.session.try_value("SELECT current_build_id FROM versioned.projects WHERE id = $1", &[&self.project])
    }

    fn keep(&mut self, sql: &str, params: crate::support::Params) -> Answer<()> {
        for row in self.session.try_rows(sql, params)? {
            self.saved.push((row.get("id"), row.get("content")));
        }
        Ok(())
    }

    /// Does something in a transaction, which nobody else can change the project during once it has.
    fn alone<T>(&mut self, body: impl FnOnce(&mut Worker) -> Answer<T>) -> Answer<T> {
        self.session.try_run("BEGIN")?;
        let answer = body(self);
        self.session.try_run(if answer.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
        answer
    }

    fn succeed(&mut self) -> Answer<()> {
        let build = self.build()?;
        let change = [json!({}), json!({"change_type": "patch"}), json!({"change_type": "major"})];
        let change = change[self.random.below(3)].clone();
        let (id, number, files) = self.alone(|worker| {
            let project = worker.project;
            let sql = "SELECT * FROM versioned.create_version_on_success($1, $2, $3)";
            let row = worker.session.try_row(sql, &[&project, &build, &change])?;
            let id: String = row.get("version_id");
            let files = listed(worker.session.try_rows(VERSION_FILES, &[&project, &id])?);
            // Made by this transaction, and not cut before.
            let is_of_now: bool = worker.session.try_value(
                "SELECT b.cut_at IS NULL AND v.xmin = pg_current_xact_id()::xid
                   FROM versioned.project_versions v JOIN versioned.project_build_metrics b USING (project_id, version_id)
                  WHERE v.project_id = $1 AND v.version_id = $2",
                &[&project, &id],
            )?;
            if is_of_now {
                assert_eq!(files, worker.session.list(project), "a version has the files of its time");
                *worker.done.entry("succeed without a cut").or_default() += 1;
            }
            Ok((id, number(&row), files))
        })?;
        self.numbers.push((number, id.clone()));
        self.versions.push((id, files));
        Ok(())
    }

    fn restore(&mut self) -> Answer<()> {
        let version = self.version()?;
        self.alone(|worker| {
            let project = worker.project;
            let sql = "SELECT * FROM versioned.restore_project_version($1, $2)";
            worker.session.try_rows(sql, &[&project, &version])?;
            let texts = |files: Vec<Listed>| files.into_iter().map(|(path, _, text)| (path, text)).collect::<Tree>();
            let files = listed(worker.session.try_rows(VERSION_FILES, &[&project, &version])?);
            assert_eq!(texts(worker.session.list(project)), texts(files), "what is restored is all there is");
            Ok(())
        })
    }

    fn act(&mut self, n: usize) -> Answer<&'static str> {
        let (project, path) = (self.project, self.path());
        let on_version = |worker: &mut Worker, function: &str| -> Answer<()> {
            let version = worker.version()?;
            let sql = format!("SELECT * FROM versioned.{function}($1, $2)");
            worker.session.try_rows(&sql, &[&project, &version]).map(|_| ())
        };
        Ok(match self.random.below(40) {
            0..12 => {
                let content = self.content(n);
                let sql = "SELECT * FROM versioned.atomic_upsert_project_file($1, $2, $3, 'text')";
                self.keep(sql, &[&project, &path, &content])?;
                "save"
            }
            12..14 => {
                self.keep("SELECT * FROM versioned.delete_project_file($1, $2)", &[&project, &path])?;
                "delete"
            }
            14..17 => {
                let to = self.path();
                self.keep("SELECT * FROM versioned.move_project_file($1, $2, $3)", &[&project, &path, &to])?;
                "move"
            }
            17 => {
                let sql = "SELECT * FROM versioned.revert_project_file($1, $2, $3)";
                let to = 1 + self.random.below(4) as i32;
                self.keep(sql, &[&project, &path, &to])?;
                "revert"
            }
            18 => {
                let paths: BTreeSet<&str> = (0..3).map(|_| self.path()).collect();
                let content = self.content(n);
                let element = |path| json!({"file_path": path, "content": content, "file_type": "text"});
                let files: serde_json::Value = paths.into_iter().map(element).collect();
                self.keep("SELECT * FROM versioned.atomic_upsert_project_files($1, $2)", &[&project, &files])?;
                "batch"
            }
            19..23 => {
                let supersede = self.random.below(6) == 0;
                self.session.start(project, supersede)?;
                "start"
            }
            23..26 => {
                let build = self.build()?;
                let files = self.alone(|worker| {
                    worker
                        .session
                        .try_rows("SELECT * FROM versioned.cut_project_build($1, $2)", &[&project, &build])?;
                    let sql = "SELECT file_path, version, content FROM versioned.get_project_build_files($1, $2)";
                    Ok(listed(worker.session.try_rows(sql, &[&project, &build])?))
                })?;
                self.cuts.push((build, files));
                "cut"
            }
            26..30 => {
                self.succeed()?;
                "succeed"
            }
            30 => {
                let build = self.build()?;
                self.session.fail(project, &build)?;
                "fail"
            }
            31 | 32 => {
                let (version, change) = (self.version()?, ["patch", "minor", "major"][self.random.below(3)]);
                let sql = "SELECT * FROM versioned.update_version_metadata($1, $2, $3)";
                let row = self.session.try_row(sql, &[&project, &version, &json!({ "change_type": change })])?;
                self.numbers.push((number(&row), version));
                "describe"
            }
            33 => {
                on_version(self, "publish_project_version")?;
                "publish"
            }
            34 => {
                on_version(self, "unpublish_project_version")?;
                "unpublish"
            }
            35 => {
                on_version(self, "delete_project_version")?;
                "remove"
            }
            36 => {
                on_version(self, "undelete_project_version")?;
                "bring back"
            }
            37 | 38 => {
                self.restore()?;
                "restore"
            }
            _ if self.may_prune => {
                let sql = "SELECT * FROM versioned.prune_project_history($1, p_keep_last => 2, p_dry_run => false)";
                self.session.try_rows(sql, &[&project])?;
                "prune"
            }
            _ => {
                let (from, to) = (self.version()?, self.version()?);
                let sql = "SELECT * FROM versioned.diff_project_versions($1, $2, $3)";
                let rows = self.session.try_rows(sql, &[&project, &from, &to])?;
                rows.iter().for_each(|row| {
                    let (added, removed) = answers::lines_of(row.get("diff"));
                    assert_eq!((row.get("lines_added"), row.get("lines_removed")), (added, removed));
                });
                "diff"
            }
        })
    }

    fn work(mut self, steps: usize) -> Worker {
        for n in 0..steps {
            match self.act(n) {
                Ok(what) => *self.done.entry(what).or_default() += 1,
                Err(refusal) => {
                    assert!(["PT404", "PT409", "22023"].contains(&&*refusal.code), "{refusal:?}");
                }
            }
        }
        self
    }
}

/// What every look at the history must show, whatever happens meanwhile.
fn watch(session: &mut Session, project: Uuid) {
    let rows = session.rows(HISTORY, &[&project, &1000, &None::<String>]);
    let is = |row: &Row, column: &str| row.get::<_, bool>(column);
    let is_deleted = |row: &Row| row.get::<_, Option<std::time::SystemTime>>("soft_deleted_at").is_some();
    assert!(rows.iter().all(|row| row.get::<_, i64>("total_count") == rows.len() as i64));
    assert!(rows.iter().filter(|row| is(row, "is_published")).count() <= 1);
    assert!(!rows.iter().any(|row| is(row, "is_published") && is_deleted(row)));
    // One that was brought back after its files had been pruned is never current again.
    let newest = rows.iter().position(|row| !is_deleted(row) && !is(row, "is_pruned"));
    let current: Vec<usize> = (0..rows.len()).filter(|&n| is(&rows[n], "is_current")).collect();
    assert_eq!(current, Vec::from_iter(newest), "the newest that is neither deleted nor pruned is current");
    let times: Vec<std::time::SystemTime> = rows.iter().map(|row| row.get("created_at")).collect();
    assert!(times.is_sorted_by(|newer, older| newer > older));
    let numbers: BTreeSet<Number> = rows.iter().map(number).collect();
    assert_eq!(numbers.len(), rows.len());
}

/// The files of a version; `None` if it has been pruned.
fn intact(session: &mut Session, project: Uuid, version: &str) -> Option<Vec<Listed>> {
    match session.try_rows(VERSION_FILES, &[&project, &version]) {
        Ok(rows) => Some(listed(rows)),
        Err(refusal) => {
            assert_eq!(answers::reason(&refusal), "PT409 pruned", "{refusal:?}");
            None
        }
    }
}

/// What each worker was told is still so.
fn reckon(world: &mut World, project: Uuid, workers: &[Worker], pruned: bool) {
    let session = &mut world.sessions[VIEWER];
    // The numbers given to each version, and the versions that each number was given to.
    let mut numbers: HashMap<Number, &str> = HashMap::new();
    for (number, version) in workers.iter().flat_map(|worker| &worker.numbers) {
        let other = numbers.insert(*number, version);
        assert!(other.is_none_or(|other| other == version), "{number:?} is of {other:?} and of {version}");
    }
    for (version, files) in workers.iter().flat_map(|worker| &worker.versions) {
        match intact(session, project, version) {
            Some(now) => assert_eq!(&now, files, "version {version}"),
            None => assert!(pruned),
        }
    }
    let mut cuts: HashMap<&str, &Vec<Listed>> = HashMap::new();
    for (build, files) in workers.iter().flat_map(|worker| &worker.cuts) {
        assert_eq!(*cuts.entry(build).or_insert(files), files, "the first cut of {build} stands");
    }
    for (build, files) in cuts {
        let sql = "SELECT version_id FROM versioned.project_build_metrics WHERE build_id = $1 AND status = 'deployed'";
        for version in session.column::<String>(sql, &[&build]) {
            assert!(intact(session, project, &version).is_none_or(|now| now == *files), "version {version} of {build}");
        }
    }
    let sql = "SELECT id, content FROM versioned.project_files WHERE project_id = $1";
    let stored: HashMap<Uuid, Option<String>> =
        session.rows(sql, &[&project]).iter().map(|row| (row.get(0), row.get(1))).collect();
    for (id, content) in workers.iter().flat_map(|worker| &worker.saved) {
        match stored.get(id) {
            Some(stored) => assert_eq!(stored, content),
            None => assert!(pruned, "{id} is lost"),
        }
    }
    pages(session, project, workers);
    patches_between(session, project);
    invariants::hold(&mut world.admin);
}

/// Read in pages, the history has every version that anybody was told of, once.
fn pages(session: &mut Session, project: Uuid, workers: &[Worker]) {
    let mut ids: Vec<String> = Vec::new();
    loop {
        let rows = session.rows(HISTORY, &[&project, &7, &ids.last()]);
        ids.extend(rows.iter().map(|row| row.get::<_, String>("version_id")));
        if rows.len() < 7 {
            break;
        }
    }
    let told: BTreeSet<&String> = workers.iter().flat_map(|worker| &worker.versions).map(|(id, _)| id).collect();
    assert_eq!(ids.len(), told.len());
    assert_eq!(ids.iter().collect::<BTreeSet<_>>(), told);
}

/// The statistics of versions are those of the patches from their parents, which git can carry out.
fn patches_between(session: &mut Session, project: Uuid) {
    let sql = "SELECT version_id, parent_version_id, files_changed, lines_added, lines_removed
                 FROM versioned.project_versions WHERE project_id = $1 AND parent_version_id IS NOT NULL";
    for row in session.rows(sql, &[&project]) {
        let (version, parent): (String, String) = (row.get(0), row.get(1));
        let (Some(before), Some(after)) = (intact(session, project, &parent), intact(session, project, &version))
        else {
            continue;
        };
        let sql = "SELECT * FROM versioned.diff_project_versions($1, $2, $3)";
        let diff = session.rows(sql, &[&project, &parent, &version]);
        let sum = |column: &str| diff.iter().map(|row| row.get::<_, i64>(column)).sum::<i64>();
        let counted: (i32, i64, i64) = (row.get(2), row.get(3), row.get(4));
        assert_eq!(counted, (diff.len() as i32, sum("lines_added"), sum("lines_removed")), "version {version}");
        let tree = |files: Vec<Listed>| files.into_iter().map(|(path, _, text)| (path, text)).collect::<Tree>();
        let patch: String = diff.iter().map(|row| row.get::<_, &str>("diff")).collect();
        assert_eq!(patches::apply(&tree(before), &patch, 3), Ok(tree(after)), "{patch}");
    }
}

fn work_together(db: &Database, seed: u64, may_prune: bool) {
    // Shown if anything fails. The seed repeats what each worker does, not who comes first.
    println!("LIFE_SEED={seed}");
    let mut world = World::new(db);
    let (project, _) = world.project();
    let workers: Vec<Worker> = [OWNER, 1, 2]
        .into_iter()
        .map(|who| Worker {
            session: db.user(world.users[who]),
            project,
            random: Random(seed.wrapping_mul(31) + who as u64),
            name: who,
            may_prune: may_prune && who == OWNER,
            saved: Vec::new(),
            versions: Vec::new(),
            cuts: Vec::new(),
            numbers: Vec::new(),
            done: BTreeMap::new(),
        })
        .collect();
    let at_work = AtomicUsize::new(workers.len());
    let mut viewer = db.user(world.users[VIEWER]);
    let workers: Vec<Worker> = thread::scope(|scope| {
        let at_work = &at_work;
        let threads: Vec<_> = workers
            .into_iter()
            .map(|worker| {
                scope.spawn(move || {
                    // Also if it panics, or the watcher would never end.
                    let _ending = Ending(at_work);
                    worker.work(STEPS)
                })
            })
            .collect();
        while at_work.load(Ordering::SeqCst) > 0 {
            watch(&mut viewer, project);
        }
        threads.into_iter().map(|thread| thread.join().expect("no worker panics")).collect()
    });
    let mut done: BTreeMap<&str, usize> = BTreeMap::new();
    for (what, times) in workers.iter().flat_map(|worker| &worker.done) {
        *done.entry(what).or_default() += times;
    }
    println!("{done:?}");
    assert!(done["succeed without a cut"] > 0 && done["cut"] > 0 && done["restore"] > 0);
    reckon(&mut world, project, &workers, may_prune);
}

struct Ending<'a>(&'a AtomicUsize);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[test]
fn sessions_at_work_on_one_project_lose_nothing() {
    let db = Database::new("life_together");
    work_together(&db, variable("LIFE_SEED", 1), false);
}

#[test]
fn sessions_at_work_while_history_is_pruned() {
    let db = Database::new("life_pruned");
    work_together(&db, variable("LIFE_SEED", 1), true);
}
