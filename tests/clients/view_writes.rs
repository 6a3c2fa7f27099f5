//! Plain INSERT, UPDATE and DELETE on the view `project_files`, as ORMs send them.

use std::thread;

use serde_json::json;
use uuid::Uuid;

use crate::invariants::{self, everything};
use crate::support::{Database, Params, Refusal, Session, race, refused, sessions, until_waiting};

const INSERT: &str = "INSERT INTO versioned.project_files (project_id, file_path, content) VALUES ($1, $2, $3)
                      RETURNING version";
const UPDATE: &str = "UPDATE versioned.project_files SET content = $3
                       WHERE project_id = $1 AND file_path = $2 AND is_current_version RETURNING version";
const DELETE: &str = "DELETE FROM versioned.project_files
                       WHERE project_id = $1 AND file_path = $2 AND is_current_version RETURNING version";

fn numbers(session: &mut Session, sql: &str, params: Params) -> Result<Vec<i32>, Refusal> {
    Ok(session.try_rows(sql, params)?.iter().map(|row| row.get(0)).collect())
}

#[test]
fn statements_on_the_view_are_saves() {
    let db = Database::new("view_writes");
    let (owner, mut admin) = (Uuid::new_v4(), db.connect());
    let project = admin.project(owner).project;
    let mut user = db.user(owner);
    assert_eq!(numbers(&mut user, INSERT, &[&project, &"a", &"one"]), Ok(vec![1]));
    assert_eq!(
        numbers(&mut user, INSERT, &[&project, &"a", &"two"]),
        Ok(vec![2]),
        "no duplicate key, the next version"
    );
    assert_eq!(numbers(&mut user, UPDATE, &[&project, &"a", &"three"]), Ok(vec![3]));
    assert_eq!(numbers(&mut user, UPDATE, &[&project, &"none", &"x"]), Ok(vec![]));
    // The answer is the row.
    let row = user.row(
        "UPDATE versioned.project_files SET file_type = 'markdown'
          WHERE project_id = $1 AND is_current_version RETURNING project_files::text, id",
        &[&project],
    );
    let (answered, id): (String, Uuid) = (row.get(0), row.get(1));
    let read: String = user.value("SELECT f::text FROM versioned.project_files f WHERE id = $1", &[&id]);
    assert_eq!(answered, read);
    assert!(read.contains(",three,markdown,4,") && read.contains(&owner.to_string()), "{read}");
    // A move, and one with other content.
    user.run("UPDATE versioned.project_files SET file_path = 'b' WHERE file_path = 'a' AND is_current_version");
    user.run(
        "UPDATE versioned.project_files SET file_path = 'c', content = 'six' WHERE file_path = 'b' AND version = 5",
    );
    let file = user.get(project, "c", None).expect("moved");
    assert_eq!((file.version, file.content.as_deref(), file.created_by), (6, Some("six"), Some(owner)));
    assert_eq!(numbers(&mut user, DELETE, &[&project, &"c"]), Ok(vec![6]), "the row that was deleted");
    assert_eq!(numbers(&mut user, DELETE, &[&project, &"c"]), Ok(vec![]));
    assert!(user.list(project).is_empty());
    assert_eq!(numbers(&mut user, INSERT, &[&project, &"c", &"back"]), Ok(vec![8]));
    invariants::hold(&mut admin);
}

#[test]
fn statements_of_many_rows() {
    let db = Database::new("view_many");
    let (owner, mut admin) = (Uuid::new_v4(), db.connect());
    let project = admin.project(owner).project;
    let other = admin.project(owner).project;
    let mut user = db.user(owner);
    let sql = "INSERT INTO versioned.project_files (project_id, file_path, content)
               VALUES ($1, 'a', '1'), ($1, 'b', '2'), ($1, 'a', '3') RETURNING version";
    assert_eq!(numbers(&mut user, sql, &[&project]), Ok(vec![1, 1, 2]));
    user.rows(
        "INSERT INTO versioned.project_files (project_id, file_path, content, file_type)
         SELECT $1, 'f' || n, repeat('x', n), 'text' FROM generate_series(1, 300) n",
        &[&project],
    );
    // A copy of a whole project.
    let copy = "INSERT INTO versioned.project_files (project_id, file_path, content, file_type)
                SELECT $2, file_path, content, file_type FROM versioned.project_files
                 WHERE project_id = $1 AND is_current_version RETURNING version";
    assert_eq!(numbers(&mut user, copy, &[&project, &other]).expect("copied").len(), 302);
    let contents = |session: &mut Session, project| {
        session.list(project).into_iter().map(|(path, _, content)| (path, content)).collect::<Vec<_>>()
    };
    assert_eq!(contents(&mut user, project), contents(&mut user, other));
    let all = "UPDATE versioned.project_files SET content = content || '!'
                WHERE project_id = $1 AND is_current_version RETURNING version";
    let versions = numbers(&mut user, all, &[&project]).expect("all of them");
    assert_eq!((versions.len(), versions.iter().sum::<i32>()), (302, 2 * 302 + 1));
    // One row that is refused undoes the statement.
    let before = everything(&mut admin);
    let sql =
        "INSERT INTO versioned.project_files (project_id, file_path, content) VALUES ($1, 'new', 'x'), ($1, '/', 'x')";
    refused(user.try_rows(sql, &[&project]), "22023");
    assert_eq!(everything(&mut admin), before);
    let sql = "DELETE FROM versioned.project_files WHERE project_id = $1 AND is_current_version RETURNING version";
    assert_eq!(numbers(&mut user, sql, &[&project]).expect("deleted").len(), 302);
    invariants::hold(&mut admin);
}

#[test]
fn what_a_client_says_of_a_row_must_be_right() {
    let db = Database::new("view_refused");
    let (owner, mut admin) = (Uuid::new_v4(), db.connect());
    let project = admin.project(owner).project;
    let mut user = db.user(owner);
    user.put(project, "a", "one");
    user.put(project, "a", "two");
    user.put(project, "b", "one");
    let before = everything(&mut admin);
    let columns =
        "INSERT INTO versioned.project_files (project_id, file_path, content, file_type, version, content_hash,
                       is_current_version, is_deleted)";
    let current = "UPDATE versioned.project_files SET {} WHERE file_path = 'a' AND is_current_version";
    let old = "WHERE file_path = 'a' AND version = 1";
    for (sql, code) in [
        (format!("{columns} VALUES (NULL, 'c', 'x', 'text', NULL, NULL, true, false)"), "22023"),
        (format!("{columns} VALUES ('{project}', NULL, 'x', 'text', NULL, NULL, true, false)"), "22023"),
        (format!("{columns} VALUES ('{project}', 'c', NULL, 'text', NULL, NULL, true, false)"), "22023"),
        (format!("{columns} VALUES ('{project}', 'c', 'x', NULL, NULL, NULL, true, false)"), "22023"),
        (format!("{columns} VALUES ('{project}', 'c', 'x', 'text', 0, NULL, true, false)"), "22023"),
        (format!("{columns} VALUES ('{project}', 'c', 'x', 'text', NULL, 'ab', true, false)"), "22023"),
        (format!("{columns} VALUES ('{project}', 'c', 'x', 'text', NULL, NULL, false, false)"), "22023"),
        (format!("{columns} VALUES ('{project}', 'c', 'x', 'text', NULL, NULL, true, true)"), "22023"),
        (format!("{columns} VALUES ('{project}', 'c', 'x', 'text', 2, NULL, NULL, NULL)"), "PT409"),
        (format!("{columns} VALUES ('{project}', 'a', 'x', 'text', 1, NULL, NULL, NULL)"), "PT409"),
        (format!("{columns} VALUES ('{project}', 'a', 'x', 'text', 2, NULL, NULL, NULL)"), "PT409"),
        (format!("{columns} VALUES ('{}', 'a', 'x', 'text', NULL, NULL, NULL, NULL)", Uuid::new_v4()), "PT404"),
        (current.replace("{}", "project_id = gen_random_uuid()"), "22023"),
        (current.replace("{}", "id = gen_random_uuid()"), "22023"),
        (current.replace("{}", "id = NULL"), "22023"),
        (current.replace("{}", "version = 7"), "22023"),
        (current.replace("{}", "version = NULL"), "22023"),
        (current.replace("{}", "content = NULL"), "22023"),
        (current.replace("{}", "content = 'x', content_hash = 'ab'"), "22023"),
        (current.replace("{}", "is_current_version = false"), "22023"),
        (current.replace("{}", "is_deleted = true"), "22023"),
        (current.replace("{}", "file_path = '../b'"), "22023"),
        (current.replace("{}", "file_path = 'b'"), "PT409"),
        (format!("UPDATE versioned.project_files SET content = 'x' {old}"), "PT409"),
        (format!("UPDATE versioned.project_files SET content = 'two' {old}"), "PT409"),
        (format!("UPDATE versioned.project_files SET is_current_version = true {old}"), "PT409"),
        (format!("DELETE FROM versioned.project_files {old}"), "PT409"),
    ] {
        let refusal = refused(user.try_run(&sql), code);
        if code == "PT409" {
            assert!(refusal.json()["file_path"].is_string() && refusal.hint.is_some(), "{sql}: {refusal:?}");
        }
    }
    assert_eq!(everything(&mut admin), before);
    // What an application of old sends along is taken when it is right.
    user.run(&format!(
        "{columns} VALUES ('{project}', 'a', 'x', 'text', 3, encode(sha256('x'), 'hex'), true, false);
         UPDATE versioned.project_files
            SET content = 'y', version = version + 1, content_hash = upper(encode(sha256('y'), 'hex')), size_bytes = 99,
                created_by = NULL, updated_at = '-infinity'
          WHERE file_path = 'a' AND is_current_version"
    ));
    let file = user.get(project, "a", None).expect("saved");
    assert_eq!((file.version, file.size, file.created_by), (4, 1, Some(owner)));
    // Postgres offers no ON CONFLICT for such views.
    let upsert = "INSERT INTO versioned.project_files (project_id, file_path, content) VALUES ($1, 'a', 'x')
                  ON CONFLICT (project_id, file_path) DO UPDATE SET content = excluded.content";
    assert!(user.try_rows(upsert, &[&project]).is_err());
    invariants::hold(&mut admin);
}

#[test]
fn members_write_and_strangers_do_not() {
    let db = Database::new("view_roles");
    let (owner, viewer, editor, mut admin) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4(), db.connect());
    let project = admin.project(owner).project;
    admin.add_member(project, viewer, "viewer");
    admin.add_member(project, editor, "editor");
    admin.put(project, "a", "one");
    let before = everything(&mut admin);
    let (mut stranger, mut reader) = (db.user(Uuid::new_v4()), db.user(viewer));
    refused(stranger.try_rows(INSERT, &[&project, &"a", &"x"]), "PT404");
    let (update, delete): (Params, Params) = (&[&project, &"a", &"x"], &[&project, &"a"]);
    for (sql, params) in [(UPDATE, update), (DELETE, delete)] {
        assert_eq!(numbers(&mut stranger, sql, params), Ok(vec![]), "there is nothing to see");
        refused(reader.try_rows(sql, params), "42501");
    }
    refused(reader.try_rows(INSERT, &[&project, &"a", &"x"]), "42501");
    let mut anon = db.login("authenticator");
    anon.run("SET ROLE anon");
    anon.claim(owner);
    refused(anon.try_rows(INSERT, &[&project, &"a", &"x"]), "42501");
    assert_eq!(everything(&mut admin), before);
    assert_eq!(numbers(&mut db.user(editor), UPDATE, &[&project, &"a", &"two"]), Ok(vec![2]));
}

/// The row that a statement found may be old by the time it gets the lock.
#[test]
fn a_row_that_stops_being_current_while_it_is_waited_for_is_a_conflict() {
    let db = Database::new("view_waits");
    let (mut holder, mut admin) = (db.connect(), db.connect());
    let project = admin.project(Uuid::new_v4()).project;
    type Change<'a> = &'a (dyn Fn(&mut Session) + Sync);
    let changes: [(&str, Change); 3] = [
        ("saved", &|session| assert!(session.put(project, "a", "of the holder") > 1)),
        ("deleted", &|session| assert!(session.delete(project, "a", None).is_ok())),
        ("moved", &|session| assert!(session.rename(project, "a", "elsewhere", None).is_ok())),
    ];
    for (what, change) in changes {
        for sql in [
            "UPDATE versioned.project_files SET content = 'late' WHERE file_path = 'a' AND is_current_version",
            "UPDATE versioned.project_files SET file_path = 'b' WHERE file_path = 'a' AND is_current_version",
            "DELETE FROM versioned.project_files WHERE file_path = 'a' AND is_current_version",
        ] {
            admin.put(project, "a", "before");
            holder.run("BEGIN");
            change(&mut holder);
            let mut waiter = db.connect();
            let pid = waiter.pid;
            thread::scope(|scope| {
                let waiting = scope.spawn(move || waiter.try_run(sql));
                until_waiting(&mut admin, pid);
                holder.run("COMMIT");
                refused(waiting.join().expect("no panic"), "PT409");
            });
            assert!(
                admin.list(project).iter().all(|(path, _, content)| path != "b" && content != "late"),
                "{what}: {sql}"
            );
            for path in ["a", "elsewhere"] {
                let _ = admin.delete(project, path, None);
            }
        }
    }
    invariants::hold(&mut admin);
}

/// The number of a version does not tell files apart: another file at the path may have come to the same one.
#[test]
fn another_file_that_takes_the_path_meanwhile_is_not_written() {
    let db = Database::new("view_other_file");
    let (mut holder, mut admin) = (db.connect(), db.connect());
    let project = admin.project(Uuid::new_v4()).project;
    for (n, change) in [
        "UPDATE versioned.project_files SET content = content || ' edited' WHERE file_path = '{}' AND is_current_version",
        "UPDATE versioned.project_files SET file_path = 'moved' WHERE file_path = '{}' AND is_current_version",
        "DELETE FROM versioned.project_files WHERE file_path = '{}' AND is_current_version",
    ]
    .into_iter()
    .enumerate()
    {
        let path = format!("path {n}");
        admin.put(project, &path, "mine");
        holder.run("BEGIN");
        holder.rename(project, &path, &format!("old {n}"), None).expect("moved");
        assert_eq!(holder.put(project, &path, "another's"), 1);
        let mut waiter = db.connect();
        let pid = waiter.pid;
        let sql = change.replace("{}", &path);
        thread::scope(|scope| {
            let waiting = scope.spawn(move || waiter.try_run(&sql));
            until_waiting(&mut admin, pid);
            holder.run("COMMIT");
            refused(waiting.join().expect("no panic"), "PT409");
        });
        assert_eq!(admin.get(project, &path, None).expect("there").content.as_deref(), Some("another's"));
    }
    invariants::hold(&mut admin);
}

/// Writers who read and update as an ORM does: each update that says it worked is in the text.
#[test]
fn no_update_is_lost() {
    const WRITERS: usize = 6;
    const UPDATES: usize = 30;
    let db = Database::new("view_race");
    let mut admin = db.connect();
    let project = admin.project(Uuid::new_v4()).project;
    admin.put(project, "a", "");
    let conflicts: usize = race(sessions(WRITERS, || db.connect()), |who, session| {
        let append = "UPDATE versioned.project_files SET content = content || $2 || E'\\n'
                       WHERE project_id = $1 AND file_path = 'a' AND is_current_version RETURNING version";
        let mut conflicts = 0;
        for n in 0..UPDATES {
            loop {
                match numbers(session, append, &[&project, &format!("{who} {n}")]) {
                    Ok(versions) => {
                        assert_eq!(versions.len(), 1, "one row, however busy it is");
                        break;
                    }
                    Err(refusal) => assert_eq!(refusal.code, "PT409", "{refusal:?}"),
                }
                conflicts += 1;
            }
        }
        conflicts
    })
    .into_iter()
    .sum();
    assert!(conflicts > 0, "they never met");
    let last = admin.get(project, "a", None).expect("there");
    assert_eq!(last.version as usize, WRITERS * UPDATES + 1);
    let content = last.content.expect("a text");
    let mut lines: Vec<&str> = content.lines().collect();
    lines.sort_unstable();
    lines.dedup();
    assert_eq!(lines.len(), WRITERS * UPDATES);
    invariants::hold(&mut admin);
}

#[test]
fn savepoints_and_snapshots_hold_for_statements_too() {
    let db = Database::new("view_snapshots");
    let (mut session, mut admin) = (db.connect(), db.connect());
    let first = admin.project(Uuid::new_v4());
    let project = first.project;
    session.run("BEGIN");
    assert_eq!(numbers(&mut session, INSERT, &[&project, &"a", &"one"]), Ok(vec![1]));
    session.run("SAVEPOINT s");
    assert_eq!(numbers(&mut session, UPDATE, &[&project, &"a", &"undone"]), Ok(vec![2]));
    session.run("ROLLBACK TO s");
    assert_eq!(numbers(&mut session, UPDATE, &[&project, &"a", &"two"]), Ok(vec![2]));
    session.run("COMMIT");
    for level in ["REPEATABLE READ", "SERIALIZABLE"] {
        session.run(&format!("BEGIN ISOLATION LEVEL {level}"));
        session.list(project);
        admin.put(project, "a", level);
        refused(session.try_rows(UPDATE, &[&project, &"a", &"late"]), "40001");
        session.run("ROLLBACK");
    }
    admin.succeed(project, &first.build, json!({})).expect("it succeeds");
    invariants::hold(&mut admin);
}
