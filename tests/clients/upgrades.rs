//! Databases with a released version of the extension, brought to the present one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use object::{Object, ObjectSymbol};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::calls::{Answer, Version};
use crate::catalogue::{catalogue, differences};
use crate::dump::{self, program};
use crate::invariants;
use crate::support::{Database, Session, race, refused, sessions, skipped, until, until_waiting};

/// The version that Cargo.toml says.
const PRESENT: &str = env!("CARGO_PKG_VERSION");

/// The versions whose install scripts are frozen in `sql/`.
fn released() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql");
    let mut versions: Vec<String> = fs::read_dir(folder)
        .expect("sql/ is there")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
        .filter_map(|name| Some(name.strip_prefix("pg_versioned--")?.strip_suffix(".sql")?.to_owned()))
        .filter(|version| !version.contains("--"))
        .collect();
    versions.sort();
    assert!(!versions.is_empty(), "no release is frozen");
    versions
}

/// As hosted platforms have it: everybody gets everything.
const GENEROUS: &str = "ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO anon, authenticated, PUBLIC;
                        ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO anon, authenticated;
                        ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO anon;
                        ALTER DEFAULT PRIVILEGES GRANT ALL ON SCHEMAS TO anon;";

/// A database with a version of the extension.
fn with_version(test: &str, version: &str, schema: &str) -> Database {
    let db = Database::bare(test);
    db.connect().run(&format!(
        "{GENEROUS} CREATE SCHEMA IF NOT EXISTS {schema}; CREATE EXTENSION pg_versioned SCHEMA {schema} VERSION '{version}';
         ALTER DATABASE {0} SET pg_versioned.save_rate = 0",
        db.name
    ));
    db
}

/// What create_version_on_success of 0.1.0 did: the library of today has to be asked for an update first.
fn succeed_as_released(session: &mut Session, project: Uuid, build: &str, result: Json) -> Answer<Version> {
    let sql = "
        WITH made AS (
            UPDATE versioned.project_build_metrics SET status = 'deployed', completed_at = clock_timestamp()
             WHERE project_id = $1 AND build_id = $2
            RETURNING version_id, framework
        ), sessions AS (
            UPDATE versioned.project_ai_time_sessions SET ended_at = clock_timestamp(), duration_ms = 0
             WHERE project_id = $1 AND build_id = $2 AND ended_at IS NULL
        ), project AS (
            UPDATE versioned.projects p
               SET build_status = 'deployed', current_version_id = made.version_id, snapshot_seq = snapshot_seq + 1,
                   last_build_completed = clock_timestamp(), updated_at = clock_timestamp()
              FROM made
             WHERE p.id = $1
            RETURNING p.snapshot_seq - 1 AS snapshot_seq
        )
        INSERT INTO versioned.project_versions
        SELECT v.*
          FROM made, project, jsonb_populate_record(NULL::versioned.project_versions, jsonb_build_object(
                   'project_id', $1, 'version_id', made.version_id, 'framework', made.framework, 'status', 'deployed',
                   'parent_version_id', (SELECT max(version_id) FROM versioned.project_versions WHERE project_id = $1),
                   'change_type', 'major', 'major_version', 1, 'minor_version', 0,
                   'patch_version', (SELECT count(*) FROM versioned.project_versions WHERE project_id = $1),
                   'snapshot_seq', project.snapshot_seq, 'needs_rebuild', false, 'auto_classified', false,
                   'is_published', false, 'change_type_defaulted', false, 'files_changed', 0, 'lines_added', 0,
                   'lines_removed', 0, 'created_at', clock_timestamp(), 'updated_at', clock_timestamp()) || $3) v
        RETURNING *";
    session.try_row(sql, &[&project, &build, &result]).map(Version::from)
}

const UPDATE: &str = "ALTER EXTENSION pg_versioned UPDATE";

#[track_caller]
fn is_as_if_fresh(updated: &mut Session, fresh: &mut Session) {
    let differences = differences(&catalogue(fresh), &catalogue(updated));
    assert!(
        differences.is_empty(),
        "Every change of sql/ must also be in the upgrade script. -: only a fresh installation has it, +: only an \
         updated one:\n{}",
        differences.join("\n")
    );
}

/// All rows as JSON: columns may be added by an update.
fn rows(admin: &mut Session) -> Vec<Json> {
    let tables: Vec<String> = admin.column(
        "SELECT oid::regclass::text FROM pg_class
          WHERE relnamespace = 'versioned'::regnamespace AND relkind = 'r' ORDER BY 1",
        &[],
    );
    tables
        .iter()
        .flat_map(|table| {
            admin.column::<Json>(
                &format!("SELECT jsonb_build_object('{table}', to_jsonb(t)) FROM {table} t ORDER BY 1"),
                &[],
            )
        })
        .collect()
}

#[test]
fn an_updated_database_is_like_a_fresh_one_and_goes_on() {
    for (n, version) in released().iter().enumerate() {
        let db = with_version(&format!("updated_{n}"), version, "versioned");
        let life = dump::populate_by(&db, succeed_as_released);
        let app = db.role("app", "");
        let grant = format!("SELECT versioned.grant_versioned_access('{app}')");
        let mut admin = db.connect();
        admin.run(&grant);
        // Sessions that have used it before the update go on after it.
        let mut editor = db.user(life.owner);
        editor.put(life.busy.project, "before", "one");
        let (before, files) = (rows(&mut admin), editor.list(life.busy.project));
        admin.run(UPDATE);

        let fresh = with_version(&format!("fresh_{n}"), PRESENT, "versioned");
        let mut admin_of_fresh = fresh.connect();
        admin_of_fresh.run(&grant);
        is_as_if_fresh(&mut admin, &mut admin_of_fresh);
        for (old, new) in before.iter().zip(rows(&mut admin)) {
            let kept: bool = admin.value("SELECT $2::jsonb @> $1::jsonb", &[old, &new]);
            assert!(kept, "{version}: {old} became {new}");
        }
        assert_eq!(editor.list(life.busy.project), files);
        assert_eq!(editor.put(life.busy.project, "before", "two"), 2);
        dump::goes_on(&db, &life);
        drop(fresh);
        db.connect().run(&format!("DROP OWNED BY {app}"));
    }
}

/// Snapshots of a released version are not listed. They are read and compared with later ones as if they were.
#[test]
fn snapshots_from_before_an_update_are_read_after_it() {
    for (n, version) in released().iter().enumerate() {
        let db = with_version(&format!("snapshots_{n}"), version, "versioned");
        let mut session = db.connect();
        let first = session.project(Uuid::new_v4());
        let project = first.project;
        let mut expected = Vec::new();
        let mut build = first.build;
        for n in 0..6 {
            if n == 3 {
                session.run(UPDATE);
                session.forget();
            }
            for path in ["always", &format!("only {n}")] {
                session.put(project, path, &format!("{n}\n"));
            }
            if n > 0 {
                session.rename(project, &format!("only {}", n - 1), &format!("moved {n}"), None).expect("moved");
            }
            if n > 1 {
                session.delete(project, &format!("moved {}", n - 1), None).expect("deleted");
            }
            let made = if n < 3 {
                succeed_as_released(&mut session, project, &build, json!({}))
            } else {
                session.succeed(project, &build, json!({}))
            };
            expected.push((made.expect("it succeeds").id, session.list(project)));
            build = session.start(project, false).expect("it starts").build;
        }
        for (id, files) in &expected {
            assert_eq!(session.snapshot(project, id), *files);
        }
        let listed: Vec<bool> = session.column(
            "SELECT snapshot_listed FROM versioned.project_versions WHERE project_id = $1 ORDER BY created_at",
            &[&project],
        );
        assert_eq!(listed, [false, false, false, true, true, true]);
        let changes = |session: &mut Session, from: &str, to: &str| -> Vec<String> {
            session.column(
                "SELECT concat_ws(' ', change, from_path, file_path)
                   FROM versioned.diff_project_versions($1, $2, $3)",
                &[&project, &from, &to],
            )
        };
        assert_eq!(
            changes(&mut session, &expected[1].0, &expected[4].0),
            ["modified always", "deleted moved 1", "added moved 4", "deleted only 1", "added only 4"]
        );
        invariants::hold(&mut session);
    }
}

#[test]
fn an_update_works_in_any_schema() {
    for (n, version) in released().iter().enumerate() {
        for (m, schema) in ["public", "\"Odd {s} é\""].iter().enumerate() {
            let db = with_version(&format!("anywhere_{n}_{m}"), version, schema);
            let fresh = with_version(&format!("fresh_anywhere_{n}_{m}"), PRESENT, schema);
            let mut admin = db.connect();
            admin.run(UPDATE);
            is_as_if_fresh(&mut admin, &mut fresh.connect());
        }
    }
}

#[test]
fn what_users_granted_and_revoked_stays() {
    const PRIVILEGES: &str = "SELECT object || ' ' || coalesce(acl::text, 'default')
         FROM (SELECT oid::regclass::text, relacl FROM pg_class WHERE relnamespace IN ('versioned'::regnamespace, 'versioned_internal'::regnamespace)
               UNION ALL SELECT oid::regprocedure::text, proacl FROM pg_proc WHERE pronamespace IN ('versioned'::regnamespace, 'versioned_internal'::regnamespace)
               UNION ALL SELECT nspname, nspacl FROM pg_namespace) o(object, acl) ORDER BY 1";
    for (n, version) in released().iter().enumerate() {
        let db = with_version(&format!("privileges_{n}"), version, "versioned");
        let (worker, reader) = (db.role("worker", ""), db.role("reader", ""));
        let mut admin = db.connect();
        admin.run(&format!(
            "REVOKE EXECUTE ON FUNCTION versioned.delete_project(uuid) FROM authenticated;
             REVOKE ALL ON versioned.project_members FROM service_role;
             GRANT USAGE ON SCHEMA versioned TO {worker}, {reader};
             GRANT EXECUTE ON FUNCTION versioned.generate_ulid() TO {worker} WITH GRANT OPTION;
             GRANT SELECT ON versioned.project_files, versioned_internal.file_contents TO {reader};
             GRANT SELECT (name) ON versioned.projects TO anon"
        ));
        let before: Vec<String> = admin.column(PRIVILEGES, &[]);
        admin.run(UPDATE);
        let after: BTreeSet<String> = admin.column(PRIVILEGES, &[]).into_iter().collect();
        let lost: Vec<&String> = before.iter().filter(|line| !after.contains(*line)).collect();
        assert!(lost.is_empty(), "{version}: {lost:?}");
        admin.run(&format!("DROP OWNED BY {worker}, {reader}"));
    }
}

/// Tells the others also when its thread fails.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Updates as later ones may be: columns are added while everybody saves.
#[test]
fn nothing_is_lost_while_it_is_updated() {
    const SAVERS: usize = 8;
    for (n, version) in released().iter().enumerate() {
        let db = with_version(&format!("busy_{n}"), version, "versioned");
        let mut admin = db.connect();
        let project = admin.project(Uuid::new_v4()).project;
        let is_done = AtomicBool::new(false);
        let mut all = sessions(SAVERS, || db.connect());
        all.push(db.connect());
        let saved = race(all, |n, session| {
            if n == SAVERS {
                let _done = SetOnDrop(&is_done);
                let mut watcher = db.connect();
                for column in ["one integer", "two text NOT NULL DEFAULT 'x'"] {
                    // In the order in which saves lock them.
                    session.run(&format!(
                        "BEGIN; {UPDATE};
                         ALTER TABLE versioned.projects ADD {column};
                         ALTER TABLE versioned.project_file_heads ADD {column};
                         ALTER TABLE versioned.project_file_versions ADD {column};"
                    ));
                    until("everybody waits", || {
                        let waiting: i64 = watcher.value(
                            "SELECT count(*) FROM pg_stat_activity
                              WHERE datname = current_database() AND wait_event_type = 'Lock'",
                            &[],
                        );
                        waiting == SAVERS as i64
                    });
                    session.run("COMMIT");
                }
                return 0;
            }
            let mut saves = 0;
            while !is_done.load(Ordering::SeqCst) || saves < 50 {
                let path = if saves % 2 == 0 { "shared".to_owned() } else { format!("own {n}") };
                match session.save(project, &path, &format!("{saves} of {n}"), None) {
                    Ok(_) => saves += 1,
                    Err(refusal) => assert!(["40001", "40P01"].contains(&&*refusal.code), "{refusal:?}"),
                }
            }
            saves
        });
        let versions: i64 = admin.value("SELECT count(*) FROM versioned.project_file_versions", &[]);
        assert_eq!(versions, saved.iter().sum::<i64>(), "{version}");
        let present: String = admin.value("SELECT extversion FROM pg_extension WHERE extname = 'pg_versioned'", &[]);
        assert_eq!(present, PRESENT);
        invariants::hold(&mut admin);
    }
}

/// An update that fails is as if it had not been tried, and one waits for a save that is not finished.
#[test]
fn an_update_is_all_or_nothing() {
    for (n, version) in released().iter().enumerate() {
        let db = with_version(&format!("undone_{n}"), version, "versioned");
        let (mut admin, mut saver) = (db.connect(), db.connect());
        let project = admin.project(Uuid::new_v4()).project;
        let before = catalogue(&mut admin);
        admin.run(&format!("BEGIN; {UPDATE}"));
        assert_eq!(admin.put(project, "a", "one"), 1);
        admin.run("ROLLBACK");
        assert!(differences(&before, &catalogue(&mut admin)).is_empty());
        assert_eq!(admin.put(project, "a", "two"), 1);

        saver.run("BEGIN");
        saver.put(project, "a", "three");
        std::thread::scope(|scope| {
            let (pid, mut watcher) = (admin.pid, db.connect());
            let update = scope
                .spawn(|| admin.try_run(&format!("BEGIN; {UPDATE}; LOCK TABLE versioned.project_file_heads; COMMIT")));
            until_waiting(&mut watcher, pid);
            saver.run("COMMIT");
            update.join().expect("no thread panics").expect("it is updated");
        });
        assert_eq!(saver.put(project, "a", "four"), 3);
    }
}

#[test]
fn a_dump_of_a_released_version_is_restored_into_the_present_one() {
    for (n, version) in released().iter().enumerate() {
        let db = with_version(&format!("old_dump_{n}"), version, "versioned");
        let life = dump::populate_by(&db, succeed_as_released);
        let file = dump::dumped(&db);
        let restored = Database::bare(&format!("from_old_{n}"));
        dump::restore(&file, &restored);
        fs::remove_file(file).expect("the dump can go");
        let present: String =
            restored.connect().value("SELECT extversion FROM pg_extension WHERE extname = 'pg_versioned'", &[]);
        assert_eq!(present, PRESENT);
        dump::goes_on(&restored, &life);
    }
}

/// C symbols that functions are declared with, and what they take and return.
fn symbols(version: &str, n: usize) -> BTreeMap<String, String> {
    let db = with_version(&format!("symbols_{n}"), version, "versioned");
    let declared = db.connect().rows(
        "SELECT p.prosrc, pg_get_function_identity_arguments(p.oid) || ' -> ' || pg_get_function_result(p.oid)
           FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang AND l.lanname = 'c'
          WHERE p.probin = '$libdir/pg_versioned'",
        &[],
    );
    declared.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// Names in the argument lists do not matter to the library, but clients call by them, so they are held as well.
#[test]
fn the_library_fits_every_released_version() {
    let mut known = symbols(PRESENT, 0);
    for (n, version) in released().iter().enumerate() {
        for (symbol, signature) in symbols(version, n + 1) {
            let present = known.entry(symbol.clone()).or_insert_with(|| signature.clone());
            assert_eq!(*present, signature, "{symbol} of {version}: a change gets a new symbol");
        }
    }
    let config = program("pg_config").arg("--pkglibdir").output().expect("pg_config runs");
    let folder = PathBuf::from(String::from_utf8(config.stdout).expect("a path").trim());
    let library = fs::read(folder.join("pg_versioned.so")).expect("the library is installed");
    let exported: BTreeSet<String> = object::File::parse(&*library)
        .expect("a library")
        .dynamic_symbols()
        .filter(ObjectSymbol::is_definition)
        .filter_map(|symbol| Some(symbol.name().ok()?.strip_prefix("pg_finfo_")?.to_owned()))
        .collect();
    assert_eq!(known.into_keys().collect::<BTreeSet<_>>(), exported, "declared in sql/, and exported by the library");
}

/// An upgrade script that exists as long as this value, from the present version to one that only tests know.
struct Script {
    file: PathBuf,
    version: String,
}

impl Script {
    /// `None` if the folder of extensions cannot be written to.
    fn new(test: &str, sql: &str) -> Option<Script> {
        let config = program("pg_config").arg("--sharedir").output().expect("pg_config runs");
        let folder = PathBuf::from(String::from_utf8(config.stdout).expect("a path").trim()).join("extension");
        let version = format!("{test}.{}", std::process::id());
        let file = folder.join(format!("pg_versioned--{PRESENT}--{version}.sql"));
        match fs::write(&file, sql) {
            Ok(()) => Some(Script { file, version }),
            Err(problem) => {
                skipped(&format!("{} cannot be written: {problem}", file.display()));
                None
            }
        }
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.file);
    }
}

/// What the next release may do: new functions, tables and views.
const NEXT: &str = "
    SET LOCAL search_path = pg_catalog, pg_temp;
    DO $$
    BEGIN
        EXECUTE 'CREATE OR REPLACE VIEW versioned_internal.api WITH (security_invoker = true) AS '
            || rtrim(pg_get_viewdef('versioned_internal.api'), ';')
            || ' UNION ALL VALUES (''next_ulid'', ''EXECUTE''), (''next_view'', ''SELECT'')';
    END
    $$;
    CREATE TABLE @extschema@.next_table (id bigint GENERATED BY DEFAULT AS IDENTITY, note text);
    CREATE VIEW @extschema@.next_view WITH (security_invoker = true) AS SELECT * FROM @extschema@.next_table;
    CREATE FUNCTION @extschema@.next_ulid() RETURNS text LANGUAGE c AS 'MODULE_PATHNAME', 'generate_ulid_wrapper';
    CREATE FUNCTION @extschema@.next_trigger() RETURNS trigger LANGUAGE c
        AS 'MODULE_PATHNAME', 'refuse_history_rewrite_wrapper';
    ALTER TABLE @extschema@.projects ADD COLUMN next integer;
    SELECT pg_catalog.pg_extension_config_dump('@extschema@.next_table', '');
    SELECT versioned_internal.settle_privileges(
        ARRAY['@extschema@.next_ulid()', '@extschema@.next_trigger()']::regprocedure[],
        ARRAY['@extschema@.next_table', '@extschema@.next_view', '@extschema@.next_table_id_seq']::regclass[]);
";

/// Privileges of a role on what [`NEXT`] creates, and on an old function.
fn may(session: &mut Session, role: &str) -> Vec<bool> {
    session.value(
        "SELECT ARRAY[has_function_privilege($1, 'versioned.next_ulid()', 'EXECUTE'),
                      has_table_privilege($1, 'versioned.next_view', 'SELECT'),
                      has_function_privilege($1, 'versioned.next_trigger()', 'EXECUTE'),
                      has_table_privilege($1, 'versioned.next_table', 'SELECT'),
                      has_sequence_privilege($1, 'versioned.next_table_id_seq', 'USAGE'),
                      has_function_privilege($1, 'versioned.delete_project(uuid)', 'EXECUTE')]",
        &[&role],
    )
}

const NOTHING: [bool; 6] = [false; 6];
const NEW_API: [bool; 6] = [true, true, false, false, false, false];
const ALL_API: [bool; 6] = [true, true, false, false, false, true];

/// By another superuser than the extension's owner.
#[test]
fn what_an_update_creates_belongs_to_the_owner_and_to_whoever_has_the_api() {
    let Some(script) = Script::new("next", NEXT) else { return };
    let db = with_version("next", PRESENT, "versioned");
    let [app, worker, boss] = [("app", ""), ("worker", ""), ("boss", "LOGIN SUPERUSER")].map(|(n, o)| db.role(n, o));
    let mut admin = db.connect();
    admin.run(&format!(
        "SELECT versioned.grant_versioned_access('{app}');
         REVOKE EXECUTE ON FUNCTION versioned.delete_project(uuid) FROM {app};
         REVOKE ALL ON ALL TABLES IN SCHEMA versioned FROM service_role;
         REVOKE ALL ON ALL FUNCTIONS IN SCHEMA versioned FROM service_role;
         REVOKE USAGE ON SCHEMA versioned FROM service_role;
         GRANT USAGE ON SCHEMA versioned TO {worker};
         GRANT EXECUTE ON FUNCTION versioned.atomic_upsert_project_file(uuid, text, text, text, integer) TO {worker}"
    ));
    let mut other = db.login(&boss);
    other.run(&format!("{GENEROUS} ALTER EXTENSION pg_versioned UPDATE TO '{}'", script.version));
    let right = |session: &mut Session| {
        for (role, due) in [
            (&*app, NEW_API),
            ("authenticated", ALL_API),
            ("service_role", NOTHING),
            ("anon", NOTHING),
            (&worker, NOTHING),
        ] {
            assert_eq!(may(session, role), due, "{role}");
        }
        let usage: Vec<bool> = session.column(
            "SELECT has_schema_privilege(r, 'versioned', 'USAGE') FROM unnest($1::text[]) WITH ORDINALITY u(r, n) ORDER BY n",
            &[&vec!["authenticated", "service_role", &*app, &*worker]],
        );
        assert_eq!(usage, [true, false, true, true]);
    };
    right(&mut admin);
    let strangers: Vec<String> = admin.column(
        "SELECT member FROM versioned_internal.member_privileges
          WHERE owner <> (SELECT extowner FROM pg_extension WHERE extname = 'pg_versioned')",
        &[],
    );
    assert_eq!(strangers, [] as [String; 0]);

    // So it stays when the database is dumped and restored.
    let file = dump::dumped(&db);
    let text = fs::read_to_string(&file).expect("a dump");
    let create = "CREATE EXTENSION IF NOT EXISTS pg_versioned WITH SCHEMA versioned;";
    assert!(text.contains(create));
    // Later, that version would be the default.
    let later = format!("CREATE EXTENSION pg_versioned WITH SCHEMA versioned VERSION '{}';", script.version);
    fs::write(&file, text.replace(create, &later)).expect("a dump");
    let restored = Database::bare("next_restored");
    dump::restore(&file, &restored);
    fs::remove_file(file).expect("the dump can go");
    right(&mut restored.connect());

    // And roles can be dropped.
    drop(other);
    for session in [&mut admin, &mut restored.connect()] {
        session.run(&format!("DROP OWNED BY {app}, {worker}, {boss}"));
    }
    admin.run(&format!("DROP ROLE {app}; DROP ROLE {worker}; DROP ROLE {boss}"));
    let refusal = refused(admin.try_run("SELECT versioned_internal.settle_privileges('{now()}', '{}')"), "P0001");
    assert!(refusal.message.contains("of pg_versioned"), "{refusal:?}");
}

/// As on a server without the usual web roles: they are renamed for the length of a transaction.
#[test]
fn a_server_without_web_roles_is_updated() {
    let Some(script) = Script::new("plain", NEXT) else { return };
    let db = Database::bare("plain");
    let app = db.role("app", "");
    let mut admin = db.connect();
    admin.run(&format!(
        "BEGIN;
         ALTER ROLE authenticated RENAME TO {app}_authenticated;
         ALTER ROLE service_role RENAME TO {app}_service_role;
         CREATE SCHEMA versioned;
         CREATE EXTENSION pg_versioned SCHEMA versioned;
         SELECT versioned.grant_versioned_access('{app}');
         ALTER EXTENSION pg_versioned UPDATE TO '{}'",
        script.version
    ));
    assert_eq!(may(&mut admin, &app), ALL_API);
    assert_eq!(may(&mut admin, "anon"), NOTHING);
    let initial: i64 = admin.value(
        "SELECT count(*) FROM pg_init_privs i, aclexplode(initprivs) a
          WHERE i.privtype = 'e' AND a.grantee <> 'postgres'::regrole AND a.grantee <> 0
            AND objoid IN (SELECT objid FROM versioned_internal.member_privileges UNION SELECT 'versioned'::regnamespace)",
        &[],
    );
    assert_eq!(initial, 0);
    admin.run(&format!("DROP OWNED BY {app}; DROP ROLE {app}; ROLLBACK"));
}

/// What others were granted on the extension's schema is not taken for the extension's work.
#[test]
fn privileges_on_the_schema_stay_the_users_own() {
    for (n, schema) in ["versioned", "public"].into_iter().enumerate() {
        let db = Database::bare(&format!("schema_{n}"));
        let [app, temp] = ["app", "temp"].map(|name| db.role(name, ""));
        let mut admin = db.connect();
        admin.run(&format!(
            "CREATE SCHEMA IF NOT EXISTS versioned;
             GRANT USAGE, CREATE ON SCHEMA {schema} TO {app}; GRANT CREATE ON SCHEMA {schema} TO {temp};
             CREATE EXTENSION pg_versioned SCHEMA {schema};
             REVOKE ALL ON SCHEMA {schema} FROM {temp}"
        ));
        admin.run(&format!("DROP ROLE {temp}"));
        let output = program("pg_dump").args(["--schema-only", &db.name]).output().expect("pg_dump runs");
        let dump = String::from_utf8(output.stdout).expect("UTF-8");
        assert!(dump.contains(&format!("GRANT ALL ON SCHEMA {schema} TO {app};")), "{dump}");
        assert!(!dump.contains("REVOKE"), "{dump}");
        admin.run(&format!("DROP OWNED BY {app}; DROP ROLE {app}"));
    }
}
