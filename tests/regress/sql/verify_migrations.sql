--
-- VERIFY MIGRATIONS
--
-- A migration that has run is history: what is in its file must be what was applied. Tools record what they have applied;
-- whoever applies migrations by hand records it here. Rows of Drizzle and sqlx below are those that the tools themselves have
-- written; the others were made by hand, as the source of the tools has them.
--
\pset format unaligned
\getenv schema VERSIONED_SCHEMA
CREATE ROLE regress_ci;
CREATE SCHEMA checks;
-- A detail without the name of the schema of the extension, and without long checksums.
CREATE FUNCTION checks.verify(p_migrations jsonb, p_tool text DEFAULT 'auto')
    RETURNS TABLE (name text, finding text, detail text) LANGUAGE sql AS $$
    SELECT name, finding, regexp_replace(regexp_replace(detail, '^\w+\.recorded', 'recorded'), '([0-9a-f]{8})[0-9a-f]{24,}', '\1…', 'g')
      FROM verify_migrations(p_migrations, p_tool)
$$;
CREATE FUNCTION checks.error(p_statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE p_statement;
EXCEPTION WHEN OTHERS THEN
    RETURN sqlstate || ': ' || sqlerrm;
END
$$;
SET client_min_messages = warning;

--
-- The ledger
--
SELECT record_migration('1_prompts.sql', 'CREATE TABLE "SystemPrompt" (id text)');
SELECT record_migration('1_prompts.sql', 'CREATE TABLE "SystemPrompt" (id text)');
SELECT record_migration('2_versions.sql', 'ALTER TABLE "SystemPrompt" ADD "previousVersionId" text');
SELECT position, name, encode(checksum, 'hex') = encode(sha256('CREATE TABLE "SystemPrompt" (id text)'), 'hex') AS is_the_first,
       applied_at > now() - interval '1 minute' AS is_new, applied_by = current_user AS by_me
  FROM recorded_migrations ORDER BY position;
SELECT * FROM checks.verify('[{"name": "1_prompts.sql", "sql": "CREATE TABLE \"SystemPrompt\" (id text)"},
                              {"name": "2_versions.sql", "sql": "ALTER TABLE \"SystemPrompt\" ADD \"previousVersionId\" text"}]');
-- The first file was edited after it ran.
SELECT * FROM checks.verify('[{"name": "1_prompts.sql", "sql": "CREATE TABLE \"SystemPrompt\" (id text, \"previousVersionId\" text)"},
                              {"name": "2_versions.sql", "sql": "ALTER TABLE \"SystemPrompt\" ADD \"previousVersionId\" text"}]');
DO $$
DECLARE
    v_detail text;
BEGIN
    PERFORM record_migration('1_prompts.sql', 'CREATE TABLE "SystemPrompt" (id text, "previousVersionId" text)');
EXCEPTION WHEN SQLSTATE 'PT409' THEN
    GET STACKED DIAGNOSTICS v_detail = PG_EXCEPTION_DETAIL;
    RAISE WARNING '%: %', sqlerrm, v_detail::jsonb - 'applied_at';
END
$$;
-- Names of all kinds, to the letter.
SELECT record_migration(E'migrations/3 "quoted" \U0001F600 ''x''.sql', '');
SELECT * FROM checks.verify('[{"name": "migrations/0.sql", "sql": ""},
                              {"name": "2_versions.sql", "sql": "ALTER TABLE \"SystemPrompt\" ADD \"previousVersionId\" text"},
                              {"name": "1_prompts.sql", "sql": "CREATE TABLE \"SystemPrompt\" (id text)"},
                              {"name": "4.sql", "sql": ""}]', 'pg_versioned');
\set ON_ERROR_STOP off
SELECT record_migration(NULL, '');
SELECT record_migration('a', NULL);
SELECT record_migration(E'a\nb', '');
SELECT record_migration(repeat('a', 1025), '');
SELECT verify_migrations(NULL);
SELECT verify_migrations('[]', NULL);
SELECT verify_migrations('{}');
SELECT verify_migrations('[{"name": "a"}]');
SELECT verify_migrations('[]', 'liquibase');
SELECT verify_migrations('[]', 'prisma');
BEGIN TRANSACTION READ ONLY;
SELECT record_migration('a', '');
\echo :SQLSTATE
ROLLBACK;
BEGIN TRANSACTION ISOLATION LEVEL SERIALIZABLE READ ONLY;
SELECT count(*) FROM checks.verify('[]');
COMMIT;

-- Whoever may call it needs no right on the table, and nobody has one.
GRANT USAGE ON SCHEMA :"schema", checks TO regress_ci;
SET ROLE regress_ci;
SELECT record_migration('a', '');
\echo :SQLSTATE
SELECT verify_migrations('[]');
\echo :SQLSTATE
RESET ROLE;
GRANT EXECUTE ON FUNCTION record_migration, verify_migrations TO regress_ci;
SET ROLE regress_ci;
SELECT record_migration('5.sql', '');
SELECT name, finding FROM checks.verify('[]', 'pg_versioned');
SELECT * FROM recorded_migrations;
\echo :SQLSTATE
DELETE FROM recorded_migrations;
\echo :SQLSTATE
RESET ROLE;
SELECT applied_by FROM recorded_migrations WHERE name = '5.sql';
-- What was edited on purpose, and is right everywhere, is recorded again by the owner.
DELETE FROM recorded_migrations WHERE name = '5.sql';
SELECT record_migration('5.sql', 'edited');
DELETE FROM recorded_migrations;
SELECT regexp_replace(message, '\w+\.recorded', 'recorded') FROM checks.error('SELECT verify_migrations(''[]'')') AS message;

--
-- Prisma
--
CREATE SCHEMA app;
SET search_path = app, :"schema", public;
CREATE TABLE _prisma_migrations (
    id varchar(36) PRIMARY KEY NOT NULL, checksum varchar(64) NOT NULL, finished_at timestamptz, migration_name varchar(255) NOT NULL,
    logs text, rolled_back_at timestamptz, started_at timestamptz NOT NULL DEFAULT now(), applied_steps_count integer NOT NULL DEFAULT 0);
-- tests/orm has Prisma itself.
INSERT INTO _prisma_migrations (id, migration_name, checksum, started_at, finished_at, rolled_back_at, logs)
SELECT id, name, encode(sha256(convert_to(script, 'UTF8')), 'hex'), timestamptz '2026-01-01' + make_interval(mins => id::int),
       CASE WHEN state = 'ok' THEN now() END, CASE WHEN state = 'rolled back' THEN now() END,
       CASE WHEN state <> 'ok' AND state <> 'begun' THEN 'it did not work' END
  FROM (VALUES ('1', '1_init', E'CREATE TABLE a ();\n', 'ok'), ('2', '2_again', 'x', 'rolled back'), ('3', '2_again', 'y', 'ok'),
               ('4', '3_failed', '', 'failed'), ('5', '4_begun', '', 'begun'), ('6', '5_back', '', 'rolled back'),
               ('7', '7_last', 'z', 'ok'), ('8', '6_late', '', 'ok'), ('9', '0_gone', '', 'ok')) v(id, name, script, state);
SELECT * FROM checks.verify('[{"name": "prisma/migrations/1_init/migration.sql", "sql": "CREATE TABLE a ();\r\n"},
                              {"name": "2_again", "sql": "y"}, {"name": "3_failed", "sql": ""}, {"name": "4_begun", "sql": ""},
                              {"name": "5_back", "sql": ""}, {"name": "6_late", "sql": ""}, {"name": "7_last/", "sql": "Z"},
                              {"name": "8_new", "sql": ""}]');
SELECT verify_migrations('[{"name": "migration.sql", "sql": ""}]');
SELECT verify_migrations('[{"name": "a/b", "sql": ""}, {"name": "b", "sql": ""}]');
-- Which table was taken.
SET client_min_messages = notice;
SET search_path = :"schema", public;
SELECT count(*) FROM verify_migrations('[]');
-- Another one in another schema.
CREATE SCHEMA "Other ""app""";
CREATE TABLE "Other ""app"""._prisma_migrations (LIKE app._prisma_migrations INCLUDING ALL);
SELECT count(*) FROM verify_migrations('[]');
SET search_path = "Other ""app""", :"schema", public;
SELECT count(*) FROM verify_migrations('[]');
SET search_path = :"schema", public, app, "Other ""app""";
SELECT count(*) FROM verify_migrations('[]');
SET client_min_messages = warning;
DROP SCHEMA "Other ""app""" CASCADE;

-- With the rights of the caller.
SET ROLE regress_ci;
SELECT count(*) FROM verify_migrations('[]');
\echo :SQLSTATE
RESET ROLE;
GRANT USAGE ON SCHEMA app TO regress_ci;
SET ROLE regress_ci;
SELECT count(*) FROM verify_migrations('[]');
\echo :SQLSTATE
RESET ROLE;
GRANT SELECT ON app._prisma_migrations TO regress_ci;
SET ROLE regress_ci;
SELECT count(*) FROM verify_migrations('[]');
RESET ROLE;
-- A policy that would hide rows would make them look missing.
ALTER TABLE app._prisma_migrations ENABLE ROW LEVEL SECURITY;
SET ROLE regress_ci;
SELECT count(*) FROM verify_migrations('[]');
\echo :SQLSTATE
RESET ROLE;

-- What only looks like it is not read.
CREATE TABLE checks.ran (what text);
GRANT INSERT ON checks.ran TO public;
CREATE FUNCTION checks.trap(text) RETURNS text LANGUAGE plpgsql AS
    $$BEGIN INSERT INTO checks.ran VALUES (current_user); RETURN $1; END$$;
CREATE FUNCTION checks.constant_trap() RETURNS text IMMUTABLE LANGUAGE plpgsql AS
    $$BEGIN PERFORM checks.trap('x'); RETURN 'x'; END$$;
ALTER TABLE app._prisma_migrations RENAME TO really;
CREATE VIEW app._prisma_migrations AS SELECT id, checks.trap(checksum) AS checksum, finished_at, migration_name, logs, rolled_back_at, started_at FROM app.really;
SELECT count(*) FROM verify_migrations('[]');
\echo :SQLSTATE
DROP VIEW app._prisma_migrations;
CREATE MATERIALIZED VIEW app._prisma_migrations AS SELECT * FROM app.really;
SELECT count(*) FROM verify_migrations('[]');
DROP MATERIALIZED VIEW app._prisma_migrations;
CREATE TABLE app._prisma_migrations (LIKE app.really) PARTITION BY LIST (id);
SELECT count(*) FROM verify_migrations('[]');
DROP TABLE app._prisma_migrations;
CREATE DOMAIN checks.text AS text;
CREATE TABLE app._prisma_migrations (LIKE app.really);
ALTER TABLE app._prisma_migrations ALTER checksum TYPE checks.text;
SELECT count(*) FROM verify_migrations('[]');
\echo :SQLSTATE
ALTER TABLE app._prisma_migrations ALTER checksum TYPE integer USING 1;
SELECT count(*) FROM verify_migrations('[]');
ALTER TABLE app._prisma_migrations DROP checksum;
SELECT count(*) FROM verify_migrations('[]');
DROP TABLE app._prisma_migrations;
CREATE TABLE app._prisma_migrations (LIKE app.really);
CREATE INDEX ON app._prisma_migrations ((checksum || checks.constant_trap()));
TRUNCATE checks.ran;
SELECT count(*) FROM verify_migrations('[]');
DROP TABLE app._prisma_migrations;
-- Rows of others that inherit it are not its own.
CREATE TABLE app._prisma_migrations (LIKE app.really);
CREATE TABLE app.heir () INHERITS (app._prisma_migrations);
INSERT INTO app.heir SELECT * FROM app.really;
SELECT count(*) FROM verify_migrations('[]');
SELECT * FROM checks.ran;
DROP SCHEMA app CASCADE;

--
-- Drizzle: rows of drizzle-kit 0.31.11, which has no names
--
CREATE SCHEMA drizzle;
CREATE TABLE drizzle.__drizzle_migrations (id serial PRIMARY KEY, hash text NOT NULL, created_at bigint);
INSERT INTO drizzle.__drizzle_migrations (hash, created_at) VALUES
    ('5d696a249a29b32777e460ce0c42b90d4e073d2dac3530ba97b3b7bc357967d0', 1795327062308),
    ('7f5226b464ff4a427ba78d9f85eb2351f7500543a6e46afb89f8c054025aaa36', 1795327062908);
CREATE TEMPORARY TABLE files (tool text, name text, sql text);
INSERT INTO files VALUES
    ('drizzle', 'drizzle/0000_init.sql', E'CREATE TABLE "users" (\n\t"id" text PRIMARY KEY NOT NULL\n);\n'),
    ('drizzle', 'drizzle/0001_names.sql', 'ALTER TABLE "users" ADD COLUMN "name" text;');
CREATE FUNCTION checks.of(p_tool text, VARIADIC p_edits text[] DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_agg(jsonb_build_object('name', name, 'sql', CASE WHEN name = ANY (p_edits) THEN sql || '-- edited' ELSE sql END) ORDER BY name COLLATE "C")
      FROM files WHERE tool = p_tool
$$;
SELECT * FROM checks.verify(checks.of('drizzle'));
SELECT * FROM checks.verify(checks.of('drizzle', 'drizzle/0000_init.sql'));
SELECT * FROM checks.verify(checks.of('drizzle', 'drizzle/0001_names.sql') || '{"name": "0002_x.sql", "sql": ""}');
SELECT * FROM checks.verify((checks.of('drizzle') - 0) || '{"name": "0002_x.sql", "sql": ""}');
-- Rows of drizzle-orm 1.0.0-rc.5, which has.
ALTER TABLE drizzle.__drizzle_migrations ADD name text, ADD applied_at timestamptz DEFAULT now();
TRUNCATE drizzle.__drizzle_migrations;
INSERT INTO drizzle.__drizzle_migrations (hash, created_at, name) VALUES
    ('c2de7559380e5ebf65caa7d59e166558e80243cf7e70006cc98d1593d94203c1', 1704067200000, '20240101000000_init'),
    ('5141f4fd80f93cb931d17955450b85f2776b1365e9e336aabb0e227516881513', 1706745600000, '20240201000000_more');
INSERT INTO files VALUES
    ('drizzle 1', '20240101000000_init/migration.sql', E'CREATE TABLE a (id int);\n'),
    ('drizzle 1', '20240201000000_more/migration.sql', E'CREATE TABLE b (id int);\r\n');
SELECT * FROM checks.verify(checks.of('drizzle 1'));
SELECT * FROM checks.verify(checks.of('drizzle 1', '20240201000000_more/migration.sql'));
SELECT * FROM checks.verify(checks.of('drizzle 1') - 0);
DROP SCHEMA drizzle CASCADE;

--
-- sqlx: rows of sqlx-cli 0.9.0
--
CREATE TABLE public._sqlx_migrations (
    version bigint PRIMARY KEY, description text NOT NULL, installed_on timestamptz NOT NULL DEFAULT now(), success boolean NOT NULL,
    checksum bytea NOT NULL, execution_time bigint NOT NULL);
INSERT INTO public._sqlx_migrations VALUES
    (2, 'users', '2026-11-22 05:57:40', true, '\x6337697883ead93bde2c64aa4c89983e494facc84418dc07c69854725a0401e9abccd1b1a56f06b2871d89dd25d29d40', 610114),
    (10, 'index', '2026-11-22 05:57:41', true, '\x7414f96287a589ed38b5aa0da41fe126fd888a63431f112124720f9efa3a997edc428474004d16a7f6167b787a4279ba', 566440),
    (20240101000000, 'unicode text', '2026-11-22 05:57:42', true, '\xcfb19bb233c9bde760d72a2fb9bcc8036f4b7c1793258b1e43f6cef611782c7930d83d3728b6da9446349e8b40801e22', 200968);
INSERT INTO files VALUES
    ('sqlx', '2_users.up.sql', E'CREATE TABLE users (id int);\n'), ('sqlx', '2_users.down.sql', E'DROP TABLE users;\n'),
    ('sqlx', '10_index.up.sql', E'-- no-transaction\nCREATE INDEX CONCURRENTLY ON users (id);\n'), ('sqlx', '10_index.down.sql', ''),
    ('sqlx', '20240101000000_unicode_text.up.sql', E'SELECT ''é'';\r\n');
SELECT * FROM checks.verify(checks.of('sqlx'));
SELECT * FROM checks.verify(checks.of('sqlx', '2_users.up.sql', '2_users.down.sql') || '{"name": "3_late.sql", "sql": ""}');
UPDATE files SET sql = replace(sql, E'\n', E'\r\n') WHERE name = '2_users.up.sql';
DELETE FROM files WHERE name = '10_index.up.sql';
UPDATE public._sqlx_migrations SET success = false WHERE version > 10;
SELECT * FROM checks.verify(checks.of('sqlx'));
SELECT verify_migrations('[{"name": "init.sql", "sql": ""}]');
DROP TABLE public._sqlx_migrations;

--
-- Supabase
--
CREATE SCHEMA supabase_migrations;
CREATE TABLE supabase_migrations.schema_migrations (version text NOT NULL PRIMARY KEY, statements text[], name text);
INSERT INTO supabase_migrations.schema_migrations VALUES
    ('20240101000000', ARRAY['-- Users; all of them' || E'\n' || 'create table users (id int)', 'create function f() returns text language sql as $$ select '';'' $$'], 'users'),
    ('20240102000000', NULL, 'old'), ('20240103000000', ARRAY['select 1;' || E'\n' || 'select 2;'], 'by_api'), ('20240105000000', '{}', 'gone');
INSERT INTO files VALUES
    ('supabase', 'supabase/migrations/20240101000000_users.sql', E'-- Users; all of them\ncreate table users (id int);\n\ncreate function f() returns text language sql as $$ select '';'' $$;\n'),
    ('supabase', 'supabase/migrations/20240102000000_old.sql', 'select 0'), ('supabase', 'supabase/migrations/20240103000000_by_api.sql', E'select 1;\nselect 2;\n');
SELECT * FROM checks.verify(checks.of('supabase'));
UPDATE files SET sql = replace(sql, 'id int', 'id bigint') WHERE tool = 'supabase';
SELECT * FROM checks.verify(checks.of('supabase', 'supabase/migrations/20240103000000_by_api.sql') || '[{"name": "20240104000000_new.sql", "sql": ""}, {"name": "20240106000000_new.sql", "sql": ""}]');
-- Before there were statements and names.
ALTER TABLE supabase_migrations.schema_migrations DROP statements, DROP name;
SELECT * FROM checks.verify(checks.of('supabase'));
-- Several tools.
CREATE TABLE public.flyway_schema_history (
    installed_rank int NOT NULL PRIMARY KEY, version varchar(50), description varchar(200) NOT NULL, type varchar(20) NOT NULL,
    script varchar(1000) NOT NULL, checksum integer, installed_by varchar(100) NOT NULL, installed_on timestamp NOT NULL DEFAULT now(),
    execution_time integer NOT NULL, success boolean NOT NULL);
SELECT record_migration('a', '');
SELECT regexp_replace(message, '\w+\.recorded', 'recorded') FROM checks.error('SELECT verify_migrations(''[]'')') AS message;
SELECT count(*) FROM verify_migrations('[]', 'supabase');
SELECT count(*) FROM verify_migrations('[]', 'pg_versioned');
DROP SCHEMA supabase_migrations CASCADE;
DELETE FROM recorded_migrations;

--
-- Flyway
--
INSERT INTO flyway_schema_history (installed_rank, version, description, type, script, checksum, installed_by, execution_time, success) VALUES
    (0, NULL, '<< Flyway Schema Creation >>', 'SCHEMA', '"public"', NULL, 'me', 0, true),
    (2, '1', 'init', 'SQL', 'V1__init.sql', -623083431, 'me', 5, true),
    (3, '1.9', 'b', 'SQL', 'V1.9__b.sql', -530357373, 'me', 5, true),
    (4, NULL, 'view', 'SQL', 'R__view.sql', -801610736, 'me', 5, true),
    (5, '1.10', 'c', 'SQL', 'V1.10__c.sql', -1556562904, 'me', 5, true);
INSERT INTO files VALUES
    ('flyway', 'db/V1__init.sql', E'CREATE TABLE a (id int);\n'),
    ('flyway', 'db/V1.9__b.sql', E'CREATE TABLE b (\n    id int\n);\n'),
    ('flyway', 'db/V1.10__c.sql', E'INSERT INTO a VALUES (1); -- é\n'),
    ('flyway', 'db/R__view.sql', E'CREATE OR REPLACE VIEW v AS SELECT 1 AS n;\n'),
    ('flyway', 'db/U1.10__c.sql', E'TRUNCATE a;'),
    ('flyway', 'db/beforeMigrate.sql', E'SELECT 1;');
SELECT * FROM checks.verify(checks.of('flyway'));
UPDATE files SET sql = U&'\FEFF' || replace(sql, E'\n', E'\r\n') WHERE tool = 'flyway';
SELECT * FROM checks.verify(checks.of('flyway'));
SELECT * FROM checks.verify(checks.of('flyway', 'db/V1.10__c.sql', 'db/R__view.sql', 'db/U1.10__c.sql')
                            || '[{"name": "V1.2__late.sql", "sql": ""}, {"name": "V2__next.sql", "sql": ""}, {"name": "R__next.sql", "sql": ""}]');
INSERT INTO flyway_schema_history VALUES (6, '1.10', 'c', 'UNDO_SQL', 'U1.10__c.sql', 1, 'me', now(), 1, true), (7, '3', 'gone', 'SQL', 'V3__gone.sql', 1, 'me', now(), 1, true),
    (8, '4', 'code', 'JDBC', 'db.V4__code', NULL, 'me', now(), 1, true), (9, '5', 'failed', 'SQL', 'V5__failed.sql', 1, 'me', now(), 1, false);
SELECT * FROM checks.verify(checks.of('flyway') || '{"name": "V5__failed.sql", "sql": ""}');
TRUNCATE flyway_schema_history;
INSERT INTO flyway_schema_history VALUES (1, '1.9', '<< Flyway Baseline >>', 'BASELINE', '<< Flyway Baseline >>', NULL, 'me', now(), 0, true);
SELECT * FROM checks.verify(checks.of('flyway'));
SELECT verify_migrations('[{"name": "1__init.sql", "sql": ""}]');
DROP TABLE flyway_schema_history;

\set ON_ERROR_STOP on
DROP TABLE files;
DROP SCHEMA checks CASCADE;
REVOKE ALL ON FUNCTION record_migration, verify_migrations FROM regress_ci;
REVOKE ALL ON SCHEMA :"schema" FROM regress_ci;
DROP ROLE regress_ci;
