//! The change feed misses nothing, whatever commits in whatever order.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use uuid::Uuid;

use crate::invariants;
use crate::support::{Database, Random, Refusal, Session, refused, sessions, until};

/// Path, version and hash of a change.
pub type Change = (String, i32, Option<String>);

pub fn try_page(
    session: &mut Session,
    project: Uuid,
    after: Option<&str>,
    limit: i32,
) -> Result<(Vec<Change>, Option<String>), Refusal> {
    let sql = "SELECT cursor, file_path, version, content_hash FROM versioned.get_project_changes($1, $2, $3)";
    let rows = session.try_rows(sql, &[&project, &after, &limit])?;
    let changes = rows.iter().map(|row| (row.get(1), row.get(2), row.get(3))).collect();
    Ok((changes, rows.last().map(|row| row.get(0))))
}

/// Waits until no transaction of the cluster is writing, autovacuum's included: then everything committed is shown.
pub fn settle(session: &mut Session) {
    until("nobody writes", || {
        session.value("SELECT pg_snapshot_xmin(pg_current_snapshot()) = pg_snapshot_xmax(pg_current_snapshot())", &[])
    });
}

/// Reads on from a cursor to the end.
#[track_caller]
pub fn read_on(session: &mut Session, project: Uuid, cursor: &mut Option<String>, limit: i32) -> Vec<Change> {
    let mut all = Vec::new();
    loop {
        let (changes, last) = try_page(session, project, cursor.as_deref(), limit).expect("a page");
        if changes.is_empty() {
            return all;
        }
        assert!(changes.len() <= limit as usize);
        all.extend(changes);
        *cursor = last;
    }
}

/// The same once everything committed is shown.
#[track_caller]
pub fn read_settled(session: &mut Session, project: Uuid, cursor: &mut Option<String>, limit: i32) -> Vec<Change> {
    settle(session);
    read_on(session, project, cursor, limit)
}

/// Every version of a project, as the tables have it.
pub fn history(admin: &mut Session, project: Uuid) -> BTreeSet<Change> {
    let sql = "SELECT file_path, version, encode(content_hash, 'hex') FROM versioned.project_file_versions WHERE project_id = $1";
    admin.rows(sql, &[&project]).iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
}

#[test]
fn changes_come_in_order_and_once() {
    let db = Database::new("feed");
    let mut session = db.connect();
    let project = session.project(Uuid::new_v4()).project;
    let other = session.project(Uuid::new_v4()).project;
    let mut cursor = None;
    assert_eq!(read_settled(&mut session, project, &mut cursor, 10), []);
    session.put(project, "a", "one");
    session.put(other, "a", "not of this project");
    session.put(project, "b", "one");
    session.rename(project, "b", "c", None).expect("moved");
    session.delete(project, "a", None).expect("deleted");
    let seen: Vec<(String, i32)> =
        read_settled(&mut session, project, &mut cursor, 1).into_iter().map(|c| (c.0, c.1)).collect();
    assert_eq!(seen, [("a", 1), ("b", 1), ("c", 2), ("a", 2)].map(|(path, version)| (path.to_owned(), version)));
    assert_eq!(read_settled(&mut session, project, &mut cursor, 10), []);
    // A save that changes nothing is none.
    session.put(project, "c", "one");
    assert_eq!(read_settled(&mut session, project, &mut cursor, 10), []);
    session.put(project, "c", "two");
    assert_eq!(read_settled(&mut session, project, &mut cursor, 10).len(), 1);
    // All versions of one transaction, in pages that end in its middle.
    session.run("BEGIN");
    for n in 0..50 {
        session.put(project, &format!("f{}", n % 7), &n.to_string());
    }
    session.run("COMMIT");
    assert_eq!(read_settled(&mut session, project, &mut cursor, 3).len(), 50);
    assert_eq!(read_settled(&mut session, project, &mut None, 4).len(), 55);
}

#[test]
fn what_is_not_committed_is_not_shown_and_holds_back_what_came_after() {
    let db = Database::new("feed_waits");
    let (mut old, mut new, mut reader) = (db.connect(), db.connect(), db.connect());
    let project = reader.project(Uuid::new_v4()).project;
    let mut cursor = None;
    old.run("BEGIN");
    old.put(project, "a", "of the older transaction");
    new.put(project, "b", "of the newer one");
    assert_eq!(read_on(&mut reader, project, &mut cursor, 10), [], "else the older one would be passed");
    old.run("COMMIT");
    let paths: Vec<String> =
        read_settled(&mut reader, project, &mut cursor, 10).into_iter().map(|change| change.0).collect();
    assert_eq!(paths, ["a", "b"]);
    // What is rolled back is never shown.
    old.run("BEGIN");
    old.put(project, "a", "undone");
    old.run("ROLLBACK");
    new.put(project, "b", "two");
    assert_eq!(
        read_settled(&mut reader, project, &mut cursor, 10),
        [("b".into(), 2, Some(crate::support::sha256("two")))]
    );
}

/// Writers of short and long transactions, with savepoints and rollbacks, and readers who poll with pages of all sizes.
#[test]
fn readers_miss_nothing_however_writers_interleave() {
    const WRITERS: usize = 6;
    const READERS: usize = 3;
    const ROUNDS: usize = 40;
    let db = Database::new("feed_race");
    let mut admin = db.connect();
    let project = admin.project(Uuid::new_v4()).project;
    let done = AtomicBool::new(false);
    let seen: Vec<Vec<Change>> = thread::scope(|scope| {
        let readers: Vec<_> = sessions(READERS, || db.connect())
            .into_iter()
            .enumerate()
            .map(|(who, mut session)| {
                let done = &done;
                scope.spawn(move || {
                    let (mut all, mut cursor) = (Vec::new(), None);
                    loop {
                        let last = done.load(Ordering::SeqCst);
                        if last {
                            settle(&mut session);
                        }
                        all.extend(read_on(&mut session, project, &mut cursor, [1, 7, 1000][who]));
                        if last {
                            return all;
                        }
                    }
                })
            })
            .collect();
        let writers: Vec<_> = sessions(WRITERS, || db.connect())
            .into_iter()
            .enumerate()
            .map(|(who, mut session)| {
                scope.spawn(move || {
                    let mut random = Random(who as u64);
                    for n in 0..ROUNDS {
                        session.run("BEGIN");
                        // In one order, so that transactions of several saves do not deadlock.
                        for file in 0..1 + random.below(4) {
                            if random.below(4) == 0 {
                                session.run("SAVEPOINT s");
                                session.put(project, &format!("{file}{}", who % 2), "undone");
                                session.run("ROLLBACK TO s");
                            }
                            session.put(project, &format!("{file}{}", who % 2), &format!("{who} {n} {file}"));
                            if random.below(3) == 0 {
                                session.run("SELECT pg_sleep(0.003)");
                            }
                        }
                        session.run(if random.below(5) == 0 { "ROLLBACK" } else { "COMMIT" });
                    }
                })
            })
            .collect();
        writers.into_iter().for_each(|writer| writer.join().expect("no panic"));
        done.store(true, Ordering::SeqCst);
        readers.into_iter().map(|reader| reader.join().expect("no panic")).collect()
    });
    let due = history(&mut admin, project);
    for changes in seen {
        let count = changes.len();
        assert_eq!(changes.into_iter().collect::<BTreeSet<_>>(), due);
        assert_eq!(count, due.len(), "none came twice");
    }
    invariants::hold(&mut admin);
}

#[test]
fn cursors_from_elsewhere_are_refused() {
    let db = Database::new("feed_cursors");
    let mut session = db.connect();
    let project = session.project(Uuid::new_v4()).project;
    session.put(project, "a", "one");
    let (_, cursor) = try_page(&mut session, project, None, 10).expect("a page");
    let cursor = cursor.expect("a change");
    let parts: Vec<&str> = cursor.split('.').collect();
    let elsewhere = format!("{:x}.{}", 0x1234_5678_9abc_def0_u64, parts[1..].join("."));
    let ahead = format!("{}.{:x}.{}", parts[0], u64::MAX / 2, parts[2..].join("."));
    for wrong in ["", "x", "1.2.3", &cursor[1..], &format!("{cursor}.0"), &cursor.to_uppercase(), &elsewhere, &ahead] {
        let refusal = refused(try_page(&mut session, project, Some(wrong), 10), "22023");
        assert!(refusal.hint.is_some_and(|hint| hint.contains("p_after")), "{wrong}");
    }
    for limit in [0, -1, 10_001] {
        refused(try_page(&mut session, project, None, limit), "22023");
    }
}

/// As pg_restore and logical replication bring rows: with another cluster's transactions in them.
#[test]
fn rows_that_come_from_elsewhere_are_changes_of_the_transaction_that_brings_them() {
    let db = Database::new("feed_restored");
    let mut session = db.connect();
    let project = session.project(Uuid::new_v4()).project;
    session.put(project, "a", "one");
    let mut cursor = None;
    read_settled(&mut session, project, &mut cursor, 10);
    for (role, xid) in [("origin", "1"), ("replica", "9223372036854775807")] {
        session.run(&format!(
            "SET session_replication_role = {role};
             INSERT INTO versioned.project_file_versions
                    (project_id, file_id, id, created_at, change_xid, version, size_bytes, snapshot_seq, is_deleted, file_path, file_type)
             SELECT project_id, gen_random_uuid(), gen_random_uuid(), now(), '{xid}', 1, 0, 1, true, '{role}', 'text'
               FROM versioned.project_file_versions WHERE file_path = 'a';
             RESET session_replication_role"
        ));
        let paths: Vec<String> =
            read_settled(&mut session, project, &mut cursor, 10).into_iter().map(|change| change.0).collect();
        assert_eq!(paths, [role], "after the cursor, and at once");
    }
}
