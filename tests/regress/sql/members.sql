--
-- MEMBERS
--
-- Viewers read a project, editors also save and build, owners also manage members and delete the project.
-- What each role may do is shown in access.sql; here is how it is given and taken.
--
INSERT INTO projects (id, owner_id, name, framework)
VALUES ('3e3b0000-0000-4000-8000-000000000001', '5e1f0000-0000-4000-8000-000000000001', 'Members', 'react');
\set project 3e3b0000-0000-4000-8000-000000000001

SELECT project_id, user_id, role, created_at <= clock_timestamp() AS dated
  FROM add_project_member(:'project', '5e1f0000-0000-4000-8000-000000000002', 'viewer');
SELECT role FROM add_project_member(p_role => 'editor', p_project_id => :'project', p_user_id => '5e1f0000-0000-4000-8000-000000000003');
SELECT role FROM add_project_member(:'project', '5e1f0000-0000-4000-8000-000000000004', 'owner');

-- Adding a member again changes the role, up or down, and keeps the date of joining.
SELECT extract(epoch FROM created_at) AS joined FROM project_members
 WHERE project_id = :'project' AND user_id = '5e1f0000-0000-4000-8000-000000000002' \gset
SELECT role, extract(epoch FROM created_at) = :joined AS since_then FROM add_project_member(:'project', '5e1f0000-0000-4000-8000-000000000002', 'editor');
SELECT role FROM add_project_member(:'project', '5e1f0000-0000-4000-8000-000000000004', 'viewer');
SELECT user_id, role FROM project_members WHERE project_id = :'project' ORDER BY user_id;

-- The user in projects.owner_id is an owner with or without a row, and stays one.
SELECT role FROM add_project_member(:'project', '5e1f0000-0000-4000-8000-000000000001', 'owner');
SELECT role FROM add_project_member(:'project', '5e1f0000-0000-4000-8000-000000000001', 'viewer');
\echo :SQLSTATE
SELECT remove_project_member(:'project', '5e1f0000-0000-4000-8000-000000000001');
\echo :SQLSTATE

-- Removing says whether there was anything to remove.
SELECT remove_project_member(:'project', '5e1f0000-0000-4000-8000-000000000003');
SELECT remove_project_member(:'project', '5e1f0000-0000-4000-8000-000000000003');
SELECT remove_project_member(p_user_id => '5e1f0000-0000-4000-8000-0000000000ff', p_project_id => :'project');

-- There are three roles, in lower case.
SELECT role FROM add_project_member(:'project', '5e1f0000-0000-4000-8000-000000000003', 'admin');
\echo :SQLSTATE
SELECT role FROM add_project_member(:'project', '5e1f0000-0000-4000-8000-000000000003', 'Viewer');
\echo :SQLSTATE
SELECT role FROM add_project_member(:'project', '5e1f0000-0000-4000-8000-000000000003', '');
\echo :SQLSTATE

-- Nothing may be NULL.
SELECT role FROM add_project_member(NULL, '5e1f0000-0000-4000-8000-000000000003', 'viewer');
\echo :SQLSTATE
SELECT role FROM add_project_member(:'project', NULL, 'viewer');
\echo :SQLSTATE
SELECT role FROM add_project_member(:'project', '5e1f0000-0000-4000-8000-000000000003', NULL);
\echo :SQLSTATE
SELECT remove_project_member(NULL, '5e1f0000-0000-4000-8000-000000000003');
\echo :SQLSTATE
SELECT remove_project_member(:'project', NULL);
\echo :SQLSTATE

-- The project must exist.
SELECT role FROM add_project_member('3e3b0000-0000-4000-8000-0000000000ff', '5e1f0000-0000-4000-8000-000000000003', 'viewer');
\echo :SQLSTATE
SELECT remove_project_member('3e3b0000-0000-4000-8000-0000000000ff', '5e1f0000-0000-4000-8000-000000000003');
\echo :SQLSTATE

SELECT user_id, role FROM project_members WHERE project_id = :'project' ORDER BY user_id;
SELECT delete_project(:'project');
