//! Tables of users with versioning enabled, under many connections: plain INSERTs are numbered without gaps and errors.

use std::thread;
use std::time::{Duration, Instant};

use crate::support::{
    Database, Refusal, Session, advisory_locks, race, refused, sessions, until, until_gone, until_waiting,
};

/// A table of documents and one of their versions with flag and link, which versioning is enabled for.
pub fn protected(test: &str) -> Database {
    let db = Database::new(test);
    db.connect().run(
        "CREATE TABLE docs (id int PRIMARY KEY, title text);
         INSERT INTO docs SELECT n FROM generate_series(1, 1000) n;
         CREATE TABLE doc_versions (
             id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
             doc int NOT NULL REFERENCES docs ON DELETE CASCADE ON UPDATE CASCADE,
             version int NOT NULL DEFAULT 1, is_current boolean NOT NULL DEFAULT true,
             previous bigint REFERENCES doc_versions ON DELETE SET NULL, body text);
         SELECT versioned.enable_versioning('doc_versions', '{doc}', 'version', 'is_current', 'previous')",
    );
    db
}

/// Asserts that flags and links of all documents are as the triggers keep them, and no lock is left.
#[track_caller]
pub fn is_sound(admin: &mut Session) {
    let wrong: Vec<String> = admin.column(
        "SELECT to_jsonb(v)::text
           FROM (SELECT doc, version, is_current, previous, lag(id) OVER w AS before,
                        count(*) FILTER (WHERE is_current) OVER (PARTITION BY doc) AS current,
                        row_number() OVER w AS position
                   FROM doc_versions WINDOW w AS (PARTITION BY doc ORDER BY version)) v
          WHERE current <> 1 OR previous IS DISTINCT FROM before OR version < position ORDER BY doc, version LIMIT 10",
        &[],
    );
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(advisory_locks(admin), 0);
}

/// The same where nothing was deleted: numbers are contiguous, too, and there are as many rows.
#[track_caller]
pub fn is_contiguous(admin: &mut Session, rows: i64) {
    is_sound(admin);
    let gaps: Vec<i32> = admin.column("SELECT doc FROM doc_versions GROUP BY doc HAVING max(version) <> count(*)", &[]);
    assert!(gaps.is_empty(), "gaps in {gaps:?}");
    assert_eq!(admin.value::<i64>("SELECT count(*) FROM doc_versions", &[]), rows);
}

/// How many of the results are refusals with each code.
fn codes<T>(results: impl IntoIterator<Item = Result<T, Refusal>>) -> Vec<String> {
    let mut codes: Vec<String> = results.into_iter().filter_map(Result::err).map(|refusal| refusal.code).collect();
    codes.sort_unstable();
    codes.dedup();
    codes
}

#[test]
fn plain_inserts_of_many_connections_are_numbered_without_gaps() {
    let db = protected("own_inserts");
    let results = race(sessions(32, || db.connect()), |n, session| {
        // Everybody's own guess at the next number, as applications compute it.
        let insert = "INSERT INTO doc_versions (doc, version, body)
                      SELECT 1, coalesce(max(version), 0) + 1, $1 FROM doc_versions WHERE doc = 1";
        (0..100).map(|k| session.try_rows(insert, &[&format!("{k} of {n}")])).collect::<Vec<_>>()
    });
    assert_eq!(codes(results.into_iter().flatten()), [""; 0]);
    is_contiguous(&mut db.connect(), 3200);
}

/// `SELECT … FOR UPDATE` of the current row and `version + 1`, unchanged, on a table with a default and two constraints.
#[test]
fn the_well_known_row_lock_function_no_longer_fails() {
    let db = Database::new("own_row_lock");
    let mut admin = db.connect();
    admin.run(
        "CREATE TABLE project_files (
             id uuid PRIMARY KEY DEFAULT gen_random_uuid(), project_id int, file_path text, content text,
             version int DEFAULT 1, is_current_version boolean DEFAULT true,
             CONSTRAINT one UNIQUE (project_id, file_path, version), CONSTRAINT two UNIQUE (project_id, file_path, version));
         CREATE UNIQUE INDEX one_current ON project_files (project_id, file_path) WHERE is_current_version;
         CREATE FUNCTION save(p_project int, p_path text, p_content text) RETURNS int LANGUAGE plpgsql AS $$
         DECLARE
             v_version int;
         BEGIN
             SELECT version INTO v_version FROM project_files
              WHERE project_id = p_project AND file_path = p_path AND is_current_version FOR UPDATE;
             IF FOUND THEN
                 UPDATE project_files SET is_current_version = false
                  WHERE project_id = p_project AND file_path = p_path AND is_current_version;
             END IF;
             INSERT INTO project_files (project_id, file_path, content, version, is_current_version)
             VALUES (p_project, p_path, p_content, coalesce(v_version, 0) + 1, true) RETURNING version INTO v_version;
             RETURN v_version;
         END $$;
         SELECT versioned.enable_versioning('project_files', '{project_id,file_path}', 'version', 'is_current_version')",
    );
    let results = race(sessions(32, || db.connect()), |n, session| {
        let save = "SELECT save(1, $1, $2)";
        (0..25).map(|k| session.try_value::<i32>(save, &[&format!("{}", k % 2), &format!("{n}")])).collect::<Vec<_>>()
    });
    let failed: Vec<Refusal> = results.into_iter().flatten().filter_map(Result::err).collect();
    assert_eq!(failed, []);
    let paths: Vec<(i64, i32, i64)> = admin
        .rows(
            "SELECT count(*), max(version), count(*) FILTER (WHERE is_current_version)
               FROM project_files GROUP BY file_path ORDER BY file_path",
            &[],
        )
        .iter()
        .map(|row| (row.get(0), row.get(1), row.get(2)))
        .collect();
    assert_eq!(paths, [(416, 416, 1), (384, 384, 1)]);
    assert_eq!(advisory_locks(&mut admin), 0);
}

/// Applications that lock the parent's row first wait for the others' INSERTs, and those for them, in one order.
#[test]
fn a_lock_on_the_parents_row_does_not_deadlock_with_plain_inserts() {
    let db = protected("own_parent_row");
    let results = race(sessions(16, || db.connect()), |n, session| {
        let mut once = || -> Result<(), Refusal> {
            if n % 2 == 0 {
                return session.try_run("INSERT INTO doc_versions (doc) VALUES (1)");
            }
            session.try_run(
                "BEGIN; SELECT FROM docs WHERE id = 1 FOR UPDATE; UPDATE docs SET title = 'changed' WHERE id = 1;
                 INSERT INTO doc_versions (doc) VALUES (1); COMMIT",
            )
        };
        (0..40).map(|_| once()).collect::<Vec<_>>()
    });
    let failed: Vec<Refusal> = results.into_iter().flatten().filter_map(Result::err).collect();
    assert_eq!(failed, []);
    is_contiguous(&mut db.connect(), 640);
}

#[test]
fn every_isolation_level_ends_in_a_number_or_40001() {
    let db = protected("own_levels");
    let results = race(sessions(12, || db.connect()), |n, session| {
        let level = ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"][n % 3];
        let mut lost = Vec::new();
        for k in 0..30 {
            let doc = 1 + k % 2;
            // Until it gets through, as clients do that know 40001.
            while let Err(refusal) = session.try_run(&format!(
                "BEGIN ISOLATION LEVEL {level}; SELECT FROM docs WHERE id = 1; INSERT INTO doc_versions (doc) VALUES ({doc});
                 COMMIT"
            )) {
                session.run("ROLLBACK");
                lost.push((n % 3, refusal.code));
            }
        }
        lost
    });
    let mut lost: Vec<(usize, String)> = results.into_iter().flatten().collect();
    lost.sort_unstable();
    lost.dedup();
    assert!(lost.iter().all(|(level, code)| *level > 0 && code == "40001"), "{lost:?}");
    is_contiguous(&mut db.connect(), 360);
}

/// 40,000 locks would exhaust the lock table for everybody.
#[test]
fn a_transaction_of_many_parents_holds_few_locks() {
    let db = protected("own_many_parents");
    let mut admin = db.connect();
    let mut many = db.connect();
    many.run("BEGIN; INSERT INTO doc_versions (doc) SELECT 1 + n % 1000 FROM generate_series(1, 2000) n");
    let held = advisory_locks(&mut admin);
    assert!((1..=202).contains(&held), "{held} locks");
    let (mut other, mut admin2) = (db.connect(), db.connect());
    let pid = other.pid;
    thread::scope(|scope| {
        let waiting = scope.spawn(|| other.try_run("INSERT INTO doc_versions (doc) VALUES (1000)"));
        until_waiting(&mut admin2, pid);
        many.run("COMMIT");
        assert_eq!(waiting.join().expect("no panic"), Ok(()));
    });
    is_contiguous(&mut admin, 2001);

    // Two at once: both want the table for themselves after 200 parents; one may have to be told to retry.
    let results = race(sessions(2, || db.connect()), |_, session| {
        session.run("SET deadlock_timeout = '50ms'");
        let mut retries = Vec::new();
        while let Err(refusal) =
            session.try_run("INSERT INTO doc_versions (doc) SELECT n FROM generate_series(1, 1000) n")
        {
            retries.push(refusal.code);
        }
        retries
    });
    assert!(results.concat().iter().all(|code| code == "40P01"), "{results:?}");
    is_contiguous(&mut admin, 4001);
}

/// What keeps the insert of `waits` waiting, and how it ends; nothing of it is left.
#[track_caller]
fn ends_while_waiting(test: &str, holds: &str, settings: &str, end: impl Fn(&mut Session, i32), code: &[&str]) {
    let db = protected(test);
    let (mut admin, mut holder, mut waits, mut next) = (db.connect(), db.connect(), db.connect(), db.connect());
    admin.run("INSERT INTO doc_versions (doc, body) VALUES (1, 'first'), (2, 'first')");
    holder.run("BEGIN");
    holder.run(holds);
    let pid = waits.pid;
    waits.run(settings);
    let before = advisory_locks(&mut admin);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| waits.try_run("INSERT INTO doc_versions (doc) VALUES (2), (1)"));
        until_waiting(&mut admin, pid);
        let began = Instant::now();
        end(&mut admin, pid);
        let refusal = waiting.join().expect("no panic").expect_err("it was ended");
        assert!(began.elapsed() < Duration::from_secs(10), "only the session's own timeout ended it");
        assert!(code.contains(&&*refusal.code), "{refusal:?}");
    });
    until("its locks are gone", || advisory_locks(&mut admin) == before);
    // The other parent is free.
    next.run("SET statement_timeout = '5s'; INSERT INTO doc_versions (doc) VALUES (2)");
    holder.run("ROLLBACK");
    next.run("INSERT INTO doc_versions (doc) VALUES (1)");
    is_contiguous(&mut admin, 4);
}

const HOLDS_PARENT: &str = "INSERT INTO doc_versions (doc) VALUES (1)";
const HOLDS_ROW: &str = "SELECT FROM doc_versions WHERE doc = 1 AND is_current FOR UPDATE";

fn cancel(admin: &mut Session, pid: i32) {
    assert!(admin.value::<bool>("SELECT pg_cancel_backend($1)", &[&pid]));
}

fn kill(admin: &mut Session, pid: i32) {
    assert!(admin.value::<bool>("SELECT pg_terminate_backend($1)", &[&pid]));
    until_gone(admin, pid);
}

#[test]
fn a_wait_for_the_parent_can_be_ended() {
    let nothing = |_: &mut Session, _| ();
    ends_while_waiting("own_cancel_1", HOLDS_PARENT, "", cancel, &["57014"]);
    ends_while_waiting("own_kill_1", HOLDS_PARENT, "", kill, &["57P01", ""]);
    ends_while_waiting("own_lock_timeout_1", HOLDS_PARENT, "SET lock_timeout = '300ms'", nothing, &["55P03"]);
    ends_while_waiting("own_timeout_1", HOLDS_PARENT, "SET statement_timeout = '300ms'", nothing, &["57014"]);
}

#[test]
fn a_wait_for_the_current_row_can_be_ended() {
    let nothing = |_: &mut Session, _| ();
    ends_while_waiting("own_cancel_2", HOLDS_ROW, "", cancel, &["57014"]);
    ends_while_waiting("own_kill_2", HOLDS_ROW, "", kill, &["57P01", ""]);
    ends_while_waiting("own_lock_timeout_2", HOLDS_ROW, "SET lock_timeout = '300ms'", nothing, &["55P03"]);
    ends_while_waiting("own_timeout_2", HOLDS_ROW, "SET statement_timeout = '300ms'", nothing, &["57014"]);
}

/// Two transactions that lock parents in opposite order: one is the victim, and holds nothing afterwards.
#[test]
fn the_victim_of_a_deadlock_holds_nothing() {
    let db = protected("own_deadlock");
    let (mut admin, mut one, mut two) = (db.connect(), db.connect(), db.connect());
    one.run("SET deadlock_timeout = '100s'; BEGIN; INSERT INTO doc_versions (doc) VALUES (1)");
    two.run("SET deadlock_timeout = '20ms'; BEGIN; INSERT INTO doc_versions (doc) VALUES (2); SAVEPOINT s");
    let pid = one.pid;
    thread::scope(|scope| {
        let waiting = scope.spawn(|| one.try_run("INSERT INTO doc_versions (doc) VALUES (2)"));
        until_waiting(&mut admin, pid);
        refused(two.try_run("INSERT INTO doc_versions (doc) VALUES (1)"), "40P01");
        // Up to the savepoint it goes on as if nothing had been.
        two.run("ROLLBACK TO s; INSERT INTO doc_versions (doc) VALUES (3); COMMIT");
        assert_eq!(waiting.join().expect("no panic"), Ok(()));
    });
    one.run("COMMIT");
    is_contiguous(&mut admin, 4);
}

/// Errors of the trigger, of another trigger, of a constraint: a session that goes on holds no lock.
#[test]
fn errors_leave_no_lock() {
    let db = protected("own_errors");
    let (mut admin, mut session) = (db.connect(), db.connect());
    admin.run(
        "ALTER TABLE doc_versions ADD CHECK (body <> 'wrong');
         SELECT versioned.enable_versioning('doc_versions', '{doc}', 'version', 'is_current', 'previous', 'error')",
    );
    for (insert, code) in [
        ("INSERT INTO doc_versions (doc, body) VALUES (1, 'wrong')", "23514"),
        ("INSERT INTO doc_versions (doc, version) VALUES (1, 9)", "PT409"),
        ("INSERT INTO doc_versions (doc) VALUES (1), (2), (1001)", "23503"),
        ("INSERT INTO doc_versions (doc) SELECT 1 / (3 - n) FROM generate_series(1, 3) n", "22012"),
    ] {
        refused(session.try_run(insert), code);
        // The error is told before the transaction is rolled back.
        until("its locks are gone", || advisory_locks(&mut admin) == 0);
    }
    session.run("INSERT INTO doc_versions (doc) VALUES (1)");
    is_contiguous(&mut admin, 1);
}
