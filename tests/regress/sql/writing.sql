--
-- WRITING THROUGH THE VIEW
--
-- INSERT, UPDATE and DELETE on project_files go through the functions' code.
--
INSERT INTO projects (id, owner_id, name, framework)
VALUES ('3f170000-0000-4000-8000-000000000001', '5e1f0000-0000-4000-8000-000000000001', 'Writing', 'react');
\set project 3f170000-0000-4000-8000-000000000001
\set VERBOSITY verbose
\set SHOW_CONTEXT never

INSERT INTO project_files (project_id, file_path, content) VALUES (:'project', 'a', 'one')
RETURNING file_path, version, file_type, is_current_version;
-- A second one is the next version; one with a version expects the one before it.
INSERT INTO project_files (project_id, file_path, content) VALUES (:'project', 'a', 'two') RETURNING version;
INSERT INTO project_files (project_id, file_path, content, version) VALUES (:'project', 'a', 'three', 3) RETURNING version;
INSERT INTO project_files (project_id, file_path, content, version) VALUES (:'project', 'a', 'late', 3);
UPDATE project_files SET content = 'four' WHERE project_id = :'project' AND file_path = 'a' AND is_current_version
RETURNING version, content, size_bytes;
UPDATE project_files SET file_type = 'markdown' WHERE project_id = :'project' AND file_path = 'a' AND is_current_version
RETURNING version, file_type;
-- Without anything to save there is no new version.
UPDATE project_files SET content = content WHERE project_id = :'project' AND is_current_version RETURNING version;
UPDATE project_files SET file_path = 'b', content = 'six' WHERE project_id = :'project' AND file_path = 'a' AND is_current_version
RETURNING file_path, version;
-- Old versions are history.
UPDATE project_files SET content = 'x' WHERE project_id = :'project' AND version = 2;
DELETE FROM project_files WHERE project_id = :'project' AND version = 2;
UPDATE project_files SET is_current_version = false WHERE project_id = :'project' AND is_current_version;
UPDATE project_files SET version = 9 WHERE project_id = :'project' AND is_current_version;
DELETE FROM project_files WHERE project_id = :'project' AND file_path = 'b' AND is_current_version RETURNING version, content;
SELECT version, is_deleted FROM project_files WHERE project_id = :'project' ORDER BY version;
-- Many at once.
INSERT INTO project_files (project_id, file_path, content) SELECT :'project', 'f' || n, n FROM generate_series(1, 3) n
RETURNING file_path, version;
WITH updated AS (
    UPDATE project_files SET content = content || '!' WHERE project_id = :'project' AND is_current_version
    RETURNING file_path, content)
SELECT * FROM updated ORDER BY file_path;
-- ON CONFLICT is not available for views with triggers.
\set VERBOSITY default
INSERT INTO project_files (project_id, file_path, content) VALUES (:'project', 'f1', 'x')
    ON CONFLICT (project_id, file_path) DO NOTHING;
SELECT insert_project_file();
SELECT delete_project(:'project');
