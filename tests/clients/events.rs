//! One event for every committed change, and for nothing else.

use std::time::Duration;

use postgres::fallible_iterator::FallibleIterator;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::support::{Database, Session, race, refused, sessions};

fn listen(session: &mut Session, project: Uuid) {
    session.run(&format!("LISTEN \"realtime:project:{project}\""));
}

/// All events that reached the listener up to now. Notifications arrive in the order of commits, so once one sent
/// now is there, all earlier ones are.
fn events(listener: &mut Session, sender: &mut Session, project: Uuid) -> Vec<Json> {
    let channel = format!("realtime:project:{project}");
    sender.rows("SELECT pg_notify($1, 'that is all')", &[&channel]);
    let mut events = Vec::new();
    let mut notifications = listener.client.notifications();
    let mut arriving = notifications.timeout_iter(Duration::from_secs(60));
    loop {
        let notification = arriving.next().expect("the connection lives").expect("the last one arrives");
        assert_eq!(notification.channel(), channel);
        match notification.payload() {
            "that is all" => return events,
            payload => events.push(serde_json::from_str(payload).unwrap_or_else(|e| panic!("{e}: {payload}"))),
        }
    }
}

#[test]
fn every_committed_change_is_announced_once() {
    let db = Database::new("events");
    let (mut listener, mut session, mut admin) = (db.connect(), db.connect(), db.connect());
    let project = admin.project(Uuid::new_v4()).project;
    let user = Uuid::new_v4();
    listen(&mut listener, project);
    session.claim(user);

    let mut expected = Vec::new();
    let mut announce = |kind: &str, file: crate::calls::File, from: Option<&str>| {
        let mut payload = json!({
            "file_path": file.path, "version": file.version, "content_hash": file.hash, "user_id": user.to_string(),
        });
        if let Some(from) = from {
            payload["from_path"] = from.into();
        }
        expected.push(json!({ "type": kind, "payload": payload }));
    };
    announce("file:created", session.save(project, "a", "one", None).expect("saved"), None);
    announce("file:updated", session.save(project, "a", "two", Some(1)).expect("saved"), None);
    announce("file:moved", session.rename(project, "a", "b", None).expect("moved"), Some("a"));
    announce("file:deleted", session.delete(project, "b", None).expect("deleted"), None);
    announce("file:created", session.save(project, "b", "three", Some(4)).expect("saved"), None);
    // Longest paths, longest in JSON: they must fit a notification.
    let (long, longer) = ("\"".repeat(1024), "'\"".repeat(512));
    announce("file:created", session.save(project, &long, "x", None).expect("saved"), None);
    announce("file:moved", session.rename(project, &long, &longer, None).expect("moved"), Some(&long));

    let mut arrived = events(&mut listener, &mut admin, project);
    for event in &mut arrived {
        let payload = event["payload"].as_object_mut().expect("an object");
        let time = payload.remove("timestamp").expect("a timestamp");
        let parsed: bool = admin.value(
            "SELECT $1::text::timestamptz BETWEEN now() - interval '1 hour' AND now() + interval '1 second'",
            &[&time.as_str()],
        );
        assert!(parsed, "{time}");
    }
    assert_eq!(arrived, expected);
}

#[test]
fn what_changes_nothing_is_not_announced() {
    let db = Database::new("no_events");
    let (mut listener, mut session, mut admin) = (db.connect(), db.connect(), db.connect());
    let build = admin.project(Uuid::new_v4());
    let project = build.project;
    session.put(project, "a", "one");
    session.put(project, "a", "two");
    listen(&mut listener, project);

    session.put(project, "a", "two");
    session.save(project, "a", "one", Some(0)).expect("the first save, tried again");
    session.rename(project, "a", "a", None).expect("to where it is");
    refused(session.save(project, "a", "three", Some(1)), "PT409");
    refused(session.delete(project, "b", None), "PT404");
    session.run("BEGIN");
    session.put(project, "a", "rolled back");
    session.delete(project, "a", None).expect("deleted");
    session.run("ROLLBACK; BEGIN; SAVEPOINT s");
    session.put(project, "a", "rolled back");
    session.run("ROLLBACK TO s; COMMIT");
    session.get(project, "a", None).expect("read");
    session.list(project);
    session.run("SET pg_versioned.notify = off");
    session.put(project, "a", "in silence");
    session.run("SET pg_versioned.notify = logical");
    session.put(project, "a", "to the log");
    assert_eq!(events(&mut listener, &mut admin, project), [] as [Json; 0]);

    // Another project's changes are its own.
    session.run("SET pg_versioned.notify = notify");
    let other = admin.project(Uuid::new_v4()).project;
    session.put(other, "a", "elsewhere");
    assert_eq!(events(&mut listener, &mut admin, project), [] as [Json; 0]);
    session.put(project, "a", "announced");
    assert_eq!(events(&mut listener, &mut admin, project).len(), 1);
}

#[test]
fn events_of_a_transaction_come_together_and_in_order() {
    let db = Database::new("event_order");
    let (mut listener, mut session, mut admin) = (db.connect(), db.connect(), db.connect());
    let project = admin.project(Uuid::new_v4()).project;
    listen(&mut listener, project);
    session.run("BEGIN");
    for n in 1..=20 {
        assert_eq!(session.put(project, "a", &n.to_string()), n);
    }
    assert_eq!(events(&mut listener, &mut admin, project).len(), 0, "nothing before the commit");
    session.run("COMMIT");
    let versions: Vec<_> =
        events(&mut listener, &mut admin, project).iter().map(|event| event["payload"]["version"].clone()).collect();
    assert_eq!(versions, (1..=20).map(Json::from).collect::<Vec<_>>());
}

#[test]
fn racing_saves_are_announced_in_the_order_of_their_versions() {
    let db = Database::new("event_race");
    let (mut listener, mut admin) = (db.connect(), db.connect());
    let project = admin.project(Uuid::new_v4()).project;
    listen(&mut listener, project);
    race(sessions(8, || db.connect()), |n, session| {
        for k in 0..25 {
            session.put(project, "a", &format!("{k} of {n}"));
        }
    });
    let versions: Vec<_> =
        events(&mut listener, &mut admin, project).iter().map(|event| event["payload"]["version"].clone()).collect();
    assert_eq!(versions, (1..=200).map(Json::from).collect::<Vec<_>>());
}

/// `pg_walinspect` shows the messages whatever `wal_level` is; without it only the saving is tested.
#[test]
fn in_logical_mode_changes_are_messages_in_the_log() {
    let db = Database::new("event_log");
    let (mut session, mut admin) = (db.connect(), db.connect());
    let project = admin.project(Uuid::new_v4()).project;
    session.run("SET pg_versioned.notify = logical");
    let from: String = admin.value("SELECT pg_current_wal_insert_lsn()::text", &[]);
    for n in 0..5 {
        session.put(project, "a", &n.to_string());
    }
    session.put(project, "a", "4");
    if admin.try_run("CREATE EXTENSION pg_walinspect").is_ok() {
        admin.run("CHECKPOINT");
        let messages: i64 = admin.value(
            "SELECT count(*) FROM pg_get_wal_records_info($1::text::pg_lsn, pg_current_wal_flush_lsn())
              WHERE resource_manager = 'LogicalMessage' AND description LIKE '%realtime:project:' || $2 || '%'",
            &[&from, &project.to_string()],
        );
        assert_eq!(messages, 5);
    }
}

/// Whatever the door is that a change comes through.
#[test]
fn batches_merges_reverts_and_plain_statements_are_announced() {
    let db = Database::new("event_doors");
    let (mut listener, mut session, mut admin) = (db.connect(), db.connect(), db.connect());
    let project = admin.project(Uuid::new_v4()).project;
    listen(&mut listener, project);
    // Together far more than one notification holds.
    let files: Vec<Json> = (0..60)
        .map(|n| json!({"file_path": format!("{n}/{}", "x".repeat(900)), "content": "x", "file_type": "text"}))
        .collect();
    session.rows("SELECT versioned.atomic_upsert_project_files($1, $2)", &[&project, &json!(files)]);
    let arrived = events(&mut listener, &mut admin, project);
    assert_eq!(arrived.len(), 60);
    assert!(arrived.iter().all(|event| event["type"] == "file:created"));

    for sql in [
        "INSERT INTO versioned.project_files (project_id, file_path, content) VALUES ('{p}', 'a', E'1\\n2\\n3\\n')",
        "UPDATE versioned.project_files SET content = E'one\\n2\\n3\\n' WHERE file_path = 'a' AND is_current_version",
        "SELECT versioned.merge_project_file('{p}', 'a', E'1\\n2\\nthree\\n', 1)",
        "SELECT versioned.upsert_project_file('{p}', 'a', 'new', 'text')",
        "SELECT versioned.revert_project_file('{p}', 'a', 1)",
        "UPDATE versioned.project_files SET file_path = 'b', content = 'x' WHERE file_path = 'a' AND is_current_version",
        "DELETE FROM versioned.project_files WHERE file_path = 'b' AND is_current_version",
        // These change nothing.
        "SELECT versioned.upsert_project_file('{p}', 'b', 'x', 'text', 3)",
        "SELECT versioned.merge_project_file('{p}', '0/{x}', 'x', 1)",
        "UPDATE versioned.project_files SET content = content WHERE is_current_version",
    ] {
        session.run(&sql.replace("{p}", &project.to_string()).replace("{x}", &"x".repeat(900)));
    }
    let arrived = events(&mut listener, &mut admin, project);
    let seen: Vec<(&str, i64)> = arrived
        .iter()
        .map(|event| (event["type"].as_str().unwrap_or(""), event["payload"]["version"].as_i64().unwrap_or(0)))
        .collect();
    let due = ["created", "updated", "updated", "updated", "updated", "moved", "deleted"];
    assert_eq!(seen.len(), due.len());
    for (n, ((kind, version), due)) in seen.into_iter().zip(due).enumerate() {
        assert_eq!((kind, version), (&*format!("file:{due}"), n as i64 + 1));
    }
}
