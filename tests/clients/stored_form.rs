//! Contents are stored as what changed: whatever the history, every version reads back.

use std::fs::File as Disk;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;
use uuid::Uuid;

use crate::invariants;
use crate::support::{Database, Random, Session, race, sessions, sha256};

/// A text as an editor's user leaves it after some minutes: edited here and there, sometimes rewritten.
fn edit(random: &mut Random, text: &str) -> String {
    let words = ["alpha ", "βήτα ", "\r\n", "fn main() {}\n", "😀", "    ", "return x;\n", ""];
    let mut chars: Vec<char> = text.chars().collect();
    match random.below(20) {
        0 => return String::new(),
        1 => return (0..random.below(3_000)).map(|_| char::from(b'!' + random.below(90) as u8)).collect(),
        2 => chars.extend(text.chars().take(500)),
        3 => {
            let middle = chars.len() / 2;
            chars.rotate_left(middle);
        }
        _ => {
            for _ in 0..1 + random.below(3) {
                let at = random.below(chars.len() + 1);
                let end = (at + random.below(40)).min(chars.len());
                chars.splice(at..end, words[random.below(words.len())].chars().collect::<Vec<_>>());
            }
        }
    }
    chars.into_iter().collect()
}

#[track_caller]
fn assert_versions(session: &mut Session, project: Uuid, path: &str, contents: &[String]) {
    let sql = "SELECT version, content, content_hash FROM versioned.project_files
                WHERE project_id = $1 AND file_path = $2 ORDER BY version";
    let rows = session.rows(sql, &[&project, &path]);
    assert_eq!(rows.len(), contents.len());
    for (n, (row, content)) in rows.iter().zip(contents).enumerate() {
        assert_eq!(row.get::<_, i32>(0), n as i32 + 1);
        assert!(row.get::<_, &str>(1) == content, "version {} differs", n + 1);
        assert_eq!(row.get::<_, &str>(2), sha256(content));
    }
}

#[test]
fn every_version_of_a_session_reads_back_every_way() {
    let db = Database::new("sessions");
    let mut session = db.connect();
    let project = session.project(Uuid::new_v4()).project;
    for seed in 0..6_u64 {
        let path = format!("file {seed}");
        let mut random = Random(seed + 1);
        let mut contents: Vec<String> = Vec::new();
        let mut text = "line of the first version\n".repeat(200);
        for _ in 0..150 {
            if contents.last() != Some(&text) {
                session.put(project, &path, &text);
                contents.push(text.clone());
            }
            text = edit(&mut random, &text);
        }
        assert_versions(&mut session, project, &path, &contents);
        for n in (1..=contents.len()).step_by(7) {
            let read = session.get(project, &path, Some(n as i32)).expect("read");
            assert_eq!(read.content.as_ref(), Some(&contents[n - 1]));
        }
        assert!(session.list(project).iter().any(|file| file.0 == path && Some(&file.2) == contents.last()));
    }
    invariants::hold(&mut session);
}

#[test]
fn a_history_of_small_edits_is_stored_in_a_fraction() {
    let db = Database::new("fraction");
    let mut session = db.connect();
    let project = session.project(Uuid::new_v4()).project;
    let mut text: String = (0..2_000).map(|n| format!("let value_{n} = compute({});\n", n * n)).collect();
    for n in 0..300_usize {
        text.insert_str(n * 7919 % text.len(), "edited ");
        session.put(project, "large.rs", &text);
    }
    let sql = "SELECT content_bytes::float8 / stored_bytes FROM versioned.project_storage WHERE project_id = $1";
    let ratio: f64 = session.value(sql, &[&project]);
    assert!(ratio > 100.0, "{ratio}");
    // Moved, deleted and made again, it still stands on what it was.
    session.rename(project, "large.rs", "moved.rs", None).expect("moved");
    session.delete(project, "moved.rs", None).expect("deleted");
    session.put(project, "moved.rs", &text);
    let sql =
        "SELECT max(octet_length(stored)) FROM versioned.project_file_versions WHERE project_id = $1 AND version > 300";
    let largest: i32 = session.value(sql, &[&project]);
    assert!(largest < 3_000, "{largest}");
    invariants::hold(&mut session);
}

#[test]
fn incompressible_and_tiny_contents_take_no_more_than_they_are() {
    let db = Database::new("incompressible");
    let mut session = db.connect();
    let project = session.project(Uuid::new_v4()).project;
    for (path, content) in [("empty", ""), ("one", "x"), ("small", "let a = 1;\n")] {
        session.put(project, path, content);
        session.put(project, path, &format!("{content}y"));
    }
    let sql = "SELECT bool_and(octet_length(stored) <= size_bytes + 2) FROM versioned.project_file_versions";
    assert!(session.value::<bool>(sql, &[]));
    invariants::hold(&mut session);
}

/// What a rolled-back save left in the session must not be taken for the version that got its number.
#[test]
fn a_number_that_was_rolled_back_is_another_content() {
    let db = Database::new("reused");
    let (mut one, mut two) = (db.connect(), db.connect());
    let project = one.project(Uuid::new_v4()).project;
    let text = |who: &str, n: usize| format!("{}\n{who} {n}\n", "a line that stays\n".repeat(100));
    let mut contents = vec![text("start", 0)];
    one.put(project, "a", &contents[0]);
    for n in 0..40 {
        one.run("BEGIN; SAVEPOINT before");
        for m in 0..n % 4 + 1 {
            one.put(project, "a", &text("lost", 1_000 * n + m));
        }
        one.run(if n % 2 == 0 { "ROLLBACK TO before" } else { "ROLLBACK; BEGIN" });
        one.put(project, "a", &text("kept", n));
        one.run("COMMIT");
        contents.push(text("kept", n));
        two.put(project, "a", &text("other", n));
        contents.push(text("other", n));
    }
    assert_versions(&mut one, project, "a", &contents);
    invariants::hold(&mut one);
}

#[test]
fn without_a_cache_it_is_the_same() {
    let db = Database::new("uncached");
    let mut session = db.connect();
    session.run("SET pg_versioned.base_cache_size = 0");
    let project = session.project(Uuid::new_v4()).project;
    let mut random = Random(99);
    let mut contents = vec!["start of it\n".repeat(300)];
    while contents.len() < 120 {
        let next = edit(&mut random, contents.last().expect("not empty"));
        if Some(&next) != contents.last() {
            contents.push(next);
        }
    }
    for content in &contents {
        session.put(project, "a", content);
    }
    assert_versions(&mut session, project, "a", &contents);
    invariants::hold(&mut session);
}

#[test]
fn writers_of_one_file_stand_on_one_another() {
    let db = Database::new("standing");
    let mut admin = db.connect();
    let project = admin.project(Uuid::new_v4()).project;
    let text = |who: usize, n: usize| format!("{}{who} {n}\n{}", "common\n".repeat(500), "end\n".repeat(500));
    let saved = race(sessions(6, || db.connect()), |who, session| {
        (0..40).map(|n| (session.put(project, "a", &text(who, n)), text(who, n))).collect::<Vec<_>>()
    });
    let mut contents: Vec<(i32, String)> = saved.into_iter().flatten().collect();
    contents.sort();
    let contents: Vec<String> = contents.into_iter().map(|(_, content)| content).collect();
    assert_versions(&mut admin, project, "a", &contents);
    invariants::hold(&mut admin);
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Trace {
    start_content: String,
    txns: Vec<Transaction>,
}

#[derive(Deserialize)]
struct Transaction {
    time: String,
    patches: Vec<(usize, usize, String)>,
}

/// The first saves of a recorded editing session, one a second of its clock; `None` where there are no recordings.
fn trace(name: &str, most: usize) -> Option<Vec<String>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/traces").join(format!("{name}.json.gz"));
    let mut json = String::new();
    let Ok(disk) = Disk::open(&file) else {
        println!("{} is not there: nothing to replay", file.display());
        return None;
    };
    flate2::read::GzDecoder::new(disk).read_to_string(&mut json).expect("gzip");
    let trace: Trace = serde_json::from_str(&json).expect("a trace");
    let mut text: Vec<char> = trace.start_content.chars().collect();
    let mut saves: Vec<String> = Vec::new();
    for (n, transaction) in trace.txns.iter().enumerate() {
        for (at, removed, inserted) in &transaction.patches {
            text.splice(*at..at + removed, inserted.chars());
        }
        let goes_on = trace.txns.get(n + 1).is_some_and(|next| next.time == transaction.time);
        let content: String = text.iter().collect();
        if !goes_on && saves.last() != Some(&content) {
            saves.push(content);
        }
        if saves.len() == most {
            break;
        }
    }
    Some(saves)
}

#[test]
fn recorded_sessions_read_back() {
    let db = Database::new("traces");
    let mut session = db.connect();
    for (name, most, least_ratio) in [("sveltecomponent", 2_500, 40.0), ("rustcode", 1_500, 100.0)] {
        let Some(saves) = trace(name, most) else { return };
        let project = session.project(Uuid::new_v4()).project;
        for content in &saves {
            session.put(project, name, content);
        }
        assert_versions(&mut session, project, name, &saves);
        let sql = "SELECT content_bytes::float8 / stored_bytes FROM versioned.project_storage WHERE project_id = $1";
        let ratio: f64 = session.value(sql, &[&project]);
        assert!(ratio > least_ratio, "{name}: {ratio}");
    }
    invariants::hold(&mut session);
}
