//! Writers that ignore the locks: the guarded write of the head keeps the result right.

use std::thread;

use postgres::types::ToSql;
use uuid::Uuid;

use crate::calls::File;
use crate::invariants;
use crate::support::{Database, Session, race, refused, sessions, sha256, until_waiting};

/// Saves a version past the protocol: the next one of a live file.
const UPDATE: &str = "
    WITH head AS (
        UPDATE versioned.project_file_heads
           SET version = version + 1, content_hash = sha256(convert_to($3, 'UTF8')), updated_at = clock_timestamp()
         WHERE project_id = $1 AND file_path = $2 AND NOT is_deleted
        RETURNING *)
    INSERT INTO versioned.project_file_versions
           (project_id, file_id, version, id, file_path, file_type, encoding, stored, content_hash, size_bytes,
            snapshot_seq, change_xid, created_at)
    SELECT project_id, file_id, version, gen_random_uuid(), file_path, file_type, 0, convert_to($3, 'UTF8'), content_hash,
           octet_length($3), snapshot_seq, pg_current_xact_id(), updated_at
      FROM head
    RETURNING version";

/// Makes a file past the protocol, unless there is one at the path.
const INSERT: &str = "
    WITH head AS (
        INSERT INTO versioned.project_file_heads
               (project_id, file_id, file_path, version, content_hash, file_type, snapshot_seq, updated_at)
        VALUES ($1, gen_random_uuid(), $2, 1, sha256(convert_to($3, 'UTF8')), 'text', 1, clock_timestamp())
        ON CONFLICT (project_id, file_path) WHERE NOT is_deleted DO NOTHING
        RETURNING *)
    INSERT INTO versioned.project_file_versions
           (project_id, file_id, version, id, file_path, file_type, encoding, stored, content_hash, size_bytes,
            snapshot_seq, change_xid, created_at)
    SELECT project_id, file_id, version, gen_random_uuid(), file_path, file_type, 0, convert_to($3, 'UTF8'), content_hash,
           octet_length($3), snapshot_seq, pg_current_xact_id(), updated_at
      FROM head
    RETURNING version";

/// Runs `call` in `session` until it waits for the uncommitted write of `skipper`, then commits that.
fn after<T: Send>(
    skipper: &mut Session,
    admin: &mut Session,
    session: &mut Session,
    call: impl FnOnce(&mut Session) -> T + Send,
) -> T {
    let pid = session.pid;
    thread::scope(|scope| {
        let waiting = scope.spawn(|| call(session));
        until_waiting(admin, pid);
        skipper.run("COMMIT");
        waiting.join().expect("no panic")
    })
}

#[test]
fn a_save_after_a_write_past_the_locks_is_the_next_version() {
    let db = Database::new("skipper_update");
    let (mut skipper, mut session, mut admin) = (db.connect(), db.connect(), db.connect());
    let project = admin.project(Uuid::new_v4()).project;
    for path in ["saved", "expected", "deleted", "moved", "equal", "revived"] {
        admin.put(project, path, "one");
    }
    let raw = |skipper: &mut Session, path: &str| {
        skipper.run("BEGIN");
        let version: i32 = skipper.value(UPDATE, &[&project, &path, &"raw"]);
        assert_eq!(version, 2);
    };

    raw(&mut skipper, "saved");
    let saved = after(&mut skipper, &mut admin, &mut session, |s| s.save(project, "saved", "mine", None));
    assert_eq!(saved.expect("saved").version, 3);

    raw(&mut skipper, "expected");
    let refused_save = after(&mut skipper, &mut admin, &mut session, |s| s.save(project, "expected", "mine", Some(1)));
    let detail = refused(refused_save, "PT409").json();
    assert_eq!((&detail["expected"], &detail["current"]), (&1.into(), &2.into()));
    assert_eq!(detail["current_hash"], sha256("raw"));

    raw(&mut skipper, "deleted");
    let tombstone = after(&mut skipper, &mut admin, &mut session, |s| s.delete(project, "deleted", None));
    assert_eq!(tombstone.expect("deleted").version, 3);

    raw(&mut skipper, "moved");
    let moved: File =
        after(&mut skipper, &mut admin, &mut session, |s| s.rename(project, "moved", "to", None)).expect("moved");
    assert_eq!((moved.version, moved.content.as_deref()), (3, Some("raw")), "the newest content moves");

    // What is equal by the time it could be written is no save.
    raw(&mut skipper, "equal");
    let equal = after(&mut skipper, &mut admin, &mut session, |s| s.save(project, "equal", "raw", None));
    assert_eq!(equal.expect("nothing to save").version, 2);
    invariants::hold(&mut admin);
}

#[test]
fn a_first_save_after_a_file_made_past_the_locks_is_its_next_version() {
    let db = Database::new("skipper_insert");
    let (mut skipper, mut session, mut admin) = (db.connect(), db.connect(), db.connect());
    let project = admin.project(Uuid::new_v4()).project;
    admin.put(project, "old", "old");
    admin.put(project, "gone", "gone");
    admin.delete(project, "gone", None).expect("deleted");
    let raw = |skipper: &mut Session, path: &str| {
        skipper.run("BEGIN");
        assert_eq!(skipper.value::<i32>(INSERT, &[&project, &path, &"raw"]), 1);
    };

    raw(&mut skipper, "new");
    let saved = after(&mut skipper, &mut admin, &mut session, |s| s.save(project, "new", "mine", None));
    assert_eq!(saved.expect("saved").version, 2);

    raw(&mut skipper, "not there");
    let saved = after(&mut skipper, &mut admin, &mut session, |s| s.save(project, "not there", "mine", Some(0)));
    assert_eq!(refused(saved, "PT409").json()["current"], 1);

    // Two files have had this path then; the live one is the one that goes on.
    raw(&mut skipper, "gone");
    let saved = after(&mut skipper, &mut admin, &mut session, |s| s.save(project, "gone", "mine", None));
    assert_eq!(saved.expect("saved").version, 2);

    raw(&mut skipper, "taken");
    let moved = after(&mut skipper, &mut admin, &mut session, |s| s.rename(project, "old", "taken", None));
    assert_eq!(refused(moved, "PT409").json()["file_path"], "taken");
    // The session is none the worse for the unique violation it never showed.
    assert_eq!(session.put(project, "old", "older"), 2);
    session.run("BEGIN");
    session.run("ROLLBACK");
    invariants::hold(&mut admin);
}

#[test]
fn under_fixed_snapshots_a_write_past_the_locks_is_40001() {
    let db = Database::new("skipper_rr");
    let (mut skipper, mut session, mut admin) = (db.connect(), db.connect(), db.connect());
    let project = admin.project(Uuid::new_v4()).project;
    type Call = fn(&mut Session, Uuid) -> Result<File, crate::support::Refusal>;
    let calls: [Call; 5] = [
        |s, p| s.save(p, "a", "mine", None),
        |s, p| s.save(p, "new", "mine", None),
        |s, p| s.delete(p, "a", None),
        |s, p| s.rename(p, "a", "elsewhere", None),
        |s, p| s.rename(p, "a", "new", None),
    ];
    for (n, call) in calls.into_iter().enumerate() {
        for isolation in ["REPEATABLE READ", "SERIALIZABLE"] {
            admin.save(project, "a", &format!("{n} {isolation}"), None).expect("saved");
            session.run(&format!("BEGIN ISOLATION LEVEL {isolation}"));
            session.value::<i64>("SELECT count(*) FROM versioned.projects", &[]);
            skipper.rows(UPDATE, &[&project, &"a", &"raw"]);
            skipper.rows(INSERT, &[&project, &"new", &"raw"]);
            refused(call(&mut session, project), "40001");
            session.run("ROLLBACK");
            assert_eq!(session.value::<i32>("SELECT 1", &[]), 1);
            admin.delete(project, "new", None).expect("deleted");
        }
    }
    invariants::hold(&mut admin);
}

#[test]
fn racing_with_writers_past_the_locks_nothing_is_lost_or_doubled() {
    const SAVES: usize = 120;
    let db = Database::new("skipper_race");
    let mut admin = db.connect();
    let project = admin.project(Uuid::new_v4()).project;
    admin.put(project, "a", "one");
    let answers = race(sessions(6, || db.connect()), |n, session| {
        (0..SAVES)
            .map(|k| {
                let content = format!("{k} of {n}");
                let version = if n < 2 {
                    session.value(UPDATE, &[&project, &"a", &content])
                } else {
                    session.put(project, "a", &content)
                };
                (version, content)
            })
            .collect::<Vec<(i32, String)>>()
    });
    for (version, content) in answers.into_iter().flatten() {
        let stored = admin.get(project, "a", Some(version)).expect("it is there");
        assert_eq!(stored.content, Some(content), "version {version}");
    }
    assert_eq!(admin.get(project, "a", None).expect("it is there").version, 6 * SAVES as i32 + 1);
    invariants::hold(&mut admin);
}

#[test]
fn racing_with_files_made_past_the_locks_every_save_counts() {
    const PATHS: usize = 60;
    let db = Database::new("skipper_first");
    let mut admin = db.connect();
    let project = admin.project(Uuid::new_v4()).project;
    let answers = race(sessions(6, || db.connect()), |n, session| {
        let mut made = 0;
        for path in 0..PATHS {
            let (path, content) = (format!("{path}"), format!("of {n}"));
            let params: [&(dyn ToSql + Sync); 3] = [&project, &path, &content];
            if n < 3 {
                made += session.rows(INSERT, &params).len();
            } else {
                session.put(project, &path, &content);
                made += 1;
            }
        }
        made
    });
    let rows: i64 = admin.value("SELECT count(*) FROM versioned.project_file_versions", &[]);
    assert_eq!(rows as usize, answers.iter().sum::<usize>());
    assert_eq!(admin.list(project).len(), PATHS);
    invariants::hold(&mut admin);
}
