//! Rate limits: an actor who saves too often is told when to try again, and counting disturbs nobody.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::invariants::{self, everything};
use crate::support::{Database, Session, race, refused, sessions};

/// A database where that many saves may be made at once, and then one in that many seconds.
fn limited(test: &str, burst: u32) -> Database {
    let db = Database::new(test);
    let settings = [("rate", 1), ("burst", burst)];
    for (name, value) in settings {
        db.connect().run(&format!("ALTER DATABASE {} SET pg_versioned.save_{name} = {value}", db.name));
    }
    db
}

#[test]
fn a_burst_is_followed_by_429_until_the_time_it_names() {
    const BURST: usize = 30;
    let db = limited("limit", BURST as u32);
    let (owner, mut admin) = (Uuid::new_v4(), db.connect());
    let project = admin.project(owner).project;
    let mut user = db.user(owner);
    let began = Instant::now();
    let mut saved = 0;
    let refusal = loop {
        match user.save(project, "a", &format!("{saved}"), None) {
            Ok(_) => saved += 1,
            Err(refusal) => break refusal,
        }
    };
    assert!(saved >= BURST && saved <= BURST + began.elapsed().as_secs() as usize + 1, "{saved} saves");
    assert_eq!(refusal.code, "PT429");
    let wait = refusal.json()["retry_after_ms"].as_u64().expect("milliseconds");
    assert!(wait > 0 && wait <= 1_000, "{refusal:?}");
    assert!(refusal.message.contains(&project.to_string()) && refusal.hint.is_some(), "{refusal:?}");
    thread::sleep(Duration::from_millis(wait));
    user.put(project, "a", "after the time named");
    // So much that the limit stays used up for as long as this test may take.
    admin.run("UPDATE versioned.rate_limits SET paid_off = clock_timestamp() + interval '60 s'");
    let before = everything(&mut admin);
    // Every way to save has the same limit; reading and saving nothing new have none.
    for sql in [
        "SELECT versioned.delete_project_file($1, 'a')",
        "SELECT versioned.move_project_file($1, 'a', 'b')",
        "SELECT versioned.revert_project_file($1, 'a', 1)",
        "SELECT versioned.merge_project_file($1, 'b', 'x', 0)",
        "SELECT versioned.atomic_upsert_project_files($1, '[{\"file_path\": \"b\", \"content\": \"\", \"file_type\": \"t\"}]')",
        "INSERT INTO versioned.project_files (project_id, file_path, content) VALUES ($1, 'b', 'x')",
        "UPDATE versioned.project_files SET content = 'x' WHERE project_id = $1 AND is_current_version",
        "DELETE FROM versioned.project_files WHERE project_id = $1 AND is_current_version",
    ] {
        refused(user.try_rows(sql, &[&project]), "PT429");
    }
    let answer: Json = user.value("SELECT versioned.upsert_project_file($1, 'b', 'x', 'text')", &[&project]);
    assert_eq!(answer["error"]["code"], json!("RATE_LIMIT_EXCEEDED"));
    assert_eq!(answer["error"]["retry_suggested"], json!(true));
    assert_eq!(user.put(project, "a", "after the time named") as usize, saved + 1);
    assert_eq!(user.list(project).len(), 1);
    assert_eq!(everything(&mut admin), before);
    // Other projects and other users have limits of their own, privileged callers none.
    let second = admin.project(owner).project;
    user.put(second, "a", "x");
    for n in 0..20 {
        admin.put(project, "a", &format!("by an operator {n}"));
    }
    admin.run("UPDATE versioned.rate_limits SET paid_off = clock_timestamp() + interval '29 s'");
    user.put(project, "b", "one more");
    invariants::hold(&mut admin);
}

#[test]
fn only_committed_saves_count() {
    let db = limited("limit_undone", 3);
    let (owner, mut admin) = (Uuid::new_v4(), db.connect());
    let project = admin.project(owner).project;
    let mut user = db.user(owner);
    for n in 0..10 {
        user.run("BEGIN");
        user.put(project, "a", &n.to_string());
        user.run("SAVEPOINT s");
        user.put(project, "b", &n.to_string());
        user.run("ROLLBACK TO s");
        user.put(project, "c", &n.to_string());
        user.run("ROLLBACK");
        refused(user.save(project, "a", "x", Some(7)), "PT409");
    }
    user.run("BEGIN");
    for n in 0..3 {
        user.put(project, "a", &n.to_string());
    }
    user.run("SAVEPOINT s");
    refused(user.save(project, "a", "one too many", None), "PT429");
    user.run("ROLLBACK TO s; COMMIT");
    refused(user.save(project, "a", "one too many", None), "PT429");
    // A batch costs one, however many files it has.
    let other = admin.project(owner).project;
    let files: Vec<Json> =
        (0..50).map(|n| json!({"file_path": format!("f{n}"), "content": "x", "file_type": "text"})).collect();
    user.rows("SELECT versioned.atomic_upsert_project_files($1, $2)", &[&other, &json!(files)]);
    user.put(other, "a", "two");
    user.put(other, "a", "three");
    refused(user.save(other, "a", "four", None), "PT429");
}

#[test]
fn settings_turn_it_off_and_belong_to_superusers() {
    let db = limited("limit_settings", 1);
    let (owner, mut admin) = (Uuid::new_v4(), db.connect());
    let project = admin.project(owner).project;
    let mut user = db.user(owner);
    user.put(project, "a", "one");
    refused(user.save(project, "a", "two", None), "PT429");
    refused(user.try_run("SET pg_versioned.save_rate = 0"), "42501");
    refused(user.try_run("SET pg_versioned.save_burst = 1000"), "42501");
    admin.run(&format!("ALTER DATABASE {} SET pg_versioned.save_rate = 0", db.name));
    let mut user = db.user(owner);
    for n in 0..30 {
        user.put(project, "a", &n.to_string());
    }
    assert!(admin.value::<bool>("SELECT versioned.delete_project($1)", &[&project]));
    assert_eq!(admin.value::<i64>("SELECT count(*) FROM versioned.rate_limits", &[]), 0);
}

/// Saves of one user that are all under way at once: none waits for another, and together they keep to the limit.
#[test]
fn open_transactions_of_one_user_do_not_wait_for_each_other_and_count() {
    const SAVERS: usize = 12;
    let db = limited("limit_open", SAVERS as u32);
    let (owner, mut admin) = (Uuid::new_v4(), db.connect());
    let project = admin.project(owner).project;
    for level in ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"] {
        admin.run("TRUNCATE versioned.rate_limits");
        let mut savers = sessions(SAVERS, || db.user(owner));
        for (n, saver) in savers.iter_mut().enumerate() {
            saver.run(&format!("BEGIN ISOLATION LEVEL {level}; SET LOCAL lock_timeout = '3s'"));
            saver.put(project, &format!("{n}"), level);
        }
        // The reading of counts is none of SERIALIZABLE's business.
        let seen = "SELECT count(*) FILTER (WHERE relation::regclass::text LIKE 'versioned.rate_limits%'), count(*)
                      FROM pg_locks WHERE mode = 'SIReadLock'";
        let row = admin.row(seen, &[]);
        assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1) > 0), (0, level == "SERIALIZABLE"));
        // What is not committed counts for the time being.
        let mut late = db.user(owner);
        refused(late.save(project, "late", level, None), "PT429");
        savers.iter_mut().for_each(|saver| saver.run("COMMIT"));
        refused(late.save(project, "late", level, None), "PT429");
    }
    assert_eq!(admin.list(project).len(), SAVERS);
    invariants::hold(&mut admin);
}

/// Many saves of one user at once: the count makes none of them fail or wait.
#[test]
fn counting_makes_nobody_fail() {
    const SAVERS: usize = 8;
    const SAVES: usize = 60;
    let db = Database::new("limit_race");
    let (owner, mut admin) = (Uuid::new_v4(), db.connect());
    let project = admin.project(owner).project;
    for level in ["read committed", "repeatable read"] {
        let open = || -> Session {
            let mut session = db.user(owner);
            session.run(&format!("SET default_transaction_isolation = '{level}'; SET lock_timeout = '10s'"));
            session
        };
        race(sessions(SAVERS, open), |who, session| {
            for n in 0..SAVES {
                // A file of its own: whatever fails is the count's doing.
                session.put(project, &format!("{who}"), &format!("{level} {n}"));
            }
        });
    }
    assert_eq!(admin.list(project).iter().map(|(_, version, _)| version).sum::<i32>() as usize, 2 * SAVERS * SAVES);
    let slots: i64 = admin.value("SELECT count(*) FROM versioned.rate_limits", &[]);
    assert!(slots as usize <= 2 * SAVERS, "{slots} slots for one user in one project");
    invariants::hold(&mut admin);
}

/// Sessions that save as fast as they can get no more through than the limit allows, except for saves in the same instant.
#[test]
fn together_they_keep_to_the_rate() {
    const SAVERS: usize = 4;
    const BURST: usize = 20;
    let db = limited("limit_kept", BURST as u32);
    let (owner, mut admin) = (Uuid::new_v4(), db.connect());
    let project = admin.project(owner).project;
    let began = Instant::now();
    let saved: usize = race(sessions(SAVERS, || db.user(owner)), |who, session| {
        (0..200).filter(|n| session.save(project, &format!("{who}"), &n.to_string(), None).is_ok()).count()
    })
    .into_iter()
    .sum();
    let allowed = BURST + began.elapsed().as_secs() as usize + 1;
    assert!(saved >= BURST && saved <= allowed + SAVERS * 3, "{saved} saves, {allowed} allowed");
    assert_eq!(admin.list(project).iter().map(|(_, version, _)| *version as usize).sum::<usize>(), saved);
}
