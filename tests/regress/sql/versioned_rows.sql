--
-- ROWS OF VERSIONED TABLES
--
-- What the triggers of enable_versioning do to rows, as one session sees it.
--
CREATE SCHEMA legacy;
SELECT set_config('search_path', 'legacy, ' || current_setting('search_path'), false) <> '' AS ready;

CREATE TABLE docs (id text PRIMARY KEY);
INSERT INTO docs SELECT 'd' || n FROM generate_series(1, 9) n;
CREATE TABLE doc_versions (
    id         serial PRIMARY KEY,
    doc        text NOT NULL REFERENCES docs ON DELETE CASCADE ON UPDATE CASCADE,
    version    integer DEFAULT 1,
    is_current boolean NOT NULL DEFAULT true,
    previous   integer REFERENCES doc_versions ON DELETE SET NULL,
    body       text UNIQUE
);
SELECT action FROM enable_versioning('doc_versions', '{doc}', 'version', 'is_current', 'previous');
CREATE VIEW state AS
SELECT doc, version, CASE WHEN is_current THEN '*' ELSE '' END AS current, body,
       (SELECT p.version FROM doc_versions p WHERE p.id = v.previous) AS previous
  FROM doc_versions v ORDER BY doc, version;

-- Whatever inserts: numbers count on, the flag is the newest row's, each row refers to the one before it.
INSERT INTO doc_versions (doc, body) VALUES ('d1', 'a') RETURNING version, is_current, previous;
INSERT INTO doc_versions (doc, body) VALUES ('d1', 'b'), ('d2', 'c'), ('d1', 'd'), ('d2', 'e') RETURNING doc, version, is_current;
INSERT INTO doc_versions (doc, body) SELECT 'd2', 'select ' || n FROM generate_series(1, 3) n;
COPY doc_versions (doc, body) FROM stdin;
d1	copy 1
d3	copy 2
d1	copy 3
\.
WITH added AS (INSERT INTO doc_versions (doc, body) VALUES ('d3', 'with') RETURNING doc, version)
INSERT INTO doc_versions (doc, body) SELECT doc, 'after ' || version FROM added RETURNING doc, version;
MERGE INTO doc_versions v USING (VALUES ('d3', 'with'), ('d3', 'merged')) s (doc, body) ON v.doc = s.doc AND v.body = s.body
 WHEN MATCHED THEN UPDATE SET body = s.body || ' matched'
 WHEN NOT MATCHED THEN INSERT (doc, body) VALUES (s.doc, s.body);
SELECT * FROM state;

-- An explicit number is replaced, also by the same statement's next.
INSERT INTO doc_versions (doc, version, body) VALUES ('d4', 1, 'f'), ('d4', 1, 'g'), ('d4', 7, 'h'), ('d4', -1, 'i'), ('d4', NULL, 'j')
RETURNING version;
-- A link as well; a flag is taken unless it is declined.
INSERT INTO doc_versions (doc, previous, is_current, body) VALUES ('d4', 1, NULL, 'k') RETURNING version, is_current;
INSERT INTO doc_versions (doc, previous, is_current, body) VALUES ('d4', 1, false, 'l') RETURNING version, is_current;
SELECT * FROM state WHERE doc = 'd4' AND version > 4;
-- A first row cannot decline it.
INSERT INTO doc_versions (doc, is_current, body) VALUES ('d5', false, 'm'), ('d5', false, 'n') RETURNING version, is_current;

--
-- Conflicts
--
-- A row that does not come leaves the flag where it was, and its number to the next.
INSERT INTO doc_versions (doc, body) VALUES ('d5', 'm'), ('d5', 'o') ON CONFLICT (body) DO NOTHING RETURNING version;
INSERT INTO doc_versions (doc, body) VALUES ('d5', 'm') ON CONFLICT DO NOTHING RETURNING version;
SELECT * FROM state WHERE doc = 'd5';
INSERT INTO doc_versions (doc, body) VALUES ('d5', 'm') ON CONFLICT (body) DO UPDATE SET body = 'm changed' RETURNING version, is_current;
-- There is no conflict on the number: it is replaced.
INSERT INTO doc_versions (doc, version, body) VALUES ('d5', 1, 'p') ON CONFLICT (doc, version) DO UPDATE SET body = 'never' RETURNING version, body;
INSERT INTO doc_versions (doc, body) VALUES ('d5', 'm changed') ON CONFLICT (body) DO UPDATE SET version = EXCLUDED.version;
\echo :SQLSTATE
SELECT * FROM state WHERE doc = 'd5';
-- An error takes everything back.
INSERT INTO doc_versions (doc, body) VALUES ('d5', 'q'), ('d5', 'p');
\echo :SQLSTATE
INSERT INTO doc_versions (doc, body) VALUES ('nobody''s', 'q');
\echo :SQLSTATE
INSERT INTO doc_versions (doc, body) VALUES (NULL, 'q');
\echo :SQLSTATE
SELECT * FROM state WHERE doc = 'd5' AND version > 3;

--
-- Changes
--
UPDATE doc_versions SET version = 9 WHERE doc = 'd4' AND version = 2;
\echo :SQLSTATE
UPDATE doc_versions SET doc = 'd1' WHERE doc = 'd4' AND version = 2;
\echo :SQLSTATE
UPDATE doc_versions SET previous = id WHERE doc = 'd4' AND version = 2;
\echo :SQLSTATE
UPDATE doc_versions SET version = NULL WHERE doc = 'd4' AND version = 2;
\echo :SQLSTATE
-- What stays the same is no change.
UPDATE doc_versions SET doc = 'd4', version = 2, previous = previous, body = 'changed' WHERE doc = 'd4' AND version = 2;
-- The flag moves to the row that gets it.
UPDATE doc_versions SET is_current = true WHERE doc = 'd4' AND version = 3;
SELECT version FROM doc_versions WHERE doc = 'd4' AND is_current;
UPDATE doc_versions SET is_current = (version = 5) WHERE doc = 'd4';
SELECT version FROM doc_versions WHERE doc = 'd4' AND is_current;
UPDATE doc_versions SET is_current = (version = 1) WHERE doc = 'd4';
SELECT version FROM doc_versions WHERE doc = 'd4' AND is_current;
-- It may leave without going anywhere; then the next row that does not decline it has it.
UPDATE doc_versions SET is_current = false WHERE doc = 'd4';
SELECT count(*) FROM doc_versions WHERE doc = 'd4' AND is_current;
INSERT INTO doc_versions (doc, is_current, body) VALUES ('d4', false, 'r') RETURNING version, is_current;
INSERT INTO doc_versions (doc, body) VALUES ('d4', 's') RETURNING version, is_current;
-- Several get it at once: one keeps it.
UPDATE doc_versions SET is_current = true WHERE doc = 'd4';
SELECT count(*) FROM doc_versions WHERE doc = 'd4' AND is_current;
UPDATE doc_versions SET is_current = NOT is_current WHERE doc IN ('d4', 'd5');
SELECT doc, count(*) FROM doc_versions WHERE doc IN ('d4', 'd5') AND is_current GROUP BY 1 ORDER BY 1;
-- The parent's key may change: its rows follow with their numbers.
UPDATE docs SET id = 'd5 renamed' WHERE id = 'd5';
SELECT * FROM state WHERE doc LIKE 'd5%';

--
-- Deletions
--
SELECT * FROM state WHERE doc = 'd1';
-- The current row's flag passes to the newest. The newest row's number is given again.
DELETE FROM doc_versions WHERE doc = 'd1' AND version = 5;
SELECT * FROM state WHERE doc = 'd1';
INSERT INTO doc_versions (doc, body) VALUES ('d1', 'again') RETURNING version;
-- One in between is not; the row after it refers to the one before it.
DELETE FROM doc_versions WHERE doc = 'd1' AND version IN (2, 3);
SELECT * FROM state WHERE doc = 'd1';
DELETE FROM doc_versions WHERE doc = 'd1' AND version IN (1, 5);
SELECT * FROM state WHERE doc = 'd1';
INSERT INTO doc_versions (doc, body) VALUES ('d1', 'x'), ('d1', 'y');
UPDATE doc_versions SET is_current = true WHERE doc = 'd1' AND version = 4;
DELETE FROM doc_versions WHERE doc = 'd1' AND version = 4;
SELECT * FROM state WHERE doc = 'd1';
-- A row that is not current takes nothing with it.
UPDATE doc_versions SET is_current = true WHERE doc = 'd1' AND version = 5;
DELETE FROM doc_versions WHERE doc = 'd1' AND version = 6;
SELECT * FROM state WHERE doc = 'd1';
DELETE FROM doc_versions WHERE doc = 'd1';
INSERT INTO doc_versions (doc, is_current, body) VALUES ('d1', false, 'first again') RETURNING version, is_current;
WITH gone AS (DELETE FROM doc_versions WHERE doc = 'd2' AND version > 3 RETURNING 1)
INSERT INTO doc_versions (doc, body) SELECT 'd2', 'in place of ' || count(*) FROM gone RETURNING version;
SELECT * FROM state WHERE doc = 'd2';
-- With the parent go all of its rows.
DELETE FROM docs WHERE id IN ('d2', 'd3');
SELECT * FROM state WHERE doc IN ('d2', 'd3');
TRUNCATE doc_versions;
INSERT INTO doc_versions (doc, body) VALUES ('d1', 'after truncate') RETURNING version, previous;

-- A foreign key of the link's own acts first.
CREATE TABLE linked (id int PRIMARY KEY, doc int, version int, previous int, is_current boolean);
SELECT count(*) FROM enable_versioning('linked', '{doc}', 'version', 'is_current', 'previous');
CREATE VIEW linked_state AS SELECT id, version, previous, is_current FROM linked ORDER BY version;
-- A deleted row's number is taken again by the same statement.
INSERT INTO linked (id, doc) VALUES (1, 1), (2, 1), (3, 1);
WITH gone AS (DELETE FROM linked WHERE id = 3 RETURNING doc)
INSERT INTO linked (id, doc) SELECT n, doc FROM gone, generate_series(4, 6) n;
SELECT * FROM linked_state;
TRUNCATE linked;
INSERT INTO linked (id, doc) SELECT n, 1 FROM generate_series(1, 6) n;
ALTER TABLE linked ADD CONSTRAINT link FOREIGN KEY (previous) REFERENCES linked;
DELETE FROM linked WHERE version = 3;
\echo :SQLSTATE
DELETE FROM linked WHERE version = 6;
ALTER TABLE linked ALTER CONSTRAINT link DEFERRABLE INITIALLY DEFERRED;
DELETE FROM linked WHERE version = 1;
SELECT * FROM linked_state;
ALTER TABLE linked DROP CONSTRAINT link, ADD CONSTRAINT link FOREIGN KEY (previous) REFERENCES linked ON DELETE SET NULL ON UPDATE CASCADE;
DELETE FROM linked WHERE version = 3;
SELECT * FROM linked_state;
UPDATE linked SET id = id * 10;
SELECT * FROM linked_state;
ALTER TABLE linked DROP CONSTRAINT link, ADD CONSTRAINT link FOREIGN KEY (previous) REFERENCES linked ON DELETE CASCADE;
DELETE FROM linked WHERE version = 4;
SELECT * FROM linked_state;
ALTER TABLE linked DROP CONSTRAINT link;
INSERT INTO linked (id, doc) SELECT n, 1 FROM generate_series(1, 6) n;
-- Every other one, and all but one.
DELETE FROM linked WHERE version % 2 = 0;
SELECT * FROM linked_state;
DELETE FROM linked WHERE version <> 5;
SELECT * FROM linked_state;
INSERT INTO linked (id, doc) VALUES (6, 1) RETURNING version, previous;
UPDATE linked SET previous = NULL;
SELECT * FROM linked_state;

--
-- Savepoints
--
BEGIN;
SAVEPOINT a;
INSERT INTO doc_versions (doc, body) VALUES ('d1', 's1'), ('d4', 's2') RETURNING doc, version;
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid();
ROLLBACK TO a;
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid();
INSERT INTO doc_versions (doc, body) VALUES ('d1', 's3') RETURNING version;
RELEASE a;
DO $$
BEGIN
    INSERT INTO doc_versions (doc, body) VALUES ('d1', 's4'), ('d4', 's5');
    INSERT INTO doc_versions (doc, body) VALUES ('d1', 's3');
EXCEPTION WHEN unique_violation THEN
    RAISE NOTICE 'caught';
END $$;
INSERT INTO doc_versions (doc, body) VALUES ('d1', 's6') RETURNING version;
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid();
COMMIT;
SELECT * FROM state;
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid();

--
-- Numbers that are compared and set
--
SELECT count(*) FROM enable_versioning('doc_versions', '{doc}', 'version', 'is_current', 'previous', 'error');
SELECT max(version) FROM doc_versions WHERE doc = 'd1';
INSERT INTO doc_versions (doc, version, body) VALUES ('d1', 4, 'next') RETURNING version;
INSERT INTO doc_versions (doc, version, body) VALUES ('d1', 4, 'late');
\echo :SQLSTATE
INSERT INTO doc_versions (doc, version, body) VALUES ('d1', 6, 'early');
\echo :SQLSTATE
INSERT INTO doc_versions (doc, version, body) VALUES ('d7', 2, 'early');
\echo :SQLSTATE
INSERT INTO doc_versions (doc, version, body) VALUES ('d7', 1, 'ok'), ('d7', 2, 'ok too'), ('d7', NULL, 'ok, too') RETURNING version;
-- Nothing is left of what was refused.
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid();
-- ON CONFLICT does not come to it.
INSERT INTO doc_versions (doc, version, body) VALUES ('d7', 1, 'z') ON CONFLICT DO NOTHING;
\echo :SQLSTATE

--
-- Triggers of others
--
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE NOTICE '% % % version % is_current %', TG_NAME, TG_WHEN, TG_OP, NEW.version, NEW.is_current;
    RETURN NEW;
END $$;
-- Those before it see the row as it came; those after it see it numbered, and for the flag there is an UPDATE.
CREATE TRIGGER a_before BEFORE INSERT OR UPDATE ON doc_versions FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER b_after AFTER INSERT OR UPDATE ON doc_versions FOR EACH ROW EXECUTE FUNCTION note();
INSERT INTO doc_versions (doc, version, body) VALUES ('d7', NULL, 'noted');
-- One that could change the row afterwards is in the way.
ALTER TRIGGER a_before ON doc_versions RENAME TO "~z";
INSERT INTO doc_versions (doc, body) VALUES ('d7', 'not noted');
\echo :SQLSTATE
UPDATE doc_versions SET is_current = true WHERE doc = 'd7' AND version = 1;
\echo :SQLSTATE
DROP TRIGGER "~z" ON doc_versions;
DROP TRIGGER b_after ON doc_versions;
-- A trigger that sets the number, as those do that compute it, is overruled or refused.
CREATE FUNCTION max_plus_1() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    SELECT coalesce(max(version), 0) + 1 INTO NEW.version FROM legacy.doc_versions WHERE doc = NEW.doc;
    RETURN NEW;
END $$;
CREATE TRIGGER max_plus_1 BEFORE INSERT ON doc_versions FOR EACH ROW EXECUTE FUNCTION max_plus_1();
INSERT INTO doc_versions (doc, body) VALUES ('d7', 'm1'), ('d7', 'm2') RETURNING version;
DROP TRIGGER max_plus_1 ON doc_versions;
-- One that returns NULL keeps the row away, and everything as it was.
CREATE FUNCTION never() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER never BEFORE INSERT ON doc_versions FOR EACH ROW WHEN (NEW.body = 'never') EXECUTE FUNCTION never();
INSERT INTO doc_versions (doc, body) VALUES ('d7', 'never');
-- One that keeps the flag from leaving the other row keeps the row away.
CREATE TRIGGER stays BEFORE UPDATE ON doc_versions FOR EACH ROW WHEN (OLD.is_current AND NOT NEW.is_current) EXECUTE FUNCTION never();
INSERT INTO doc_versions (doc, body) VALUES ('d7', 'cannot');
\echo :SQLSTATE
DROP TRIGGER stays ON doc_versions;
SELECT * FROM state WHERE doc = 'd7' AND version > 4;
-- One that inserts into the same table.
CREATE FUNCTION twice() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO legacy.doc_versions (doc, body) VALUES (NEW.doc, NEW.body || ' ' || TG_WHEN);
    RETURN NEW;
END $$;
CREATE TRIGGER a_twice BEFORE INSERT ON doc_versions FOR EACH ROW WHEN (NEW.doc = 'd8' AND NEW.body NOT LIKE '% %') EXECUTE FUNCTION twice();
CREATE TRIGGER b_twice AFTER INSERT ON doc_versions FOR EACH ROW WHEN (NEW.doc = 'd8' AND NEW.body NOT LIKE '% %') EXECUTE FUNCTION twice();
INSERT INTO doc_versions (doc, body) VALUES ('d8', '1'), ('d8', '2'), ('d8', '3');
SELECT * FROM state WHERE doc = 'd8';
DROP TRIGGER a_twice ON doc_versions;
DROP TRIGGER b_twice ON doc_versions;
-- One that puts the flag back to the row that had it.
CREATE FUNCTION back() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE legacy.doc_versions SET is_current = false WHERE doc = NEW.doc AND version = NEW.version;
    UPDATE legacy.doc_versions SET is_current = true WHERE doc = NEW.doc AND version = NEW.version - 1;
    RETURN NEW;
END $$;
CREATE TRIGGER back AFTER INSERT ON doc_versions FOR EACH ROW WHEN (NEW.body = 'back') EXECUTE FUNCTION back();
INSERT INTO doc_versions (doc, body) VALUES ('d8', 'back');
SELECT * FROM state WHERE doc = 'd8' AND version > 7;
DROP TRIGGER back ON doc_versions;

--
-- keep_numbers, for restores
--
SET pg_versioned.keep_numbers = on;
INSERT INTO doc_versions (doc, version, is_current, body) VALUES ('d9', 4, false, 'kept 4'), ('d9', 2, true, 'kept 2'), ('d9', 3, false, 'kept 3');
INSERT INTO doc_versions (doc, body) VALUES ('d9', 'without a number') RETURNING version;
RESET pg_versioned.keep_numbers;
SELECT * FROM state WHERE doc = 'd9';
INSERT INTO doc_versions (doc, body) VALUES ('d9', 'after those') RETURNING version;
SET session_replication_role = replica;
INSERT INTO doc_versions (doc, version, is_current, body) VALUES ('d9', 8, true, 'as it comes') RETURNING version;
DELETE FROM doc_versions WHERE doc = 'd9' AND version = 6;
RESET session_replication_role;
SELECT * FROM state WHERE doc = 'd9';
ALTER TABLE doc_versions DISABLE TRIGGER USER;
SELECT table_name, enabled FROM versioned_tables ORDER BY 1;
INSERT INTO doc_versions (doc, version, is_current, body) VALUES ('d9', 10, false, 'as it comes, too') RETURNING version;
-- Enabled again, whoever did it.
SELECT DISTINCT action FROM enable_versioning('doc_versions', '{doc}', 'version', 'is_current', 'previous', 'error') ORDER BY 1;
INSERT INTO doc_versions (doc, body) VALUES ('d9', 'on') RETURNING version;
SELECT count(*) FROM doc_versions WHERE doc = 'd9' AND is_current;

SET client_min_messages = warning;
DROP SCHEMA legacy CASCADE;
