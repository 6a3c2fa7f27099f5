--
-- FILES
--
-- Saving, deleting, reading. Moving is in moves.sql, what paths and contents may be in paths.sql and
-- content.sql.
--
INSERT INTO projects (id, owner_id, name, framework)
VALUES ('f11e0000-0000-4000-8000-000000000001', '5e1f0000-0000-4000-8000-000000000001', 'Files', 'react');
\set project f11e0000-0000-4000-8000-000000000001

--
-- The first save
--
-- The answer is the saved version, as the view project_files shows it.
\x on
SELECT id IS NOT NULL AS id, project_id = :'project' AS project, file_path, content, file_type, version, content_hash,
       size_bytes, is_current_version, is_deleted, created_by, last_modified_by,
       created_at BETWEEN now() AND clock_timestamp() AS saved_now, updated_at = created_at AS updated_then
  FROM atomic_upsert_project_file(:'project', 'src/App.tsx', 'one', 'typescript');
\x off

-- Arguments may be named. The names are those web clients send.
SELECT file_path, version
  FROM atomic_upsert_project_file(project_uuid => :'project', p_file_path => 'README.md', p_content => '# Hello',
                                  p_file_type => 'markdown', expected_version => 0);

-- Versions count from 1, one by one.
SELECT version FROM atomic_upsert_project_file(:'project', 'src/App.tsx', 'two', 'typescript');
SELECT version FROM atomic_upsert_project_file(:'project', 'src/App.tsx', 'three', 'typescript');

-- A number is used up by what commits, not by what was tried.
BEGIN;
SELECT version FROM atomic_upsert_project_file(:'project', 'src/App.tsx', 'never', 'typescript');
SAVEPOINT s;
SELECT version FROM atomic_upsert_project_file(:'project', 'src/App.tsx', 'nor this', 'typescript');
ROLLBACK TO s;
SELECT version FROM atomic_upsert_project_file(:'project', 'src/App.tsx', 'nor that', 'typescript');
ROLLBACK;
SELECT version FROM atomic_upsert_project_file(:'project', 'src/App.tsx', 'four', 'typescript');

-- One statement may save many files, or one file many times.
SELECT n, version FROM generate_series(1, 3) n, atomic_upsert_project_file(:'project', 'log.txt', 'line ' || n, 'text') ORDER BY n;

--
-- expected_version
--
-- NULL, the default: the last writer wins. N: the save succeeds only on top of version N.
SELECT version FROM atomic_upsert_project_file(:'project', 'src/App.tsx', 'five', 'typescript', 4);
-- A client that has not seen the last version gets a conflict: DETAIL for the program, HINT for its author.
SELECT version FROM atomic_upsert_project_file(:'project', 'src/App.tsx', 'mine', 'typescript', 4);
\echo :SQLSTATE
-- So does one that is ahead of it,
SELECT version FROM atomic_upsert_project_file(:'project', 'src/App.tsx', 'mine', 'typescript', 6);
\echo :SQLSTATE
-- and one that expects a version of a file that never existed.
SELECT version FROM atomic_upsert_project_file(:'project', 'new.txt', 'mine', 'text', 1);
\echo :SQLSTATE
-- 0: there must be no such file.
SELECT version FROM atomic_upsert_project_file(:'project', 'src/App.tsx', 'mine', 'typescript', 0);
\echo :SQLSTATE
SELECT version FROM atomic_upsert_project_file(:'project', 'new.txt', 'mine', 'text', 0);
-- The DETAIL of a conflict is JSON with four keys.
CREATE FUNCTION pg_temp.detail_of(sql text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_detail text;
BEGIN
    EXECUTE sql;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS v_detail = PG_EXCEPTION_DETAIL;
    RETURN v_detail::jsonb;
END
$$;
SELECT key, value = CASE key WHEN 'file_path' THEN '"a \"quoted\" name.txt"' WHEN 'expected' THEN '3'
                        WHEN 'current' THEN 'null' WHEN 'current_hash' THEN 'null' END::jsonb AS as_documented
  FROM jsonb_each(pg_temp.detail_of(format('SELECT atomic_upsert_project_file(%L, %L, %L, %L, 3)',
                                           :'project', 'a "quoted" name.txt', '', 'text')))
 ORDER BY key COLLATE "C";

-- A number below 0 means nothing.
SELECT version FROM atomic_upsert_project_file(:'project', 'new.txt', 'mine', 'text', -1);
\echo :SQLSTATE

--
-- What is not a save
--
-- Content and type equal to the current ones: the current version is returned, whatever was expected.
SELECT id AS current_id FROM get_project_file(:'project', 'src/App.tsx') \gset
SELECT version, id = :'current_id' AS same_row, is_current_version
  FROM atomic_upsert_project_file(:'project', 'src/App.tsx', 'five', 'typescript');
SELECT expected, version, id = :'current_id' AS same_row
  FROM unnest('{0,1,4,5,99}'::integer[]) expected,
       atomic_upsert_project_file(:'project', 'src/App.tsx', 'five', 'typescript', expected) ORDER BY expected;
-- Another type is another version.
SELECT version, file_type FROM atomic_upsert_project_file(:'project', 'src/App.tsx', 'five', 'tsx', 5);

--
-- Saving twice by mistake
--
-- A client whose connection broke does not know whether its save arrived, and sends it again. Even when
-- somebody saved in between, that is no conflict: its own version is returned, current or not.
SELECT version FROM atomic_upsert_project_file(:'project', 'src/App.tsx', 'six', 'tsx', 6);
SELECT version FROM atomic_upsert_project_file(:'project', 'src/App.tsx', 'seven, by somebody else', 'tsx', 7);
SELECT version, content, is_current_version, is_deleted
  FROM atomic_upsert_project_file(:'project', 'src/App.tsx', 'six', 'tsx', 6);
-- A first save likewise.
SELECT version, content, is_current_version
  FROM atomic_upsert_project_file(:'project', 'src/App.tsx', 'one', 'typescript', 0);
-- It is the same request only with the same content, type
SELECT version FROM atomic_upsert_project_file(:'project', 'src/App.tsx', 'six!', 'tsx', 6);
\echo :SQLSTATE
SELECT version FROM atomic_upsert_project_file(:'project', 'src/App.tsx', 'six', 'typescript', 6);
\echo :SQLSTATE
-- and user.
SELECT set_config('request.jwt.claims', '{"sub": "5e1f0000-0000-4000-8000-00000000000b"}', false) IS NOT NULL AS somebody_else;
SELECT version FROM atomic_upsert_project_file(:'project', 'src/App.tsx', 'six', 'tsx', 6);
\echo :SQLSTATE
RESET request.jwt.claims;

--
-- Deleting
--
-- A deletion is a version too, without content: a tombstone.
\x on
SELECT project_id = :'project' AS project, file_path, content, file_type, version, content_hash, size_bytes,
       is_current_version, is_deleted
  FROM delete_project_file(:'project', 'src/App.tsx', 8);
\x off
-- What is deleted is not found,
SELECT version FROM get_project_file(:'project', 'src/App.tsx');
\echo :SQLSTATE
SELECT version FROM delete_project_file(:'project', 'src/App.tsx');
\echo :SQLSTATE
-- except by the deletion itself, sent again.
SELECT version, is_deleted FROM delete_project_file(:'project', 'src/App.tsx', 8);
-- Nor is what never was there.
SELECT version FROM delete_project_file(:'project', 'src/Never.tsx');
\echo :SQLSTATE
-- Deleting takes the expected version like saving does.
SELECT version FROM delete_project_file(p_project_id => :'project', p_file_path => 'README.md', p_expected_version => 2);
\echo :SQLSTATE
SELECT version FROM delete_project_file(:'project', 'README.md', 0);
\echo :SQLSTATE
SELECT version FROM delete_project_file(:'project', 'README.md', -1);
\echo :SQLSTATE

-- A conflict with a deleted file says so: current_hash is null.
SELECT version FROM atomic_upsert_project_file(:'project', 'src/App.tsx', 'nine', 'tsx', 8);
\echo :SQLSTATE

-- A path created again continues its numbers, with 0 and with NULL: no path ever has two versions 1.
SELECT version, is_current_version FROM atomic_upsert_project_file(:'project', 'src/App.tsx', 'ten', 'tsx', 0);
SELECT version FROM delete_project_file(:'project', 'src/App.tsx');
SELECT version FROM atomic_upsert_project_file(:'project', 'src/App.tsx', 'twelve', 'tsx');
-- A client that knows the tombstone may also expect that. It is a save, even with the content of the last one.
SELECT version FROM delete_project_file(:'project', 'src/App.tsx', 12);
SELECT version FROM atomic_upsert_project_file(:'project', 'src/App.tsx', 'twelve', 'tsx', 13);
-- A first save from before the deletion, sent again, is not recognized: what it made is gone.
SELECT version FROM atomic_upsert_project_file(:'project', 'src/App.tsx', 'one', 'typescript', 0);
\echo :SQLSTATE
-- The first save since the deletion is recognized.
SELECT version FROM atomic_upsert_project_file(:'project', 'src/App.tsx', 'fifteen', 'tsx', 14);
SELECT version, is_current_version FROM atomic_upsert_project_file(:'project', 'src/App.tsx', 'twelve', 'tsx', 0);

--
-- Reading
--
-- All live files, by path.
SELECT file_path, content, file_type, version, left(content_hash, 8) AS hash, updated_at <= clock_timestamp() AS dated
  FROM get_current_project_files(:'project');
SELECT version FROM delete_project_file(:'project', 'log.txt');
SELECT file_path FROM get_current_project_files(project_uuid => :'project');
-- By path means by the bytes of the path, in every locale.
SELECT count(*) FROM unnest('{b,a,B,A,"a b",a-b,a/b,ab,é}'::text[]) name,
                     atomic_upsert_project_file(:'project', 'order/' || name, '', 'text');
SELECT substr(file_path, 7) AS name FROM get_current_project_files(:'project') WHERE file_path LIKE 'order/%';

-- One file, as it is now.
\x on
SELECT project_id = :'project' AS project, file_path, content, file_type, version, left(content_hash, 8) AS hash,
       size_bytes, is_current_version, is_deleted, created_by, created_at = updated_at AS dated
  FROM get_project_file(:'project', 'src/App.tsx');
\x off
-- Or as a version of it was; of a tombstone there is no content.
SELECT version, content, content_hash IS NULL AS no_hash, is_current_version, is_deleted FROM get_project_file(:'project', 'src/App.tsx', 2);
SELECT version, content, content_hash IS NULL AS no_hash, is_current_version, is_deleted FROM get_project_file(:'project', 'src/App.tsx', 13);
SELECT version, content, content_hash IS NULL AS no_hash, is_current_version, is_deleted
  FROM get_project_file(p_version => 14, p_file_path => 'src/App.tsx', p_project_id => :'project');
-- Of a deleted file as well.
SELECT version, content, is_current_version, is_deleted FROM get_project_file(:'project', 'log.txt', 3);
SELECT version, content, is_current_version, is_deleted FROM get_project_file(:'project', 'log.txt', 4);
-- But not what does not exist.
SELECT version FROM get_project_file(:'project', 'log.txt');
\echo :SQLSTATE
SELECT version FROM get_project_file(:'project', 'log.txt', 5);
\echo :SQLSTATE
SELECT version FROM get_project_file(:'project', 'never.txt', 1);
\echo :SQLSTATE
SELECT version FROM get_project_file(:'project', 'log.txt', 0);
\echo :SQLSTATE

--
-- History
--
-- Newest first, tombstones included.
SELECT version, file_path, file_type, left(content_hash, 8) AS hash, size_bytes, is_current_version, is_deleted,
       created_by, created_at <= clock_timestamp() AS dated
  FROM get_project_file_history(:'project', 'src/App.tsx');
-- A version is never older than the one before it.
SELECT bool_and(created_at >= before) AS in_order
  FROM (SELECT created_at, lag(created_at) OVER (ORDER BY version) AS before
          FROM get_project_file_history(:'project', 'src/App.tsx')) pairs;
-- Not even when the clock goes back: as if the last version had been saved in the year 2100.
SELECT version FROM atomic_upsert_project_file(:'project', 'future.txt', 'one', 'text');
UPDATE project_file_heads SET updated_at = '2100-01-01 00:00+00' WHERE project_id = :'project' AND file_path = 'future.txt';
SELECT version, created_at = '2100-01-01 00:00+00' AS not_before FROM atomic_upsert_project_file(:'project', 'future.txt', 'two', 'text');
-- In pages: the next one starts before the last version seen.
SELECT array_agg(version) AS page FROM get_project_file_history(:'project', 'src/App.tsx', 5);
SELECT array_agg(version) AS page FROM get_project_file_history(:'project', 'src/App.tsx', 5, 10);
SELECT array_agg(version) AS page FROM get_project_file_history(:'project', 'src/App.tsx', p_before_version => 5, p_limit => 5);
SELECT array_agg(version) AS page FROM get_project_file_history(:'project', 'src/App.tsx', 5, 1);
-- 50 per page by default; 1 to 1000.
SELECT max(version) AS saved FROM generate_series(1, 60) n, atomic_upsert_project_file(:'project', 'busy.txt', 'n ' || n, 'text');
SELECT count(*), max(version), min(version) FROM get_project_file_history(:'project', 'busy.txt');
SELECT count(*) FROM get_project_file_history(:'project', 'busy.txt', 1000);
SELECT version FROM get_project_file_history(:'project', 'busy.txt', 0);
\echo :SQLSTATE
SELECT version FROM get_project_file_history(:'project', 'busy.txt', 1001);
\echo :SQLSTATE
SELECT version FROM get_project_file_history(:'project', 'busy.txt', NULL);
\echo :SQLSTATE
SELECT version FROM get_project_file_history(:'project', 'busy.txt', 10, 0);
\echo :SQLSTATE
-- A deleted file has a history, a file that never was has none.
SELECT version, is_deleted, is_current_version FROM get_project_file_history(:'project', 'log.txt');
SELECT version FROM get_project_file_history(:'project', 'never.txt');
\echo :SQLSTATE

--
-- What is required
--
-- Only expected_version, p_version and p_before_version may be NULL.
SELECT version FROM atomic_upsert_project_file(NULL, 'a.txt', '', 'text');
\echo :SQLSTATE
SELECT version FROM atomic_upsert_project_file(:'project', NULL, '', 'text');
\echo :SQLSTATE
SELECT version FROM atomic_upsert_project_file(:'project', 'a.txt', NULL, 'text');
\echo :SQLSTATE
SELECT version FROM atomic_upsert_project_file(:'project', 'a.txt', '', NULL);
\echo :SQLSTATE
SELECT version FROM delete_project_file(NULL, 'a.txt');
\echo :SQLSTATE
SELECT version FROM delete_project_file(:'project', NULL);
\echo :SQLSTATE
SELECT version FROM get_project_file(NULL, 'a.txt');
\echo :SQLSTATE
SELECT version FROM get_project_file(:'project', NULL);
\echo :SQLSTATE
SELECT version FROM get_current_project_files(NULL);
\echo :SQLSTATE
SELECT version FROM get_project_file_history(NULL, 'a.txt');
\echo :SQLSTATE
SELECT version FROM get_project_file_history(:'project', NULL);
\echo :SQLSTATE
SELECT version FROM get_project_file(:'project', 'README.md', NULL);
SELECT version FROM get_project_file_history(:'project', 'README.md', 1, NULL);
SELECT version FROM atomic_upsert_project_file(:'project', 'README.md', '# Hello!', 'markdown', NULL);

-- And the project must exist.
SELECT version FROM atomic_upsert_project_file('f11e0000-0000-4000-8000-0000000000ff', 'a.txt', '', 'text');
\echo :SQLSTATE
SELECT version FROM delete_project_file('f11e0000-0000-4000-8000-0000000000ff', 'a.txt');
\echo :SQLSTATE
SELECT version FROM get_project_file('f11e0000-0000-4000-8000-0000000000ff', 'a.txt');
\echo :SQLSTATE
SELECT version FROM get_current_project_files('f11e0000-0000-4000-8000-0000000000ff');
\echo :SQLSTATE
SELECT version FROM get_project_file_history('f11e0000-0000-4000-8000-0000000000ff', 'a.txt');
\echo :SQLSTATE

-- A project without files has none.
INSERT INTO projects (id, owner_id, name, framework)
VALUES ('f11e0000-0000-4000-8000-000000000002', '5e1f0000-0000-4000-8000-000000000001', 'Empty', 'react');
SELECT version FROM get_current_project_files('f11e0000-0000-4000-8000-000000000002');

-- Reading writes nothing: it works in read-only transactions, as on standbys; saving does not.
BEGIN READ ONLY;
SELECT version FROM get_project_file(:'project', 'README.md');
SELECT count(*) FROM get_project_file_history(:'project', 'README.md');
SELECT count(*) FROM get_current_project_files(:'project');
\set VERBOSITY sqlstate
SELECT version FROM atomic_upsert_project_file(:'project', 'README.md', 'three', 'markdown');
\set VERBOSITY default
ROLLBACK;

SELECT bool_and(delete_project(id)) AS deleted FROM projects;
