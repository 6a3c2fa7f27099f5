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

-- No policies: only the extension's owner can read them.
ALTER TABLE @extschema@.project_idempotency_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE @extschema@.rate_limits ENABLE ROW LEVEL SECURITY;

-- Which privileges the API's roles have on each object.
CREATE VIEW versioned_internal.member_privileges WITH (security_invoker = true) AS
SELECT d.classid,
       d.objid,
       CASE WHEN n.oid IS NOT NULL THEN 'SCHEMA ' || pg_catalog.quote_ident(n.nspname)
            WHEN p.oid IS NOT NULL THEN 'FUNCTION ' || d.objid::pg_catalog.regprocedure::text
            WHEN c.relkind = 'S' THEN 'SEQUENCE ' || d.objid::pg_catalog.regclass::text
            ELSE 'TABLE ' || d.objid::pg_catalog.regclass::text
       END AS member,
       COALESCE(c.relowner, p.proowner, n.nspowner) AS owner,
       COALESCE(c.relacl, p.proacl, n.nspacl,
                CASE WHEN p.oid IS NOT NULL THEN pg_catalog.acldefault('f', p.proowner) END) AS acl,
       CASE WHEN n.oid IS NOT NULL THEN 'USAGE'
            WHEN p.prorettype <> 'pg_catalog.trigger'::pg_catalog.regtype
             AND p.proname NOT IN ('grant_versioned_access', 'grant_privileges', 'strip_privileges',
                                   'settle_privileges') THEN 'EXECUTE'
            WHEN c.relname = 'project_files' THEN 'SELECT, INSERT, UPDATE, DELETE'
            WHEN c.relname IN ('projects', 'project_members', 'project_build_metrics', 'project_ai_time_sessions',
                               'project_versions', 'project_file_heads', 'project_file_versions', 'project_storage',
                               'file_operation_metrics', 'file_contents') THEN 'SELECT'
       END AS api_privileges
  FROM pg_catalog.pg_depend d
  JOIN pg_catalog.pg_extension x ON x.oid = d.refobjid AND x.extname = 'pg_versioned'
  LEFT JOIN pg_catalog.pg_class c ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND c.oid = d.objid
  LEFT JOIN pg_catalog.pg_proc p ON d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND p.oid = d.objid
  LEFT JOIN pg_catalog.pg_namespace n ON d.classid = 'pg_catalog.pg_namespace'::pg_catalog.regclass AND n.oid = d.objid
 WHERE d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
   AND d.deptype = 'e'
   AND (c.relkind IN ('r', 'p', 'v', 'S') OR p.oid IS NOT NULL OR n.oid IS NOT NULL);
COMMENT ON VIEW versioned_internal.member_privileges IS
    'The extension''s schemas, tables, views, sequences and functions as GRANT and REVOKE name them, and the privileges that grant_versioned_access grants (NULL: none).';

CREATE FUNCTION versioned_internal.grant_privileges(p_member text, p_privileges text, p_role oid) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    EXECUTE format('GRANT %s ON %s TO %s', p_privileges, p_member,
                   CASE p_role WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(p_role)) END);
END
$$;
COMMENT ON FUNCTION versioned_internal.grant_privileges(text, text, oid) IS
    'Grants privileges on an object to a role (0: PUBLIC). For install and upgrade scripts.';

CREATE FUNCTION @extschema@.grant_versioned_access(p_role name) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    v_role oid := (SELECT oid FROM pg_roles WHERE rolname = p_role);
BEGIN
    IF p_role IS NULL THEN
        RAISE EXCEPTION 'p_role must not be null' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF v_role IS NULL THEN
        RAISE EXCEPTION 'role "%" does not exist', p_role USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- The schema is looked up, not substituted: ALTER SCHEMA, ... RENAME must not break this.
    EXECUTE format('GRANT USAGE ON SCHEMA %s TO %I',
                   (SELECT extnamespace::regnamespace FROM pg_extension WHERE extname = 'pg_versioned'), p_role);
    PERFORM versioned_internal.grant_privileges(member, api_privileges, v_role)
       FROM versioned_internal.member_privileges WHERE api_privileges IS NOT NULL;
END
$$;
COMMENT ON FUNCTION @extschema@.grant_versioned_access(name) IS
    'Lets a role read (under row level security), call the functions and write to project_files. For the owner of the extension. 22023 if there is no such role.';

CREATE FUNCTION versioned_internal.strip_privileges(p_member text, p_owner oid, p_acl aclitem[]) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    v_grantee oid;
BEGIN
    FOR v_grantee IN SELECT DISTINCT grantee FROM aclexplode(p_acl) WHERE grantee <> p_owner
    LOOP
        EXECUTE format('REVOKE ALL ON %s FROM %s', p_member,
                       CASE v_grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(v_grantee)) END);
    END LOOP;
END
$$;
COMMENT ON FUNCTION versioned_internal.strip_privileges(text, oid, aclitem[]) IS
    'Revokes all privileges on an object from everybody but its owner; takes columns of member_privileges. For install and upgrade scripts.';

CREATE FUNCTION versioned_internal.settle_privileges(p_functions regprocedure[], p_relations regclass[]) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    v_owner   oid := (SELECT extowner FROM pg_extension WHERE extname = 'pg_versioned');
    v_roles   oid[];
    v_member  record;
    v_initial aclitem[];
BEGIN
    -- Functions act as their owner, so whoever upgrades does not become one. Sequences follow their tables.
    FOR v_member IN
        SELECT member FROM versioned_internal.member_privileges
         WHERE owner <> v_owner AND member NOT LIKE 'SEQUENCE %'
           AND (classid = 'pg_proc'::regclass AND objid = ANY (p_functions)
                OR classid = 'pg_class'::regclass AND objid = ANY (p_relations))
    LOOP
        EXECUTE format('ALTER %s OWNER TO %I', v_member.member, pg_get_userbyid(v_owner));
    END LOOP;

    -- Whoever uses the API has both of these.
    v_roles := ARRAY(
        SELECT a.grantee
          FROM versioned_internal.member_privileges m
          JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid, aclexplode(m.acl) a
         WHERE p.proname = 'atomic_upsert_project_file' AND a.grantee <> m.owner
        INTERSECT
        SELECT a.grantee
          FROM versioned_internal.member_privileges m
          JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid, aclexplode(m.acl) a
         WHERE c.relname = 'project_files' AND a.privilege_type = 'SELECT');

    FOR v_member IN
        SELECT * FROM versioned_internal.member_privileges
         WHERE classid = 'pg_proc'::regclass AND objid = ANY (p_functions)
            OR classid = 'pg_class'::regclass AND objid = ANY (p_relations)
    LOOP
        PERFORM versioned_internal.strip_privileges(v_member.member, v_member.owner, v_member.acl);
        CONTINUE WHEN v_member.api_privileges IS NULL;
        PERFORM versioned_internal.grant_privileges(v_member.member, v_member.api_privileges, r)
           FROM unnest(v_roles) r WHERE pg_get_userbyid(r) IN ('authenticated', 'service_role');
        -- pg_dump omits the privileges that a script has granted, because CREATE EXTENSION will grant them again. It
        -- will grant none to other roles, so theirs must not count as granted here.
        v_initial := (SELECT initprivs FROM pg_init_privs
                       WHERE classoid = v_member.classid AND objoid = v_member.objid AND objsubid = 0);
        PERFORM versioned_internal.grant_privileges(v_member.member, v_member.api_privileges, r)
           FROM unnest(v_roles) r WHERE pg_get_userbyid(r) NOT IN ('authenticated', 'service_role');
        UPDATE pg_init_privs SET initprivs = v_initial
         WHERE classoid = v_member.classid AND objoid = v_member.objid AND objsubid = 0;
    END LOOP;
END
$$;
COMMENT ON FUNCTION versioned_internal.settle_privileges(regprocedure[], regclass[]) IS
    'For upgrade scripts, about the functions, tables and views that they create: gives them to the extension''s owner, revokes what default privileges have granted, and grants the API to every role that has it, that is, every role that has been granted EXECUTE on atomic_upsert_project_file and SELECT on project_files.';

-- After everything has been created: default privileges of the database may have granted privileges on it to any role.
SELECT versioned_internal.strip_privileges(member, owner, acl) FROM versioned_internal.member_privileges;
SELECT @extschema@.grant_versioned_access(rolname)
  FROM pg_catalog.pg_roles WHERE rolname IN ('authenticated', 'service_role');

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
