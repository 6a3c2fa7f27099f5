-- Who may see what: row level security for reading. Writing goes only through the functions, which check rights
-- themselves.

CREATE FUNCTION @extschema@.current_actor() RETURNS uuid
    LANGUAGE c STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'current_actor_wrapper';
COMMENT ON FUNCTION @extschema@.current_actor() IS
    'The user on whose behalf the session acts: sub of the JWT claims where those count, else pg_versioned.actor_id; NULL when nobody is signed in.';

CREATE FUNCTION versioned_internal.can_read_project(p_project_id uuid) RETURNS boolean
    LANGUAGE c STABLE PARALLEL RESTRICTED COST 100
    AS 'MODULE_PATHNAME', 'can_read_project_wrapper';
COMMENT ON FUNCTION versioned_internal.can_read_project(uuid) IS
    'Whether the current actor is a member of a project, in any role. Used by the row level security policies.';

CREATE FUNCTION versioned_internal.readable_project_ids() RETURNS uuid[]
    LANGUAGE c STABLE PARALLEL RESTRICTED COST 1000
    AS 'MODULE_PATHNAME', 'readable_project_ids_wrapper';
COMMENT ON FUNCTION versioned_internal.readable_project_ids() IS
    'All projects the current actor is a member of; lets a listing of projects use the primary key.';

ALTER TABLE @extschema@.projects ENABLE ROW LEVEL SECURITY;
CREATE POLICY members_read ON @extschema@.projects FOR SELECT
    USING (id = ANY ((SELECT versioned_internal.readable_project_ids())::uuid[]));

ALTER TABLE @extschema@.project_members ENABLE ROW LEVEL SECURITY;
CREATE POLICY members_read ON @extschema@.project_members FOR SELECT
    USING (versioned_internal.can_read_project(project_id));

ALTER TABLE @extschema@.project_build_metrics ENABLE ROW LEVEL SECURITY;
CREATE POLICY members_read ON @extschema@.project_build_metrics FOR SELECT
    USING (versioned_internal.can_read_project(project_id));

ALTER TABLE @extschema@.project_ai_time_sessions ENABLE ROW LEVEL SECURITY;
CREATE POLICY members_read ON @extschema@.project_ai_time_sessions FOR SELECT
    USING (versioned_internal.can_read_project(project_id));

ALTER TABLE @extschema@.project_versions ENABLE ROW LEVEL SECURITY;
CREATE POLICY members_read ON @extschema@.project_versions FOR SELECT
    USING (versioned_internal.can_read_project(project_id));

ALTER TABLE @extschema@.project_file_heads ENABLE ROW LEVEL SECURITY;
CREATE POLICY members_read ON @extschema@.project_file_heads FOR SELECT
    USING (versioned_internal.can_read_project(project_id));

ALTER TABLE @extschema@.project_file_versions ENABLE ROW LEVEL SECURITY;
CREATE POLICY members_read ON @extschema@.project_file_versions FOR SELECT
    USING (versioned_internal.can_read_project(project_id));

-- Granted to nobody, but its owner may be subject to policies, too.
ALTER TABLE @extschema@.project_file_snapshots ENABLE ROW LEVEL SECURITY;
CREATE POLICY members_read ON @extschema@.project_file_snapshots FOR SELECT
    USING (versioned_internal.can_read_project(project_id));

-- No policies: only the extension's owner can read them.
ALTER TABLE @extschema@.project_idempotency_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE @extschema@.rate_limits ENABLE ROW LEVEL SECURITY;
ALTER TABLE @extschema@.imported_files ENABLE ROW LEVEL SECURITY;
ALTER TABLE @extschema@.imported_versions ENABLE ROW LEVEL SECURITY;
ALTER TABLE @extschema@.recorded_migrations ENABLE ROW LEVEL SECURITY;

-- Without these, pg_dump would omit all data.
SELECT pg_catalog.pg_extension_config_dump('@extschema@.projects', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.project_members', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.project_idempotency_keys', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.project_build_metrics', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.project_build_metrics_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.project_ai_time_sessions', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.project_versions', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.project_file_heads', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.project_file_versions', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.project_file_snapshots', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.imported_files', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.imported_versions', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.recorded_migrations', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.recorded_migrations_position_seq', '');
