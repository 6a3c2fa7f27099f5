//! Triggers that a database's owner adds to the extension's tables: what they raise arrives as they raised it.

use uuid::Uuid;

use serde_json::json;

use crate::calls::Build;
use crate::invariants::{self, everything};
use crate::support::{Database, Refusal, Session, refused};

/// A call on a project with the files `a` (live) and `gone` (deleted), `{p}`, and an active build, `{b}`.
const SAVE: &str = "SELECT versioned.atomic_upsert_project_file('{p}', 'a', 'next', 'text')";
const FIRST: &str = "SELECT versioned.atomic_upsert_project_file('{p}', 'new', 'first', 'text')";
const BACK: &str = "SELECT versioned.atomic_upsert_project_file('{p}', 'gone', 'back', 'text')";
const JSON: &str = "SELECT versioned.upsert_project_file('{p}', 'a', 'next', 'text')";
const BATCH: &str = "SELECT versioned.atomic_upsert_project_files('{p}',
    '[{\"file_path\": \"a\", \"content\": \"next\", \"file_type\": \"text\"}]')";
const DELETE: &str = "SELECT versioned.delete_project_file('{p}', 'a')";
const MOVE: &str = "SELECT versioned.move_project_file('{p}', 'a', 'b')";
const REVERT: &str = "SELECT versioned.revert_project_file('{p}', 'a', 1)";
const MERGE: &str = "SELECT versioned.merge_project_file('{p}', 'a', 'merged', 3)";
const VIEW: &str =
    "UPDATE versioned.project_files SET content = 'next' WHERE project_id = '{p}' AND is_current_version";
const SUCCEED: &str = "SELECT versioned.create_version_on_success('{p}', '{b}')";
const FAIL: &str = "SELECT versioned.fail_project_build('{p}', '{b}')";
const START: &str = "SELECT versioned.start_project_build('{p}', p_supersede => true)";

const SAVES: &[&str] = &[SAVE, FIRST, BACK, JSON, BATCH, DELETE, MOVE, REVERT, MERGE, VIEW];

/// Table, when the trigger fires, and calls that fire it.
const TRIGGERS: &[(&str, &str, &[&str])] = &[
    ("project_file_versions", "BEFORE INSERT", SAVES),
    ("project_file_versions", "AFTER INSERT", SAVES),
    ("project_file_heads", "BEFORE UPDATE", &[SAVE, BACK, JSON, BATCH, DELETE, MOVE, REVERT, MERGE, VIEW]),
    ("project_file_heads", "AFTER UPDATE", &[SAVE, BACK, JSON, BATCH, DELETE, MOVE, REVERT, MERGE, VIEW]),
    ("project_file_heads", "BEFORE INSERT", &[FIRST]),
    ("project_file_heads", "AFTER INSERT", &[FIRST]),
    ("project_versions", "BEFORE INSERT", &[SUCCEED]),
    ("project_versions", "AFTER INSERT", &[SUCCEED]),
    ("projects", "BEFORE UPDATE", &[SUCCEED, START, FAIL]),
    ("projects", "AFTER UPDATE", &[SUCCEED, START, FAIL]),
    ("project_build_metrics", "BEFORE UPDATE", &[SUCCEED, START, FAIL]),
];

fn scene(test: &str) -> (Database, Uuid, Build) {
    let db = Database::new(test);
    let (owner, mut admin) = (Uuid::new_v4(), db.connect());
    let project = admin.project(owner);
    for content in ["one", "two", "three"] {
        admin.put(project.project, "a", content);
    }
    admin.put(project.project, "gone", "x");
    admin.delete(project.project, "gone", None).expect("deleted");
    (db, owner, project)
}

fn fill(call: &str, project: &Build) -> String {
    call.replace("{p}", &project.project.to_string()).replace("{b}", &project.build)
}

/// Every error and warning of the triggers, as the client must hear it.
#[track_caller]
fn all_arrive(db: &Database, owner: Uuid, project: &Build, raise: &str, due: &Refusal) {
    let mut admin = db.connect();
    admin.run(&format!(
        "CREATE OR REPLACE FUNCTION public.raise_mine() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             {raise}
             RETURN NEW;
         END $$"
    ));
    let before = everything(&mut admin);
    for (table, when, calls) in TRIGGERS {
        admin.run(&format!(
            "CREATE TRIGGER mine {when} ON versioned.{table} FOR EACH ROW EXECUTE FUNCTION public.raise_mine()"
        ));
        for mut session in [db.connect(), db.user(owner)] {
            for call in *calls {
                let sql = fill(call, project);
                let refusal = refused(session.try_run(&sql), &due.code);
                assert_eq!(refusal, *due, "{when} on {table}: {call}");
                // In a savepoint, which lives on.
                session.run("BEGIN; SAVEPOINT s");
                assert_eq!(session.try_run(&sql).as_ref(), Err(due), "{when} on {table}: {call}");
                session.run("ROLLBACK TO s; COMMIT");
                let notices = session.notices();
                assert!(notices.is_empty(), "{when} on {table}: {call}: {notices:?}");
            }
            let locks = "SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory'";
            assert_eq!(session.value::<i64>(locks, &[]), 0);
        }
        admin.run(&format!("DROP TRIGGER mine ON versioned.{table}"));
    }
    assert_eq!(everything(&mut admin), before);
    invariants::hold(&mut admin);
}

#[test]
fn what_a_trigger_raises_arrives_unchanged() {
    let (db, owner, project) = scene("raised");
    let due = Refusal {
        code: "PT418".into(),
        message: "my message: %s 100 % \"é\"".into(),
        detail: Some("my detail".into()),
        hint: Some("my hint".into()),
    };
    let raise = "RAISE EXCEPTION USING ERRCODE = 'PT418', MESSAGE = 'my message: %s 100 % \"é\"', DETAIL = 'my detail',
                     HINT = 'my hint';";
    all_arrive(&db, owner, &project, raise, &due);
}

/// Also a code that is one of Postgres' own, and one that the extension handles when it comes from its own index.
#[test]
fn a_code_of_postgres_that_a_trigger_raises_arrives_unchanged() {
    let (db, owner, project) = scene("raised_known");
    for (code, detail) in [("23505", None), ("40001", Some("why")), ("P0001", None)] {
        let due = Refusal {
            code: code.into(),
            message: "not like that".into(),
            detail: detail.map(str::to_owned),
            hint: None,
        };
        let detail = detail.map(|detail| format!(", DETAIL = '{detail}'")).unwrap_or_default();
        let raise = format!("RAISE EXCEPTION USING ERRCODE = '{code}', MESSAGE = 'not like that'{detail};");
        all_arrive(&db, owner, &project, &raise, &due);
    }
}

/// CONTEXT tells where in the trigger the error was raised, once, and nothing of the extension's statements.
#[test]
fn the_context_is_the_triggers_own() {
    let (db, owner, project) = scene("raised_context");
    db.connect().run(
        "CREATE FUNCTION public.complain() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN PERFORM 1 / (NEW.version - NEW.version); RETURN NEW; END $$;
         CREATE TRIGGER complain BEFORE INSERT ON versioned.project_file_versions
             FOR EACH ROW EXECUTE FUNCTION public.complain();
         CREATE FUNCTION public.outer_save(p uuid) RETURNS void LANGUAGE plpgsql AS
             $$ BEGIN PERFORM versioned.atomic_upsert_project_file(p, 'a', 'next', 'text'); END $$",
    );
    let mut user = db.user(owner);
    let error = user.client.execute("SELECT public.outer_save($1)", &[&project.project]).expect_err("refused");
    let context = error.as_db_error().and_then(|error| error.where_()).expect("a context").to_owned();
    for once in ["function complain() line 1", "function outer_save(uuid) line 1"] {
        assert_eq!(
            context.matches(&once.replace("function ", "function public.")).count() + context.matches(once).count(),
            1,
            "{context}"
        );
    }
    assert!(!context.contains("project_file_heads"), "{context}");
}

/// A save that succeeds tells nothing that a trigger did not tell itself.
#[test]
fn a_trigger_that_only_notes_is_heard_and_changes_nothing() {
    let (db, owner, project) = scene("noted");
    let mut admin = db.connect();
    admin.run(
        "CREATE FUNCTION public.note() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             RAISE NOTICE '% % version %', TG_OP, NEW.file_path, NEW.version;
             RETURN NEW;
         END $$;
         CREATE TRIGGER note AFTER INSERT ON versioned.project_file_versions
             FOR EACH ROW EXECUTE FUNCTION public.note()",
    );
    let mut user = db.user(owner);
    user.put(project.project, "a", "four");
    user.put(project.project, "new", "first");
    user.rename(project.project, "new", "renamed", None).expect("moved");
    user.delete(project.project, "renamed", None).expect("deleted");
    let due = ["INSERT a version 4", "INSERT new version 1", "INSERT renamed version 2", "INSERT renamed version 3"];
    assert_eq!(user.notices(), due);
    let build = project.build.clone();
    user.succeed(project.project, &build, json!({})).expect("succeeded");
    assert!(user.notices().is_empty());
    invariants::hold(&mut admin);
}

/// A session whose call a trigger ended goes on as before.
#[test]
fn a_session_survives_any_number_of_errors_raised_by_triggers() {
    let (db, owner, project) = scene("raised_often");
    let mut admin = db.connect();
    admin.run(
        "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             IF NEW.file_type = 'refused' THEN
                 RAISE EXCEPTION USING ERRCODE = 'PT418', MESSAGE = 'no';
             END IF;
             RETURN NEW;
         END $$;
         CREATE TRIGGER refuse BEFORE INSERT ON versioned.project_file_versions
             FOR EACH ROW EXECUTE FUNCTION public.refuse()",
    );
    let mut user: Session = db.user(owner);
    user.run("BEGIN");
    for n in 0..100 {
        user.run("SAVEPOINT s");
        let save = "SELECT versioned.atomic_upsert_project_file($1, 'a', $2, 'refused')";
        refused(user.try_rows(save, &[&project.project, &format!("{n}")]), "PT418");
        user.run("ROLLBACK TO s; RELEASE s");
        user.put(project.project, "a", &format!("{n}"));
    }
    user.run("COMMIT");
    assert_eq!(user.get(project.project, "a", None).expect("there").version, 103);
    invariants::hold(&mut admin);
}

/// A trigger that leaves out the version must not leave its head behind, also where errors are answered as JSON.
#[test]
fn a_suppressed_version_undoes_the_whole_save() {
    let (db, owner, project) = scene("suppressed");
    let mut admin = db.connect();
    admin.run(
        "CREATE FUNCTION public.suppress() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
         CREATE TRIGGER suppress BEFORE INSERT ON versioned.project_file_versions
             FOR EACH ROW EXECUTE FUNCTION public.suppress()",
    );
    let before = everything(&mut admin);
    for call in SAVES {
        let mut user = db.user(owner);
        refused(user.try_run(&fill(call, &project)), "09000");
        assert_eq!(everything(&mut admin), before, "{call}");
    }
}
