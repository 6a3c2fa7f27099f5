--
-- CHANGES
--
-- A version counts what changed since the version before it: files, and lines as git diff --numstat does.
--
INSERT INTO projects (id, owner_id, name, framework)
VALUES ('c4a90000-0000-4000-8000-000000000001', '5e1f0000-0000-4000-8000-000000000001', 'Changes', 'react');
\set project c4a90000-0000-4000-8000-000000000001
CREATE FUNCTION pg_temp.release(project uuid, OUT files_changed integer, OUT lines_added bigint, OUT lines_removed bigint)
LANGUAGE sql AS $$
    SELECT v.files_changed, v.lines_added, v.lines_removed
      FROM start_project_build(project) b, create_version_on_success(project, b.build_id) v
$$;
CREATE FUNCTION pg_temp.save(project uuid, path text, content text) RETURNS void LANGUAGE sql AS $$
    SELECT atomic_upsert_project_file(project, path, content, 'text')
$$;

-- The first version adds everything. A last line counts without a newline, an empty file has no lines.
SELECT pg_temp.save(:'project', 'a', E'1\n2\n3\n'), pg_temp.save(:'project', 'b', E'1\n2'), pg_temp.save(:'project', 'empty', '');
SELECT * FROM pg_temp.release(:'project');

-- Nothing changed, nothing counted.
SELECT * FROM pg_temp.release(:'project');

-- An edited line is one removed and one added.
SELECT pg_temp.save(:'project', 'a', E'1\ntwo\n3\n');
SELECT * FROM pg_temp.release(:'project');

-- A line inserted, one dropped.
SELECT pg_temp.save(:'project', 'a', E'0\n1\ntwo\n');
SELECT * FROM pg_temp.release(:'project');

-- Only the newline at the end.
SELECT pg_temp.save(:'project', 'b', E'1\n2\n');
SELECT * FROM pg_temp.release(:'project');

-- A deleted file loses its lines. Deleting an empty file removes none.
SELECT is_deleted FROM delete_project_file(:'project', 'b');
SELECT is_deleted FROM delete_project_file(:'project', 'empty');
SELECT * FROM pg_temp.release(:'project');

-- A file that comes back adds them all.
SELECT pg_temp.save(:'project', 'b', E'1\n2\n');
SELECT * FROM pg_temp.release(:'project');

-- A move is a change of the file but of no line,
SELECT file_path FROM move_project_file(:'project', 'b', 'c');
SELECT * FROM pg_temp.release(:'project');
-- unless it is edited as well.
SELECT file_path FROM move_project_file(:'project', 'c', 'd');
SELECT pg_temp.save(:'project', 'd', E'1\n2\n3\n');
SELECT * FROM pg_temp.release(:'project');
-- A new file at a moved one's old path is a file of its own.
SELECT file_path FROM move_project_file(:'project', 'd', 'e');
SELECT pg_temp.save(:'project', 'd', E'1\n');
SELECT * FROM pg_temp.release(:'project');
-- So is one moved to where another was deleted: one file is gone, one was moved.
SELECT is_deleted FROM delete_project_file(:'project', 'e');
SELECT file_path FROM move_project_file(:'project', 'd', 'e');
SELECT * FROM pg_temp.release(:'project');

-- Another type is a change of the file.
SELECT file_type FROM atomic_upsert_project_file(:'project', 'e', E'1\n', 'markdown');
SELECT * FROM pg_temp.release(:'project');

-- Only the outcome counts, not what happened on the way: there and back again,
SELECT pg_temp.save(:'project', 'a', 'nonsense');
SELECT pg_temp.save(:'project', 'a', E'0\n1\ntwo\n');
SELECT file_path FROM move_project_file(:'project', 'e', 'f');
SELECT file_path FROM move_project_file(:'project', 'f', 'e');
-- come and gone,
SELECT pg_temp.save(:'project', 'visitor', E'hello\n');
SELECT is_deleted FROM delete_project_file(:'project', 'visitor');
-- gone and come.
SELECT is_deleted FROM delete_project_file(:'project', 'a');
SELECT pg_temp.save(:'project', 'a', E'0\n1\ntwo\n');
SELECT * FROM pg_temp.release(:'project');

-- A build that failed in between changes nothing: the next version is compared with the last version.
SELECT pg_temp.save(:'project', 'a', E'0\n1\n');
SELECT status FROM start_project_build(:'project') b, fail_project_build(:'project', b.build_id);
SELECT pg_temp.save(:'project', 'a', E'0\n');
SELECT * FROM pg_temp.release(:'project');

-- Carriage returns belong to their line.
SELECT pg_temp.save(:'project', 'a', E'0\r\n');
SELECT * FROM pg_temp.release(:'project');

-- Many lines.
SELECT pg_temp.save(:'project', 'many', (SELECT string_agg(n || E'\n', '' ORDER BY n) FROM generate_series(1, 20000) n));
SELECT * FROM pg_temp.release(:'project');
SELECT pg_temp.save(:'project', 'many', (SELECT string_agg(CASE WHEN n % 10 = 0 THEN 'changed' ELSE n::text END || E'\n', '' ORDER BY n)
                                           FROM generate_series(1, 20000) n));
SELECT * FROM pg_temp.release(:'project');

SELECT delete_project(:'project');
