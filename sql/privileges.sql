-- Who may call, read and write what.

-- What roles with access may do, by the names of schemas, tables, views and functions. What is not here is the owner's.
CREATE VIEW versioned_internal.api WITH (security_invoker = true) AS
SELECT a.name, a.privileges
  FROM (VALUES
    ('versioned_internal', 'USAGE'),
    ('project_files', 'SELECT, INSERT, UPDATE, DELETE'),
    ('projects', 'SELECT'),
    ('project_members', 'SELECT'),
    ('project_build_metrics', 'SELECT'),
    ('project_ai_time_sessions', 'SELECT'),
    ('project_versions', 'SELECT'),
    ('project_file_heads', 'SELECT'),
    ('project_file_versions', 'SELECT'),
    ('project_storage', 'SELECT'),
    ('file_operation_metrics', 'SELECT'),
    ('project_build_summary', 'SELECT'),
    ('project_ai_time', 'SELECT'),
    ('file_contents', 'SELECT'),
    ('generate_ulid', 'EXECUTE'),
    ('ulid_to_timestamp', 'EXECUTE'),
    ('ulid_to_uuid', 'EXECUTE'),
    ('uuid_to_ulid', 'EXECUTE'),
    ('is_ulid', 'EXECUTE'),
    ('owner_lock_key', 'EXECUTE'),
    ('project_lock_key', 'EXECUTE'),
    ('file_lock_key', 'EXECUTE'),
    ('create_complete_project', 'EXECUTE'),
    ('add_project_member', 'EXECUTE'),
    ('remove_project_member', 'EXECUTE'),
    ('delete_project', 'EXECUTE'),
    ('update_project_config', 'EXECUTE'),
    ('get_project_state', 'EXECUTE'),
    ('start_project_build', 'EXECUTE'),
    ('fail_project_build', 'EXECUTE'),
    ('cut_project_build', 'EXECUTE'),
    ('get_project_build_files', 'EXECUTE'),
    ('start_ai_time_tracking', 'EXECUTE'),
    ('stop_ai_time_tracking', 'EXECUTE'),
    ('create_version_on_success', 'EXECUTE'),
    ('update_version_metadata', 'EXECUTE'),
    ('publish_project_version', 'EXECUTE'),
    ('unpublish_project_version', 'EXECUTE'),
    ('delete_project_version', 'EXECUTE'),
    ('undelete_project_version', 'EXECUTE'),
    ('get_project_version_history', 'EXECUTE'),
    ('get_project_version_files', 'EXECUTE'),
    ('diff_project_versions', 'EXECUTE'),
    ('restore_project_version', 'EXECUTE'),
    ('get_project_fast_export', 'EXECUTE'),
    ('atomic_upsert_project_file', 'EXECUTE'),
    ('upsert_project_file', 'EXECUTE'),
    ('atomic_upsert_project_files', 'EXECUTE'),
    ('delete_project_file', 'EXECUTE'),
    ('move_project_file', 'EXECUTE'),
    ('revert_project_file', 'EXECUTE'),
    ('merge_project_file', 'EXECUTE'),
    ('get_current_project_files', 'EXECUTE'),
    ('get_project_file', 'EXECUTE'),
    ('get_project_file_history', 'EXECUTE'),
    ('diff_project_file', 'EXECUTE'),
    ('get_project_changes', 'EXECUTE'),
    ('check_project_integrity', 'EXECUTE'),
    ('prune_project_history', 'EXECUTE'),
    ('current_actor', 'EXECUTE'),
    ('can_read_project', 'EXECUTE'),
    ('readable_project_ids', 'EXECUTE'),
    ('stored_content', 'EXECUTE')
  ) AS a (name, privileges);
COMMENT ON VIEW versioned_internal.api IS
    'The privileges that grant_versioned_access grants, one row per object.';

CREATE VIEW versioned_internal.member_privileges WITH (security_invoker = true) AS
SELECT m.classid, m.objid, m.member, m.owner, m.acl, a.privileges AS api_privileges
  FROM (SELECT d.classid,
               d.objid,
               CASE WHEN n.oid IS NOT NULL THEN 'SCHEMA ' || pg_catalog.quote_ident(n.nspname)
                    WHEN p.oid IS NOT NULL THEN 'ROUTINE ' || d.objid::pg_catalog.regprocedure::text
                    WHEN c.relkind = 'S' THEN 'SEQUENCE ' || d.objid::pg_catalog.regclass::text
                    ELSE 'TABLE ' || d.objid::pg_catalog.regclass::text
               END AS member,
               COALESCE(c.relowner, p.proowner, n.nspowner) AS owner,
               COALESCE(c.relacl, p.proacl, n.nspacl,
                        CASE WHEN p.oid IS NOT NULL THEN pg_catalog.acldefault('f', p.proowner) END) AS acl,
               COALESCE(c.relname, p.proname, n.nspname)::text AS name,
               COALESCE(c.relnamespace, p.pronamespace, n.oid) IN (
                   x.extnamespace, 'versioned_internal'::pg_catalog.regnamespace) AS is_own
          FROM pg_catalog.pg_depend d
          JOIN pg_catalog.pg_extension x ON x.oid = d.refobjid AND x.extname = 'pg_versioned'
          LEFT JOIN pg_catalog.pg_class c
            ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND c.oid = d.objid
          LEFT JOIN pg_catalog.pg_proc p
            ON d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND p.oid = d.objid
          LEFT JOIN pg_catalog.pg_namespace n
            ON d.classid = 'pg_catalog.pg_namespace'::pg_catalog.regclass AND n.oid = d.objid
         WHERE d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
           AND d.deptype = 'e'
           AND (c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') OR p.oid IS NOT NULL OR n.oid IS NOT NULL)) m
  LEFT JOIN versioned_internal.api a ON a.name = m.name AND m.is_own;
COMMENT ON VIEW versioned_internal.member_privileges IS
    'The objects of the extension as GRANT and REVOKE name them, their privileges, and what grant_versioned_access grants (NULL: nothing).';

CREATE FUNCTION versioned_internal.grant_privileges(p_member text, p_privileges text, p_roles oid[]) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    v_role oid;
BEGIN
    FOREACH v_role IN ARRAY p_roles LOOP
        EXECUTE format('GRANT %s ON %s TO %s', p_privileges, p_member,
                       CASE v_role WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(v_role)) END);
    END LOOP;
END
$$;
COMMENT ON FUNCTION versioned_internal.grant_privileges(text, text, oid[]) IS
    'Grants privileges on an object, named as in member_privileges, to roles (0: PUBLIC). For install and upgrade scripts.';

CREATE FUNCTION versioned_internal.revoke_privileges(p_member text, p_roles oid[]) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    v_role oid;
BEGIN
    FOREACH v_role IN ARRAY p_roles LOOP
        EXECUTE format('REVOKE ALL ON %s FROM %s', p_member,
                       CASE v_role WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(v_role)) END);
    END LOOP;
END
$$;
COMMENT ON FUNCTION versioned_internal.revoke_privileges(text, oid[]) IS
    'Revokes all privileges on an object, named as in member_privileges, from roles (0: PUBLIC). For install and upgrade scripts.';

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
    PERFORM versioned_internal.grant_privileges('SCHEMA ' || extnamespace::regnamespace::text, 'USAGE', ARRAY[v_role])
       FROM pg_extension WHERE extname = 'pg_versioned';
    PERFORM versioned_internal.grant_privileges(member, api_privileges, ARRAY[v_role])
       FROM versioned_internal.member_privileges WHERE api_privileges IS NOT NULL;
END
$$;
COMMENT ON FUNCTION @extschema@.grant_versioned_access(name) IS
    'Lets a role read (under row level security), call the functions and write to project_files. For the owner of the extension. 22023 if there is no such role.';

-- The initial privileges of an object are those that CREATE EXTENSION or an update has granted. pg_dump takes it that the
-- extension grants them again wherever it is created, and writes out only what is different.
CREATE FUNCTION versioned_internal.set_initial_privileges(p_catalog regclass, p_object oid, p_acl aclitem[])
    RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    IF p_acl IS NULL THEN
        DELETE FROM pg_init_privs WHERE classoid = p_catalog AND objoid = p_object AND objsubid = 0;
    ELSE
        UPDATE pg_init_privs SET initprivs = p_acl
         WHERE classoid = p_catalog AND objoid = p_object AND objsubid = 0;
    END IF;
    -- From Postgres 17 on, roles that are among them cannot be dropped.
    DELETE FROM pg_shdepend d
     WHERE d.deptype = 'i'
       AND d.dbid = (SELECT b.oid FROM pg_database b WHERE b.datname = current_database())
       AND d.classid = p_catalog AND d.objid = p_object AND d.objsubid = 0
       AND NOT EXISTS (SELECT FROM aclexplode(p_acl) a WHERE d.refobjid IN (a.grantee, a.grantor));
END
$$;
COMMENT ON FUNCTION versioned_internal.set_initial_privileges(regclass, oid, aclitem[]) IS
    'Replaces the initial privileges of an object that has some (NULL: none). For install and upgrade scripts.';

CREATE FUNCTION versioned_internal.settle_privileges(p_functions regprocedure[], p_relations regclass[]) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    v_owner   oid := (SELECT extowner FROM pg_extension WHERE extname = 'pg_versioned');
    v_usual   oid[] := ARRAY(SELECT oid FROM pg_roles WHERE rolname IN ('authenticated', 'service_role'));
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
        SELECT a.grantee FROM versioned_internal.member_privileges m, aclexplode(m.acl) a
         WHERE m.classid = 'pg_proc'::regclass AND m.api_privileges IS NOT NULL AND a.grantee <> m.owner
           AND (SELECT p.proname FROM pg_proc p WHERE p.oid = m.objid) = 'atomic_upsert_project_file'
        INTERSECT
        SELECT a.grantee FROM versioned_internal.member_privileges m, aclexplode(m.acl) a
         WHERE m.classid = 'pg_class'::regclass AND m.api_privileges IS NOT NULL AND a.privilege_type = 'SELECT'
           AND (SELECT c.relname FROM pg_class c WHERE c.oid = m.objid) = 'project_files');

    FOR v_member IN
        SELECT m.*, ARRAY(SELECT DISTINCT a.grantee FROM aclexplode(m.acl) a WHERE a.grantee <> m.owner) AS others
          FROM (SELECT 'pg_proc'::regclass AS catalog, unnest(p_functions)::oid AS object
                UNION ALL
                SELECT 'pg_class', unnest(p_relations)) o
          LEFT JOIN versioned_internal.member_privileges m ON m.classid = o.catalog AND m.objid = o.object
    LOOP
        IF v_member.member IS NULL THEN
            RAISE EXCEPTION 'only functions, tables, views and sequences of pg_versioned have privileges to settle';
        END IF;
        PERFORM versioned_internal.revoke_privileges(v_member.member, v_member.others);
        CONTINUE WHEN v_member.api_privileges IS NULL;
        -- First as CREATE EXTENSION would have it, for pg_dump.
        PERFORM versioned_internal.grant_privileges(v_member.member, v_member.api_privileges, v_usual);
        v_initial := (SELECT initprivs FROM pg_init_privs
                       WHERE classoid = v_member.classid AND objoid = v_member.objid AND objsubid = 0);
        PERFORM versioned_internal.revoke_privileges(v_member.member, v_usual);
        PERFORM versioned_internal.grant_privileges(v_member.member, v_member.api_privileges, v_roles);
        PERFORM versioned_internal.set_initial_privileges(v_member.classid, v_member.objid, v_initial);
    END LOOP;
END
$$;
COMMENT ON FUNCTION versioned_internal.settle_privileges(regprocedure[], regclass[]) IS
    'For upgrade scripts, about the functions, tables, views and sequences that they create: gives them to the extension''s owner, revokes what default privileges have granted, and grants the API (see the view api) to every role that has it, that is, every role that has been granted EXECUTE on atomic_upsert_project_file and SELECT on project_files.';

-- After everything has been created: default privileges of the database may have granted privileges on it to any role.
SELECT versioned_internal.revoke_privileges(
           member, ARRAY(SELECT DISTINCT a.grantee FROM pg_catalog.aclexplode(acl) a WHERE a.grantee <> owner))
  FROM versioned_internal.member_privileges;

DO $$
DECLARE
    v_schema  oid;
    v_owner   oid;
    v_initial aclitem[];
BEGIN
    SELECT n.oid, n.nspowner, i.initprivs INTO STRICT v_schema, v_owner, v_initial
      FROM pg_catalog.pg_extension x
      JOIN pg_catalog.pg_namespace n ON n.oid = x.extnamespace
      LEFT JOIN pg_catalog.pg_init_privs i
        ON i.classoid = 'pg_catalog.pg_namespace'::pg_catalog.regclass AND i.objoid = n.oid AND i.objsubid = 0
     WHERE x.extname = 'pg_versioned';
    PERFORM @extschema@.grant_versioned_access(r.rolname)
       FROM pg_catalog.pg_roles r WHERE r.rolname IN ('authenticated', 'service_role');
    -- The schema is the user's. Only these two privileges on it are the extension's work.
    v_initial := COALESCE(v_initial, pg_catalog.acldefault('n', v_owner) OPERATOR(pg_catalog.||) ARRAY(
        SELECT pg_catalog.makeaclitem(r.oid, v_owner, 'USAGE', false)
          FROM pg_catalog.pg_roles r WHERE r.rolname IN ('authenticated', 'service_role')));
    PERFORM versioned_internal.set_initial_privileges('pg_catalog.pg_namespace', v_schema, v_initial);
END
$$;
