//! Calls that are made while library and schema do not fit, and what may come of them.

use std::collections::BTreeSet;
use std::thread;

use serde_json::json;
use uuid::Uuid;

use crate::invariants::{self, everything};
use crate::support::{Database, Refusal, Session, advisory_locks};

/// What a call depends on apart from the library and the tables.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A function that returns rows of the view `project_files`.
    Row,
    /// A function that reads the view or the one below it.
    Reader,
    /// Any other function.
    Function,
    /// A statement of the client's own, which names what it names; `Stored` if it returns rows of `project_files`.
    Statement,
    Stored,
}
use Kind::{Function, Reader, Row, Statement, Stored};

/// Calls of which each gives one text, which is the same each time. `{p}` is a project, `{u}` its owner, `{m}` another
/// member, `{v}` a version, `{d}` its build, `{b}` an active build, `{s}` that one's session, `{x}` an ended build,
/// `{row}` names the columns of a row of `project_files`, and `{of}` is a text of what is the same each time.
pub const CALLS: &[(Kind, &str)] = &[
    (Row, "SELECT {of} FROM versioned.atomic_upsert_project_file('{p}', 'a', 'next', 'text') {row}"),
    (Row, "SELECT {of} FROM versioned.atomic_upsert_project_file('{p}', 'a', 'next', 'text', 5) {row}"),
    (Row, "SELECT {of} FROM versioned.atomic_upsert_project_file('{p}', 'a', 'earlier', 'text', 4) {row}"),
    (Row, "SELECT {of} FROM versioned.atomic_upsert_project_file('{p}', 'long', repeat('y', 900), 'text') {row}"),
    (Row, "SELECT {of} FROM versioned.atomic_upsert_project_file('{p}', 'new', 'first', 'text') {row}"),
    (Row, "SELECT {of} FROM versioned.atomic_upsert_project_file('{p}', 'gone', 'back', 'text') {row}"),
    (Row, "SELECT {of} FROM versioned.delete_project_file('{p}', 'a') {row}"),
    (Row, "SELECT {of} FROM versioned.move_project_file('{p}', 'a', 'moved') {row}"),
    (Row, "SELECT {of} FROM versioned.move_project_file('{p}', 'a', 'gone', 5) {row}"),
    (Row, "SELECT {of} FROM versioned.revert_project_file('{p}', 'a', 1) {row}"),
    (Row, "SELECT {of} FROM versioned.get_project_file('{p}', 'a') {row}"),
    (Row, "SELECT {of} FROM versioned.get_project_file('{p}', 'long', 3) {row}"),
    (
        Row,
        "SELECT string_agg({of}, ';') FROM versioned.atomic_upsert_project_files('{p}', '[
            {\"file_path\": \"long\", \"content\": \"x\", \"file_type\": \"text\", \"expected_version\": 4},
            {\"file_path\": \"a\", \"delete\": true}, {\"file_path\": \"n\", \"content\": \"x\", \"file_type\": \"text\"}]') {row}",
    ),
    (
        Function,
        "SELECT versioned.upsert_project_file('{p}', 'a', 'next', 'text', 5)::jsonb #>> '{data,content_hash}'",
    ),
    (Function, "SELECT concat_ws('|', m) FROM versioned.merge_project_file('{p}', 'long', repeat('z', 9), 3) m"),
    (Function, "SELECT versioned.diff_project_file('{p}', 'long', 1)"),
    (
        Function,
        "SELECT string_agg(concat_ws('|', version, file_path, file_type, content_hash, size_bytes, is_deleted), ';')
           FROM versioned.get_project_changes('{p}')",
    ),
    (
        Function,
        "SELECT string_agg(concat_ws('|', version, file_path, content_hash, is_current_version, is_deleted), ';')
           FROM versioned.get_project_file_history('{p}', 'a')",
    ),
    (Function, "SELECT string_agg(lines, chr(10)) FROM versioned.get_project_fast_export('{p}') lines"),
    (Reader, "SELECT string_agg(f::text, ';') FROM versioned.get_current_project_files('{p}') f"),
    (Reader, "SELECT string_agg(f::text, ';') FROM versioned.get_project_version_files('{p}', '{v}') f"),
    (Reader, "SELECT count(*)::text FROM versioned.check_project_integrity('{p}')"),
    (
        Function,
        "SELECT concat_ws('|', created, version_id = '{v}')
           FROM versioned.create_complete_project('{u}', p_name => 'first', p_idempotency_key => 'k')",
    ),
    (
        Function,
        "SELECT concat_ws('|', created, version_id = '{v}')
           FROM versioned.create_complete_project('{u}', p_prompt => 'second')",
    ),
    (Function, "SELECT created::text FROM versioned.start_project_build('{p}', p_supersede => true)"),
    (Function, "SELECT concat_ws('|', b, v, s) FROM versioned.fail_project_build('{p}', '{b}') t(i, b, p, v, u, f, s)"),
    (Function, "SELECT concat_ws('|', b, s) FROM versioned.fail_project_build('{p}', '{x}') t(i, b, p, v, u, f, s)"),
    (Function, "SELECT concat_ws('|', v, b, f, s) FROM versioned.create_version_on_success('{p}', '{b}') t(p, v, u, r, e, m, a, b, f, s)"),
    (Function, "SELECT concat_ws('|', v, b, f, s) FROM versioned.create_version_on_success('{p}', '{d}') t(p, v, u, r, e, m, a, b, f, s)"),
    (Function, "SELECT concat_ws('|', v, u, f, s) FROM versioned.update_version_metadata('{p}', '{v}', '{\"version_name\": \"x\", \"change_type\": \"major\"}') t(p, v, u, r, e, m, a, b, f, s)"),
    (Function, "SELECT concat_ws('|', v, u, f, s) FROM versioned.publish_project_version('{p}', '{v}', 'good') t(p, v, u, r, e, m, a, b, f, s)"),
    (Function, "SELECT concat_ws('|', v, u, f, s) FROM versioned.unpublish_project_version('{p}', '{v}') t(p, v, u, r, e, m, a, b, f, s)"),
    (Function, "SELECT concat_ws('|', v, u, f, s) FROM versioned.delete_project_version('{p}', '{v}') t(p, v, u, r, e, m, a, b, f, s)"),
    (Function, "SELECT concat_ws('|', v, u, f, s) FROM versioned.undelete_project_version('{p}', '{v}') t(p, v, u, r, e, m, a, b, f, s)"),
    (
        Function,
        "SELECT string_agg(concat_ws('|', version_id, semver, is_current, version_name, can_publish, total_count), ';')
           FROM versioned.get_project_version_history('{p}')",
    ),
    (Function, "SELECT string_agg(d::text, ';') FROM versioned.diff_project_versions('{p}', '{v}') d"),
    (Function, "SELECT string_agg(f::text, ';') FROM versioned.restore_project_version('{p}', '{v}') f"),
    (Function, "SELECT string_agg(f::text, ';') FROM versioned.restore_project_version('{p}', '{v}', true) f"),
    (Function, "SELECT concat_ws('|', b, v, s) FROM versioned.cut_project_build('{p}', '{b}') t(i, b, p, v, u, f, s)"),
    (Reader, "SELECT string_agg(f::text, ';') FROM versioned.get_project_build_files('{p}', '{d}') f"),
    (Function, "SELECT (versioned.start_ai_time_tracking('{p}', '{b}') <> '')::text"),
    (Function, "SELECT (versioned.stop_ai_time_tracking('{p}', '{s}') >= 0)::text"),
    (Function, "SELECT concat_ws('|', p, u, r) FROM versioned.add_project_member('{p}', '{m}', 'owner') t(p, u, r)"),
    (Function, "SELECT versioned.remove_project_member('{p}', '{m}')::text"),
    (
        Function,
        "SELECT concat_ws('|', n, f, c) FROM versioned.update_project_config('{p}', '{\"k\": {\"n\": 1.50}}') t(i, o, n, f, c)",
    ),
    (
        Function,
        "SELECT concat_ws('|', name, role, config, running_build_id, current_version_id, current_semver, published_semver)
           FROM versioned.get_project_state('{p}')",
    ),
    (
        Function,
        "SELECT string_agg(f::text, ';') FROM versioned.prune_project_history('{p}', NULL, 1, NULL, false) f",
    ),
    (
        Function,
        "SELECT string_agg(f::text, ';') FROM versioned.prune_project_history('{p}', 'long', 0, '1 hour', true) f",
    ),
    (Function, "SELECT versioned.delete_project('{p}')::text"),
    (Function, "SELECT coalesce(versioned.current_actor()::text, 'nobody')"),
    (Function, "SELECT length(versioned.generate_ulid())::text"),
    (Statement, "SELECT versioned_internal.can_read_project('{p}')::text"),
    (Statement, "SELECT versioned_internal.readable_project_ids()::text"),
    (Statement, "SELECT string_agg(content, ';' ORDER BY file_path, version) FROM versioned.project_files WHERE project_id = '{p}'"),
    (Stored, "INSERT INTO versioned.project_files (project_id, file_path, content) VALUES ('{p}', 'i', 'x') RETURNING version::text"),
    (Stored, "UPDATE versioned.project_files SET content = 'x' WHERE project_id = '{p}' AND file_path = 'a' AND is_current_version RETURNING version::text"),
    (Stored, "UPDATE versioned.project_files SET file_path = 'u' WHERE project_id = '{p}' AND file_path = 'a' AND is_current_version RETURNING file_path"),
    (Statement, "DELETE FROM versioned.project_files WHERE project_id = '{p}' AND file_path = 'a' AND is_current_version RETURNING version::text"),
    (Statement, "SELECT count(*)::text FROM versioned.projects"),
    (Statement, "SELECT count(*)::text FROM versioned.project_file_versions"),
    (Statement, "SELECT count(*)::text FROM versioned.project_storage"),
    (Statement, "SELECT count(*)::text FROM versioned.project_ai_time"),
    (Statement, "SELECT count(*)::text FROM versioned.project_build_summary"),
];

/// Finds what is wrong with rows of any table.
pub const INTEGRITY: &str = "check_project_integrity";

/// Functions that return rows of tables, as these are.
const ROWS_OF: [(&str, &str); 10] = [
    ("create_version_on_success", "project_versions"),
    ("update_version_metadata", "project_versions"),
    ("publish_project_version", "project_versions"),
    ("unpublish_project_version", "project_versions"),
    ("delete_project_version", "project_versions"),
    ("undelete_project_version", "project_versions"),
    ("fail_project_build", "project_build_metrics"),
    ("cut_project_build", "project_build_metrics"),
    ("add_project_member", "project_members"),
    ("update_project_config", "projects"),
];

const ROW: &str = "AS r(id, p, path, content, type, n, hash, size, current, deleted, by, by2, at, at2)";
const OF: &str = "concat_ws('|', path, content, type, n, hash, size, current, deleted, by)";

pub struct Scene {
    pub db: Database,
    pub owner: Uuid,
    pub project: Uuid,
    pub admin: Session,
    pub calls: Calls,
}

/// The calls as they are made in this database.
pub struct Calls(pub Vec<(Kind, String)>);

/// A session that has made all calls before, with the answers it got.
pub type Warm = (Session, Vec<Option<String>>);

pub fn scene(test: &str) -> Scene {
    let db = Database::new(test);
    let (owner, member, mut admin) = (Uuid::new_v4(), Uuid::new_v4(), db.connect());
    // Double clicks are remembered for longer than any test takes; deltas are decoded each time.
    admin.run(&format!(
        "ALTER DATABASE {0} SET pg_versioned.double_click_window = '60s';
         ALTER DATABASE {0} SET pg_versioned.base_cache_size = 0",
        db.name
    ));
    admin.run(
        "CREATE FUNCTION public.attempt(p_calls text[]) RETURNS TABLE (code text, answer text, detail text, hint text)
             LANGUAGE plpgsql AS $$
         DECLARE
             v_call text;
         BEGIN
             FOREACH v_call IN ARRAY p_calls LOOP
                 answer := NULL;
                 BEGIN
                     EXECUTE v_call INTO answer;
                     RAISE EXCEPTION USING ERRCODE = 'PT200';
                 EXCEPTION WHEN OTHERS THEN
                     GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, detail = PG_EXCEPTION_DETAIL,
                                             hint = PG_EXCEPTION_HINT;
                     IF code <> 'PT200' THEN
                         answer := SQLERRM;
                     END IF;
                 END;
                 RETURN NEXT;
             END LOOP;
         END $$",
    );
    let mut user = db.user(owner);
    let first = user.create(owner, None, "first", Some("k")).expect("created");
    let project = first.project;
    for n in 0..4 {
        let line = "stays\n".repeat(40);
        user.put(project, "long", &format!("{line}{n}\n{line}"));
        user.put(project, "a", &format!("{n}"));
        user.put(project, "gone", &format!("{n}"));
    }
    user.save(project, "a", "earlier", Some(4)).expect("saved");
    user.delete(project, "gone", None).expect("deleted");
    let version = user.succeed(project, &first.build, json!({"version_name": "one"})).expect("it succeeds");
    let failed = user.start(project, false).expect("it starts");
    user.fail(project, &failed.build).expect("it fails");
    let active = user.start(project, false).expect("it starts");
    user.put(project, "later", "not in the version");
    user.add_member(project, member, "viewer");
    let calls = CALLS.iter().map(|(kind, call)| {
        let call = call
            .replace("{p}", &project.to_string())
            .replace("{u}", &owner.to_string())
            .replace("{m}", &member.to_string())
            .replace("{v}", &version.id)
            .replace("{d}", &first.build)
            .replace("{b}", &active.build)
            .replace("{s}", &active.session)
            .replace("{x}", &failed.build)
            .replace("{row}", ROW)
            .replace("{of}", OF);
        (*kind, call)
    });
    let calls = Calls(calls.collect());
    Scene { db, owner, project, admin, calls }
}

/// What came of a call that was undone: its answer, or its error.
type Outcome = Result<Option<String>, Refusal>;

impl Calls {
    /// Makes and undoes all calls.
    fn attempt(&self, session: &mut Session) -> Vec<Outcome> {
        let calls: Vec<&str> = self.0.iter().map(|(_, call)| call.as_str()).collect();
        let rows = session.rows("SELECT * FROM public.attempt($1)", &[&calls]);
        rows.iter()
            .map(|row| {
                let text = |name: &str| row.get::<_, Option<String>>(name);
                let code: String = row.get("code");
                if code == "PT200" {
                    return Ok(text("answer"));
                }
                let message = text("answer").unwrap_or_default();
                Err(Refusal { code, message, detail: text("detail"), hint: text("hint") })
            })
            .collect()
    }

    /// The answers as they are.
    #[track_caller]
    pub fn answers(&self, session: &mut Session) -> Vec<Option<String>> {
        let due = |((_, call), outcome): (&(Kind, String), Outcome)| {
            outcome.unwrap_or_else(|refusal| panic!("{refusal:?}: {call}"))
        };
        self.0.iter().zip(self.attempt(session)).map(due).collect()
    }

    /// Asserts that every call is answered as always or fails plainly; returns which calls fail. `altered` is the name
    /// of what is other than always: statements that name it themselves may find it missing.
    #[track_caller]
    pub fn plain(
        &self,
        session: &mut Session,
        answers: &[Option<String>],
        altered: &str,
        how: &str,
    ) -> BTreeSet<usize> {
        let pid = session.pid;
        let mut failing = BTreeSet::new();
        for (n, outcome) in self.attempt(session).into_iter().enumerate() {
            let (kind, call) = &self.0[n];
            match outcome {
                Ok(answer) => {
                    let shows_it = |(function, table): &(&str, &str)| {
                        call.contains(function)
                            && how.starts_with(&format!("ALTER TABLE versioned.{table} ALTER COLUMN"))
                    };
                    let finds_it = how.contains(" TYPE ") && call.contains(INTEGRITY);
                    if !finds_it && !ROWS_OF.iter().any(shows_it) {
                        assert_eq!(answer, answers[n], "{how}: {call}");
                    }
                }
                Err(refusal) => {
                    let own =
                        matches!(kind, Statement | Stored) && call.contains(altered) && names_what_is_missing(&refusal);
                    if !own {
                        says_what_to_do(&refusal, &format!("{how}: {call}"));
                    }
                    failing.insert(n);
                }
            }
        }
        assert_eq!(session.value::<i32>("SELECT pg_backend_pid()", &[]), pid, "the same session");
        failing
    }

    /// The same without a savepoint around it: the transaction is lost, and nothing else.
    #[track_caller]
    pub fn plain_at_top(&self, session: &mut Session, how: &str) {
        for n in [0, 5, 10, 27] {
            session.run("BEGIN");
            if let Err(refusal) = session.try_run(&self.0[n].1) {
                says_what_to_do(&refusal, &format!("{how}: {}", self.0[n].1));
            }
            session.run("ROLLBACK");
        }
    }
}

impl Scene {
    /// One session of a superuser and one of the owner.
    pub fn sessions(&self) -> [Warm; 2] {
        [self.db.connect(), self.db.user(self.owner)].map(|mut session| {
            let answers = self.calls.answers(&mut session);
            (session, answers)
        })
    }

    /// Alters something in a transaction that others see, lets both sessions try everything, and puts it back. How many
    /// calls failed.
    #[track_caller]
    pub fn with_altered(&mut self, sessions: &mut [Warm; 2], name: &str, alter: &str, back: &str) -> usize {
        self.admin.run(alter);
        let calls = &self.calls;
        let fails = |(session, answers): &mut Warm| {
            calls.plain_at_top(session, alter);
            calls.plain(session, answers, name, alter).len()
        };
        let [superuser, user] = sessions;
        let failing = thread::scope(|scope| {
            let other = scope.spawn(|| fails(superuser));
            fails(user) + other.join().expect("no panic")
        });
        self.admin.run(back);
        failing
    }

    /// Asserts that everything is as it was.
    #[track_caller]
    pub fn ends_well(mut self, sessions: &mut [Warm; 2], before: &[String], started: &str) {
        for (session, answers) in sessions {
            assert_eq!(self.calls.answers(session), *answers);
        }
        let unchanged = everything(&mut self.admin);
        assert_eq!(unchanged, before);
        assert_eq!(advisory_locks(&mut self.admin), 0);
        assert_eq!(self.admin.value::<String>(STARTED, &[]), started, "no backend crashed");
        invariants::hold(&mut self.admin);
    }
}

pub const STARTED: &str = "SELECT pg_postmaster_start_time()::text";

#[track_caller]
fn says_what_to_do(refusal: &Refusal, what: &str) {
    assert_eq!(refusal.code, "55000", "{what}: {refusal:?}");
    let hint = refusal.hint.as_deref().unwrap_or_default();
    assert!(hint.contains("ALTER EXTENSION pg_versioned UPDATE"), "{what}: {refusal:?}");
    let detail = refusal.detail.as_deref().unwrap_or_default();
    let names = refusal.message.starts_with("pg_versioned has no ") || !detail.is_empty();
    assert!(names && !format!("{refusal:?}").contains("pgrx"), "{what}: {refusal:?}");
}

/// As Postgres says it of a client's own statement.
fn names_what_is_missing(refusal: &Refusal) -> bool {
    ["42703", "42P01", "42883", "3F000"].contains(&&*refusal.code)
}
