//! Everything at once: saves, expected saves, deletions, moves, builds and versions, then a reckoning.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use serde_json::json;
use uuid::Uuid;

use crate::calls::{Answer, File, Listed};
use crate::invariants;
use crate::support::{Database, Random, Session, race, refused, sessions, sha256};

const PATHS: usize = 20;

fn path(n: usize) -> String {
    format!("src/{n:02}.ts")
}

/// One random change; content is unique, so that no save is a repetition.
fn change(session: &mut Session, project: Uuid, random: &mut Random, content: &str) -> Answer<File> {
    let at = path(random.below(PATHS));
    let known = |session: &mut Session, at: &str| {
        let sql = "SELECT coalesce(max(version), 0) FROM versioned.project_files
                    WHERE project_id = $1 AND file_path = $2 AND is_current_version";
        session.try_value::<i32>(sql, &[&project, &at])
    };
    match random.below(10) {
        0..4 => session.save(project, &at, content, None),
        4..6 => {
            let expected = known(session, &at)?;
            session.save(project, &at, content, Some(expected))
        }
        6 => session.delete(project, &at, None),
        7 => {
            let expected = known(session, &at)?.max(1);
            session.delete(project, &at, Some(expected))
        }
        _ => {
            let to = path(random.below(PATHS));
            if to == at { session.save(project, &at, content, None) } else { session.rename(project, &at, &to, None) }
        }
    }
}

/// A change that succeeded, and when its call began and ended.
struct Done {
    file: File,
    began: Instant,
    ended: Instant,
}

/// A version, its files as they were shown at once, and when its call began and ended.
struct Cut {
    version: String,
    files: Vec<Listed>,
    began: Instant,
    ended: Instant,
}

/// Starts builds and ends them, one way or the other, until the writers are through.
fn build_on(session: &mut Session, project: Uuid, first: &str, writers: &AtomicUsize, retry: &[&str]) -> Vec<Cut> {
    let mut random = Random(99);
    let mut build = first.to_owned();
    let mut cuts = Vec::new();
    // Retries what a fixed snapshot refuses.
    fn persist<T>(retry: &[&str], mut call: impl FnMut() -> Answer<T>) -> T {
        loop {
            match call() {
                Ok(answer) => return answer,
                Err(refusal) => assert!(retry.contains(&&*refusal.code), "{refusal:?}"),
            }
        }
    }
    while writers.load(Ordering::SeqCst) > 0 || cuts.is_empty() {
        match random.below(4) {
            0 => assert_eq!(persist(retry, || session.fail(project, &build)), "failed"),
            1 => {
                build = persist(retry, || session.start(project, true)).build;
                continue;
            }
            _ => {
                let change = ["patch", "minor", "major"][random.below(3)];
                let (version, began) = persist(retry, || {
                    let began = Instant::now();
                    Ok((session.succeed(project, &build, json!({ "change_type": change }))?, began))
                });
                let ended = Instant::now();
                session.run("BEGIN ISOLATION LEVEL READ COMMITTED");
                let files = session.snapshot(project, &version.id);
                session.run("COMMIT");
                cuts.push(Cut { version: version.id, files, began, ended });
            }
        }
        build = persist(retry, || session.start(project, false)).build;
    }
    cuts
}

/// A row of the history.
struct Stored {
    file: Uuid,
    version: i32,
    id: Uuid,
    path: String,
    content: Option<String>,
    snapshot: i32,
    xid: i64,
}

fn history(admin: &mut Session, project: Uuid) -> Vec<Stored> {
    let sql = "SELECT v.file_id, v.version, v.id, v.file_path, f.content, v.snapshot_seq, v.change_xid::text::bigint
                 FROM versioned.project_file_versions v JOIN versioned.project_files f USING (id)
                WHERE v.project_id = $1 ORDER BY v.file_id, v.version";
    let row = |row: &postgres::Row| Stored {
        file: row.get(0),
        version: row.get(1),
        id: row.get(2),
        path: row.get(3),
        content: row.get(4),
        snapshot: row.get(5),
        xid: row.get(6),
    };
    admin.rows(sql, &[&project]).iter().map(row).collect()
}

/// The live files when only the versions that `counts` picks had been made; no path may occur twice.
fn replay(history: &[Stored], counts: impl Fn(&Stored) -> bool) -> Vec<Listed> {
    let mut newest: HashMap<Uuid, &Stored> = HashMap::new();
    for stored in history.iter().filter(|stored| counts(stored)) {
        newest.insert(stored.file, stored);
    }
    let mut files = BTreeMap::new();
    for stored in newest.into_values() {
        if let Some(content) = &stored.content {
            let listed = (stored.path.clone(), stored.version, content.clone());
            assert!(files.insert(stored.path.clone(), listed).is_none(), "two files at {}", stored.path);
        }
    }
    files.into_values().collect()
}

/// A storm under an isolation level whose refusals besides PT404 and PT409 are `retry`.
fn storm(db: &Database, isolation: &str, writers: usize, changes: usize, retry: &[&str]) {
    let mut admin = db.connect();
    let first = admin.project(Uuid::new_v4());
    let project = first.project;
    let open = || {
        let mut session = db.connect();
        session.run(&format!("SET default_transaction_isolation = '{isolation}'"));
        // Each for somebody else, so that nobody's deletion is taken for a repetition of another's.
        session.claim(Uuid::new_v4());
        session
    };
    let at_work = AtomicUsize::new(writers);

    let answers = race(sessions(writers + 2, open), |n, session| {
        let mut done = Vec::new();
        if n == writers {
            return (done, build_on(session, project, &first.build, &at_work, retry));
        }
        if n == writers + 1 {
            // A reader: whatever it sees is whole.
            session.run("SET default_transaction_isolation = 'read committed'");
            while at_work.load(Ordering::SeqCst) > 0 {
                let listed = session.list(project);
                assert!(listed.is_sorted_by(|a, b| a.0 < b.0), "a listing shows every path once");
                let at = path(listed.len() % PATHS);
                match session.get(project, &at, None) {
                    Ok(file) => {
                        assert!(file.is_current && file.path == at);
                        assert_eq!(file.hash, file.content.as_deref().map(sha256));
                    }
                    Err(refusal) => assert_eq!(refusal.code, "PT404", "{refusal:?}"),
                }
            }
            return (done, Vec::new());
        }
        // Counted down on panics as well, or the others would go on for ever.
        struct Leaving<'a>(&'a AtomicUsize);
        impl Drop for Leaving<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::SeqCst);
            }
        }
        let _leaving = Leaving(&at_work);
        let mut random = Random(n as u64);
        for k in 0..changes {
            let content = format!("change {k} of writer {n}\n");
            let began = Instant::now();
            match change(session, project, &mut random, &content) {
                Ok(file) => done.push(Done { file, began, ended: Instant::now() }),
                Err(refusal) => {
                    let code = &*refusal.code;
                    assert!(["PT404", "PT409"].contains(&code) || retry.contains(&code), "{refusal:?}");
                }
            }
        }
        (done, Vec::new())
    });

    let (done, cuts): (Vec<_>, Vec<_>) = answers.into_iter().unzip();
    let (done, cuts): (Vec<Done>, Vec<Cut>) =
        (done.into_iter().flatten().collect(), cuts.into_iter().flatten().collect());
    reckon(&mut admin, project, &done, &cuts);
}

fn reckon(admin: &mut Session, project: Uuid, done: &[Done], cuts: &[Cut]) {
    invariants::hold(admin);
    let history = history(admin, project);
    assert!(!done.is_empty() && !cuts.is_empty());

    // What was answered is what is there, and nothing else is.
    let stored: HashMap<Uuid, &Stored> = history.iter().map(|stored| (stored.id, stored)).collect();
    let mut answered = HashSet::new();
    // Who deletes again what he deleted is answered with his tombstone again.
    let done: Vec<&Done> =
        done.iter().filter(|Done { file, .. }| answered.insert(file.id) || !file.is_deleted).collect();
    for Done { file, .. } in &done {
        let stored = stored.get(&file.id).unwrap_or_else(|| panic!("{file:?} was lost"));
        assert_eq!(
            (stored.version, &stored.path, &stored.content),
            (file.version, &file.path, &file.content),
            "what a call answered"
        );
    }
    assert_eq!(history.len(), done.len(), "one version for every success");

    // The files as they are now.
    assert_eq!(admin.list(project), replay(&history, |_| true));

    let mut parent = Vec::new();
    for cut in cuts {
        let row = admin.row(
            "SELECT snapshot_seq, xmin::text::bigint, files_changed FROM versioned.project_versions
              WHERE project_id = $1 AND version_id = $2",
            &[&project, &cut.version],
        );
        let (snapshot, xid, changed): (i32, i64, i32) = (row.get(0), row.get(1), row.get(2));
        assert_eq!(admin.snapshot(project, &cut.version), cut.files, "a version's files never change");
        assert_eq!(cut.files, replay(&history, |stored| stored.snapshot <= snapshot), "the stamps say so");
        // Whoever makes a version gets its transaction's number under the project's lock, as savers do.
        assert_eq!(cut.files, replay(&history, |stored| stored.xid < xid), "the order of the transactions says so");

        for Done { file, began, ended } in &done {
            let stored = stored[&file.id];
            if *ended < cut.began {
                assert!(stored.snapshot <= snapshot, "{file:?} was there before {}", cut.version);
            }
            if *began > cut.ended {
                assert!(stored.snapshot > snapshot, "{file:?} came after {}", cut.version);
            }
        }
        assert!(changed as usize >= differing(&parent, &cut.files), "files that changed are counted");
        parent.clone_from(&cut.files);
    }
}

/// Paths whose content is another in the two listings, or that only one has, moves counted once.
fn differing(old: &[Listed], new: &[Listed]) -> usize {
    let contents = |files: &[Listed]| files.iter().map(|f| (f.0.clone(), f.2.clone())).collect::<HashSet<_>>();
    let (old, new) = (contents(old), contents(new));
    new.difference(&old).count().max(old.difference(&new).count())
}

#[test]
fn a_storm_leaves_history_and_snapshots_whole() {
    let db = Database::new("storm");
    storm(&db, "read committed", 16, 150, &[]);
}

#[test]
fn a_storm_under_repeatable_read_loses_races_only_as_40001() {
    let db = Database::new("storm_rr");
    storm(&db, "repeatable read", 12, 60, &["40001"]);
}

#[test]
fn a_storm_under_serializable_loses_races_only_as_40001() {
    let db = Database::new("storm_ser");
    storm(&db, "serializable", 12, 50, &["40001"]);
}

/// Several changes per transaction, in any order: they may deadlock, but then leave nothing.
#[test]
fn transactions_of_several_changes_are_all_or_nothing() {
    const TRANSACTIONS: usize = 60;
    let db = Database::new("storm_multi");
    let mut admin = db.connect();
    let project = admin.project(Uuid::new_v4()).project;
    let open = || {
        let mut session = db.connect();
        session.run("SET deadlock_timeout = '10ms'");
        session.claim(Uuid::new_v4());
        session
    };
    let committed = race(sessions(8, open), |n, session| {
        let mut random = Random(1000 + n as u64);
        let mut committed = Vec::new();
        for k in 0..TRANSACTIONS {
            session.run("BEGIN");
            let mut made = Vec::new();
            let result = (0..3).try_for_each(|step| {
                session.run("SAVEPOINT step");
                match change(session, project, &mut random, &format!("{k}.{step} of {n}")) {
                    Ok(file) => made.push(file.id),
                    Err(refusal) if ["PT404", "PT409"].contains(&&*refusal.code) => {
                        session.run("ROLLBACK TO step");
                    }
                    Err(refusal) => return Err(refusal),
                }
                Ok(())
            });
            match result {
                Ok(()) if random.below(4) == 0 => session.run("ROLLBACK"),
                Ok(()) => {
                    session.run("COMMIT");
                    committed.append(&mut made);
                }
                Err(refusal) => {
                    assert_eq!(refusal.code, "40P01", "{refusal:?}");
                    session.run("ROLLBACK");
                }
            }
        }
        committed
    });
    let committed: HashSet<Uuid> = committed.into_iter().flatten().collect();
    let stored: HashSet<Uuid> = history(&mut admin, project).iter().map(|stored| stored.id).collect();
    assert!(committed == stored, "what was committed is there, and nothing else");
    invariants::hold(&mut admin);
}

/// A project may go while others work on it.
#[test]
fn a_project_deleted_under_its_savers_leaves_nothing() {
    let db = Database::new("storm_delete");
    let mut admin = db.connect();
    for round in 0..8 {
        let first = admin.project(Uuid::new_v4());
        let project = first.project;
        race(sessions(8, || db.connect()), |n, session| {
            let mut random = Random(round * 100 + n as u64);
            if n == 0 {
                for k in 0..10 {
                    session.put(project, "own", &format!("{k}"));
                }
                let gone: bool = session.value("SELECT versioned.delete_project($1)", &[&project]);
                assert!(gone);
                refused(session.save(project, "own", "late", None), "PT404");
            } else if n == 1 {
                let mut result = session.succeed(project, &first.build, json!({})).map(|_| ());
                while result.is_ok() {
                    result = session
                        .start(project, false)
                        .and_then(|build| session.succeed(project, &build.build, json!({})))
                        .map(|_| ());
                }
                refused(result, "PT404");
            } else {
                for k in 0.. {
                    let content = format!("{k} of {n}");
                    if let Err(refusal) = session.save(project, &path(random.below(PATHS)), &content, None) {
                        assert_eq!(refusal.code, "PT404", "{refusal:?}");
                        break;
                    }
                }
            }
        });
        let left: i64 = admin.value(
            "SELECT (SELECT count(*) FROM versioned.projects WHERE id = $1)
                  + (SELECT count(*) FROM versioned.project_file_heads WHERE project_id = $1)
                  + (SELECT count(*) FROM versioned.project_file_versions WHERE project_id = $1)
                  + (SELECT count(*) FROM versioned.project_versions WHERE project_id = $1)
                  + (SELECT count(*) FROM versioned.project_build_metrics WHERE project_id = $1)
                  + (SELECT count(*) FROM versioned.project_ai_time_sessions WHERE project_id = $1)
                  + (SELECT count(*) FROM versioned.project_members WHERE project_id = $1)
                  + (SELECT count(*) FROM versioned.project_idempotency_keys WHERE project_id = $1)",
            &[&project],
        );
        assert_eq!(left, 0);
        invariants::hold(&mut admin);
    }
}
