//! Savepoints, timeouts and cancels: what was undone never was.

use std::thread;

use serde_json::json;
use uuid::Uuid;

use crate::calls::Answer;
use crate::invariants::{self, everything};
use crate::support::{Database, Session, advisory_locks, is_waiting, refused, until};

/// Every kind of call that writes, on a project with files `a` (live), `b` (live) and `c` (deleted).
type Write = fn(&mut Session, Uuid, &str) -> Answer<()>;
const WRITES: &[(&str, Write)] = &[
    ("save", |s, p, _| s.save(p, "a", "saved", None).map(drop)),
    ("expected save", |s, p, _| s.save(p, "a", "saved", Some(1)).map(drop)),
    ("first save", |s, p, _| s.save(p, "new", "saved", None).map(drop)),
    ("save of a deleted file", |s, p, _| s.save(p, "c", "saved", None).map(drop)),
    ("delete", |s, p, _| s.delete(p, "a", None).map(drop)),
    ("move", |s, p, _| s.rename(p, "a", "elsewhere", None).map(drop)),
    ("move onto a deleted file", |s, p, _| s.rename(p, "a", "c", None).map(drop)),
    ("start", |s, p, _| s.start(p, true).map(drop)),
    ("succeed", |s, p, build| s.succeed(p, build, json!({})).map(drop)),
    ("fail", |s, p, build| s.fail(p, build).map(drop)),
    ("session", |s, p, build| s.try_rows("SELECT versioned.start_ai_time_tracking($1, $2)", &[&p, &build]).map(drop)),
    ("add member", |s, p, _| {
        s.try_rows("SELECT versioned.add_project_member($1, $2, 'viewer')", &[&p, &Uuid::from_u128(7)]).map(drop)
    }),
    ("remove member", |s, p, _| {
        s.try_rows("SELECT versioned.remove_project_member($1, $2)", &[&p, &Uuid::from_u128(8)]).map(drop)
    }),
    ("delete project", |s, p, _| s.try_rows("SELECT versioned.delete_project($1)", &[&p]).map(drop)),
];

/// A project as [`WRITES`] expect it; its id and its active build.
fn project(admin: &mut Session) -> (Uuid, String) {
    let build = admin.project(Uuid::new_v4());
    for path in ["a", "b", "c"] {
        admin.put(build.project, path, path);
    }
    admin.delete(build.project, "c", None).expect("deleted");
    admin.add_member(build.project, Uuid::from_u128(8), "viewer");
    (build.project, build.build)
}

/// What a session must be like after an error: outside any transaction, itself, and without locks.
#[track_caller]
fn is_unharmed(session: &mut Session, what: &str) {
    let row = session
        .try_row("SELECT current_user::text, current_setting('search_path'), current_setting('enable_seqscan')", &[])
        .unwrap_or_else(|e| panic!("after {what} the session answers {e:?}"));
    let (user, path, seqscan): (String, String, String) = (row.get(0), row.get(1), row.get(2));
    assert_eq!((&*user, &*path, &*seqscan), ("postgres", "\"$user\", public", "on"), "after {what}");
    let locks: i64 =
        session.value("SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory'", &[]);
    assert_eq!(locks, 0, "after {what}");
}

/// How a waiting call is ended from outside.
#[derive(Clone, Copy, Debug)]
enum End {
    LockTimeout,
    StatementTimeout,
    Cancel,
}

impl End {
    const ALL: [End; 3] = [End::LockTimeout, End::StatementTimeout, End::Cancel];

    fn prepare(self, session: &mut Session) {
        session.run(match self {
            End::LockTimeout => "SET lock_timeout = '30ms'; SET statement_timeout = '60s'",
            End::StatementTimeout => "SET lock_timeout = 0; SET statement_timeout = '30ms'",
            End::Cancel => "SET lock_timeout = 0; SET statement_timeout = '60s'",
        });
    }

    fn code(self) -> &'static str {
        match self {
            End::LockTimeout => "55P03",
            _ => "57014",
        }
    }

    /// Ends what `session` waits for while it runs `call`.
    fn run<T: Send>(
        self,
        admin: &mut Session,
        session: &mut Session,
        call: impl FnOnce(&mut Session) -> Answer<T> + Send,
    ) -> Answer<T> {
        let pid = session.pid;
        thread::scope(|scope| {
            let waiting = scope.spawn(|| call(session));
            if let End::Cancel = self {
                until("it waits or is done", || waiting.is_finished() || is_waiting(admin, pid));
                if !waiting.is_finished() {
                    // Not a cancel request: for that the postmaster signals twice, and the second may come late.
                    admin.value::<bool>("SELECT pg_cancel_backend($1)", &[&pid]);
                }
            }
            waiting.join().expect("no panic")
        })
    }
}

/// `hold` is what another session does and does not commit.
fn ends_leave_nothing(test: &str, hold: &str) {
    let db = Database::new(test);
    let (mut holder, mut session, mut admin) = (db.connect(), db.connect(), db.connect());
    for end in End::ALL {
        for (what, write) in WRITES {
            let what = format!("{what} ended by {end:?}");
            let (project, build) = project(&mut admin);
            let before = everything(&mut admin);
            holder.run("BEGIN");
            holder.rows(hold, &[&project]);

            end.prepare(&mut session);
            let result = end.run(&mut admin, &mut session, |session| write(session, project, &build));
            let Err(refusal) = result else {
                // This call does not meet what is held.
                holder.run("ROLLBACK");
                admin.try_rows("SELECT versioned.delete_project($1)", &[&project]).ok();
                continue;
            };
            assert_eq!(refusal.code, end.code(), "{what}: {refusal:?}");
            assert_eq!(refusal.detail, None, "{what}");
            session.run("SET lock_timeout = 0; SET statement_timeout = '60s'");
            is_unharmed(&mut session, &what);
            holder.run("ROLLBACK");
            assert_eq!(everything(&mut admin), before, "{what} left something");
            assert_eq!(advisory_locks(&mut admin), 0, "{what}");

            // The same in a savepoint: the transaction goes on.
            holder.run("BEGIN");
            holder.rows(hold, &[&project]);
            end.prepare(&mut session);
            session.run("BEGIN; SAVEPOINT before");
            let result = end.run(&mut admin, &mut session, |session| write(session, project, &build));
            assert_eq!(refused(result, end.code()).detail, None, "{what}");
            session.run("ROLLBACK TO before; SET lock_timeout = 0; SET statement_timeout = '60s'");
            holder.run("ROLLBACK");
            session.put(project, "b", &what);
            session.run("COMMIT");
            is_unharmed(&mut session, &what);

            write(&mut session, project, &build).unwrap_or_else(|e| panic!("{what}, tried again: {e:?}"));
            admin.try_rows("SELECT versioned.delete_project($1)", &[&project]).ok();
        }
    }
    invariants::hold(&mut admin);
}

#[test]
fn calls_ended_while_they_wait_for_a_project_leave_nothing() {
    ends_leave_nothing("end_project", "SELECT pg_advisory_xact_lock(versioned.project_lock_key($1))");
}

#[test]
fn calls_ended_while_they_wait_for_a_file_leave_nothing() {
    ends_leave_nothing("end_file", "SELECT pg_advisory_xact_lock(versioned.file_lock_key($1, 'a'))");
}

/// Rows are locked by who ignores the protocol, by backups of a sort, and by `SELECT … FOR UPDATE` in psql.
#[test]
fn calls_ended_while_they_wait_for_a_row_leave_nothing() {
    ends_leave_nothing(
        "end_row",
        "WITH p AS (SELECT FROM versioned.projects WHERE id = $1 FOR UPDATE),
              h AS (SELECT FROM versioned.project_file_heads WHERE project_id = $1 FOR UPDATE)
         SELECT (SELECT count(*) FROM p), (SELECT count(*) FROM h)",
    );
}

#[test]
fn what_a_savepoint_undid_never_was() {
    let db = Database::new("savepoints");
    let (mut session, mut other, mut admin) = (db.connect(), db.connect(), db.connect());
    other.run("SET lock_timeout = '10s'");
    for (what, write) in WRITES {
        let (project, build) = project(&mut admin);
        let before = everything(&mut admin);
        session.run("BEGIN; SAVEPOINT before");
        write(&mut session, project, &build).unwrap_or_else(|e| panic!("{what}: {e:?}"));
        session.run("ROLLBACK TO before");
        // Its locks are given back, not only its rows: another session need not wait for the commit.
        other.put(project, "a", "of another");
        other.run("BEGIN");
        write(&mut other, project, &build).ok();
        other.run("ROLLBACK");
        session.run("COMMIT");
        let changed: Vec<String> = everything(&mut admin)
            .into_iter()
            .filter(|row| !before.contains(row) && !row.contains("file_heads"))
            .collect();
        assert!(changed.len() == 1 && changed[0].contains("file_versions"), "{what} left {changed:?}");
        is_unharmed(&mut session, what);
        admin.rows("SELECT versioned.delete_project($1)", &[&project]);
    }
    invariants::hold(&mut admin);
}

#[test]
fn numbers_given_in_a_savepoint_are_given_again() {
    let db = Database::new("savepoint_numbers");
    let (mut session, mut admin) = (db.connect(), db.connect());
    let project = admin.project(Uuid::new_v4()).project;
    session.run("BEGIN");
    assert_eq!(session.put(project, "a", "one"), 1);
    session.run("SAVEPOINT s");
    assert_eq!(session.put(project, "a", "undone"), 2);
    session.delete(project, "a", None).expect("deleted");
    assert_eq!(session.put(project, "a", "undone again"), 4);
    session.rename(project, "a", "b", None).expect("moved");
    session.run("ROLLBACK TO s");
    assert_eq!(session.put(project, "a", "two"), 2);
    session.run("RELEASE s; COMMIT");
    assert_eq!(admin.list(project), [("a".into(), 2, "two".into())]);
    invariants::hold(&mut admin);
}

#[test]
fn a_transaction_rolled_back_never_was() {
    let db = Database::new("rolled_back");
    let (mut session, mut admin) = (db.connect(), db.connect());
    let (project, build) = project(&mut admin);
    let before = everything(&mut admin);
    for (what, write) in WRITES {
        session.run("BEGIN");
        write(&mut session, project, &build).unwrap_or_else(|e| panic!("{what}: {e:?}"));
        session.run("ROLLBACK");
        assert_eq!(everything(&mut admin), before, "{what}");
        is_unharmed(&mut session, what);
    }
    assert_eq!(advisory_locks(&mut admin), 0);
}

/// `delete_project` opens the history for its own statements; cancelled amid them, it must be closed again.
#[test]
fn a_cancelled_deletion_leaves_the_history_protected() {
    let db = Database::new("cancelled_deletion");
    let (mut holder, mut session, mut admin) = (db.connect(), db.connect(), db.connect());
    let (project, _) = project(&mut admin);
    for end in End::ALL {
        holder.run("BEGIN");
        holder.rows("SELECT FROM versioned.project_file_versions WHERE project_id = $1 FOR KEY SHARE", &[&project]);
        end.prepare(&mut session);
        let result = end.run(&mut admin, &mut session, |session| {
            session.try_rows("SELECT versioned.delete_project($1)", &[&project])
        });
        refused(result, end.code());
        holder.run("ROLLBACK");
        session.run("SET lock_timeout = 0; SET statement_timeout = '60s'");
        for sql in [
            "DELETE FROM versioned.project_file_versions",
            "UPDATE versioned.project_file_versions SET stored = 'forged'",
            "TRUNCATE versioned.project_file_versions",
        ] {
            let refusal = refused(session.try_run(sql), "42501");
            assert!(refusal.hint.is_some(), "{refusal:?}");
        }
    }
    // And nothing is open after one that went through.
    session.rows("SELECT versioned.delete_project($1)", &[&project]);
    admin.project(Uuid::new_v4());
    refused(session.try_run("DELETE FROM versioned.project_file_versions"), "42501");
    invariants::hold(&mut admin);
}

#[test]
fn read_only_transactions_can_read_and_write_nothing() {
    let db = Database::new("read_only");
    let (mut session, mut admin) = (db.connect(), db.connect());
    let (project, build) = project(&mut admin);
    let version = admin.succeed(project, &build, json!({})).expect("it succeeds");
    let before = everything(&mut admin);
    session.run("SET default_transaction_read_only = on");
    assert_eq!(session.list(project).len(), 2);
    assert_eq!(session.snapshot(project, &version.id).len(), 2);
    session.get(project, "a", None).expect("read");
    session.get(project, "c", Some(1)).expect("read");
    session.rows("SELECT versioned.get_project_file_history($1, 'c')", &[&project]);
    for (what, write) in WRITES.iter().filter(|(what, _)| !["succeed", "fail", "session"].contains(what)) {
        let result = write(&mut session, project, &build);
        assert_eq!(result.map_err(|refusal| refusal.code), Err("25006".into()), "{what}");
        is_unharmed(&mut session, what);
    }
    assert_eq!(everything(&mut admin), before);
}
