//! Saving many files at once, and saves that answer instead of failing.

use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::invariants::{self, everything};
use crate::support::{Database, Random, Refusal, Session, race, refused, sessions};

const BATCH: &str = "SELECT file_path, version, content FROM versioned.atomic_upsert_project_files($1, $2)";

type Saved = (String, i32, Option<String>);

fn batch(session: &mut Session, project: Uuid, files: &Json) -> Result<Vec<Saved>, Refusal> {
    let rows = session.try_rows(BATCH, &[&project, files])?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect())
}

fn file(path: &str, content: &str) -> Json {
    json!({"file_path": path, "content": content, "file_type": "text"})
}

#[test]
fn a_batch_saves_and_deletes_in_its_order() {
    let db = Database::new("batch");
    let mut session = db.connect();
    let project = session.project(Uuid::new_v4()).project;
    session.put(project, "old", "x");
    let files = json!([
        file("b", "1"),
        {"file_path": "old", "delete": true, "expected_version": 1},
        {"file_path": "a", "content": "", "file_type": "t", "expected_version": 0},
        file("ü", "é")
    ]);
    let saved = batch(&mut session, project, &files).expect("saved");
    let due = [("b", 1, Some("1")), ("old", 2, None), ("a", 1, Some("")), ("ü", 1, Some("é"))];
    assert_eq!(saved, due.map(|(path, version, content)| (path.into(), version, content.map(str::to_owned))));
    // One transaction, one time to try again: nothing changes.
    assert_eq!(batch(&mut session, project, &json!([file("b", "1"), file("ü", "é")])).expect("saved")[0].1, 1);
    assert!(batch(&mut session, project, &json!([])).expect("an empty one").is_empty());
    invariants::hold(&mut session);
}

#[test]
fn a_conflict_keeps_the_whole_batch_out_and_all_are_listed() {
    let db = Database::new("batch_conflict");
    let mut session = db.connect();
    let project = session.project(Uuid::new_v4()).project;
    session.put(project, "a", "1");
    session.put(project, "gone", "1");
    session.delete(project, "gone", None).expect("deleted");
    let before = everything(&mut session);
    let expecting = |path: &str, version: i32| json!({"file_path": path, "content": "new", "file_type": "text", "expected_version": version});
    let files =
        json!([file("first", "x"), expecting("a", 7), expecting("gone", 1), expecting("none", 3), file("last", "x")]);
    let refusal = refused(batch(&mut session, project, &files), "PT409");
    let detail = refusal.json();
    let listed: Vec<_> = detail["conflicts"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|c| {
            (
                c["file_path"].as_str().unwrap(),
                c["expected"].as_i64(),
                c["current"].as_i64(),
                c["current_hash"].is_string(),
            )
        })
        .collect();
    assert_eq!(
        listed,
        [("a", Some(7), Some(1), true), ("gone", Some(1), Some(2), false), ("none", Some(3), None, false)]
    );
    assert_eq!(detail["file_path"], "a", "the first one stands as a single conflict would");
    // A file that is not there cannot be deleted, and a later error undoes what came before it.
    let files = json!([file("first", "x"), {"file_path": "none", "delete": true}]);
    refused(batch(&mut session, project, &files), "PT404");
    assert_eq!(everything(&mut session), before);
}

#[test]
fn bad_batches_are_refused_by_name() {
    let db = Database::new("batch_bad");
    let mut session = db.connect();
    let project = session.project(Uuid::new_v4()).project;
    let before = everything(&mut session);
    let long = "x".repeat(1025);
    for (files, named) in [
        (json!({}), "p_files"),
        (json!("a"), "p_files"),
        (json!(null), "p_files"),
        (json!([1]), "p_files[0]"),
        (json!([null]), "p_files[0]"),
        (json!([file("a", "x"), []]), "p_files[1]"),
        (json!([file("a", "x"), {"file_path": "b", "content": "x"}]), "p_files[1].file_type"),
        (json!([{"file_path": "b", "file_type": "x"}]), "p_files[0].content"),
        (json!([{"content": "b", "file_type": "x"}]), "p_files[0].file_path"),
        (json!([file("/a", "x")]), "p_files[0].file_path"),
        (json!([file(&long, "x")]), "p_files[0].file_path"),
        (json!([{"file_path": "b", "content": 1, "file_type": "x"}]), "p_files[0]"),
        (json!([{"file_path": "b", "content": "x", "file_type": "x", "contents": "y"}]), "contents"),
        (json!([{"file_path": "b", "content": "x", "file_type": "x", "expected_version": -1}]), "expected_version"),
        (json!([{"file_path": "b", "content": "x", "file_type": "x", "expected_version": 1.5}]), "p_files[0]"),
        (json!([{"file_path": "b", "content": "x", "file_type": "x", "expected_version": 1e10}]), "p_files[0]"),
        (json!([{"file_path": "b", "content": "x", "delete": true}]), "p_files[0].content"),
        (json!([{"file_path": "b", "delete": "yes"}]), "p_files[0]"),
        (json!([file("a", "x"), file("b", "x"), file("a", "y")]), "\"a\""),
        (json!(vec![file("a", ""); 10_001]), "10001"),
    ] {
        let refusal = refused(batch(&mut session, project, &files), "22023");
        assert!(refusal.message.contains(named) && refusal.message.len() < 400, "{named}: {refusal:?}");
    }
    assert_eq!(everything(&mut session), before);
}

/// Batches of the same files in other orders, of which some conflict: no deadlock, and all or nothing.
#[test]
fn batches_never_deadlock_and_never_come_in_halves() {
    const WRITERS: usize = 8;
    const BATCHES: usize = 12;
    const FILES: usize = 50;
    let db = Database::new("batch_race");
    let mut admin = db.connect();
    let project = admin.project(Uuid::new_v4()).project;
    let path = |n: usize| format!("dir{}/file{n}", n % 7);
    let results = race(sessions(WRITERS, || db.connect()), |who, session| {
        let mut random = Random(who as u64);
        let mut saved = Vec::new();
        let mut refusals = 0;
        for n in 0..BATCHES {
            let mut paths: Vec<usize> = (0..100).collect();
            random.shuffle(&mut paths);
            let content = format!("{who} {n}");
            let mut files: Vec<Json> = paths[..FILES].iter().map(|&n| file(&path(n), &content)).collect();
            if n % 3 == 2 {
                // Nobody's files have come so far.
                files[random.below(FILES)]["expected_version"] = json!(1_000_000);
            }
            match batch(session, project, &json!(files)) {
                Ok(rows) => saved.push((content, rows)),
                Err(refusal) => {
                    assert_eq!(refusal.code, "PT409", "{refusal:?}");
                    refusals += 1;
                }
            }
        }
        (saved, refusals)
    });
    let refusals: usize = results.iter().map(|(_, refusals)| refusals).sum();
    assert_eq!(refusals, WRITERS * BATCHES / 3);
    let mut versions = 0;
    for (content, rows) in results.into_iter().flat_map(|(saved, _)| saved) {
        assert_eq!(rows.len(), FILES);
        versions += FILES;
        for (path, version, answered) in rows {
            assert_eq!(answered.as_ref(), Some(&content));
            let read = admin.get(project, &path, Some(version)).expect("it is there").content;
            assert_eq!(read.as_ref(), Some(&content), "version {version} of {path}");
        }
    }
    let rows: i64 = admin.value("SELECT count(*) FROM versioned.project_file_versions", &[]);
    assert_eq!(rows as usize, versions, "nothing of a refused batch is there");
    invariants::hold(&mut admin);
}

const JSON: &str = "SELECT versioned.upsert_project_file($1, $2, $3, $4, $5)";

#[test]
fn a_json_answer_has_its_shape() {
    let db = Database::new("json_saved");
    let (owner, mut admin) = (Uuid::new_v4(), db.connect());
    let project = admin.project(owner).project;
    let mut user = db.user(owner);
    let answer: Json = user.value(JSON, &[&project, &"a", &"one", &"text", &None::<i32>]);
    let file = user.get(project, "a", None).expect("saved");
    let updated_at: String = user.value(
        "SELECT to_json(updated_at AT TIME ZONE 'UTC') #>> '{}' FROM versioned.project_files WHERE id = $1",
        &[&file.id],
    );
    assert_eq!(
        answer,
        json!({"success": true, "data": {
            "id": file.id.to_string(), "file_path": "a", "version": 1, "content_hash": file.hash,
            "updated_at": format!("{updated_at}+00:00"), "is_current_version": true}})
    );
    // An earlier try of the same save, after another one came between.
    user.put(project, "a", "two");
    let again: Json = user.value(JSON, &[&project, &"a", &"one", &"text", &Some(0)]);
    assert_eq!((&again["data"]["version"], &again["data"]["is_current_version"]), (&json!(1), &json!(false)));
}

#[test]
fn refusals_are_answered_with_their_codes() {
    let db = Database::new("json_refused");
    let (owner, viewer, mut admin) = (Uuid::new_v4(), Uuid::new_v4(), db.connect());
    let project = admin.project(owner).project;
    admin.add_member(project, viewer, "viewer");
    admin.put(project, "a", "one");
    let before = everything(&mut admin);
    let mut nobody = db.login("authenticator");
    nobody.run("SET ROLE authenticated");
    let (mut user, mut reader, mut stranger) = (db.user(owner), db.user(viewer), db.user(Uuid::new_v4()));
    let ask = |session: &mut Session, path: &str, expected: Option<i32>| -> Json {
        session.value(JSON, &[&project, &path, &"new", &"text", &expected])
    };
    for (answer, code, retry, current) in [
        (ask(&mut user, "a", Some(7)), "VERSION_CONFLICT", true, json!(1)),
        (ask(&mut user, "none", Some(7)), "VERSION_CONFLICT", true, json!(null)),
        (ask(&mut user, "../a", None), "INVALID_INPUT", false, json!(null)),
        (ask(&mut user, "a", Some(-1)), "INVALID_INPUT", false, json!(null)),
        (ask(&mut reader, "a", None), "FORBIDDEN", false, json!(null)),
        (ask(&mut stranger, "a", None), "NOT_FOUND", false, json!(null)),
        (ask(&mut nobody, "a", None), "AUTHENTICATION_REQUIRED", false, json!(null)),
    ] {
        let error = answer["error"].as_object().unwrap_or_else(|| panic!("{answer}"));
        assert_eq!(answer.as_object().map(|answer| answer.len()), Some(2));
        assert_eq!(answer["success"], json!(false));
        let mut keys: Vec<&str> = error.keys().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!(keys, ["code", "current_version", "message", "retry_suggested"]);
        assert_eq!(
            (&error["code"], &error["retry_suggested"], &error["current_version"]),
            (&json!(code), &json!(retry), &current)
        );
        assert!(error["message"].as_str().is_some_and(|message| message.len() > 5));
    }
    // A lost race under a fixed snapshot is for the client to retry, not for the transaction to go on with.
    user.run("BEGIN ISOLATION LEVEL REPEATABLE READ");
    user.rows("SELECT FROM versioned.projects", &[]);
    admin.put(project, "a", "two");
    let answer = ask(&mut user, "a", None);
    user.run("COMMIT");
    assert_eq!((&answer["error"]["code"], &answer["error"]["retry_suggested"]), (&json!("RETRY"), &json!(true)));
    assert_eq!(admin.get(project, "a", None).expect("there").version, 2);
    // What is no refusal is raised.
    user.run("SET default_transaction_read_only = on");
    refused(user.try_value::<Json>(JSON, &[&project, &"a", &"new", &"text", &None::<i32>]), "25006");
    assert_eq!(everything(&mut admin).len(), before.len() + 1);
    invariants::hold(&mut admin);
}

#[test]
fn a_revert_is_a_new_version_with_the_old_content() {
    const REVERT: &str = "SELECT version, content, file_type FROM versioned.revert_project_file($1, $2, $3, $4)";
    let db = Database::new("revert");
    let mut session = db.connect();
    let project = session.project(Uuid::new_v4()).project;
    session.rows("SELECT versioned.atomic_upsert_project_file($1, 'a', 'one', 'markdown')", &[&project]);
    session.put(project, "a", "two");
    let revert = |session: &mut Session, to: i32, expected: Option<i32>| {
        let row = session.try_row(REVERT, &[&project, &"a", &to, &expected])?;
        Ok::<(i32, String, String), Refusal>((row.get(0), row.get(1), row.get(2)))
    };
    assert_eq!(revert(&mut session, 1, None), Ok((3, "one".into(), "markdown".into())));
    assert_eq!(revert(&mut session, 1, None), Ok((3, "one".into(), "markdown".into())), "nothing to change");
    assert_eq!(revert(&mut session, 3, Some(99)).expect("equal").0, 3);
    refused(revert(&mut session, 2, Some(2)), "PT409");
    assert_eq!(revert(&mut session, 2, Some(3)).expect("reverted"), (4, "two".into(), "text".into()));
    assert_eq!(revert(&mut session, 2, Some(3)).expect("an earlier try").0, 4);
    for (to, code) in [(0, "22023"), (-1, "22023"), (9, "PT404")] {
        refused(revert(&mut session, to, None), code);
    }
    session.delete(project, "a", None).expect("deleted");
    refused(revert(&mut session, 5, None), "22023");
    refused(revert(&mut session, 1, Some(4)), "PT409");
    assert_eq!(revert(&mut session, 1, Some(5)).expect("brought back").0, 6);
    refused(session.try_row(REVERT, &[&project, &"none", &1, &None::<i32>]), "PT404");
    invariants::hold(&mut session);
}
