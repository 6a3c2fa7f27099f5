//! The extension's trigger functions where they do not belong: an error, and nothing worse.

use std::panic::{AssertUnwindSafe, catch_unwind};

use uuid::Uuid;

use crate::invariants::{self, everything};
use crate::support::{Database, Session, until};

/// What fires which triggers on tables and views with a row.
const EVENTS: [(&str, &str); 4] = [
    ("INSERT", "INSERT INTO public.{t} SELECT * FROM public.{t} LIMIT 1"),
    ("UPDATE", "UPDATE public.{t} SET note = 'x'"),
    ("DELETE", "DELETE FROM public.{t}"),
    ("TRUNCATE", "TRUNCATE public.{t}"),
];

/// Fires a trigger; what is wrong with how that ended.
#[track_caller]
fn misuse(db: &Database, session: &mut Session, function: &str, table: &str, when: &str, fire: &str) -> Option<String> {
    let what = format!("{function}, {when} on {table}");
    let keyword = if when.contains("DEFERRED") { "CONSTRAINT TRIGGER" } else { "TRIGGER" };
    let when = when.replacen(" FOR", &format!(" ON public.{table} FOR"), 1);
    let when = when.replacen(" DEFERRED", &format!(" ON public.{table} DEFERRABLE INITIALLY DEFERRED FOR EACH ROW"), 1);
    session.run(&format!("CREATE {keyword} misused {when} EXECUTE FUNCTION versioned.{function}()"));
    let result = session.try_run(&fire.replace("{t}", table));
    if let Err(lost) = session.try_run(&format!("DROP TRIGGER misused ON public.{table}")) {
        // The server starts anew; without what it had not written yet, so that there is no going on.
        until("the server is back", || catch_unwind(AssertUnwindSafe(|| db.connect())).is_ok());
        panic!("{what}: {result:?}, and the connection was lost: {lost:?}");
    }
    match result {
        Ok(()) => Some(format!("{what}: nothing happened")),
        Err(refusal) if ["22023", "39P01", "42501"].contains(&&*refusal.code) => {
            let plain = !refusal.message.contains("internal") && !refusal.message.contains("panicked");
            (!plain).then(|| format!("{what}: {refusal:?}"))
        }
        Err(refusal) => Some(format!("{what}: {} {}", refusal.code, refusal.message)),
    }
}

/// A table that is like none of the extension's, one with `change_xid` of another type, and one that is like the view
/// `project_files`; each with a row. Views of the first and the last.
fn scene(test: &str) -> (Database, Uuid) {
    let db = Database::new(test);
    let mut admin = db.connect();
    let project = admin.project(Uuid::new_v4()).project;
    admin.put(project, "a", "one");
    admin.run(
        "CREATE TABLE public.plain (note text);
         CREATE TABLE public.stamped (note text, change_xid xid8);
         CREATE TABLE public.mistyped (note text, change_xid text);
         CREATE TABLE public.alike AS SELECT *, NULL::text AS note FROM versioned.project_files;
         INSERT INTO public.plain VALUES ('a');
         INSERT INTO public.stamped VALUES ('a', '1');
         INSERT INTO public.mistyped VALUES ('a', '1');
         CREATE VIEW public.plain_view AS SELECT note FROM public.plain;
         CREATE VIEW public.alike_view AS SELECT * FROM public.alike",
    );
    (db, project)
}

#[track_caller]
fn ends_well(db: &Database, project: Uuid, before: &[String], wrong: &[String]) {
    assert!(wrong.is_empty(), "{wrong:#?}");
    let mut admin = db.connect();
    assert_eq!(everything(&mut admin), before);
    assert_eq!(admin.put(project, "a", "two"), 2);
    invariants::hold(&mut admin);
}

#[test]
fn the_stamp_of_changes_stamps_nothing_else() {
    let (db, project) = scene("misused_stamp");
    let mut session = db.connect();
    let before = everything(&mut session);
    let mut wrong = Vec::new();
    let mut cases = vec![
        ("plain", "BEFORE INSERT FOR EACH ROW", EVENTS[0].1),
        ("mistyped", "BEFORE INSERT FOR EACH ROW", EVENTS[0].1),
        ("stamped", "AFTER INSERT FOR EACH ROW", EVENTS[0].1),
        ("stamped", "AFTER INSERT DEFERRED", EVENTS[0].1),
        ("stamped", "BEFORE UPDATE FOR EACH ROW", EVENTS[1].1),
        ("stamped", "BEFORE DELETE FOR EACH ROW", EVENTS[2].1),
        ("plain_view", "INSTEAD OF INSERT FOR EACH ROW", EVENTS[0].1),
        ("plain_view", "INSTEAD OF DELETE FOR EACH ROW", EVENTS[2].1),
    ];
    let statements: Vec<(String, &str)> = EVENTS
        .iter()
        .flat_map(|(event, fire)| ["BEFORE", "AFTER"].map(|when| (format!("{when} {event} FOR EACH STATEMENT"), *fire)))
        .collect();
    cases.extend(statements.iter().map(|(when, fire)| ("stamped", when.as_str(), *fire)));
    for (table, when, fire) in cases {
        wrong.extend(misuse(&db, &mut session, "stamp_file_change", table, when, fire));
    }
    ends_well(&db, project, &before, &wrong);
}

#[test]
fn the_triggers_of_the_view_work_nowhere_else() {
    let (db, project) = scene("misused_view");
    let mut session = db.connect();
    let before = everything(&mut session);
    let mut wrong = Vec::new();
    let functions =
        [("insert_project_file", "INSERT"), ("update_project_file", "UPDATE"), ("remove_project_file", "DELETE")];
    for (function, own_event) in functions {
        for (event, fire) in EVENTS {
            for when in ["BEFORE", "AFTER"] {
                if event != "TRUNCATE" {
                    for table in ["plain", "alike"] {
                        let when = format!("{when} {event} FOR EACH ROW");
                        wrong.extend(misuse(&db, &mut session, function, table, &when, fire));
                    }
                }
                let when = format!("{when} {event} FOR EACH STATEMENT");
                wrong.extend(misuse(&db, &mut session, function, "plain", &when, fire));
            }
            if event != "TRUNCATE" {
                let when = format!("INSTEAD OF {event} FOR EACH ROW");
                wrong.extend(misuse(&db, &mut session, function, "plain_view", &when, fire));
                if event != own_event {
                    wrong.extend(misuse(&db, &mut session, function, "alike_view", &when, fire));
                }
            }
        }
    }
    ends_well(&db, project, &before, &wrong);
}

#[test]
fn the_guard_of_history_refuses_wherever_it_stands() {
    let (db, project) = scene("misused_guard");
    let mut session = db.connect();
    let before = everything(&mut session);
    let mut wrong = Vec::new();
    for (event, fire) in EVENTS {
        for when in ["BEFORE", "AFTER"] {
            if event != "TRUNCATE" {
                let when = format!("{when} {event} FOR EACH ROW");
                wrong.extend(misuse(&db, &mut session, "refuse_history_rewrite", "plain", &when, fire));
            }
            let when = format!("{when} {event} FOR EACH STATEMENT");
            wrong.extend(misuse(&db, &mut session, "refuse_history_rewrite", "plain", &when, fire));
        }
        if event != "TRUNCATE" {
            let when = format!("INSTEAD OF {event} FOR EACH ROW");
            wrong.extend(misuse(&db, &mut session, "refuse_history_rewrite", "plain_view", &when, fire));
        }
    }
    ends_well(&db, project, &before, &wrong);
}
