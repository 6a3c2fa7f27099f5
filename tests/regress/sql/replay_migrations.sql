--
-- REPLAY MIGRATIONS
--
-- What is wrong with a chain of migrations is found by running it on an empty copy of the schema, which is undone. The names
-- of what was there before stay as they are.
--
\pset format unaligned
\pset tuples_only on
\pset fieldsep ' | '
CREATE SCHEMA app;
CREATE SCHEMA auth;
CREATE TABLE auth.users (id uuid PRIMARY KEY);
CREATE TABLE app."User" (id int PRIMARY KEY, email text);
INSERT INTO app."User" VALUES (1, 'anna');
CREATE ROLE regress_app;

-- Runs the texts as migrations 1, 2 and so on.
SELECT set_config('search_path', 'app, ' || current_setting('search_path'), false) IS NOT NULL AS path;
CREATE FUNCTION auth.replay(p_stop boolean, VARIADIC p_texts text[])
    RETURNS TABLE (name text, ok boolean, statements int, sqlstate text, message text, place text, explanation text)
    LANGUAGE sql AS $$
    SELECT name, ok, statements, sqlstate, message, line || ':' || col, explanation
      FROM replay_migrations((SELECT jsonb_agg(jsonb_build_object('name', position::text, 'sql', text) ORDER BY position)
                                FROM unnest(p_texts) WITH ORDINALITY AS t (text, position)),
                             '{app}', p_stop)
    $$;

-- The story: a column that an edited migration makes already.
SELECT * FROM auth.replay(true,
    'CREATE TABLE "User" (id int PRIMARY KEY, email text); CREATE TABLE app."Post" (id int, "previousVersionId" int);',
    E'-- AddColumn\nALTER TABLE "Post"\n    ADD COLUMN "previousVersionId" int;',
    'SELECT 1');
SELECT * FROM app."User";
-- Without stopping, only the statement that fails is left out.
SELECT * FROM auth.replay(false, 'CREATE TABLE a (); SELECT 1 / 0; CREATE TABLE b (); SELECT 2 / 0', 'DROP TABLE a, b', 'SELEC 1', '');

-- Causes are in earlier migrations. Details are worded in other ways in other versions of Postgres.
SELECT name, split_part(message, E'\n', 1) AS message, explanation FROM auth.replay(false,
    'CREATE TABLE people (id uuid PRIMARY KEY, email text)',
    'ALTER TABLE people ALTER id TYPE text',
    'CREATE TABLE posts (author uuid REFERENCES people (id))',
    'ALTER TABLE people DROP COLUMN email',
    'CREATE INDEX ON people (email)',
    'ALTER TABLE people RENAME TO persons',
    'ALTER TABLE people ADD name text',
    'CREATE TYPE mood AS ENUM (''sad'')',
    'CREATE TYPE mood AS ENUM (''ok'')',
    'CREATE VIEW v AS SELECT id FROM persons',
    'DROP TABLE persons',
    'SELECT * FROM auth.user; SELECT * FROM persons') WHERE NOT ok;
SELECT name, message, explanation FROM auth.replay(false,
    'CREATE TABLE a (i int); CREATE TRIGGER x BEFORE UPDATE ON a FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
     CREATE POLICY x ON a; CREATE RULE x AS ON DELETE TO a DO INSTEAD NOTHING',
    'CREATE TRIGGER x BEFORE UPDATE ON a FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()',
    'CREATE POLICY x ON app.a',
    'CREATE RULE x AS ON DELETE TO a DO INSTEAD NOTHING',
    'DROP TRIGGER x ON a; DROP POLICY x ON a; DROP RULE x ON a; ALTER TABLE a RENAME TO b',
    'DROP TRIGGER x ON b', 'DROP POLICY x ON b', 'DROP RULE x ON app.b') WHERE NOT ok;

-- What cannot run in a transaction is run without it, or named.
SELECT * FROM auth.replay(true, 'BEGIN; CREATE TABLE a (i int); CREATE INDEX CONCURRENTLY x ON a (i); COMMIT;
    REINDEX INDEX CONCURRENTLY x; DROP INDEX CONCURRENTLY x; VACUUM a; CREATE DATABASE d; ROLLBACK;
    DO $$BEGIN COMMIT; END$$; ALTER SYSTEM SET work_mem = ''1GB''; CHECKPOINT');
-- New values of enums can be used at once.
SELECT * FROM auth.replay(true, 'CREATE TYPE mood AS ENUM (''sad'')',
    'ALTER TYPE mood ADD VALUE ''ok''; CREATE TABLE t (m mood DEFAULT ''ok''); INSERT INTO t DEFAULT VALUES',
    'ALTER TYPE mood ADD VALUE ''happy'' BEFORE ''ok''; UPDATE t SET m = ''happy''; SELECT 1 / (m > ''sad'')::int FROM t');
-- What only psql understands is left out, and what it would send.
SELECT * FROM auth.replay(true, E'\\connect other\nCREATE TABLE a (t text);\nCOPY a (t) FROM stdin;\nit''s; \\N\n\\.\nSELECT ''\\'' || E''\\\\n;'';\n\\echo ''unfinished\nCOPY a TO stdout;\nSELECT nothing FROM a');

-- Collations, although the catalogue of them is locked for each
SELECT * FROM auth.replay(true, 'CREATE COLLATION german (locale = ''C''); CREATE TABLE a (t text COLLATE german)', 'CREATE TABLE b (t text COLLATE german)');
-- The byte order mark of a file is none of its text.
SELECT * FROM auth.replay(false, E'\uFEFFCREATE TABLE a ()', E'\uFEFFCREATE TABEL b ()', E'\uFEFFCREATE TABLE a ()');

-- Each migration has a session of its own.
SELECT name, ok, message FROM auth.replay(false,
    'SET search_path = ''''; SET work_mem = ''1MB''; SET app.id = ''1''; PREPARE q AS SELECT 1; CREATE TEMP TABLE t (); DECLARE c CURSOR WITH HOLD FOR SELECT 1; SELECT pg_advisory_lock(7)',
    'CREATE TABLE a (); PREPARE q AS SELECT 1; CREATE TEMP TABLE t (); DECLARE c CURSOR FOR SELECT 1; SELECT 1 / (current_setting(''app.id'', true) = '''' AND current_setting(''work_mem'') <> ''1MB'')::int',
    'CREATE TABLE app.b (); DROP TABLE t');
SELECT count(*) FROM pg_prepared_statements;
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory';
-- Constraints are checked at its end.
SELECT * FROM auth.replay(false,
    'CREATE TABLE p (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, u int UNIQUE); CREATE TABLE c (p int REFERENCES p (u) DEFERRABLE)',
    'INSERT INTO p VALUES (1), (1); UPDATE p SET id = 2 WHERE ctid = ''(0,1)''',
    'INSERT INTO p VALUES (3), (3)',
    'INSERT INTO c VALUES (4)',
    'INSERT INTO p VALUES (5), (5); DELETE FROM p WHERE id = 5; INSERT INTO c VALUES (1)');
SELECT * FROM auth.replay(false,
    'CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE c (p int REFERENCES p DEFERRABLE INITIALLY DEFERRED)',
    'BEGIN; INSERT INTO c VALUES (1); INSERT INTO p VALUES (1); COMMIT; ALTER TABLE c ADD x int',
    'BEGIN; INSERT INTO c VALUES (2); COMMIT; INSERT INTO p VALUES (2)');

-- Others are neither locked nor changed.
SELECT * FROM auth.replay(false,
    'CREATE TABLE profiles (id uuid PRIMARY KEY REFERENCES auth.users, name text); ALTER TABLE profiles ADD x uuid REFERENCES auth.users (id), ADD y int',
    'SELECT id, name, x, y FROM profiles; SELECT count(*) FROM auth.users',
    'ALTER TABLE profiles ADD FOREIGN KEY (x) REFERENCES auth.users',
    'ALTER TABLE profiles DROP CONSTRAINT profiles_id_fkey, ADD CONSTRAINT key FOREIGN KEY (id) REFERENCES auth.users ON DELETE CASCADE NOT VALID, DROP y',
    'ALTER TABLE profiles VALIDATE CONSTRAINT key; ALTER TABLE profiles RENAME CONSTRAINT key TO user_key; ALTER TABLE profiles DROP CONSTRAINT user_key; ALTER TABLE profiles DROP CONSTRAINT profiles_x_fkey; SELECT id, x FROM profiles; ALTER TABLE profiles DROP CONSTRAINT nothing',
    'CREATE TRIGGER t AFTER INSERT ON auth.users EXECUTE FUNCTION suppress_redundant_updates_trigger(); CREATE INDEX ON auth.users (id); INSERT INTO auth.users VALUES (gen_random_uuid())',
    'DO $$BEGIN LOCK TABLE auth.users; END$$; LOCK TABLE pg_class; DELETE FROM pg_proc; ANALYZE',
    'DROP SCHEMA auth CASCADE; DROP FUNCTION auth.replay; GRANT ALL ON SCHEMA auth TO PUBLIC; GRANT SELECT ON ALL TABLES IN SCHEMA auth TO PUBLIC; COMMENT ON SCHEMA auth IS ''mine''',
    'DROP OWNED BY regress_app; DISCARD ALL; COPY auth.users TO PROGRAM ''cat''');
-- What is in no schema is there already.
SELECT * FROM auth.replay(true, 'CREATE ROLE regress_app', 'CREATE ROLE regress_new; CREATE ROLE regress_new');

-- The schemas are there before the first migration, empty; CREATE SCHEMA makes them anew.
SELECT name, ok, message, explanation FROM auth.replay(false, 'CREATE SCHEMA app; CREATE TABLE app.t (); CREATE SCHEMA IF NOT EXISTS app', 'CREATE SCHEMA app', 'CREATE SCHEMA auth; CREATE TABLE auth.users ()');
SELECT name, ok, message FROM auth.replay(false, 'DROP SCHEMA app', 'CREATE TABLE app.t ()', 'CREATE SCHEMA app; CREATE TABLE app.t ()');
SELECT nspname FROM pg_namespace WHERE nspname IN ('app', 'auth') OR nspname LIKE 'pg_versioned%' ORDER BY 1;

-- In one transaction several replays may follow one another, but nothing else may have been written.
BEGIN;
SELECT ok FROM auth.replay(true, 'CREATE TABLE a ()');
SELECT ok FROM auth.replay(true, 'CREATE TABLE a ()');
INSERT INTO app."User" VALUES (2, 'ben');
SELECT ok FROM auth.replay(true, 'CREATE TABLE a ()');
ROLLBACK;
BEGIN READ ONLY;
SELECT ok FROM auth.replay(true, 'CREATE TABLE a ()');
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT ok FROM auth.replay(true, 'CREATE TABLE a (); INSERT INTO a DEFAULT VALUES; SELECT 1 / count(*) FROM a');
COMMIT;
-- A replay does not run within a replay.
\getenv schema VERSIONED_SCHEMA
SELECT * FROM auth.replay(true, format('SELECT %I.replay_migrations(''[]'')', :'schema'));

-- Bad input
SELECT * FROM replay_migrations(NULL);
SELECT * FROM replay_migrations('{}');
SELECT * FROM replay_migrations('[{"name": "a"}]');
SELECT * FROM replay_migrations('[{"name": "a", "sql": ""}, {"name": "a", "sql": ""}]');
SELECT * FROM replay_migrations('[]', NULL);
SELECT * FROM replay_migrations('[]', '{}');
SELECT * FROM replay_migrations('[]', '{app, app}');
SELECT * FROM replay_migrations('[]', '{nowhere}');
SELECT * FROM replay_migrations('[]', '{pg_catalog}');
SELECT * FROM replay_migrations('[]', '{app}', NULL);
SELECT * FROM replay_migrations('[]', '{app}');

-- Rights: for owners of the schemas who may create schemas.
GRANT USAGE ON SCHEMA :"schema", auth TO regress_app;
GRANT EXECUTE ON FUNCTION replay_migrations, schema_drift TO regress_app;
SET ROLE regress_app;
SELECT * FROM auth.replay(true, '');
RESET ROLE;
ALTER SCHEMA app OWNER TO regress_app;
SET ROLE regress_app;
\set VERBOSITY sqlstate
SELECT * FROM auth.replay(true, '');
\set VERBOSITY default
RESET ROLE;
DO $$BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO regress_app', current_database()); END$$;
SET ROLE regress_app;
SELECT * FROM auth.replay(true, 'CREATE TABLE a (); SELECT * FROM app.a; CREATE TABLE auth.a ()');
-- A role that migrations choose ends with them.
SELECT name, ok, message FROM auth.replay(false, 'RESET ROLE; CREATE ROLE regress_other', 'SELECT 1 / (current_user = ''regress_app'')::int');
SELECT current_user;
RESET ROLE;

--
-- SCHEMA DRIFT
--
ALTER SCHEMA app OWNER TO CURRENT_USER;
CREATE TABLE app.by_hand (id serial PRIMARY KEY);
ALTER TABLE app."User" ADD a1 int, ADD "A2" text NOT NULL DEFAULT 'x';
CREATE FUNCTION auth.drift(VARIADIC p_texts text[]) RETURNS TABLE (kind text, object text, difference text, expected text, actual text, migration text)
    LANGUAGE sql AS $$
    SELECT d.* FROM schema_drift((SELECT jsonb_agg(jsonb_build_object('name', position::text, 'sql', text) ORDER BY position)
                                  FROM unnest(p_texts) WITH ORDINALITY AS t (text, position)),
                               '{app}') d
    $$;
SELECT * FROM auth.drift(
    'CREATE TABLE "User" (email text, id bigint PRIMARY KEY); CREATE TABLE gone (); CREATE TABLE fine (id int)',
    'DROP TABLE gone; ALTER TABLE fine ADD later int; CREATE INDEX ON "User" (email)',
    'ALTER TABLE fine ADD later int',
    'CREATE TABLE by_hand (id int); DROP TABLE by_hand');
-- Foreign keys that were left out are no difference.
CREATE TABLE app.profiles (id uuid PRIMARY KEY REFERENCES auth.users, other uuid REFERENCES app.profiles);
SELECT * FROM auth.drift('CREATE TABLE "User" (id int PRIMARY KEY, email text, a1 int, "A2" text NOT NULL DEFAULT ''x'')',
    'CREATE TABLE by_hand (id serial PRIMARY KEY); CREATE TABLE profiles (id uuid PRIMARY KEY REFERENCES auth.users, other uuid)');
-- What was not run is not compared.
DROP TABLE app.by_hand, app.profiles;
SELECT * FROM auth.drift('CREATE TABLE "User" (id int PRIMARY KEY, email text, a1 int, "A2" text NOT NULL DEFAULT ''x''); SELECT 1 / 0; SELECT 2 / 0; SELECT 3 / 0',
    'DO $$BEGIN CREATE TABLE app.by_hand (); COMMIT; END$$');
CREATE TABLE app.by_hand ();
SELECT * FROM auth.drift('CREATE TABLE "User" (id int PRIMARY KEY, email text, a1 int, "A2" text NOT NULL DEFAULT ''x'')',
    'DO $$BEGIN CREATE TABLE app.by_hand (); COMMIT; END$$', 'VACUUM');
-- Columns of partitions are one row where they differ from the parent's.
CREATE TABLE app.parted (k int, v text DEFAULT 'a') PARTITION BY LIST (k);
CREATE TABLE app.part PARTITION OF app.parted (v DEFAULT 'b') FOR VALUES IN (1);
ALTER TABLE app.parted ADD w int;
SELECT * FROM auth.drift('CREATE TABLE "User" (id int PRIMARY KEY, email text, a1 int, "A2" text NOT NULL DEFAULT ''x''); CREATE TABLE by_hand ()',
    'CREATE TABLE parted (k int, v text DEFAULT ''a'') PARTITION BY LIST (k); CREATE TABLE part PARTITION OF app.parted FOR VALUES IN (1)');
SELECT * FROM schema_drift('[]', '{app}', '{owner}');
SET client_min_messages = warning;
DROP SCHEMA app, auth CASCADE;
DO $$BEGIN EXECUTE format('REVOKE CREATE ON DATABASE %I FROM regress_app', current_database()); END$$;
REVOKE ALL ON FUNCTION replay_migrations, schema_drift FROM regress_app;
REVOKE ALL ON SCHEMA :"schema" FROM regress_app;
DROP ROLE regress_app;
