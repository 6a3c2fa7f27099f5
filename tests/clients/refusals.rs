//! Refused callers learn nothing and hold nothing: under fixed snapshots, with answers in JSON, by internal functions.

use std::thread;

use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::invariants;
use crate::members::FUNCTIONS;
use crate::support::{Database, Session, refused, until_waiting};

/// Advisory locks that a backend holds or waits for.
fn locks_of(admin: &mut Session, pid: i32) -> i64 {
    admin.value("SELECT count(*) FROM pg_locks WHERE pid = $1 AND locktype = 'advisory'", &[&pid])
}

/// The save that answers what others raise.
const ANSWER: &str = "SELECT versioned.upsert_project_file($1, 'a', 'refused', 'text')";

/// What saves besides the functions' calls: a batch that is not empty, and a statement that needs no row to begin with.
const BATCH: &str = "SELECT versioned.atomic_upsert_project_files('{p}',
    '[{\"file_path\": \"a\", \"content\": \"x\", \"file_type\": \"text\"}]')";
const BY_THE_VIEW: &str =
    "INSERT INTO versioned.project_files (project_id, file_path, content) VALUES ('{p}', 'a', 'x')";

/// What a stranger's transaction cannot see because it is newer than its snapshot must not show in its answers either.
#[test]
fn strangers_with_fixed_snapshots_cannot_tell_a_project_from_none() {
    let db = Database::new("fixed_strangers");
    let mut admin = db.connect();
    let mut wrong = Vec::new();
    // What happens to the project after the stranger's snapshot was taken.
    type Change = fn(&mut Session, Uuid, &str);
    let changes: [(&str, Change); 5] = [
        ("nothing", |_, _, _| {}),
        ("a save", |admin, project, _| {
            admin.put(project, "a", "changed");
        }),
        ("a first save", |admin, project, _| {
            admin.put(project, "b", "new");
        }),
        ("a deletion", |admin, project, _| {
            admin.delete(project, "a", None).expect("deleted");
        }),
        ("a version", |admin, project, build| {
            admin.succeed(project, build, json!({})).expect("succeeded");
        }),
    ];
    for level in ["REPEATABLE READ", "SERIALIZABLE"] {
        for (what, change) in changes {
            let first = admin.project(Uuid::new_v4());
            let project = first.project;
            admin.put(project, "a", "one");
            let version = admin.succeed(project, &first.build, json!({})).expect("succeeded").id;
            let build = admin.start(project, false).expect("started");
            let mut stranger = db.user(Uuid::new_v4());
            stranger.run(&format!("BEGIN ISOLATION LEVEL {level}"));
            assert_eq!(stranger.value::<i64>("SELECT count(*) FROM versioned.projects", &[]), 0);
            change(&mut admin, project, &build.build);
            let none = Uuid::new_v4();
            let fill = |call: &str, id: Uuid| {
                call.replace("{p}", &id.to_string())
                    .replace("{b}", &build.build)
                    .replace("{s}", &build.session)
                    .replace("{v}", &version)
            };
            let calls = FUNCTIONS.iter().map(|function| function.2).chain([BATCH, BY_THE_VIEW]);
            for call in calls {
                let [there, missing] = [project, none].map(|id| {
                    stranger.run("SAVEPOINT s");
                    let refusal = stranger.try_run(&fill(call, id)).expect_err("refused");
                    stranger.run("ROLLBACK TO s");
                    (refusal.code.clone(), format!("{refusal:?}").replace(&id.to_string(), "…"))
                });
                if there != missing || there.0 != "PT404" {
                    wrong.push(format!("{level}, {what}: {call}: {} and {}", there.1, missing.1));
                }
            }
            for id in [none, project] {
                match stranger.try_value::<Json>(ANSWER, &[&id]) {
                    Ok(answer) if answer["error"]["code"] == "NOT_FOUND" => {}
                    result => wrong.push(format!("{level}, {what}: upsert_project_file: {result:?}")),
                }
            }
            stranger.run("ROLLBACK");
        }
    }
    assert!(wrong.is_empty(), "{} differences: {wrong:#?}", wrong.len());
}

/// A viewer, who may not save, is told so, whatever happened to the file.
#[test]
fn viewers_with_fixed_snapshots_are_forbidden_to_save() {
    let db = Database::new("fixed_viewers");
    let (mut admin, member) = (db.connect(), Uuid::new_v4());
    let project = admin.project(Uuid::new_v4()).project;
    admin.put(project, "a", "one");
    admin.add_member(project, member, "viewer");
    let mut viewer = db.user(member);
    for level in ["REPEATABLE READ", "SERIALIZABLE"] {
        for call in [
            "SELECT versioned.atomic_upsert_project_file($1, 'a', 'x', 'text')",
            "SELECT versioned.delete_project_file($1, 'a')",
            "SELECT versioned.move_project_file($1, 'a', 'b')",
            "SELECT versioned.revert_project_file($1, 'a', 1)",
            "SELECT versioned.merge_project_file($1, 'a', 'x', 1)",
        ] {
            viewer.run(&format!("BEGIN ISOLATION LEVEL {level}"));
            assert_eq!(viewer.value::<i64>("SELECT count(*) FROM versioned.projects", &[]), 1);
            admin.put(project, "a", &Uuid::new_v4().to_string());
            refused(viewer.try_rows(call, &[&project]), "42501");
            viewer.run("ROLLBACK");
        }
    }
}

/// A refusal that is returned leaves the transaction alive, but no lock in it: callers who may not save keep nobody from
/// saving.
#[test]
fn a_refusal_that_is_answered_leaves_no_lock() {
    let db = Database::new("answered_locks");
    let (mut admin, viewer) = (db.connect(), Uuid::new_v4());
    let project = admin.project(Uuid::new_v4()).project;
    admin.put(project, "a", "one");
    admin.add_member(project, viewer, "viewer");
    let mut nobody = db.login("authenticator");
    nobody.run("SET ROLE authenticated");
    for (code, mut session) in
        [("NOT_FOUND", db.user(Uuid::new_v4())), ("FORBIDDEN", db.user(viewer)), ("AUTHENTICATION_REQUIRED", nobody)]
    {
        for level in ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"] {
            session.run(&format!("BEGIN ISOLATION LEVEL {level}"));
            for id in [project, Uuid::new_v4()] {
                let answer: Json = session.value(ANSWER, &[&id]);
                let due = if id == project || code == "AUTHENTICATION_REQUIRED" { code } else { "NOT_FOUND" };
                assert_eq!(answer["error"]["code"], due);
                assert_eq!(locks_of(&mut admin, session.pid), 0, "{due} under {level}");
            }
            // The owner's tools get at the project at once.
            let mut other = db.connect();
            other.run("SET lock_timeout = '5s'");
            other.put(project, "a", &Uuid::new_v4().to_string());
            other.start(project, true).expect("started");
            session.run("COMMIT");
        }
    }
    invariants::hold(&mut admin);
}

/// The locks that the transaction's own saves need stay.
#[test]
fn a_refusal_keeps_the_locks_of_earlier_saves() {
    let db = Database::new("answered_earlier");
    let (mut admin, member) = (db.connect(), Uuid::new_v4());
    let project = admin.project(Uuid::new_v4()).project;
    admin.add_member(project, member, "editor");
    let mut session = db.user(member);
    session.run("BEGIN");
    session.put(project, "b", "mine");
    let held = locks_of(&mut admin, session.pid);
    assert_eq!(held, 2);
    admin.rows("DELETE FROM versioned.project_members WHERE user_id = $1", &[&member]);
    let answer: Json = session.value(ANSWER, &[&project]);
    assert_eq!(answer["error"]["code"], "NOT_FOUND");
    assert_eq!(locks_of(&mut admin, session.pid), held);
    let mut other = db.connect();
    other.run("SET lock_timeout = '100ms'");
    refused(other.save(project, "b", "too early", None), "55P03");
    session.run("COMMIT");
    assert_eq!(other.put(project, "b", "next"), 2);
    invariants::hold(&mut admin);
}

/// Removed while waiting for a lock: the answer comes after the wait, and takes the lock back.
#[test]
fn who_is_removed_while_they_wait_holds_nothing_after_the_answer() {
    let db = Database::new("answered_removed");
    let (mut admin, mut holder) = (db.connect(), db.connect());
    let project = admin.project(Uuid::new_v4()).project;
    admin.put(project, "a", "one");
    for (lock, change, code) in [
        ("versioned.project_lock_key($1)", "SELECT versioned.remove_project_member($1, $2)", "NOT_FOUND"),
        ("versioned.project_lock_key($1)", "SELECT versioned.add_project_member($1, $2, 'viewer')", "FORBIDDEN"),
        (
            "versioned.file_lock_key($1, 'a')",
            "DELETE FROM versioned.project_members WHERE project_id = $1 AND user_id = $2",
            "NOT_FOUND",
        ),
    ] {
        let member = Uuid::new_v4();
        admin.add_member(project, member, "editor");
        let mut session = db.user(member);
        let pid = session.pid;
        holder.run("BEGIN");
        holder.rows(&format!("SELECT pg_advisory_xact_lock({lock})"), &[&project]);
        thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                session.run("BEGIN");
                session.value::<Json>(ANSWER, &[&project])
            });
            until_waiting(&mut admin, pid);
            holder.rows(change, &[&project, &member]);
            holder.run("COMMIT");
            let answer = waiting.join().expect("no panic");
            assert_eq!(answer["error"]["code"], code, "{answer}");
        });
        assert_eq!(locks_of(&mut admin, pid), 0, "{lock}, {change}");
        session.run("COMMIT");
    }
    invariants::hold(&mut admin);
}

/// Users cannot call the functions behind views and policies with bytes of their own making.
#[test]
fn no_function_that_users_may_call_takes_stored_bytes() {
    let db = Database::new("internal_functions");
    let (owner, mut admin) = (Uuid::new_v4(), db.connect());
    let project = admin.project(owner).project;
    admin.put(project, "a", "one");
    let app = db.own_login("app", owner);
    let callable = "
        SELECT p.oid::regprocedure::text
          FROM pg_proc p
         WHERE p.pronamespace = 'versioned'::regnamespace
           AND (p.proname = 'stored_content' OR 'bytea'::regtype = ANY (p.proargtypes))
           AND has_function_privilege($1::text, p.oid, 'EXECUTE')
         ORDER BY 1";
    for role in [&app, "authenticated", "service_role", "anon", "authenticator"] {
        let found: Vec<String> = admin.column(callable, &[&role]);
        assert!(found.is_empty(), "{role} can call {found:?}");
    }
    // Reading needs no such right of the reader's.
    for mut session in [db.user(owner), db.login(&app)] {
        let content: String = session.value("SELECT content FROM versioned.project_files", &[]);
        assert_eq!(content, "one");
        assert_eq!(session.list(project).len(), 1);
        let hash = "SELECT content_hash FROM versioned.project_files WHERE is_current_version";
        assert_eq!(session.value::<String>(hash, &[]).len(), 64);
    }
}

/// Somebody without rights does not queue for a table either.
#[test]
fn a_stranger_does_not_wait_for_maintenance() {
    let db = Database::new("stranger_maintenance");
    let (mut holder, mut admin) = (db.connect(), db.connect());
    let project = admin.project(Uuid::new_v4()).project;
    for table in ["project_file_heads", "project_file_versions", "rate_limits"] {
        holder.run(&format!("BEGIN; LOCK TABLE versioned.{table}"));
        let mut stranger = db.user(Uuid::new_v4());
        stranger.run("SET lock_timeout = '10s'");
        refused(stranger.save(project, "a", "x", None), "PT404");
        holder.run("ROLLBACK");
    }
}
