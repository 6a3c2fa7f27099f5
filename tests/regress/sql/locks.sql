--
-- LOCKS
--
-- Writers of one file take turns by transaction-scoped advisory locks. Their keys are documented, so that
-- other programs can join and operators can tell who waits for what.
--
SELECT owner_lock_key('5e1f0000-0000-4000-8000-00000000abcd') = hashtextextended('owner:5e1f0000-0000-4000-8000-00000000abcd', 0) AS owner,
       project_lock_key('5e1f0000-0000-4000-8000-00000000abcd') = hashtextextended('project:5e1f0000-0000-4000-8000-00000000abcd', 0) AS project,
       file_lock_key('5e1f0000-0000-4000-8000-00000000abcd', 'src/App.tsx') = hashtextextended('file:5e1f0000-0000-4000-8000-00000000abcd:src/App.tsx', 0) AS file;

-- However the uuid was written.
SELECT project_lock_key('{5E1F0000-0000-4000-8000-00000000ABCD}') = project_lock_key('5e1f0000-0000-4000-8000-00000000abcd') AS same;

-- Any path has a key, also a strange one; it is hashed as UTF-8.
SELECT bool_and(file_lock_key('5e1f0000-0000-4000-8000-00000000abcd', path)
                = hashtextextended('file:5e1f0000-0000-4000-8000-00000000abcd:' || path, 0)) AS as_documented
  FROM (VALUES (''), ('ä/日本語.md'), ('a:b'), (repeat('x', 5000))) AS t (path);

SELECT owner_lock_key(NULL) IS NULL AND project_lock_key(NULL) IS NULL
       AND file_lock_key(NULL, 'a') IS NULL AND file_lock_key('5e1f0000-0000-4000-8000-00000000abcd', NULL) IS NULL AS nulls;

--
-- Who holds what
--
-- A project made by hand gets an id that can be printed here; create_complete_project (see projects) would
-- make one.
INSERT INTO projects (id, owner_id, name, framework)
VALUES ('10c50000-0000-4000-8000-000000000001', '10c50000-0000-4000-8000-00000000000a', 'Locks', 'react');
\set project 10c50000-0000-4000-8000-000000000001

-- pg_locks shows a key's upper half as classid and its lower half as objid.
CREATE TEMP VIEW held AS
SELECT CASE classid::bigint << 32 | objid::bigint
       WHEN owner_lock_key('10c50000-0000-4000-8000-00000000000a') THEN 'owner'
       WHEN project_lock_key('10c50000-0000-4000-8000-000000000001') THEN 'project'
       WHEN file_lock_key('10c50000-0000-4000-8000-000000000001', 'a.txt') THEN 'a.txt'
       WHEN file_lock_key('10c50000-0000-4000-8000-000000000001', 'b.txt') THEN 'b.txt'
       ELSE 'other'
       END AS lock, mode, count(*)
  FROM pg_locks
 WHERE locktype = 'advisory' AND pid = pg_backend_pid()
 GROUP BY 1, 2;

-- A save holds its project shared, so that others may save other files, and its file exclusively.
BEGIN;
SELECT version FROM atomic_upsert_project_file(:'project', 'a.txt', 'one', 'text');
SELECT * FROM held ORDER BY lock;
-- A move holds both paths.
SELECT version FROM move_project_file(:'project', 'a.txt', 'b.txt');
SELECT * FROM held ORDER BY lock;
COMMIT;
-- Nothing is held longer than the transaction, or the savepoint.
BEGIN;
SAVEPOINT s;
SELECT version FROM delete_project_file(:'project', 'b.txt');
SELECT * FROM held ORDER BY lock;
ROLLBACK TO s;
SELECT * FROM held ORDER BY lock;
COMMIT;
SELECT * FROM held ORDER BY lock;

-- Starting and ending a build take the project exclusively.
BEGIN;
SELECT created FROM start_project_build(:'project');
SELECT * FROM held ORDER BY lock;
ROLLBACK;

-- Creating a project makes the owner's calls take turns.
BEGIN;
SELECT created FROM create_complete_project('10c50000-0000-4000-8000-00000000000a');
SELECT * FROM held ORDER BY lock;
ROLLBACK;

-- Reading takes no lock at all.
BEGIN;
SELECT version FROM get_project_file(:'project', 'b.txt');
SELECT count(*) FROM get_project_file_history(:'project', 'b.txt');
SELECT * FROM held ORDER BY lock;
COMMIT;

-- Postgres' lock table is finite. A transaction that changes very many files of a project takes the whole
-- project instead of more than 200 files.
BEGIN;
SELECT count(*) AS saved
  FROM generate_series(1, 300) n, atomic_upsert_project_file(:'project', format('many/%s.txt', n), 'x', 'text');
SELECT CASE lock WHEN 'other' THEN 'files' ELSE lock END AS lock, mode, count FROM held ORDER BY lock, mode COLLATE "C";
ROLLBACK;

-- The next transaction starts counting anew.
BEGIN;
SELECT version FROM atomic_upsert_project_file(:'project', 'c.txt', 'one', 'text');
SELECT mode, sum(count) FROM held GROUP BY mode ORDER BY mode COLLATE "C";
COMMIT;

SELECT delete_project(:'project');
