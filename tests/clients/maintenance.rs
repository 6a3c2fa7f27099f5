//! Maintenance of the tables beside single calls: neither makes the other fail, and what it leaves unfit for use is
//! named.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::json;
use uuid::Uuid;

use crate::invariants;
use crate::support::{Database, Refusal, Session, refused, sessions, until_waiting};

/// A database in which deadlocks show soon, and saves look up what they stand on.
fn hasty(test: &str) -> Database {
    let db = Database::new(test);
    for setting in ["deadlock_timeout = '100ms'", "pg_versioned.base_cache_size = 0"] {
        db.connect().run(&format!("ALTER DATABASE {} SET {setting}", db.name));
    }
    db
}

/// Asserts that no row is missing from any index, where the server has what looks.
fn indexes_are_whole(admin: &mut Session) {
    if admin.value("SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'amcheck')", &[]) {
        admin.run("CREATE EXTENSION IF NOT EXISTS amcheck");
        admin.rows(
            "SELECT bt_index_check(i.indexrelid::regclass, true)
               FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam
              WHERE c.relnamespace = 'versioned'::regnamespace AND a.amname = 'btree'",
            &[],
        );
    }
}

/// Saves so often that the next save stands on versions that it has to look up.
#[track_caller]
fn with_history(session: &mut Session, project: Uuid, path: &str) {
    for n in 0..4 {
        session.put(project, path, &text(n));
    }
}

/// A text of which a few bytes change.
fn text(n: usize) -> String {
    format!("{}changed {n} times\n", "a line that stays\n".repeat(50))
}

/// An open transaction that saved, a rebuild that waits for it, and a save that waits for the rebuild: once the
/// transaction ends, everybody gets through.
#[track_caller]
fn everybody_gets_through(test: &str, rebuild: &str) {
    let db = hasty(test);
    let (owner, mut admin) = (Uuid::new_v4(), db.connect());
    let project = admin.project(owner).project;
    let (mut open, mut single, mut keeper) = (db.user(owner), db.user(owner), db.connect());
    with_history(&mut open, project, "a");
    with_history(&mut single, project, "b");
    open.run("BEGIN");
    open.put(project, "a", "changed and not committed");
    // A query of the client's own holds its tables to the end, whatever a save does.
    open.rows("SELECT FROM versioned.projects", &[]);
    let (keeper_pid, single_pid) = (keeper.pid, single.pid);
    let (saved, rebuilt) = thread::scope(|scope| {
        let rebuilding = scope.spawn(|| keeper.try_run(rebuild));
        until_waiting(&mut admin, keeper_pid);
        let saving = scope.spawn(|| single.save(project, "b", &text(5), None).map(|file| file.version));
        until_waiting(&mut admin, single_pid);
        open.run("COMMIT");
        (saving.join().expect("no panic"), rebuilding.join().expect("no panic"))
    });
    assert_eq!((saved, rebuilt), (Ok(5), Ok(())), "{rebuild}");
    invariants::hold(&mut admin);
}

#[test]
fn a_save_behind_a_waiting_rebuild_of_the_heads() {
    everybody_gets_through("queue_heads", "VACUUM FULL versioned.project_file_heads");
}

#[test]
fn a_save_behind_a_waiting_rebuild_of_the_versions() {
    everybody_gets_through("queue_versions", "VACUUM FULL versioned.project_file_versions");
}

#[test]
fn a_save_behind_a_waiting_rebuild_of_the_projects() {
    everybody_gets_through("queue_projects", "VACUUM FULL versioned.projects");
}

#[test]
fn a_save_behind_a_waiting_truncate_of_the_limits() {
    everybody_gets_through("queue_limits", "TRUNCATE versioned.rate_limits");
}

/// An index that is made anew in a transaction: a save that waits for it looks the new one up.
#[test]
fn a_save_behind_an_index_that_is_made_anew() {
    let db = hasty("index_anew");
    let (owner, mut admin) = (Uuid::new_v4(), db.connect());
    let project = admin.project(owner).project;
    let (mut user, mut keeper) = (db.user(owner), db.connect());
    with_history(&mut user, project, "a");
    let pid = user.pid;
    let mut wrong = Vec::new();
    for (n, (index, anew)) in [
        (
            "project_file_heads_live_path",
            "DROP INDEX versioned.project_file_heads_live_path;
             CREATE UNIQUE INDEX project_file_heads_live_path
                 ON versioned.project_file_heads (project_id, file_path) WHERE NOT is_deleted",
        ),
        (
            "project_file_heads_pkey",
            "ALTER TABLE versioned.project_file_heads DROP CONSTRAINT project_file_heads_pkey;
             ALTER TABLE versioned.project_file_heads ADD PRIMARY KEY (file_id, project_id)",
        ),
        (
            "project_file_versions_pkey",
            "ALTER TABLE versioned.project_file_versions DROP CONSTRAINT project_file_versions_pkey;
             ALTER TABLE versioned.project_file_versions ADD PRIMARY KEY (file_id, version, project_id)",
        ),
        (
            "rate_limits_project_id_actor",
            "DROP INDEX versioned.rate_limits_project_id_actor;
             CREATE INDEX rate_limits_project_id_actor ON versioned.rate_limits (project_id, actor)",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        keeper.run("BEGIN");
        keeper.run(anew);
        let saved = thread::scope(|scope| {
            let saving = scope.spawn(|| user.save(project, "a", &text(10 + n), None));
            until_waiting(&mut admin, pid);
            keeper.run("COMMIT");
            saving.join().expect("no panic")
        });
        if let Err(refusal) = saved {
            wrong.push(format!("{index}: {} {}", refusal.code, refusal.message));
        }
        user.put(project, "a", &format!("after {index}"));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    indexes_are_whole(&mut admin);
    invariants::hold(&mut admin);
}

/// What happens beside maintenance until that is done.
struct Beside<'a> {
    db: &'a Database,
    owner: Uuid,
    project: Uuid,
    /// A project that is deleted again and again.
    doomed: Mutex<Uuid>,
    done: AtomicBool,
    failures: Mutex<Vec<String>>,
}

impl Beside<'_> {
    /// Calls `body` until maintenance is done, and some times at least.
    fn repeat(&self, mut body: impl FnMut(usize)) {
        let mut n = 0;
        while n < 8 || !self.done.load(Ordering::SeqCst) {
            body(n);
            n += 1;
        }
    }

    fn note<T>(&self, what: &str, result: Result<T, Refusal>) -> Option<T> {
        result
            .map_err(|refusal| {
                self.failures.lock().expect("no panic").push(format!("{what}: {} {}", refusal.code, refusal.message));
            })
            .ok()
    }

    fn saver(&self, who: usize) {
        let mut session = self.db.user(self.owner);
        self.repeat(|n| {
            self.note("save", session.save(self.project, &format!("{who}"), &text(n), None));
        });
    }

    /// Makes everything that holds the project wait for savers, and the other way round.
    fn builder(&self) {
        let mut session = self.db.user(self.owner);
        let project = self.project;
        let member = Uuid::new_v4();
        self.repeat(|n| {
            if let Some(build) = self.note("start", session.start(project, true)) {
                self.note("save before a version", session.save(project, "built", &text(n), None));
                self.note("succeed", session.succeed(project, &build.build, json!({})));
            }
            if let Some(build) = self.note("start", session.start(project, true)) {
                self.note("fail", session.fail(project, &build.build));
            }
            for (what, call) in [
                ("add", "SELECT versioned.add_project_member($1, $2, 'viewer')"),
                ("remove", "SELECT versioned.remove_project_member($1, $2)"),
            ] {
                self.note(what, session.try_rows(call, &[&project, &member]));
            }
        });
    }

    fn deleter(&self) {
        let mut session = self.db.user(self.owner);
        self.repeat(|n| {
            let create = "SELECT project_id FROM versioned.create_complete_project(p_prompt => $1)";
            let Some(project) = self.note("create", session.try_value(create, &[&format!("{n}")])) else { return };
            *self.doomed.lock().expect("no panic") = project;
            for path in ["a", "b"] {
                self.note("save", session.save(project, path, &text(n), None));
            }
            self.note("delete", session.try_rows("SELECT versioned.delete_project($1)", &[&project]));
        });
    }

    fn saver_into_the_doomed(&self) {
        let mut session = self.db.user(self.owner);
        self.repeat(|n| {
            let project = *self.doomed.lock().expect("no panic");
            match session.save(project, "late", &text(n), None) {
                Err(refusal) if refusal.code == "PT404" => {}
                result => drop(self.note("save into a project that is deleted", result)),
            }
        });
    }
}

/// Rounds of maintenance beside savers, and beside all that holds a project where `holders`: nothing fails.
#[track_caller]
fn nothing_fails_beside(test: &str, rounds: usize, holders: bool, maintenance: &str) {
    let db = hasty(test);
    let (owner, mut admin) = (Uuid::new_v4(), db.connect());
    let project = admin.project(owner).project;
    let doomed = admin.project(owner).project;
    let beside = Beside {
        db: &db,
        owner,
        project,
        doomed: Mutex::new(doomed),
        done: AtomicBool::new(false),
        failures: Mutex::default(),
    };
    thread::scope(|scope| {
        let beside = &beside;
        for who in 0..if holders { 3 } else { 5 } {
            scope.spawn(move || beside.saver(who));
        }
        if holders {
            scope.spawn(|| beside.builder());
            scope.spawn(|| beside.deleter());
            scope.spawn(|| beside.saver_into_the_doomed());
        }
        for _ in 0..rounds {
            beside.note(maintenance, admin.try_run(maintenance));
        }
        beside.done.store(true, Ordering::SeqCst);
    });
    let failures = beside.failures.into_inner().expect("no panic");
    let some = &failures[..failures.len().min(10)];
    assert!(failures.is_empty(), "{} failures beside {maintenance}: {some:#?}", failures.len());
    indexes_are_whole(&mut admin);
    invariants::hold(&mut admin);
}

#[test]
fn savers_beside_rebuilds_of_the_heads() {
    nothing_fails_beside("beside_heads", 30, false, "VACUUM FULL versioned.project_file_heads");
}

#[test]
fn savers_beside_truncates_of_the_limits() {
    nothing_fails_beside("beside_truncate", 60, false, "TRUNCATE versioned.rate_limits");
}

#[test]
fn calls_beside_rebuilds_of_the_heads() {
    nothing_fails_beside("calls_vacuum_heads", 20, true, "VACUUM FULL versioned.project_file_heads");
}

#[test]
fn calls_beside_rebuilds_of_the_versions() {
    nothing_fails_beside("calls_vacuum_versions", 20, true, "VACUUM FULL versioned.project_file_versions");
}

#[test]
fn calls_beside_rebuilds_of_the_projects() {
    nothing_fails_beside("calls_vacuum_projects", 20, true, "VACUUM FULL versioned.projects");
}

#[test]
fn calls_beside_rebuilds_of_the_members() {
    nothing_fails_beside("calls_vacuum_members", 20, true, "VACUUM FULL versioned.project_members");
}

#[test]
fn calls_beside_new_indexes_of_the_heads() {
    nothing_fails_beside("calls_reindex_heads", 30, true, "REINDEX TABLE CONCURRENTLY versioned.project_file_heads");
}

#[test]
fn calls_beside_new_indexes_of_the_versions() {
    nothing_fails_beside("calls_reindex_vers", 60, true, "REINDEX TABLE CONCURRENTLY versioned.project_file_versions");
}

#[test]
fn calls_beside_new_indexes_of_the_limits() {
    nothing_fails_beside("calls_reindex_limits", 100, true, "REINDEX TABLE CONCURRENTLY versioned.rate_limits");
}

#[test]
fn calls_beside_new_indexes_of_the_projects() {
    nothing_fails_beside("calls_reindex_projects", 30, true, "REINDEX TABLE versioned.projects");
}

#[test]
fn calls_beside_truncates_of_the_limits() {
    nothing_fails_beside("calls_truncate", 60, true, "TRUNCATE versioned.rate_limits");
}

/// Readers hold no lock on one index while they wait for another.
#[test]
fn readers_beside_rebuilt_indexes() {
    let db = hasty("readers_reindex");
    let (owner, mut admin) = (Uuid::new_v4(), db.connect());
    let project = admin.project(owner).project;
    for path in ["live", "gone"] {
        admin.put(project, path, "one");
        admin.put(project, path, "two");
    }
    admin.delete(project, "gone", None).expect("deleted");
    let (done, failed) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for call in [
            "SELECT count(*) FROM versioned.get_project_file_history($1, 'gone')",
            "SELECT count(*) FROM versioned.get_project_file($1, 'gone', 1)",
            "SELECT count(*) FROM versioned.get_project_file($1, 'live')",
        ] {
            let (db, done, failed) = (&db, &done, &failed);
            scope.spawn(move || {
                let mut reader = db.user(owner);
                while !done.load(Ordering::Relaxed) {
                    if let Err(refusal) = reader.try_rows(call, &[&project]) {
                        failed.lock().expect("no panic").push(format!("{call}: {refusal:?}"));
                    }
                }
            });
        }
        for _ in 0..60 {
            for table in ["project_file_heads", "project_file_versions", "projects"] {
                if let Err(refusal) = admin.try_run(&format!("REINDEX TABLE versioned.{table}")) {
                    failed.lock().expect("no panic").push(format!("{table}: {refusal:?}"));
                }
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    let failed = failed.into_inner().expect("no panic");
    assert!(failed.is_empty(), "{failed:#?}");
}

/// Indexes that calls look up rows by.
const INDEXES: [&str; 5] = [
    "project_file_heads_live_path",
    "project_file_heads_path",
    "project_file_versions_pkey",
    "projects_pkey",
    "rate_limits_project_id_actor",
];

/// What a user does in a project with the files `a` (live) and `gone` (deleted); all of it together needs every index.
const CALLS: [&str; 7] = [
    "SELECT versioned.atomic_upsert_project_file($1, 'a', 'next', 'text')",
    "SELECT versioned.atomic_upsert_project_file($1, 'a', 'next', 'text', 4)",
    "SELECT versioned.atomic_upsert_project_file($1, 'new', 'first', 'text')",
    "SELECT versioned.atomic_upsert_project_file($1, 'gone', 'back', 'text')",
    "SELECT versioned.delete_project_file($1, 'a')",
    "SELECT versioned.move_project_file($1, 'a', 'b')",
    "SELECT versioned.revert_project_file($1, 'a', 1)",
];

/// Runs and undoes all calls; each refusal must name the index. How many were refused.
#[track_caller]
fn refusals_that_name(session: &mut Session, project: Uuid, index: &str, how: &str) -> usize {
    let mut count = 0;
    for call in CALLS {
        session.run("BEGIN");
        if let Err(refusal) = session.try_rows(call, &[&project]) {
            let plain = refusal.code.starts_with("XX") || refusal.code == "55000";
            assert!(plain && refusal.message.contains(index), "{index} {how}: {call}: {refusal:?}");
            count += 1;
        }
        session.run("ROLLBACK");
    }
    count
}

/// An index that cannot be used is an error of the server's that names it, not a project or file that is not there and
/// not a race that was lost; and it is over as soon as the index is back.
#[test]
fn an_index_that_cannot_be_used_is_named() {
    let db = Database::new("unfit_index");
    let (owner, mut admin) = (Uuid::new_v4(), db.connect());
    let project = admin.project(owner).project;
    let mut seasoned = db.user(owner);
    with_history(&mut seasoned, project, "a");
    with_history(&mut seasoned, project, "gone");
    seasoned.delete(project, "gone", None).expect("deleted");
    let mut wrong = Vec::new();
    for index in INDEXES {
        let validity = |valid: bool| {
            format!("UPDATE pg_index SET indisvalid = {valid} WHERE indexrelid = 'versioned.{index}'::regclass")
        };
        for (how, unfit, fit) in [
            (
                "renamed",
                format!("ALTER INDEX versioned.{index} RENAME TO elsewhere"),
                format!("ALTER INDEX versioned.elsewhere RENAME TO {index}"),
            ),
            ("invalid", validity(false), validity(true)),
        ] {
            assert_eq!(refusals_that_name(&mut seasoned, project, index, "as it was"), 0);
            admin.run(&unfit);
            // Also in a session that has used it before.
            for (who, session) in [("a seasoned session", &mut seasoned), ("a new session", &mut db.user(owner))] {
                let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    refusals_that_name(session, project, index, how)
                }));
                match result {
                    Ok(0) => wrong.push(format!("{index} {how}: {who} notices nothing")),
                    Ok(_) => {}
                    Err(panic) => wrong.push(panic.downcast_ref::<String>().cloned().unwrap_or_default()),
                }
                session.run("ROLLBACK");
            }
            admin.run(&fit);
            assert_eq!(refusals_that_name(&mut seasoned, project, index, "repaired"), 0);
            assert_eq!(refusals_that_name(&mut db.user(owner), project, index, "repaired"), 0);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    invariants::hold(&mut admin);
}

/// Strangers are told the same as always.
#[test]
fn an_index_that_cannot_be_used_makes_no_project_of_none() {
    let db = Database::new("unfit_stranger");
    let mut admin = db.connect();
    let project = admin.project(Uuid::new_v4()).project;
    admin.put(project, "a", "one");
    let mut strangers = sessions(2, || db.user(Uuid::new_v4()));
    for index in INDEXES {
        admin.run(&format!("ALTER INDEX versioned.{index} RENAME TO elsewhere"));
        for stranger in &mut strangers {
            let [there, none] = [project, Uuid::nil()].map(|id| {
                let refusal = stranger.save(id, "a", "x", None).expect_err("refused");
                format!("{refusal:?}").replace(&id.to_string(), "…")
            });
            assert_eq!(there, none, "{index}");
        }
        admin.run(&format!("ALTER INDEX versioned.elsewhere RENAME TO {index}"));
    }
    refused(strangers[0].save(project, "a", "x", None), "PT404");
}
