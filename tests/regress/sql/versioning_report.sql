--
-- VERSIONING REPORT
--
-- Most people have a table of versions already. What racing has broken in it, and what will break it again, is
-- found by a report, which names the SQL that fixes it.
--
\pset format unaligned
SELECT set_config('search_path', 'reports, ' || current_setting('search_path'), false) IS NOT NULL AS path;
CREATE SCHEMA reports;

-- Findings, briefly. The call of a function of the extension is shown without its schema.
CREATE FUNCTION reports.brief(p_table regclass, p_parents text[], p_version text, p_current text DEFAULT NULL, p_order text[] DEFAULT NULL)
    RETURNS TABLE (code text, severity text, rows bigint, example jsonb) LANGUAGE sql AS
    'SELECT code, severity, rows, example FROM versioning_report(p_table, p_parents, p_version, p_current, p_order)';
CREATE FUNCTION reports.fixes(p_table regclass, p_parents text[], p_version text, p_current text DEFAULT NULL, p_order text[] DEFAULT NULL)
    RETURNS TABLE (code text, description text, fix text) LANGUAGE sql AS
    $$SELECT code, description, regexp_replace(fix, '\w+\.(renumber_versions|enable_versioning)\(', '\1(')
        FROM versioning_report(p_table, p_parents, p_version, p_current, p_order)$$;
-- Runs the fixes as they are, in their order.
CREATE FUNCTION reports.run_fixes(p_table regclass, p_parents text[], p_version text, p_current text DEFAULT NULL, p_order text[] DEFAULT NULL)
    RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_fix text;
BEGIN
    FOR v_fix IN SELECT fix FROM versioning_report(p_table, p_parents, p_version, p_current, p_order) LOOP
        EXECUTE v_fix;
    END LOOP;
END
$$;

--
-- A sound table gives no row
--
CREATE TABLE file (id text PRIMARY KEY);
CREATE TABLE sound (
    id text PRIMARY KEY,
    "fileId" text NOT NULL REFERENCES file ON DELETE CASCADE,
    version integer NOT NULL,
    "isCurrent" boolean NOT NULL,
    "createdAt" timestamptz NOT NULL DEFAULT now(),
    UNIQUE ("fileId", version)
);
INSERT INTO file VALUES ('a'), ('b');
INSERT INTO sound VALUES ('1', 'a', 1, false, '2026-01-01'), ('2', 'a', 2, true, '2026-01-02'), ('3', 'b', 1, true, '2026-01-01');
SELECT * FROM versioning_report('sound', '{fileId}', 'version');
SELECT * FROM versioning_report('sound', '{fileId}', 'version', 'isCurrent', '{createdAt}');
CREATE TABLE empty_one (LIKE sound INCLUDING ALL, FOREIGN KEY ("fileId") REFERENCES file ON DELETE RESTRICT);
SELECT * FROM versioning_report('empty_one', '{fileId}', 'version', 'isCurrent', '{createdAt}');
-- It only reads.
BEGIN READ ONLY;
SELECT count(*) FROM versioning_report('sound', '{fileId}', 'version', 'isCurrent');
COMMIT;

--
-- The rows
--
CREATE TABLE broken (
    id integer PRIMARY KEY,
    "fileId" text NOT NULL,
    version integer,
    "isCurrent" boolean,
    "createdAt" timestamptz,
    FOREIGN KEY ("fileId") REFERENCES file ON DELETE CASCADE
);
CREATE INDEX ON broken ("fileId", version);
INSERT INTO file VALUES ('dup'), ('gap'), ('two'), ('none'), ('older'), ('order'), ('low'), ('fine');
INSERT INTO broken VALUES
    (1, 'dup', 1, false, '2026-01-01'), (2, 'dup', 2, false, '2026-01-02'), (3, 'dup', 2, false, '2026-01-03'), (4, 'dup', 2, true, '2026-01-04'),
    (5, 'gap', 2, false, '2026-01-01'), (6, 'gap', 3, false, '2026-01-02'), (7, 'gap', 7, true, '2026-01-03'),
    (8, 'two', 1, true, '2026-01-01'), (9, 'two', 2, true, '2026-01-02'), (10, 'two', 3, false, '2026-01-03'),
    (11, 'none', 1, false, '2026-01-01'), (12, 'none', 2, NULL, '2026-01-02'),
    (13, 'older', 1, true, '2026-01-01'), (14, 'older', 2, false, '2026-01-02'),
    (15, 'order', 1, false, '2026-01-02'), (16, 'order', 2, true, '2026-01-01'),
    (17, 'low', NULL, false, '2026-01-01'), (18, 'low', 0, false, '2026-01-01'), (19, 'low', -5, false, '2026-01-01'), (20, 'low', 1, true, '2026-01-02'),
    (21, 'fine', 1, false, '2026-01-01'), (22, 'fine', 2, true, '2026-01-01');
SELECT * FROM brief('broken', '{fileId}', 'version', 'isCurrent', '{createdAt}');
SELECT * FROM fixes('broken', '{fileId}', 'version', 'isCurrent', '{createdAt}');
-- Without the flag and the true order, neither is looked at.
SELECT code, fix FROM fixes('broken', '{fileId}', 'version');
-- One by one.
SELECT code, rows, example FROM brief('broken', '{id}', 'version', 'isCurrent') WHERE code IN ('no_current', 'version_gaps');
DELETE FROM broken WHERE "fileId" NOT IN ('older', 'fine');
SELECT * FROM brief('broken', '{fileId}', 'version', 'isCurrent', '{createdAt}');
SELECT fix FROM fixes('broken', '{fileId}', 'version', 'isCurrent') WHERE code = 'current_not_newest';
CREATE UNIQUE INDEX ON broken ("fileId") WHERE "isCurrent";
SELECT run_fixes('broken', '{fileId}', 'version', 'isCurrent');
SELECT * FROM brief('broken', '{fileId}', 'version', 'isCurrent');
SELECT id, version, "isCurrent" FROM broken ORDER BY id;
-- The greatest numbers there are.
CREATE TABLE large (id integer PRIMARY KEY, file text NOT NULL REFERENCES file ON DELETE CASCADE, version bigint NOT NULL, UNIQUE (file, version));
INSERT INTO large VALUES (1, 'a', 9223372036854775807), (2, 'b', 9223372036854775807), (3, 'fine', 1);
SELECT code, description, rows, example FROM versioning_report('large', '{file}', 'version');
CREATE TABLE small (id integer PRIMARY KEY, file text NOT NULL REFERENCES file ON DELETE CASCADE, version smallint NOT NULL, UNIQUE (file, version));
INSERT INTO small VALUES (1, 'a', 1), (2, 'a', 2);
SELECT * FROM brief('small', '{file}', 'version');

--
-- The definition: nothing at all is as it should be
--
CREATE TABLE "File" (id uuid PRIMARY KEY, slug text UNIQUE);
CREATE TABLE loose ("fileId" uuid, version integer DEFAULT 1);
INSERT INTO "File" VALUES ('00000000-0000-4000-8000-000000000001');
INSERT INTO loose VALUES ('00000000-0000-4000-8000-000000000001', 1), ('00000000-0000-4000-8000-000000000002', 1), (NULL, 1), (NULL, NULL);
SELECT * FROM brief('loose', '{fileId}', 'version');
SELECT * FROM fixes('loose', '{fileId}', 'version');
SELECT run_fixes('loose', '{fileId}', 'version');
SELECT * FROM brief('loose', '{fileId}', 'version');
SELECT * FROM loose;

-- An identity column, and a sequence.
CREATE TABLE counted (id integer PRIMARY KEY, file text NOT NULL REFERENCES file ON DELETE CASCADE,
                      version integer GENERATED BY DEFAULT AS IDENTITY, number serial, UNIQUE (file, version), UNIQUE (file, number));
SELECT * FROM fixes('counted', '{file}', 'version');
SELECT * FROM fixes('counted', '{file}', 'number');
SELECT run_fixes('counted', '{file}', 'version'), run_fixes('counted', '{file}', 'number');
SELECT * FROM brief('counted', '{file}', 'version');
SELECT * FROM brief('counted', '{file}', 'number');

--
-- Indexes
--
-- Those that are not what is needed: partial, on expressions, with another column, or without the version behind the parent.
CREATE TABLE indexed (id integer PRIMARY KEY, file text NOT NULL REFERENCES file ON DELETE CASCADE, version integer NOT NULL, kind text);
CREATE UNIQUE INDEX ON indexed (file, version) WHERE kind IS NULL;
CREATE UNIQUE INDEX ON indexed (file, (version + 1));
CREATE UNIQUE INDEX ON indexed (file, version, kind);
SELECT code, severity, fix FROM versioning_report('indexed', '{file}', 'version');
CREATE INDEX in_its_place ON indexed (file, version);
SELECT fix FROM fixes('indexed', '{file}', 'version') WHERE code = 'no_unique_constraint';
DROP INDEX in_its_place;
CREATE UNIQUE INDEX ON indexed (version, file) INCLUDE (kind);
SELECT code FROM versioning_report('indexed', '{file}', 'version');
DROP INDEX indexed_file_version_kind_idx;
SELECT * FROM fixes('indexed', '{file}', 'version');
SELECT run_fixes('indexed', '{file}', 'version');
SELECT * FROM brief('indexed', '{file}', 'version');
-- Two of the same: what is referred to, identifies rows or is the primary key stays.
CREATE TABLE twice (id integer PRIMARY KEY, file text NOT NULL REFERENCES file ON DELETE CASCADE, version integer NOT NULL, note text,
                    CONSTRAINT first_one UNIQUE (file, version));
CREATE TABLE comment (file text, version integer, CONSTRAINT refers FOREIGN KEY (file, version) REFERENCES twice (file, version));
ALTER TABLE twice ADD CONSTRAINT second_one UNIQUE (file, version);
CREATE UNIQUE INDEX third_one ON twice (file, version);
CREATE INDEX fourth_one ON twice (file, version);
CREATE INDEX other_order ON twice (file, version DESC);
CREATE UNIQUE INDEX fifth_one ON twice (id);
CREATE INDEX on_note ON twice (lower(note)) WHERE note > '';
CREATE INDEX on_note_too ON twice (lower(note)) WHERE note > '';
CREATE INDEX on_note_else ON twice (lower(note)) WHERE note > 'a';
ALTER TABLE twice REPLICA IDENTITY USING INDEX third_one;
SELECT * FROM fixes('twice', '{file}', 'version');
SELECT run_fixes('twice', '{file}', 'version');
SELECT * FROM brief('twice', '{file}', 'version');
SELECT indexrelid::regclass FROM pg_index WHERE indrelid = 'twice'::regclass ORDER BY indexrelid::regclass::text COLLATE "C";

--
-- Parents
--
-- A foreign key without ON DELETE; everything else about it is kept.
CREATE TABLE kept (id integer PRIMARY KEY, "fileId" text NOT NULL, version integer NOT NULL, UNIQUE ("fileId", version),
                   CONSTRAINT "of" FOREIGN KEY ("fileId") REFERENCES file MATCH FULL ON UPDATE CASCADE DEFERRABLE INITIALLY DEFERRED);
SELECT * FROM fixes('kept', '{fileId}', 'version');
SELECT run_fixes('kept', '{fileId}', 'version');
SELECT * FROM brief('kept', '{fileId}', 'version');
SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'of';
-- One that is not validated, and orphans that it let be.
CREATE TABLE unchecked (id integer PRIMARY KEY, file text NOT NULL, version integer NOT NULL, UNIQUE (file, version));
INSERT INTO unchecked VALUES (1, 'a', 1), (2, 'gone', 1), (3, 'gone', 2), (4, 'lost', 1);
ALTER TABLE unchecked ADD CONSTRAINT late FOREIGN KEY (file) REFERENCES file ON DELETE CASCADE NOT VALID;
SELECT * FROM brief('unchecked', '{file}', 'version');
SELECT * FROM fixes('unchecked', '{file}', 'version');
SELECT run_fixes('unchecked', '{file}', 'version');
SELECT * FROM brief('unchecked', '{file}', 'version');
-- Two tables that could be meant, or none.
CREATE TABLE files (id text PRIMARY KEY);
CREATE TABLE unsure (id integer PRIMARY KEY, "fileId" text NOT NULL, other text NOT NULL, version integer NOT NULL,
                     UNIQUE ("fileId", version), UNIQUE (other, version));
SELECT * FROM fixes('unsure', '{fileId}', 'version');
SELECT * FROM fixes('unsure', '{other}', 'version');
SELECT run_fixes('unsure', '{other}', 'version');
DROP TABLE files;
-- The other one has gone, so it is clear.
SELECT code, severity, description FROM versioning_report('unsure', '{fileId}', 'version');
-- A table that is a parent by its unique key; another type is not meant.
CREATE TABLE branch (id integer PRIMARY KEY, name text UNIQUE);
CREATE TABLE tag (id uuid PRIMARY KEY);
CREATE TABLE named (id integer PRIMARY KEY, branch text NOT NULL, tag text NOT NULL, version integer NOT NULL,
                    UNIQUE (branch, version), UNIQUE (tag, version));
SELECT fix FROM fixes('named', '{branch}', 'version');
SELECT fix FROM fixes('named', '{tag}', 'version');
-- Rows of the parents' table that the caller cannot see are no reason to call anything an orphan.
CREATE ROLE report_user;
GRANT USAGE, CREATE ON SCHEMA reports TO report_user;
CREATE TABLE hidden (id text PRIMARY KEY);
INSERT INTO hidden VALUES ('x');
ALTER TABLE hidden ENABLE ROW LEVEL SECURITY;
GRANT SELECT, REFERENCES ON hidden TO report_user;
CREATE TABLE seen (id integer PRIMARY KEY, hidden_id text NOT NULL, version integer NOT NULL, UNIQUE (hidden_id, version));
INSERT INTO seen VALUES (1, 'x', 1), (2, 'y', 1);
ALTER TABLE seen OWNER TO report_user;
SELECT current_setting('search_path') AS path \gset
SELECT extnamespace::regnamespace AS schema FROM pg_extension WHERE extname = 'pg_versioned' \gset
GRANT USAGE ON SCHEMA :schema TO report_user;
GRANT EXECUTE ON FUNCTION versioning_report TO report_user;
SET ROLE report_user;
SELECT code, description, rows FROM versioning_report('seen', '{hidden_id}', 'version');
RESET ROLE;
SELECT code, rows FROM versioning_report('seen', '{hidden_id}', 'version');

--
-- Code that counts by itself
--
CREATE TABLE numbered (id integer PRIMARY KEY, file text NOT NULL REFERENCES file ON DELETE CASCADE, version integer NOT NULL,
                       is_current boolean NOT NULL DEFAULT true, UNIQUE (file, version));
CREATE FUNCTION number_file() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.version IS NULL THEN
        NEW.version := (SELECT coalesce(max(version), 0) + 1 FROM numbered WHERE file = NEW.file);
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER "Number it" BEFORE INSERT ON numbered FOR EACH ROW EXECUTE FUNCTION number_file();
CREATE FUNCTION save_file(p_file text) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    v_current reports.numbered;
    v_version integer := 1;
BEGIN
    SELECT * INTO v_current FROM reports.numbered WHERE file = p_file AND is_current FOR UPDATE;
    IF FOUND THEN
        v_version := v_current.version + 1;
        UPDATE reports.numbered SET is_current = false WHERE id = v_current.id;
    END IF;
    INSERT INTO reports.numbered (id, file, version) VALUES (0, p_file, v_version);
    RETURN v_version;
END
$$;
CREATE FUNCTION next_version(p_file text) RETURNS integer
    BEGIN ATOMIC SELECT max(n.version) + 1 FROM numbered n WHERE n.file = p_file; END;
CREATE PROCEDURE add_version(p_file text) LANGUAGE sql AS
    'INSERT INTO numbered SELECT 0, p_file, version + 1 FROM numbered WHERE file = p_file ORDER BY version DESC LIMIT 1';
-- These take a lock, only read, or are about another table.
CREATE FUNCTION save_locked(p_file text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM file WHERE id = p_file FOR UPDATE;
    INSERT INTO numbered SELECT 0, p_file, max(version) + 1 FROM numbered WHERE file = p_file;
END
$$;
CREATE FUNCTION newest(p_file text) RETURNS integer LANGUAGE sql STABLE AS
    '-- not max(version) + 1
     SELECT max(version) FROM numbered WHERE file = p_file';
CREATE FUNCTION about_another() RETURNS integer LANGUAGE sql AS 'SELECT max(version) + 1 FROM large /* numbered */';
SELECT * FROM brief('numbered', '{file}', 'version', 'is_current');
SELECT * FROM fixes('numbered', '{file}', 'version', 'is_current');
-- A trigger that does not fire does no harm; its function may still.
ALTER TABLE numbered DISABLE TRIGGER "Number it";
SELECT code, description FROM fixes('numbered', '{file}', 'version', 'is_current') WHERE description LIKE '%number_file%';
DROP FUNCTION save_file, next_version;
DROP PROCEDURE add_version;
DROP FUNCTION number_file CASCADE;
SELECT * FROM brief('numbered', '{file}', 'version', 'is_current');

-- Where the trigger of enable_versioning gives the numbers, others do no harm, nor does a default.
SELECT to_regproc('versioned_internal.number_version') IS NULL AS is_missing \gset
\if :is_missing
CREATE FUNCTION versioned_internal.number_version() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
\endif
ALTER TABLE numbered ALTER COLUMN version SET DEFAULT 1;
CREATE FUNCTION count_up(p_file text) RETURNS integer LANGUAGE sql AS 'SELECT max(version) + 1 FROM numbered';
SELECT code FROM brief('numbered', '{file}', 'version', 'is_current');
CREATE TRIGGER protects BEFORE INSERT ON numbered FOR EACH ROW EXECUTE FUNCTION versioned_internal.number_version();
SELECT code FROM brief('numbered', '{file}', 'version', 'is_current');
ALTER TABLE numbered DISABLE TRIGGER protects;
SELECT code FROM brief('numbered', '{file}', 'version', 'is_current');
DROP TABLE numbered;
\if :is_missing
DROP FUNCTION versioned_internal.number_version();
\endif

--
-- Names, types and tables of every kind
--
CREATE SCHEMA "a ""schema""; --";
CREATE TABLE "a ""schema""; --"."select" ("id" uuid PRIMARY KEY);
CREATE TABLE "a ""schema""; --"."x'; drop table file; --" (
    "order" integer,
    "select_id" uuid,
    "Größe ""2""" text,
    "p1" integer,
    "version'; --" integer DEFAULT 7,
    "current" boolean,
    "given
at" date
);
INSERT INTO "a ""schema""; --"."x'; drop table file; --"
VALUES (1, '00000000-0000-4000-8000-000000000001', 'ä', 5, 1, false, '2026-01-01'), (2, '00000000-0000-4000-8000-000000000001', 'ä', 5, 3, false, '2026-01-01');
CREATE FUNCTION hostile() RETURNS integer LANGUAGE sql AS
    $$SELECT max("version'; --") + 1 FROM "a ""schema""; --"."x'; drop table file; --"$$;
\set hostile '\'"a ""schema""; --"."x\'\'; drop table file; --"\', ARRAY[\'select_id\', \'Größe "2"\', \'p1\'], \'version\'\'; --\', \'current\', ARRAY[E\'given\\nat\', \'order\']'
SELECT * FROM brief(:hostile);
SELECT * FROM fixes(:hostile);
-- What renumbering would do.
UPDATE "a ""schema""; --"."x'; drop table file; --" SET "current" = "order" = 2, "version'; --" = "order";
INSERT INTO "a ""schema""; --"."select" VALUES ('00000000-0000-4000-8000-000000000001');
DROP FUNCTION hostile();
SELECT run_fixes(:hostile);
SELECT * FROM brief(:hostile);
SELECT count(*) FROM file;

-- Composite parents: the foreign key of one column is there, the other column has a table of its own.
CREATE TABLE tenant (id integer PRIMARY KEY);
CREATE TABLE document (tenant_id integer REFERENCES tenant, id integer, PRIMARY KEY (tenant_id, id));
CREATE TABLE document_version (tenant_id integer NOT NULL REFERENCES tenant ON DELETE CASCADE, document_id integer NOT NULL, version integer NOT NULL,
                               PRIMARY KEY (tenant_id, document_id, version));
INSERT INTO tenant VALUES (1), (2);
INSERT INTO document VALUES (1, 1), (2, 1);
INSERT INTO document_version VALUES (1, 1, 1), (1, 1, 2), (2, 1, 1), (2, 1, 3);
SELECT * FROM brief('document_version', '{tenant_id, document_id}', 'version');
SELECT * FROM brief('document_version', '{document_id, tenant_id}', 'version');
ALTER TABLE document_version ADD FOREIGN KEY (tenant_id, document_id) REFERENCES document ON DELETE CASCADE;
SELECT code FROM brief('document_version', '{document_id, tenant_id}', 'version');

-- A type whose operators are in no schema that anybody searches: citext, as far as it is needed here.
CREATE SCHEMA elsewhere;
SET client_min_messages = warning;
CREATE TYPE elsewhere.citext;
CREATE FUNCTION elsewhere.citextin(cstring) RETURNS elsewhere.citext LANGUAGE internal IMMUTABLE STRICT AS 'textin';
CREATE FUNCTION elsewhere.citextout(elsewhere.citext) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'textout';
CREATE TYPE elsewhere.citext (INPUT = elsewhere.citextin, OUTPUT = elsewhere.citextout, LIKE = text, CATEGORY = 'S', COLLATABLE = true);
RESET client_min_messages;
CREATE CAST (elsewhere.citext AS text) WITHOUT FUNCTION AS ASSIGNMENT;
SELECT format('CREATE FUNCTION elsewhere.%s(elsewhere.citext, elsewhere.citext) RETURNS boolean LANGUAGE sql IMMUTABLE STRICT AS $$SELECT lower($1::text) %s lower($2::text)$$', name, op),
       format('CREATE OPERATOR elsewhere.%s (FUNCTION = elsewhere.%s, LEFTARG = elsewhere.citext, RIGHTARG = elsewhere.citext, HASHES, MERGES)', op, name)
  FROM (VALUES (1, 'lt', '<'), (2, 'le', '<='), (3, 'eq', '='), (4, 'ge', '>='), (5, 'gt', '>')) AS o (n, name, op) ORDER BY n \gexec
CREATE FUNCTION elsewhere.compare(elsewhere.citext, elsewhere.citext) RETURNS integer LANGUAGE sql IMMUTABLE STRICT AS
    'SELECT bttextcmp(lower($1::text), lower($2::text))';
CREATE FUNCTION elsewhere.hash(elsewhere.citext) RETURNS integer LANGUAGE sql IMMUTABLE STRICT AS 'SELECT hashtext(lower($1::text))';
CREATE OPERATOR CLASS elsewhere.citext_ops DEFAULT FOR TYPE elsewhere.citext USING btree AS
    OPERATOR 1 elsewhere.<, OPERATOR 2 elsewhere.<=, OPERATOR 3 elsewhere.=, OPERATOR 4 elsewhere.>=, OPERATOR 5 elsewhere.>,
    FUNCTION 1 elsewhere.compare(elsewhere.citext, elsewhere.citext);
CREATE OPERATOR CLASS elsewhere.citext_ops DEFAULT FOR TYPE elsewhere.citext USING hash AS
    OPERATOR 1 elsewhere.=, FUNCTION 1 elsewhere.hash(elsewhere.citext);
CREATE TABLE page (name elsewhere.citext PRIMARY KEY);
CREATE TABLE page_version (id integer PRIMARY KEY, page elsewhere.citext NOT NULL, version integer NOT NULL, saved elsewhere.citext);
INSERT INTO page VALUES ('Home');
INSERT INTO page_version VALUES (1, 'HOME', 1, 'a'), (2, 'home', 1, 'B'), (3, 'Gone', 1, 'c'), (4, 'Home', 3, 'A');
SELECT * FROM brief('page_version', '{page}', 'version', NULL, '{saved}');
SELECT description, fix FROM fixes('page_version', '{page}', 'version') WHERE code IN ('orphans', 'no_foreign_key');
UPDATE page_version SET version = CASE id WHEN 4 THEN 3 ELSE id END;
DELETE FROM page_version WHERE id = 3;
INSERT INTO page_version VALUES (5, 'gone', 1, 'e');
SELECT run_fixes('page_version', '{page}', 'version');
SELECT * FROM brief('page_version', '{page}', 'version');
SELECT page, version FROM page_version ORDER BY version;

-- Partitioned tables: a primary key must contain the partition key.
CREATE TABLE parted (file text NOT NULL REFERENCES file ON DELETE CASCADE, version integer NOT NULL, is_current boolean NOT NULL) PARTITION BY LIST (file);
CREATE TABLE parted_a PARTITION OF parted FOR VALUES IN ('a');
CREATE TABLE parted_b PARTITION OF parted DEFAULT;
INSERT INTO parted VALUES ('a', 1, true), ('a', 2, false), ('b', 1, true), ('fine', 1, true);
SELECT * FROM fixes('parted', '{file}', 'version', 'is_current');
SELECT run_fixes('parted', '{file}', 'version', 'is_current');
SELECT * FROM brief('parted', '{file}', 'version', 'is_current');
SELECT file, version, is_current FROM parted ORDER BY 1, 2;
-- The primary key of a partitioned table: after the rows without a parent are gone.
CREATE TABLE halves (file int, version int) PARTITION BY HASH (file);
CREATE TABLE halves_0 PARTITION OF halves FOR VALUES WITH (MODULUS 1, REMAINDER 0);
INSERT INTO halves VALUES (1, 1), (1, 1), (NULL, 1);
SELECT run_fixes('halves', '{file}', 'version');
SELECT code FROM versioning_report('halves', '{file}', 'version');
-- Parents in a partitioned table: one foreign key, however many partitions it refers to.
CREATE TABLE parent (id integer PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE parent_1 PARTITION OF parent FOR VALUES FROM (1) TO (10);
CREATE TABLE parent_2 PARTITION OF parent DEFAULT;
CREATE TABLE child (id integer PRIMARY KEY, "parentId" integer NOT NULL, version integer NOT NULL, UNIQUE ("parentId", version));
INSERT INTO parent VALUES (1), (10);
INSERT INTO child VALUES (1, 1, 1), (2, 10, 1);
SELECT fix FROM fixes('child', '{parentId}', 'version');
ALTER TABLE child ADD CONSTRAINT child_parent FOREIGN KEY ("parentId") REFERENCES parent;
SELECT fix FROM fixes('child', '{parentId}', 'version');
SELECT run_fixes('child', '{parentId}', 'version');
SELECT * FROM brief('child', '{parentId}', 'version');
-- The partition key is something else than the parent.
CREATE TABLE parted_else (file text NOT NULL REFERENCES file ON DELETE CASCADE, version integer NOT NULL, kind integer) PARTITION BY LIST (kind);
CREATE TABLE parted_by_expression (file text NOT NULL REFERENCES file ON DELETE CASCADE, version integer NOT NULL) PARTITION BY LIST (lower(file));
SELECT code, fix FROM fixes('parted_else', '{file}', 'version');
SELECT code, fix FROM fixes('parted_by_expression', '{file}', 'version');

--
-- Whose table it is
--
-- Forced policies hide nothing from the owner here.
CREATE POLICY nothing ON seen USING (false);
ALTER TABLE seen ENABLE ROW LEVEL SECURITY;
ALTER TABLE seen FORCE ROW LEVEL SECURITY;
UPDATE seen SET version = 3;
SET ROLE report_user;
SELECT count(*) FROM seen;
SELECT * FROM brief('seen', '{hidden_id}', 'version') WHERE code = 'version_gaps';
-- Tables of others are not examined.
SELECT * FROM versioning_report('sound', '{fileId}', 'version');
\echo :SQLSTATE
RESET ROLE;
REVOKE EXECUTE ON FUNCTION versioning_report FROM report_user;
-- It is the owner's alone, until it is granted.
SELECT grantee FROM information_schema.routine_privileges WHERE routine_name = 'versioning_report' AND grantee <> grantor;

--
-- Arguments that make no sense
--
SELECT * FROM versioning_report(NULL, '{fileId}', 'version');
\echo :SQLSTATE
SELECT * FROM versioning_report('sound', NULL, 'version');
SELECT * FROM versioning_report('sound', '{}', 'version');
SELECT * FROM versioning_report('sound', '{NULL}', 'version');
SELECT * FROM versioning_report('sound', '{fileid}', 'version');
SELECT * FROM versioning_report('sound', '{fileId,fileId}', 'version');
SELECT * FROM versioning_report('sound', '{fileId}', NULL);
SELECT * FROM versioning_report('sound', '{fileId}', 'Version');
SELECT * FROM versioning_report('sound', '{fileId}', 'fileId');
SELECT * FROM versioning_report('sound', '{fileId}', 'version', 'createdAt');
SELECT * FROM versioning_report('sound', '{fileId}', 'version', 'none');
SELECT * FROM versioning_report('sound', '{fileId}', 'version', NULL, '{}');
SELECT * FROM versioning_report('sound', '{fileId}', 'version', NULL, '{none}');
SELECT * FROM versioning_report('pg_class', '{relname}', 'relnatts');
CREATE TABLE shapeless (id integer, parent json, version integer);
SELECT * FROM versioning_report('shapeless', '{parent}', 'version');
\echo :SQLSTATE
SELECT * FROM versioning_report('shapeless', '{id}', 'version', NULL, '{parent}');
CREATE VIEW looked_at AS SELECT * FROM sound;
SELECT * FROM versioning_report('looked_at', '{fileId}', 'version');

SET client_min_messages = warning;
DROP SCHEMA reports, elsewhere, "a ""schema""; --" CASCADE;
DROP OWNED BY report_user;
DROP ROLE report_user;
