--
-- MOVES
--
-- Moving a file renames it and makes that its next version. The file stays the same one: its history follows.
--
INSERT INTO projects (id, owner_id, name, framework)
VALUES ('303e0000-0000-4000-8000-000000000001', '5e1f0000-0000-4000-8000-000000000001', 'Moves', 'react');
\set project 303e0000-0000-4000-8000-000000000001

SELECT version FROM atomic_upsert_project_file(:'project', 'src/App.tsx', 'one', 'typescript');
SELECT version FROM atomic_upsert_project_file(:'project', 'src/App.tsx', 'two', 'typescript');
\x on
SELECT project_id = :'project' AS project, file_path, content, file_type, version, left(content_hash, 8) AS hash,
       size_bytes, is_current_version, is_deleted, created_at <= clock_timestamp() AS dated
  FROM move_project_file(:'project', 'src/App.tsx', 'src/Main.tsx');
\x off

-- The history shows each version under the path it was saved at.
SELECT version, file_path, is_current_version, is_deleted FROM get_project_file_history(:'project', 'src/Main.tsx');
-- The view and get_project_file show the file's present path; that is how one finds it.
SELECT file_path, version, content FROM get_project_file(:'project', 'src/Main.tsx', 1);
SELECT file_path, version, is_current_version FROM project_files WHERE project_id = :'project' ORDER BY version;
-- Nothing is left at the old path.
SELECT version FROM get_project_file(:'project', 'src/App.tsx');
\echo :SQLSTATE
SELECT version FROM get_project_file_history(:'project', 'src/App.tsx');
\echo :SQLSTATE
SELECT file_path FROM get_current_project_files(:'project');

-- It continues its numbers there. A new file at the old path is another file: it begins at 1.
SELECT version FROM atomic_upsert_project_file(:'project', 'src/Main.tsx', 'four', 'typescript', 3);
SELECT version FROM atomic_upsert_project_file(:'project', 'src/App.tsx', 'new', 'typescript', 0);

--
-- Where a file cannot go
--
-- Onto a live file: DETAIL describes the file that is there.
SELECT version FROM move_project_file(:'project', 'src/App.tsx', 'src/Main.tsx');
\echo :SQLSTATE
SELECT version FROM move_project_file(:'project', 'src/App.tsx', 'src/Main.tsx', 1);
\echo :SQLSTATE
-- From a path without a file, or without one any more.
SELECT version FROM move_project_file(:'project', 'src/Never.tsx', 'src/Other.tsx');
\echo :SQLSTATE
SELECT version FROM atomic_upsert_project_file(:'project', 'gone.txt', 'here', 'text');
SELECT version FROM delete_project_file(:'project', 'gone.txt');
SELECT version FROM move_project_file(:'project', 'gone.txt', 'back.txt');
\echo :SQLSTATE
-- Away from a version that is not the expected one.
SELECT version FROM move_project_file(:'project', 'src/Main.tsx', 'src/Other.tsx', 3);
\echo :SQLSTATE
SELECT version FROM move_project_file(:'project', 'src/Main.tsx', 'src/Other.tsx', -1);
\echo :SQLSTATE
SELECT file_path, version FROM move_project_file(p_project_id => :'project', p_from_path => 'src/Main.tsx',
                                                 p_to_path => 'src/Other.tsx', p_expected_version => 4);

-- Onto itself it has nothing to do: no new version.
SELECT file_path, version, content, is_current_version FROM move_project_file(:'project', 'src/Other.tsx', 'src/Other.tsx');
SELECT version FROM move_project_file(:'project', 'src/Other.tsx', 'src/Other.tsx', 5);
SELECT count(*) FROM get_project_file_history(:'project', 'src/Other.tsx');

-- Letters of another case make another path.
SELECT file_path, version FROM move_project_file(:'project', 'src/Other.tsx', 'src/other.tsx');

--
-- Onto a deleted file
--
-- A deleted file does not stand in the way. It keeps its history, but the path now means the live one.
SELECT file_path, version FROM move_project_file(:'project', 'src/other.tsx', 'gone.txt');
SELECT version, file_path FROM get_project_file_history(:'project', 'gone.txt');
SELECT version, content, is_current_version, is_deleted FROM project_files
 WHERE project_id = :'project' AND file_path = 'gone.txt' ORDER BY is_deleted, version, content;
-- When the live one is deleted in turn, the path means that one, and a save there continues it.
SELECT version FROM delete_project_file(:'project', 'gone.txt');
SELECT version, is_deleted FROM get_project_file(:'project', 'gone.txt', 8);
SELECT version FROM atomic_upsert_project_file(:'project', 'gone.txt', 'again', 'text');
SELECT file_path, version FROM move_project_file(:'project', 'gone.txt', 'src/Main.tsx');
-- Then the first one's tombstone is the newest at its path again.
SELECT version FROM atomic_upsert_project_file(:'project', 'gone.txt', 'the first', 'text');
SELECT version, file_path, is_deleted FROM get_project_file_history(:'project', 'gone.txt');

-- Two files change places by way of a third path.
BEGIN;
SELECT version FROM move_project_file(:'project', 'src/App.tsx', 'swap');
SELECT version FROM move_project_file(:'project', 'src/Main.tsx', 'src/App.tsx');
SELECT version FROM move_project_file(:'project', 'swap', 'src/Main.tsx');
COMMIT;
SELECT file_path, content, version FROM get_current_project_files(:'project');

-- A move that is rolled back has not happened.
BEGIN;
SELECT version FROM move_project_file(:'project', 'src/App.tsx', 'elsewhere');
ROLLBACK;
SELECT file_path, version FROM get_project_file(:'project', 'src/App.tsx');

--
-- What is required
--
SELECT version FROM move_project_file(NULL, 'a', 'b');
\echo :SQLSTATE
SELECT version FROM move_project_file(:'project', NULL, 'b');
\echo :SQLSTATE
SELECT version FROM move_project_file(:'project', 'a', NULL);
\echo :SQLSTATE
SELECT version FROM move_project_file('303e0000-0000-4000-8000-0000000000ff', 'a', 'b');
\echo :SQLSTATE

SELECT delete_project(:'project');
