--
-- RETENTION
--
-- prune_project_history removes what is neither current, nor in a version of the project, nor kept by its arguments.
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
SELECT delete_project(:'project');
