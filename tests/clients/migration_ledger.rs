//! The ledger of migrations: who records what when several do, what a role for CI needs, and what a dump keeps.

use serde_json::json;

use crate::dump::{dumped, restore};
use crate::support::{Cluster, Database, Session, race, refused, sessions, until_waiting};

const RECORD: &str = "SELECT versioned.record_migration($1, $2)";
const VERIFY: &str = "SELECT name, finding FROM versioned.verify_migrations($1::text::jsonb, $2)";

fn findings(session: &mut Session, migrations: &serde_json::Value, tool: &str) -> Vec<(String, String)> {
    let rows = session.rows(VERIFY, &[&migrations.to_string(), &tool]);
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// In every isolation level: one of them records it, the others are told that it is there, with this text or with another.
#[test]
fn of_those_who_record_one_migration_at_once_one_does() {
    const SESSIONS: usize = 8;
    let db = Database::new("ledger_race");
    let mut admin = db.connect();
    for level in ["read committed", "repeatable read", "serializable"] {
        for n in 0..10 {
            let name = format!("{level} {n}");
            let begun = || {
                let mut session = db.connect();
                session.run(&format!("SET default_transaction_isolation = '{level}'; BEGIN"));
                // With a snapshot from before all others, where it is fixed.
                let _: i64 = session.value("SELECT count(*) FROM pg_class", &[]);
                session
            };
            let outcomes = race(sessions(SESSIONS, begun), |n, session| {
                let outcome = session.try_value::<bool>(RECORD, &[&name, &format!("text {}", n % 2)]);
                session.run(if outcome.is_ok() { "COMMIT" } else { "ROLLBACK" });
                outcome
            });
            let recorded: Vec<usize> = (0..SESSIONS).filter(|n| matches!(outcomes[*n], Ok(true))).collect();
            assert_eq!(recorded.len(), 1, "{outcomes:?}");
            for (n, outcome) in outcomes.into_iter().enumerate() {
                if n % 2 == recorded[0] % 2 {
                    assert_eq!(outcome, Ok(n == recorded[0]));
                } else {
                    let detail = refused(outcome, "PT409").json();
                    assert_eq!(detail["name"], json!(name));
                    assert_ne!(detail["recorded_sha256"], detail["given_sha256"]);
                }
            }
        }
    }
    let wrong: i64 = admin.value(
        "SELECT count(*) - count(DISTINCT name) + count(*) - count(DISTINCT position) FROM versioned.recorded_migrations",
        &[],
    );
    assert_eq!(wrong, 0);
}

/// Who waits is told what became of the other one's try.
#[test]
fn a_migration_that_was_rolled_back_was_not_recorded() {
    let db = Database::new("ledger_rollback");
    let (mut admin, mut first, mut second) = (db.connect(), db.connect(), db.connect());
    first.run("BEGIN");
    assert!(first.value::<bool>(RECORD, &[&"1.sql", &"one"]));
    let outcome = std::thread::scope(|scope| {
        let second = &mut second;
        let pid = second.pid;
        let waiting = scope.spawn(move || second.try_value::<bool>(RECORD, &[&"1.sql", &"another"]));
        until_waiting(&mut admin, pid);
        first.run("ROLLBACK");
        waiting.join().expect("no thread panics")
    });
    assert_eq!(outcome, Ok(true));
    // The same migration, in the transaction that has recorded it.
    first.run("BEGIN");
    assert!(first.value::<bool>(RECORD, &[&"2.sql", &""]));
    assert!(!first.value::<bool>(RECORD, &[&"2.sql", &""]));
    first.run("COMMIT");
    let list = json!([{"name": "1.sql", "sql": "another"}, {"name": "2.sql", "sql": ""}]);
    assert_eq!(findings(&mut second, &list, "auto"), []);
}

/// The role that CI logs in as, by itself, with nothing but EXECUTE.
#[test]
fn execute_is_all_that_is_needed() {
    let db = Database::new("ledger_rights");
    let mut admin = db.connect();
    let role = db.role("ci", "LOGIN");
    admin.run(&format!("GRANT USAGE ON SCHEMA versioned TO {role}"));
    let mut ci = db.login(&role);
    let list = json!([{"name": "1.sql", "sql": "edited"}]);
    refused(ci.try_value::<bool>(RECORD, &[&"1.sql", &"one"]), "42501");
    refused(ci.try_rows(VERIFY, &[&list.to_string(), &"auto"]), "42501");
    admin.run(&format!("GRANT EXECUTE ON FUNCTION versioned.record_migration, versioned.verify_migrations TO {role}"));
    assert!(ci.value::<bool>(RECORD, &[&"1.sql", &"one"]));
    assert_eq!(findings(&mut ci, &list, "auto"), [("1.sql".to_owned(), "edited".to_owned())]);
    let by: String = admin.value("SELECT applied_by FROM versioned.recorded_migrations", &[]);
    assert_eq!(by, role);
    for statement in [
        "SELECT * FROM versioned.recorded_migrations",
        "INSERT INTO versioned.recorded_migrations VALUES (DEFAULT, 'x', sha256(''), now(), 'x')",
        "TRUNCATE versioned.recorded_migrations",
    ] {
        refused(ci.try_run(statement), "42501");
    }
    // A tool's table is read with the caller's own rights, also after the plan was made with more.
    admin.run(
        "CREATE SCHEMA drizzle; CREATE TABLE drizzle.__drizzle_migrations (id serial, hash text, created_at bigint);
         INSERT INTO drizzle.__drizzle_migrations (hash) VALUES ('secret')",
    );
    assert_eq!(findings(&mut admin, &json!([]), "drizzle").len(), 1);
    let refusal = refused(ci.try_rows(VERIFY, &[&"[]", &"drizzle"]), "42501");
    assert!(refusal.message.contains("drizzle"), "{refusal:?}");
    admin.run(&format!("GRANT USAGE ON SCHEMA drizzle TO {role}"));
    let refusal = refused(ci.try_rows(VERIFY, &[&"[]", &"drizzle"]), "42501");
    assert!(refusal.message.contains("__drizzle_migrations"), "{refusal:?}");
    admin.run(&format!("GRANT SELECT ON drizzle.__drizzle_migrations TO {role}"));
    assert_eq!(findings(&mut ci, &json!([]), "drizzle").len(), 1);
}

#[test]
fn a_dump_keeps_what_was_recorded() {
    let db = Database::new("ledger_dump");
    let mut admin = db.connect();
    for n in 0..3 {
        assert!(admin.value::<bool>(RECORD, &[&format!("{n}.sql"), &format!("{n}")]));
    }
    let copy = Database::bare("ledger_restored");
    let file = dumped(&db);
    restore(&file, &copy);
    std::fs::remove_file(file).expect("the dump can go");
    let mut session = copy.connect();
    let list = json!([{"name": "0.sql", "sql": "0"}, {"name": "1.sql", "sql": "1"}, {"name": "2.sql", "sql": "2"}, {"name": "3.sql", "sql": "3"}]);
    assert_eq!(findings(&mut session, &list, "auto"), [("3.sql".to_owned(), "missing".to_owned())]);
    // The next one comes after them.
    assert!(session.value::<bool>(RECORD, &[&"3.sql", &"3"]));
    assert_eq!(findings(&mut session, &list, "auto"), []);
}

#[test]
fn a_standby_verifies_and_records_nothing() {
    let cluster = Cluster::new("ledgers", &[]);
    let mut admin = cluster.connect("postgres");
    admin.run("CREATE SCHEMA versioned; CREATE EXTENSION pg_versioned SCHEMA versioned");
    assert!(admin.value::<bool>(RECORD, &[&"1.sql", &"one"]));
    admin.run(
        "CREATE TABLE _sqlx_migrations (version bigint, description text, installed_on timestamptz, success boolean, checksum bytea);
         INSERT INTO _sqlx_migrations VALUES (1, 'x', now(), false, '')",
    );
    let replica = Cluster::new("ledger_copy", &["--standby-of", &cluster.name]);
    let mut standby = replica.connect("postgres");
    for level in ["read committed", "repeatable read"] {
        standby.run(&format!("SET default_transaction_isolation = '{level}'"));
        refused(standby.try_value::<bool>(RECORD, &[&"2.sql", &"two"]), "25006");
        let list = json!([{"name": "1.sql", "sql": "edited"}]);
        assert_eq!(findings(&mut standby, &list, "pg_versioned"), [("1.sql".to_owned(), "edited".to_owned())]);
        let list = json!([{"name": "1_x.sql", "sql": ""}]);
        assert_eq!(findings(&mut standby, &list, "sqlx"), [("1_x.sql".to_owned(), "half-applied".to_owned())]);
    }
}

/// A chain of ten thousand, and a catalogue of many tables.
#[test]
fn many_migrations_take_seconds() {
    const MIGRATIONS: usize = 10_000;
    let db = Database::new("ledger_many");
    let mut admin = db.connect();
    admin.run(&format!(
        "CREATE TABLE _sqlx_migrations (version bigint PRIMARY KEY, description text, installed_on timestamptz, success boolean, checksum bytea);
         INSERT INTO _sqlx_migrations SELECT n, 'x', now() + make_interval(secs => {MIGRATIONS} - n), true, sha384('') FROM generate_series(1, {MIGRATIONS}) n"
    ));
    let list: Vec<_> = (1..=MIGRATIONS).map(|n| json!({"name": format!("{n}_x.sql"), "sql": ""})).collect();
    let list = json!(list);
    let began = std::time::Instant::now();
    // All but the last were applied after a later one.
    assert_eq!(findings(&mut admin, &list, "auto").len(), MIGRATIONS - 1);
    let took = began.elapsed();
    assert!(took.as_secs() < 10, "{took:?}");
}
