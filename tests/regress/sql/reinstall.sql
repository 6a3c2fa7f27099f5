--
-- REINSTALL
--
-- DROP EXTENSION takes everything with it. What a session had prepared does not get in the way of a new
-- extension, wherever that is.
--
SELECT project_id AS old FROM create_complete_project('5e1f0000-0000-4000-8000-000000000001') \gset
SELECT version FROM atomic_upsert_project_file(:'old', 'a.txt', 'old', 'text');
SELECT content FROM get_project_file(:'old', 'a.txt');
PREPARE save(uuid, text) AS SELECT version FROM atomic_upsert_project_file($1, 'a.txt', $2, 'text');
EXECUTE save(:'old', 'prepared');

DROP EXTENSION pg_versioned;
SELECT count(*) AS left_behind
  FROM (SELECT relname AS name FROM pg_class WHERE relname LIKE 'project%'
        UNION ALL
        SELECT proname FROM pg_proc WHERE probin LIKE '%pg\_versioned%' OR proname = 'grant_versioned_access') objects;

-- In another schema, of a strange name, in the same session.
CREATE SCHEMA "Odd Name; 1";
CREATE EXTENSION pg_versioned SCHEMA "Odd Name; 1";
SET search_path = "Odd Name; 1", public;
SELECT count(*) FROM projects;
SELECT project_id, build_id FROM create_complete_project('5e1f0000-0000-4000-8000-000000000001') \gset
SELECT version FROM atomic_upsert_project_file(:'project_id', 'a.txt', 'one', 'text');
SELECT version FROM atomic_upsert_project_file(:'project_id', 'a.txt', 'two', 'text', 1);
SELECT file_path, version FROM move_project_file(:'project_id', 'a.txt', 'b.txt');
SELECT major_version FROM create_version_on_success(:'project_id', :'build_id');
SELECT version FROM delete_project_file(:'project_id', 'b.txt');
SELECT file_path, content FROM get_project_version_files(:'project_id', (SELECT current_version_id FROM projects));
SELECT version, is_deleted FROM get_project_file_history(:'project_id', 'b.txt');
-- A prepared statement follows.
EXECUTE save(:'project_id', 'prepared');

-- Users have their rights there, and nobody else has.
SET ROLE authenticated;
SET request.jwt.claims = '{"sub": "5e1f0000-0000-4000-8000-000000000001"}';
SELECT content FROM project_files WHERE is_current_version;
SELECT version FROM atomic_upsert_project_file(:'project_id', 'a.txt', 'three', 'text');
RESET request.jwt.claims;
SELECT count(*) FROM project_files;
RESET ROLE;
SELECT has_schema_privilege('anon', current_schema(), 'USAGE') AS anon_schema,
       has_table_privilege('anon', 'projects', 'SELECT') AS anon_table,
       has_function_privilege('anon', 'atomic_upsert_project_file(uuid, text, text, text, integer)', 'EXECUTE') AS anon_function;

-- Without the schema in the search path it is called by its full name, and works just the same.
SET search_path = pg_catalog;
SELECT version FROM "Odd Name; 1".atomic_upsert_project_file(:'project_id', 'a.txt', 'four', 'text');
SELECT version, content FROM "Odd Name; 1".project_files WHERE project_id = :'project_id' AND is_current_version;
-- Nor can a table of the caller's take the place of the extension's.
SET search_path = pg_temp, "Odd Name; 1", public;
CREATE TEMP TABLE projects (id uuid, owner_id uuid, snapshot_seq integer);
CREATE TEMP TABLE project_file_heads (project_id uuid, file_path text);
SELECT version FROM atomic_upsert_project_file(:'project_id', 'a.txt', 'five', 'text');
SELECT content FROM get_project_file(:'project_id', 'a.txt');
SELECT count(*) FROM pg_temp.project_file_heads;
DROP TABLE pg_temp.projects, pg_temp.project_file_heads;
SET search_path = "Odd Name; 1", public;

-- Its schema goes with it.
DROP SCHEMA "Odd Name; 1" CASCADE;
SELECT count(*) FROM pg_extension WHERE extname = 'pg_versioned';

-- Back where it was, and empty.
\getenv schema VERSIONED_SCHEMA
RESET search_path;
CREATE EXTENSION pg_versioned SCHEMA :"schema";
SELECT count(*) FROM projects;
SELECT project_id FROM create_complete_project('5e1f0000-0000-4000-8000-000000000001') \gset
EXECUTE save(:'project_id', 'back again');
SELECT content FROM get_project_file(:'project_id', 'a.txt');
SELECT delete_project(:'project_id');
