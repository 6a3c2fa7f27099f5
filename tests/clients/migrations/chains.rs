//! Long chains run without a false alarm: one that is generated, and those of real projects where they are at hand.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use super::generated::chain;
use super::server::{Ending, apply};
use super::traces::{changes, everything};
use super::{Migration, Outcome};
use crate::support::{Database, skipped};

/// What the replay says otherwise than psql said.
fn false_alarms(chain: &[Migration], truth: &[Ending], outcomes: &[Outcome]) -> Vec<String> {
    assert_eq!(
        outcomes.iter().map(|o| &o.name).collect::<Vec<_>>(),
        chain.iter().map(|(name, _)| name).collect::<Vec<_>>()
    );
    (0..truth.len())
        .filter(|&n| match (&truth[n], &outcomes[n]) {
            (None, outcome) => !outcome.ok,
            // A tool's own table, which psql does not make.
            (Some(_), outcome) if outcome.ok => !outcome.text().contains("not checked"),
            (Some(code), outcome) => outcome.sqlstate.as_ref() != Some(code),
        })
        .map(|n| format!("psql says {:?}: {}: {}", truth[n], outcomes[n].name, outcomes[n].text()))
        .collect()
}

/// Replays into a database that is empty and into one that holds all of it, and compares.
#[track_caller]
fn tells_the_truth(test: &str, chain: &[Migration]) {
    let empty = Database::new(&format!("{test}_empty"));
    let mut caller = empty.connect();
    caller.run("SET statement_timeout = 0");
    let start = Instant::now();
    let fresh = caller.replay(chain);
    let took = start.elapsed();
    let live = Database::new(test);
    let truth = apply(&live, chain);
    println!(
        "{test}: {} migrations, {} run, replayed in {took:.1?}",
        chain.len(),
        truth.iter().filter(|ending| ending.is_none()).count()
    );

    let mut alarms = false_alarms(chain, &truth, &fresh);
    let mut admin = live.connect();
    admin.run("SET statement_timeout = 0");
    let before = everything(&mut admin);
    let mut caller = live.connect();
    caller.run("SET statement_timeout = 0");
    // All that the chain made, and not the extension's.
    let schemas: Vec<String> = admin.column(
        "SELECT nspname::text FROM pg_namespace
          WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'versioned', 'versioned_internal')",
        &[],
    );
    let schemas: Vec<&str> = schemas.iter().map(String::as_str).collect();
    let again = caller.try_replay_in(chain, false, &schemas).expect("rows");
    alarms.extend(false_alarms(chain, &truth, &again));
    let applied = truth.iter().filter(|ending| ending.is_none()).count();
    let drift = caller.drift_in(&chain[..applied], &schemas);
    alarms.extend(drift.iter().map(|difference| format!("{difference:?}")));
    assert_eq!(alarms, [] as [String; 0]);
    assert_eq!(changes(&before, &everything(&mut admin)), [] as [String; 0]);
}

#[test]
fn five_hundred_migrations_replay_in_seconds() {
    let chain = chain(50);
    assert_eq!(chain.len(), 500);
    let db = Database::new("chain_of_500");
    let mut caller = db.connect();
    let (mut admin, pid) = (db.connect(), caller.pid);
    admin.run("CHECKPOINT");
    let written: i64 = admin.value("SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint", &[]);
    let start = Instant::now();
    let mut locks = 0;
    std::thread::scope(|scope| {
        let call = scope.spawn(|| caller.replay_well(&chain).len());
        while !call.is_finished() {
            let now: i64 = admin.value("SELECT count(*) FROM pg_locks WHERE pid = $1", &[&pid]);
            locks = locks.max(now);
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(call.join().expect("no panic"), 500);
    });
    let took = start.elapsed();
    let wal: i64 = admin.value("SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint - $1", &[&written]);
    println!("500 migrations: {took:.1?}, {} kB of WAL, at most {locks} locks", wal >> 10);
}

#[test]
fn a_generated_chain_raises_no_false_alarm() {
    tells_the_truth("chain_generated", &chain(6));
}

/// `VERSIONED_MIGRATIONS` names a folder with chains as JSON, one file per project, as `tests/migrations/README.md` says.
#[test]
fn real_chains_raise_no_false_alarm() {
    let Some(folder) = std::env::var_os("VERSIONED_MIGRATIONS") else {
        return skipped("VERSIONED_MIGRATIONS names no folder with the migrations of real projects");
    };
    let files = fs::read_dir(Path::new(&folder)).expect("a folder").map(|entry| entry.expect("readable").path());
    let mut files: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|extension| extension == "json")).collect();
    files.sort();
    assert!(!files.is_empty(), "{folder:?} has no chains");
    for file in files {
        let json: Vec<Json> = serde_json::from_slice(&fs::read(&file).expect("readable")).expect("an array");
        let text = |migration: &Json, key: &str| migration[key].as_str().expect("a text").to_owned();
        let chain: Vec<Migration> =
            json.iter().map(|migration| (text(migration, "name"), text(migration, "sql"))).collect();
        let name = file.file_stem().expect("a name").to_string_lossy().replace(['.', '-'], "_");
        tells_the_truth(&format!("chain_{name}"), &chain);
    }
}
