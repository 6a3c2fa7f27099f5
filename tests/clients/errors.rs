//! Errors as clients get them, wherever they are raised, and what is left after them: nothing.

use serde_json::json;
use uuid::Uuid;

use crate::calls::Build;
use crate::invariants;
use crate::support::{Database, Refusal, refused};

/// What must never be shown to a user.
const INTERNALS: &[&str] = &[
    "panicked",
    "unwrap",
    "SPI",
    ".rs",
    "Error(",
    "Err(",
    "backtrace",
    "pgrx",
    "project_file_heads",
    "project_idempotency",
    "duplicate key",
    "violates",
    "SELECT",
    "internal error",
    "cache lookup",
    "must be a valid json",
];

#[track_caller]
fn shows_no_internals(refusal: &Refusal, of: &str) {
    let all = format!("{} {:?} {:?}", refusal.message, refusal.detail, refusal.hint);
    for internal in INTERNALS {
        assert!(!all.contains(internal), "{of} shows {internal}: {refusal:?}");
    }
}

/// An error of section 9: how it comes about, its SQLSTATE, what its message names, whether DETAIL is JSON and
/// whether there is a HINT. `{p}` and so on are as in [`Scene::fill`].
struct Case {
    call: &'static str,
    code: &'static str,
    names: &'static [&'static str],
    json: &'static [&'static str],
    hint: bool,
}

const fn case(call: &'static str, code: &'static str, names: &'static [&'static str]) -> Case {
    Case { call, code, names, json: &[], hint: false }
}

const fn conflict(call: &'static str, names: &'static [&'static str], json: &'static [&'static str]) -> Case {
    Case { call, code: "PT409", names, json, hint: true }
}

const FILE_CONFLICT: &[&str] = &["file_path", "expected", "current", "current_hash"];

const CASES: &[Case] = &[
    conflict("SELECT atomic_upsert_project_file('{p}', 'a', 'x', 'text', 7)", &["\"a\"", "7", "2"], FILE_CONFLICT),
    conflict("SELECT atomic_upsert_project_file('{p}', 'a', 'x', 'text', 0)", &["\"a\"", "2"], FILE_CONFLICT),
    conflict("SELECT atomic_upsert_project_file('{p}', 'new', 'x', 'text', 3)", &["\"new\"", "3"], FILE_CONFLICT),
    conflict("SELECT atomic_upsert_project_file('{p}', 'gone', 'x', 'text', 1)", &["\"gone\"", "2"], FILE_CONFLICT),
    conflict("SELECT delete_project_file('{p}', 'a', 7)", &["\"a\"", "7"], FILE_CONFLICT),
    conflict("SELECT move_project_file('{p}', 'a', 'b')", &["\"b\""], FILE_CONFLICT),
    conflict("SELECT move_project_file('{p}', 'a', 'z', 7)", &["\"a\"", "7"], FILE_CONFLICT),
    conflict("SELECT start_project_build('{p}')", &["{p}", "{b}"], &["project_id", "build_id", "started_at"]),
    conflict("SELECT create_version_on_success('{p}', '{failed}')", &["{failed}", "failed"], &["build_id", "status"]),
    conflict("SELECT fail_project_build('{p}', '{deployed}')", &["{deployed}", "deployed"], &["build_id", "status"]),
    conflict("SELECT start_ai_time_tracking('{p}', '{failed}')", &["{failed}"], &["build_id", "status"]),
    conflict(
        "SELECT update_project_config('{p}', '{\"k\": 1}', '2000-01-01Z')",
        &["{p}", "2000-01-01T00:00:00"],
        &["project_id", "expected", "current", "config"],
    ),
    case("SELECT update_project_config('{p}', '[1]')", "22023", &["p_config"]),
    case("SELECT update_project_config('{none}', '{}')", "PT404", &["{none}"]),
    case("SELECT get_project_state('{none}')", "PT404", &["{none}"]),
    case("SELECT atomic_upsert_project_file('{none}', 'a', 'x', 'text')", "PT404", &["{none}"]),
    case("SELECT get_current_project_files('{none}')", "PT404", &["{none}"]),
    case("SELECT delete_project('{none}')", "PT404", &["{none}"]),
    case("SELECT delete_project_file('{p}', 'gone')", "PT404", &["\"gone\"", "{p}"]),
    case("SELECT move_project_file('{p}', 'no', 'b')", "PT404", &["\"no\"", "{p}"]),
    case("SELECT get_project_file('{p}', 'gone')", "PT404", &["\"gone\"", "{p}"]),
    case("SELECT get_project_file('{p}', 'a', 99)", "PT404", &["\"a\"", "99"]),
    case("SELECT get_project_file_history('{p}', 'no')", "PT404", &["\"no\""]),
    case("SELECT get_project_version_files('{p}', 'no')", "PT404", &["\"no\"", "{p}"]),
    case("SELECT create_version_on_success('{p}', 'no')", "PT404", &["\"no\"", "{p}"]),
    case("SELECT fail_project_build('{p}', 'no')", "PT404", &["\"no\"", "{p}"]),
    case("SELECT stop_ai_time_tracking('{p}', 'no')", "PT404", &["\"no\"", "{p}"]),
    case("SELECT atomic_upsert_project_file('{p}', '/a', 'x', 'text')", "22023", &["p_file_path", "\"/a\""]),
    case("SELECT atomic_upsert_project_file('{p}', 'a', 'x', '')", "22023", &["p_file_type"]),
    case("SELECT atomic_upsert_project_file('{p}', 'a', 'x', 'text', -1)", "22023", &["expected_version", "-1"]),
    case("SELECT atomic_upsert_project_file('{p}', 'a', NULL, 'text')", "22023", &["p_content"]),
    case("SELECT atomic_upsert_project_file(NULL, 'a', 'x', 'text')", "22023", &["project_uuid"]),
    case("SELECT move_project_file('{p}', 'a', 'b/../c')", "22023", &["p_to_path"]),
    case("SELECT get_project_file_history('{p}', 'a', 0)", "22023", &["p_limit", "0"]),
    case("SELECT add_project_member('{p}', gen_random_uuid(), 'boss')", "22023", &["p_role", "boss"]),
    case("SELECT remove_project_member('{p}', '{u}')", "22023", &["{u}"]),
    case(
        "SELECT create_version_on_success('{p}', '{b}', '{\"gti\": 1, \"artifact\": 2}')",
        "22023",
        &["gti", "artifact"],
    ),
    case("SELECT create_version_on_success('{p}', '{b}', '{\"artifact_size\": -1}')", "22023", &["artifact_size"]),
    case("SELECT create_version_on_success('{p}', '{b}', '[]')", "22023", &["p_result"]),
    case("SELECT create_complete_project('{u}', p_name => '')", "22023", &["p_name"]),
    case("SELECT create_complete_project('{u}', p_framework => NULL)", "22023", &["p_framework"]),
    case("SELECT ulid_to_uuid('8ZZZZZZZZZZZZZZZZZZZZZZZZZ')", "22023", &["8ZZZ"]),
    Case { call: "DELETE FROM project_file_versions", code: "42501", names: &["file versions"], json: &[], hint: true },
];

struct Scene {
    db: Database,
    owner: Uuid,
    first: Build,
    failed: Build,
    active: Build,
}

fn scene(test: &str) -> Scene {
    let db = Database::new(test);
    let mut admin = db.connect();
    let owner = Uuid::new_v4();
    let first = admin.project(owner);
    let project = first.project;
    for (path, content) in [("a", "one"), ("a", "two"), ("b", "one"), ("gone", "one")] {
        admin.put(project, path, content);
    }
    admin.delete(project, "gone", None).expect("deleted");
    admin.succeed(project, &first.build, json!({})).expect("it succeeds");
    let failed = admin.start(project, false).expect("it starts");
    admin.fail(project, &failed.build).expect("it fails");
    let active = admin.start(project, false).expect("it starts");
    admin.run(
        "CREATE FUNCTION public.rethrow(p_sql text) RETURNS void LANGUAGE plpgsql AS $$
         DECLARE
             v_code text;
             v_message text;
             v_detail text;
             v_hint text;
         BEGIN
             EXECUTE p_sql;
         EXCEPTION WHEN OTHERS THEN
             GET STACKED DIAGNOSTICS v_code = RETURNED_SQLSTATE, v_message = MESSAGE_TEXT,
                                     v_detail = PG_EXCEPTION_DETAIL, v_hint = PG_EXCEPTION_HINT;
             RAISE EXCEPTION USING ERRCODE = v_code, MESSAGE = v_message, DETAIL = v_detail, HINT = v_hint;
         END $$;
         CREATE TABLE public.mine (sql text);
         CREATE FUNCTION public.on_mine() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN EXECUTE NEW.sql; RETURN NEW; END $$;
         CREATE TRIGGER on_mine BEFORE INSERT ON public.mine FOR EACH ROW EXECUTE FUNCTION public.on_mine();
         CREATE FUNCTION public.count_errors(p_calls text[], p_rounds int) RETURNS jsonb LANGUAGE plpgsql AS $$
         DECLARE
             v_call text;
             v_code text;
             v_counts jsonb := '{}';
         BEGIN
             FOR i IN 1..p_rounds LOOP
                 FOREACH v_call IN ARRAY p_calls LOOP
                     BEGIN
                         EXECUTE v_call;
                         v_code := 'none';
                     EXCEPTION WHEN OTHERS THEN
                         v_code := SQLSTATE;
                     END;
                     v_counts := v_counts || jsonb_build_object(v_code, coalesce((v_counts ->> v_code)::int, 0) + 1);
                 END LOOP;
             END LOOP;
             RETURN v_counts;
         END $$;
         GRANT ALL ON public.mine TO authenticated",
    );
    Scene { db, owner, first, failed, active }
}

impl Scene {
    fn fill(&self, text: &str) -> String {
        text.replace("{p}", &self.first.project.to_string())
            .replace("{none}", "5e1f0000-0000-4000-8000-000000000404")
            .replace("{u}", &self.owner.to_string())
            .replace("{b}", &self.active.build)
            .replace("{failed}", &self.failed.build)
            .replace("{deployed}", &self.first.build)
    }
}

/// Empty is the same as none: PL/pgSQL has no other way to say none.
fn without_empty(refusal: Refusal) -> Refusal {
    let Refusal { code, message, detail, hint } = refusal;
    let some = |text: Option<String>| text.filter(|text| !text.is_empty());
    Refusal { code, message, detail: some(detail), hint: some(hint) }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[test]
fn errors_say_what_is_wrong_wherever_they_are_raised() {
    let scene = scene("errors");
    let mut session = scene.db.connect();
    session.run("SET search_path = versioned, public");
    for Case { call, code, names, json, hint } in CASES {
        let sql = scene.fill(call);
        let direct = refused(session.try_run(&sql), code);
        for name in *names {
            assert!(direct.message.contains(&scene.fill(name)), "{direct:?} names {name}");
        }
        shows_no_internals(&direct, call);
        assert_eq!(direct.hint.is_some(), *hint, "{direct:?}");
        if json.is_empty() {
            assert_eq!(direct.detail, None, "{call}");
        } else {
            let detail = direct.json();
            assert!(json.iter().all(|key| detail.get(key).is_some()), "{detail}");
        }

        let literal = quoted(&sql);
        for way in [
            format!("SELECT public.rethrow({literal})"),
            format!("DO $do$ BEGIN EXECUTE {literal}; END $do$"),
            format!("DO $do$ BEGIN PERFORM public.rethrow({literal}); END $do$"),
            format!("INSERT INTO public.mine VALUES ({literal})"),
            format!("BEGIN; SAVEPOINT s; {sql}"),
        ] {
            let refusal = refused(session.try_run(&way), code);
            assert_eq!(without_empty(refusal), direct, "{way}");
            session.run("ROLLBACK");
        }
        // Prepared, as most drivers send it.
        assert_eq!(refused(session.try_rows(&sql, &[]), code), direct);
        assert_eq!(session.value::<i32>("SELECT 1", &[]), 1);
    }
    let kept: i64 = session.value("SELECT count(*) FROM public.mine", &[]);
    assert_eq!(kept, 0);
    invariants::hold(&mut session);
}

#[test]
fn refusals_of_members_say_what_is_missing() {
    let scene = scene("refusals");
    let viewer = Uuid::new_v4();
    scene.db.connect().add_member(scene.first.project, viewer, "viewer");
    let mut session = scene.db.user(viewer);
    let refusal = refused(session.save(scene.first.project, "a", "x", None), "42501");
    assert!(refusal.message.contains("editor") && refusal.message.contains(&scene.fill("{p}")), "{refusal:?}");
    let refusal = refused(session.create(Uuid::new_v4(), None, "x", None), "42501");
    assert!(refusal.message.contains("p_user_id"), "{refusal:?}");
    session.run("RESET request.jwt.claims");
    let refusal = refused(session.save(scene.first.project, "a", "x", None), "42501");
    assert!(refusal.hint.is_some_and(|hint| hint.contains("JWT")));
}

/// After any number of errors a session is what it was: its role, its settings, its memory.
#[test]
fn hundreds_of_caught_errors_leave_a_session_unharmed() {
    let scene = scene("caught");
    let project = scene.first.project;
    let mut superuser = scene.db.connect();
    superuser.run("SET search_path = versioned, public");
    let calls: Vec<String> = CASES.iter().map(|case| scene.fill(case.call)).collect();
    // What a user may call, for the user's own role to come back.
    let mut user = scene.db.user(scene.owner);
    user.run("SET search_path = versioned, public");
    let state = "SELECT concat_ws('|', current_user, session_user, current_setting('role'),
                                  current_setting('search_path'), current_setting('enable_seqscan'),
                                  versioned.current_actor(), current_setting('transaction_read_only'))";
    for session in [&mut superuser, &mut user] {
        let before: String = session.value(state, &[]);
        session.run("BEGIN");
        let counts: serde_json::Value = session.value("SELECT public.count_errors($1, 15)", &[&calls]);
        assert_eq!(counts.get("none"), None, "{counts}");
        assert_eq!(counts.get("XX000"), None, "{counts}");
        assert!(counts["PT409"].as_i64().is_some_and(|count| count >= 150), "{counts}");
        assert_eq!(session.value::<String>(state, &[]), before, "within the transaction");
        session.save(project, "a", &before, None).expect("it still saves");
        session.run("COMMIT");
        assert_eq!(session.value::<String>(state, &[]), before);
        // Savepoints from outside.
        session.run("BEGIN");
        for call in &calls {
            session.run("SAVEPOINT s");
            session.try_run(call).expect_err("it is refused");
            session.run("ROLLBACK TO s");
            assert_eq!(session.value::<String>(state, &[]), before, "{call}");
        }
        session.save(project, "b", &before, None).expect("it still saves");
        session.run("COMMIT");

        // And outside of transactions, without end.
        let memory = "SELECT sum(total_bytes)::bigint FROM pg_backend_memory_contexts";
        let mut used = Vec::new();
        for _ in 0..3 {
            for _ in 0..8 {
                for call in &calls {
                    session.try_run(call).expect_err("it is refused");
                }
            }
            let counts: serde_json::Value = session.value("SELECT public.count_errors($1, 8)", &[&calls]);
            assert_eq!(counts.get("none"), None, "{counts}");
            // Only superusers may look at their memory.
            used.push(session.try_value::<i64>(memory, &[]).unwrap_or_default());
        }
        let growth = used[2] - used[1];
        assert!(growth < 64 * 1024, "300 errors cost {growth} bytes of memory: {used:?}");
    }
    let locks: i64 = superuser.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'", &[]);
    assert_eq!(locks, 0);
    invariants::hold(&mut superuser);
}

/// Errors of Postgres' own that pass through the extension, while it runs as its owner.
#[test]
fn errors_of_postgres_pass_through_unchanged_and_restore_the_role() {
    let scene = scene("passing");
    let project = scene.first.project;
    let mut session = scene.db.user(scene.owner);
    let state =
        "SELECT current_user || ' ' || current_setting('search_path') || ' ' || current_setting('enable_seqscan')";
    let before: String = session.value(state, &[]);
    assert!(before.starts_with("authenticated "));
    for call in [
        "SELECT versioned.atomic_upsert_project_file($1, 'a', 'x', 'text')",
        "SELECT versioned.atomic_upsert_project_file($1, 'gone', 'x', 'text')",
        "SELECT versioned.delete_project_file($1, 'a')",
        "SELECT versioned.move_project_file($1, 'a', 'z')",
        "SELECT versioned.start_project_build($1, p_supersede => true)",
        "SELECT versioned.delete_project($1)",
    ] {
        // Alone,
        session.run("SET default_transaction_read_only = on");
        let refusal = refused(session.try_rows(call, &[&project]), "25006");
        assert_eq!(refusal.detail, None, "no backtrace");
        session.run("SET default_transaction_read_only = off");
        assert_eq!(session.value::<String>(state, &[]), before, "{call}");
        // in a savepoint,
        session.run("BEGIN; SAVEPOINT s; SET LOCAL transaction_read_only = on");
        refused(session.try_rows(call, &[&project]), "25006");
        session.run("ROLLBACK TO s");
        assert_eq!(session.value::<String>(state, &[]), before, "{call}");
        session.save(project, "b", call, None).expect("the transaction goes on");
        session.run("COMMIT");
        // and caught.
        let call = call.replace("$1", &quoted(&project.to_string()));
        session.run(&format!(
            "DO $do$
             BEGIN
                 FOR i IN 1..50 LOOP
                     BEGIN
                         SET LOCAL transaction_read_only = on;
                         {};
                         RAISE 'not refused';
                     EXCEPTION WHEN read_only_sql_transaction THEN
                         NULL;
                     END;
                     ASSERT current_user = 'authenticated';
                 END LOOP;
             END $do$",
            call.replacen("SELECT", "PERFORM", 1)
        ));
        assert_eq!(session.value::<String>(state, &[]), before, "{call}");
    }
    let mut admin = scene.db.connect();
    let locks: i64 = admin.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'", &[]);
    assert_eq!(locks, 0);
    invariants::hold(&mut admin);
}

/// Whatever is passed, no call ends in an internal error or shows how it works inside.
#[test]
fn no_argument_brings_out_an_internal_error() {
    let scene = scene("odd_arguments");
    let mut session = scene.db.connect();
    session.run(
        "CREATE TABLE public.own_versions (id int PRIMARY KEY, p int, v int, a boolean);
         CREATE VIEW public.own_view AS SELECT 1 AS p, 2 AS v",
    );
    let id = quoted(&scene.first.project.to_string());
    let functions: Vec<(String, Vec<String>)> = session
        .rows(
            "SELECT p.oid::regproc::text, ARRAY(SELECT format_type(t, NULL) FROM unnest(p.proargtypes) t)
               FROM pg_depend d
               JOIN pg_extension x ON x.oid = d.refobjid AND x.extname = 'pg_versioned'
               JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
              WHERE d.deptype = 'e' AND p.prorettype <> 'trigger'::regtype
                -- Only install and upgrade scripts call these.
                AND p.proname NOT IN ('grant_privileges', 'revoke_privileges', 'set_initial_privileges', 'settle_privileges')",
            &[],
        )
        .iter()
        .map(|row| (row.get(0), row.get(1)))
        .collect();
    assert!(functions.len() > 25);
    let strings = [
        "''",
        "' '",
        "E'\\u0001'",
        "E'a\\nb'",
        "'😀'",
        "'{'",
        "'%s%n{}'",
        "'../..'",
        "repeat('x', 2000)",
        "repeat('é', 1100000)",
        "'viewer'",
        "'a'",
        "'01ARZ3NDEKTSV4RRFFQ69G5FAV'",
    ];
    let integers = ["0", "1", "-1", "2147483647", "-2147483648"];
    let jsons = [
        "'null'",
        "'1'",
        "'\"x\"'",
        "'[]'",
        "'[1]'",
        "'{}'",
        "'{\"\": 1}'",
        "'{\"a\": {\"b\": [1]}}'",
        "'{\"artifact_size\": 1e400}'",
        "'{\"artifact_size\": 99999999999999999999}'",
        "'{\"artifact_size\": 1.5}'",
        "'{\"build_duration_ms\": -0}'",
        "'{\"classification_confidence\": 1e-400}'",
        "'{\"classification_confidence\": 0.1234567890123456789}'",
        "'{\"ai_json\": 1e400}'",
        "'{\"prompt_metadata\": [1e-400, 12345678901234567890.5]}'",
        "'{\"change_type\": []}'",
        "'{\"version_name\": {}}'",
        "'{\"needs_rebuild\": 1}'",
        "'{\"breaking_risk\": \"\"}'",
        "('{\"ai_json\": ' || repeat('[', 500) || repeat(']', 500) || '}')::jsonb",
        "(repeat('[', 5000) || repeat(']', 5000))::jsonb",
        "jsonb_build_object(repeat('k', 100000), 1)",
        "jsonb_build_object('enhanced_prompt', repeat('x', 2000000))",
        "jsonb_build_object('version_name', E'\\u0001')",
        "(SELECT jsonb_object_agg(n, n) FROM generate_series(1, 5000) n)",
    ];
    let mut calls = 0;
    for (function, types) in &functions {
        let good: Vec<&str> = types
            .iter()
            .map(|kind| match &**kind {
                "uuid" => &*id,
                "text" | "name" => "'a'",
                "integer" => "1",
                "boolean" => "true",
                "jsonb" => "'{}'",
                "bytea" => "''",
                "smallint" => "0::smallint",
                "interval" => "'1 day'",
                "timestamp with time zone" => "'2000-01-01Z'",
                "regclass" => "'public.own_versions'",
                "text[]" => "'{p}'",
                other => panic!("{function} has an argument of type {other}"),
            })
            .collect();
        for (n, kind) in types.iter().enumerate() {
            let odd: &[&str] = match &**kind {
                "uuid" => &["'00000000-0000-0000-0000-000000000000'", "'ffffffff-ffff-ffff-ffff-ffffffffffff'"],
                "text" | "name" => &strings,
                "integer" => &integers,
                "boolean" => &["true", "false"],
                "bytea" => &["'\\x00'", "'\\x28b52ffd'", "decode(repeat('ff', 100000), 'hex')"],
                "smallint" => &["-1::smallint", "1::smallint", "3::smallint", "32767::smallint"],
                "interval" => &["'-1 day'", "'0'", "'178000000 years'", "'-178000000 years'"],
                "timestamp with time zone" => &["'infinity'", "'-infinity'", "'294276-12-31Z'", "'4713-01-01Z BC'"],
                "jsonb" => &jsons,
                "regclass" => &["0", "4294967295", "'pg_class'", "'versioned.project_files'", "'public.own_view'"],
                "text[]" => {
                    &["'{}'", "'{NULL}'", "'{p,p}'", "'{\"\"}'", "'{{p},{v}}'", "'[5:5]={p}'", "'{ctid}'", "'{a b}'"]
                }
                other => panic!("{function} has an argument of type {other}"),
            };
            for value in odd.iter().copied().chain(["NULL"]) {
                for build in ["'a'", &quoted(&scene.active.build)] {
                    let mut arguments = good.clone();
                    // The build's id, so that its function gets as far as the JSON.
                    if let Some(text) = types.iter().position(|kind| kind == "text").filter(|_| kind == "jsonb") {
                        arguments[text] = build;
                    } else if build != "'a'" {
                        continue;
                    }
                    arguments[n] = value;
                    let sql = format!("SELECT {function}({})", arguments.join(", "));
                    session.run("BEGIN");
                    let result = session.try_run(&sql);
                    session.run("ROLLBACK");
                    calls += 1;
                    if let Err(refusal) = result {
                        let short: String = sql.chars().take(200).collect();
                        let code = &*refusal.code;
                        let damaged = code == "XX001" && function.ends_with("stored_content");
                        assert!(damaged || ["22023", "PT404", "PT409"].contains(&code), "{short}: {refusal:?}");
                        shows_no_internals(&refusal, &short);
                        let longest = refusal.message.len() + refusal.detail.as_ref().map_or(0, String::len);
                        assert!(damaged || longest < 50_000, "{short}: the error has {longest} bytes");
                    }
                }
            }
        }
    }
    assert!(calls > 400, "{calls} calls");
    invariants::hold(&mut session);
}

/// Numbers of a JSON document are not this machine's.
#[test]
fn json_of_a_build_comes_back_as_it_went_in() {
    let db = Database::new("json");
    let mut session = db.connect();
    for document in [
        "{\"a\": 12345678901234567890.12345678901234567890, \"b\": 0.1, \"c\": 18446744073709551617, \"d\": 1.10}",
        "[9007199254740993, -0.0, 1e-30, {\"é😀\": \"\\u0001\\\\ \\\"\"}]",
        "\"text\"",
        "{\"z\": 1, \"a\": {\"$serde_json::private::Number\": \"x\"}}",
        "{\"a\": {\"$serde_json::private::Number\": \"1\"}}",
    ] {
        let build = session.project(Uuid::new_v4());
        let same: bool = session.value(
            "SELECT v.ai_json = $3::text::jsonb AND v.prompt_metadata = $3::text::jsonb
               FROM versioned.create_version_on_success($1, $2,
                    jsonb_build_object('ai_json', $3::text::jsonb, 'prompt_metadata', $3::text::jsonb)) v",
            &[&build.project, &build.build, &document],
        );
        assert!(same, "{document}");
    }
}

/// The suite passes with and without backtraces; this shows what the server has been told.
#[test]
fn backtraces_of_the_server_stay_in_its_log() {
    let scene = scene("backtrace");
    let mut session = scene.db.connect();
    session.run("CREATE TEMP TABLE env (value text); COPY env FROM PROGRAM 'echo \"RUST_BACKTRACE=$RUST_BACKTRACE\"'");
    let setting: String = session.value("SELECT value FROM env", &[]);
    println!("the server runs with {setting}");
    // Errors of ours, errors of Postgres' inside our statements, errors in subtransactions.
    let project = scene.first.project;
    let refusal = refused(session.save(project, "a", "x", Some(9)), "PT409");
    assert_eq!(refusal.json().as_object().map(serde_json::Map::len), Some(4));
    session.run("SET default_transaction_read_only = on");
    for refusal in [
        refused(session.save(project, "a", "x", None), "25006"),
        refused(session.save(project, "gone", "x", None), "25006"),
    ] {
        assert_eq!(refusal.detail, None);
        shows_no_internals(&Refusal { message: String::new(), ..refusal }, "25006");
        session.run("ROLLBACK");
    }
}

/// Also where Postgres knows at which word of the statement it happened.
#[test]
fn no_statement_of_the_extension_is_shown() {
    let scene = scene("statements");
    let mut admin = scene.db.connect();
    let project = scene.first.project;
    for (table, call) in [
        ("project_versions", format!("SELECT versioned.get_project_version_files('{project}', 'x')")),
        ("project_file_versions", format!("SELECT versioned.get_project_changes('{project}')")),
        ("project_file_versions", format!("SELECT versioned.get_project_file_history('{project}', 'a')")),
        ("project_file_heads", format!("SELECT versioned.check_project_integrity('{project}')")),
    ] {
        admin.run(&format!("BEGIN; LOCK TABLE versioned.{table}"));
        let mut session = scene.db.connect();
        session.run("SET lock_timeout = '50ms'");
        let error = session.client.batch_execute(&call).expect_err("the table is locked");
        let error = error.as_db_error().expect("an error of the server");
        assert_eq!(error.code().code(), "55P03");
        assert!(error.position().is_none(), "{call}: {error:?}");
        assert!(error.where_().is_none_or(|context| !context.contains("pg_versioned")), "{call}: {error:?}");
        admin.run("ROLLBACK");
    }
}
