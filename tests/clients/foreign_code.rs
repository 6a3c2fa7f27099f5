//! Code of strangers that Postgres runs in other people's sessions: as an index expression, in a cascade, with
//! definer rights. It must get nothing, whatever it sets first.

use uuid::Uuid;

use crate::invariants::everything;
use crate::support::{Database, Session};

const VICTIM: Uuid = Uuid::from_u128(0x0190_a1b2_c3d4_7e5f_8a6b_7c8d_9e0f_1a2b);

/// What the stranger tries, `{p}` being the victim's project; a refusal is 42501.
const ATTEMPTS: &[&str] = &[
    "SELECT (versioned.atomic_upsert_project_file('{p}', 'a', 'forged', 'text')).version",
    "SELECT (versioned.delete_project_file('{p}', 'a')).version",
    "SELECT (versioned.move_project_file('{p}', 'a', 'b')).version",
    "SELECT (versioned.get_project_file('{p}', 'a')).content",
    "SELECT content FROM versioned.get_current_project_files('{p}')",
    "SELECT content_hash FROM versioned.get_project_file_history('{p}', 'a')",
    "SELECT content FROM versioned.get_project_version_files('{p}', '{v}')",
    "SELECT versioned.get_project_fast_export('{p}')",
    "SELECT project_id FROM versioned.create_complete_project('{u}', p_prompt => 'x')",
    "SELECT project_id FROM versioned.create_complete_project(p_prompt => 'x', p_idempotency_key => 'k')",
    "SELECT build_id FROM versioned.start_project_build('{p}', p_supersede => true)",
    "SELECT (versioned.fail_project_build('{p}', '{b}')).status",
    "SELECT (versioned.create_version_on_success('{p}', '{b}')).version_id",
    "SELECT versioned.start_ai_time_tracking('{p}', '{b}')",
    "SELECT versioned.stop_ai_time_tracking('{p}', '{s}')",
    "SELECT (versioned.add_project_member('{p}', '00000000-0000-4000-8000-000000000000', 'owner')).role",
    "SELECT versioned.remove_project_member('{p}', '00000000-0000-4000-8000-000000000000')",
    "SELECT (versioned.update_project_config('{p}', '{\"k\": 1}')).config",
    "SELECT config FROM versioned.get_project_state('{p}')",
    "SELECT versioned.delete_project('{p}')",
    "SELECT set_config('role', 'postgres', true)",
    "SELECT set_config('session_authorization', 'postgres', true)",
    "SELECT set_config('pg_versioned.actor_id', '{u}', true)",
    "SELECT set_config('pg_versioned.claim_roles', current_user, true)",
    "DELETE FROM versioned.project_members",
];

/// What it asks that answers, with nothing.
const QUESTIONS: &[(&str, &str)] = &[
    ("SELECT coalesce(versioned.current_actor()::text, 'nobody')", "nobody"),
    ("SELECT versioned_internal.can_read_project('{p}')", "false"),
    ("SELECT versioned_internal.readable_project_ids()", "{}"),
    ("SELECT count(*) FROM versioned.projects", "0"),
    ("SELECT count(*) FROM versioned.project_files", "0"),
    ("SELECT count(*) FROM versioned.project_file_versions", "0"),
    ("SELECT count(*) FROM versioned.project_members", "0"),
    ("SELECT count(*) FROM versioned.project_ai_time", "0"),
    ("SELECT count(*) FROM versioned.project_build_summary", "0"),
];

/// A database with a victim's project and a stranger's lair.
struct Scene {
    db: Database,
    /// The victim's own login.
    victim: String,
}

fn scene(test: &str) -> Scene {
    let db = Database::new(test);
    let mut admin = db.connect();
    let build = admin.project(VICTIM);
    admin.put(build.project, "a", "the victim's");
    let version = admin.succeed(build.project, &build.build, serde_json::json!({})).expect("it succeeds");
    let next = admin.start(build.project, false).expect("it starts");
    let victim = db.own_login("victim", VICTIM);
    let stranger = db.own_login("stranger", Uuid::new_v4());

    let fill = |sql: &str| {
        sql.replace("{p}", &build.project.to_string())
            .replace("{u}", &VICTIM.to_string())
            .replace("{v}", &version.id)
            .replace("{b}", &next.build)
            .replace("{s}", &next.session)
    };
    let list: Vec<String> = ATTEMPTS.iter().chain(QUESTIONS.iter().map(|(sql, _)| sql)).map(|sql| fill(sql)).collect();
    admin.run(&format!(
        "CREATE SCHEMA lair AUTHORIZATION {stranger};
         GRANT USAGE ON SCHEMA lair TO PUBLIC;
         CREATE TABLE public.parent (id int PRIMARY KEY);
         INSERT INTO public.parent SELECT generate_series(1, 100);
         GRANT ALL ON public.parent TO {victim}, authenticated, service_role;
         GRANT REFERENCES ON public.parent TO {stranger};
         SET SESSION AUTHORIZATION {stranger};
         CREATE TABLE lair.attempts (n int, sql text);
         CREATE TABLE lair.claims (claims text);
         -- Reports by notices: whatever it writes may be rolled back.
         CREATE FUNCTION lair.deed(int) RETURNS int LANGUAGE plpgsql VOLATILE
             SET search_path = pg_catalog AS $$
         DECLARE
             v_attempt record;
             v_claims text;
             v_answer text;
         BEGIN
             FOR v_claims IN SELECT claims FROM lair.claims LOOP
                 PERFORM set_config('request.jwt.claims', v_claims, true),
                         set_config('request.jwt.claim.sub', '{VICTIM}', true);
                 FOR v_attempt IN SELECT n, sql FROM lair.attempts ORDER BY n LOOP
                     v_answer := NULL;
                     BEGIN
                         EXECUTE v_attempt.sql INTO v_answer;
                         RAISE NOTICE 'attempt % answered %', v_attempt.n, v_answer;
                     EXCEPTION WHEN OTHERS THEN
                         RAISE NOTICE 'attempt % refused %', v_attempt.n, SQLSTATE;
                     END;
                 END LOOP;
             END LOOP;
             RETURN $1;
         END $$;
         CREATE FUNCTION lair.attack(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN lair.deed($1); END';
         CREATE FUNCTION lair.attack_trigger() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             PERFORM lair.deed(1);
             RETURN OLD;
         END $$;
         CREATE TABLE lair.indexed (x int);
         INSERT INTO lair.indexed VALUES (1);
         CREATE INDEX indexed_attack ON lair.indexed (lair.attack(x));
         CREATE MATERIALIZED VIEW lair.view AS SELECT lair.attack(1) WITH NO DATA;
         CREATE TABLE lair.child (id int REFERENCES public.parent ON DELETE CASCADE ON UPDATE CASCADE);
         INSERT INTO lair.child SELECT id FROM generate_series(1, 100) id;
         CREATE TRIGGER attack BEFORE UPDATE OR DELETE ON lair.child
             FOR EACH ROW EXECUTE FUNCTION lair.attack_trigger();
         CREATE FUNCTION lair.definer() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT lair.deed(1)';
         GRANT EXECUTE ON FUNCTION lair.definer TO PUBLIC;
         RESET SESSION AUTHORIZATION;
         INSERT INTO lair.claims VALUES (''), ('{{\"sub\": \"{VICTIM}\"}}')"
    ));
    for (n, sql) in list.iter().enumerate() {
        admin.rows("INSERT INTO lair.attempts VALUES ($1, $2)", &[&(n as i32), sql]);
    }
    drop(admin);
    Scene { db, victim }
}

impl Scene {
    /// Runs `sql`, in which the stranger's code must run and get nothing.
    #[track_caller]
    fn assert_harmless(&self, session: &mut Session, what: &str, sql: &str) {
        let before = everything(&mut self.db.connect());
        session.notices();
        session.run(sql);
        let heard: Vec<String> =
            session.notices().into_iter().filter(|notice| notice.starts_with("attempt ")).collect();
        assert!(heard.len() >= 2 * (ATTEMPTS.len() + QUESTIONS.len()), "{what}: the attack ran: {heard:?}");
        for notice in heard {
            let mut words = notice.splitn(4, ' ').skip(1);
            let n: usize = words.next().expect("a number").parse().expect("a number");
            let (outcome, answer) = (words.next().expect("an outcome"), words.next().unwrap_or_default());
            match ATTEMPTS.get(n) {
                Some(attempt) => assert_eq!((outcome, answer), ("refused", "42501"), "{what}: {attempt}"),
                None => {
                    let (question, nothing) = QUESTIONS[n - ATTEMPTS.len()];
                    assert_eq!((outcome, answer), ("answered", nothing), "{what}: {question}");
                }
            }
        }
        assert_eq!(everything(&mut self.db.connect()), before, "{what} wrote something");
    }
}

#[test]
fn maintenance_of_a_strangers_table_gives_his_code_nothing() {
    let scene = scene("maintenance");
    // The stranger's code may find the session signed in as the victim, or sign it in itself.
    for claims in [None, Some(VICTIM)] {
        let mut superuser = scene.db.connect();
        if let Some(victim) = claims {
            superuser.claim(victim);
        }
        for (what, sql) in [
            ("ANALYZE", "ANALYZE lair.indexed"),
            ("VACUUM ANALYZE", "VACUUM (ANALYZE) lair.indexed"),
            ("REINDEX", "REINDEX TABLE lair.indexed"),
            ("REINDEX CONCURRENTLY", "REINDEX INDEX CONCURRENTLY lair.indexed_attack"),
            ("CREATE INDEX", "CREATE INDEX second ON lair.indexed (lair.attack(x)); DROP INDEX lair.second"),
            ("VACUUM FULL", "VACUUM FULL lair.indexed"),
            ("CLUSTER", "CLUSTER lair.indexed USING indexed_attack"),
            ("REFRESH", "REFRESH MATERIALIZED VIEW lair.view"),
        ] {
            let what = format!("{what} as superuser, signed in: {}", claims.is_some());
            scene.assert_harmless(&mut superuser, &what, sql);
        }
    }
}

#[test]
fn cascades_into_a_strangers_table_give_his_code_nothing() {
    let scene = scene("cascades");
    let mut superuser = scene.db.connect();
    let mut claiming = scene.db.connect();
    claiming.claim(VICTIM);
    let mut service = scene.db.login("authenticator");
    service.run("SET ROLE service_role");
    let mut user = scene.db.user(VICTIM);
    let mut login = scene.db.login(&scene.victim);
    let sessions = [
        ("a superuser", &mut superuser),
        ("a superuser who acts for the victim", &mut claiming),
        ("service_role", &mut service),
        ("the victim over PostgREST", &mut user),
        ("the victim's own login", &mut login),
    ];
    for (n, (who, session)) in sessions.into_iter().enumerate() {
        let (gone, moved) = (2 * n + 1, 2 * n + 2);
        scene.assert_harmless(session, &format!("cascade of {who}"), &format!("DELETE FROM parent WHERE id = {gone}"));
        scene.assert_harmless(
            session,
            &format!("update cascade of {who}"),
            &format!("UPDATE parent SET id = -id WHERE id = {moved}"),
        );
    }
}

#[test]
fn a_strangers_function_with_definer_rights_gets_nothing() {
    let scene = scene("definer");
    for (who, mut session) in [
        ("a superuser", scene.db.connect()),
        ("the victim over PostgREST", scene.db.user(VICTIM)),
        ("the victim's own login", scene.db.login(&scene.victim)),
    ] {
        scene.assert_harmless(&mut session, who, "SELECT lair.definer()");
        // The session is who it was.
        if who != "a superuser" {
            let actor: Option<Uuid> = session.value("SELECT versioned.current_actor()", &[]);
            assert_eq!(actor, Some(VICTIM));
        }
    }
}
