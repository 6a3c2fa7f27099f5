//! Batches as large as they may be: memory afterwards, and errors that stay readable.

use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::invariants::{self, everything};
use crate::support::{Database, Random, Session, backend_memory, refused, skipped};

const BATCH: &str = "SELECT file_path, version FROM versioned.atomic_upsert_project_files($1, $2)";

const MB: u64 = 1 << 20;

/// Bytes of a backend's own memory that are not shared with others; `None` where this system does not tell.
fn own_memory(pid: i32) -> Option<u64> {
    backend_memory(pid, "RssAnon")
}

/// A text that compresses hardly: hexadecimal digits, in lines.
fn noise(random: &mut Random, length: usize) -> String {
    let mut text = String::with_capacity(length + 80);
    while text.len() < length {
        for _ in 0..4 {
            text.push_str(&format!("{:016x}", random.below(usize::MAX)));
        }
        text.push('\n');
    }
    text.truncate(length);
    text
}

/// Memory that a session has for itself after batches of 100 MB, each of so many files of a size; `None` as above.
fn memory_after(db: &Database, batches: usize, files: u64, size: u64) -> Option<Vec<u64>> {
    let mut admin = db.connect();
    let project = admin.project(Uuid::new_v4()).project;
    let mut session = db.connect();
    session.run("SET statement_timeout = 0");
    own_memory(session.pid)?;
    let mut random = Random(1);
    let mut used = Vec::new();
    for n in 1..=batches {
        let file = |path| json!({"file_path": format!("{path}"), "content": noise(&mut random, size as usize), "file_type": "text"});
        let batch = json!((0..files).map(file).collect::<Vec<Json>>());
        let saved: Vec<i32> = session.rows(BATCH, &[&project, &batch]).iter().map(|row| row.get(1)).collect();
        assert_eq!(saved, vec![n as i32; files as usize]);
        // Idle for sure.
        session.run("SELECT 1");
        used.push(own_memory(session.pid)?);
    }
    assert!(admin.value::<bool>("SELECT versioned.delete_project($1)", &[&project]));
    Some(used)
}

#[test]
fn a_session_gives_back_the_memory_of_large_batches() {
    let db = Database::new("batch_memory");
    // New files, and files whose versions stand on others.
    for (batches, files, size) in [(2, 10, 10 * MB), (1, 1000, 100 << 10)] {
        let Some(used) = memory_after(&db, batches, files, size) else {
            skipped("the server's memory cannot be seen from here");
            return;
        };
        let megabytes: Vec<u64> = used.iter().map(|bytes| bytes / MB).collect();
        assert!(megabytes.iter().all(|&used| used < 100), "{megabytes:?} MB after each batch of {files} files");
    }
}

#[test]
fn ten_thousand_conflicts_are_an_error_of_readable_size() {
    const FILES: usize = 10_000;
    let db = Database::new("batch_conflicts");
    let (owner, mut admin) = (Uuid::new_v4(), db.connect());
    let project = admin.project(owner).project;
    // Long paths, of which some have a file.
    let path = |n: usize| format!("{}/{n}", "é".repeat(500));
    for n in 0..20 {
        admin.put(project, &path(n), "one");
    }
    let before = everything(&mut admin);
    let files: Vec<Json> = (0..FILES)
        .map(|n| json!({"file_path": path(n), "content": "x", "file_type": "text", "expected_version": 7}))
        .collect();
    let files = json!(files);
    for mut session in [db.user(owner), db.connect()] {
        let refusal = refused(session.try_rows(BATCH, &[&project, &files]), "PT409");
        let length = refusal.detail.as_ref().map_or(0, String::len);
        assert!(length < 100_000, "{length} bytes of DETAIL");
        assert!(refusal.message.len() < 20_000, "{} bytes of message", refusal.message.len());
        let detail = refusal.json();
        let listed = detail["conflicts"].as_array().expect("a list");
        assert!(!listed.is_empty() && listed.len() < FILES, "{}", listed.len());
        assert!(listed.iter().all(|conflict| conflict["expected"] == 7 && conflict["file_path"].is_string()));
        // How many there are is told all the same.
        let numbers = detail.as_object().expect("an object").values().filter_map(Json::as_u64);
        let told = numbers.into_iter().any(|n| n == FILES as u64) || refusal.message.contains("10000");
        assert!(told, "{}", refusal.message);
        assert_eq!(detail["file_path"], path(0), "the first one stands as a single conflict would");
    }
    assert_eq!(everything(&mut admin), before);
    invariants::hold(&mut admin);
}

/// Few conflicts are all listed, in the batch's order.
#[test]
fn a_hundred_conflicts_are_all_listed_where_they_are_short() {
    let db = Database::new("batch_conflicts_few");
    let mut session: Session = db.connect();
    let project = session.project(Uuid::new_v4()).project;
    let path = |n: usize| format!("{n}");
    let files: Vec<Json> = (0..100)
        .map(|n| json!({"file_path": path(n), "content": "x", "file_type": "text", "expected_version": 7}))
        .collect();
    let refusal = refused(session.try_rows(BATCH, &[&project, &json!(files)]), "PT409");
    let detail = refusal.json();
    let listed = detail["conflicts"].as_array().expect("a list");
    assert!(listed.len() <= 100 && listed.iter().enumerate().all(|(n, conflict)| conflict["file_path"] == path(n)));
}
