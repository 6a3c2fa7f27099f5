//! What the catalogue says of the extension, to compare installations that came about in different ways.

use std::collections::BTreeSet;

use crate::support::{Database, Session};

/// Columns, types, defaults, constraints, indexes, functions with their attributes, views, triggers, policies, grants,
/// comments, what is dumped: one line per fact.
pub fn catalogue(admin: &mut Session) -> BTreeSet<String> {
    admin.run("SET search_path = pg_catalog");
    let facts = admin.column(include_str!("catalogue.sql"), &[]).into_iter().collect();
    admin.run("RESET search_path");
    facts
}

/// Lines that only one of them has: `-` the first, `+` the second.
pub fn differences(first: &BTreeSet<String>, second: &BTreeSet<String>) -> Vec<String> {
    let only = |sign, of: &BTreeSet<String>, other| -> Vec<String> {
        of.difference(other).map(|line| format!("{sign} {line}")).collect()
    };
    [only('-', first, second), only('+', second, first)].concat()
}

/// Statements each of which makes a difference, and the words by which it is told.
const DIFFERENCES: &[(&str, &str)] = &[
    ("COMMENT ON TABLE versioned.projects IS NULL", "comment | table versioned.projects"),
    ("COMMENT ON COLUMN versioned.projects.snapshot_seq IS 'x'", "comment | column snapshot_seq of table"),
    ("COMMENT ON FUNCTION versioned.generate_ulid() IS NULL", "comment | function versioned.generate_ulid()"),
    ("COMMENT ON SCHEMA versioned_internal IS NULL", "comment | schema versioned_internal"),
    ("COMMENT ON EXTENSION pg_versioned IS 'x'", "comment | extension pg_versioned"),
    ("GRANT EXECUTE ON FUNCTION versioned.generate_ulid() TO anon", "EXECUTE to anon"),
    ("REVOKE EXECUTE ON FUNCTION versioned.generate_ulid() FROM authenticated", "EXECUTE to authenticated"),
    ("GRANT INSERT ON versioned.projects TO authenticated", "INSERT to authenticated"),
    ("GRANT SELECT (id) ON versioned.projects TO anon", "{anon=r/"),
    ("GRANT USAGE ON SCHEMA versioned_internal TO PUBLIC", "USAGE to PUBLIC"),
    ("GRANT SELECT ON SEQUENCE versioned.project_build_metrics_id_seq TO anon", "SELECT to anon"),
    ("DELETE FROM pg_init_privs WHERE objoid = 'versioned.projects'::regclass", "initial grant | table versioned.projects"),
    ("ALTER TABLE versioned.projects ALTER name SET DEFAULT 'x'", "default 'x'::text"),
    ("ALTER TABLE versioned.projects ALTER name DROP NOT NULL", "column | versioned.projects.name"),
    ("ALTER TABLE versioned.projects ALTER framework TYPE varchar", "character varying"),
    ("ALTER TABLE versioned.projects ALTER name SET STORAGE EXTERNAL", "storage e"),
    ("ALTER TABLE versioned.projects ADD extra integer", "versioned.projects.extra"),
    ("ALTER TABLE versioned.projects ADD CHECK (name <> 'x')", "constraint | versioned.projects.projects_name_check"),
    (
        "ALTER TABLE versioned.projects RENAME CONSTRAINT projects_build_status_check TO x",
        "constraint | versioned.projects.x",
    ),
    ("CREATE INDEX more ON versioned.projects (name)", "index | versioned.more"),
    ("DROP INDEX versioned.projects_owner_id", "index | versioned.projects_owner_id"),
    ("ALTER INDEX versioned.projects_owner_id SET (fillfactor = 50)", "fillfactor='50'"),
    ("ALTER TABLE versioned.projects SET (fillfactor = 71)", "fillfactor=71"),
    ("ALTER TABLE versioned.projects SET (toast.autovacuum_enabled = false)", "toast {autovacuum_enabled=false}"),
    ("ALTER TABLE versioned.projects ALTER name SET STATISTICS 7", "statistics 7"),
    ("ALTER TABLE versioned.project_members DISABLE TRIGGER ALL", "internal triggers | versioned.project_members"),
    ("CREATE TABLE public.child () INHERITS (versioned.projects)", "children 1"),
    (
        "UPDATE pg_extension SET extowner = 'service_role'::regrole WHERE extname = 'pg_versioned'",
        "extension | pg_versioned | ",
    ),
    (
        "UPDATE pg_init_privs SET initprivs = initprivs || '{=U/postgres}'::aclitem[] WHERE objoid = 'versioned'::regnamespace",
        "initial grant | schema versioned | USAGE to PUBLIC",
    ),
    ("ALTER TABLE versioned.projects DISABLE ROW LEVEL SECURITY", "relation | versioned.projects"),
    ("ALTER TABLE versioned.projects REPLICA IDENTITY FULL", "relation | versioned.projects"),
    ("ALTER TABLE versioned.projects OWNER TO service_role", "r p service_role"),
    ("CREATE POLICY more ON versioned.projects FOR SELECT USING (true)", "policy | more"),
    ("ALTER POLICY members_read ON versioned.projects USING (false)", "policy | members_read on versioned.projects"),
    ("ALTER TABLE versioned.project_file_versions DISABLE TRIGGER stamp_file_change", "trigger | stamp_file_change"),
    ("DROP TRIGGER refuse_history_rewrite ON versioned.project_file_heads", "trigger | refuse_history_rewrite"),
    ("CREATE RULE more AS ON INSERT TO versioned.projects DO ALSO NOTHING", "rule | more"),
    ("CREATE STATISTICS versioned.more ON id, name FROM versioned.projects", "statistics | more"),
    ("ALTER SEQUENCE versioned.project_build_metrics_id_seq INCREMENT 2", "sequence | versioned"),
    ("ALTER FUNCTION versioned.generate_ulid() COST 7", "COST 7"),
    ("ALTER FUNCTION versioned.generate_ulid() PARALLEL SAFE", "PARALLEL SAFE"),
    ("ALTER FUNCTION versioned.generate_ulid() STABLE", "STABLE"),
    ("ALTER FUNCTION versioned.get_current_project_files(uuid) ROWS 7", "ROWS 7"),
    ("ALTER FUNCTION versioned.generate_ulid() SET search_path = ''", "SET search_path"),
    (
        "CREATE OR REPLACE FUNCTION versioned.grant_versioned_access(p_role name) RETURNS void LANGUAGE plpgsql AS 'BEGIN END'",
        "function | versioned.grant_versioned_access",
    ),
    (
        "CREATE OR REPLACE FUNCTION versioned.delete_project(p_project_id uuid DEFAULT NULL) RETURNS boolean
             LANGUAGE c PARALLEL UNSAFE COST 100 AS '$libdir/pg_versioned', 'delete_project_wrapper'",
        "DEFAULT NULL",
    ),
    (
        "DO $$ BEGIN EXECUTE 'CREATE OR REPLACE VIEW versioned.project_storage WITH (security_invoker = true) AS '
             || rtrim(pg_get_viewdef('versioned.project_storage'), ';') || ' LIMIT 1'; END $$",
        "view | versioned.project_storage",
    ),
    ("ALTER VIEW versioned.project_files RESET (security_invoker)", "relation | versioned.project_files"),
    ("ALTER VIEW versioned.project_files ALTER file_type DROP DEFAULT", "column | versioned.project_files.file_type"),
    (
        "UPDATE pg_extension SET extcondition[array_position(extconfig, 'versioned.projects'::regclass::oid)] = 'WHERE false'
          WHERE extname = 'pg_versioned'",
        "dumped | versioned.projects",
    ),
    ("ALTER EXTENSION pg_versioned DROP VIEW versioned.versioning_locks", "member | view versioned.versioning_locks"),
    ("CREATE TABLE versioned.t (); ALTER EXTENSION pg_versioned ADD TABLE versioned.t", "member | table versioned.t"),
];

#[test]
fn every_kind_of_difference_is_seen() {
    let db = Database::new("differences");
    let mut admin = db.connect();
    let before = catalogue(&mut admin);
    assert!(differences(&before, &catalogue(&mut admin)).is_empty());
    for (change, words) in DIFFERENCES {
        admin.run(&format!("BEGIN; {change}"));
        let seen = differences(&before, &catalogue(&mut admin));
        admin.run("ROLLBACK");
        assert!(seen.iter().any(|line| line.contains(words)), "{change}: {seen:#?}");
    }
}
