--
-- GRANTS
--
-- CREATE EXTENSION gives authenticated and service_role what they need. grant_versioned_access gives the same
-- to any other role.
--
SET client_min_messages = warning;
DROP ROLE IF EXISTS "regress_versioned app";
RESET client_min_messages;
CREATE ROLE "regress_versioned app";
SELECT grant_versioned_access('regress_versioned app');
-- It reads under row level security and calls the functions, as a user with JWT claims does.
SET ROLE "regress_versioned app";
SELECT version FROM get_project_file('9a470000-0000-4000-8000-000000000001', 'a.txt');
\echo :SQLSTATE
SET request.jwt.claims = '{"sub": "5e1f0000-0000-4000-8000-000000000001"}';
SELECT project_id, created FROM create_complete_project(p_name => 'Granted') \gset
SELECT version FROM atomic_upsert_project_file(:'project_id', 'a.txt', 'one', 'text');
SELECT name FROM projects;
SELECT file_path, content FROM project_files;
SELECT length(generate_ulid());
RESET request.jwt.claims;
SELECT count(*) FROM projects;
-- No more than that: it cannot write tables, or pass its rights on.
DELETE FROM projects;
\echo :SQLSTATE
SELECT grant_versioned_access('anon');
\echo :SQLSTATE
RESET ROLE;

-- What it has is what authenticated has, function by function and table by table.
CREATE TEMP VIEW member AS
SELECT d.classid, d.objid
  FROM pg_depend d
  JOIN pg_extension x ON x.oid = d.refobjid AND x.extname = 'pg_versioned'
 WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e';
SELECT count(*) AS differences
  FROM (SELECT objid, privilege, has_table_privilege('authenticated', objid, privilege) AS reference,
               has_table_privilege('regress_versioned app', objid, privilege) AS granted
          FROM member JOIN pg_class c ON classid = 'pg_class'::regclass AND c.oid = objid AND c.relkind IN ('r', 'v'),
               unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[]) privilege
        UNION ALL
        SELECT objid, 'EXECUTE', has_function_privilege('authenticated', objid, 'EXECUTE'), has_function_privilege('regress_versioned app', objid, 'EXECUTE')
          FROM member WHERE classid = 'pg_proc'::regclass) p
 WHERE reference <> granted;

-- Doing it again does no harm.
SELECT grant_versioned_access(p_role => 'regress_versioned app');

-- Roles that do not exist. PUBLIC is not a role.
\set SHOW_CONTEXT never
SELECT grant_versioned_access('regress_versioned nobody');
\echo :SQLSTATE
SELECT grant_versioned_access('public');
\echo :SQLSTATE
SELECT grant_versioned_access('regress_versioned app"; DROP TABLE projects; --');
\echo :SQLSTATE
SELECT grant_versioned_access(NULL);
\echo :SQLSTATE
\set SHOW_CONTEXT errors

SELECT bool_and(delete_project(id)) AS deleted FROM projects;
DROP OWNED BY "regress_versioned app";
DROP ROLE "regress_versioned app";
