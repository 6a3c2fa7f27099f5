--
-- RENUMBERING
--
-- renumber_versions repairs the numbers of a table that people have already: 1, 2, 3 ... per parent, and one current row.
--
\getenv schema VERSIONED_SCHEMA
-- Names of backups differ from run to run.
CREATE FUNCTION pg_temp.masked(name text) RETURNS text LANGUAGE sql AS $$
    SELECT regexp_replace(name, '_backup_[0-9A-HJKMNP-TV-Z]{26}', '_backup_<ulid>', 'g')
$$;
CREATE FUNCTION pg_temp.error_of(sql text, OUT code text, OUT message text, OUT detail text, OUT hint text)
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE sql;
EXCEPTION WHEN OTHERS THEN
    code := SQLSTATE;
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    message := pg_temp.masked(message);
END
$$;
CREATE FUNCTION pg_temp.backup_of(name text) RETURNS regclass LANGUAGE sql AS $$
    SELECT oid::regclass FROM pg_class
     WHERE starts_with(relname, name || '_backup_') AND relkind = 'r' ORDER BY relname DESC LIMIT 1
$$;
CREATE SCHEMA mine;
-- As hosted platforms do; install has done it for tables.
ALTER DEFAULT PRIVILEGES GRANT ALL ON TYPES TO anon;
ALTER DEFAULT PRIVILEGES IN SCHEMA mine GRANT ALL ON TABLES TO anon, PUBLIC;
SET search_path = mine, :schema, public;

--
-- Dry run, repair, undo
--
CREATE TABLE file_version (
    id text PRIMARY KEY,
    "fileId" text NOT NULL,
    version integer NOT NULL CHECK (version > 0),
    "createdAt" timestamptz,
    content text,
    UNIQUE ("fileId", version)
);
INSERT INTO file_version VALUES
    ('c1', 'a', 3, '2026-01-01', 'first'), ('c2', 'a', 1, '2026-01-02', 'second'), ('c3', 'a', 7, '2026-01-03', 'third'),
    ('c4', 'a', 2, NULL, 'of unknown age'), ('c5', 'b', 1, '2026-01-01', 'sound'), ('c6', 'b', 2, '2026-01-02', 'sound'),
    ('c9', 'c', 5, '2026-01-01', 'a tie'), ('c8', 'c', 4, '2026-01-01', 'a tie');

SELECT * FROM renumber_versions('file_version', '{fileId}', 'version', '{createdAt}');
SELECT count(*) FROM file_version WHERE version > 4;

-- A plain UPDATE fails on the constraint half-way; so do negative numbers.
SELECT row_key, parent, old_version, new_version, pg_temp.masked(backup) AS backup
  FROM renumber_versions('file_version', '{fileId}', 'version', '{createdAt}', p_dry_run => false);
SELECT * FROM file_version ORDER BY "fileId", version;
SELECT * FROM renumber_versions('file_version', '{fileId}', 'version', '{createdAt}', p_dry_run => false);

-- The backup is its owner's, says what it is, and is made only if something changes.
SELECT count(*) FROM pg_class WHERE relname LIKE 'file_version_backup_%';
SELECT relrowsecurity, pg_get_userbyid(relowner) = current_user AS is_mine FROM pg_class WHERE oid = pg_temp.backup_of('file_version');
SELECT 'table' AS object, count(*) > 0 AS is_set, bool_and(a.grantee = c.relowner) AS only_the_owner
  FROM pg_class c, aclexplode(c.relacl) a WHERE c.oid = pg_temp.backup_of('file_version')
UNION ALL
SELECT 'type', count(*) > 0, bool_and(a.grantee = c.relowner)
  FROM pg_class c JOIN pg_type t ON t.oid = c.reltype, aclexplode(t.typacl) a WHERE c.oid = pg_temp.backup_of('file_version');
SELECT replace(pg_temp.masked(obj_description(pg_temp.backup_of('file_version'))), :'schema' || '.undo', '<schema>.undo') AS comment;
SELECT pg_temp.backup_of('file_version') AS backup \gset
SELECT * FROM :backup ORDER BY id;

SELECT * FROM undo_renumber(:'backup');
SELECT id, version FROM file_version ORDER BY id;
SELECT * FROM undo_renumber(:'backup');
SELECT id, version FROM file_version ORDER BY id;

-- What is not a row of the backup is left alone, and so is what has changed since.
SELECT count(*) FROM renumber_versions('file_version', '{fileId}', 'version', '{createdAt}', p_dry_run => false);
SELECT pg_temp.backup_of('file_version') AS backup \gset
DELETE FROM file_version WHERE id = 'c4';
UPDATE file_version SET version = 9 WHERE id = 'c2';
UPDATE file_version SET "fileId" = 'd' WHERE id = 'c9';
SELECT * FROM undo_renumber(:'backup');
-- A number that somebody has taken since: all of the parent stays, so that its order stays.
SELECT count(*) FROM renumber_versions('file_version', '{fileId}', 'version', '{createdAt}', p_dry_run => false);
SELECT pg_temp.backup_of('file_version') AS backup \gset
INSERT INTO file_version VALUES ('c7', 'a', 9, now(), 'fourth');
SELECT row_key, old_version, new_version, restored, reason FROM undo_renumber(:'backup');
DELETE FROM file_version WHERE id = 'c7';
SELECT row_key, old_version, new_version, restored, reason FROM undo_renumber(:'backup');
SELECT id, "fileId", version FROM file_version ORDER BY id;

--
-- The current row
--
CREATE TABLE project_files (
    id integer PRIMARY KEY,
    project_id integer,
    path text,
    version integer DEFAULT 1,
    is_current boolean,
    created_at date NOT NULL
);
INSERT INTO project_files VALUES
    -- two are current: the newer of them stays
    (1, 1, 'a', 1, true, '2026-01-01'), (2, 1, 'a', 1, true, '2026-01-02'), (3, 1, 'a', 1, false, '2026-01-03'),
    -- none is: the newest becomes it
    (4, 1, 'b', 1, false, '2026-01-01'), (5, 1, 'b', 2, NULL, '2026-01-02'),
    -- one is, and stays, even if it is not the newest
    (6, 2, 'a', 1, true, '2026-01-01'), (7, 2, 'a', 2, NULL, '2026-01-02'),
    -- belong to nothing
    (8, NULL, 'a', 5, true, '2026-01-01'), (9, 2, NULL, 5, true, '2026-01-01');
SELECT * FROM renumber_versions('project_files', '{project_id,path}', 'version', '{created_at}', 'is_current');
SELECT count(backup) FROM renumber_versions('project_files', '{project_id,path}', 'version', '{created_at}', 'is_current', false);
SELECT * FROM project_files ORDER BY id;
SELECT pg_temp.backup_of('project_files') AS backup \gset
-- The application has moved the flag of one parent since.
UPDATE project_files SET is_current = id = 5 WHERE path = 'b';
UPDATE project_files SET is_current = id = 3 WHERE project_id = 1 AND path = 'a';
SELECT * FROM undo_renumber(:'backup');
SELECT * FROM project_files ORDER BY id;
UPDATE project_files SET is_current = id = 2 WHERE project_id = 1 AND path = 'a';
SELECT * FROM undo_renumber(:'backup');
-- A parent whose flag it took away and gave to none, and one that is as it was left.
SELECT count(*) FROM renumber_versions('project_files', '{project_id,path}', 'version', '{created_at}', 'is_current', false);
UPDATE project_files SET is_current = true WHERE id IN (1, 2);
UPDATE project_files SET is_current = false WHERE path = 'b';
SELECT row_key, old_version, new_version, old_current, new_current
  FROM renumber_versions('project_files', '{project_id,path}', 'version', '{created_at}', 'is_current', false);
SELECT pg_temp.backup_of('project_files') AS backup \gset
UPDATE project_files SET is_current = false WHERE id = 5;
SELECT * FROM undo_renumber(:'backup');
SELECT id, is_current FROM project_files ORDER BY id;

--
-- Names, and types of other schemas
--
CREATE SCHEMA "; drop table x";
CREATE TABLE "; drop table x"."Ünïcode ""quoted"" 日本語日本語日本語日本語" (
    "select" uuid, "old_version" integer, "a'b" text, "parent" text NOT NULL, "version; --" smallint, "flag
line" boolean, "$1" date,
    PRIMARY KEY ("parent", "version; --", "old_version")
);
INSERT INTO "; drop table x"."Ünïcode ""quoted"" 日本語日本語日本語日本語" ("parent", "version; --", old_version, "flag
line", "$1")
VALUES ('p', 5, 1, true, '2026-01-02'), ('p', 6, 1, true, '2026-01-01'), ('q', 0, 1, false, '2026-01-01');
SELECT row_key, parent, old_version, new_version, old_current, new_current, pg_temp.masked(backup) AS backup
  FROM renumber_versions('"; drop table x"."Ünïcode ""quoted"" 日本語日本語日本語日本語"', '{parent}', 'version; --', '{$1}',
                         'flag
line', false);
SELECT max(octet_length(relname)) AS longest FROM pg_class WHERE relname LIKE '%\_backup\_%' AND relkind = 'r';
SELECT pg_temp.backup_of('Ünïcode "quoted" 日本語') AS backup \gset
SELECT * FROM :backup ORDER BY 1, 2;
-- The number is part of the key: a row is found by the one it was given.
SELECT * FROM undo_renumber(:'backup');
SELECT "parent", "version; --", "flag
line" FROM "; drop table x"."Ünïcode ""quoted"" 日本語日本語日本語日本語" ORDER BY 1, 2;
SELECT restored, reason FROM undo_renumber(:'backup');
SET client_min_messages = warning;
DROP SCHEMA "; drop table x" CASCADE;
RESET client_min_messages;

-- Types whose operators are in a schema that is not searched, as those of citext are.
SET client_min_messages = warning;
CREATE TYPE mine.anycase;
CREATE FUNCTION mine.anycase_in(cstring) RETURNS mine.anycase LANGUAGE internal IMMUTABLE STRICT AS 'textin';
CREATE FUNCTION mine.anycase_out(mine.anycase) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'textout';
CREATE TYPE mine.anycase (INPUT = mine.anycase_in, OUTPUT = mine.anycase_out, LIKE = text);
CREATE CAST (mine.anycase AS text) WITHOUT FUNCTION AS IMPLICIT;
CREATE FUNCTION mine.anycase_cmp(a mine.anycase, b mine.anycase) RETURNS integer LANGUAGE sql IMMUTABLE STRICT
    RETURN bttextcmp(lower(a::text), lower(b::text));
SELECT format('CREATE FUNCTION mine.%1$s(a mine.anycase, b mine.anycase) RETURNS boolean LANGUAGE sql IMMUTABLE STRICT
                   RETURN mine.anycase_cmp(a, b) %2$s 0;
               CREATE OPERATOR mine.%2$s (FUNCTION = mine.%1$s, LEFTARG = mine.anycase, RIGHTARG = mine.anycase)', name, operator)
  FROM (VALUES ('lt', '<'), ('le', '<='), ('eq', '='), ('ge', '>='), ('gt', '>')) AS v (name, operator) \gexec
CREATE OPERATOR CLASS mine.anycase_ops DEFAULT FOR TYPE mine.anycase USING btree AS
    OPERATOR 1 mine.<, OPERATOR 2 mine.<=, OPERATOR 3 mine.=, OPERATOR 4 mine.>=, OPERATOR 5 mine.>,
    FUNCTION 1 mine.anycase_cmp(mine.anycase, mine.anycase);
RESET client_min_messages;
CREATE TABLE cased (path mine.anycase, key mine.anycase PRIMARY KEY, v integer, is_current boolean, UNIQUE (path, v));
INSERT INTO cased VALUES ('README', 'A', 5, true), ('readme', 'b', 4, true), ('Readme', 'C', 9, false), ('other', 'd', 1, true);
SELECT row_key, parent, old_version, new_version, new_current
  FROM renumber_versions('cased', '{path}', 'v', '{key}', 'is_current', false);
UPDATE cased SET path = 'ReadMe' WHERE key = 'a';
UPDATE cased SET is_current = true WHERE key = 'c';
SELECT row_key, old_version, new_version, restored, reason FROM undo_renumber(pg_temp.backup_of('cased'));
CREATE DOMAIN mine.word AS text;
CREATE TYPE mine.pair AS (a integer, b text);
CREATE TABLE typed (id mine.pair PRIMARY KEY, parent mine.word NOT NULL, parts integer[] NOT NULL, v bigint, UNIQUE (parent, parts, v));
INSERT INTO typed VALUES ((1, 'a'), 'p', '{1}', 9), ((1, 'b'), 'p', '{1}', NULL), ((2, 'a'), 'p', '{2}', -4);
SELECT row_key, parent, old_version, new_version FROM renumber_versions('typed', '{parent,parts}', 'v', '{id}', p_dry_run => false);
SELECT restored FROM undo_renumber(pg_temp.backup_of('typed'));
SELECT * FROM typed ORDER BY id;

--
-- Partitions, triggers, policies, generated columns
--
CREATE TABLE parts (id integer, doc integer NOT NULL, no integer, at integer, twice integer GENERATED ALWAYS AS (no * 2) STORED,
                    PRIMARY KEY (doc, id), UNIQUE (doc, no)) PARTITION BY RANGE (doc);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (1) TO (10);
CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (10) TO (20) PARTITION BY RANGE (doc);
CREATE TABLE parts_21 PARTITION OF parts_2 FOR VALUES FROM (10) TO (20);
INSERT INTO parts (id, doc, no, at) SELECT n, d, 10 - n, n FROM generate_series(1, 4) n, unnest('{1,15}'::int[]) d;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'trigger % of %', TG_NAME, TG_TABLE_NAME; END $$;
CREATE TRIGGER origin BEFORE UPDATE ON parts FOR EACH ROW EXECUTE FUNCTION refuse();
CREATE TRIGGER always AFTER UPDATE ON parts FOR EACH ROW EXECUTE FUNCTION refuse();
CREATE TRIGGER "of; statement" AFTER UPDATE ON parts FOR EACH STATEMENT EXECUTE FUNCTION refuse();
CREATE TRIGGER off BEFORE UPDATE ON parts FOR EACH ROW EXECUTE FUNCTION refuse();
CREATE TRIGGER own BEFORE UPDATE ON parts_21 FOR EACH ROW EXECUTE FUNCTION refuse();
CREATE TRIGGER inserts BEFORE INSERT ON parts FOR EACH ROW EXECUTE FUNCTION refuse();
CREATE CONSTRAINT TRIGGER later AFTER UPDATE ON parts_1 DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse();
ALTER TABLE parts ENABLE ALWAYS TRIGGER always;
ALTER TABLE parts DISABLE TRIGGER off;
ALTER TABLE parts_1 ENABLE REPLICA TRIGGER origin;
ALTER TABLE parts_21 ENABLE TRIGGER off;
CREATE TEMP TABLE before AS SELECT tgrelid::regclass, tgname, tgenabled FROM pg_trigger WHERE tgrelid::regclass::text LIKE 'parts%';
SELECT tgrelid, tgname, tgenabled FROM before WHERE tgname IN ('origin', 'always', 'off') ORDER BY tgrelid::text, 2;
SELECT row_key, parent, old_version, new_version FROM renumber_versions('parts', '{doc}', 'no', '{at}', p_dry_run => false);
SELECT id, doc, no, twice FROM parts ORDER BY doc, no;
SELECT restored, reason FROM undo_renumber(pg_temp.backup_of('parts'));
SELECT doc, array_agg(no ORDER BY id) FROM parts GROUP BY doc ORDER BY doc;
(SELECT tgrelid::regclass, tgname, tgenabled FROM pg_trigger WHERE tgrelid::regclass::text LIKE 'parts%' EXCEPT TABLE before)
UNION ALL (TABLE before EXCEPT SELECT tgrelid::regclass, tgname, tgenabled FROM pg_trigger WHERE tgrelid::regclass::text LIKE 'parts%');
UPDATE parts SET no = 1 WHERE doc = 15;
SELECT * FROM pg_temp.error_of($$SELECT FROM renumber_versions('parts_1', '{doc}', 'no', '{at}')$$);

-- Deferred triggers that are yet to run are in the way.
CREATE TABLE deferred (id integer PRIMARY KEY, doc integer, no integer);
INSERT INTO deferred VALUES (1, 1, 5);
CREATE FUNCTION ok() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER later AFTER UPDATE ON deferred DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ok();
BEGIN;
UPDATE deferred SET no = 4;
SELECT * FROM pg_temp.error_of($$SELECT FROM renumber_versions('deferred', '{doc}', 'no', '{id}', p_dry_run => false)$$);
SET CONSTRAINTS ALL IMMEDIATE;
SELECT old_version, new_version FROM renumber_versions('deferred', '{doc}', 'no', '{id}', p_dry_run => false);
COMMIT;

-- The owner's own table, in which a policy hides every other row from its owner, too.
CREATE ROLE renumbering_owner;
GRANT ALL ON SCHEMA mine TO renumbering_owner;
GRANT USAGE ON SCHEMA :schema TO renumbering_owner;
GRANT EXECUTE ON FUNCTION renumber_versions, undo_renumber TO renumbering_owner;
SET ROLE renumbering_owner;
CREATE TABLE hidden (id integer PRIMARY KEY, doc integer, no integer, UNIQUE (doc, no));
INSERT INTO hidden SELECT n, 1, n * 2 FROM generate_series(1, 4) n;
ALTER TABLE hidden ENABLE ROW LEVEL SECURITY;
ALTER TABLE hidden FORCE ROW LEVEL SECURITY;
CREATE POLICY even ON hidden USING (id % 2 = 0);
SELECT count(*) FROM hidden;
SELECT row_key, old_version, new_version FROM renumber_versions('hidden', '{doc}', 'no', '{no}');
SELECT row_key, old_version, new_version FROM renumber_versions('hidden', '{doc}', 'no', '{no}', p_dry_run => false);
SELECT row_key, old_version, new_version, restored FROM undo_renumber(pg_temp.backup_of('hidden'));
SELECT count(*) FROM hidden;
-- Only the owner's.
SELECT * FROM pg_temp.error_of($$SELECT FROM renumber_versions('file_version', '{fileId}', 'version', '{createdAt}')$$);
SELECT * FROM pg_temp.error_of(format('SELECT FROM undo_renumber(%L)', pg_temp.backup_of('file_version')));
-- A COMMENT cannot make others change tables that its writer does not own.
CREATE TABLE trap AS TABLE file_version WITH NO DATA;
COMMENT ON TABLE trap IS '{"schema":"mine","table":"file_version","primary_key":["id"],"parent_columns":["fileId"],"version_column":"version","current_column":null}';
RESET ROLE;
SELECT * FROM pg_temp.error_of($$SELECT FROM undo_renumber('trap')$$);
SELECT backup IS NOT NULL AS is_kept FROM renumber_versions('hidden', '{doc}', 'no', '{no}', p_dry_run => false) LIMIT 1;
REVOKE CREATE ON SCHEMA mine FROM renumbering_owner;
SET ROLE renumbering_owner;
SELECT * FROM pg_temp.error_of($$UPDATE hidden SET no = 7 WHERE id = 4$$);
SELECT * FROM pg_temp.error_of($$SELECT FROM renumber_versions('hidden', '{doc}', 'no', '{no}', p_dry_run => false)$$);
RESET ROLE;

--
-- Room for the numbers
--
-- Rows wait at numbers that are free, and a CHECK holds at any moment.
CREATE TABLE small (id integer PRIMARY KEY, doc integer, no smallint CHECK (no BETWEEN 1 AND 40), UNIQUE (doc, no));
INSERT INTO small SELECT n, 1, 11 - n FROM generate_series(1, 10) n;
SELECT array_agg(new_version) FROM renumber_versions('small', '{doc}', 'no', '{id}', p_dry_run => false);
ALTER TABLE small DROP CONSTRAINT small_no_check;
INSERT INTO small SELECT n, 2, 32767 - n FROM generate_series(11, 6000) n;
SELECT count(*), max(new_version) FROM renumber_versions('small', '{doc}', 'no', '{id}', p_dry_run => false);
INSERT INTO small SELECT n, 2, 32767 - n FROM generate_series(6001, 18000) n;
SELECT * FROM pg_temp.error_of($$SELECT FROM renumber_versions('small', '{doc}', 'no', '{id}', p_dry_run => false)$$);
-- Without the constraint nobody waits.
ALTER TABLE small DROP CONSTRAINT small_doc_no_key;
SELECT count(*), max(new_version) FROM renumber_versions('small', '{doc}', 'no', '{id}', p_dry_run => false);
INSERT INTO small SELECT n, 2, 1 FROM generate_series(18001, 33000) n;
SELECT * FROM pg_temp.error_of($$SELECT FROM renumber_versions('small', '{doc}', 'no', '{id}', p_dry_run => false)$$);

-- A constraint that no numbering of this kind can meet.
CREATE TABLE global (id integer PRIMARY KEY, doc integer, no integer UNIQUE);
INSERT INTO global VALUES (1, 1, 1), (2, 2, 2);
SELECT * FROM pg_temp.error_of($$SELECT FROM renumber_versions('global', '{doc}', 'no', '{id}', p_dry_run => false)$$);
TABLE global;

--
-- What is in the way
--
CREATE TABLE no_key (doc integer, no integer);
SELECT * FROM pg_temp.error_of($$SELECT FROM renumber_versions('no_key', '{doc}', 'no', '{no}')$$);
CREATE TABLE target (id integer PRIMARY KEY, doc integer, no integer, flag boolean, UNIQUE (doc, no));
INSERT INTO target VALUES (1, 1, 3, NULL);
CREATE TABLE refers (doc integer, n integer, CONSTRAINT "to; version" FOREIGN KEY (doc, n) REFERENCES target (doc, no));
SELECT * FROM pg_temp.error_of($$SELECT FROM renumber_versions('target', '{doc}', 'no', '{id}')$$);
SELECT * FROM pg_temp.error_of($$SELECT FROM renumber_versions('target', '{doc}', 'no', '{id}', p_dry_run => false)$$);
ALTER TABLE refers ADD PRIMARY KEY (doc, n);
SELECT code, message, detail FROM pg_temp.error_of($$SELECT FROM renumber_versions('refers', '{doc}', 'n', '{n}')$$);
DROP TABLE refers;
CREATE TABLE refers (target integer REFERENCES target (id));
INSERT INTO refers VALUES (1);
SELECT old_version, new_version FROM renumber_versions('target', '{doc}', 'no', '{id}', p_dry_run => false);
CREATE TABLE computed (id integer, doc integer, no integer, minus integer GENERATED ALWAYS AS (-no) STORED, PRIMARY KEY (id, minus));
SELECT code, message, hint FROM pg_temp.error_of($$SELECT FROM renumber_versions('computed', '{doc}', 'no', '{id}')$$);
SELECT code, message FROM pg_temp.error_of($$SELECT FROM renumber_versions('computed', '{doc}', 'minus', '{id}')$$);
CREATE TABLE by_number (id integer, no integer, PRIMARY KEY (id, no)) PARTITION BY RANGE (no);
SELECT code, message FROM pg_temp.error_of($$SELECT FROM renumber_versions('by_number', '{id}', 'no', '{id}')$$);
CREATE TABLE odd (id integer PRIMARY KEY, doc json, at point, no integer GENERATED ALWAYS AS IDENTITY, flag boolean);

SELECT message FROM unnest(ARRAY[
    $$NULL, '{doc}', 'no', '{id}'$$,
    $$'target', NULL, 'no', '{id}'$$,
    $$'target', '{}', 'no', '{id}'$$,
    $$'target', '{doc}', NULL, '{id}'$$,
    $$'target', '{doc}', 'no', NULL$$,
    $$'target', '{doc}', 'no', '{}'$$,
    $$'target', '{doc}', 'no', '{NULL}'$$,
    $$'target', '{doc}', 'no', '{nothing}'$$,
    $$'target', '{nothing}', 'no', '{id}'$$,
    $$'target', '{doc}', 'flag', '{id}'$$,
    $$'target', '{doc}', 'no', '{id}', 'id'$$,
    $$'target', '{doc}', 'no', '{id}', p_dry_run => NULL$$,
    $$'target', '{doc,flag}', 'no', '{id}', 'flag'$$,
    $$'target', '{doc}', 'no', '{flag}', 'flag'$$,
    $$'odd', '{doc}', 'no', '{id}'$$,
    $$'odd', '{flag}', 'no', '{at}'$$,
    $$'odd', '{flag}', 'no', '{id}'$$,
    $$'pg_class', '{relname}', 'relpages', '{oid}'$$
]) AS arguments, pg_temp.error_of('SELECT FROM renumber_versions(' || arguments || ')');
SELECT * FROM pg_temp.error_of($$SELECT FROM undo_renumber(NULL)$$);
SELECT * FROM pg_temp.error_of($$SELECT FROM undo_renumber('target')$$);

-- A transaction whose snapshot is fixed might not see what was committed before the lock. It may look.
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SELECT count(*) FROM renumber_versions('target', '{doc}', 'no', '{id}');
SELECT count(*) FROM renumber_versions('target', '{doc}', 'no', '{id}', p_dry_run => false);
\echo :SQLSTATE
ROLLBACK;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM renumber_versions('target', '{doc}', 'no', '{id}', p_dry_run => false);
\echo :SQLSTATE
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT count(*) FROM undo_renumber(pg_temp.backup_of('target'));
\echo :SQLSTATE
ROLLBACK;

-- What is no longer as it was when the backup was made.
ALTER TABLE target RENAME TO renamed;
SELECT code, message, hint FROM pg_temp.error_of(format('SELECT FROM undo_renumber(%L)', pg_temp.backup_of('target')));
ALTER TABLE renamed RENAME TO target;
ALTER TABLE target DROP CONSTRAINT target_pkey CASCADE, ADD PRIMARY KEY (doc, id);
SELECT code, message, hint FROM pg_temp.error_of(format('SELECT FROM undo_renumber(%L)', pg_temp.backup_of('target')));
ALTER TABLE target RENAME no TO number;
SELECT code, message FROM pg_temp.error_of(format('SELECT FROM undo_renumber(%L)', pg_temp.backup_of('target')));

-- A trigger on INSERT is not in the way, and a table that the same statement reads is.
SELECT * FROM pg_temp.error_of($$
    SELECT FROM parts p, LATERAL renumber_versions('parts', '{doc}', 'no', '{at}', p_dry_run => false)$$);

-- Rows that are written twice are checked again by deferred foreign keys, and triggers can be enabled only after that.
-- Afterwards the foreign keys are as deferred as they were.
CREATE TABLE doc (id text PRIMARY KEY);
INSERT INTO doc VALUES ('a');
CREATE TABLE checked_late (
    id   integer PRIMARY KEY,
    doc  text CONSTRAINT late REFERENCES doc DEFERRABLE INITIALLY DEFERRED,
    soon text CONSTRAINT soon REFERENCES doc DEFERRABLE,
    no   integer,
    UNIQUE (doc, no)
);
INSERT INTO checked_late VALUES (1, 'a', 'a', 2), (2, 'a', 'a', 4), (3, 'a', 'a', 3);
CREATE TRIGGER refusing BEFORE UPDATE ON checked_late FOR EACH ROW EXECUTE FUNCTION refuse();
BEGIN;
SELECT row_key, old_version, new_version FROM renumber_versions('checked_late', '{doc}', 'no', '{id}', p_dry_run => false);
SELECT row_key, old_version, new_version, restored FROM undo_renumber(pg_temp.backup_of('checked_late'));
INSERT INTO checked_late VALUES (4, 'nothing', 'a', 1);
SELECT code, message FROM pg_temp.error_of($$INSERT INTO checked_late VALUES (5, 'a', 'nothing', 5)$$);
COMMIT;
BEGIN;
SET CONSTRAINTS ALL DEFERRED;
SELECT row_key, old_version, new_version FROM renumber_versions('checked_late', '{doc}', 'no', '{id}', p_dry_run => false);
INSERT INTO checked_late VALUES (5, 'a', 'nothing', 5);
ROLLBACK;
UPDATE checked_late SET no = no;
SELECT id, doc, no FROM checked_late ORDER BY id;

-- A unique index on what is computed from the number is not in the way either.
CREATE TABLE labeled (
    id    integer PRIMARY KEY,
    doc   text,
    no    integer,
    label text GENERATED ALWAYS AS ('v' || no::text) STORED,
    UNIQUE (doc, label)
);
INSERT INTO labeled VALUES (1, 'a', 2), (2, 'a', 1), (3, 'a', 3);
SELECT row_key, old_version, new_version FROM renumber_versions('labeled', '{doc}', 'no', '{id}', p_dry_run => false);
SELECT row_key, old_version, new_version, restored FROM undo_renumber(pg_temp.backup_of('labeled'));
SELECT * FROM labeled ORDER BY id;

-- Where a column must not be NULL any more and was, the rows of that parent are left alone.
CREATE TABLE was_null (id integer PRIMARY KEY, doc text NOT NULL, no integer, "now" boolean);
INSERT INTO was_null VALUES
    (1, 'a', NULL, false), (2, 'a', 1, false), (3, 'b', 7, true), (4, 'c', 9, false), (5, 'c', 8, NULL);
SELECT count(*) FROM renumber_versions('was_null', '{doc}', 'no', '{id}', 'now', p_dry_run => false);
SELECT count(*) > 0 AS is_protected FROM enable_versioning('was_null', '{doc}', 'no', 'now');
ALTER TABLE was_null ALTER "now" SET NOT NULL;
SELECT * FROM undo_renumber(pg_temp.backup_of('was_null'));
SELECT * FROM was_null ORDER BY id;
SELECT count(*) > 0 AS is_unprotected FROM disable_versioning('was_null');
ALTER TABLE was_null ALTER no DROP NOT NULL, ALTER "now" DROP NOT NULL;
SELECT row_key, new_version, restored, reason FROM undo_renumber(pg_temp.backup_of('was_null'));
SELECT * FROM was_null ORDER BY id;

-- Anybody can write a comment that is none of a backup.
CREATE TABLE forged (id integer PRIMARY KEY);
COMMENT ON TABLE forged IS
    '{"schema": "a\u0000b", "table": "t", "primary_key": ["id"], "parent_columns": ["doc"], "version_column": "no", "current_column": null}';
SELECT code, message FROM pg_temp.error_of($$SELECT FROM undo_renumber('forged')$$);
COMMENT ON TABLE forged IS
    '{"schema": "mine", "table": "target", "primary_key": ["doc", "id"], "parent_columns": [], "version_column": "number", "current_column": null}';
SELECT code, message FROM pg_temp.error_of($$SELECT FROM undo_renumber('forged')$$);

SET client_min_messages = warning;
DROP SCHEMA mine CASCADE;
DROP OWNED BY renumbering_owner;
ALTER DEFAULT PRIVILEGES REVOKE ALL ON TYPES FROM anon;
DROP ROLE renumbering_owner;
RESET search_path;
