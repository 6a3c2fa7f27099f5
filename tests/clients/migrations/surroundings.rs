//! Where a call may be made from, and what is in the database and the session beside it.

use super::traces::{LIVE, changes, everything};
use super::{list, numbered};
use crate::support::{Cluster, Database, refused, until};

const REPLAY: &str = "SELECT count(*) FILTER (WHERE ok) FROM versioned.replay_migrations(
    '[{\"name\": \"1\", \"sql\": \"CREATE TABLE account ()\"}, {\"name\": \"2\", \"sql\": \"SELECT * FROM account\"}]')";

#[test]
fn calls_work_in_every_isolation_level_and_from_every_place() {
    let db = Database::new("surroundings");
    let mut admin = db.connect();
    admin.run(LIVE);
    let mut caller = db.connect();
    for level in ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"] {
        caller.run(&format!("BEGIN ISOLATION LEVEL {level}; SELECT 1"));
        assert_eq!(caller.value::<i64>(REPLAY, &[]), 2, "{level}");
        assert_eq!(caller.value::<i64>("SELECT count(*) FROM account", &[]), 2, "{level}");
        // What comes after it in the transaction counts.
        caller.run("INSERT INTO account (name) VALUES ('after'); SAVEPOINT s; DELETE FROM account WHERE name = 'after'; ROLLBACK TO s; COMMIT");
        assert_eq!(
            admin.value::<i64>("DELETE FROM account WHERE name = 'after' RETURNING 1::bigint", &[]),
            1,
            "{level}"
        );
    }
    // In a subtransaction, which is rolled back or released.
    caller.run("BEGIN; SAVEPOINT s");
    assert_eq!(caller.value::<i64>(REPLAY, &[]), 2);
    caller.run("ROLLBACK TO s; SAVEPOINT t");
    assert_eq!(caller.value::<i64>(REPLAY, &[]), 2);
    caller.run("RELEASE t; CREATE TABLE kept (); COMMIT; DROP TABLE kept");
    // In PL/pgSQL, with an exception block around it; as a function with the rights of its owner.
    caller.run(&format!(
        "CREATE FUNCTION replayed() RETURNS bigint LANGUAGE plpgsql AS $f$
         BEGIN RETURN ({REPLAY}); EXCEPTION WHEN others THEN RAISE 'caught %', SQLERRM; END $f$;
         CREATE FUNCTION replayed_by_owner() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS $f$ {REPLAY} $f$"
    ));
    assert_eq!(caller.value::<i64>("SELECT replayed()", &[]), 2);
    assert_eq!(caller.value::<i64>("SELECT replayed_by_owner()", &[]), 2);
    assert_eq!(caller.value::<i64>("SELECT count(*) FROM account, LATERAL (SELECT replayed()) r", &[]), 2);
    // A cursor on the rows.
    caller.run("BEGIN; DECLARE c CURSOR FOR SELECT * FROM versioned.replay_migrations('[{\"name\": \"1\", \"sql\": \"CREATE TABLE account ()\"}]'); FETCH ALL FROM c; COMMIT");
    // After something was written, values of enums could not be told apart.
    for written in [
        "INSERT INTO account (name) VALUES ('x')",
        "CREATE TABLE x ()",
        "CREATE TEMP TABLE x ()",
        "SELECT * FROM account FOR UPDATE",
    ] {
        caller.run(&format!("BEGIN; {written}"));
        refused(caller.try_rows(REPLAY, &[]), "25001");
        caller.run("ROLLBACK");
    }
    caller.run("BEGIN READ ONLY");
    refused(caller.try_rows(REPLAY, &[]), "25006");
    caller.run("ROLLBACK");
}

#[test]
fn a_standby_refuses() {
    let cluster = Cluster::new("replayed", &[]);
    let mut admin = cluster.connect("postgres");
    admin.run("CREATE SCHEMA versioned; CREATE EXTENSION pg_versioned SCHEMA versioned");
    let replica = Cluster::new("standby-replayed", &["--standby-of", &cluster.name]);
    let mut standby = replica.connect("postgres");
    refused(standby.try_rows(REPLAY, &[]), "25006");
    // It goes on reading while the primary replays, and has nothing of it.
    admin.run(LIVE);
    admin.replay_well(&numbered(&[
        "CREATE TABLE account ()",
        "DROP SCHEMA public CASCADE; CREATE SCHEMA public; CREATE TABLE x ()",
    ]));
    let written: String = admin.value("SELECT pg_current_wal_insert_lsn()::text", &[]);
    until("the standby catches up", || {
        standby.value("SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn", &[&written])
    });
    assert_eq!(standby.value::<i64>("SELECT count(*) FROM account", &[]), 2);
}

#[test]
fn what_the_session_had_is_still_there() {
    let db = Database::new("session_kept");
    let mut caller = db.connect();
    caller.run(LIVE);
    caller.run(
        "SET work_mem = '7MB'; SET my.own = 'mine'; SET search_path = public, versioned; SET ROLE NONE;
         PREPARE mine AS SELECT 42; DECLARE mine CURSOR WITH HOLD FOR SELECT generate_series(1, 3); FETCH mine;
         SELECT pg_advisory_lock(9), pg_advisory_lock_shared(10);
         CREATE TEMP TABLE mine (a integer); INSERT INTO mine VALUES (1); LISTEN mine",
    );
    caller.replay(&numbered(&[
        "SET work_mem = '1MB'; SET my.own = 'theirs'; RESET ALL",
        "SELECT pg_advisory_unlock_all()",
        "SELECT pg_advisory_unlock(9), pg_advisory_unlock_shared(10)",
        "CLOSE mine",
        "CLOSE ALL",
        "DEALLOCATE mine",
        "DEALLOCATE ALL",
        "DROP TABLE mine",
        "CREATE TEMP TABLE mine (b text)",
        "INSERT INTO mine VALUES (2)",
        "UNLISTEN *",
        "DISCARD ALL",
    ]));
    let settings: Vec<String> = ["work_mem", "my.own", "search_path"]
        .map(|name| caller.client.query_one("SELECT current_setting($1)", &[&name]).expect("set").get(0))
        .to_vec();
    assert_eq!(settings, ["7MB", "mine", "public, versioned"]);
    let held: i64 = caller
        .client
        .query_one("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()", &[])
        .expect("a row")
        .get(0);
    assert_eq!(held, 2, "advisory locks");
    caller.run("EXECUTE mine; INSERT INTO mine VALUES (3)");
    let fetched = caller.client.simple_query("FETCH mine").expect("the cursor is there");
    assert!(
        fetched
            .iter()
            .any(|message| matches!(message, postgres::SimpleQueryMessage::Row(row) if row.get(0) == Some("2")))
    );
    let unlocked: Vec<bool> = ["pg_advisory_unlock(9)", "pg_advisory_unlock_shared(10)"]
        .map(|call| caller.client.query_one(&format!("SELECT {call}"), &[]).expect("a row").get(0))
        .to_vec();
    assert_eq!(unlocked, [true; 2]);
}

/// Enums: values that were added can be used at once, in the same migration, in a later one, and in code.
#[test]
fn values_added_to_enums_can_be_used() {
    let db = Database::new("enum_values");
    let mut caller = db.connect();
    caller.run(LIVE);
    let chain = numbered(&[
        "CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TABLE account (mood mood); INSERT INTO account VALUES ('sad')",
        "ALTER TYPE mood ADD VALUE 'happy'; UPDATE account SET mood = 'happy'; ALTER TABLE account ALTER mood SET DEFAULT 'happy'",
        "ALTER TYPE public.mood ADD VALUE IF NOT EXISTS 'happy' AFTER 'ok'; ALTER TYPE mood ADD VALUE 'angry' BEFORE 'sad'",
        "CREATE VIEW angry AS SELECT * FROM account WHERE mood = 'angry'; CREATE INDEX ON account (mood) WHERE mood = 'angry'",
        "DO $$ BEGIN INSERT INTO account VALUES ('angry'), (DEFAULT); END $$; ALTER TABLE account ADD CHECK (mood <> 'sad')",
        "ALTER TYPE mood RENAME VALUE 'angry' TO 'mad'; INSERT INTO account SELECT 'mad' FROM angry",
        "CREATE TABLE parted (mood mood) PARTITION BY LIST (mood); CREATE TABLE part PARTITION OF parted FOR VALUES IN ('mad')",
        "DO $$ BEGIN ALTER TYPE mood ADD VALUE 'calm'; EXCEPTION WHEN duplicate_object THEN NULL; END $$",
        "INSERT INTO account VALUES ('calm'); DO $$ BEGIN ASSERT (SELECT array_agg(mood ORDER BY mood)::text FROM account) = '{mad,mad,happy,happy,calm}'; END $$",
    ]);
    caller.replay_well(&chain);
    // The live type knows none of them, and a transaction that goes on is still told so.
    caller.run("BEGIN");
    caller.replay_well(&chain);
    refused(caller.try_rows("SELECT 'happy'::mood::text", &[]), "22P02");
    caller.run("ROLLBACK; BEGIN");
    caller.replay_well(&chain);
    caller.run("CREATE TYPE other AS ENUM ('a')");
    caller.run("COMMIT; BEGIN; ALTER TYPE mood ADD VALUE 'new'");
    refused(caller.try_rows("SELECT 'new'::mood::text", &[]), "55P04");
    caller.run("ROLLBACK; DROP TYPE other");
}

/// What migrations ask the catalogue before they make something, without naming a schema.
#[test]
fn look_ups_in_the_catalogue_do_not_find_what_is_live() {
    let db = Database::new("catalogue_look_ups");
    let mut caller = db.connect();
    let chain = numbered(&[
        "DO $$ BEGIN
             IF NOT EXISTS (SELECT FROM pg_type WHERE typname = 'mood') THEN CREATE TYPE mood AS ENUM ('ok'); END IF;
         END $$; CREATE TABLE a (id integer, mood mood)",
        "DO $$ BEGIN
             IF NOT EXISTS (SELECT FROM pg_constraint WHERE conname = 'a_positive') THEN
                 ALTER TABLE a ADD CONSTRAINT a_positive CHECK (id > 0);
             END IF;
             IF NOT EXISTS (SELECT FROM information_schema.columns WHERE table_name = 'a' AND column_name = 'b') THEN
                 ALTER TABLE a ADD b text;
             END IF;
             IF NOT EXISTS (SELECT FROM pg_indexes WHERE indexname = 'a_b') THEN CREATE INDEX a_b ON a (b); END IF;
         END $$",
        "ALTER TABLE a DROP CONSTRAINT a_positive; ALTER TABLE a RENAME b TO c; DROP INDEX a_b",
        "DO $$ DECLARE r record; BEGIN
             FOR r IN SELECT tablename FROM pg_tables WHERE tablename = 'a' LOOP EXECUTE format('ALTER TABLE %I ADD d text', r.tablename); END LOOP;
         END $$",
    ]);
    caller.replay_well(&chain);
    for (_, text) in &chain {
        caller.run(text);
    }
    caller.replay_well(&chain);
    assert_eq!(caller.drift(&chain), []);
}

#[test]
fn event_triggers_of_the_database_do_not_fire_and_those_of_migrations_do() {
    let db = Database::new("event_triggers");
    let mut admin = db.connect();
    admin.run(
        "CREATE SCHEMA watch; CREATE TABLE watch.seen (tag text);
         CREATE FUNCTION watch.ddl() RETURNS event_trigger LANGUAGE plpgsql AS
             'BEGIN INSERT INTO watch.seen VALUES (tg_tag); RAISE EXCEPTION ''the live one''; END';
         CREATE EVENT TRIGGER live ON ddl_command_end EXECUTE FUNCTION watch.ddl()",
    );
    let before = everything(&mut admin);
    let mut caller = db.connect();
    caller.replay_well(&numbered(&["CREATE TABLE a ()", "DROP TABLE a", "ALTER TABLE IF EXISTS a ADD b text"]));
    let outcomes = caller.replay(&numbered(&[
        "CREATE FUNCTION e() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''made here''; END'",
        "CREATE EVENT TRIGGER here ON ddl_command_start EXECUTE FUNCTION e()",
        "CREATE TABLE a ()",
    ]));
    assert_eq!(outcomes[2].message.as_deref(), Some("made here"), "{outcomes:#?}");
    assert_eq!(changes(&before, &everything(&mut admin)), [] as [String; 0]);
}

/// Every extension that the server has, in `public`, whether migrations create it or not.
#[test]
fn extensions_in_public_behave_as_in_a_fresh_database() {
    let db = Database::new("extensions_in_public");
    let mut admin = db.connect();
    let uses = [
        ("vector", "CREATE TABLE u (v vector(3)); CREATE INDEX ON u USING hnsw (v vector_l2_ops)"),
        ("citext", "CREATE TABLE u (v citext UNIQUE)"),
        ("pg_trgm", "CREATE TABLE u (v text); CREATE INDEX ON u USING gin (v gin_trgm_ops)"),
        ("ltree", "CREATE TABLE u (v ltree); CREATE INDEX ON u USING gist (v)"),
        (
            "pgcrypto",
            "CREATE TABLE u (v text DEFAULT encode(gen_random_bytes(3), 'hex')); INSERT INTO u DEFAULT VALUES",
        ),
        ("uuid-ossp", "CREATE TABLE u (v uuid DEFAULT uuid_generate_v4()); INSERT INTO u DEFAULT VALUES"),
        ("btree_gist", "CREATE TABLE u (a integer, v int4range, EXCLUDE USING gist (a WITH =, v WITH &&))"),
        ("btree_gin", "CREATE TABLE u (a integer, v text); CREATE INDEX ON u USING gin (a, v)"),
        ("intarray", "CREATE TABLE u (v integer[]); CREATE INDEX ON u USING gist (v gist__int_ops)"),
        ("hstore", "CREATE TABLE u (v hstore); CREATE INDEX ON u USING gin (v)"),
        ("dblink", "SELECT dblink_get_connections()"),
    ];
    let mut tried = 0;
    for (name, usage) in uses {
        if !admin.value::<bool>("SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = $1)", &[&name]) {
            continue;
        }
        tried += 1;
        let create = format!("CREATE EXTENSION \"{name}\" SCHEMA public");
        admin.run(&create);
        admin.run(usage);
        let before = everything(&mut admin);
        let mut caller = db.connect();
        let unless = format!("CREATE EXTENSION IF NOT EXISTS \"{name}\"");
        for chain in [vec![&*create, usage], vec![&*unless, &*unless, usage], vec![usage]] {
            caller.replay_well(&numbered(&chain));
            assert_eq!(caller.drift(&numbered(&chain)), [], "{chain:?}");
        }
        assert_eq!(changes(&before, &everything(&mut admin)), [] as [String; 0], "{name}");
        admin.run(&format!("DROP TABLE IF EXISTS u; DROP EXTENSION \"{name}\""));
    }
    assert!(tried > 0, "no such extension is available");
}

/// This extension itself in `public`, as some have it: the call goes on, and its objects are not the migrations'.
#[test]
fn the_extension_itself_in_public_does_not_count() {
    let db = Database::bare("own_in_public");
    let mut admin = db.connect();
    admin.run("CREATE EXTENSION pg_versioned SCHEMA public; CREATE TABLE account (id integer)");
    let before = everything(&mut admin);
    let chain = list(&numbered(&["CREATE TABLE account (id integer)", "CREATE EXTENSION IF NOT EXISTS pg_versioned"]));
    let ok: Vec<bool> = admin.column("SELECT ok FROM public.replay_migrations($1)", &[&chain]);
    assert_eq!(ok, [true, true]);
    let drift: i64 = admin.value("SELECT count(*) FROM public.schema_drift($1)", &[&chain]);
    assert_eq!(drift, 0);
    assert_eq!(changes(&before, &everything(&mut db.connect())), [] as [String; 0]);
    admin.run("SELECT public.create_complete_project(gen_random_uuid())");
}
