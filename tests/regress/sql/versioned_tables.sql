--
-- VERSIONED TABLES
--
-- enable_versioning and disable_versioning: what they do to a table, and what they refuse. What the triggers do to rows
-- is in versioned_rows.
--
CREATE SCHEMA legacy;
SELECT set_config('search_path', 'legacy, ' || current_setting('search_path'), false) <> '' AS ready;
CREATE FUNCTION indexes(regclass) RETURNS TABLE (definition text, comment text) LANGUAGE sql AS $$
    SELECT pg_get_indexdef(indexrelid), obj_description(indexrelid, 'pg_class') FROM pg_index WHERE indrelid = $1 ORDER BY indexrelid::regclass::text
$$;

-- A table as racing leaves it: a default that outdoes triggers, two constraints for one thing, a flag and a link.
CREATE TABLE files (
    id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    project    uuid,
    path       text,
    version    integer DEFAULT 1,
    is_current boolean DEFAULT true,
    previous   uuid,
    CONSTRAINT files_version_1 UNIQUE (project, path, version),
    CONSTRAINT files_version_2 UNIQUE (project, path, version)
);
CREATE UNIQUE INDEX files_version_3 ON files (project, path, version);
CREATE UNIQUE INDEX files_current ON files (project, path) WHERE is_current;
COMMENT ON INDEX files_current IS 'one current row';
SELECT action, statement FROM enable_versioning('files', '{project,path}', 'version', 'is_current', 'previous');
SELECT * FROM indexes('files');
SELECT * FROM versioned_tables;
-- Again: nothing to be done.
SELECT * FROM enable_versioning('files', '{project,path}', 'version', 'is_current', 'previous');
-- With other arguments: other triggers.
SELECT action, statement FROM enable_versioning('files', '{project,path}', 'version', p_on_explicit => 'error') WHERE action LIKE '%trigger' AND statement NOT LIKE 'COMMENT%';
SELECT * FROM versioned_tables;
-- What was unique is so again, under its name.
SELECT action, statement FROM disable_versioning('files');
SELECT * FROM indexes('files');
SELECT * FROM versioned_tables;
SELECT tgname FROM pg_trigger WHERE tgrelid = 'files'::regclass;
SELECT * FROM disable_versioning('files');
\echo :SQLSTATE

--
-- What they refuse
--
-- Arguments
SELECT * FROM enable_versioning(NULL, '{project}', 'version');
SELECT * FROM enable_versioning('files', NULL, 'version');
SELECT * FROM enable_versioning('files', '{}', 'version');
SELECT * FROM enable_versioning('files', '{project,NULL}', 'version');
SELECT * FROM enable_versioning('files', '{project,project}', 'version');
SELECT * FROM enable_versioning('files', '{project}', NULL);
SELECT * FROM enable_versioning('files', '{project}', 'path');
SELECT * FROM enable_versioning('files', '{project}', 'Version');
SELECT * FROM enable_versioning('files', '{version}', 'version');
SELECT * FROM enable_versioning('files', '{project}', 'version', 'path');
SELECT * FROM enable_versioning('files', '{is_current}', 'version', 'is_current');
SELECT * FROM enable_versioning('files', '{project}', 'version', 'is_current', 'path');
SELECT * FROM enable_versioning('files', '{project}', 'version', 'is_current', 'id');
SELECT * FROM enable_versioning('files', '{project}', 'version', 'is_current', 'project');
SELECT * FROM enable_versioning('files', '{project}', 'version', p_on_explicit => 'refuse');
SELECT * FROM enable_versioning('files', '{project}', 'version', p_on_explicit => NULL);
SELECT * FROM enable_versioning(0, '{project}', 'version');
SELECT * FROM disable_versioning(NULL);
\echo :SQLSTATE
-- Relations
SELECT * FROM enable_versioning('pg_class', '{relname}', 'relnatts');
\set VERBOSITY sqlstate
SELECT * FROM enable_versioning('project_file_versions', '{file_id}', 'version');
SELECT * FROM enable_versioning('project_files', '{project_id}', 'version');
SELECT * FROM enable_versioning('versioned_tables', '{a}', 'version');
\set VERBOSITY default
CREATE TABLE heirs (a int, version int);
CREATE TABLE heir () INHERITS (heirs);
SELECT * FROM enable_versioning('heirs', '{a}', 'version');
SELECT * FROM enable_versioning('heir', '{a}', 'version');
DROP TABLE heirs CASCADE;
CREATE TABLE ruled (a int, version int);
CREATE RULE nothing AS ON DELETE TO ruled DO INSTEAD NOTHING;
SELECT * FROM enable_versioning('ruled', '{a}', 'version');
CREATE FOREIGN DATA WRAPPER nowhere;
CREATE SERVER nowhere FOREIGN DATA WRAPPER nowhere;
CREATE FOREIGN TABLE foreign_versions (a int, version int) SERVER nowhere;
SELECT * FROM enable_versioning('foreign_versions', '{a}', 'version');
CREATE SEQUENCE numbers;
SELECT * FROM enable_versioning('numbers', '{a}', 'version');
\echo :SQLSTATE
-- Rows that the guarantees do not hold for; renumber_versions repairs them, as DETAIL says.
\set VERBOSITY terse
CREATE TABLE broken (id serial PRIMARY KEY, "fileId" text, version int, is_current boolean);
INSERT INTO broken ("fileId", version, is_current) VALUES ('a', 1, false), ('a', 2, true), ('a', 2, true), ('b', 0, true), (NULL, 1, true);
SELECT * FROM enable_versioning('broken', '{fileId}', 'version', 'is_current');
DELETE FROM broken WHERE "fileId" IS NULL;
SELECT * FROM enable_versioning('broken', '{fileId}', 'version', 'is_current');
DELETE FROM broken WHERE "fileId" = 'b';
SELECT * FROM enable_versioning('broken', '{fileId}', 'version', 'is_current');
UPDATE broken SET version = 4 WHERE id = 3;
SELECT * FROM enable_versioning('broken', '{fileId}', 'version', 'is_current');
\echo :SQLSTATE
-- Nothing was done so far.
SELECT attname, attnotnull FROM pg_attribute WHERE attrelid = 'broken'::regclass AND attnum > 0 AND attnotnull;
SELECT * FROM indexes('broken');
-- Gaps, and rows of which none is current, are no harm.
UPDATE broken SET is_current = false;
SELECT DISTINCT action FROM enable_versioning('broken', '{fileId}', 'version', 'is_current') ORDER BY 1;
INSERT INTO broken ("fileId") VALUES ('a') RETURNING version, is_current;
-- Indexes that versions cannot live with
CREATE TABLE narrow (id int PRIMARY KEY, a int UNIQUE, version int, is_current boolean);
SELECT * FROM enable_versioning('narrow', '{a}', 'version');
ALTER TABLE narrow DROP CONSTRAINT narrow_a_key, ADD UNIQUE (a, is_current);
SELECT * FROM enable_versioning('narrow', '{a}', 'version', 'is_current');
ALTER TABLE narrow DROP CONSTRAINT narrow_a_is_current_key, ADD CONSTRAINT one_current EXCLUDE (a WITH =) WHERE (is_current);
SELECT * FROM enable_versioning('narrow', '{a}', 'version', 'is_current');
\echo :SQLSTATE
ALTER TABLE narrow DROP CONSTRAINT one_current;
CREATE UNIQUE INDEX one_current ON narrow ((CASE WHEN is_current THEN a END));
SELECT * FROM enable_versioning('narrow', '{a}', 'version', 'is_current');
DROP INDEX one_current;
CREATE UNIQUE INDEX one_current ON narrow (a) WHERE is_current;
SELECT * FROM enable_versioning('narrow', '{id,a}', 'version', 'is_current');
DROP INDEX one_current;
-- Indexes on the flag by more than the parent, and of a partition alone
CREATE TABLE wider (project int, file int, version int, is_current boolean, PRIMARY KEY (file, version));
CREATE UNIQUE INDEX wider_current ON wider (project, file) WHERE is_current;
SELECT action, statement FROM enable_versioning('wider', '{file}', 'version', 'is_current') WHERE action NOT LIKE '%trigger';
INSERT INTO wider (project, file) VALUES (1, 1), (1, 1);
INSERT INTO wider (project, file) VALUES (1, 1) RETURNING *;
SELECT action, statement FROM disable_versioning('wider') WHERE action NOT LIKE '%trigger';
CREATE TABLE halves (file int, version int, is_current boolean, PRIMARY KEY (file, version)) PARTITION BY HASH (file);
CREATE TABLE halves_0 PARTITION OF halves FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE halves_1 (is_current boolean, file int NOT NULL, version int NOT NULL);
ALTER TABLE halves ATTACH PARTITION halves_1 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE UNIQUE INDEX halves_1_current ON halves_1 (file) WHERE is_current;
SELECT * FROM enable_versioning('halves', '{file}', 'version', 'is_current');
\echo :SQLSTATE
-- A trigger that somebody else has created
CREATE TABLE copied (file int);
CREATE TRIGGER number_version BEFORE INSERT ON copied FOR EACH ROW EXECUTE FUNCTION versioned_internal.number_version();
CREATE TRIGGER number_version_2 BEFORE INSERT ON copied FOR EACH ROW EXECUTE FUNCTION versioned_internal.number_version('x');
SELECT * FROM versioned_tables WHERE table_name = 'copied'::regclass;
DROP TABLE copied;
-- Columns that are computed after all triggers
ALTER TABLE narrow ADD number int GENERATED ALWAYS AS (a + 1) STORED, ADD flag boolean GENERATED ALWAYS AS (a > 1) STORED;
SELECT * FROM enable_versioning('narrow', '{a}', 'number');
SELECT * FROM enable_versioning('narrow', '{a}', 'version', 'flag');
SELECT * FROM enable_versioning('narrow', '{number}', 'version');
SELECT * FROM enable_versioning('narrow', '{a}', 'version', 'is_current', 'number');
\echo :SQLSTATE
-- A trigger that could change what has been decided
CREATE TRIGGER "~zzz" BEFORE UPDATE ON narrow FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
SELECT * FROM enable_versioning('narrow', '{a}', 'version');
\echo :SQLSTATE
ALTER TABLE narrow DISABLE TRIGGER "~zzz";
SELECT action FROM enable_versioning('narrow', '{a}', 'version');
ALTER TABLE narrow ENABLE TRIGGER "~zzz";
SELECT * FROM enable_versioning('narrow', '{a}', 'version');
\echo :SQLSTATE
-- A type without equality
CREATE TABLE unequal (a json, version int);
SELECT * FROM enable_versioning('unequal', '{a}', 'version');
\echo :SQLSTATE
-- Transactions that do not see what others do
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT * FROM enable_versioning('files', '{project,path}', 'version');
ROLLBACK;
BEGIN READ ONLY;
SELECT * FROM enable_versioning('files', '{project,path}', 'version');
\echo :SQLSTATE
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT * FROM disable_versioning('narrow');
\echo :SQLSTATE
ROLLBACK;

--
-- Types
--
-- A type whose operators are not in pg_catalog, as citext is.
SET client_min_messages = warning;
CREATE TYPE ci;
CREATE FUNCTION ci_in(cstring) RETURNS ci LANGUAGE internal IMMUTABLE STRICT AS 'textin';
CREATE FUNCTION ci_out(ci) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'textout';
RESET client_min_messages;
CREATE TYPE ci (INPUT = ci_in, OUTPUT = ci_out, LIKE = text, COLLATABLE = true);
CREATE CAST (ci AS text) WITHOUT FUNCTION AS IMPLICIT;
CREATE FUNCTION ci_cmp(ci, ci) RETURNS int LANGUAGE sql IMMUTABLE STRICT AS 'SELECT pg_catalog.bttextcmp(lower($1::text) COLLATE "C", lower($2::text) COLLATE "C")';
CREATE FUNCTION ci_lt(ci, ci) RETURNS bool LANGUAGE sql IMMUTABLE STRICT AS 'SELECT lower($1::text) COLLATE "C" < lower($2::text) COLLATE "C"';
CREATE FUNCTION ci_le(ci, ci) RETURNS bool LANGUAGE sql IMMUTABLE STRICT AS 'SELECT lower($1::text) COLLATE "C" <= lower($2::text) COLLATE "C"';
CREATE FUNCTION ci_eq(ci, ci) RETURNS bool LANGUAGE sql IMMUTABLE STRICT AS 'SELECT lower($1::text) = lower($2::text)';
CREATE FUNCTION ci_ge(ci, ci) RETURNS bool LANGUAGE sql IMMUTABLE STRICT AS 'SELECT lower($1::text) COLLATE "C" >= lower($2::text) COLLATE "C"';
CREATE FUNCTION ci_gt(ci, ci) RETURNS bool LANGUAGE sql IMMUTABLE STRICT AS 'SELECT lower($1::text) COLLATE "C" > lower($2::text) COLLATE "C"';
CREATE FUNCTION ci_hash(ci, int8) RETURNS int8 LANGUAGE sql IMMUTABLE STRICT AS 'SELECT pg_catalog.hashtextextended(lower($1::text), $2)';
CREATE FUNCTION ci_hash(ci) RETURNS int4 LANGUAGE sql IMMUTABLE STRICT AS 'SELECT pg_catalog.hashtext(lower($1::text))';
CREATE OPERATOR < (LEFTARG = ci, RIGHTARG = ci, FUNCTION = ci_lt);
CREATE OPERATOR <= (LEFTARG = ci, RIGHTARG = ci, FUNCTION = ci_le);
CREATE OPERATOR = (LEFTARG = ci, RIGHTARG = ci, FUNCTION = ci_eq, HASHES, MERGES);
CREATE OPERATOR >= (LEFTARG = ci, RIGHTARG = ci, FUNCTION = ci_ge);
CREATE OPERATOR > (LEFTARG = ci, RIGHTARG = ci, FUNCTION = ci_gt);
CREATE OPERATOR CLASS ci_ops DEFAULT FOR TYPE ci USING btree AS
    OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 ci_cmp(ci, ci);
CREATE OPERATOR CLASS ci_hash_ops DEFAULT FOR TYPE ci USING hash AS
    OPERATOR 1 =, FUNCTION 1 ci_hash(ci), FUNCTION 2 ci_hash(ci, int8);
CREATE TABLE names (name ci PRIMARY KEY);
CREATE TABLE name_versions (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name ci REFERENCES names ON UPDATE CASCADE, version int, is_current boolean);
INSERT INTO names VALUES ('Ada'), ('Bob');
INSERT INTO name_versions (name, version) VALUES ('Ada', 1), ('ADA', 1);
SELECT * FROM enable_versioning('name_versions', '{name}', 'version', 'is_current');
\echo :SQLSTATE
DELETE FROM name_versions;
SELECT action FROM enable_versioning('name_versions', '{name}', 'version', 'is_current') WHERE action NOT LIKE '%trigger';
BEGIN;
INSERT INTO name_versions (name) VALUES ('Ada'), ('ADA'), ('ada'), ('bob') RETURNING name, version;
-- One lock for all spellings.
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND mode = 'ExclusiveLock';
COMMIT;
-- Another spelling is the same parent.
UPDATE name_versions SET name = 'aDa' WHERE version = 1 AND name = 'ada' RETURNING name;
UPDATE name_versions SET name = 'Bob' WHERE version = 2;
\echo :SQLSTATE
DELETE FROM name_versions WHERE version = 3;
SELECT name, version, is_current FROM name_versions ORDER BY name, version;
UPDATE names SET name = 'Eve' WHERE name = 'ada';
SELECT name, version, is_current FROM name_versions ORDER BY name, version;

-- Enums, domains, numbers that are equal, arrays; a flag that may be NULL; bigint numbers.
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE DOMAIN label AS text CHECK (VALUE <> '');
CREATE TABLE moods (a mood, b label, c numeric, d int[], version bigint, is_current boolean);
SELECT count(*) > 0 AS enabled FROM enable_versioning('moods', '{a,b,c,d}', 'version', 'is_current');
INSERT INTO moods VALUES ('sad', 'x', 1.0, '{1}'), ('sad', 'x', 1.00, '{1}'), ('happy', 'x', 1, '{1}'), ('sad', 'x', 1, '{1}') RETURNING a, version;
UPDATE moods SET c = 1.000 WHERE version = 3;
UPDATE moods SET a = 'happy' WHERE version = 3;
UPDATE moods SET is_current = NULL WHERE version = 3;
INSERT INTO moods VALUES ('sad', 'x', 1, '{1}') RETURNING version, is_current;
SELECT a, version, is_current FROM moods ORDER BY a, version;
UPDATE moods SET version = 9223372036854775807 WHERE version = 4;
\echo :SQLSTATE
SET pg_versioned.keep_numbers = on;
UPDATE moods SET version = 9223372036854775807 WHERE version = 4;
RESET pg_versioned.keep_numbers;
INSERT INTO moods VALUES ('sad', 'x', 1, '{1}');
\echo :SQLSTATE

-- A number that has no room for more; an identity in its place.
CREATE TABLE small (a int, version smallint GENERATED ALWAYS AS IDENTITY);
SELECT action FROM enable_versioning('small', '{a}', 'version') WHERE action NOT LIKE '%trigger';
INSERT INTO small SELECT 1 FROM generate_series(1, 32767);
INSERT INTO small VALUES (1);
\echo :SQLSTATE
CREATE TABLE serials (a int, version serial NOT NULL, UNIQUE (version, a));
SELECT action, statement FROM enable_versioning('serials', '{a}', 'version') WHERE action NOT LIKE '%trigger';
INSERT INTO serials (a) VALUES (1), (2), (1) RETURNING *;
-- Newest first
CREATE TABLE descending (a text COLLATE "C", b int, version int NOT NULL);
CREATE UNIQUE INDEX ON descending (b DESC, a, version DESC);
SELECT action FROM enable_versioning('descending', '{a,b}', 'version') WHERE action NOT LIKE '%trigger';
INSERT INTO descending VALUES ('x', 1), ('x', 2), ('x', 1), ('y', 1), ('x', 1) RETURNING *;
-- Deferrable
CREATE TABLE deferred (a int, version int, UNIQUE (a, version) DEFERRABLE INITIALLY DEFERRED);
SELECT action FROM enable_versioning('deferred', '{a}', 'version') WHERE action NOT LIKE '%trigger';
INSERT INTO deferred VALUES (1, 1), (1, 1), (1, 1) RETURNING *;

--
-- Partitions
--
CREATE TABLE tenants (tenant int PRIMARY KEY);
CREATE TABLE parted (id int, tenant int REFERENCES tenants ON UPDATE CASCADE, file text, version int, is_current boolean, previous int) PARTITION BY LIST (tenant);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1);
CREATE TABLE parted_2 PARTITION OF parted FOR VALUES IN (2, 3) PARTITION BY HASH (file);
CREATE TABLE parted_2_0 PARTITION OF parted_2 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE parted_2_1 PARTITION OF parted_2 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE UNIQUE INDEX parted_current ON parted (tenant, file) WHERE is_current;
INSERT INTO tenants VALUES (1), (2), (3), (4), (5);
SELECT * FROM enable_versioning('parted', '{tenant}', 'version');
SELECT * FROM enable_versioning('parted_1', '{tenant,file}', 'version');
\echo :SQLSTATE
SELECT action, statement FROM enable_versioning('parted', '{tenant,file}', 'version', 'is_current') WHERE action NOT LIKE '%trigger';
SELECT * FROM versioned_tables WHERE table_name = 'parted'::regclass;
INSERT INTO parted (id, tenant, file) SELECT n, 1 + n % 3, 'f' || n % 2 FROM generate_series(1, 12) n;
INSERT INTO parted_2_0 (id, tenant, file) VALUES (13, 2, 'f1');
-- One that comes later, and one that goes.
CREATE TABLE parted_4 (is_current boolean, version int NOT NULL, file text NOT NULL, previous int, id int, tenant int NOT NULL);
ALTER TABLE parted ATTACH PARTITION parted_4 FOR VALUES IN (4, 5);
INSERT INTO parted (id, tenant, file) VALUES (14, 4, 'f'), (15, 4, 'f');
SELECT tableoid::regclass, tenant, file, array_agg(version ORDER BY version) AS versions, array_agg(version) FILTER (WHERE is_current) AS current
  FROM parted GROUP BY 1, 2, 3 ORDER BY 1::text, 2, 3;
-- The parent's key takes rows to another partition, with their numbers; or leaves them where they are.
DELETE FROM tenants WHERE tenant = 5;
UPDATE tenants SET tenant = 5 WHERE tenant = 4;
INSERT INTO parted (id, tenant, file, version) VALUES (16, 5, 'f', 1), (17, 5, 'f', 2) RETURNING version;
UPDATE tenants SET tenant = 4 WHERE tenant = 1;
SELECT tableoid::regclass, tenant, file, array_agg(version ORDER BY version) AS versions, array_agg(version) FILTER (WHERE is_current) AS current
  FROM parted GROUP BY 1, 2, 3 ORDER BY 1::text, 2, 3;
UPDATE parted SET tenant = 1 WHERE tenant = 4;
\echo :SQLSTATE
ALTER TABLE parted DETACH PARTITION parted_4;
INSERT INTO parted_4 (tenant, file, version) VALUES (5, 'f', 9) RETURNING version;
SELECT action, statement FROM disable_versioning('parted') WHERE action NOT LIKE '%trigger';
SELECT tgrelid::regclass FROM pg_trigger WHERE tgname LIKE '~pg_versioned%' AND tgrelid::regclass::text LIKE 'parted%';
SELECT c.relname, i.indisvalid, i.indisunique FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indpred IS NOT NULL AND c.relname LIKE 'parted%' ORDER BY 1;

--
-- Names
--
CREATE SCHEMA "s'; drop table x; --";
CREATE TABLE "s'; drop table x; --"."a ""b"" \ $$ é" (
    "select" int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "file'Id" text, "ver""sion" int DEFAULT 1, "is current?" boolean, "préc'" int,
    CONSTRAINT "u ON ONLY '1" UNIQUE ("file'Id", "ver""sion"), CONSTRAINT "u ON ONLY ""2" UNIQUE ("file'Id", "ver""sion"));
CREATE UNIQUE INDEX "CREATE UNIQUE INDEX ' ON ONLY x" ON "s'; drop table x; --"."a ""b"" \ $$ é" ("file'Id") WHERE "is current?";
SELECT action, statement FROM enable_versioning('"s''; drop table x; --"."a ""b"" \ $$ é"', ARRAY['file''Id'], 'ver"sion', 'is current?', 'préc''', 'error');
INSERT INTO "s'; drop table x; --"."a ""b"" \ $$ é" ("file'Id") VALUES ('a''"'), ('a''"'), ('é') RETURNING *;
INSERT INTO "s'; drop table x; --"."a ""b"" \ $$ é" ("file'Id", "ver""sion") VALUES ('a''"', 9);
UPDATE "s'; drop table x; --"."a ""b"" \ $$ é" SET "ver""sion" = 9;
UPDATE "s'; drop table x; --"."a ""b"" \ $$ é" SET "préc'" = 3;
UPDATE "s'; drop table x; --"."a ""b"" \ $$ é" SET "is current?" = true WHERE "select" = 1;
DELETE FROM "s'; drop table x; --"."a ""b"" \ $$ é" WHERE "select" = 1;
SELECT * FROM "s'; drop table x; --"."a ""b"" \ $$ é" ORDER BY 1;
SELECT * FROM versioned_tables WHERE table_name::text LIKE '%drop%';
SELECT action, statement FROM disable_versioning('"s''; drop table x; --"."a ""b"" \ $$ é"');
SELECT * FROM indexes('"s''; drop table x; --"."a ""b"" \ $$ é"');
DROP TABLE "s'; drop table x; --"."a ""b"" \ $$ é";
DROP SCHEMA "s'; drop table x; --";

--
-- Changes of the table
--
CREATE TABLE changing (id serial PRIMARY KEY, file int, version int, is_current boolean, previous int);
SELECT count(*) FROM enable_versioning('changing', '{file}', 'version', 'is_current', 'previous');
INSERT INTO changing (file) VALUES (1), (1);
CREATE SCHEMA elsewhere;
ALTER TABLE changing SET SCHEMA elsewhere;
ALTER TABLE elsewhere.changing RENAME TO changed;
INSERT INTO elsewhere.changed (file) VALUES (1) RETURNING version, previous;
DELETE FROM elsewhere.changed WHERE version = 2;
SELECT version, is_current, previous FROM elsewhere.changed ORDER BY version;
ALTER TABLE elsewhere.changed RENAME file TO document;
INSERT INTO elsewhere.changed (document) VALUES (1);
DELETE FROM elsewhere.changed WHERE version = 3;
\echo :SQLSTATE
SELECT action FROM enable_versioning('elsewhere.changed', '{document}', 'version', 'is_current', 'previous') WHERE action NOT LIKE '%trigger';
INSERT INTO elsewhere.changed (document) VALUES (1) RETURNING version;
ALTER TABLE elsewhere.changed DROP CONSTRAINT changing_file_version_key;
INSERT INTO elsewhere.changed (document) VALUES (1);
\echo :SQLSTATE
SELECT action FROM enable_versioning('elsewhere.changed', '{document}', 'version', 'is_current', 'previous');
ALTER TABLE elsewhere.changed ALTER is_current TYPE text;
ALTER TABLE elsewhere.changed DROP previous;
\echo :SQLSTATE
ALTER TABLE elsewhere.changed ADD note text DEFAULT 'new', DROP id CASCADE;
INSERT INTO elsewhere.changed (document) VALUES (1), (1) RETURNING version, note;
ALTER TABLE elsewhere.changed ALTER version TYPE text;
\echo :SQLSTATE
-- The link no longer fits what it refers to.
CREATE TABLE retyped (id text PRIMARY KEY, file int, version int, previous text);
SELECT count(*) FROM enable_versioning('retyped', '{file}', 'version', p_previous_id_column => 'previous');
INSERT INTO retyped (id, file) VALUES ('1', 1), ('2', 1);
ALTER TABLE retyped ALTER id TYPE int USING id::int;
INSERT INTO retyped (id, file) VALUES (3, 1);
DELETE FROM retyped WHERE id = 1;
\echo :SQLSTATE
SELECT * FROM enable_versioning('retyped', '{file}', 'version', p_previous_id_column => 'previous');
\echo :SQLSTATE
-- The extension cannot go from under it.
DO $$
BEGIN
    DROP EXTENSION pg_versioned;
EXCEPTION WHEN dependent_objects_still_exist THEN
    RAISE NOTICE 'refused';
END $$;
BEGIN;
SET LOCAL client_min_messages = warning;
DROP EXTENSION pg_versioned CASCADE;
INSERT INTO elsewhere.changed (document, version) VALUES (1, 100) RETURNING version;
ROLLBACK;
INSERT INTO elsewhere.changed (document, version) VALUES (1, 100) RETURNING version;

SET client_min_messages = warning;
DROP SCHEMA legacy, elsewhere CASCADE;
DROP FOREIGN DATA WRAPPER nowhere CASCADE;
