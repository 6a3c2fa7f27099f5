--
-- VERSIONS
--
-- A version is a build that succeeded: it has a number, a snapshot of all files, and what the build worker
-- reported. create_version_on_success(p_project_id, p_build_id, p_result) makes it.
--
SELECT * FROM create_complete_project('5e1f0000-0000-4000-8000-000000000001', 'vue', 'A calendar', 'Calendar') \gset
\set project :project_id
SELECT version FROM atomic_upsert_project_file(:'project', 'src/App.tsx', E'one\ntwo\nthree\n', 'typescript');
SELECT version FROM atomic_upsert_project_file(:'project', 'README.md', E'# Calendar\n\nno newline', 'markdown');

\x on
SELECT v.project_id = :'project' AS project, v.version_id = :'version_id' AS reserved_id, v.user_id, prompt, framework, status,
       major_version, minor_version, patch_version, prerelease, change_type, parent_version_id, base_version_id,
       files_changed, lines_added, lines_removed, snapshot_seq, is_published, soft_deleted_at, needs_rebuild, auto_classified,
       v.ai_session_id = :'ai_session_id' AS ai_session, ai_session_last_used_at >= ai_session_created_at AS ai_time,
       v.created_at <= clock_timestamp() AS dated, v.updated_at = v.created_at AS updated
  FROM create_version_on_success(:'project', :'build_id') v;
\x off

-- It is there, and it is the project's current one.
SELECT count(*), bool_and(version_id = :'version_id') AS it FROM project_versions WHERE project_id = :'project';
SELECT build_status, current_version_id = :'version_id' AS current, current_build_id = :'build_id' AS built,
       last_build_completed >= last_build_started AS completed, snapshot_seq
  FROM projects WHERE id = :'project';
-- The build and its AI-time session are closed with it.
SELECT status, completed_at IS NOT NULL AS completed, total_duration_ms >= 0 AS measured, build_duration_ms, error
  FROM project_build_metrics WHERE project_id = :'project';
SELECT ended_at IS NOT NULL AS ended, duration_ms >= 0 AS measured FROM project_ai_time_sessions WHERE project_id = :'project';

-- Workers retry: the second call returns the same version, whatever it reports.
SELECT v = again AS same
  FROM project_versions v, create_version_on_success(:'project', lower(:'build_id'), '{"change_type": "major", "version_name": "X"}') again
 WHERE v.project_id = :'project';
SELECT count(*) FROM project_versions WHERE project_id = :'project';

--
-- Numbers
--
-- The first version is 1.0.0 and major. From there change_type says what is counted up; by default minor.
-- A function that builds and succeeds at once makes the rest short.
CREATE FUNCTION pg_temp.release(project uuid, result jsonb DEFAULT '{}', OUT number text, OUT change_type text,
    OUT defaulted boolean)
LANGUAGE sql AS $$
    SELECT format('%s.%s.%s', v.major_version, v.minor_version, v.patch_version)
           || coalesce('-' || v.prerelease, ''), v.change_type, v.change_type_defaulted
      FROM start_project_build(project) b, create_version_on_success(project, b.build_id, result) v
$$;
SELECT * FROM pg_temp.release(:'project');
SELECT * FROM pg_temp.release(:'project', '{"change_type": "minor"}');
SELECT * FROM pg_temp.release(:'project', '{"change_type": "patch"}');
SELECT * FROM pg_temp.release(:'project', '{"change_type": "patch"}');
SELECT * FROM pg_temp.release(:'project', '{"change_type": "major"}');
SELECT * FROM pg_temp.release(:'project', '{"change_type": "patch"}');
SELECT * FROM pg_temp.release(:'project', '{"change_type": null}');
-- A prerelease label stands beside the number and takes no part in it.
SELECT * FROM pg_temp.release(:'project', '{"prerelease": "beta.1"}');
SELECT * FROM pg_temp.release(:'project', '{"prerelease": "rc-2", "change_type": "patch"}');
SELECT * FROM pg_temp.release(:'project', '{"change_type": "patch"}');
-- A build that fails uses up no number.
SELECT status FROM start_project_build(:'project') b, fail_project_build(:'project', b.build_id);
SELECT * FROM pg_temp.release(:'project');
-- The parent of a version is the one before it.
SELECT format('%s.%s.%s', v.major_version, v.minor_version, v.patch_version) AS number,
       p.major_version || '.' || p.minor_version || '.' || p.patch_version AS parent
  FROM project_versions v LEFT JOIN project_versions p ON p.project_id = v.project_id AND p.version_id = v.parent_version_id
 WHERE v.project_id = :'project'
 ORDER BY v.major_version, v.minor_version, v.patch_version;
-- The first is major whatever it calls itself.
INSERT INTO projects (id, owner_id, name, framework)
VALUES ('7e450000-0000-4000-8000-000000000001', '5e1f0000-0000-4000-8000-000000000001', 'First', 'react');
SELECT * FROM pg_temp.release('7e450000-0000-4000-8000-000000000001', '{"change_type": "patch"}');
-- Numbers end with the largest integer.
UPDATE project_versions SET major_version = 2147483647 WHERE project_id = '7e450000-0000-4000-8000-000000000001';
SELECT * FROM pg_temp.release('7e450000-0000-4000-8000-000000000001');
SELECT build_id AS too_many FROM start_project_build('7e450000-0000-4000-8000-000000000001') \gset
SELECT version_id FROM create_version_on_success('7e450000-0000-4000-8000-000000000001', :'too_many', '{"change_type": "major"}');
\echo :SQLSTATE
SELECT delete_project('7e450000-0000-4000-8000-000000000001');

--
-- Snapshots
--
-- A version keeps the files as they were when it was made: edits, deletions and moves after it change
-- nothing, and nothing is copied.
INSERT INTO projects (id, owner_id, name, framework)
VALUES ('7e450000-0000-4000-8000-000000000002', '5e1f0000-0000-4000-8000-000000000001', 'Snapshots', 'react');
\set project 7e450000-0000-4000-8000-000000000002
CREATE FUNCTION pg_temp.version_number(project uuid, n integer) RETURNS text LANGUAGE sql AS $$
    SELECT version_id FROM project_versions WHERE project_id = project ORDER BY snapshot_seq OFFSET n - 1 LIMIT 1
$$;
-- Version 1: no file at all.
SELECT number FROM pg_temp.release(:'project');
-- Version 2: three files.
SELECT count(*) FROM unnest('{a.txt,b.txt,dir/c.txt}'::text[]) name, atomic_upsert_project_file(:'project', name, name || E' one\n', 'text');
SELECT number FROM pg_temp.release(:'project');
-- Version 3: one edited twice, one deleted, one moved, one new.
SELECT version FROM atomic_upsert_project_file(:'project', 'a.txt', E'a.txt two\n', 'text');
SELECT version FROM atomic_upsert_project_file(:'project', 'a.txt', E'a.txt three\n', 'text');
SELECT version FROM delete_project_file(:'project', 'b.txt');
SELECT version FROM move_project_file(:'project', 'dir/c.txt', 'dir/d.txt');
SELECT version FROM atomic_upsert_project_file(:'project', 'new.txt', E'new\n', 'text');
SELECT number FROM pg_temp.release(:'project');
-- Version 4: the deleted one is back, the moved one is edited, and another is at its old path.
SELECT version FROM atomic_upsert_project_file(:'project', 'b.txt', E'b.txt again\n', 'text');
SELECT version FROM atomic_upsert_project_file(:'project', 'dir/d.txt', E'dir/d.txt two\n', 'text');
SELECT version FROM atomic_upsert_project_file(:'project', 'dir/c.txt', E'dir/c.txt anew\n', 'text');
SELECT number FROM pg_temp.release(:'project');
-- Afterwards everything is deleted, renamed or changed.
SELECT version FROM delete_project_file(:'project', 'a.txt');
SELECT version FROM move_project_file(:'project', 'b.txt', 'a.txt');
SELECT version FROM atomic_upsert_project_file(:'project', 'dir/d.txt', 'changed', 'text');
SELECT version FROM delete_project_file(:'project', 'dir/c.txt');
SELECT version FROM delete_project_file(:'project', 'new.txt');

SELECT n, v.* FROM generate_series(1, 4) n LEFT JOIN LATERAL (
       SELECT file_path, rtrim(content, E'\n') AS content, file_type, version,
              content_hash = encode(sha256(convert_to(content, 'UTF8')), 'hex') AS hash, updated_at <= clock_timestamp() AS dated
         FROM get_project_version_files(:'project', pg_temp.version_number(:'project', n))) v ON true
 ORDER BY n, file_path COLLATE "C";
-- Beside them, what there is now.
SELECT file_path, content, version FROM get_current_project_files(:'project');
-- Arguments may be named, as always; IDs may be in lower case.
SELECT count(*) FROM get_project_version_files(p_version_id => lower(pg_temp.version_number(:'project', 2)), p_project_id => :'project');

-- A rolled-back version has not happened; the next takes its number.
BEGIN;
SELECT number FROM pg_temp.release(:'project');
ROLLBACK;
SELECT number FROM pg_temp.release(:'project');

-- Saves and versions of one transaction keep their order.
BEGIN;
SELECT version FROM atomic_upsert_project_file(:'project', 'order.txt', 'before', 'text');
SELECT number FROM pg_temp.release(:'project');
SELECT version FROM atomic_upsert_project_file(:'project', 'order.txt', 'between', 'text');
SELECT number FROM pg_temp.release(:'project');
SELECT version FROM atomic_upsert_project_file(:'project', 'order.txt', 'after', 'text');
COMMIT;
SELECT n, content FROM generate_series(5, 7) n LEFT JOIN LATERAL (
       SELECT content FROM get_project_version_files(:'project', pg_temp.version_number(:'project', n)) WHERE file_path = 'order.txt') v ON true
 ORDER BY n;

--
-- What is refused
--
SELECT version_id FROM create_version_on_success(NULL, '01ARZ3NDEKTSV4RRFFQ69G5FAV');
\echo :SQLSTATE
SELECT version_id FROM create_version_on_success(:'project', NULL);
\echo :SQLSTATE
SELECT version_id FROM create_version_on_success('7e450000-0000-4000-8000-0000000000ff', '01ARZ3NDEKTSV4RRFFQ69G5FAV');
\echo :SQLSTATE
SELECT version_id FROM create_version_on_success(:'project', '01ARZ3NDEKTSV4RRFFQ69G5FAV');
\echo :SQLSTATE
SELECT file_path FROM get_project_version_files(NULL, '01ARZ3NDEKTSV4RRFFQ69G5FAV');
\echo :SQLSTATE
SELECT file_path FROM get_project_version_files(:'project', NULL);
\echo :SQLSTATE
SELECT file_path FROM get_project_version_files('7e450000-0000-4000-8000-0000000000ff', '01ARZ3NDEKTSV4RRFFQ69G5FAV');
\echo :SQLSTATE
SELECT file_path FROM get_project_version_files(:'project', '01ARZ3NDEKTSV4RRFFQ69G5FAV');
\echo :SQLSTATE
-- The ID of a build that is still running is reserved, but no version yet.
SELECT version_id AS reserved FROM start_project_build(:'project') \gset
\set VERBOSITY sqlstate
SELECT file_path FROM get_project_version_files(:'project', :'reserved');
\set VERBOSITY default

-- Reading versions writes nothing.
BEGIN READ ONLY;
SELECT count(*) FROM get_project_version_files(:'project', pg_temp.version_number(:'project', 2));
ROLLBACK;

SELECT bool_and(delete_project(id)) AS deleted FROM projects;
