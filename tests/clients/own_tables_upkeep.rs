//! Tables with versioning enabled beside maintenance, prepared transactions, dumps and replication.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::dump::{dumped, program, restore};
use crate::own_tables::{is_contiguous, is_sound, protected};
use crate::support::{Database, Refusal, Session, advisory_locks, refused, skipped, until, until_waiting};

#[test]
fn maintenance_fails_no_insert_and_no_insert_fails_maintenance() {
    let db = protected("own_upkeep");
    let done = AtomicBool::new(false);
    let inserted: i64 = thread::scope(|scope| {
        let writers: Vec<_> = (0..3)
            .map(|n| {
                let (mut session, done) = (db.connect(), &done);
                session.run("SET deadlock_timeout = '100ms'");
                scope.spawn(move || {
                    let mut count = 0;
                    while !done.load(Ordering::SeqCst) {
                        session.run(&format!("INSERT INTO doc_versions (doc) VALUES ({})", 1 + n % 2));
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        let mut keeper = db.connect();
        keeper.run("SET deadlock_timeout = '100ms'");
        let statements = [
            "VACUUM FULL doc_versions",
            "REINDEX TABLE CONCURRENTLY doc_versions",
            "CLUSTER doc_versions USING doc_versions_doc_version_key",
            "ALTER TABLE doc_versions ADD COLUMN note text DEFAULT 'x'",
            "ALTER TABLE doc_versions DROP COLUMN note",
            "CREATE INDEX CONCURRENTLY later ON doc_versions (doc) WHERE is_current",
            "DROP INDEX CONCURRENTLY later",
            "SELECT versioned.enable_versioning('doc_versions', '{doc}', 'version', 'is_current', 'previous', 'error')",
            "SELECT versioned.enable_versioning('doc_versions', '{doc}', 'version', 'is_current', 'previous')",
            "VACUUM ANALYZE doc_versions",
        ];
        let kept: Result<(), Refusal> =
            statements.iter().cycle().take(2 * statements.len()).try_for_each(|statement| keeper.try_run(statement));
        done.store(true, Ordering::SeqCst);
        assert_eq!(kept, Ok(()));
        writers.into_iter().map(|writer| writer.join().expect("no panic")).sum()
    });
    let mut admin = db.connect();
    is_contiguous(&mut admin, inserted);
    admin.run("TRUNCATE doc_versions; INSERT INTO doc_versions (doc) VALUES (1)");
    is_contiguous(&mut admin, 1);
}

#[test]
fn a_prepared_transaction_keeps_its_number_and_its_lock() {
    let db = protected("own_prepared");
    let (mut admin, mut session, mut other) = (db.connect(), db.connect(), db.connect());
    if admin.value::<String>("SHOW max_prepared_transactions", &[]) == "0" {
        return skipped("max_prepared_transactions is 0");
    }
    let name = &db.name;
    session.run(&format!(
        "BEGIN; INSERT INTO doc_versions (doc) VALUES (1); SAVEPOINT s; INSERT INTO doc_versions (doc) VALUES (1), (2);
         PREPARE TRANSACTION '{name}'"
    ));
    // The session is free, the parent is not.
    session.run("INSERT INTO doc_versions (doc) VALUES (3)");
    let pid = other.pid;
    thread::scope(|scope| {
        let waiting =
            scope.spawn(|| other.value::<i32>("INSERT INTO doc_versions (doc) VALUES (1) RETURNING version", &[]));
        until_waiting(&mut admin, pid);
        session.run(&format!("COMMIT PREPARED '{name}'"));
        assert_eq!(waiting.join().expect("no panic"), 3);
    });
    session.run(&format!("BEGIN; INSERT INTO doc_versions (doc) VALUES (1); PREPARE TRANSACTION '{name}'"));
    assert!(advisory_locks(&mut admin) > 0);
    session.run(&format!("ROLLBACK PREPARED '{name}'"));
    is_contiguous(&mut admin, 5);
}

/// A table in the middle of its life: gaps, a current row that is not the newest.
fn lived(test: &str) -> Database {
    let db = protected(test);
    db.connect().run(
        "INSERT INTO doc_versions (doc, body) SELECT 1 + n % 3, 'body ' || n FROM generate_series(1, 12) n;
         DELETE FROM doc_versions WHERE version = 2;
         UPDATE doc_versions SET is_current = true WHERE doc = 2 AND version = 3",
    );
    db
}

fn rows(db: &Database) -> Vec<String> {
    db.connect().column("SELECT to_jsonb(v)::text FROM doc_versions v ORDER BY id", &[])
}

/// Where the restored table goes on.
#[track_caller]
fn goes_on(db: &Database) {
    let mut admin = db.connect();
    let insert = "INSERT INTO doc_versions (doc, version) VALUES (2, 1) RETURNING version";
    assert_eq!(admin.value::<i32>(insert, &[]), 5);
    refused(admin.try_run("UPDATE doc_versions SET version = 9 WHERE version = 1"), "22023");
    is_sound(&mut admin);
}

/// A dump made with options.
#[track_caller]
fn dumped_with(db: &Database, options: &[&str]) -> PathBuf {
    let file = env::temp_dir().join(format!("{}{}.sql", db.name, options.concat()));
    let mut command = program("pg_dump");
    command.args(options).arg("--file").arg(&file).arg(&db.name);
    let output = command.output().expect("pg_dump runs");
    // That the link refers to its own table is told in any case.
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !told.contains("error"), "{told}");
    file
}

#[test]
fn a_whole_dump_brings_the_table_and_its_triggers() {
    let db = lived("own_dump");
    let file = dumped(&db);
    let restored = Database::bare("own_dump_restored");
    restore(&file, &restored);
    fs::remove_file(file).expect("the dump can go");
    assert_eq!(rows(&restored), rows(&db));
    goes_on(&restored);
}

#[test]
fn a_dump_of_the_table_alone_needs_the_extension_in_any_schema() {
    let db = lived("own_table_dump");
    let file = dumped_with(&db, &["--table=docs", "--table=doc_versions"]);
    let restored = Database::bare("own_table_restored");
    restored.connect().run("CREATE SCHEMA elsewhere; CREATE EXTENSION pg_versioned SCHEMA elsewhere");
    restore(&file, &restored);
    assert_eq!(rows(&restored), rows(&db));
    goes_on(&restored);
    assert_eq!(
        restored.connect().column::<String>("SELECT table_name::text FROM elsewhere.versioned_tables", &[]),
        ["doc_versions"]
    );
    // Without it, what is missing is named.
    let bare = Database::bare("own_table_bare");
    let mut command = program("psql");
    command.args(["-X", "-q", "-o", "/dev/null", "-d", &bare.name, "-f"]).arg(&file);
    let told = command.output().expect("psql runs").stderr;
    assert!(String::from_utf8_lossy(&told).contains("schema \"versioned_internal\" does not exist"));
    assert_eq!(rows(&bare), rows(&db));
    fs::remove_file(file).expect("the dump can go");
}

/// The tables of `lived`, without rows.
fn emptied(test: &str) -> Database {
    let db = protected(test);
    db.connect().run("TRUNCATE docs CASCADE");
    db
}

#[test]
fn a_dump_of_data_is_restored_as_it_is_with_keep_numbers_or_without_triggers() {
    let db = lived("own_data_dump");
    let tables = ["--data-only", "--table=docs", "--table=doc_versions"];
    let (data, disabling) =
        (dumped_with(&db, &tables), dumped_with(&db, &[&tables[..], &["--disable-triggers"]].concat()));

    let kept = emptied("own_data_kept");
    kept.connect().run(&format!("ALTER DATABASE {} SET pg_versioned.keep_numbers = on", kept.name));
    restore(&data, &kept);
    kept.connect().run(&format!("ALTER DATABASE {} RESET pg_versioned.keep_numbers", kept.name));
    assert_eq!(rows(&kept), rows(&db));
    goes_on(&kept);

    let disabled = emptied("own_data_disabled");
    restore(&disabling, &disabled);
    assert_eq!(rows(&disabled), rows(&db));
    goes_on(&disabled);

    // Without either they are new rows: sound, but not those that were dumped.
    let renumbered = emptied("own_data_new");
    restore(&data, &renumbered);
    let mut admin = renumbered.connect();
    is_contiguous(&mut admin, rows(&db).len() as i64);
    assert_ne!(rows(&renumbered), rows(&db));
    for file in [data, disabling] {
        fs::remove_file(file).expect("the dump can go");
    }
}

/// A subscriber takes rows, flags and deletions as the publisher has them: its own triggers would number them anew.
#[test]
fn a_logical_subscriber_takes_rows_as_they_come() {
    let (publisher, subscriber) = (lived("own_publisher"), emptied("own_subscriber"));
    let (mut admin, mut copy) = (publisher.connect(), subscriber.connect());
    if admin.value::<String>("SHOW wal_level", &[]) != "logical" {
        return skipped("wal_level is not logical");
    }
    let name = &publisher.name;
    admin.run("CREATE PUBLICATION own FOR TABLE docs, doc_versions");
    admin.rows("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", &[name]);
    let setting = |admin: &mut Session, name: &str| {
        admin.value::<String>("SELECT split_part(current_setting($1), ',', 1)", &[&name])
    };
    let (host, port) = (setting(&mut admin, "unix_socket_directories"), setting(&mut admin, "port"));
    copy.run(&format!(
        "CREATE SUBSCRIPTION {name} CONNECTION 'host={host} port={port} user=postgres dbname={name}' PUBLICATION own
         WITH (create_slot = false, slot_name = '{name}')"
    ));
    let arrived = || until("the subscriber has the same rows", || rows(&subscriber) == rows(&publisher));
    arrived();
    admin.run(
        "INSERT INTO doc_versions (doc) VALUES (1), (1), (2);
         UPDATE doc_versions SET is_current = true WHERE doc = 1 AND version = 3;
         DELETE FROM doc_versions WHERE doc = 3 AND is_current",
    );
    arrived();
    copy.run(&format!("DROP SUBSCRIPTION {name}"));
    is_sound(&mut copy);
}
