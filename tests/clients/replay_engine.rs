//! What a replay does to Postgres' own state of the session, below what migrations can see.

use crate::support::{Cluster, Database, Session, refused, until};

/// Replays one migration on the schema `app` and returns `ok` and the message.
fn replay(session: &mut Session, sql: &str) -> (bool, Option<String>) {
    let migrations = serde_json::json!([{ "name": "1", "sql": sql }]).to_string();
    let row =
        session.row("SELECT ok, message FROM versioned.replay_migrations($1::text::jsonb, '{app}')", &[&migrations]);
    (row.get(0), row.get(1))
}

fn database(test: &str) -> (Database, Session) {
    let db = Database::new(test);
    let mut session = db.connect();
    session.run("CREATE SCHEMA app; CREATE SCHEMA other");
    (db, session)
}

/// What the session knows of a table is not what it was while publications of all tables did not count.
#[test]
fn a_table_that_is_published_remains_so() {
    let (_db, mut session) = database("engine_published");
    session.run(
        "CREATE TABLE other.t (a int); INSERT INTO other.t VALUES (1); CREATE PUBLICATION everything FOR ALL TABLES",
    );
    let mut update = || session.try_run("UPDATE other.t SET a = 2").expect_err("it has no replica identity").code;
    assert_eq!(update(), "55000");
    // Undone, because the table is not the migration's own.
    replay(&mut session, "DO $$ BEGIN UPDATE other.t SET a = 2; END $$");
    assert_eq!(session.try_run("UPDATE other.t SET a = 2").expect_err("it is published").code, "55000");
    // In the replay, they do not count, whatever was known before.
    assert!(replay(&mut session, "CREATE TABLE app.u (a int); INSERT INTO app.u VALUES (1); UPDATE app.u SET a = 2").0);
}

/// What the parse tree alone makes Postgres refuse is a failure of the migration, not of the call.
#[test]
fn statements_that_cannot_be_prepared_fail_alone() {
    let (_db, mut session) = database("engine_unprepared");
    for sql in ["DROP TABLE a.b.c.d", "COMMENT ON TABLE a.b.c.d IS NULL", "COMMENT ON COLUMN a.b.c.d.e IS NULL"] {
        let (ok, message) = replay(&mut session, sql);
        assert!(!ok && message.unwrap().contains("too many dotted names"), "{sql}");
    }
    let (ok, message) = replay(&mut session, &format!("SELECT {}1", "1 + ".repeat(100_000)));
    assert!(!ok && message.unwrap().contains("stack depth limit exceeded"));
}

/// The table of large objects stays open until the transaction ends, so its lock must, too.
#[test]
fn large_objects_stay_locked_while_they_are_open() {
    let (_db, mut session) = database("engine_large_objects");
    session.run("BEGIN");
    assert!(replay(&mut session, "SELECT lo_from_bytea(0, 'abc')").0);
    let oid: u32 = session.value("SELECT lo_from_bytea(0, 'xyz')", &[]);
    let locks: i64 = session.value(
        "SELECT count(*) FROM pg_locks
          WHERE pid = pg_backend_pid() AND relation = 'pg_largeobject'::regclass AND mode = 'RowExclusiveLock'",
        &[],
    );
    assert_eq!(locks, 1);
    session.run("COMMIT");
    assert_eq!(session.value::<i64>("SELECT count(*) FROM pg_largeobject_metadata", &[]), 1);
    session.run(&format!("SELECT lo_unlink({oid})"));
}

/// A cursor has locks of its own, which are not given back before it is closed.
#[test]
fn open_cursors_keep_their_locks_silently() {
    let (_db, mut session) = database("engine_cursors");
    session.notices();
    let sql = "CREATE TABLE app.t AS SELECT 1 AS a; CREATE TABLE app.u ();
        CREATE FUNCTION app.f() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT count(*) FROM app.u); END $$;
        DECLARE c CURSOR FOR SELECT app.f() FROM app.t; FETCH c; CREATE TABLE app.v (); CLOSE c; DROP TABLE app.t";
    assert_eq!(replay(&mut session, sql), (true, None));
    assert_eq!(session.notices(), [""; 0]);
}

/// A fixed snapshot may show the schema as it was.
#[test]
fn schemas_that_have_changed_since_the_snapshot_are_refused() {
    let (db, mut session) = database("engine_stale");
    let mut admin = db.connect();
    for (change, back) in [
        ("ALTER SCHEMA app RENAME TO app2", "ALTER SCHEMA app2 RENAME TO app"),
        ("DROP SCHEMA app", "CREATE SCHEMA app"),
    ] {
        session.run("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_namespace");
        admin.run(change);
        let refused = session.try_run("SELECT * FROM versioned.replay_migrations('[]', '{app}')").unwrap_err();
        assert_eq!(refused.code, "40001", "{change}");
        session.run("ROLLBACK");
        admin.run(back);
    }
}

/// It ends the transaction when it would have ended without a replay (Postgres 17 and later).
#[test]
fn transaction_timeout_counts() {
    let (db, mut session) = database("engine_timeout");
    if session.value::<i32>("SELECT current_setting('server_version_num')::int / 10000", &[]) < 17 {
        return;
    }
    session.run("SET transaction_timeout = '500ms'");
    let ended = session.try_run(
        r#"SELECT * FROM versioned.replay_migrations('[{"name": "1", "sql": "SET transaction_timeout = 0"},
                                                       {"name": "2", "sql": "SELECT pg_sleep(20)"}]', '{app}')"#,
    );
    assert_eq!(ended.unwrap_err().code, "25P04");
    let mut session = db.connect();
    session.run("SET transaction_timeout = '500ms'; BEGIN");
    assert_eq!(replay(&mut session, "SELECT pg_sleep(0.3); SET transaction_timeout = 0"), (true, None));
    assert_eq!(session.try_run("SELECT pg_sleep(0.4)").unwrap_err().code, "25P04");
}

/// Standbys hold what all replays lock together, and shut down if that is too much.
#[test]
fn replays_share_the_locks_of_the_server() {
    let cluster = Cluster::new("engine_shares", &["-c", "max_connections=20", "-c", "max_locks_per_transaction=10"]);
    let mut session = cluster.connect("postgres");
    session.run(
        "CREATE SCHEMA versioned; CREATE EXTENSION pg_versioned SCHEMA versioned; CREATE SCHEMA app; CREATE SCHEMA b",
    );
    const REPLAY: &str = "SELECT ok FROM versioned.replay_migrations($1::text::jsonb, ARRAY[$2::text])";
    let tables = |count: usize, more: &str| {
        let sql: String = (0..count).map(|n| format!("CREATE TABLE t{n} (); ")).collect();
        serde_json::json!([{ "name": "1", "sql": sql + more }]).to_string()
    };
    let shares = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'";
    // As many sessions as there may be, but for a few of Postgres' own.
    let size: i64 = session.value(
        "SELECT sum(setting::int) FROM pg_settings
          WHERE name IN ('max_connections', 'max_worker_processes', 'max_wal_senders', 'max_prepared_transactions')
             OR name = (SELECT max(name) FROM pg_settings WHERE name IN ('autovacuum_max_workers', 'autovacuum_worker_slots'))",
        &[],
    );
    let most = size as usize * 10 / 2;
    // Each alone may do this, one after the other, even in one transaction, and both at once may not.
    let (two_thirds, app, b) = (most * 2 / 3, "app", "b");
    session.run("BEGIN");
    for _ in 0..2 {
        assert!(session.value::<bool>(REPLAY, &[&tables(two_thirds, ""), &app]));
        assert_eq!(session.value::<i64>(shares, &[]), 0);
    }
    session.run("COMMIT");
    let mut other = cluster.connect("postgres");
    let pid = other.pid;
    std::thread::scope(|scope| {
        let long = scope.spawn(|| other.value::<bool>(REPLAY, &[&tables(two_thirds, "SELECT pg_sleep(3)"), &b]));
        until("the other one sleeps", || {
            session.value::<Option<bool>>("SELECT wait_event = 'PgSleep' FROM pg_stat_activity WHERE pid = $1", &[&pid])
                == Some(true)
        });
        assert!(session.value::<bool>(REPLAY, &[&tables(3, ""), &app]));
        refused(session.try_value::<bool>(REPLAY, &[&tables(two_thirds, ""), &app]), "53400");
        assert!(long.join().expect("it ends"));
    });
    assert!(session.value::<bool>(REPLAY, &[&tables(two_thirds, ""), &app]));
    refused(session.try_value::<bool>(REPLAY, &[&tables(most + 200, ""), &app]), "53400");
    assert_eq!(session.value::<i64>(shares, &[]), 0);
}
