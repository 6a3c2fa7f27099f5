//! Library and schema of different versions: every call gives its normal answer, or fails plainly and says what to do.

use std::collections::BTreeSet;

use serde_json::json;
use uuid::Uuid;

use crate::invariants::{self, everything};
use crate::members::FUNCTIONS;
use crate::mismatch_calls::Kind::{Function, Row, Stored};
use crate::mismatch_calls::{CALLS, INTEGRITY, STARTED, scene};
use crate::support::{Database, Session, refused, until_waiting};

#[test]
fn these_calls_are_of_every_function() {
    let named = |name: &str| CALLS.iter().any(|(_, call)| call.contains(&format!(".{name}(")));
    let missing: Vec<_> = FUNCTIONS.iter().map(|function| function.0).filter(|name| !named(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// As under a schema that lacks what is there now.
#[test]
fn every_column_renamed_in_turn() {
    let mut scene = scene("mismatch_columns");
    let mut sessions = scene.sessions();
    let (before, started): (_, String) = (everything(&mut scene.admin), scene.admin.value(STARTED, &[]));
    let columns = scene.admin.rows(
        "SELECT a.attrelid::regclass::text, a.attname::text,
                CASE c.relkind WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END
           FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
          WHERE c.relnamespace IN ('versioned'::regnamespace, 'versioned_internal'::regnamespace)
            AND c.relkind IN ('r', 'v') AND a.attnum > 0
          ORDER BY 1, a.attnum",
        &[],
    );
    let mut failed = 0;
    for row in &columns {
        let (table, column, kind): (String, String, String) = (row.get(0), row.get(1), row.get(2));
        let alter = format!("ALTER {kind} {table} RENAME COLUMN {column} TO elsewhere");
        let back = format!("ALTER {kind} {table} RENAME COLUMN elsewhere TO {column}");
        failed += scene.with_altered(&mut sessions, &column, &alter, &back);
    }
    assert!(columns.len() > 150 && failed > 1_000, "{failed} calls failed with {} columns", columns.len());
    scene.ends_well(&mut sessions, &before, &started);
}

#[test]
fn every_table_index_view_and_function_renamed_in_turn() {
    let mut scene = scene("mismatch_names");
    let mut sessions = scene.sessions();
    let (before, started): (_, String) = (everything(&mut scene.admin), scene.admin.value(STARTED, &[]));
    let objects = scene.admin.rows(
        "SELECT CASE relkind WHEN 'r' THEN 'TABLE' WHEN 'v' THEN 'VIEW' ELSE 'INDEX' END,
                relnamespace::regnamespace::text, relname::text, ''
           FROM pg_class
          WHERE relnamespace IN ('versioned'::regnamespace, 'versioned_internal'::regnamespace)
            AND relkind IN ('r', 'v', 'i') AND relname <> 'project_files'
         UNION ALL
         SELECT 'FUNCTION', 'versioned_internal', proname, '(' || pg_get_function_identity_arguments(oid) || ')'
           FROM pg_proc WHERE pronamespace = 'versioned_internal'::regnamespace
          ORDER BY 1, 2, 3",
        &[],
    );
    let mut failed = 0;
    for row in &objects {
        let [kind, schema, name, arguments]: [String; 4] = [0, 1, 2, 3].map(|n| row.get(n));
        let alter = format!("ALTER {kind} {schema}.{name}{arguments} RENAME TO elsewhere");
        let back = format!("ALTER {kind} {schema}.elsewhere{arguments} RENAME TO {name}");
        failed += scene.with_altered(&mut sessions, &format!("{schema}.{name}"), &alter, &back);
    }
    let [alter, back] = [("versioned_internal", "elsewhere"), ("elsewhere", "versioned_internal")]
        .map(|(from, to)| format!("ALTER SCHEMA {from} RENAME TO {to}"));
    failed += scene.with_altered(&mut sessions, "versioned_internal", &alter, &back);
    assert!(failed > 300, "{failed} calls failed");
    scene.ends_well(&mut sessions, &before, &started);
}

/// Types that a column of a type is given, and how its values are converted.
const TYPES: &[(&str, &str, &str)] = &[
    ("uuid", "text", "{c}::text"),
    ("uuid", "bigint", "hashtextextended({c}::text, 0)"),
    ("integer", "bigint", "{c}"),
    ("integer", "text", "{c}::text"),
    ("text", "varchar", "{c}"),
    ("text", "bytea", "convert_to({c}, 'UTF8')"),
    ("text", "integer", "hashtext({c})"),
    ("boolean", "integer", "{c}::integer"),
    ("boolean", "text", "{c}::text"),
    ("timestamp with time zone", "timestamp", "{c}"),
    ("timestamp with time zone", "text", "{c}::text"),
    ("bytea", "text", "encode({c}, 'hex')"),
    ("bytea", "bigint", "octet_length({c})"),
    ("jsonb", "json", "{c}"),
    ("jsonb", "text", "{c}::text"),
    ("xid8", "bigint", "{c}::text::bigint"),
    ("xid8", "text", "{c}::text"),
    ("bigint", "integer", "{c}::integer"),
    ("bigint", "text", "{c}::text"),
    ("smallint", "integer", "{c}"),
    ("smallint", "text", "{c}::text"),
    ("numeric", "text", "{c}::text"),
    ("int4multirange", "text", "{c}::text"),
    ("int4multirange", "int8multirange", "{c}::text::int8multirange"),
];

/// Takes off what keeps a column's type from being changed: what views, policies and constraints say of it.
const LOOSEN: &str = "
    DO $$
    DECLARE
        v record;
    BEGIN
        FOR v IN SELECT c.oid::regclass AS view, string_agg(format('NULL::%s AS %I', format_type(a.atttypid, a.atttypmod) ||
                        CASE WHEN a.attcollation <> 0 THEN ' COLLATE ' || a.attcollation::regcollation ELSE '' END,
                        a.attname), ', ' ORDER BY a.attnum) AS columns
                   FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
                  WHERE c.relkind = 'v' AND c.relnamespace IN ('versioned'::regnamespace, 'versioned_internal'::regnamespace)
                  GROUP BY c.oid
        LOOP
            EXECUTE format('CREATE OR REPLACE VIEW %s AS SELECT %s', v.view, v.columns);
        END LOOP;
        FOR v IN SELECT schemaname, tablename, policyname FROM pg_policies WHERE schemaname = 'versioned'
        LOOP
            EXECUTE format('DROP POLICY %I ON %I.%I', v.policyname, v.schemaname, v.tablename);
            EXECUTE format('CREATE POLICY %I ON %I.%I USING (true)', v.policyname, v.schemaname, v.tablename);
        END LOOP;
        FOR v IN SELECT conrelid::regclass AS of_table, conname FROM pg_constraint
                  WHERE connamespace = 'versioned'::regnamespace AND contype IN ('c', 'f')
        LOOP
            EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', v.of_table, v.conname);
        END LOOP;
    END $$";

#[test]
fn every_column_of_another_type_in_turn() {
    let mut scene = scene("mismatch_types");
    let mut sessions = scene.sessions();
    let (before, started): (_, String) = (everything(&mut scene.admin), scene.admin.value(STARTED, &[]));
    // Views will show nothing.
    scene.calls.0.retain(|(kind, call)| matches!(kind, Function | Row) || call.contains(INTEGRITY));
    let columns = scene.admin.rows(
        "SELECT a.attrelid::regclass::text, a.attname::text, format_type(a.atttypid, a.atttypmod),
                a.atthasdef AND a.attidentity = ''
           FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
          WHERE c.relnamespace = 'versioned'::regnamespace AND c.relkind = 'r' AND a.attnum > 0
          ORDER BY 1, a.attnum",
        &[],
    );
    let (mut altered, mut failed, mut impossible) = (0, 0, Vec::new());
    // One session, because nobody else sees what will be rolled back.
    let mut session = scene.db.connect();
    let answers = [None, Some(scene.owner)].map(|actor| {
        act_as(&mut session, actor);
        let answers = scene.calls.answers(&mut session);
        act_as(&mut session, None);
        answers
    });
    for row in &columns {
        let (table, column, from): (String, String, String) = (row.get(0), row.get(1), row.get(2));
        for (_, to, using) in TYPES.iter().filter(|(known, ..)| *known == from) {
            let using = using.replace("{c}", &column);
            let alter = format!("ALTER TABLE {table} ALTER COLUMN {column} TYPE {to} USING {using}");
            session.run("BEGIN");
            session.run(LOOSEN);
            if row.get(3) {
                session.run(&format!(
                    "ALTER TABLE {table} ALTER COLUMN {column} DROP DEFAULT, ALTER COLUMN {column} DROP NOT NULL"
                ));
            }
            match session.try_run(&alter) {
                Err(refusal) => impossible.push(format!("{alter}: {}", refusal.message)),
                Ok(()) => {
                    altered += 1;
                    for (actor, answers) in [None, Some(scene.owner)].into_iter().zip(&answers) {
                        act_as(&mut session, actor);
                        failed += scene.calls.plain(&mut session, answers, &column, &alter).len();
                        act_as(&mut session, None);
                    }
                }
            }
            session.run("ROLLBACK");
        }
    }
    assert!(altered > 180 && failed > 1_000, "{failed} calls failed with {altered} types; {impossible:#?}");
    act_as(&mut session, None);
    assert_eq!(scene.calls.answers(&mut session), answers[0]);
    for ((_, all), some) in sessions.iter_mut().zip(answers) {
        *all = some;
    }
    scene.ends_well(&mut sessions, &before, &started);
}

/// Lets a superuser's session be the user's, or its own again.
fn act_as(session: &mut Session, actor: Option<Uuid>) {
    match actor {
        Some(actor) => {
            session.claim(actor);
            session.run("SET ROLE authenticated");
        }
        None => session.run("RESET ROLE; RESET request.jwt.claims"),
    }
}

/// What somebody does whose project goes on growing.
#[track_caller]
fn live(session: &mut Session, project: Uuid, n: usize) {
    for turn in 0..3 {
        session.put(project, "lively", &format!("{n} {turn}"));
        session.put(project, &format!("{n}"), &format!("{turn}"));
    }
    session.rename(project, &format!("{n}"), &format!("{n} moved"), None).expect("moved");
    session.delete(project, &format!("{n} moved"), None).expect("deleted");
    session.put(project, &format!("{n} moved"), "back");
    let files = json!([{"file_path": format!("{n} batch"), "content": "x", "file_type": "text"}]);
    session.rows("SELECT versioned.atomic_upsert_project_files($1, $2)", &[&project, &files]);
    session.run(&format!(
        "INSERT INTO versioned.project_files (project_id, file_path, content) VALUES ('{project}', '{n} view', 'x')"
    ));
    let build = session.start(project, true).expect("it starts").build;
    session.succeed(project, &build, json!({})).expect("it succeeds");
    session.add_member(project, Uuid::new_v4(), "viewer");
}

/// As under a newer schema: tables have columns that the library does not know.
#[test]
fn appended_columns_of_tables_change_nothing() {
    let mut scene = scene("mismatch_appended");
    let mut sessions = scene.sessions();
    let started: String = scene.admin.value(STARTED, &[]);
    let tables: Vec<String> = scene.admin.column(
        "SELECT oid::regclass::text FROM pg_class
          WHERE relnamespace = 'versioned'::regnamespace AND relkind = 'r' ORDER BY 1",
        &[],
    );
    for (n, column) in ["later text", "more int NOT NULL DEFAULT 7"].into_iter().enumerate() {
        for (session, answers) in &mut sessions {
            *answers = scene.calls.answers(session);
        }
        for table in &tables {
            let name = column.split(' ').next().expect("a name");
            let alter = format!("ALTER TABLE {table} ADD COLUMN {column}");
            scene.admin.run(&alter);
            scene.admin.run(&format!("CREATE INDEX ON {table} (({name} IS NULL)) WHERE {name} IS NOT NULL"));
            let fresh = [scene.db.connect(), scene.db.user(scene.owner)];
            for ((session, answers), mut fresh) in sessions.iter_mut().zip(fresh) {
                assert_eq!(scene.calls.answers(session), *answers, "{alter}");
                assert_eq!(scene.calls.answers(&mut fresh), *answers, "{alter}, in a new session");
            }
        }
        let project = scene.admin.project(scene.owner).project;
        for (turn, (session, _)) in sessions.iter_mut().enumerate() {
            live(session, project, 2 * n + turn);
        }
        live(&mut scene.db.user(scene.owner), project, 10 + n);
        invariants::hold(&mut scene.admin);
    }
    for table in &tables {
        let sql = format!("SELECT count(*) FROM {table} WHERE later IS NOT NULL OR more IS DISTINCT FROM 7");
        assert_eq!(scene.admin.value::<i64>(&sql, &[]), 0, "{table}");
    }
    sessions[1].0.rows("SELECT versioned.delete_project($1)", &[&scene.project]);
    assert_eq!(scene.admin.value::<String>(STARTED, &[]), started, "no backend crashed");
    invariants::hold(&mut scene.admin);
}

/// A row of the view that the library cannot fill is not returned with a gap.
#[test]
fn an_appended_column_of_the_view_is_not_left_empty() {
    let mut scene = scene("mismatch_view");
    let mut sessions = scene.sessions();
    let (before, started): (_, String) = (everything(&mut scene.admin), scene.admin.value(STARTED, &[]));
    let append = |admin: &mut Session, view: &str| {
        let definition: String = admin.value("SELECT pg_get_viewdef($1::text::regclass)", &[&view]);
        let definition = definition.trim_end_matches(';');
        admin.run(&format!(
            "CREATE OR REPLACE VIEW {view} WITH (security_invoker = true) AS SELECT q.*, 1 AS later FROM ({definition}) q"
        ));
    };
    // What only queries read may grow.
    append(&mut scene.admin, "versioned_internal.file_contents");
    for (session, answers) in &mut sessions {
        assert_eq!(scene.calls.answers(session), *answers);
    }
    append(&mut scene.admin, "versioned.project_files");
    let due: BTreeSet<usize> = (0..CALLS.len()).filter(|&n| matches!(CALLS[n].0, Row | Stored)).collect();
    for (session, answers) in &mut sessions {
        assert_eq!(scene.calls.plain(session, answers, "-", "appended"), due);
        scene.calls.plain_at_top(session, "appended");
    }
    let mut fresh = [scene.db.connect(), scene.db.user(scene.owner)];
    for (session, (_, answers)) in fresh.iter_mut().zip(&sessions) {
        assert_eq!(scene.calls.plain(session, answers, "-", "appended, in a new session"), due);
    }
    let refusal = refused(fresh[1].try_run(&scene.calls.0[0].1), "55000");
    assert!(refusal.detail.is_some_and(|detail| detail.contains("15") && detail.contains("14")));
    assert_eq!(everything(&mut scene.admin), before);
    let started_now: String = scene.admin.value(STARTED, &[]);
    assert_eq!(started_now, started, "no backend crashed");
    // A dropped column would come back by a new installation only.
    sessions[1].0.try_run(&scene.calls.0[13].1).expect("JSON is as always");
    invariants::hold(&mut scene.admin);
}

/// An index of the right name on other columns finds other rows, and one that is not unique finds no conflict.
#[test]
fn an_index_of_another_kind_is_not_used() {
    let mut scene = scene("mismatch_index");
    let mut sessions = scene.sessions();
    let (before, started): (_, String) = (everything(&mut scene.admin), scene.admin.value(STARTED, &[]));
    for (index, alter, back) in [
        (
            "project_file_heads_live_path",
            "DROP INDEX versioned.project_file_heads_live_path;
             CREATE INDEX project_file_heads_live_path
                 ON versioned.project_file_heads (project_id, file_path) WHERE NOT is_deleted",
            "DROP INDEX versioned.project_file_heads_live_path;
             CREATE UNIQUE INDEX project_file_heads_live_path
                 ON versioned.project_file_heads (project_id, file_path) WHERE NOT is_deleted",
        ),
        (
            "project_file_heads_path",
            "DROP INDEX versioned.project_file_heads_path;
             CREATE INDEX project_file_heads_path ON versioned.project_file_heads (project_id, file_type)",
            "DROP INDEX versioned.project_file_heads_path;
             CREATE INDEX project_file_heads_path ON versioned.project_file_heads (project_id, file_path)",
        ),
        (
            "project_file_heads_path",
            "DROP INDEX versioned.project_file_heads_path;
             CREATE INDEX project_file_heads_path ON versioned.project_file_heads (project_id, file_path COLLATE \"POSIX\")",
            "DROP INDEX versioned.project_file_heads_path;
             CREATE INDEX project_file_heads_path ON versioned.project_file_heads (project_id, file_path)",
        ),
        (
            "project_file_heads_path",
            "DROP INDEX versioned.project_file_heads_path;
             CREATE INDEX project_file_heads_path ON versioned.project_file_heads USING hash (project_id)",
            "DROP INDEX versioned.project_file_heads_path;
             CREATE INDEX project_file_heads_path ON versioned.project_file_heads (project_id, file_path)",
        ),
        (
            "project_file_versions_pkey",
            "ALTER TABLE versioned.project_file_versions DROP CONSTRAINT project_file_versions_pkey;
             ALTER TABLE versioned.project_file_versions ADD PRIMARY KEY (project_id, version, file_id)",
            "ALTER TABLE versioned.project_file_versions DROP CONSTRAINT project_file_versions_pkey;
             ALTER TABLE versioned.project_file_versions ADD PRIMARY KEY (file_id, version, project_id)",
        ),
        (
            "rate_limits_project_id_actor",
            "DROP INDEX versioned.rate_limits_project_id_actor;
             CREATE INDEX rate_limits_project_id_actor ON versioned.rate_limits (actor, project_id)",
            "DROP INDEX versioned.rate_limits_project_id_actor;
             CREATE INDEX rate_limits_project_id_actor ON versioned.rate_limits (project_id, actor)",
        ),
    ] {
        assert!(scene.with_altered(&mut sessions, index, alter, back) > 0, "{alter}");
    }
    scene.ends_well(&mut sessions, &before, &started);
}

/// A call that waits while its result gets a column is to be sent again.
#[test]
fn a_column_appended_while_a_call_waits_is_a_lost_race() {
    let db = Database::new("mismatch_race");
    let (mut admin, mut session) = (db.connect(), db.connect());
    let first = admin.project(Uuid::new_v4());
    let fail = format!("SELECT status FROM versioned.fail_project_build('{}', '{}')", first.project, first.build);
    let member = format!(
        "SELECT role FROM versioned.add_project_member('{}', '{}', 'viewer')",
        first.project,
        Uuid::from_u128(7)
    );
    for (table, call, answer) in [("project_build_metrics", &fail, "failed"), ("project_members", &member, "viewer")] {
        // Known to the session as it was.
        session.run(&format!("BEGIN; {call}; ROLLBACK"));
        admin.run(&format!("BEGIN; LOCK TABLE versioned.projects; ALTER TABLE versioned.{table} ADD later text"));
        std::thread::scope(|scope| {
            let pid = session.pid;
            let waiting = scope.spawn(|| session.try_run(call));
            until_waiting(&mut db.connect(), pid);
            admin.run("COMMIT");
            refused(waiting.join().expect("no thread panics"), "40001");
        });
        assert_eq!(session.value::<String>(call, &[]), answer);
    }
    invariants::hold(&mut admin);
}
