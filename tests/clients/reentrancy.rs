//! Code of the application's own that Postgres runs amid the extension's statements: webhooks on its tables,
//! cascades from its projects.

use uuid::Uuid;

use crate::invariants;
use crate::support::{Database, Session, refused};

/// A database whose owner has put a trigger behind every file version.
fn with_trigger(test: &str, body: &str) -> Database {
    let db = Database::new(test);
    db.connect().run(&format!(
        "CREATE TABLE public.log (what text);
         CREATE FUNCTION public.on_version() RETURNS trigger LANGUAGE plpgsql AS $$
         DECLARE
             content text := (SELECT f.content FROM versioned.project_files f WHERE f.id = NEW.id);
         BEGIN
             {body};
             RETURN NULL;
         END $$;
         CREATE TRIGGER on_version AFTER INSERT ON versioned.project_file_versions
             FOR EACH ROW EXECUTE FUNCTION public.on_version()"
    ));
    db
}

fn log(admin: &mut Session) -> Vec<String> {
    admin.column("SELECT what FROM public.log", &[])
}

#[test]
fn a_trigger_on_file_versions_may_read_and_save() {
    let db = with_trigger(
        "webhook",
        "INSERT INTO public.log VALUES (concat_ws(' ', NEW.file_path, NEW.version, current_user,
             (versioned.get_project_file_history(NEW.project_id, NEW.file_path, 1)).version,
             versioned.current_actor() = NEW.created_by));
         IF NEW.file_path NOT LIKE '%.bak' AND NOT NEW.is_deleted THEN
             PERFORM versioned.atomic_upsert_project_file(NEW.project_id, NEW.file_path || '.bak', content, 'text');
             BEGIN
                 PERFORM versioned.atomic_upsert_project_file(NEW.project_id, NEW.file_path, 'x', 'text', 99);
             EXCEPTION WHEN SQLSTATE 'PT409' THEN
                 NULL;
             END;
         END IF",
    );
    let owner = Uuid::new_v4();
    let mut admin = db.connect();
    let project = admin.project(owner).project;
    let mut user = db.user(owner);
    assert_eq!(user.put(project, "a", "one"), 1);
    assert_eq!(user.put(project, "a", "two"), 2);
    user.delete(project, "a", None).expect("deleted");
    assert_eq!(user.put(project, "a", "three"), 4);
    assert_eq!(user.list(project), [("a".into(), 4, "three".into()), ("a.bak".into(), 3, "three".into())]);
    assert_eq!(user.value::<String>("SELECT current_user::text", &[]), "authenticated");
    let log = log(&mut admin);
    assert_eq!(log[..2], ["a 1 postgres 1 t", "a.bak 1 postgres 1 t"]);
    assert_eq!(log.len(), 7);
    invariants::hold(&mut admin);
}

/// Errors of such code undo the call and arrive as they were raised.
#[test]
fn errors_of_a_trigger_undo_the_call_and_arrive_unchanged() {
    let db = with_trigger(
        "webhook_error",
        "IF content LIKE 'raise %' THEN
             RAISE EXCEPTION USING ERRCODE = split_part(content, ' ', 2), MESSAGE = 'no ' || content,
                                   DETAIL = '{\"a\": 1}', HINT = 'a hint';
         END IF",
    );
    let mut admin = db.connect();
    let owner = Uuid::new_v4();
    let project = admin.project(owner).project;
    admin.put(project, "a", "one");
    admin.put(project, "gone", "one");
    admin.delete(project, "gone", None).expect("deleted");
    let mut user = db.user(owner);
    // Codes Postgres knows, a unique violation among them. (pgrx reports those it does not know as XX000.)
    for code in ["P0001", "23505", "40001", "23514", "57014", "PT418", "AB123"] {
        let content = format!("raise {code}");
        for (path, expected) in [("a", None), ("new", Some(0)), ("gone", None)] {
            let refusal = user.save(project, path, &content, expected).expect_err("raised");
            assert!(
                refusal.code == code || refusal.code == "XX000" && ["PT418", "AB123"].contains(&code),
                "{refusal:?}"
            );
            assert_eq!(refusal.message, format!("no raise {code}"));
            assert_eq!((refusal.detail.as_deref(), refusal.hint.as_deref()), (Some("{\"a\": 1}"), Some("a hint")));
        }
        assert_eq!(user.value::<String>("SELECT current_user::text", &[]), "authenticated");
    }
    assert_eq!(user.list(project), [("a".into(), 1, "one".into())]);
    assert_eq!(user.put(project, "a", "two"), 2);
    invariants::hold(&mut admin);
}

/// Rows of the application that go with their project, with triggers that go on from there.
#[test]
fn deleting_a_project_may_delete_others() {
    let db = Database::new("cascade");
    let mut admin = db.connect();
    admin.run(
        "CREATE TABLE public.notes (
             project_id uuid NOT NULL REFERENCES versioned.projects ON DELETE CASCADE, part uuid, journal uuid);
         CREATE FUNCTION public.on_note() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             PERFORM versioned.atomic_upsert_project_file(OLD.journal, 'journal', OLD.project_id::text, 'text');
             IF OLD.part IS NOT NULL THEN
                 PERFORM versioned.delete_project(OLD.part);
             END IF;
             RETURN OLD;
         END $$;
         CREATE TRIGGER on_note AFTER DELETE ON public.notes FOR EACH ROW EXECUTE FUNCTION public.on_note()",
    );
    let owner = Uuid::new_v4();
    let projects: Vec<Uuid> = (0..4).map(|_| admin.project(owner).project).collect();
    for project in &projects {
        admin.put(*project, "a", "x");
    }
    let [whole, part, detail, journal] = projects[..] else { unreachable!() };
    let note = "INSERT INTO public.notes VALUES ($1, $2, $3)";
    admin.rows(note, &[&whole, &Some(part), &journal]);
    admin.rows(note, &[&part, &Some(detail), &journal]);
    admin.rows(note, &[&detail, &None::<Uuid>, &journal]);
    let mut user = db.user(owner);
    assert!(user.value::<bool>("SELECT versioned.delete_project($1)", &[&whole]));
    let left: Vec<Uuid> = admin.column("SELECT id FROM versioned.projects", &[]);
    assert_eq!(left, [journal]);
    assert_eq!(admin.get(journal, "journal", None).expect("it is there").version, 3);
    refused(admin.try_run("DELETE FROM versioned.project_file_versions"), "42501");
    invariants::hold(&mut admin);
}
