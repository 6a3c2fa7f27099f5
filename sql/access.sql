-- Who may see what: row level security for reading. Writing goes only through the functions, which check rights
-- themselves.

CREATE FUNCTION @extschema@.current_actor() RETURNS uuid
    LANGUAGE c STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'current_actor_wrapper';
COMMENT ON FUNCTION @extschema@.current_actor() IS
    'The user on whose behalf the session acts: sub of the JWT claims where those count, else pg_versioned.actor_id; NULL when nobody is signed in.';

CREATE FUNCTION @extschema@.can_read_project(p_project_id uuid) RETURNS boolean
    LANGUAGE c STABLE PARALLEL RESTRICTED COST 100
    AS 'MODULE_PATHNAME', 'can_read_project_wrapper';
COMMENT ON FUNCTION @extschema@.can_read_project(uuid) IS
    'Whether the current actor is a member of a project, in any role. Used by the row level security policies.';

CREATE FUNCTION @extschema@.readable_project_ids() RETURNS uuid[]
    LANGUAGE c STABLE PARALLEL RESTRICTED COST 1000
    AS 'MODULE_PATHNAME', 'readable_project_ids_wrapper';
COMMENT ON FUNCTION @extschema@.readable_project_ids() IS
    'All projects the current actor is a member of; lets a listing of projects use the primary key.';

ALTER TABLE @extschema@.projects ENABLE ROW LEVEL SECURITY;
CREATE POLICY members_read ON @extschema@.projects FOR SELECT
    USING (id = ANY ((SELECT @extschema@.readable_project_ids())::uuid[]));

ALTER TABLE @extschema@.project_members ENABLE ROW LEVEL SECURITY;
CREATE POLICY members_read ON @extschema@.project_members FOR SELECT
    USING (@extschema@.can_read_project(project_id));

ALTER TABLE @extschema@.project_build_metrics ENABLE ROW LEVEL SECURITY;
CREATE POLICY members_read ON @extschema@.project_build_metrics FOR SELECT
    USING (@extschema@.can_read_project(project_id));

ALTER TABLE @extschema@.project_ai_time_sessions ENABLE ROW LEVEL SECURITY;
CREATE POLICY members_read ON @extschema@.project_ai_time_sessions FOR SELECT
    USING (@extschema@.can_read_project(project_id));

ALTER TABLE @extschema@.project_versions ENABLE ROW LEVEL SECURITY;
CREATE POLICY members_read ON @extschema@.project_versions FOR SELECT
    USING (@extschema@.can_read_project(project_id));

ALTER TABLE @extschema@.project_file_heads ENABLE ROW LEVEL SECURITY;
CREATE POLICY members_read ON @extschema@.project_file_heads FOR SELECT
    USING (@extschema@.can_read_project(project_id));

ALTER TABLE @extschema@.project_file_versions ENABLE ROW LEVEL SECURITY;
CREATE POLICY members_read ON @extschema@.project_file_versions FOR SELECT
    USING (@extschema@.can_read_project(project_id));

-- No policies: only the extension's owner can read them.
ALTER TABLE @extschema@.project_idempotency_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE @extschema@.rate_limits ENABLE ROW LEVEL SECURITY;

CREATE FUNCTION @extschema@.grant_versioned_access(p_role name) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    -- The schema is looked up, not substituted: ALTER SCHEMA, ... RENAME must not break this.
    v_schema   name;
    v_function regprocedure;
BEGIN
    IF p_role IS NULL THEN
        RAISE EXCEPTION 'p_role must not be null' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = p_role) THEN
        RAISE EXCEPTION 'role "%" does not exist', p_role USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT n.nspname INTO STRICT v_schema
      FROM pg_extension x JOIN pg_namespace n ON n.oid = x.extnamespace
     WHERE x.extname = 'pg_versioned';

    EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', v_schema, p_role);
    EXECUTE format('GRANT SELECT ON %1$I.projects, %1$I.project_members, %1$I.project_build_metrics,'
                   ' %1$I.project_ai_time_sessions, %1$I.project_versions, %1$I.project_file_heads,'
                   ' %1$I.project_file_versions, %1$I.project_files, %1$I.project_storage,'
                   ' %1$I.file_operation_metrics TO %2$I', v_schema, p_role);
    EXECUTE format('GRANT INSERT, UPDATE, DELETE ON %I.project_files TO %I', v_schema, p_role);
    EXECUTE format('GRANT USAGE ON SCHEMA versioned_internal TO %I', p_role);
    EXECUTE format('GRANT SELECT ON versioned_internal.file_contents TO %I', p_role);
    FOR v_function IN
        SELECT d.objid
          FROM pg_depend d
          JOIN pg_extension x ON x.oid = d.refobjid AND x.extname = 'pg_versioned'
          JOIN pg_proc p ON p.oid = d.objid
         WHERE d.classid = 'pg_proc'::regclass
           AND d.refclassid = 'pg_extension'::regclass
           AND d.deptype = 'e'
           AND p.proname <> 'grant_versioned_access' AND p.prorettype <> 'trigger'::regtype
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', v_function, p_role);
    END LOOP;
END
$$;
COMMENT ON FUNCTION @extschema@.grant_versioned_access(name) IS
    'Lets a role read (under row level security), call the functions and write to project_files. For the owner of the extension. 22023 if there is no such role.';

-- After everything has been created: default privileges of the database may have granted privileges on it to any role.
DO $$
DECLARE
    v_member record;
BEGIN
    FOR v_member IN
        SELECT CASE WHEN n.oid IS NOT NULL THEN 'SCHEMA ' || pg_catalog.quote_ident(n.nspname)
                    WHEN p.oid IS NOT NULL THEN 'FUNCTION ' || d.objid::pg_catalog.regprocedure::text
                    WHEN c.relkind = 'S' THEN 'SEQUENCE ' || d.objid::pg_catalog.regclass::text
                    ELSE 'TABLE ' || d.objid::pg_catalog.regclass::text
               END AS object,
               CASE a.grantee WHEN 0 THEN 'PUBLIC'
                    ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END AS grantee
          FROM (SELECT e.classid, e.objid
                  FROM pg_catalog.pg_depend e
                  JOIN pg_catalog.pg_extension x
                    ON x.oid = e.refobjid AND x.extname = 'pg_versioned'
                 WHERE e.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
                   AND e.deptype = 'e') d
          LEFT JOIN pg_catalog.pg_class c
            ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND c.oid = d.objid
          LEFT JOIN pg_catalog.pg_proc p
            ON d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND p.oid = d.objid
          LEFT JOIN pg_catalog.pg_namespace n
            ON d.classid = 'pg_catalog.pg_namespace'::pg_catalog.regclass AND n.oid = d.objid
         CROSS JOIN LATERAL pg_catalog.aclexplode(COALESCE(c.relacl, p.proacl, n.nspacl,
                   CASE WHEN p.oid IS NOT NULL THEN pg_catalog.acldefault('f', p.proowner) END)) a
         WHERE (c.relkind IN ('r', 'p', 'v', 'S') OR p.oid IS NOT NULL OR n.oid IS NOT NULL)
           AND a.grantee <> COALESCE(c.relowner, p.proowner, n.nspowner)
         GROUP BY 1, 2
    LOOP
        EXECUTE 'REVOKE ALL ON ' || v_member.object || ' FROM ' || v_member.grantee;
    END LOOP;
END
$$;

DO $$
DECLARE
    v_role name;
BEGIN
    FOR v_role IN
        SELECT rolname FROM pg_catalog.pg_roles WHERE rolname IN ('authenticated', 'service_role')
    LOOP
        PERFORM @extschema@.grant_versioned_access(v_role);
    END LOOP;
END
$$;

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
