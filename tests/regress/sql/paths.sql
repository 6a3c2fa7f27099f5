--
-- PATHS
--
-- A path is relative, its segments are separated by slashes, and it names something inside the project.
--
INSERT INTO projects (id, owner_id, name, framework)
VALUES ('9a780000-0000-4000-8000-000000000001', '5e1f0000-0000-4000-8000-000000000001', 'Paths', 'react');
\set project 9a780000-0000-4000-8000-000000000001

-- Everything an editor would call a file is fine.
SELECT n, version, file_path = path AS as_given
  FROM unnest(ARRAY['a', 'src/App.tsx', '.env', '.github/workflows/ci.yml', '...', 'a/.../b', 'a..b', '..a', 'a..',
                    'with space/and ''quotes'' "too".txt', ' leading and trailing ', '-rf', '~', '$HOME', '%2e%2e/%s', '*?[a]{b}',
                    'C:', 'a:b', 'a|b<c>', 'é.txt', E'e\u0301.txt', '日本語/ファイル.md', '😀', 'ﷺ', E'zero\u200Bwidth'])
       WITH ORDINALITY AS t (path, n),
       atomic_upsert_project_file(:'project', path, '', 'text')
 ORDER BY n;
-- Each is its own file: letter case and Unicode forms tell paths apart.
SELECT version FROM atomic_upsert_project_file(:'project', 'A', '', 'text');
SELECT count(*), count(DISTINCT file_path) FROM get_current_project_files(:'project');

-- A path has at most 1024 bytes of UTF-8.
SELECT version, length(file_path) FROM atomic_upsert_project_file(:'project', repeat('x', 1024), '', 'text');
SELECT version, length(file_path) FROM atomic_upsert_project_file(:'project', repeat('é', 512), '', 'text');
SELECT version, length(file_path) FROM atomic_upsert_project_file(:'project', repeat('a/', 511) || 'bc', '', 'text');
SELECT version FROM atomic_upsert_project_file(:'project', repeat('x', 1025), '', 'text');
\echo :SQLSTATE
SELECT version FROM atomic_upsert_project_file(:'project', repeat('é', 512) || 'x', '', 'text');
\echo :SQLSTATE

--
-- What is refused
--
SELECT version FROM atomic_upsert_project_file(:'project', '', '', 'text');
\echo :SQLSTATE
-- Absolute paths, and folders.
SELECT version FROM atomic_upsert_project_file(:'project', '/etc/passwd', '', 'text');
\echo :SQLSTATE
SELECT version FROM atomic_upsert_project_file(:'project', 'src/', '', 'text');
\echo :SQLSTATE
SELECT version FROM atomic_upsert_project_file(:'project', '/', '', 'text');
\echo :SQLSTATE
-- Segments that are empty, or lead elsewhere.
SELECT version FROM atomic_upsert_project_file(:'project', 'src//App.tsx', '', 'text');
\echo :SQLSTATE
SELECT version FROM atomic_upsert_project_file(:'project', '.', '', 'text');
\echo :SQLSTATE
SELECT version FROM atomic_upsert_project_file(:'project', '..', '', 'text');
\echo :SQLSTATE
SELECT version FROM atomic_upsert_project_file(:'project', './a', '', 'text');
\echo :SQLSTATE
SELECT version FROM atomic_upsert_project_file(:'project', 'src/../../a', '', 'text');
\echo :SQLSTATE
SELECT version FROM atomic_upsert_project_file(:'project', 'src/.', '', 'text');
\echo :SQLSTATE
-- Backslashes as separators.
SELECT version FROM atomic_upsert_project_file(:'project', 'src\App.tsx', '', 'text');
\echo :SQLSTATE
SELECT version FROM atomic_upsert_project_file(:'project', '..\..\a', '', 'text');
\echo :SQLSTATE
-- Control characters, the ones after ASCII included. The message holds the path, so here only its SQLSTATE.
CREATE FUNCTION pg_temp.sqlstate_of(project uuid, path text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM atomic_upsert_project_file(project, path, '', 'text');
    RETURN '00000';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END
$$;
SELECT DISTINCT pg_temp.sqlstate_of(:'project', 'a' || chr(code) || 'b') AS sqlstate
  FROM generate_series(1, 159) code
 WHERE code < 32 OR code > 126;
SELECT DISTINCT pg_temp.sqlstate_of(:'project', 'a' || chr(code) || 'b') AS sqlstate
  FROM generate_series(32, 255) code
 WHERE code NOT BETWEEN 127 AND 159 AND chr(code) NOT IN ('\', '/');

-- Every function that takes a path checks it, and names the argument.
SELECT version FROM delete_project_file(:'project', 'a/');
\echo :SQLSTATE
SELECT version FROM move_project_file(:'project', '../a', 'b');
\echo :SQLSTATE
SELECT version FROM move_project_file(:'project', 'a', '/b');
\echo :SQLSTATE
SELECT version FROM get_project_file(:'project', './a');
\echo :SQLSTATE
SELECT version FROM get_project_file_history(:'project', 'a//b');
\echo :SQLSTATE

SELECT delete_project(:'project');
