--
-- RETENTION
--
-- prune_project_history removes what is neither current, nor in a version of the project or the cut of its active build,
-- nor kept by its arguments.
--
INSERT INTO projects (id, owner_id, name, framework)
VALUES ('7e700000-0000-4000-8000-000000000001', '5e1f0000-0000-4000-8000-000000000001', 'Retention', 'react');
\set project 7e700000-0000-4000-8000-000000000001
SELECT build_id FROM start_project_build(:'project') \gset
SELECT max((atomic_upsert_project_file(:'project', 'a.txt', 'a ' || v, 'text')).version) FROM generate_series(1, 5) v;
SELECT max((atomic_upsert_project_file(:'project', 'b.txt', 'b ' || v, 'text')).version) FROM generate_series(1, 3) v;
SELECT version FROM delete_project_file(:'project', 'b.txt');
SELECT version_id FROM create_version_on_success(:'project', :'build_id') \gset
SELECT max((atomic_upsert_project_file(:'project', 'a.txt', 'a ' || v, 'text')).version) FROM generate_series(6, 9) v;
SELECT version FROM atomic_upsert_project_file(:'project', 'b.txt', 'b again', 'text');

-- It only says what it would do, unless told otherwise.
SELECT * FROM prune_project_history(:'project', p_keep_last => 3) ORDER BY 1;
SELECT count(*) FROM project_files WHERE project_id = :'project';
-- Version 5 is in the project's version, and so is the deletion of the other file.
SELECT * FROM prune_project_history(:'project', p_keep_last => 3, p_dry_run => false) ORDER BY 1;
SELECT file_path, version, content, is_current_version, is_deleted FROM project_files WHERE project_id = :'project' ORDER BY 1, 2;
SELECT file_path, version, content FROM get_project_version_files(:'project', :'version_id');
SELECT * FROM check_project_integrity(:'project');
SELECT file_path, pruned_versions FROM project_file_heads WHERE project_id = :'project' ORDER BY 1;
-- Numbers are not used again.
SELECT version FROM atomic_upsert_project_file(:'project', 'a.txt', 'a 10', 'text');
SELECT version FROM get_project_file(:'project', 'a.txt', 2);
\echo :SQLSTATE

-- By age, and by file.
SELECT * FROM prune_project_history(:'project', p_keep_newer_than => '1 hour', p_dry_run => false);
SELECT * FROM prune_project_history(:'project', 'a.txt', p_dry_run => false);
SELECT version FROM project_files WHERE project_id = :'project' AND file_path = 'a.txt' ORDER BY 1;

--
-- Deleted versions
--
-- What only deleted versions of the project need goes, too, unless they were deleted within p_keep_newer_than.
INSERT INTO projects (id, owner_id, name, framework)
VALUES ('7e700000-0000-4000-8000-000000000002', '5e1f0000-0000-4000-8000-000000000001', 'Deleted', 'react');
\set other 7e700000-0000-4000-8000-000000000002
CREATE FUNCTION pg_temp.release(project uuid) RETURNS text LANGUAGE sql AS $$
    SELECT v.version_id FROM start_project_build(project) b, create_version_on_success(project, b.build_id) v
$$;
CREATE FUNCTION pg_temp.error_of(sql text, OUT code text, OUT message text, OUT detail text, OUT hint text)
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE sql;
EXCEPTION WHEN OTHERS THEN
    code := SQLSTATE;
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    message := regexp_replace(message, '01[^A][0-9A-HJKMNP-TV-Z]{23}', '<id>', 'g');
    detail := regexp_replace(detail, '01[^A][0-9A-HJKMNP-TV-Z]{23}', '<id>', 'g');
END
$$;
-- The versions 1.0.0 to 1.3.0; the last one changes nothing.
SELECT version FROM atomic_upsert_project_file(:'other', 'a.txt', 'a 1', 'text');
SELECT version FROM atomic_upsert_project_file(:'other', 'b.txt', 'b 1', 'text');
SELECT version FROM atomic_upsert_project_file(:'other', 'c.txt', 'c 1', 'text');
SELECT pg_temp.release(:'other') AS v0 \gset
SELECT version FROM atomic_upsert_project_file(:'other', 'a.txt', 'a 2', 'text');
SELECT pg_temp.release(:'other') AS v1 \gset
SELECT version FROM atomic_upsert_project_file(:'other', 'a.txt', 'a 3', 'text');
SELECT version FROM atomic_upsert_project_file(:'other', 'b.txt', 'b 2', 'text');
SELECT pg_temp.release(:'other') AS v2 \gset
SELECT pg_temp.release(:'other') AS v3 \gset
SELECT version FROM atomic_upsert_project_file(:'other', 'a.txt', 'a 4', 'text');
SELECT count(delete_project_version(:'other', id)) AS deleted FROM unnest(ARRAY[:'v1', :'v2']) id;
-- All that was hours ago; but they have just been deleted, so they are kept.
SET session_replication_role = replica;
UPDATE project_file_versions SET created_at = created_at - interval '2 hours' WHERE project_id = :'other';
UPDATE project_file_heads SET updated_at = updated_at - interval '2 hours' WHERE project_id = :'other';
RESET session_replication_role;
SELECT * FROM prune_project_history(:'other', p_keep_newer_than => '1 hour', p_dry_run => false);
-- A dry run marks nothing. Version 3 of a.txt is in 1.3.0 as well, so 1.2.0 loses nothing.
UPDATE project_versions SET soft_deleted_at = soft_deleted_at - interval '2 hours' WHERE project_id = :'other' AND soft_deleted_at IS NOT NULL;
SELECT * FROM prune_project_history(:'other', p_keep_newer_than => '1 hour');
SELECT minor_version, soft_deleted_at IS NOT NULL AS deleted, pruned_at FROM project_versions WHERE project_id = :'other' ORDER BY 1;
SELECT * FROM prune_project_history(:'other', p_keep_newer_than => '1 hour', p_dry_run => false);
SELECT minor_version, soft_deleted_at IS NOT NULL AS deleted, pruned_at > soft_deleted_at AS pruned, updated_at = pruned_at AS updated
  FROM project_versions WHERE project_id = :'other' ORDER BY 1;
SELECT * FROM prune_project_history(:'other', p_dry_run => false);
-- The others have all their files.
SELECT v.minor_version, f.file_path, f.content, f.version
  FROM project_versions v, get_project_version_files(v.project_id, v.version_id) f
 WHERE v.project_id = :'other' AND v.pruned_at IS NULL
 ORDER BY 1, 2;
SELECT * FROM check_project_integrity(:'other');
-- What lost files can no longer be read, compared or restored, not even after it was brought back.
SELECT build_id AS b1 FROM project_build_metrics WHERE project_id = :'other' AND version_id = :'v1' \gset
SELECT count(undelete_project_version(:'other', id)) AS undeleted FROM unnest(ARRAY[:'v1', :'v2']) id;
\x on
SELECT * FROM pg_temp.error_of(format('SELECT get_project_version_files(%L, %L)', :'other', :'v1'));
\x off
SELECT call, e.code
  FROM (VALUES ('restore_project_version(%1$L, %2$L)'), ('diff_project_versions(%1$L, %2$L)'), ('diff_project_versions(%1$L, %3$L, %2$L)'),
               ('get_project_build_files(%1$L, %4$L)')) c (call),
       pg_temp.error_of('SELECT ' || format(call, :'other', :'v1', :'v3', :'b1')) e;
SELECT semver, can_publish, can_restore FROM get_project_version_history(:'other');
SELECT count(*) FROM restore_project_version(:'other', :'v2');
-- What lost files never becomes the current version. With none, the next one is created all the same.
SELECT count(delete_project_version(:'other', id)) AS deleted FROM unnest(ARRAY[:'v3', :'v2', :'v0']) id;
SELECT current_version_id IS NULL AS none FROM projects WHERE id = :'other';
SELECT count(pg_temp.release(:'other')) AS released;

-- The cut of an active build is kept, that of another is not.
SELECT build_id AS active FROM start_project_build(:'other') \gset
SELECT version FROM atomic_upsert_project_file(:'other', 'd.txt', 'd 1', 'text');
SELECT count(cut_project_build(:'other', :'active')) AS cut;
SELECT version FROM atomic_upsert_project_file(:'other', 'd.txt', 'd 2', 'text');
SELECT * FROM prune_project_history(:'other', 'd.txt', p_dry_run => false);
SELECT content FROM get_project_build_files(:'other', :'active') WHERE file_path = 'd.txt';
SELECT status FROM fail_project_build(:'other', :'active');
SELECT * FROM prune_project_history(:'other', 'd.txt', p_dry_run => false);
SELECT * FROM check_project_integrity(:'other');

SELECT * FROM prune_project_history(NULL);
\echo :SQLSTATE
SELECT * FROM prune_project_history(:'project', p_keep_last => -1);
\echo :SQLSTATE
SELECT * FROM prune_project_history(:'project', p_keep_newer_than => '-1 day');
\echo :SQLSTATE
SELECT * FROM prune_project_history(:'project', p_dry_run => NULL);
\echo :SQLSTATE
SELECT * FROM prune_project_history(:'project', 'none.txt');
\echo :SQLSTATE
SELECT delete_project(:'project'), delete_project(:'other');
