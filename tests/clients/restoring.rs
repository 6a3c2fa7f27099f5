//! Restoring a version where it is large, interrupted, disturbed, or watched.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use uuid::Uuid;

use crate::invariants::{self, everything};
use crate::support::{Database, Refusal, Session, backend_memory, refused, until_gone, until_waiting};

type Restored = (String, Option<String>, String, i32);

fn try_restore(session: &mut Session, project: Uuid, version: &str, dry_run: bool) -> Result<Vec<Restored>, Refusal> {
    let sql = "SELECT file_path, from_path, change, version FROM versioned.restore_project_version($1, $2, $3)";
    let rows = session.try_rows(sql, &[&project, &version, &dry_run])?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3))).collect())
}

#[track_caller]
fn restore(session: &mut Session, project: Uuid, version: &str) -> Vec<Restored> {
    try_restore(session, project, version, false).expect("it is restored")
}

/// Saves files `0` to `count` in batches.
fn save_files(session: &mut Session, project: Uuid, count: usize, content: &str) {
    for numbers in (0..count).collect::<Vec<_>>().chunks(5_000) {
        let file = |n: &usize| json!({"file_path": format!("{n}"), "content": format!("{content} {n}\n"), "file_type": "text"});
        let files = json!(numbers.iter().map(file).collect::<Vec<_>>());
        session.rows("SELECT FROM versioned.atomic_upsert_project_files($1, $2)", &[&project, &files]);
    }
}

/// A project with a version of so many files, all of which have changed since; the version's id.
fn changed_since(session: &mut Session, count: usize) -> (Uuid, String) {
    session.run("SET statement_timeout = 0");
    let first = session.project(Uuid::new_v4());
    save_files(session, first.project, count, "one");
    let version = session.succeed(first.project, &first.build, json!({})).expect("it succeeds").id;
    save_files(session, first.project, count, "two");
    (first.project, version)
}

#[test]
fn a_large_restore_is_all_or_nothing() {
    const FILES: usize = 10_000;
    let db = Database::new("restore_large");
    let (mut admin, mut session) = (db.connect(), db.connect());
    let (project, version) = changed_since(&mut session, FILES);
    let before = everything(&mut admin);

    let started = Instant::now();
    session.run("BEGIN");
    assert_eq!(restore(&mut session, project, &version).len(), FILES);
    session.run("ROLLBACK");
    let whole = started.elapsed();
    // Canceled and killed somewhere in the middle.
    for part in [5, 3, 2] {
        let mut session = db.connect();
        session.run("SET statement_timeout = 0");
        let (pid, cancel) = (session.pid, part != 2);
        let stop = if cancel { "pg_cancel_backend" } else { "pg_terminate_backend" };
        let (refusal, late) = thread::scope(|scope| {
            let restoring = scope.spawn(|| {
                let result = try_restore(&mut session, project, &version, false);
                (result, Instant::now())
            });
            thread::sleep(whole / part);
            let stopped = Instant::now();
            assert!(admin.value::<bool>(&format!("SELECT {stop}($1)"), &[&pid]));
            let (result, ended) = restoring.join().expect("no panic");
            (result.expect_err("it was stopped"), ended - stopped)
        });
        assert!(["57014", "57P01", ""].contains(&&*refusal.code), "{refusal:?}");
        assert!(late < Duration::from_secs(1), "{stop} took {late:?}");
        if !cancel {
            until_gone(&mut admin, pid);
        }
        assert!(everything(&mut admin) == before, "nothing has changed");
    }
    assert_eq!(restore(&mut session, project, &version).len(), FILES);
    let contents = |files: Vec<crate::calls::Listed>| -> Vec<(String, String)> {
        files.into_iter().map(|(path, _, content)| (path, content)).collect()
    };
    let (now, then) = (session.list(project), session.snapshot(project, &version));
    assert!(contents(now) == contents(then), "the files are those of the version");
    invariants::hold(&mut admin);
}

#[test]
fn what_is_restored_is_announced() {
    let db = Database::new("restore_events");
    let (mut listener, mut session) = (db.connect(), db.connect());
    let first = session.project(Uuid::new_v4());
    let project = first.project;
    for path in ["a", "b", "c", "gone", "same"] {
        session.put(project, path, path);
    }
    let version = session.succeed(project, &first.build, json!({})).expect("it succeeds").id;
    session.put(project, "c", "changed");
    session.rename(project, "a", "x", None).expect("moved");
    session.rename(project, "b", "a", None).expect("moved");
    session.rename(project, "x", "b", None).expect("moved");
    session.delete(project, "gone", None).expect("deleted");
    session.put(project, "later", "later");
    listener.run(&format!("LISTEN \"realtime:project:{project}\""));
    let dry = try_restore(&mut session, project, &version, true).expect("shown");
    let restored = restore(&mut session, project, &version);
    assert_eq!(restored, dry);
    let row = |path: &str, from: Option<&str>, change: &str, version| {
        (path.to_owned(), from.map(str::to_owned), change.to_owned(), version)
    };
    assert_eq!(
        restored,
        [
            row("a", Some("b"), "moved", 4),
            row("b", Some("a"), "moved", 3),
            row("c", None, "modified", 3),
            row("gone", None, "added", 3),
            row("later", None, "deleted", 2),
        ]
    );
    let mut heard = Vec::new();
    let mut notifications = listener.client.notifications();
    let mut messages = notifications.timeout_iter(Duration::from_secs(10));
    while heard.len() < restored.len() {
        use postgres::fallible_iterator::FallibleIterator;
        let message = messages.next().expect("the connection lives").expect("it comes in time");
        let event: serde_json::Value = serde_json::from_str(message.payload()).expect("JSON");
        let payload = &event["payload"];
        heard.push(format!(
            "{} {} {} {}",
            event["type"], payload["file_path"], payload["from_path"], payload["version"]
        ));
    }
    heard.sort();
    assert_eq!(
        heard,
        [
            r#""file:created" "gone" null 3"#,
            r#""file:deleted" "later" null 2"#,
            r#""file:moved" "a" "b" 4"#,
            r#""file:moved" "b" "a" 3"#,
            r#""file:updated" "c" null 3"#,
        ]
    );
    assert_eq!(restore(&mut session, project, &version), []);
    invariants::hold(&mut session);
}

/// However many files it changes.
#[test]
fn a_restore_counts_as_one_save() {
    let db = Database::new("restore_rate");
    let (owner, mut admin) = (Uuid::new_v4(), db.connect());
    let first = admin.project(owner);
    let project = first.project;
    for n in 0..10 {
        admin.put(project, &n.to_string(), "one");
    }
    let version = admin.succeed(project, &first.build, json!({})).expect("it succeeds").id;
    for n in 0..10 {
        admin.put(project, &n.to_string(), "two");
    }
    admin.run(&format!(
        "ALTER DATABASE {0} SET pg_versioned.save_rate = 1; ALTER DATABASE {0} SET pg_versioned.save_burst = 1",
        db.name
    ));
    let mut user = db.user(owner);
    assert_eq!(try_restore(&mut user, project, &version, true).expect("a dry run is no save").len(), 10);
    assert_eq!(restore(&mut user, project, &version).len(), 10);
    // What changes nothing is not counted either.
    assert_eq!(restore(&mut user, project, &version), []);
    admin.put(project, "0", "three");
    refused(try_restore(&mut user, project, &version, false), "PT429");
}

/// Triggers of the database's owner: one refuses a file, another takes a path that is about to be taken.
#[test]
fn a_restore_that_is_disturbed_changes_nothing() {
    let db = Database::new("restore_disturbed");
    let mut admin = db.connect();
    let first = admin.project(Uuid::new_v4());
    let project = first.project;
    for path in ["a", "b", "c"] {
        admin.put(project, path, path);
    }
    let version = admin.succeed(project, &first.build, json!({})).expect("it succeeds").id;
    admin.put(project, "c", "changed");
    admin.rename(project, "a", "x", None).expect("moved");
    admin.rename(project, "b", "a", None).expect("moved");
    admin.rename(project, "x", "b", None).expect("moved");
    let before = everything(&mut admin);
    for (when, body, code) in [
        (
            "BEFORE INSERT ON versioned.project_file_versions",
            "RAISE EXCEPTION 'not c' USING ERRCODE = 'U0001'",
            "U0001",
        ),
        ("BEFORE INSERT ON versioned.project_file_versions", "RETURN NULL", "09000"),
        ("BEFORE UPDATE ON versioned.project_file_heads", "RETURN NULL", "40001"),
    ] {
        admin.run(&format!(
            "CREATE FUNCTION public.disturb() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN IF NEW.file_path = 'c' THEN {body}; END IF; RETURN NEW; END $$;
             CREATE TRIGGER disturb {when} FOR EACH ROW EXECUTE FUNCTION public.disturb()"
        ));
        refused(try_restore(&mut admin, project, &version, false), code);
        admin.run("DROP FUNCTION public.disturb CASCADE");
        assert_eq!(everything(&mut admin), before, "{when}: {body}");
    }
    admin.run(
        "CREATE FUNCTION public.squat() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             IF NEW.is_deleted AND NOT OLD.is_deleted THEN
                 INSERT INTO versioned.project_file_heads SELECT (OLD).project_id, gen_random_uuid(), (OLD).file_path, 'text', false, 1, NULL, 0, 0, 1, now(), sha256('');
             END IF;
             RETURN NULL; END $$;
         CREATE TRIGGER squat AFTER UPDATE ON versioned.project_file_heads FOR EACH ROW EXECUTE FUNCTION public.squat()",
    );
    refused(try_restore(&mut admin, project, &version, false), "40001");
    admin.run("DROP FUNCTION public.squat CASCADE");
    assert_eq!(everything(&mut admin), before);
    // A trigger that does no harm: the rows are then written by queries.
    admin.run(
        "CREATE FUNCTION public.watch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
         CREATE TRIGGER watch BEFORE INSERT OR UPDATE ON versioned.project_file_versions
             FOR EACH ROW EXECUTE FUNCTION public.watch()",
    );
    assert_eq!(restore(&mut admin, project, &version).len(), 3);
    assert_eq!(admin.list(project).len(), 3);
    invariants::hold(&mut admin);
}

#[test]
fn memory_does_not_grow_with_the_version() {
    const FILES: usize = 60;
    let db = Database::new("restore_memory");
    let mut session = db.connect();
    let first = session.project(Uuid::new_v4());
    let project = first.project;
    let text = |n: usize, word: &str| format!("{n} {word}\n{}", "a line like all others\n".repeat(150_000));
    for n in 0..FILES {
        session.put(project, &n.to_string(), &text(n, "one"));
    }
    let version = session.succeed(project, &first.build, json!({})).expect("it succeeds").id;
    for n in 0..FILES {
        session.put(project, &n.to_string(), &text(n, "two"));
    }
    let mut session = db.connect();
    let Some(before) = backend_memory(session.pid, "VmHWM") else {
        crate::support::skipped("this system does not tell the memory of processes");
        return;
    };
    session.rows("SELECT lines_added FROM versioned.diff_project_versions($1, $2)", &[&project, &version]);
    assert_eq!(restore(&mut session, project, &version).len(), FILES);
    session.rows("SELECT length(content) FROM versioned.get_project_version_files($1, $2)", &[&project, &version]);
    let grown = backend_memory(session.pid, "VmHWM").expect("still there") - before;
    // 200 MB were read and written, two or three times.
    assert!(grown < 120 << 20, "{} MB", grown >> 20);
}

/// A version's table and the list of snapshots are rebuilt while versions are made, read and changed.
#[test]
fn maintenance_beside_it_makes_nobody_fail() {
    let db = Database::new("restore_maintenance");
    let mut admin = db.connect();
    admin.run(&format!("ALTER DATABASE {} SET deadlock_timeout = '100ms'", db.name));
    let (project, mut build) = {
        let first = admin.project(Uuid::new_v4());
        (first.project, first.build)
    };
    let (mut worker, mut keeper) = (db.connect(), db.connect());
    let work = |worker: &mut Session, build: &mut String, n: usize| {
        worker.put(project, "a", &format!("{n}"));
        worker.put(project, &format!("own {}", n % 7), &format!("{n}"));
        worker.rows("SELECT FROM versioned.cut_project_build($1, $2)", &[&project, build]);
        worker.rows("SELECT FROM versioned.get_project_build_files($1, $2)", &[&project, build]);
        let version = worker.succeed(project, build, json!({})).expect("it succeeds").id;
        worker.rows("SELECT FROM versioned.publish_project_version($1, $2)", &[&project, &version]);
        worker.rows(
            "SELECT FROM versioned.update_version_metadata($1, $2, '{\"change_type\": \"patch\"}')
              WHERE NOT EXISTS (SELECT FROM versioned.project_versions WHERE version_id = $2 AND is_published)",
            &[&project, &version],
        );
        let oldest: String = worker.value(
            "SELECT version_id FROM versioned.get_project_version_history($1, 1000) ORDER BY created_at LIMIT 1",
            &[&project],
        );
        worker.rows("SELECT FROM versioned.diff_project_versions($1, $2)", &[&project, &oldest]);
        restore(worker, project, &oldest);
        *build = worker.start(project, false).expect("it starts").build;
    };
    for maintenance in [
        "VACUUM FULL versioned.project_versions",
        "VACUUM FULL versioned.project_file_snapshots",
        "VACUUM FULL versioned.project_build_metrics",
        "REINDEX TABLE versioned.project_versions",
        "REINDEX TABLE versioned.project_file_snapshots",
        "REINDEX TABLE CONCURRENTLY versioned.project_versions",
        "REINDEX TABLE CONCURRENTLY versioned.project_file_snapshots",
        "ANALYZE versioned.project_versions",
    ] {
        thread::scope(|scope| {
            let working = scope.spawn(|| {
                for n in 0..8 {
                    work(&mut worker, &mut build, n);
                }
            });
            while !working.is_finished() {
                keeper.run(maintenance);
            }
            working.join().expect("nobody fails");
        });
    }
    invariants::hold(&mut admin);
    let found = admin.rows("SELECT FROM versioned.check_project_integrity()", &[]);
    assert!(found.is_empty());
}

/// Behind a rebuild that waits for an open transaction, everybody gets through.
#[test]
fn a_version_behind_a_waiting_rebuild() {
    let db = Database::new("restore_queue");
    let mut admin = db.connect();
    admin.run(&format!("ALTER DATABASE {} SET deadlock_timeout = '100ms'", db.name));
    for table in ["project_versions", "project_file_snapshots", "projects"] {
        let first = admin.project(Uuid::new_v4());
        let project = first.project;
        let (mut open, mut keeper, mut worker) = (db.connect(), db.connect(), db.connect());
        open.put(project, "a", "one");
        open.run(&format!("BEGIN; SELECT FROM versioned.{table}"));
        open.put(project, "a", "two");
        let (keeper_pid, worker_pid) = (keeper.pid, worker.pid);
        thread::scope(|scope| {
            let rebuilding = scope.spawn(|| keeper.try_run(&format!("VACUUM FULL versioned.{table}")));
            until_waiting(&mut admin, keeper_pid);
            let making = scope.spawn(|| worker.succeed(project, &first.build, json!({})).map(|version| version.number));
            until_waiting(&mut admin, worker_pid);
            open.run("COMMIT");
            assert_eq!(rebuilding.join().expect("no panic"), Ok(()));
            assert_eq!(making.join().expect("no panic"), Ok((1, 0, 0)));
        });
    }
    invariants::hold(&mut admin);
}

/// A version that has lost its content is an error wherever it is read, and never taken for an empty file.
#[test]
fn a_damaged_version_is_not_restored() {
    let db = Database::new("restore_damaged");
    let mut admin = db.connect();
    let first = admin.project(Uuid::new_v4());
    let project = first.project;
    admin.put(project, "a", "one");
    let version = admin.succeed(project, &first.build, json!({})).expect("it succeeds").id;
    admin.put(project, "a", "two");
    for change in ["stored = NULL", "content_hash = NULL", "stored = NULL, encoding = NULL, content_hash = NULL"] {
        admin.run("BEGIN");
        crate::stored::damage(
            &mut admin,
            &format!(
                "UPDATE versioned.project_file_versions SET {change} WHERE project_id = '{project}' AND version = 1"
            ),
        );
        for call in ["get_project_version_files", "diff_project_versions", "restore_project_version"] {
            admin.run("SAVEPOINT before");
            let sql = format!("SELECT versioned.{call}($1, $2)");
            refused(admin.try_rows(&sql, &[&project, &version]), "XX001");
            admin.run("ROLLBACK TO before");
        }
        assert_eq!(admin.list(project), [("a".to_owned(), 2, "two".to_owned())]);
        admin.run("ROLLBACK");
    }
    assert_eq!(restore(&mut admin, project, &version).len(), 1);
}

/// A snapshot that does not list what it holds would seem empty.
#[test]
fn a_snapshot_that_a_trigger_suppresses_is_not_taken() {
    let db = Database::new("snapshot_suppressed");
    let mut admin = db.connect();
    let first = admin.project(Uuid::new_v4());
    let project = first.project;
    admin.put(project, "a", "one");
    let before = everything(&mut admin);
    admin.run(
        "CREATE FUNCTION public.suppress() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
         CREATE TRIGGER suppress BEFORE INSERT ON versioned.project_file_snapshots
             FOR EACH ROW EXECUTE FUNCTION public.suppress()",
    );
    refused(admin.succeed(project, &first.build, json!({})), "09000");
    refused(admin.try_rows("SELECT versioned.cut_project_build($1, $2)", &[&project, &first.build]), "09000");
    admin.run("DROP FUNCTION public.suppress CASCADE");
    assert!(everything(&mut admin) == before, "nothing has changed");
    admin.succeed(project, &first.build, json!({})).expect("it succeeds");
}
