//! Migrations that try to outlive the call, or to reach what is not theirs.

use std::path::Path;
use std::time::{Duration, Instant};

use super::numbered;
use super::traces::{LIVE, changes, everything, session};
use crate::support::{Database, refused};

/// Texts, each a migration of its own, that must change nothing, whatever they answer.
const TEXTS: &[&str] = &[
    "CREATE TABLE a (); COMMIT; CREATE TABLE b (); ROLLBACK; BEGIN; SAVEPOINT s; CREATE TABLE c (); RELEASE s; END; ABORT",
    "DO $$ BEGIN CREATE TABLE d (); COMMIT; END $$",
    "DO $$ BEGIN CREATE TABLE d (); ROLLBACK; END $$",
    "CREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN CREATE TABLE e (); COMMIT; END $$; CALL p()",
    "CREATE PROCEDURE q() LANGUAGE plpgsql AS $$ BEGIN COMMIT; END $$; DO $$ BEGIN CALL q(); END $$",
    "PREPARE TRANSACTION 'x'; COMMIT PREPARED 'x'; ROLLBACK PREPARED 'x'; COMMIT AND CHAIN",
    "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; SET TRANSACTION READ ONLY; SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
    "DROP EXTENSION pg_versioned CASCADE",
    "DO $$ BEGIN DROP EXTENSION pg_versioned CASCADE; END $$",
    "ALTER EXTENSION pg_versioned DROP FUNCTION versioned.generate_ulid(); ALTER EXTENSION pg_versioned UPDATE",
    "DROP SCHEMA versioned CASCADE; DROP SCHEMA versioned_internal CASCADE",
    "DROP SCHEMA public CASCADE; DROP SCHEMA auth CASCADE; CREATE SCHEMA public; CREATE TABLE t ()",
    "ALTER SCHEMA public RENAME TO other; CREATE SCHEMA public; ALTER SCHEMA public OWNER TO anon",
    "DROP OWNED BY CURRENT_USER CASCADE",
    "REASSIGN OWNED BY CURRENT_USER TO anon",
    "DO $$ DECLARE s text; BEGIN
         SELECT relnamespace::regnamespace INTO s FROM pg_class WHERE relname = 'account' AND relkind = 'r';
         EXECUTE 'UPDATE ' || s || '.account SET name = ''changed'''; END $$",
    "DO $$ DECLARE s text; BEGIN
         SELECT relnamespace::regnamespace INTO s FROM pg_class WHERE relname = 'account' AND relkind = 'r';
         EXECUTE 'DROP SCHEMA ' || s || ' CASCADE'; END $$",
    "DO $$ DECLARE s text; BEGIN
         SELECT relnamespace::regnamespace INTO s FROM pg_class WHERE relname = 'ticket' AND relkind = 'S';
         EXECUTE 'ALTER SCHEMA ' || s || ' RENAME TO caught'; EXECUTE 'GRANT ALL ON SCHEMA caught TO anon'; END $$",
    "SET ROLE anon; CREATE TABLE f ()",
    "SET SESSION AUTHORIZATION anon; RESET ROLE; CREATE TABLE f ()",
    "CREATE ROLE clients_hostile SUPERUSER LOGIN; GRANT clients_hostile TO anon; ALTER ROLE anon SUPERUSER; ALTER ROLE anon SET work_mem = 1",
    "ALTER DATABASE postgres SET work_mem = '1MB'; ALTER DATABASE postgres OWNER TO anon",
    "ALTER SYSTEM SET work_mem = '1MB'; ALTER SYSTEM RESET ALL",
    "COPY (SELECT 1) TO PROGRAM 'touch /tmp/pg_versioned_hostile'; COPY auth.users FROM PROGRAM 'touch /tmp/pg_versioned_hostile; echo 7'",
    "COPY (SELECT 1) TO '/tmp/pg_versioned_hostile'",
    "COPY (SELECT 1) TO STDOUT; COPY auth.users FROM STDIN",
    "LOCK TABLE auth.users, pg_class, pg_namespace IN ACCESS EXCLUSIVE MODE",
    "DO $$ BEGIN LOCK TABLE pg_class IN ACCESS EXCLUSIVE MODE; END $$",
    "LISTEN x; NOTIFY x, 'heard'; SELECT pg_notify('x', 'heard too'); UNLISTEN *",
    "DISCARD ALL; DISCARD TEMP; DISCARD PLANS; DISCARD SEQUENCES; DEALLOCATE ALL; RESET ALL",
    "SELECT versioned.replay_migrations('[{\"name\": \"1\", \"sql\": \"CREATE TABLE inner_one ()\"}]')",
    "SELECT pg_advisory_lock(4711), pg_advisory_lock_shared(4712), pg_advisory_xact_lock(4713)",
    "CREATE TEMP TABLE account (a integer); CREATE TEMP VIEW v AS SELECT 1; CREATE TABLE pg_temp.more ()",
    "DECLARE c CURSOR WITH HOLD FOR SELECT 1; DECLARE d CURSOR FOR SELECT 1; PREPARE s AS SELECT 1",
    "SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 1; SET transaction_timeout = 1",
    "SET session_replication_role = replica; SET row_security = off; SET search_path = auth; SET client_encoding = 'LATIN1'",
    "SET LOCAL work_mem = '1MB'; SELECT set_config('search_path', 'auth', false), set_config('my.own', 'x', false)",
    "CREATE FUNCTION e() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''none may''; END';
     CREATE EVENT TRIGGER none_may ON ddl_command_start EXECUTE FUNCTION e()",
    "ALTER EVENT TRIGGER live DISABLE; DROP EVENT TRIGGER live",
    "CREATE TABLE self (id integer REFERENCES auth.users); INSERT INTO self VALUES (1)",
    "CREATE PUBLICATION everything FOR ALL TABLES; CREATE SUBSCRIPTION s CONNECTION 'host=/nowhere' PUBLICATION p",
    "CREATE DATABASE hostile; DROP DATABASE postgres; CREATE TABLESPACE t LOCATION '/tmp'; VACUUM FULL; CLUSTER; CHECKPOINT",
    "REINDEX SCHEMA auth; REINDEX TABLE auth.users; ANALYZE auth.users; ANALYZE",
    "SELECT lo_create(4711); SELECT lo_from_bytea(0, 'x')",
    "COMMENT ON SCHEMA auth IS 'x'; COMMENT ON DATABASE postgres IS 'x'; COMMENT ON ROLE anon IS 'x'",
    "IMPORT FOREIGN SCHEMA x FROM SERVER y INTO public; LOAD 'plpgsql'; SECURITY LABEL ON TABLE auth.users IS 'x'",
    "GRANT ALL ON ALL TABLES IN SCHEMA auth TO anon; ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO anon; GRANT ALL ON SCHEMA auth TO anon",
    "CREATE FUNCTION auth.more() RETURNS integer LANGUAGE sql RETURN 1; CREATE TABLE auth.more (); DROP FUNCTION auth.uid()",
    "DELETE FROM pg_proc; UPDATE pg_class SET relname = relname || 'x'",
    "SELECT pg_switch_wal(); SELECT currval('auth.counter')",
];

fn prepared(test: &str) -> Database {
    let db = Database::new(test);
    let mut admin = db.connect();
    admin.run(LIVE);
    admin.run(
        "CREATE SCHEMA auth; CREATE TABLE auth.users (id integer PRIMARY KEY); INSERT INTO auth.users VALUES (1);
         CREATE SEQUENCE auth.counter; CREATE FUNCTION auth.uid() RETURNS integer LANGUAGE sql RETURN 1;
         CREATE FUNCTION auth.refuse() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN NULL; END';
         CREATE EVENT TRIGGER live ON ddl_command_end EXECUTE FUNCTION auth.refuse()",
    );
    db
}

#[test]
fn hostile_migrations_change_nothing() {
    let db = prepared("hostile");
    let (mut admin, mut caller) = (db.connect(), db.connect());
    let file = Path::new("/tmp/pg_versioned_hostile");
    assert!(!file.exists(), "{file:?} is in the way");
    caller.run("SELECT versioned.generate_ulid(); DO $$ BEGIN END $$; LISTEN x");
    let (before, own) = (everything(&mut admin), session(&mut caller));
    for text in TEXTS {
        // Alone, with another one after it, and where it may be the first that fails.
        for stop in [true, false] {
            if let Err(refusal) = caller.try_replay(&numbered(&[text, "CREATE TABLE after_it ()"]), stop) {
                // An error for the whole call must be none of Postgres' inner ones.
                assert!(!refusal.code.starts_with("XX"), "{text}: {refusal:?}");
            }
        }
        let changed = [changes(&before, &everything(&mut admin)), changes(&own, &session(&mut caller))].concat();
        assert_eq!(changed, [] as [String; 0], "{text}");
        assert!(!file.exists(), "{text}");
    }
    caller.replay(&numbered(TEXTS));
    assert_eq!(changes(&before, &everything(&mut admin)), [] as [String; 0]);
    let heard: i64 = caller.value("SELECT count(*) FROM pg_listening_channels()", &[]);
    assert_eq!(heard, 1);
}

/// The same as the owner of the schema, who is no superuser and gets no more rights than that.
#[test]
fn a_replay_gives_no_right_that_its_caller_lacks() {
    let db = prepared("hostile_rights");
    let mut admin = db.connect();
    let owner = db.role("owner", "LOGIN");
    admin.run(&format!(
        "ALTER SCHEMA public OWNER TO {owner}; GRANT CREATE ON DATABASE {} TO {owner}; GRANT USAGE ON SCHEMA versioned TO {owner};
         GRANT EXECUTE ON FUNCTION versioned.replay_migrations TO {owner}",
        db.name
    ));
    let before = everything(&mut admin);
    let mut caller = db.login(&owner);
    for text in [
        "SELECT * FROM auth.users",
        "SELECT * FROM versioned.projects",
        "RESET ROLE; SELECT * FROM auth.users",
        "SET SESSION AUTHORIZATION postgres",
        "SET ROLE postgres",
        "CREATE ROLE clients_hostile SUPERUSER",
        "ALTER ROLE CURRENT_USER SUPERUSER",
        "COPY (SELECT 1) TO PROGRAM 'touch /tmp/pg_versioned_hostile'; SELECT pg_read_file('/etc/passwd')",
        "CREATE EXTENSION file_fdw; CREATE EVENT TRIGGER x ON ddl_command_end EXECUTE FUNCTION auth.refuse()",
        "SET session_replication_role = replica",
        "CREATE FUNCTION f() RETURNS internal LANGUAGE c AS 'x'",
        "UPDATE pg_namespace SET nspowner = nspowner",
        "DROP SCHEMA auth CASCADE",
        "DO $$ BEGIN EXECUTE 'SELECT * FROM ' || (SELECT relnamespace::regnamespace FROM pg_class WHERE relname = 'account' AND relkind = 'r') || '.account'; END $$",
    ] {
        let outcome = caller.replay_one(text);
        assert!(!outcome.ok || outcome.text().contains("not checked"), "{text}: {outcome:#?}");
    }
    caller.replay_well(&numbered(&["CREATE TABLE account (id integer)", "INSERT INTO account VALUES (1)"]));
    assert_eq!(changes(&before, &everything(&mut admin)), [] as [String; 0]);

    // What the call needs is asked for first, by name.
    admin.run(&format!("REVOKE CREATE ON DATABASE {} FROM {owner}", db.name));
    let refusal = refused(caller.try_replay(&numbered(&["SELECT 1"]), true), "42501");
    assert!(refusal.message.contains(&db.name), "{refusal:?}");
    admin.run(&format!("GRANT CREATE ON DATABASE {} TO {owner}; ALTER SCHEMA public OWNER TO postgres", db.name));
    let refusal = refused(caller.try_replay(&numbered(&["SELECT 1"]), true), "42501");
    assert!(refusal.message.contains("public"), "{refusal:?}");
}

/// More than the lock table could hold is refused, long before others are without locks.
#[test]
fn too_many_locks_end_the_call_and_nobody_else() {
    let db = Database::new("too_many_locks");
    let (mut admin, mut caller) = (db.connect(), db.connect());
    let before = everything(&mut admin);
    for text in [
        "DO $$ BEGIN FOR i IN 1..100000 LOOP EXECUTE 'CREATE TABLE t' || i || ' (id integer PRIMARY KEY)'; END LOOP; END $$".to_owned(),
        (0..20_000).map(|n| format!("CREATE TABLE t{n} (id integer PRIMARY KEY);\n")).collect(),
    ] {
        let refusal = match caller.try_replay(&numbered(&[&text]), false) {
            Ok(outcomes) => panic!("{}: {:?}", &text[..60], outcomes.iter().map(super::Outcome::text).collect::<Vec<_>>()),
            Err(refusal) => refusal,
        };
        assert_eq!(refusal.code, "53400", "{refusal:?}");
        let words = format!("{refusal:?}");
        assert!(words.contains("max_locks_per_transaction"), "{words}");
        assert_eq!(changes(&before, &everything(&mut admin)), [] as [String; 0]);
    }
}

#[test]
fn large_migrations_are_run_in_bounded_memory_and_time() {
    let db = Database::new("large_migrations");
    let mut caller = db.connect();
    let start = Instant::now();
    let text = format!(
        "CREATE TABLE t (a text); INSERT INTO t VALUES ('{}'); SELECT 1 / (length(a) = 50000000)::int FROM t",
        "x".repeat(50_000_000)
    );
    caller.replay_well(&numbered(&[&text]));
    let many = format!("CREATE TABLE t (a integer);\n{}", "INSERT INTO t VALUES (1);\n".repeat(50_000));
    caller.replay_well(&numbered(&[&many, "SELECT 1 / (count(*) = 50000)::int FROM t"]));
    assert!(start.elapsed() < Duration::from_secs(40), "{:?}", start.elapsed());
    // A failure in the last line is found there.
    let outcome = caller.replay_one(&format!("{many}  INSERT INTO nothing VALUES (1)"));
    assert_eq!((outcome.line, outcome.col), (Some(50_002), Some(15)), "{:?} {:?}", outcome.line, outcome.col);
}

/// Names that are none as they stand.
#[test]
fn hostile_names_work_everywhere() {
    let db = Database::new("hostile_migrations");
    let mut admin = db.connect();
    admin.run(
        r#"CREATE SCHEMA "select"; CREATE SCHEMA "a ""b"".c é"; CREATE TABLE "select"."table" ("column" integer)"#,
    );
    let before = everything(&mut admin);
    let mut caller = db.connect();
    let chain: Vec<_> = [
        ("'; DROP TABLE x; --", r#"CREATE TABLE "a ""b"".c é"."ta""ble" ("col'umn" integer, "$1" text, ":name" text)"#),
        (
            "é😀 \"quoted\"",
            r#"CREATE TABLE "select"."table" ("column" integer); CREATE TYPE "select"."user" AS ENUM ('it''s', '"')"#,
        ),
        ("%s {} \\n", r#"ALTER TABLE "select"."table" ADD "column" integer"#),
        ("again", r#"CREATE TABLE "a ""b"".c é"."ta""ble" ()"#),
        ("x", r#"SELECT "no such" FROM "select"."table""#),
    ]
    .map(|(name, text)| (name.to_owned(), text.to_owned()))
    .to_vec();
    let outcomes = caller.try_replay_in(&chain, false, &["select", "a \"b\".c é"]).expect("rows");
    let codes: Vec<_> = outcomes.iter().map(|outcome| outcome.sqlstate.as_deref()).collect();
    assert_eq!(codes, [None, None, Some("42701"), Some("42P07"), Some("42703")], "{outcomes:#?}");
    for (n, made_by) in [(2, "é😀 \"quoted\""), (3, "'; DROP TABLE x; --")] {
        let explanation = outcomes[n].explanation.as_deref().unwrap_or_default();
        assert!(explanation.contains(made_by), "{explanation}");
    }
    assert_eq!(changes(&before, &everything(&mut admin)), [] as [String; 0]);
}
