//! Nothing is left behind, however a call ends: not in the catalogue, the files, the session, or other sessions.

use std::collections::BTreeMap;
use std::thread;

use super::{Migration, numbered};
use crate::support::{Cluster, Database, Refusal, Session, refused, until, until_gone};

/// What a replay may disturb, by name, as hashes and texts that can be compared.
pub type State = BTreeMap<String, String>;

/// Everything in the database and the cluster's shared catalogues, row versions included. What vacuum, statistics and
/// checkpoints of the server itself change does not count.
pub fn everything(admin: &mut Session) -> State {
    admin.run("CHECKPOINT");
    let relations = admin.rows(
        "SELECT format('%I.%I', n.nspname, c.relname)
           FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
          WHERE c.relkind IN ('r', 'S', 'm') AND c.relispopulated AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_t%'
            AND c.relname NOT IN ('pg_statistic', 'pg_statistic_ext_data')
          ORDER BY 1",
        &[],
    );
    let mut state = State::new();
    for row in &relations {
        let relation: String = row.get(0);
        let rows: String = admin.value(
            &format!(
                "SELECT count(*) || ' rows, ' || coalesce(md5(string_agg(text, '' ORDER BY text COLLATE \"C\")), '')
                   FROM (SELECT (to_jsonb(t) - '{{relpages,reltuples,relallvisible,relallfrozen,relfrozenxid,relminmxid,\
                                               datfrozenxid,datminmxid}}'::text[])::text AS text
                           FROM (SELECT r.ctid AS \"~place\", r.xmin AS \"~by\", r.* FROM {relation} r) t) x"
            ),
            &[],
        );
        state.insert(relation, rows);
    }
    for (what, sql) in [
        // Files of relations that the catalogue does not know would stay for ever.
        (
            "files without a relation",
            "SELECT coalesce(string_agg(file, ' ' ORDER BY file), '')
               FROM pg_database d, pg_ls_dir('base/' || d.oid) file
              WHERE d.datname = current_database() AND file ~ '^[0-9]+$'
                AND pg_filenode_relation(0, file::oid) IS NULL",
        ),
        ("temporary files", "SELECT coalesce(string_agg(name, ' ' ORDER BY name), '') FROM pg_ls_tmpdir()"),
        (
            "locks of this database",
            "SELECT coalesce(string_agg(concat_ws(' ', locktype, relation, classid, objid, mode), ',' ORDER BY pid, relation), '')
               FROM pg_locks JOIN pg_stat_activity a USING (pid)
              WHERE pid <> pg_backend_pid() AND a.backend_type = 'client backend' AND a.datname = current_database()",
        ),
        ("prepared transactions", "SELECT coalesce(string_agg(gid, ' '), '') FROM pg_prepared_xacts"),
    ] {
        state.insert(what.to_owned(), admin.value(sql, &[]));
    }
    state
}

/// What a session has: settings, roles, prepared statements, cursors, locks, channels, temporary objects.
pub fn session(session: &mut Session) -> State {
    session.forget();
    let mut state = State::new();
    for (what, sql) in [
        ("settings", "SELECT string_agg(name || '=' || setting, E'\\n' ORDER BY name) FROM pg_settings"),
        ("roles", "SELECT current_user || ' ' || session_user"),
        ("path", "SELECT current_schemas(true)::text"),
        (
            "locks",
            "SELECT string_agg(locktype || mode, ' ') FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory'",
        ),
        ("prepared", "SELECT string_agg(name, ' ' ORDER BY name) FROM pg_prepared_statements WHERE from_sql"),
        ("cursors", "SELECT string_agg(name, ' ' ORDER BY name) FROM pg_cursors WHERE name <> ''"),
        ("channels", "SELECT string_agg(name, ' ' ORDER BY name) FROM pg_listening_channels() name"),
        ("temporary schema", "SELECT pg_my_temp_schema()::text"),
    ] {
        let now: Option<String> = session.client.query_one(sql, &[]).expect("it can be read").get(0);
        state.insert(what.to_owned(), now.unwrap_or_default());
    }
    state
}

/// What differs.
pub fn changes(before: &State, after: &State) -> Vec<String> {
    let names = before.keys().chain(after.keys().filter(|name| !before.contains_key(*name)));
    names
        .filter(|name| before.get(*name) != after.get(*name))
        .map(|name| {
            let lines = |state: &State| -> Vec<String> {
                state.get(name).map(|text| text.lines().map(str::to_owned).collect()).unwrap_or_default()
            };
            let (old, new) = (lines(before), lines(after));
            let only = |one: &[String], other: &[String]| -> Vec<String> {
                one.iter().filter(|line| !other.contains(line)).cloned().collect()
            };
            format!("{name}: {:?} became {:?}", only(&old, &new), only(&new, &old))
        })
        .collect()
}

/// A live schema with objects of many kinds in it, as an application has them.
pub const LIVE: &str = r#"
    CREATE TYPE mood AS ENUM ('sad', 'ok');
    CREATE TABLE account (id serial PRIMARY KEY, mood mood, name text NOT NULL, nick text GENERATED ALWAYS AS (upper(name)) STORED);
    CREATE TABLE "Post" (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, author integer REFERENCES account, body text);
    CREATE INDEX ON "Post" (author);
    CREATE FUNCTION shout(text) RETURNS text LANGUAGE sql IMMUTABLE RETURN upper($1) || '!';
    CREATE VIEW loud AS SELECT id, shout(name) AS name FROM account;
    CREATE MATERIALIZED VIEW counted AS SELECT count(*) AS n FROM account;
    CREATE SEQUENCE ticket;
    INSERT INTO account (mood, name) VALUES ('ok', 'a'), ('sad', 'b');
    INSERT INTO "Post" (author, body) VALUES (1, 'x');
"#;

/// A chain that makes, changes and removes objects of many kinds and leaves the session different, were it not undone.
pub const BUSY: &[&str] = &[
    LIVE,
    "ALTER TYPE mood ADD VALUE 'happy'; UPDATE account SET mood = 'happy'; ALTER TABLE account ALTER mood SET DEFAULT 'happy'",
    "CREATE TEMP TABLE scratch (a integer); INSERT INTO scratch SELECT generate_series(1, 1000);
     SET search_path = pg_catalog; SET work_mem = '1MB'; SET ROLE anon;",
    "PREPARE all_accounts AS SELECT * FROM account; EXECUTE all_accounts; SELECT pg_advisory_lock(77);
     DECLARE rows CURSOR WITH HOLD FOR SELECT * FROM account; LISTEN news; NOTIFY news, 'x'",
    "CREATE SCHEMA other; CREATE TABLE other.t (a integer); CREATE ROLE clients_made_by_a_migration;
     ALTER TABLE account OWNER TO clients_made_by_a_migration; GRANT SELECT ON loud TO PUBLIC; COMMENT ON TABLE account IS 'x'",
    "DROP SCHEMA other CASCADE; DROP TABLE \"Post\"; SELECT lo_create(0); SELECT nextval('ticket')",
];

/// Calls that must leave no trace; `body` has a session that will have made a call before.
#[track_caller]
fn leaves_nothing(test: &str, body: impl FnOnce(&Database, &mut Session)) {
    let db = Database::new(test);
    let (mut admin, mut caller) = (db.connect(), db.connect());
    admin.run(LIVE);
    // Both libraries have settings, which are there once a session has loaded them.
    caller.run("SELECT versioned.generate_ulid(); DO $$ BEGIN END $$");
    let before = everything(&mut admin);
    body(&db, &mut caller);
    assert_eq!(changes(&before, &everything(&mut admin)), [] as [String; 0]);
    // Whoever connects now finds the live schema as it was.
    let counted: i64 = db.connect().value("SELECT (SELECT count(*) FROM loud) + nextval('ticket')", &[]);
    assert_eq!(counted, 3);
}

#[test]
fn a_replay_leaves_nothing() {
    leaves_nothing("traces_success", |_, caller| {
        let before = session(caller);
        caller.replay_well(&numbered(BUSY));
        assert_eq!(changes(&before, &session(caller)), [] as [String; 0]);
        caller.run("BEGIN; CREATE TEMP TABLE scratch (a integer); ROLLBACK");
        caller.replay_well(&numbered(BUSY));
        assert_eq!(caller.value::<i64>("SELECT count(*) FROM account", &[]), 2);
    });
}

#[test]
fn a_drift_leaves_nothing() {
    leaves_nothing("traces_drift", |_, caller| {
        let before = session(caller);
        assert_ne!(caller.drift(&numbered(BUSY)), []);
        assert_eq!(changes(&before, &session(caller)), [] as [String; 0]);
    });
}

#[test]
fn migrations_that_fail_leave_nothing() {
    leaves_nothing("traces_errors", |_, caller| {
        let before = session(caller);
        let mut chain = BUSY.to_vec();
        for failing in
            ["SELECT 1/0", "CREATE TABLE account ()", "this is no SQL", "CREATE TABLE half (); SELECT nothing"]
        {
            chain.insert(2, failing);
        }
        let outcomes = caller.replay(&numbered(&chain));
        assert_eq!(outcomes.iter().filter(|outcome| !outcome.ok).count(), 4, "{outcomes:#?}");
        let stopped = caller.try_replay(&numbered(&chain), true).expect("rows");
        assert_eq!(stopped.len(), 3, "it stops at the first that fails: {stopped:#?}");
        assert_eq!(changes(&before, &session(caller)), [] as [String; 0]);
    });
}

/// A chain that never ends, and lets be seen that it got there.
fn endless() -> Vec<Migration> {
    let mut chain = BUSY.to_vec();
    chain.push("SET application_name = 'there'; DO $$ BEGIN LOOP PERFORM 1; END LOOP; END $$");
    numbered(&chain)
}

fn until_there(admin: &mut Session, pid: i32) {
    until("the last migration runs", || {
        admin.value(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1 AND application_name = 'there')",
            &[&pid],
        )
    });
}

#[test]
fn a_replay_that_runs_out_of_time_leaves_nothing() {
    leaves_nothing("traces_timeout", |_, caller| {
        caller.run("SET statement_timeout = '1s'");
        let before = session(caller);
        refused(caller.try_replay(&endless(), true), "57014");
        assert_eq!(changes(&before, &session(caller)), [] as [String; 0]);
        // Also if migrations raise the limit.
        let mut chain = endless();
        chain.insert(0, ("0".into(), "SET statement_timeout = 0".into()));
        chain.last_mut().expect("one").1.insert_str(0, "SET statement_timeout = 0;");
        refused(caller.try_replay(&chain, false), "57014");
        assert_eq!(changes(&before, &session(caller)), [] as [String; 0]);
    });
}

#[test]
fn a_cancelled_replay_leaves_nothing() {
    leaves_nothing("traces_cancel", |db, caller| {
        let mut admin = db.connect();
        let pid = caller.pid;
        let before = session(caller);
        for stop in [true, false] {
            thread::scope(|scope| {
                let caller = &mut *caller;
                let call = scope.spawn(move || caller.try_replay(&endless(), stop).map(|_| ()));
                until_there(&mut admin, pid);
                assert!(admin.value::<bool>("SELECT pg_cancel_backend($1)", &[&pid]));
                refused(call.join().expect("no panic"), "57014");
            });
        }
        assert_eq!(changes(&before, &session(caller)), [] as [String; 0]);
    });
}

#[test]
fn a_killed_replay_leaves_nothing() {
    leaves_nothing("traces_killed", |db, _| {
        let (mut admin, mut killed) = (db.connect(), db.connect());
        let pid = killed.pid;
        thread::scope(|scope| {
            let call = scope.spawn(move || killed.try_replay(&endless(), true).map(|_| ()));
            until_there(&mut admin, pid);
            assert!(admin.value::<bool>("SELECT pg_terminate_backend($1)", &[&pid]));
            let refusal: Refusal = call.join().expect("no panic").expect_err("it was killed");
            assert!(["57P01", ""].contains(&&*refusal.code), "{refusal:?}");
        });
        until_gone(&mut admin, pid);
    });
}

#[test]
fn a_statement_that_runs_out_of_memory_fails_alone() {
    leaves_nothing("traces_memory", |_, caller| {
        let before = session(caller);
        let texts = [
            "CREATE TABLE a ()",
            "CREATE TABLE b AS SELECT string_agg(repeat('x', 1000000), '') FROM generate_series(1, 2000)",
            "CREATE TABLE c ()",
        ];
        let outcomes = caller.replay(&numbered(&texts));
        let codes: Vec<_> = outcomes.iter().map(|outcome| outcome.sqlstate.as_deref()).collect();
        assert_eq!(codes[0], None, "{outcomes:#?}");
        assert!(["54000", "53200"].contains(&codes[1].unwrap_or_default()), "{outcomes:#?}");
        assert_eq!(codes[2], None, "{outcomes:#?}");
        assert_eq!(changes(&before, &session(caller)), [] as [String; 0]);
    });
}

/// A transaction that goes on after the call, and one that is rolled back.
#[test]
fn the_callers_transaction_goes_on() {
    let db = Database::new("traces_goes_on");
    let (mut admin, mut caller) = (db.connect(), db.connect());
    admin.run(LIVE);
    let before = everything(&mut admin);
    caller.run("BEGIN");
    caller.replay_well(&numbered(BUSY));
    assert_eq!(caller.value::<i64>("SELECT count(*) FROM account", &[]), 2);
    caller.replay_well(&numbered(BUSY));
    caller.run("INSERT INTO account (mood, name) VALUES ('sad', 'c'); CREATE TABLE more (); DROP TABLE more; ROLLBACK");
    let after = everything(&mut admin);
    let changed = changes(&before, &after);
    assert!(changed.iter().all(|change| change.starts_with("public.account_id_seq")), "{changed:#?}");
    caller.run("BEGIN");
    caller.replay_well(&numbered(BUSY));
    caller.run("INSERT INTO account (mood, name) VALUES ('sad', 'c'); COMMIT");
    assert_eq!(admin.value::<i64>("SELECT count(*) FROM loud", &[]), 3);
}

/// The postmaster takes all backends down with one that dies without a word; after that the schemas are as they were.
#[test]
fn a_crash_leaves_nothing_in_the_catalogue() {
    let cluster = Cluster::new("crash", &[]);
    let mut admin = cluster.connect("postgres");
    admin.run("CREATE ROLE anon; CREATE SCHEMA versioned; CREATE EXTENSION pg_versioned SCHEMA versioned");
    admin.run(LIVE);
    let mut before = everything(&mut admin);
    let mut killed = cluster.connect("postgres");
    let pid = killed.pid;
    thread::scope(|scope| {
        let call = scope.spawn(move || killed.try_replay(&endless(), true).map(|_| ()));
        until_there(&mut admin, pid);
        let status = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().expect("kill runs");
        assert!(status.success());
        assert!(call.join().expect("no panic").is_err());
    });
    let mut admin = None;
    until("the server is up again", || {
        admin = cluster.try_connect("postgres").ok();
        admin.is_some()
    });
    let mut after = everything(admin.as_mut().expect("connected"));
    // Postgres leaves the files of transactions that a crash ended; sequences log ahead.
    for state in [&mut before, &mut after] {
        state
            .retain(|name, _| name != "files without a relation" && !name.ends_with("_seq") && name != "public.ticket");
    }
    assert_eq!(changes(&before, &after), [] as [String; 0]);
}
