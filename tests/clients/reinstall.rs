//! The extension dropped, created again, elsewhere, under another name: sessions that knew it go on at once.

use uuid::Uuid;

use crate::invariants;
use crate::support::{Database, Session, refused};

/// A short life of a project in the extension in `schema` (quoted), as whoever the session is.
#[track_caller]
fn live(session: &mut Session, schema: &str, owner: Uuid) {
    let run = |session: &mut Session, sql: &str, id: &str, build: &str| -> Vec<String> {
        let sql = sql.replace("{s}", schema).replace("{p}", id).replace("{b}", build);
        let messages = session.client.simple_query(&sql).unwrap_or_else(|e| panic!("{e:?}: {sql}"));
        messages
            .iter()
            .filter_map(|message| match message {
                postgres::SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or_default().to_owned()),
                _ => None,
            })
            .collect()
    };
    let create = format!(
        "SELECT project_id || ' ' || build_id FROM {{s}}.create_complete_project('{owner}', 'react', 'x', 'y', 'k' || random())"
    );
    let ids = run(session, &create, "", "").remove(0);
    let (project, build) = ids.split_once(' ').expect("two ids");
    for (sql, answer) in [
        ("SELECT version FROM {s}.atomic_upsert_project_file('{p}', 'a', 'one', 'text')", "1"),
        ("SELECT version FROM {s}.atomic_upsert_project_file('{p}', 'a', 'two', 'text', 1)", "2"),
        ("SELECT version FROM {s}.move_project_file('{p}', 'a', 'b')", "3"),
        ("SELECT version FROM {s}.delete_project_file('{p}', 'b')", "4"),
        ("SELECT version FROM {s}.atomic_upsert_project_file('{p}', 'b', 'three', 'text')", "5"),
        ("SELECT content FROM {s}.get_project_file('{p}', 'b')", "three"),
        ("SELECT content FROM {s}.get_project_file('{p}', 'b', 1)", "one"),
        ("SELECT count(*) FROM {s}.get_project_file_history('{p}', 'b')", "5"),
        ("SELECT content FROM {s}.get_current_project_files('{p}')", "three"),
        ("SELECT count(*) FROM {s}.project_files WHERE project_id = '{p}'", "5"),
        ("SELECT {s}.start_ai_time_tracking('{p}', '{b}') IS NOT NULL", "t"),
        ("SELECT minor_version FROM {s}.create_version_on_success('{p}', '{b}', '{\"version_name\": \"x\"}')", "0"),
        (
            "SELECT f.content FROM {s}.projects p, {s}.get_project_version_files(p.id, p.current_version_id) f WHERE p.id = '{p}'",
            "three",
        ),
        ("SELECT count(*) FROM {s}.start_project_build('{p}')", "1"),
        (
            "SELECT status FROM {s}.projects p, {s}.fail_project_build('{p}', p.current_build_id) WHERE p.id = '{p}'",
            "failed",
        ),
        ("SELECT role FROM {s}.add_project_member('{p}', gen_random_uuid(), 'viewer')", "viewer"),
        ("SELECT {s}.remove_project_member('{p}', gen_random_uuid())", "f"),
        ("SELECT versioned_internal.can_read_project('{p}') OR current_user <> 'authenticated'", "t"),
        ("SELECT count(*) FROM {s}.projects WHERE id = '{p}'", "1"),
        ("SELECT length({s}.generate_ulid())", "26"),
        ("SELECT {s}.project_lock_key('{p}') <> {s}.file_lock_key('{p}', 'a')", "t"),
        ("SELECT {s}.delete_project('{p}')", "t"),
        ("SELECT count(*) FROM {s}.projects WHERE id = '{p}'", "0"),
    ] {
        assert_eq!(run(session, sql, project, build), [answer], "{sql} in {schema}");
    }
}

#[test]
fn open_sessions_go_on_when_the_extension_is_created_again_or_elsewhere() {
    let db = Database::new("reinstall");
    let owner = Uuid::new_v4();
    let (mut admin, mut other, mut user) = (db.connect(), db.connect(), db.user(owner));
    let all = |sessions: [&mut Session; 3], schema: &str| sessions.into_iter().for_each(|s| live(s, schema, owner));
    all([&mut admin, &mut other, &mut user], "versioned");

    admin.run("DROP EXTENSION pg_versioned; CREATE EXTENSION pg_versioned SCHEMA versioned");
    all([&mut admin, &mut other, &mut user], "versioned");

    admin.run("DROP EXTENSION pg_versioned; CREATE SCHEMA elsewhere; CREATE EXTENSION pg_versioned SCHEMA elsewhere");
    all([&mut other, &mut admin, &mut user], "elsewhere");

    admin.run("ALTER SCHEMA elsewhere RENAME TO \"Odd {s} é; -- name\"");
    all([&mut user, &mut admin, &mut other], "\"Odd {s} é; -- name\"");
    admin.rows("SELECT \"Odd {s} é; -- name\".grant_versioned_access('service_role')", &[]);

    // Another schema takes the name, with tables of the same names.
    admin.run("CREATE SCHEMA elsewhere; CREATE TABLE elsewhere.projects (id uuid, trap int CHECK (false))");
    all([&mut user, &mut admin, &mut other], "\"Odd {s} é; -- name\"");

    // And back under the first name, while the sessions still know plans of the very first time.
    admin.run("DROP SCHEMA versioned; ALTER SCHEMA \"Odd {s} é; -- name\" RENAME TO versioned");
    all([&mut other, &mut user, &mut admin], "versioned");

    // Undone: what is not there cannot be used, what is there again can.
    admin.run("BEGIN; DROP EXTENSION pg_versioned; CREATE EXTENSION pg_versioned SCHEMA versioned");
    live(&mut admin, "versioned", owner);
    admin.run("ROLLBACK");
    all([&mut admin, &mut other, &mut user], "versioned");
    invariants::hold(&mut db.connect());
}

/// Prepared statements of clients, too.
#[test]
fn prepared_statements_outlive_a_new_installation() {
    let db = Database::new("reprepare");
    let (mut session, mut admin) = (db.connect(), db.connect());
    for _ in 0..3 {
        for _ in 0..7 {
            let build = session.project(Uuid::new_v4());
            assert_eq!(session.put(build.project, "a", "one"), 1);
            session.delete(build.project, "a", None).expect("deleted");
            session.succeed(build.project, &build.build, serde_json::json!({})).expect("it succeeds");
            assert!(session.list(build.project).is_empty());
        }
        admin.run("DROP EXTENSION pg_versioned");
        let refusal = session.save(Uuid::new_v4(), "a", "x", None).expect_err("it is gone");
        assert!(["42883", "42P01", "3F000"].contains(&&*refusal.code), "{refusal:?}");
        admin.run("CREATE EXTENSION pg_versioned SCHEMA versioned");
    }
    invariants::hold(&mut admin);
}

#[test]
fn the_extension_cannot_be_moved_out_of_its_schema() {
    let db = Database::new("relocate");
    let mut admin = db.connect();
    admin.run("CREATE SCHEMA other");
    refused(admin.try_run("ALTER EXTENSION pg_versioned SET SCHEMA other"), "0A000");
    live(&mut admin, "versioned", Uuid::new_v4());
}

#[test]
fn dropping_the_extension_leaves_nothing_behind() {
    let db = Database::new("drop");
    let mut admin = db.connect();
    live(&mut admin, "versioned", Uuid::new_v4());
    admin.run("DROP EXTENSION pg_versioned");
    let left: i64 = admin.value(
        "SELECT (SELECT count(*) FROM pg_class WHERE relnamespace = 'versioned'::regnamespace)
              + (SELECT count(*) FROM pg_proc WHERE pronamespace = 'versioned'::regnamespace)
              + (SELECT count(*) FROM pg_type WHERE typnamespace = 'versioned'::regnamespace)",
        &[],
    );
    assert_eq!(left, 0);
    admin.run("DROP SCHEMA versioned");
}

/// Created by another superuser than the cluster's, and used by him.
#[test]
fn another_superuser_can_own_it() {
    let db = Database::bare("other_owner");
    let boss = db.role("boss", "LOGIN SUPERUSER");
    let mut session = db.login(&boss);
    session.run("CREATE SCHEMA versioned; CREATE EXTENSION pg_versioned SCHEMA versioned");
    let owner = Uuid::new_v4();
    live(&mut session, "versioned", owner);
    live(&mut db.connect(), "versioned", owner);
    live(&mut db.user(owner), "versioned", owner);
    // What is written is written as the owner, though he be no superuser any more.
    db.connect().run(&format!("ALTER ROLE {boss} NOSUPERUSER"));
    live(&mut session, "versioned", owner);
    live(&mut db.user(owner), "versioned", owner);
    db.connect().run("DROP EXTENSION pg_versioned; DROP SCHEMA versioned");
}
