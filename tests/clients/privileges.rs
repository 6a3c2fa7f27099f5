//! What Postgres itself lets each role do with the extension's objects.

use std::collections::BTreeSet;

use uuid::Uuid;

use crate::support::{Database, Session, refused};

/// Every privilege on every member of the extension that is not its owner's: grantee, object, privilege.
const GRANTED: &str = "
    SELECT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(a.grantee)::text END,
           o.object, a.privilege_type || CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
      FROM pg_depend d
      JOIN pg_extension x ON x.oid = d.refobjid AND x.extname = 'pg_versioned'
     CROSS JOIN LATERAL (
            SELECT c.relname::text, coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::\"char\", c.relowner)), c.relowner
              FROM pg_class c WHERE d.classid = 'pg_class'::regclass AND c.oid = d.objid AND c.relkind <> 'i'
            UNION ALL
            SELECT c.relname || '.' || t.attname, t.attacl, c.relowner
              FROM pg_class c JOIN pg_attribute t ON t.attrelid = c.oid
             WHERE d.classid = 'pg_class'::regclass AND c.oid = d.objid AND t.attacl IS NOT NULL
            UNION ALL
            SELECT s.relname::text, coalesce(s.relacl, acldefault('s', s.relowner)), s.relowner
              FROM pg_depend q JOIN pg_class s ON s.oid = q.objid AND s.relkind = 'S'
             WHERE d.classid = 'pg_class'::regclass AND q.refclassid = 'pg_class'::regclass AND q.refobjid = d.objid
               AND q.classid = 'pg_class'::regclass
            UNION ALL
            SELECT p.proname::text, coalesce(p.proacl, acldefault('f', p.proowner)), p.proowner
              FROM pg_proc p WHERE d.classid = 'pg_proc'::regclass AND p.oid = d.objid
            UNION ALL
            SELECT t.typname::text, t.typacl, t.typowner
              FROM pg_type t WHERE d.classid = 'pg_type'::regclass AND t.oid = d.objid AND t.typacl IS NOT NULL
           ) o(object, acl, owner)
     CROSS JOIN LATERAL aclexplode(o.acl) a
     WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND a.grantee <> o.owner";

const READABLE: &[&str] = &[
    "projects",
    "project_members",
    "project_build_metrics",
    "project_ai_time_sessions",
    "project_versions",
    "project_file_heads",
    "project_file_versions",
    "project_files",
    "project_storage",
    "file_operation_metrics",
    "project_ai_time",
    "project_build_summary",
];

/// Privileges on the view `project_files`, the only thing that is written by plain statements.
const WRITING: [&str; 3] = ["INSERT", "UPDATE", "DELETE"];

type Grants = BTreeSet<(String, String, String)>;

fn granted(admin: &mut Session) -> Grants {
    admin.rows(GRANTED, &[]).iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
}

/// What the given roles and nobody else should have.
fn due(admin: &mut Session, roles: &[&str]) -> Grants {
    let functions: Vec<String> = admin.column(
        "SELECT p.proname::text
           FROM pg_proc p
           JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
           JOIN pg_extension x ON x.oid = d.refobjid AND x.extname = 'pg_versioned'
          WHERE p.proname NOT IN ('grant_versioned_access', 'grant_privileges', 'revoke_privileges', 'set_initial_privileges',
                                'settle_privileges', 'versioning_report', 'renumber_versions', 'undo_renumber',
                                'enable_versioning', 'disable_versioning', 'import_project_files',
                                'import_project_versions', 'replay_migrations', 'schema_drift', 'schema_fingerprint',
                                'record_migration', 'verify_migrations')
            AND p.prorettype <> 'trigger'::regtype",
        &[],
    );
    assert!(functions.len() > 20, "{functions:?}");
    let mut due = Grants::new();
    for role in roles {
        for table in READABLE {
            due.insert((role.to_string(), table.to_string(), "SELECT".into()));
        }
        due.insert((role.to_string(), "file_contents".into(), "SELECT".into()));
        for privilege in WRITING {
            due.insert((role.to_string(), "project_files".into(), privilege.into()));
        }
        for function in &functions {
            due.insert((role.to_string(), function.clone(), "EXECUTE".into()));
        }
    }
    due
}

#[track_caller]
fn assert_grants(admin: &mut Session, due: &Grants, when: &str) {
    let got = granted(admin);
    let (more, less): (Vec<_>, Vec<_>) = (got.difference(due).collect(), due.difference(&got).collect());
    assert!(more.is_empty() && less.is_empty(), "{when}: granted too much {more:?}, too little {less:?}");
}

#[test]
fn no_role_has_more_than_access_grants_whatever_the_default_privileges() {
    let supabase = |scope: &str| {
        ["TABLES", "FUNCTIONS", "SEQUENCES", "TYPES"]
            .map(|kind| {
                // Types and schemas are given globally only.
                let scope = if kind == "TYPES" { "" } else { scope };
                format!(
                    "ALTER DEFAULT PRIVILEGES {scope} GRANT ALL ON {kind} TO anon, authenticated, service_role, PUBLIC"
                )
            })
            .join(";")
    };
    for (n, scope) in ["", "IN SCHEMA versioned", "FOR ROLE postgres IN SCHEMA versioned"].into_iter().enumerate() {
        let db = Database::bare(&format!("defaults_{n}"));
        let mut admin = db.connect();
        let nosy = db.role("nosy", "");
        admin.run(&format!(
            "CREATE SCHEMA versioned;
             GRANT ALL ON SCHEMA versioned TO anon, PUBLIC;
             {};
             ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO {nosy} WITH GRANT OPTION;
             ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO {nosy} WITH GRANT OPTION;
             ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO {nosy} WITH GRANT OPTION",
            supabase(scope)
        ));
        // The defaults do bite.
        admin.run("CREATE TABLE versioned.control (id int)");
        assert!(admin.value::<bool>("SELECT has_table_privilege('anon', 'versioned.control', 'TRUNCATE')", &[]));
        admin.run("DROP TABLE versioned.control; CREATE EXTENSION pg_versioned SCHEMA versioned");

        let due = due(&mut admin, &["authenticated", "service_role"]);
        assert_grants(&mut admin, &due, &format!("with defaults {scope:?}"));
        for role in ["anon", "authenticated", "service_role", &nosy] {
            let rights: Vec<String> = admin.column(
                "SELECT c.relname || ' ' || privilege
                   FROM pg_class c, unnest(ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) privilege
                  WHERE c.relnamespace = 'versioned'::regnamespace AND c.relkind IN ('r', 'v', 'p', 'm')
                    AND has_table_privilege($1::text::regrole, c.oid, privilege)
                 UNION ALL
                 SELECT c.relname || ' ' || privilege
                   FROM pg_class c, unnest(ARRAY['USAGE', 'SELECT', 'UPDATE']) privilege
                  WHERE c.relnamespace = 'versioned'::regnamespace AND c.relkind = 'S'
                    AND has_sequence_privilege($1::text::regrole, c.oid, privilege)",
                &[&role],
            );
            let due = if ["authenticated", "service_role"].contains(&role) { &WRITING[..] } else { &[] };
            let due: Vec<String> = due.iter().map(|privilege| format!("project_files {privilege}")).collect();
            assert_eq!(rights, due, "{role} with defaults {scope:?}");
        }
    }
}

#[test]
fn granting_access_gives_exactly_that_to_any_role() {
    let db = Database::new("granting");
    let mut admin = db.connect();
    let role = db.role("app", "");
    let odd = db.role("odd", "");
    let quoted = format!("{odd} \"x\"; DROP TABLE versioned.projects; --");
    admin.run(&format!("ALTER ROLE {odd} RENAME TO \"{}\"", quoted.replace('"', "\"\"")));
    for name in [&role, &quoted] {
        admin.rows("SELECT versioned.grant_versioned_access($1::text::name)", &[name]);
    }
    let due = due(&mut admin, &["authenticated", "service_role", &role, &quoted[..quoted.len().min(63)]]);
    assert_grants(&mut admin, &due, "granted");
    admin.run(&format!("ALTER ROLE \"{}\" RENAME TO {odd}", quoted.replace('"', "\"\"")));

    for unknown in ["no such role", "PUBLIC", "public", "", "current_user"] {
        let grant = "SELECT versioned.grant_versioned_access($1::text::name)";
        let refusal = refused(admin.try_rows(grant, &[&unknown]), "22023");
        assert!(refusal.message.contains(unknown), "{refusal:?}");
    }
    for mut session in [db.user(Uuid::new_v4()), {
        let mut service = db.login("authenticator");
        service.run("SET ROLE service_role");
        service
    }] {
        refused(session.try_run("SELECT versioned.grant_versioned_access('anon')"), "42501");
    }
}

#[test]
fn no_table_can_be_written_but_through_the_functions() {
    let db = Database::new("no_dml");
    let mut admin = db.connect();
    let owner = Uuid::new_v4();
    let project = admin.project(owner).project;
    admin.put(project, "a", "one");
    let tables: Vec<String> = admin.column(
        "SELECT oid::regclass::text FROM pg_class
          WHERE relnamespace = 'versioned'::regnamespace AND relkind IN ('r', 'p') ORDER BY 1",
        &[],
    );
    assert!(tables.len() >= 8);
    let mut service = db.login("authenticator");
    service.run("SET ROLE service_role");
    for mut session in [db.user(owner), service] {
        for table in &tables {
            let column: String = admin.value(
                "SELECT attname::text FROM pg_attribute WHERE attrelid = $1::text::regclass AND attnum = 1",
                &[table],
            );
            for sql in [
                format!("INSERT INTO {table} SELECT * FROM {table}"),
                format!("INSERT INTO {table} DEFAULT VALUES"),
                format!("UPDATE {table} SET {column} = {column}"),
                format!("DELETE FROM {table}"),
                format!("TRUNCATE {table} CASCADE"),
                format!("SELECT * FROM {table} FOR UPDATE"),
                format!("LOCK TABLE {table} IN SHARE MODE"),
                format!("CREATE INDEX ON {table} ({column})"),
                format!("ALTER TABLE {table} DISABLE ROW LEVEL SECURITY"),
                format!("CREATE POLICY p ON {table} USING (true)"),
                format!(
                    "CREATE TRIGGER t BEFORE INSERT ON {table} EXECUTE FUNCTION suppress_redundant_updates_trigger()"
                ),
                format!("COPY {table} FROM STDIN"),
                format!("DROP TABLE {table} CASCADE"),
            ] {
                session.run("BEGIN");
                refused(session.try_run(&sql), "42501");
                session.run("ROLLBACK");
            }
        }
        for sequence in admin.column::<String>(
            "SELECT oid::regclass::text FROM pg_class WHERE relnamespace = 'versioned'::regnamespace AND relkind = 'S'",
            &[],
        ) {
            refused(session.try_run(&format!("SELECT nextval('{sequence}')")), "42501");
            refused(session.try_run(&format!("SELECT setval('{sequence}', 1)")), "42501");
        }
        for sql in
            ["DROP EXTENSION pg_versioned CASCADE", "CREATE TABLE versioned.x ()", "DROP SCHEMA versioned CASCADE"]
        {
            refused(session.try_run(sql), "42501");
        }
    }
}

#[test]
fn nobody_rewrites_the_history_not_even_its_owner() {
    let db = Database::new("no_rewrite");
    let mut admin = db.connect();
    let project = admin.project(Uuid::new_v4()).project;
    admin.put(project, "a", "one");
    admin.put(project, "a", "two");
    for sql in [
        "UPDATE versioned.project_file_versions SET stored = 'forged' WHERE version = 1",
        "UPDATE versioned.project_file_versions SET created_by = NULL WHERE false",
        "DELETE FROM versioned.project_file_versions WHERE version = 1",
        "TRUNCATE versioned.project_file_versions",
        "TRUNCATE versioned.projects CASCADE",
        "TRUNCATE versioned.project_file_heads CASCADE",
        "DELETE FROM versioned.project_file_heads",
    ] {
        let refusal = refused(admin.try_run(sql), "42501");
        assert!(refusal.hint.is_some(), "{refusal:?}");
    }
    // Nor can it be pulled from under its versions.
    refused(admin.try_run("DELETE FROM versioned.projects"), "23503");
    assert_eq!(admin.list(project), [("a".into(), 2, "two".into())]);
}

/// Rows of every table by project, as a session sees them.
fn rows_by_project(session: &mut Session, tables: &[(String, String)]) -> Vec<(String, Uuid, i64)> {
    let mut rows = Vec::new();
    for (table, key) in tables {
        let sql = format!("SELECT {key}, count(*) FROM {table} GROUP BY 1 ORDER BY 1");
        for row in session.rows(&sql, &[]) {
            rows.push((table.clone(), row.get(0), row.get(1)));
        }
    }
    rows
}

#[test]
fn members_see_the_rows_of_their_projects_and_no_others() {
    let db = Database::new("row_security");
    let mut admin = db.connect();
    let (alice, bob) = (Uuid::new_v4(), Uuid::new_v4());
    let mut projects = Vec::new();
    for n in 0..24 {
        let owner = if n % 2 == 0 { alice } else { bob };
        let build = admin.create(owner, Some("x"), &format!("{n}"), Some(&n.to_string())).expect("made");
        for path in ["a", "b"] {
            admin.put(build.project, path, &format!("{n} {path}"));
            admin.put(build.project, path, &format!("{n} {path} again"));
        }
        admin.delete(build.project, "b", None).expect("deleted");
        admin.succeed(build.project, &build.build, serde_json::json!({})).expect("it succeeds");
        projects.push((build.project, owner));
    }
    admin.add_member(projects[0].0, bob, "viewer");
    let unprotected: Vec<String> = admin.column(
        "SELECT relname::text FROM pg_class
          WHERE relnamespace = 'versioned'::regnamespace AND relkind IN ('r', 'p') AND NOT relrowsecurity
            AND EXISTS (SELECT FROM pg_attribute WHERE attrelid = pg_class.oid AND attname LIKE '%project_id')",
        &[],
    );
    assert_eq!(unprotected, [] as [&str; 0]);
    let tables: Vec<(String, String)> = READABLE
        .iter()
        .map(|table| (format!("versioned.{table}"), if *table == "projects" { "id" } else { "project_id" }.to_owned()))
        .collect();
    let all = rows_by_project(&mut admin, &tables);
    assert_eq!(all.len(), tables.len() * projects.len());

    for user in [alice, bob, Uuid::new_v4()] {
        let theirs = |id: &Uuid| {
            projects.iter().any(|(project, owner)| project == id && *owner == user)
                || user == bob && *id == projects[0].0
        };
        let due: Vec<_> = all.iter().filter(|row| theirs(&row.1)).cloned().collect();
        let login = db.own_login(&format!("u{}", user.simple())[..6], user);
        for mut session in [db.user(user), db.login(&login)] {
            assert_eq!(rows_by_project(&mut session, &tables), due);
            // Whatever the plan.
            session
                .run("SET enable_seqscan = off; SET enable_bitmapscan = off; SET plan_cache_mode = force_generic_plan");
            assert_eq!(rows_by_project(&mut session, &tables), due);
            session.force_parallel();
            assert_eq!(rows_by_project(&mut session, &tables), due);
            session.run("RESET ALL");
            session.claim(user);
            session.run("SET row_security = off");
            for (table, _) in &tables {
                refused(session.try_run(&format!("SELECT FROM {table}")), "42501");
            }
            refused(session.try_run("SELECT FROM versioned.project_idempotency_keys"), "42501");
        }
    }
    let mut anon = db.login("authenticator");
    anon.run("SET ROLE anon");
    anon.claim(alice);
    let mut nobody = db.login("authenticator");
    nobody.run("SET ROLE authenticated");
    let mut service = db.login("authenticator");
    service.run("SET ROLE service_role");
    assert_eq!(rows_by_project(&mut nobody, &tables), []);
    assert_eq!(rows_by_project(&mut service, &tables), all);
    for (table, _) in &tables {
        refused(anon.try_run(&format!("SELECT FROM {table}")), "42501");
    }
    refused(anon.try_run("SELECT versioned.current_actor()"), "42501");
}

/// A cheap condition that reports what it is given must not see the rows that the policies hide.
#[test]
fn conditions_of_a_query_never_see_the_rows_of_others() {
    let db = Database::new("leaky");
    let mut admin = db.connect();
    let (me, other) = (Uuid::new_v4(), Uuid::new_v4());
    for (user, secret) in [(me, "mine"), (other, "secret")] {
        let build = admin.create(user, Some(secret), secret, Some(secret)).expect("made");
        admin.put(build.project, secret, secret);
        admin.put(build.project, secret, &format!("{secret} again"));
        admin.succeed(build.project, &build.build, serde_json::json!({"version_name": secret})).expect("it succeeds");
    }
    admin.run("ANALYZE; GRANT CREATE ON SCHEMA public TO authenticated");
    let mut session = db.user(me);
    session.run(
        "CREATE FUNCTION public.leak(text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE COST 0.0000001 AS $$
         BEGIN RAISE NOTICE 'saw %', $1; RETURN true; END $$;
         CREATE OPERATOR public.~~~~ (FUNCTION = public.leak, RIGHTARG = text)",
    );
    for sql in [
        "SELECT * FROM versioned.projects p WHERE public.leak(p::text)",
        "SELECT * FROM versioned.project_files f WHERE public.leak(f.content)",
        "SELECT * FROM versioned.project_files f WHERE ~~~~ f.file_path AND is_current_version",
        "SELECT * FROM versioned.project_file_versions v WHERE public.leak(v.file_path)",
        "SELECT * FROM versioned.project_file_heads h WHERE public.leak(h::text)",
        "SELECT * FROM versioned.project_versions v WHERE public.leak(v.version_name)",
        "SELECT * FROM versioned.project_build_metrics b WHERE public.leak(b.prompt)",
        "SELECT * FROM versioned.project_members m JOIN versioned.projects p ON public.leak(p.name || m.user_id)",
        "SELECT max(content) FROM versioned.project_files GROUP BY project_id HAVING public.leak(max(content))",
        "SELECT * FROM versioned.projects ORDER BY public.leak(name)",
    ] {
        session.notices();
        session.run(sql);
        let heard = session.notices();
        assert!(!heard.is_empty(), "{sql}");
        let leaked = |notice: &&String| notice.contains("secret") || notice.contains(&other.to_string());
        assert_eq!(heard.iter().find(leaked), None, "{sql}");
    }
    // What ANALYZE keeps is not for everybody.
    let statistics: i64 = session.value("SELECT count(*) FROM pg_stats WHERE schemaname = 'versioned'", &[]);
    assert_eq!(statistics, 0);
    // An error that shows a value shows one's own.
    let refusal = session.try_run("SELECT content::int FROM versioned.project_files").expect_err("no number");
    assert!(!refusal.message.contains("secret"), "{refusal:?}");
}
