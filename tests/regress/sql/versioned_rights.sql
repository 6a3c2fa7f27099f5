--
-- RIGHTS ON VERSIONED TABLES
--
-- Who may enable versioning, and what the triggers do for users with few rights on the table.
--
\getenv schema VERSIONED_SCHEMA
CREATE ROLE regress_legacy_owner;
CREATE ROLE regress_legacy_user;
CREATE SCHEMA legacy AUTHORIZATION regress_legacy_owner;
GRANT USAGE ON SCHEMA legacy TO regress_legacy_user;
GRANT USAGE ON SCHEMA :"schema" TO regress_legacy_owner, regress_legacy_user;
SELECT set_config('search_path', 'legacy, ' || current_setting('search_path'), false) <> '' AS ready;
SET ROLE regress_legacy_owner;
CREATE TABLE docs (id int PRIMARY KEY);
CREATE TABLE doc_versions (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, doc int NOT NULL REFERENCES docs ON DELETE CASCADE ON UPDATE CASCADE,
    version int, is_current boolean, previous int REFERENCES doc_versions ON DELETE SET NULL, body text);
INSERT INTO docs VALUES (1), (2);

-- Nobody has it but those whom the extension's owner has granted it to.
SELECT * FROM enable_versioning('doc_versions', '{doc}', 'version');
\echo :SQLSTATE
SELECT * FROM disable_versioning('doc_versions');
\echo :SQLSTATE
RESET ROLE;
GRANT EXECUTE ON FUNCTION enable_versioning, disable_versioning TO regress_legacy_owner, regress_legacy_user;
GRANT USAGE ON SCHEMA versioned_internal TO regress_legacy_owner;
GRANT EXECUTE ON FUNCTION versioned_internal.number_version, versioned_internal.settle_version TO regress_legacy_owner;
SET ROLE regress_legacy_user;
SELECT * FROM enable_versioning('doc_versions', '{doc}', 'version');
\echo :SQLSTATE
SELECT * FROM disable_versioning('doc_versions');
\echo :SQLSTATE
SET ROLE regress_legacy_owner;
SELECT count(*) FROM enable_versioning('doc_versions', '{doc}', 'version', 'is_current', 'previous');

-- A user needs what an INSERT needs, on the table alone, whatever the policies hide.
ALTER TABLE doc_versions ENABLE ROW LEVEL SECURITY;
ALTER TABLE doc_versions FORCE ROW LEVEL SECURITY;
ALTER TABLE docs ENABLE ROW LEVEL SECURITY;
ALTER TABLE docs FORCE ROW LEVEL SECURITY;
CREATE POLICY adds ON doc_versions FOR INSERT WITH CHECK (true);
GRANT INSERT (doc, body) ON doc_versions TO regress_legacy_user;
SET ROLE regress_legacy_user;
INSERT INTO doc_versions (doc, body) VALUES (1, 'a'), (1, 'b'), (2, 'c');
INSERT INTO doc_versions (doc, body) VALUES (1, 'd');
INSERT INTO doc_versions (doc, version) VALUES (1, 1);
\echo :SQLSTATE
SELECT count(*) FROM doc_versions;
\echo :SQLSTATE
-- The owner is under the policies, too.
SET ROLE regress_legacy_owner;
SELECT count(*) FROM doc_versions;
INSERT INTO doc_versions (doc, body) VALUES (1, 'e');
RESET ROLE;
SELECT doc, version, is_current, body, previous FROM doc_versions ORDER BY doc, version;
-- Rows that only policies for changes let through.
SET ROLE regress_legacy_owner;
CREATE POLICY sees ON doc_versions FOR SELECT USING (body = 'b');
CREATE POLICY changes ON doc_versions FOR UPDATE USING (body = 'b');
CREATE POLICY removes ON doc_versions FOR DELETE USING (body = 'b');
GRANT SELECT, UPDATE (is_current), DELETE ON doc_versions TO regress_legacy_user;
SET ROLE regress_legacy_user;
UPDATE doc_versions SET is_current = true;
RESET ROLE;
SELECT doc, version, is_current FROM doc_versions ORDER BY doc, version;
SET ROLE regress_legacy_user;
DELETE FROM doc_versions;
RESET ROLE;
SELECT doc, version, is_current, previous FROM doc_versions ORDER BY doc, version;
-- Enabling, too, sees every row.
\set VERBOSITY terse
SELECT count(*) FROM disable_versioning('doc_versions');
ALTER TABLE doc_versions DROP CONSTRAINT doc_versions_doc_version_key;
INSERT INTO doc_versions (doc, version, is_current) VALUES (1, 1, false);
SET ROLE regress_legacy_owner;
SELECT * FROM enable_versioning('doc_versions', '{doc}', 'version', 'is_current');
\echo :SQLSTATE
RESET ROLE;
DELETE FROM doc_versions WHERE body IS NULL;
SET ROLE regress_legacy_owner;
SELECT count(*) FROM enable_versioning('doc_versions', '{doc}', 'version', 'is_current', 'previous');

-- Who runs the triggers that the change of the flag calls: the table's owner.
CREATE FUNCTION who() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE NOTICE '% %: %', TG_OP, NEW.version, current_user;
    RETURN NEW;
END $$;
CREATE TRIGGER who AFTER INSERT OR UPDATE ON doc_versions FOR EACH ROW EXECUTE FUNCTION who();
SET ROLE regress_legacy_user;
INSERT INTO doc_versions (doc, body) VALUES (1, 'f');
SELECT current_user;
SET ROLE regress_legacy_owner;
DROP TRIGGER who ON doc_versions;

-- A view passes rows on.
CREATE POLICY sees_all ON doc_versions FOR SELECT TO regress_legacy_owner USING (true);
CREATE VIEW doc_view AS SELECT doc, version, is_current, body FROM doc_versions;
GRANT SELECT, INSERT ON doc_view TO regress_legacy_user;
SET ROLE regress_legacy_user;
INSERT INTO doc_view (doc, body) VALUES (2, 'by the view') RETURNING version, is_current;
-- Only a superuser may keep numbers, or call the trigger's function for a table of somebody else's.
SET pg_versioned.keep_numbers = on;
\echo :SQLSTATE
SELECT versioned_internal.number_version();
\echo :SQLSTATE
RESET ROLE;
GRANT CREATE ON SCHEMA legacy TO regress_legacy_user;
CREATE TABLE of_user (a int, version int);
ALTER TABLE of_user OWNER TO regress_legacy_user;
SET ROLE regress_legacy_user;
SELECT * FROM enable_versioning('of_user', '{a}', 'version');
\echo :SQLSTATE
RESET ROLE;
-- The superuser may, for everybody.
SELECT count(*) FROM enable_versioning('of_user', '{a}', 'version');
SET ROLE regress_legacy_user;
INSERT INTO of_user VALUES (1), (1) RETURNING version;
-- What the triggers do to other rows calls users' triggers as the table's owner: with a path of the table's schema, not one
-- in which whoever inserts has put something of their own.
RESET ROLE;
CREATE TABLE logged (doc int, version int, is_current boolean);
CREATE TABLE log_of_updates (who text);
CREATE FUNCTION log_update() RETURNS trigger LANGUAGE plpgsql
    AS 'BEGIN INSERT INTO log_of_updates VALUES (current_user); RETURN NULL; END';
CREATE TRIGGER logs AFTER UPDATE ON logged FOR EACH ROW EXECUTE FUNCTION log_update();
SELECT count(*) > 0 AS enabled FROM enable_versioning('logged', '{doc}', 'version', 'is_current');
GRANT SELECT, INSERT ON logged TO regress_legacy_user;
SET ROLE regress_legacy_user;
CREATE FUNCTION pg_temp.evil() RETURNS boolean LANGUAGE plpgsql
    AS 'BEGIN RAISE ''as %'', current_user; END';
CREATE TEMPORARY TABLE log_of_updates (who text CHECK (pg_temp.evil()));
INSERT INTO logged VALUES (1), (1);
SELECT version, is_current FROM logged ORDER BY version;
DROP TABLE pg_temp.log_of_updates;
DROP FUNCTION pg_temp.evil();
RESET ROLE;
SELECT count(*) AS updates, bool_and(who <> 'regress_legacy_user') AS not_as_the_user FROM log_of_updates;
-- A function that others' triggers call badly
RESET ROLE;
CREATE TRIGGER bad BEFORE INSERT ON docs FOR EACH ROW EXECUTE FUNCTION versioned_internal.number_version();
INSERT INTO docs VALUES (3);
\echo :SQLSTATE
DROP TRIGGER bad ON docs;
CREATE TRIGGER bad BEFORE INSERT ON docs FOR EACH ROW EXECUTE FUNCTION versioned_internal.number_version('{}');
INSERT INTO docs VALUES (3);
\echo :SQLSTATE
DROP TRIGGER bad ON docs;
CREATE TRIGGER bad AFTER DELETE ON docs FOR EACH ROW EXECUTE FUNCTION versioned_internal.number_version('{"parent_columns":["id"],"version_column":"id","on_explicit":"error"}');
DELETE FROM docs WHERE id = 1;
\echo :SQLSTATE

SET client_min_messages = warning;
DROP SCHEMA legacy CASCADE;
DROP OWNED BY regress_legacy_owner, regress_legacy_user;
DROP ROLE regress_legacy_owner, regress_legacy_user;
