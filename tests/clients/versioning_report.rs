//! The report on a large table: its memory, and what canceling it takes.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{Database, Session, backend_memory, refused, skipped, until};

const REPORT: &str =
    "SELECT code, rows FROM versioned.versioning_report('big', '{file}', 'version', 'is_current', '{at}')";

/// `rows` versions of a tenth as many files, of which a hundred have one number twice.
fn table(session: &mut Session, rows: i32) {
    session.run(&format!(
        "CREATE TABLE file (id text PRIMARY KEY);
         INSERT INTO file SELECT md5(n::text) FROM generate_series(0, {rows} / 10 - 1) n;
         CREATE TABLE big (
            id bigint PRIMARY KEY, file text NOT NULL REFERENCES file ON DELETE CASCADE, version integer NOT NULL,
            is_current boolean NOT NULL, at timestamptz NOT NULL);
         INSERT INTO big
         SELECT n, md5((n % ({rows} / 10))::text), 1 + n / ({rows} / 10), n / ({rows} / 10) = 9,
                timestamptz '2026-01-01' + n * interval '1 s'
           FROM generate_series(0, {rows} - 1) n;
         CREATE INDEX ON big (file, version);
         UPDATE big SET version = 3 WHERE id IN (SELECT id FROM big WHERE version = 4 ORDER BY id LIMIT 100);
         ANALYZE big, file"
    ));
}

#[test]
fn a_large_table_takes_little_memory() {
    let db = Database::new("report_large");
    let mut session = db.connect();
    table(&mut session, 1_000_000);
    session.run("SET work_mem = '4MB'; SET max_parallel_workers_per_gather = 0");
    let pid = session.pid;
    let memory = move || backend_memory(pid, "RssAnon");
    let before = memory();
    // Looked at all the time, because what it took is given back at the end.
    let (ended, has_ended) = mpsc::channel::<()>();
    let peak = thread::spawn(move || {
        let mut peak = memory();
        while let Err(RecvTimeoutError::Timeout) = has_ended.recv_timeout(Duration::from_millis(20)) {
            peak = peak.max(memory());
        }
        peak
    });
    let found = session.rows(REPORT, &[]);
    drop(ended);
    let peak = peak.join().expect("no panic");
    let found: Vec<(String, Option<i64>)> = found.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(
        found,
        [
            ("duplicate_versions".to_owned(), Some(200)),
            ("version_gaps".to_owned(), Some(100)),
            ("no_unique_constraint".to_owned(), None)
        ]
    );
    match before.zip(peak) {
        Some((before, after)) => assert!(after - before < 64 << 20, "{before} bytes, then {after}"),
        None => skipped("the server's memory is not to be seen here"),
    }
}

#[test]
fn who_cancels_does_not_wait() {
    let db = Database::new("report_canceled");
    let mut admin = db.connect();
    table(&mut admin, 500_000);
    let mut session = db.connect();
    let pid = session.pid;
    let canceled = thread::spawn(move || (session.try_run(REPORT), Instant::now(), session));
    until("it runs", || {
        admin.value(
            "SELECT state = 'active' AND query LIKE '%versioning_report%' FROM pg_stat_activity WHERE pid = $1",
            &[&pid],
        )
    });
    let asked = Instant::now();
    admin.rows("SELECT pg_cancel_backend($1)", &[&pid]);
    let (result, ended, mut session) = canceled.join().expect("no panic");
    refused(result, "57014");
    assert!(ended - asked < Duration::from_secs(1), "{:?}", ended - asked);
    // Nothing is left behind: it answers the next time.
    assert_eq!(session.rows(REPORT, &[]).len(), 3);
}
