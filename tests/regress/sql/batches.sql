--
-- BATCHES
--
-- atomic_upsert_project_files saves and deletes many files, or none; upsert_project_file returns errors.
--
INSERT INTO projects (id, owner_id, name, framework)
VALUES ('ba7c0000-0000-4000-8000-000000000001', '5e1f0000-0000-4000-8000-000000000001', 'Batches', 'react');
\set project ba7c0000-0000-4000-8000-000000000001
\set VERBOSITY verbose
\set SHOW_CONTEXT never

SELECT file_path, version, content, file_type, is_current_version, is_deleted
  FROM atomic_upsert_project_files(:'project', '[
    {"file_path": "src/b.ts", "content": "b", "file_type": "typescript"},
    {"file_path": "a.md", "content": "a", "file_type": "markdown", "expected_version": 0}]');
SELECT file_path, version, content, is_current_version, is_deleted
  FROM atomic_upsert_project_files(:'project', '[
    {"file_path": "a.md", "delete": true, "expected_version": 1},
    {"file_path": "src/b.ts", "content": "b", "file_type": "typescript"},
    {"file_path": "c", "content": "", "file_type": "text"}]');
-- Every conflict is listed, and nothing is saved.
SELECT atomic_upsert_project_files(:'project', '[
    {"file_path": "new", "content": "x", "file_type": "text"},
    {"file_path": "a.md", "content": "x", "file_type": "text", "expected_version": 1},
    {"file_path": "src/b.ts", "content": "x", "file_type": "text", "expected_version": 7}]');
SELECT atomic_upsert_project_files(:'project', '[{"file_path": "c", "delete": true}, {"file_path": "none", "delete": true}]');
SELECT file_path, version FROM get_current_project_files(:'project');
-- What is wrong is named.
SELECT atomic_upsert_project_files(:'project', '{"file_path": "a"}');
SELECT atomic_upsert_project_files(:'project', '[{"file_path": "a", "content": "x"}]');
SELECT atomic_upsert_project_files(:'project', '[{"file_path": "a", "contents": "x", "file_type": "text"}]');
SELECT atomic_upsert_project_files(:'project', '[{"file_path": "a", "content": 1, "file_type": "text"}]');
SELECT atomic_upsert_project_files(:'project', '[{"file_path": "../a", "content": "x", "file_type": "text"}]');
SELECT atomic_upsert_project_files(:'project', '[{"file_path": "c", "delete": true}, {"file_path": "c", "delete": true}]');
SELECT atomic_upsert_project_files(:'project', NULL);

-- Answers in JSON.
SELECT answer - 'data' AS answer, (answer -> 'data') - 'id' - 'updated_at' AS data
  FROM CAST(upsert_project_file(:'project', 'c', 'x', 'text', 1) AS jsonb) answer;
SELECT upsert_project_file(:'project', 'c', 'y', 'text', 7);
SELECT upsert_project_file(:'project', '/c', 'y', 'text');
SELECT upsert_project_file(NULL, 'c', 'y', 'text');
SELECT upsert_project_file('00000000-0000-4000-8000-000000000000', 'c', 'y', 'text');
SELECT delete_project(:'project');
