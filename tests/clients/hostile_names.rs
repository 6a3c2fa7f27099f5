//! Operators, functions, tables and types of the same names, found first: nothing may be led astray by them.

use uuid::Uuid;

use crate::invariants;
use crate::support::{Database, Session, refused};

/// Everything the extension might look up by name, made to raise an error when it is found.
fn hostile(schema: &str) -> String {
    let mut sql = format!(
        "CREATE SCHEMA IF NOT EXISTS {schema};
         GRANT USAGE ON SCHEMA {schema} TO PUBLIC;
         CREATE FUNCTION {schema}.hijack() RETURNS void LANGUAGE plpgsql AS 'BEGIN RAISE ''hijacked''; END';"
    );
    for (n, kind) in ["uuid", "text", "int4", "int8", "bool", "bytea", "timestamptz", "xid8", "\"char\"", "oid", "name"]
        .into_iter()
        .enumerate()
    {
        for (m, operator) in ["=", "<>", "<", ">", "<=", ">="].into_iter().enumerate() {
            sql += &format!(
                "CREATE FUNCTION {schema}.o{n}_{m}(pg_catalog.{kind}, pg_catalog.{kind}) RETURNS pg_catalog.bool
                     LANGUAGE plpgsql AS 'BEGIN RAISE ''hijacked by {operator}''; END';
                 CREATE OPERATOR {schema}.{operator}
                     (FUNCTION = {schema}.o{n}_{m}, LEFTARG = pg_catalog.{kind}, RIGHTARG = pg_catalog.{kind});"
            );
        }
    }
    for (arguments, result, names) in [
        ("pg_catalog.text, pg_catalog.text", "pg_catalog.text", "||"),
        ("pg_catalog.int4, pg_catalog.int4", "pg_catalog.int4", "+ - *"),
        ("pg_catalog.timestamptz, pg_catalog.timestamptz", "pg_catalog.interval", "-"),
        ("pg_catalog.numeric, pg_catalog.int4", "pg_catalog.numeric", "*"),
    ] {
        for operator in names.split(' ') {
            let (left, right) = arguments.split_once(", ").expect("two arguments");
            let name = format!("p{}_{}", operator.as_bytes()[0], left.len() + right.len());
            sql += &format!(
                "CREATE FUNCTION {schema}.{name}({arguments}) RETURNS {result} LANGUAGE plpgsql
                     AS 'BEGIN RAISE ''hijacked by {operator}''; END';
                 CREATE OPERATOR {schema}.{operator}
                     (FUNCTION = {schema}.{name}, LEFTARG = {left}, RIGHTARG = {right});"
            );
        }
    }
    for function in [
        "encode(pg_catalog.bytea, pg_catalog.text) RETURNS pg_catalog.text",
        "now() RETURNS pg_catalog.timestamptz",
        "clock_timestamp() RETURNS pg_catalog.timestamptz",
        "pg_current_xact_id() RETURNS pg_catalog.xid8",
        "hashtextextended(pg_catalog.text, pg_catalog.int8) RETURNS pg_catalog.int8",
        "jsonb_to_record(pg_catalog.jsonb) RETURNS record",
        "extract(pg_catalog.text, pg_catalog.interval) RETURNS pg_catalog.numeric",
        "date_part(pg_catalog.text, pg_catalog.interval) RETURNS pg_catalog.float8",
        "format(pg_catalog.text, VARIADIC pg_catalog.text[]) RETURNS pg_catalog.text",
        "quote_ident(pg_catalog.text) RETURNS pg_catalog.text",
        "pg_get_userbyid(pg_catalog.oid) RETURNS pg_catalog.name",
        "set_config(pg_catalog.text, pg_catalog.text, pg_catalog.bool) RETURNS pg_catalog.text",
        "current_setting(pg_catalog.text) RETURNS pg_catalog.text",
        "pg_notify(pg_catalog.text, pg_catalog.text) RETURNS void",
        "pg_advisory_xact_lock(pg_catalog.int8) RETURNS void",
        "uuid(pg_catalog.text) RETURNS pg_catalog.uuid",
        "getdatabaseencoding() RETURNS pg_catalog.name",
        "pg_extension_config_dump(pg_catalog.regclass, pg_catalog.text) RETURNS void",
        "current_actor() RETURNS pg_catalog.uuid",
        "can_read_project(pg_catalog.uuid) RETURNS pg_catalog.bool",
        "readable_project_ids() RETURNS pg_catalog.uuid[]",
    ] {
        sql += &format!(
            "CREATE FUNCTION {schema}.{function} LANGUAGE plpgsql AS 'BEGIN RAISE ''hijacked by a function''; END';"
        );
    }
    for kind in ["uuid", "text", "jsonb", "timestamptz", "bytea", "xid8"] {
        sql += &format!("CREATE DOMAIN {schema}.{kind} AS pg_catalog.int4 CHECK (false);");
    }
    sql
}

/// Tables of the extension's names, without its columns.
fn tables(schema: &str) -> String {
    let names = [
        "projects",
        "project_members",
        "project_idempotency_keys",
        "project_build_metrics",
        "project_ai_time_sessions",
        "project_versions",
        "project_file_heads",
        "project_file_versions",
        "project_files",
        "pg_extension",
        "pg_namespace",
        "pg_roles",
        "pg_proc",
        "pg_depend",
    ];
    names.map(|name| format!("CREATE TABLE {schema}.{name} (trap pg_catalog.int4 CHECK (false))")).join(";")
}

/// A life in `versioned`: every function is called. Nothing here looks up an operator by name.
fn live(session: &mut Session, owner: Uuid, key: &str) {
    let first = session.create(owner, Some("x"), "Todo", Some(key)).expect("made");
    assert!(!session.create(owner, Some("x"), "Todo", Some(key)).expect("the same").created);
    let project = first.project;
    assert_eq!(session.put(project, "a", "one"), 1);
    assert_eq!(session.save(project, "a", "two", Some(1)).expect("saved").version, 2);
    refused(session.save(project, "a", "three", Some(1)), "PT409");
    assert_eq!(session.save(project, "a", "two", Some(1)).expect("a repetition").version, 2);
    session.rename(project, "a", "b", None).expect("moved");
    session.delete(project, "b", None).expect("deleted");
    assert_eq!(session.put(project, "b", "three"), 5);
    assert_eq!(session.get(project, "b", Some(1)).expect("read").content.as_deref(), Some("one"));
    assert_eq!(session.get(project, "b", None).expect("read").content.as_deref(), Some("three"));
    let history = session.rows("SELECT version FROM versioned.get_project_file_history($1, 'b')", &[&project]);
    assert_eq!(history.len(), 5);
    let extra: String = session.value("SELECT versioned.start_ai_time_tracking($1, $2)", &[&project, &first.build]);
    session.rows("SELECT versioned.stop_ai_time_tracking($1, $2)", &[&project, &extra]);
    let json = serde_json::json!({"version_name": "x", "ai_json": {"a": 1}, "classification_confidence": 0.5});
    let version = session.succeed(project, &first.build, json).expect("it succeeds");
    assert_eq!(session.snapshot(project, &version.id), session.list(project));
    let second = session.start(project, false).expect("it starts");
    session.fail(project, &second.build).expect("it fails");
    session.add_member(project, Uuid::from_u128(1), "viewer");
    assert!(session.value::<bool>("SELECT versioned.remove_project_member($1, $2)", &[&project, &Uuid::from_u128(1)]));
    for table in ["projects", "project_files", "project_file_versions", "project_versions", "project_members"] {
        let rows = session.rows(&format!("SELECT * FROM versioned.{table}"), &[]);
        assert!(!rows.is_empty(), "{table}");
    }
    session
        .rows("SELECT versioned_internal.can_read_project($1), versioned_internal.readable_project_ids()", &[&project]);
    session.rows("SELECT versioned.current_actor()", &[]);
    session.rows("SELECT versioned.project_lock_key($1), versioned.file_lock_key($1, 'a')", &[&project]);
    session.rows("SELECT versioned.generate_ulid()", &[]);
}

#[test]
fn hostile_names_first_in_the_search_path_change_nothing() {
    let db = Database::new("hostile_path");
    let mut admin = db.connect();
    admin.run(&hostile("evil"));
    admin.run(&tables("evil"));
    let owner = Uuid::new_v4();
    let login = db.own_login("worker", owner);
    for (n, mut session) in [db.connect(), db.user(owner), db.login(&login)].into_iter().enumerate() {
        session.run("SET search_path = evil, pg_catalog, versioned");
        let hijacked = session.try_run("SELECT now()").expect_err("the trap is set");
        assert!(hijacked.message.contains("hijacked"));
        refused(session.try_run("SELECT 1 = 1"), "P0001");
        live(&mut session, owner, &n.to_string());
        session.rows("SELECT versioned.delete_project(id) FROM versioned.projects", &[]);
    }
    // Policies and functions whose plans are made now, with all rows there.
    live(&mut db.user(owner), owner, "again");
    let mut user = db.login("authenticator");
    user.run("SET ROLE authenticated");
    user.run("SET search_path = evil, pg_catalog");
    user.claim(owner);
    assert_eq!(user.rows("SELECT FROM versioned.projects", &[]).len(), 1);
    assert_eq!(user.rows("SELECT FROM versioned.project_files", &[]).len(), 5);
    user.claim(Uuid::from_u128(2));
    assert_eq!(user.rows("SELECT FROM versioned.projects", &[]).len(), 0);
    admin.run("SET search_path = evil, pg_catalog");
    admin.rows("SELECT versioned.grant_versioned_access('service_role')", &[]);
    admin.run("RESET search_path");
    invariants::hold(&mut admin);
}

#[test]
fn temporary_tables_and_types_of_the_same_names_change_nothing() {
    let db = Database::new("temporary");
    db.connect().run(&format!("GRANT TEMPORARY ON DATABASE {} TO PUBLIC", db.name));
    let owner = Uuid::new_v4();
    for (n, mut session) in [db.connect(), db.user(owner)].into_iter().enumerate() {
        session.run(&tables("pg_temp"));
        for kind in ["uuid", "text", "jsonb", "timestamptz", "bytea", "xid8"] {
            session.run(&format!("CREATE DOMAIN pg_temp.{kind} AS pg_catalog.int4 CHECK (false)"));
        }
        live(&mut session, owner, &n.to_string());
        session.rows("SELECT versioned.delete_project(id) FROM versioned.projects", &[]);
    }
    let mut admin = db.connect();
    admin.run("CREATE TEMP TABLE pg_extension (trap int); CREATE TEMP TABLE pg_roles (trap int)");
    admin.rows("SELECT versioned.grant_versioned_access('service_role')", &[]);
    invariants::hold(&mut admin);
}

/// Settings any user can change, and that change what SQL means or shows.
#[test]
fn odd_settings_of_a_session_change_nothing() {
    let db = Database::new("odd_settings");
    let owner = Uuid::new_v4();
    for (n, mut session) in [db.connect(), db.user(owner)].into_iter().enumerate() {
        session.force_parallel();
        session.run(
            "SET search_path = ''; SET DateStyle = 'SQL, DMY'; SET TimeZone = 'Asia/Kathmandu';
             SET IntervalStyle = 'sql_standard'; SET bytea_output = 'escape'; SET extra_float_digits = -15;
             SET standard_conforming_strings = off; SET escape_string_warning = off; SET transform_null_equals = on;
             SET quote_all_identifiers = on; SET enable_indexscan = off; SET enable_bitmapscan = off;
             SET enable_nestloop = off; SET enable_hashjoin = off; SET enable_sort = off; SET work_mem = '64kB'; SET plan_cache_mode = force_custom_plan;
             SET array_nulls = off; SET jit = off;
             SET default_transaction_isolation = 'serializable'; SET synchronous_commit = off;
             SET client_min_messages = error; SET temp_buffers = 100",
        );
        live(&mut session, owner, &n.to_string());
        assert_eq!(session.value::<String>("SELECT pg_catalog.current_setting('enable_seqscan')", &[]), "on");
    }
    invariants::hold(&mut db.connect());
}

/// Whoever may create objects in the target schema must not gain from the superuser's CREATE EXTENSION.
#[test]
fn hostile_names_in_the_target_schema_and_the_path_do_not_disturb_the_installation() {
    let db = Database::bare("hostile_install");
    let mut admin = db.connect();
    admin.run(&hostile("evil"));
    admin.run(&tables("evil"));
    // In the target schema all but what the extension itself makes.
    let here = hostile("versioned");
    let here = here
        .split_inclusive(';')
        .collect::<String>()
        .replace("CREATE FUNCTION versioned.current_actor()", "CREATE FUNCTION versioned.other_actor()")
        .replace("CREATE FUNCTION versioned_internal.can_read_project(", "CREATE FUNCTION versioned.other_read(")
        .replace("CREATE FUNCTION versioned_internal.readable_project_ids()", "CREATE FUNCTION versioned.other_ids()");
    admin.run(&here);
    admin.run("CREATE TABLE versioned.pg_extension (trap int); CREATE TABLE versioned.pg_roles (trap int)");
    admin.run("SET search_path = evil, versioned, pg_catalog");
    admin.run("CREATE EXTENSION pg_versioned SCHEMA versioned");
    let owner = Uuid::new_v4();
    live(&mut admin, owner, "superuser");
    live(&mut db.user(owner), owner, "user");
    admin.run("RESET search_path");
    invariants::hold(&mut admin);
}

#[test]
fn an_installation_that_meets_a_table_of_its_name_fails_whole() {
    let db = Database::bare("name_taken");
    let mut admin = db.connect();
    for taken in [
        "CREATE TABLE versioned.projects (mine int)",
        "CREATE VIEW versioned.project_files AS SELECT 1 AS mine",
        "CREATE FUNCTION versioned.current_actor() RETURNS uuid LANGUAGE sql AS 'SELECT NULL::uuid'",
    ] {
        admin.run("CREATE SCHEMA versioned");
        admin.run(taken);
        let refusal = admin.try_run("CREATE EXTENSION pg_versioned SCHEMA versioned").expect_err("it is taken");
        assert!(["42P07", "42723"].contains(&&*refusal.code), "{refusal:?}");
        let left: i64 = admin.value(
            "SELECT (SELECT count(*) FROM pg_class
                      WHERE relnamespace = 'versioned'::regnamespace AND relkind IN ('r', 'v', 'S'))
                  + (SELECT count(*) FROM pg_proc WHERE pronamespace = 'versioned'::regnamespace)
                  + (SELECT count(*) FROM pg_extension WHERE extname = 'pg_versioned')",
            &[],
        );
        assert_eq!(left, 1, "only what was there");
        admin.run("DROP SCHEMA versioned CASCADE");
    }
    // Tables of others in another schema are no matter.
    admin.run("CREATE TABLE public.projects (mine int); CREATE SCHEMA versioned");
    admin.run("CREATE EXTENSION pg_versioned SCHEMA versioned");
    live(&mut admin, Uuid::new_v4(), "k");
}

#[test]
fn other_encodings_than_utf8_are_refused_clearly() {
    let db = Database::bare("latin1");
    let latin1 = format!("{}_l", db.name);
    let mut admin = db.connect();
    admin.run(&format!("CREATE DATABASE {latin1} TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'"));
    let result = db.connect_to(&latin1).try_run("CREATE EXTENSION pg_versioned");
    admin.run(&format!("DROP DATABASE {latin1} WITH (FORCE)"));
    let refusal = refused(result, "0A000");
    assert!(refusal.message.contains("UTF8") && refusal.message.contains("LATIN1"), "{refusal:?}");
    assert!(refusal.hint.is_some());
}
