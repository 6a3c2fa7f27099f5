--
-- ACCESS
--
-- A web gateway such as PostgREST logs in as authenticator, changes to anon, authenticated or service_role,
-- and puts the claims of the caller's JWT into request.jwt.claims. This session does the same.
--
\set owner    5e1f0000-0000-4000-8000-00000000000a
\set editor   5e1f0000-0000-4000-8000-00000000000e
\set viewer   5e1f0000-0000-4000-8000-000000000007
\set stranger 5e1f0000-0000-4000-8000-0000000000ff
\set project  acce5500-0000-4000-8000-000000000001
-- Another user's project, of which none of them may see anything, and one that does not exist.
\set other    acce5500-0000-4000-8000-000000000002
\set none     acce5500-0000-4000-8000-000000000003
INSERT INTO projects (id, owner_id, name, framework)
VALUES (:'project', :'owner', 'Access', 'react'), (:'other', '5e1f0000-0000-4000-8000-0000000000dd', 'Other', 'react');
SELECT version FROM atomic_upsert_project_file(:'other', 'secret.txt', 'secret', 'text');
SELECT major_version FROM start_project_build(:'other') b, create_version_on_success(:'other', b.build_id);

-- A gateway needs the schema to be usable by anon, too, which sees nothing in it all the same.
\getenv schema VERSIONED_SCHEMA
GRANT USAGE ON SCHEMA :"schema" TO anon;

SET SESSION AUTHORIZATION authenticator;

--
-- The owner
--
-- Does everything, from saving to managing members, and is recorded as the author.
SET ROLE authenticated;
SET request.jwt.claims = '{"sub": "5e1f0000-0000-4000-8000-00000000000a"}';
SELECT current_actor() = :'owner' AS owner, versioned_internal.can_read_project(:'project'), versioned_internal.can_read_project(:'other'), versioned_internal.readable_project_ids() = ARRAY[:'project']::uuid[] AS projects;
SELECT version, created_by = :'owner' AS author, last_modified_by = :'owner' AS modified FROM atomic_upsert_project_file(:'project', 'a.txt', 'one', 'text', 0);
SELECT version FROM atomic_upsert_project_file(:'project', 'a.txt', 'two', 'text', 1);
SELECT version FROM move_project_file(:'project', 'a.txt', 'b.txt');
SELECT version FROM delete_project_file(:'project', 'b.txt');
SELECT version FROM atomic_upsert_project_file(:'project', 'a.txt', 'three', 'text');
SELECT role FROM add_project_member(:'project', :'editor', 'editor');
SELECT role FROM add_project_member(:'project', :'viewer', 'viewer');
SELECT build_id AS first_build FROM start_project_build(:'project', 'Go') \gset
SELECT start_ai_time_tracking(:'project', :'first_build') AS first_session \gset
SELECT stop_ai_time_tracking(:'project', :'first_session') >= 0 AS stopped;
SELECT version_id AS version, user_id = :'owner' AS author FROM create_version_on_success(:'project', :'first_build') \gset
SELECT :'author' AS author;
SELECT user_id = :'owner' AS author, operation FROM project_ai_time_sessions WHERE project_id = :'project' AND session_id = :'first_session';
SELECT user_id = :'owner' AS author, status FROM project_build_metrics WHERE project_id = :'project';
-- A user's own project: p_user_id is the caller by default, and cannot be anybody else.
SELECT project_id AS own, created FROM create_complete_project(p_name => 'Mine') \gset
SELECT owner_id = :'owner' AS owner, name FROM projects WHERE id = :'own';
SELECT created FROM create_complete_project(:'owner', p_name => 'Mine too');
SELECT created FROM create_complete_project(:'stranger', p_name => 'Not mine');
\echo :SQLSTATE
SELECT count(*), bool_and(delete_project(id)) AS deleted FROM projects WHERE name LIKE 'Mine%';

--
-- Who may do what
--
-- Every function, called with somebody's rights; the function below undoes each call.
RESET ROLE;
RESET SESSION AUTHORIZATION;
RESET request.jwt.claims;
SELECT build_id AS build, ai_session_id AS session FROM start_project_build(:'project', 'Again') \gset
CREATE FUNCTION pg_temp.try(sql text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    BEGIN
        EXECUTE sql;
        RAISE EXCEPTION USING ERRCODE = 'ZZZZZ';
    EXCEPTION
        WHEN SQLSTATE 'ZZZZZ' THEN RETURN 'yes';
        WHEN OTHERS THEN RETURN SQLSTATE || ' ' || SQLERRM;
    END;
END
$$;
CREATE TEMP TABLE call AS
SELECT function COLLATE "C" AS function, sql FROM (VALUES
    ('get_project_file', 'get_project_file(%L, ''a.txt'')'),
    ('get_project_file_history', 'get_project_file_history(%L, ''a.txt'')'),
    ('get_current_project_files', 'get_current_project_files(%L)'),
    ('get_project_version_files', format('get_project_version_files(%%L, %L)', :'version')),
    ('atomic_upsert_project_file', 'atomic_upsert_project_file(%L, ''a.txt'', ''tried'', ''text'')'),
    ('move_project_file', 'move_project_file(%L, ''a.txt'', ''c.txt'')'),
    ('delete_project_file', 'delete_project_file(%L, ''a.txt'')'),
    ('start_project_build', 'start_project_build(%L, p_supersede => true)'),
    ('create_version_on_success', format('create_version_on_success(%%L, %L)', :'build')),
    ('fail_project_build', format('fail_project_build(%%L, %L)', :'build')),
    ('start_ai_time_tracking', format('start_ai_time_tracking(%%L, %L)', :'build')),
    ('stop_ai_time_tracking', format('stop_ai_time_tracking(%%L, %L)', :'session')),
    ('add_project_member', 'add_project_member(%L, ''5e1f0000-0000-4000-8000-0000000000ee'', ''viewer'')'),
    ('remove_project_member', 'remove_project_member(%L, ''5e1f0000-0000-4000-8000-0000000000ee'')'),
    ('update_project_config', 'update_project_config(%L, ''{"k": 1}'')'),
    ('get_project_state', 'get_project_state(%L)'),
    ('delete_project', 'delete_project(%L)')) AS t (function, sql);
GRANT SELECT ON call TO PUBLIC;
-- And every table and the view: how many of its rows they see.
CREATE FUNCTION pg_temp.count(name text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    n bigint;
BEGIN
    EXECUTE format('SELECT count(*) FROM %I', name) INTO n;
    RETURN n;
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END
$$;
CREATE TEMP TABLE relation AS
SELECT unnest('{project_ai_time,project_ai_time_sessions,project_build_metrics,project_build_summary,project_file_heads,
                project_file_versions,project_files,project_idempotency_keys,project_members,project_versions,projects}'::text[]) COLLATE "C" AS name;
GRANT SELECT ON relation TO PUBLIC;
SET SESSION AUTHORIZATION authenticator;
SET ROLE authenticated;

-- The owner.
SET request.jwt.claims = '{"sub": "5e1f0000-0000-4000-8000-00000000000a"}';
SELECT function, pg_temp.try('SELECT ' || format(sql, :'project')) AS owner FROM call ORDER BY function;
SELECT name, pg_temp.count(name) AS owner_sees FROM relation ORDER BY name;

-- The editor: no members, no deletion of the project.
SET request.jwt.claims = '{"sub": "5e1f0000-0000-4000-8000-00000000000e"}';
SELECT function, pg_temp.try('SELECT ' || format(sql, :'project')) AS editor FROM call ORDER BY function;
SELECT name, pg_temp.count(name) AS editor_sees FROM relation ORDER BY name;

-- The viewer: reading only.
SET request.jwt.claims = '{"sub": "5e1f0000-0000-4000-8000-000000000007"}';
SELECT function, pg_temp.try('SELECT ' || format(sql, :'project')) AS viewer FROM call ORDER BY function;
SELECT name, pg_temp.count(name) AS viewer_sees FROM relation ORDER BY name;

-- A stranger: the project might as well not be there,
SET request.jwt.claims = '{"sub": "5e1f0000-0000-4000-8000-0000000000ff"}';
SELECT function, pg_temp.try('SELECT ' || format(sql, :'project')) AS stranger FROM call ORDER BY function;
SELECT name, pg_temp.count(name) AS stranger_sees FROM relation ORDER BY name;
-- and one that does not exist gets the same answer except for its id.
SELECT function AS differs
  FROM call
 WHERE pg_temp.try('SELECT ' || format(sql, :'project')) <> replace(pg_temp.try('SELECT ' || format(sql, :'none')), :'none', :'project')
 ORDER BY function;
-- Arguments that would be wrong anyway are refused alike, and say nothing either.
SELECT pg_temp.try(format('SELECT atomic_upsert_project_file(%L, %L, %L, %L, 99)', :'project', 'a.txt', 'x', 'text'))
       = replace(pg_temp.try(format('SELECT atomic_upsert_project_file(%L, %L, %L, %L, 99)', :'none', 'a.txt', 'x', 'text')), :'none', :'project') AS same,
       pg_temp.try(format('SELECT move_project_file(%L, %L, %L)', :'project', 'never.txt', 'a.txt'))
       = replace(pg_temp.try(format('SELECT move_project_file(%L, %L, %L)', :'none', 'never.txt', 'a.txt')), :'none', :'project') AS same,
       pg_temp.try(format('SELECT fail_project_build(%L, %L)', :'project', 'x')) = replace(pg_temp.try(format('SELECT fail_project_build(%L, %L)', :'none', 'x')), :'none', :'project') AS same;
-- Nor do the functions that policies use.
SELECT versioned_internal.can_read_project(:'project'), versioned_internal.can_read_project(:'none'), versioned_internal.can_read_project(NULL), cardinality(versioned_internal.readable_project_ids()) AS projects;

-- Nobody: authenticated, but without a user.
RESET request.jwt.claims;
SELECT function, pg_temp.try('SELECT ' || format(sql, :'project')) AS nobody FROM call ORDER BY function;
SELECT pg_temp.try('SELECT create_complete_project()') AS create_complete_project;
SELECT pg_temp.try(format('SELECT create_complete_project(%L)', :'owner')) AS create_complete_project;
SELECT name, pg_temp.count(name) AS nobody_sees FROM relation ORDER BY name;
SELECT current_actor() IS NULL AS nobody, versioned_internal.can_read_project(:'project'), cardinality(versioned_internal.readable_project_ids()) AS projects;
-- It says how to sign in.
SELECT version FROM get_project_file(:'project', 'a.txt');
\echo :SQLSTATE

-- anon may not even call, whatever claims it has.
SET ROLE anon;
SELECT function, pg_temp.try('SELECT ' || format(sql, :'project')) AS anon FROM call ORDER BY function;
SELECT pg_temp.try('SELECT create_complete_project()') AS create_complete_project;
SELECT pg_temp.try('SELECT generate_ulid()') AS generate_ulid;
SELECT name, pg_temp.count(name) AS anon_sees FROM relation ORDER BY name;

-- service_role, which bypasses row level security, is privileged: every project, on behalf of everybody.
SET ROLE service_role;
SELECT function, pg_temp.try('SELECT ' || format(sql, :'project')) AS service_role FROM call ORDER BY function;
SELECT pg_temp.try(format('SELECT create_complete_project(%L)', :'stranger')) AS for_anybody;
SELECT name, pg_temp.count(name) AS service_role_sees FROM relation ORDER BY name;
-- Without a user it records no author; with one, that user.
BEGIN;
SELECT created_by FROM atomic_upsert_project_file(:'project', 'a.txt', 'by a worker', 'text');
SET LOCAL request.jwt.claims = '{"sub": "5e1f0000-0000-4000-8000-0000000000ff"}';
SELECT created_by = :'stranger' AS on_behalf FROM atomic_upsert_project_file(:'project', 'a.txt', 'by a worker for somebody', 'text');
ROLLBACK;

-- A superuser likewise.
RESET SESSION AUTHORIZATION;
BEGIN;
SELECT created_by FROM atomic_upsert_project_file(:'project', 'a.txt', 'by an operator', 'text');
SET LOCAL request.jwt.claims = '{"sub": "5e1f0000-0000-4000-8000-0000000000ff"}';
SELECT created_by = :'stranger' AS on_behalf FROM atomic_upsert_project_file(:'project', 'a.txt', 'by an operator for somebody', 'text');
SELECT created FROM create_complete_project(:'owner', p_name => 'For somebody else again');
ROLLBACK;

--
-- Rights change at once
--
SET SESSION AUTHORIZATION authenticator;
SET ROLE authenticated;
SET request.jwt.claims = '{"sub": "5e1f0000-0000-4000-8000-00000000000a"}';
SELECT role FROM add_project_member(:'project', :'editor', 'viewer');
SET request.jwt.claims = '{"sub": "5e1f0000-0000-4000-8000-00000000000e"}';
SELECT version FROM atomic_upsert_project_file(:'project', 'a.txt', 'no more', 'text');
\echo :SQLSTATE
SELECT count(*) FROM project_files;
SET request.jwt.claims = '{"sub": "5e1f0000-0000-4000-8000-00000000000a"}';
SELECT remove_project_member(:'project', :'editor');
SET request.jwt.claims = '{"sub": "5e1f0000-0000-4000-8000-00000000000e"}';
SELECT version FROM get_project_file(:'project', 'a.txt');
\echo :SQLSTATE
SELECT count(*) FROM project_files;
-- A second owner manages members, too, but not the project's owner.
SET request.jwt.claims = '{"sub": "5e1f0000-0000-4000-8000-00000000000a"}';
SELECT role FROM add_project_member(:'project', :'editor', 'owner');
SET request.jwt.claims = '{"sub": "5e1f0000-0000-4000-8000-00000000000e"}';
SELECT role FROM add_project_member(:'project', :'stranger', 'viewer');
SELECT remove_project_member(:'project', :'stranger');
SELECT remove_project_member(:'project', :'owner');
\echo :SQLSTATE
-- A member who was removed has no rights any more.
SELECT remove_project_member(:'project', :'editor');
SELECT version FROM get_project_file(:'project', 'a.txt');
\echo :SQLSTATE

--
-- Plain SQL reads; only the functions write
--
SET request.jwt.claims = '{"sub": "5e1f0000-0000-4000-8000-00000000000a"}';
SELECT file_path, version, content FROM project_files WHERE is_current_version;
SELECT name, role FROM projects p JOIN project_members m ON m.project_id = p.id ORDER BY role COLLATE "C", user_id;
INSERT INTO projects (id, owner_id, name, framework) VALUES (gen_random_uuid(), :'owner', 'By hand', 'react');
\echo :SQLSTATE
UPDATE projects SET owner_id = :'owner';
\echo :SQLSTATE
INSERT INTO project_members VALUES (:'other', :'owner', 'owner');
\echo :SQLSTATE
UPDATE project_file_heads SET version = version + 1;
\echo :SQLSTATE
UPDATE project_file_versions SET file_type = 'other';
\echo :SQLSTATE
DELETE FROM project_file_versions;
\echo :SQLSTATE
TRUNCATE project_file_versions;
\echo :SQLSTATE
UPDATE project_versions SET major_version = 9;
\echo :SQLSTATE
DELETE FROM project_build_metrics;
\echo :SQLSTATE
DELETE FROM project_ai_time_sessions;
\echo :SQLSTATE
SELECT * FROM project_idempotency_keys;
\echo :SQLSTATE
SELECT nextval('project_build_metrics_id_seq');
\echo :SQLSTATE
SELECT grant_versioned_access('anon');
\echo :SQLSTATE
-- BYPASSRLS reads everything, but gives no right to write either.
SET ROLE service_role;
DELETE FROM projects;
\echo :SQLSTATE
TRUNCATE project_file_versions CASCADE;
\echo :SQLSTATE

--
-- Code that runs as somebody else
--
-- A call is privileged only if both the role that runs the code and the one chosen by SET ROLE are. So a
-- SECURITY DEFINER function of a superuser does not make its callers omnipotent,
RESET SESSION AUTHORIZATION;
RESET request.jwt.claims;
CREATE FUNCTION pg_temp.save_as_superuser(project uuid) RETURNS text LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    RETURN (SELECT format('saved for %s', coalesce(created_by::text, 'nobody'))
              FROM atomic_upsert_project_file(project, 'definer.txt', clock_timestamp()::text, 'text'));
END
$$;
SET SESSION AUTHORIZATION authenticator;
SET ROLE authenticated;
SELECT pg_temp.try(format('SELECT pg_temp.save_as_superuser(%L)', :'project')) AS nobody;
SET request.jwt.claims = '{"sub": "5e1f0000-0000-4000-8000-0000000000ff"}';
SELECT pg_temp.try(format('SELECT pg_temp.save_as_superuser(%L)', :'project')) AS stranger;
-- but it works for those who may: their identity goes with them.
SET request.jwt.claims = '{"sub": "5e1f0000-0000-4000-8000-00000000000a"}';
SELECT pg_temp.save_as_superuser(:'project');
RESET SESSION AUTHORIZATION;
RESET request.jwt.claims;
-- And a superuser who happens to run somebody else's code lends it nothing: neither rights nor identity.
CREATE FUNCTION pg_temp.save_as_user(project uuid) RETURNS text LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    RETURN (SELECT version FROM atomic_upsert_project_file(project, 'trap.txt', 'caught', 'text'));
END
$$;
ALTER FUNCTION pg_temp.save_as_user(uuid) OWNER TO authenticated;
SELECT pg_temp.try(format('SELECT pg_temp.save_as_user(%L)', :'project')) AS superuser;
SET request.jwt.claims = '{"sub": "5e1f0000-0000-4000-8000-00000000000a"}';
SELECT pg_temp.try(format('SELECT pg_temp.save_as_user(%L)', :'project')) AS with_the_owners_claims;
RESET request.jwt.claims;

REVOKE USAGE ON SCHEMA :"schema" FROM anon;
SELECT bool_and(delete_project(id)) AS deleted FROM projects;
