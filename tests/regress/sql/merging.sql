--
-- MERGES, DIFFERENCES, REVERTS, AND THE FEED
--
INSERT INTO projects (id, owner_id, name, framework)
VALUES ('3e7e0000-0000-4000-8000-000000000001', '5e1f0000-0000-4000-8000-000000000001', 'Merging', 'react');
\set project 3e7e0000-0000-4000-8000-000000000001
\set VERBOSITY verbose
\set SHOW_CONTEXT never

SELECT version FROM atomic_upsert_project_file(:'project', 'a', E'one\ntwo\nthree\nfour\n', 'text');
SELECT version FROM atomic_upsert_project_file(:'project', 'a', E'ONE\ntwo\nthree\nfour\n', 'text');
-- Two edits of version 1.
SELECT * FROM merge_project_file(:'project', 'a', E'one\ntwo\nthree\nFOUR\n', 1);
SELECT * FROM merge_project_file(:'project', 'a', E'uno\ntwo\nthree\nfour\n', 1);
SELECT * FROM merge_project_file(:'project', 'a', 'x', 9);
SELECT * FROM merge_project_file(:'project', 'a', 'x', NULL);
SELECT version, merged FROM merge_project_file(:'project', 'new', 'x', 0, 'markdown');

SELECT diff_project_file(:'project', 'a', 1);
SELECT diff_project_file(:'project', 'a', 3, 1);
SELECT diff_project_file(:'project', 'a', 2, 2);
SELECT diff_project_file(:'project', 'a', 9);

SELECT version, content FROM revert_project_file(:'project', 'a', 1);
SELECT version FROM revert_project_file(:'project', 'a', 1, 2);
SELECT version FROM revert_project_file(:'project', 'a', 2, 3);
SELECT version FROM delete_project_file(:'project', 'new');
SELECT version FROM revert_project_file(:'project', 'new', 2);
SELECT version FROM revert_project_file(:'project', 'new', 1);

-- Once nothing is being written anywhere in the cluster, by autovacuum, say.
DO $$
BEGIN
    WHILE pg_snapshot_xmin(pg_current_snapshot()) <> pg_snapshot_xmax(pg_current_snapshot()) LOOP
        COMMIT;
        PERFORM pg_sleep(0.01);
    END LOOP;
END
$$;
SELECT row_number() OVER () AS n, file_path, version, file_type, left(content_hash, 8) AS hash, size_bytes, is_deleted
  FROM get_project_changes(:'project');
-- In pages.
SELECT cursor AS middle FROM get_project_changes(:'project', p_limit => 3) OFFSET 2 \gset
SELECT file_path, version FROM get_project_changes(:'project', :'middle', 2);
SELECT get_project_changes(:'project', 'yesterday');
SELECT get_project_changes(:'project', p_limit => 0);

-- What operators see of it.
SELECT operations, creates, updates, deletes, average_size, highest_version
  FROM file_operation_metrics WHERE project_id = :'project';
BEGIN;
SELECT version FROM atomic_upsert_project_file(:'project', 'a', 'locked', 'text');
SELECT kind, file_path, mode, granted, blocked_by FROM versioning_locks WHERE project_id = :'project' ORDER BY 1, 2;
ROLLBACK;
SELECT count(*) FROM versioning_locks;
SELECT delete_project(:'project');
