--
-- HISTORY
--
-- What was saved stays what it was. Not even a superuser changes a file version by mistake: the table refuses
-- UPDATE, DELETE and TRUNCATE.
--
INSERT INTO projects (id, owner_id, name, framework)
VALUES ('41570000-0000-4000-8000-000000000001', '5e1f0000-0000-4000-8000-000000000001', 'History', 'react');
\set project 41570000-0000-4000-8000-000000000001
SELECT version FROM atomic_upsert_project_file(:'project', 'a.txt', 'one', 'text');
SELECT version FROM atomic_upsert_project_file(:'project', 'a.txt', 'two', 'text');

UPDATE project_file_versions SET file_type = 'other' WHERE project_id = :'project';
\echo :SQLSTATE
DELETE FROM project_file_versions WHERE project_id = :'project' AND version = 1;
\echo :SQLSTATE
TRUNCATE project_file_versions;
\echo :SQLSTATE
-- Not indirectly either.
INSERT INTO project_file_versions SELECT * FROM project_file_versions
    ON CONFLICT (project_id, file_id, version) DO UPDATE SET file_type = 'other';
\echo :SQLSTATE
SET client_min_messages = warning;
TRUNCATE project_file_heads CASCADE;
\echo :SQLSTATE
TRUNCATE projects CASCADE;
\echo :SQLSTATE
RESET client_min_messages;
MERGE INTO project_file_versions v USING (SELECT 1 AS version) old ON v.version = old.version WHEN MATCHED THEN DELETE;
\echo :SQLSTATE
-- Files and projects go with their history or not at all: the trigger and a foreign key hold them.
\set VERBOSITY sqlstate
DELETE FROM project_file_heads WHERE project_id = :'project';
DELETE FROM projects WHERE id = :'project';
\set VERBOSITY default
SELECT version, content FROM project_files WHERE project_id = :'project' ORDER BY version;

-- delete_project is the only way, and history is protected again after it, also when it was undone.
INSERT INTO projects (id, owner_id, name, framework)
VALUES ('41570000-0000-4000-8000-000000000002', '5e1f0000-0000-4000-8000-000000000001', 'Other', 'react');
SELECT version FROM atomic_upsert_project_file('41570000-0000-4000-8000-000000000002', 'b.txt', 'one', 'text');
SELECT delete_project('41570000-0000-4000-8000-000000000002');
DELETE FROM project_file_versions;
\echo :SQLSTATE
BEGIN;
SELECT delete_project(:'project');
SELECT count(*) FROM project_files WHERE project_id = :'project';
DELETE FROM project_file_versions;
\echo :SQLSTATE
ROLLBACK;
DELETE FROM project_file_versions;
\echo :SQLSTATE
SELECT count(*) FROM project_files WHERE project_id = :'project';

SELECT delete_project(:'project');
