//! The advisory locks, as other clients of the protocol and operators know them.

use std::collections::BTreeSet;
use std::thread;

use serde_json::json;
use uuid::Uuid;

use crate::invariants;
use crate::support::{Database, Session, race, refused, sessions, until_waiting};

/// Advisory locks a backend holds: key and mode.
fn held(admin: &mut Session, pid: i32) -> BTreeSet<(i64, String)> {
    let sql = "SELECT (classid::bigint << 32) | objid::bigint, mode FROM pg_locks
                WHERE locktype = 'advisory' AND objsubid = 1 AND granted AND pid = $1";
    admin.rows(sql, &[&pid]).iter().map(|row| (row.get(0), row.get(1))).collect()
}

#[test]
fn keys_are_hashes_of_the_documented_texts() {
    let db = Database::new("lock_keys");
    let mut admin = db.connect();
    for (id, path) in [
        (Uuid::nil(), "a"),
        (Uuid::max(), "src/App.tsx"),
        (Uuid::new_v4(), "日本語/😀 'q\".md"),
        (Uuid::new_v4(), &"x".repeat(1024)),
    ] {
        let agree: bool = admin.value(
            "SELECT versioned.owner_lock_key($1) = hashtextextended('owner:' || $1, 0)
                AND versioned.project_lock_key($1) = hashtextextended('project:' || $1, 0)
                AND versioned.file_lock_key($1, $2) = hashtextextended('file:' || $1 || ':' || $2, 0)",
            &[&id, &path],
        );
        assert!(agree, "{id} {path}");
    }
    let nulls: bool = admin.value(
        "SELECT versioned.owner_lock_key(NULL) IS NULL AND versioned.project_lock_key(NULL) IS NULL
            AND versioned.file_lock_key(NULL, 'a') IS NULL",
        &[],
    );
    assert!(nulls);
}

#[test]
fn calls_hold_the_documented_locks_until_their_transaction_ends() {
    let db = Database::new("lock_modes");
    let (mut session, mut admin) = (db.connect(), db.connect());
    let owner = Uuid::new_v4();
    let first = admin.project(owner);
    let project = first.project;
    admin.put(project, "a", "one");
    let project_key: i64 = admin.value("SELECT versioned.project_lock_key($1)", &[&project]);
    let mut file_key =
        |path: &str| -> i64 { admin.value("SELECT versioned.file_lock_key($1, $2)", &[&project, &path]) };
    let (a, b) = (file_key("a"), file_key("b"));
    let owner_key: i64 = admin.value("SELECT versioned.owner_lock_key($1)", &[&owner]);
    let locks = |locks: &[(i64, &str)]| locks.iter().map(|(key, mode)| (*key, (*mode).to_owned())).collect();
    let (shared, exclusive) = ("ShareLock", "ExclusiveLock");

    session.run("BEGIN");
    session.put(project, "a", "two");
    assert_eq!(held(&mut admin, session.pid), locks(&[(project_key, shared), (a, exclusive)]));
    session.delete(project, "a", None).expect("deleted");
    assert_eq!(held(&mut admin, session.pid), locks(&[(project_key, shared), (a, exclusive)]));
    session.run("ROLLBACK; BEGIN");
    session.rename(project, "a", "b", None).expect("moved");
    assert_eq!(held(&mut admin, session.pid), locks(&[(project_key, shared), (a, exclusive), (b, exclusive)]));
    session.run("ROLLBACK; BEGIN");
    session.succeed(project, &first.build, json!({})).expect("it succeeds");
    assert_eq!(held(&mut admin, session.pid), locks(&[(project_key, exclusive)]));
    session.run("ROLLBACK; BEGIN");
    session.project(owner);
    assert_eq!(held(&mut admin, session.pid), locks(&[(owner_key, exclusive)]));
    session.run("ROLLBACK; BEGIN");
    // Readers hold nothing.
    session.list(project);
    session.get(project, "a", None).expect("it is there");
    assert_eq!(held(&mut admin, session.pid), locks(&[]));
    session.run("COMMIT");
    assert_eq!(held(&mut admin, session.pid), locks(&[]));
}

#[test]
fn any_client_can_join_the_protocol() {
    let db = Database::new("lock_join");
    let (mut client, mut saver, mut admin) = (db.connect(), db.connect(), db.connect());
    let project = admin.project(Uuid::new_v4()).project;
    for lock in [
        "SELECT pg_advisory_xact_lock(versioned.file_lock_key($1, 'a'))",
        "SELECT pg_advisory_xact_lock(versioned.project_lock_key($1))",
    ] {
        client.run("BEGIN");
        client.rows(lock, &[&project]);
        let pid = saver.pid;
        thread::scope(|scope| {
            let waiting = scope.spawn(|| saver.put(project, "a", lock));
            until_waiting(&mut admin, pid);
            client.run("COMMIT");
            waiting.join().expect("no panic");
        });
    }
    // Sharing the project as savers do is in nobody's way.
    client.run("BEGIN");
    client.rows("SELECT pg_advisory_xact_lock_shared(versioned.project_lock_key($1))", &[&project]);
    saver.run("SET lock_timeout = '10s'");
    saver.put(project, "a", "not waiting");
    client.run("COMMIT");
}

#[test]
fn files_of_one_project_do_not_wait_for_each_other_nor_projects() {
    let db = Database::new("lock_free");
    let (mut first, mut second, mut admin) = (db.connect(), db.connect(), db.connect());
    let one = admin.project(Uuid::new_v4());
    let other = admin.project(Uuid::new_v4());
    second.run("SET lock_timeout = '10s'");
    first.run("BEGIN");
    first.put(one.project, "a", "one");
    second.put(one.project, "b", "two");
    second.put(other.project, "a", "three");
    second.succeed(other.project, &other.build, json!({})).expect("it succeeds");
    // Readers wait for nobody, and see what is committed.
    assert_eq!(second.list(one.project).len(), 1);
    first.run("COMMIT");
}

#[test]
fn thousands_of_saves_in_one_transaction_fit_the_lock_table() {
    const SAVES: i64 = 13_000;
    let db = Database::new("bulk");
    let (mut session, mut admin) = (db.connect(), db.connect());
    let (project, other) = (admin.project(Uuid::new_v4()).project, admin.project(Uuid::new_v4()).project);
    session.run("BEGIN");
    let saved: i64 = session.value(
        "SELECT count(*)
           FROM generate_series(1, $2) n,
                versioned.atomic_upsert_project_file($1, 'src/' || n, 'content ' || n, 'text') f
          WHERE f.version = 1",
        &[&project, &(SAVES as i32)],
    );
    assert_eq!(saved, SAVES);
    assert!(held(&mut admin, session.pid).len() <= 202);
    // Other projects go on, this one's savers wait.
    let mut saver = db.connect();
    saver.put(other, "a", "elsewhere");
    let pid = saver.pid;
    thread::scope(|scope| {
        let waiting = scope.spawn(|| saver.put(project, "src/1", "after"));
        until_waiting(&mut admin, pid);
        session.run("COMMIT");
        assert_eq!(waiting.join().expect("no panic"), 2);
    });
    assert_eq!(admin.list(project).len() as i64, SAVES);
    // Moves and deletions of as many, too.
    session.run("BEGIN");
    session.rows(
        "SELECT versioned.move_project_file($1, 'src/' || n, 'lib/' || n) FROM generate_series(1, 500) n",
        &[&project],
    );
    session
        .rows("SELECT versioned.delete_project_file($1, 'src/' || n) FROM generate_series(501, 1000) n", &[&project]);
    assert!(held(&mut admin, session.pid).len() <= 202);
    session.run("COMMIT");
    assert_eq!(admin.list(project).len() as i64, SAVES - 500);
    invariants::hold(&mut admin);
}

/// The number of locks is counted per transaction, not per session or savepoint.
#[test]
fn escalation_starts_anew_with_each_transaction() {
    let db = Database::new("escalation");
    let (mut session, mut other, mut admin) = (db.connect(), db.connect(), db.connect());
    let project = admin.project(Uuid::new_v4()).project;
    let save =
        "SELECT versioned.atomic_upsert_project_file($1, n::text, $3 || n, 'text') FROM generate_series(1, $2) n";
    other.run("SET lock_timeout = '300ms'");
    session.run("BEGIN; SAVEPOINT s");
    session.rows(save, &[&project, &201, &"one "]);
    refused(other.save(project, "other", "one", None), "55P03");
    session.run("ROLLBACK TO s");
    other.save(project, "other", "one", None).expect("nothing is held");
    session.rows(save, &[&project, &1, &"one "]);
    session.run("COMMIT; BEGIN");
    session.rows(save, &[&project, &200, &"two "]);
    other.save(project, "other", "two", None).expect("200 files are locked one by one");
    refused(other.save(project, "200", "other", None), "55P03");
    session.run("COMMIT");
    invariants::hold(&mut admin);
}

/// Locks are taken in the order of their keys, so that calls on the same files cannot deadlock.
#[test]
fn files_moved_to_and_fro_never_deadlock() {
    let db = Database::new("to_and_fro");
    let mut admin = db.connect();
    let project = admin.project(Uuid::new_v4()).project;
    let paths = ["a", "b", "c", "d"];
    admin.put(project, "a", "the one file");
    race(sessions(8, || db.connect()), |n, session| {
        for k in 0..60 {
            let (from, to) = (paths[(n + k) % 4], paths[(n * 3 + k * 2 + 1) % 4]);
            if let Err(refusal) = session.rename(project, from, to, None) {
                assert!(["PT404", "PT409"].contains(&&*refusal.code), "{refusal:?}");
            }
        }
    });
    let listed = admin.list(project);
    assert_eq!((listed.len(), &*listed[0].2), (1, "the one file"));
    invariants::hold(&mut admin);
}

#[test]
fn operators_see_who_holds_what_and_who_waits_behind_whom() {
    const LOCKS: &str = "SELECT kind, file_path, mode, granted, blocked_by, since <= clock_timestamp()
                           FROM versioning_locks WHERE pid = $1 AND project_id = $2 ORDER BY kind, file_path";
    type Seen = (String, Option<String>, String, bool, Vec<i32>, bool);
    let db = Database::new("lock_view");
    let (mut holder, mut saver, mut builder, mut admin) = (db.connect(), db.connect(), db.connect(), db.connect());
    admin.run("SET search_path = versioned, public");
    let project = admin.project(Uuid::new_v4()).project;
    let other = admin.project(Uuid::new_v4()).project;
    admin.put(project, "a", "one");
    admin.put(other, "a", "one");
    let mut seen = |pid: i32| -> Vec<Seen> {
        let rows = admin.rows(LOCKS, &[&pid, &project]);
        rows.iter().map(|r| (r.get(0), r.get(1), r.get(2), r.get(3), r.get(4), r.get(5))).collect()
    };
    let file = |mode: &str, granted, behind: &[i32]| -> Seen {
        ("file".into(), Some("a".into()), mode.into(), granted, behind.to_vec(), true)
    };
    let whole = |mode: &str, granted, behind: &[i32]| -> Seen {
        ("project".into(), None, mode.into(), granted, behind.to_vec(), true)
    };
    holder.run("BEGIN");
    holder.put(other, "a", "two");
    holder.put(project, "a", "two");
    assert_eq!(seen(holder.pid), [file("exclusive", true, &[]), whole("shared", true, &[])]);
    let (holding, saving, building) = (holder.pid, saver.pid, builder.pid);
    thread::scope(|scope| {
        let saver = scope.spawn(move || saver.put(project, "a", "three"));
        until_waiting(&mut db.connect(), saving);
        let builder = scope.spawn(move || builder.start(project, true).map(|_| ()));
        until_waiting(&mut db.connect(), building);
        assert_eq!(seen(saving), [file("exclusive", false, &[holding]), whole("shared", true, &[])]);
        let mut behind = seen(building);
        behind[0].4.sort_unstable();
        let mut due = [holding, saving];
        due.sort_unstable();
        assert_eq!(behind, [whole("exclusive", false, &due)]);
        holder.run("COMMIT");
        assert_eq!(saver.join().expect("no panic"), 3);
        builder.join().expect("no panic").expect("it starts");
    });
    assert!(admin.rows("SELECT FROM versioning_locks", &[]).is_empty());
    refused(db.user(Uuid::new_v4()).try_rows("SELECT FROM versioned.versioning_locks", &[]), "42501");
}
