--
-- INSTALL
--
-- These files are a tour of pg_versioned that is run as a test: each step says what happens and why, errors
-- included. Below an error is its SQLSTATE, which is what programs check.
--
-- The extension lives in one schema, any one. The tour is taken twice, with VERSIONED_SCHEMA = public and
-- with a schema of its own; nothing that follows depends on which.
\getenv schema VERSIONED_SCHEMA
SET client_min_messages = warning;
CREATE SCHEMA IF NOT EXISTS :"schema";
RESET client_min_messages;

-- Hosted platforms grant privileges on every new object to their web roles, anon included. So does
-- this database, to check that none of them is left on the extension's objects.
ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES IN SCHEMA :"schema" GRANT ALL ON TABLES TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES IN SCHEMA :"schema" GRANT ALL ON FUNCTIONS TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES IN SCHEMA :"schema" GRANT ALL ON SEQUENCES TO anon, authenticated, service_role;

CREATE EXTENSION pg_versioned SCHEMA :"schema";

-- All later sessions in this database find it without naming its schema.
SELECT current_database() AS db \gset
ALTER DATABASE :"db" SET search_path = :"schema", public;
\c -

-- Once is enough.
CREATE EXTENSION pg_versioned;
\echo :SQLSTATE

--
-- What it made
--
CREATE TEMP VIEW member AS
SELECT d.classid, d.objid
  FROM pg_depend d
  JOIN pg_extension x ON x.oid = d.refobjid AND x.extname = 'pg_versioned'
 WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e';

SELECT c.relname COLLATE "C" AS name,
       CASE c.relkind WHEN 'r' THEN 'table' WHEN 'v' THEN 'view' WHEN 'S' THEN 'sequence' END AS kind
  FROM member JOIN pg_class c ON classid = 'pg_class'::regclass AND c.oid = objid
 ORDER BY 1;

-- The functions, with the argument names and defaults that named notation and RPC clients use.
\pset format unaligned
\pset tuples_only on
SELECT format('%s(%s)', p.proname, pg_get_function_arguments(p.oid))
  FROM member JOIN pg_proc p ON classid = 'pg_proc'::regclass AND p.oid = objid
 ORDER BY p.proname COLLATE "C";

-- And what each returns.
SELECT format('%s: %s', p.proname, pg_get_function_result(p.oid))
  FROM member JOIN pg_proc p ON classid = 'pg_proc'::regclass AND p.oid = objid
 ORDER BY p.proname COLLATE "C";
\pset format aligned
\pset tuples_only off

-- Every one of them has a comment, for psql's \d+, \dv+ and \df+, except for the
-- sequence and the row types that come with tables.
SELECT pg_describe_object(classid, objid, 0) AS without_comment
  FROM member
 WHERE obj_description(objid, classid::regclass::text::name) IS NULL
   AND NOT EXISTS (SELECT FROM pg_class c WHERE classid = 'pg_class'::regclass AND c.oid = objid AND c.relkind = 'S')
   AND NOT EXISTS (SELECT FROM pg_type t JOIN pg_class c ON objid IN (c.reltype, (SELECT typarray FROM pg_type WHERE oid = c.reltype))
                    WHERE classid = 'pg_type'::regclass AND t.oid = objid AND c.relkind <> 'c')
 ORDER BY 1;

-- The functions run with the rights of their caller, not of their owner.
SELECT count(*) AS security_definer
  FROM member JOIN pg_proc p ON classid = 'pg_proc'::regclass AND p.oid = objid
 WHERE p.prosecdef;

-- Every table has row level security, and the view reads with the rights of the role that queries it.
SELECT c.relname AS without_row_level_security
  FROM member JOIN pg_class c ON classid = 'pg_class'::regclass AND c.oid = objid
 WHERE c.relkind = 'r' AND NOT c.relrowsecurity
    OR c.relkind = 'v' AND NOT coalesce('security_invoker=true' = ANY (c.reloptions), false)
 ORDER BY 1;

--
-- Who may use it
--
-- Whatever the default privileges say, nobody but the owner has a privilege that CREATE EXTENSION did not
-- intend: authenticated and service_role may read, under row level security, call the functions, and write through the
-- view project_files.
CREATE TEMP VIEW privilege AS
SELECT c.relname AS object, 'relation' AS kind, a.grantee, a.privilege_type, a.is_grantable
  FROM member JOIN pg_class c ON classid = 'pg_class'::regclass AND c.oid = objid,
       aclexplode(coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", c.relowner))) a
 WHERE a.grantee <> c.relowner
UNION ALL
SELECT p.proname, 'function', a.grantee, a.privilege_type, a.is_grantable
  FROM member JOIN pg_proc p ON classid = 'pg_proc'::regclass AND p.oid = objid,
       aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
 WHERE a.grantee <> p.proowner;

SELECT object COLLATE "C" AS object, privilege_type,
       string_agg(grantee::regrole::text COLLATE "C", ', ' ORDER BY grantee::regrole::text COLLATE "C") AS grantees
  FROM privilege
 WHERE kind = 'relation'
 GROUP BY 1, 2
 ORDER BY 1, 2;

SELECT grantee::regrole::text COLLATE "C" AS grantee, privilege_type, is_grantable,
       count(*) = (SELECT count(*)
                     FROM member JOIN pg_proc p ON classid = 'pg_proc'::regclass AND p.oid = objid
                    WHERE p.proname NOT IN ('grant_versioned_access', 'grant_privileges', 'revoke_privileges',
                                            'set_initial_privileges', 'settle_privileges', 'versioning_report',
                                            'renumber_versions', 'undo_renumber', 'enable_versioning',
                                            'disable_versioning', 'import_project_files', 'import_project_versions',
                                            'replay_migrations', 'schema_drift', 'schema_fingerprint',
                                            'record_migration', 'verify_migrations')
                      AND p.prorettype <> 'trigger'::regtype) AS all_due
  FROM privilege
 WHERE kind = 'function'
 GROUP BY 1, 2, 3
 ORDER BY 1;

-- Only the owner of the extension gives access and upgrades, lets others change tables of their own, and imports; nobody
-- calls trigger functions.
SELECT p.proname COLLATE "C" AS owners_only
  FROM member JOIN pg_proc p ON classid = 'pg_proc'::regclass AND p.oid = objid
 WHERE NOT EXISTS (SELECT FROM privilege WHERE kind = 'function' AND object = p.proname)
 ORDER BY 1;

-- Nobody else: not anon, not PUBLIC.
SELECT count(*) AS others
  FROM privilege
 WHERE grantee NOT IN ('authenticated'::regrole, 'service_role'::regrole);

--
-- Backup
--
-- pg_dump leaves out what belongs to an extension, except tables that are registered with it. All are, and
-- so is the sequence; only the use of the rate limits need not outlive a server.
SELECT pg_describe_object(classid, objid, 0) AS data_not_dumped
  FROM member JOIN pg_class c ON classid = 'pg_class'::regclass AND c.oid = objid
 WHERE c.relkind IN ('r', 'S')
   AND NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_versioned' AND c.oid = ANY (extconfig))
 ORDER BY 1;
-- With all their rows.
SELECT bool_and(condition = '') AS all_rows
  FROM pg_extension, unnest(extcondition) condition
 WHERE extname = 'pg_versioned';

--
-- Where it cannot go
--
-- It stays in the schema it was created in.
CREATE SCHEMA elsewhere;
ALTER EXTENSION pg_versioned SET SCHEMA elsewhere;
\echo :SQLSTATE
DROP SCHEMA elsewhere;

-- Texts are UTF-8 throughout; a database of another encoding is refused.
SET client_min_messages = warning;
DROP DATABASE IF EXISTS regress_sql_ascii;
CREATE DATABASE regress_sql_ascii TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE_PROVIDER libc LC_COLLATE 'C' LC_CTYPE 'C';
\c regress_sql_ascii
\set SHOW_CONTEXT never
CREATE EXTENSION pg_versioned;
\echo :SQLSTATE
SELECT count(*) AS left_behind FROM pg_extension WHERE extname = 'pg_versioned';
\c :"db"
DROP DATABASE regress_sql_ascii;
