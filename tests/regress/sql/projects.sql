--
-- PROJECTS
--
-- One call makes a project, its first build, that build's metrics and its AI-time session, with all IDs from
-- the server: create_complete_project(p_user_id, p_framework, p_prompt, p_name, p_idempotency_key).
--
-- The tour runs as a superuser, who may act for everybody and says for whom (access.sql shows the others).
\set user 5e1f0000-0000-4000-8000-000000000001
SELECT * FROM create_complete_project(:'user', 'vue', 'A todo app', 'Todo') \gset
SELECT :'created' AS created, is_ulid(:'version_id') AS version, is_ulid(:'build_id') AS build,
       is_ulid(:'ai_session_id') AS ai_session, :build_metrics_id > 0 AS metrics,
       :'version_id' <> :'build_id' AND :'build_id' <> :'ai_session_id' AS distinct_ids;

SELECT owner_id = :'user' AS owned, name, framework, config, created_by_service, build_status,
       current_build_id = :'build_id' AS building_it, current_version_id, snapshot_seq,
       last_build_started = created_at AS started, last_build_completed, updated_at >= created_at AS in_order
  FROM projects WHERE id = :'project_id';

-- The owner is a member as well.
SELECT user_id = :'user' AS owner, role FROM project_members WHERE project_id = :'project_id';

-- The build has begun, and bills AI time.
SELECT id = :build_metrics_id AS id, version_id = :'version_id' AS version, user_id = :'user' AS "user",
       is_initial_build, status, prompt, framework, completed_at, total_duration_ms, error
  FROM project_build_metrics WHERE project_id = :'project_id' AND build_id = :'build_id';
SELECT build_id = :'build_id' AS build, user_id = :'user' AS "user", operation, ended_at, duration_ms
  FROM project_ai_time_sessions WHERE project_id = :'project_id' AND session_id = :'ai_session_id';

-- The version's ID is reserved, but there is no version: it comes when the build succeeds (versions.sql).
SELECT count(*) AS versions FROM project_versions WHERE project_id = :'project_id';

-- Everything but the user has a default.
SELECT project_id AS plain_project FROM create_complete_project(:'user') \gset
SELECT p.name, p.framework, b.framework AS of_build, b.prompt
  FROM projects p JOIN project_build_metrics b ON b.project_id = p.id
 WHERE p.id = :'plain_project';

-- Arguments may be named, in any order; web clients call it that way.
SELECT project_id AS shop FROM create_complete_project(p_name => 'Shop', p_prompt => 'A shop', p_user_id => :'user') \gset
SELECT p.name, p.framework, b.prompt
  FROM projects p JOIN project_build_metrics b ON b.project_id = p.id
 WHERE p.id = :'shop';

-- All or nothing: what is rolled back leaves no trace.
BEGIN;
SELECT project_id AS undone FROM create_complete_project(:'user', p_idempotency_key => 'undone') \gset
ROLLBACK;
SELECT (SELECT count(*) FROM projects WHERE id = :'undone')
     + (SELECT count(*) FROM project_members WHERE project_id = :'undone')
     + (SELECT count(*) FROM project_build_metrics WHERE project_id = :'undone')
     + (SELECT count(*) FROM project_ai_time_sessions WHERE project_id = :'undone')
     + (SELECT count(*) FROM project_idempotency_keys WHERE project_id = :'undone') AS traces;

--
-- Idempotency keys
--
-- A client that is not sure whether its call arrived calls again with the same key. The first call's IDs
-- come back.
SELECT * FROM create_complete_project(:'user', 'vue', 'A blog', 'Blog', 'blog-1') \gset
SELECT created, project_id = :'project_id' AS project, version_id = :'version_id' AS version,
       build_id = :'build_id' AS build, build_metrics_id = :build_metrics_id AS metrics,
       ai_session_id = :'ai_session_id' AS ai_session
  FROM create_complete_project(:'user', 'vue', 'A blog', 'Blog', 'blog-1');

-- Also within one transaction, and long after.
BEGIN;
SELECT created, project_id = :'project_id' AS project
  FROM create_complete_project(:'user', 'vue', 'A blog', 'Blog', 'blog-1');
ROLLBACK;
SET pg_versioned.double_click_window = 0;
SELECT created, project_id = :'project_id' AS project
  FROM create_complete_project(:'user', 'vue', 'A blog', 'Blog', 'blog-1');
RESET pg_versioned.double_click_window;

-- A key stands for one request. With other arguments it is a mistake: framework, prompt or name.
SELECT created FROM create_complete_project(:'user', 'react', 'A blog', 'Blog', 'blog-1');
\echo :SQLSTATE
SELECT created FROM create_complete_project(:'user', 'vue', NULL, 'Blog', 'blog-1');
\echo :SQLSTATE
SELECT created FROM create_complete_project(:'user', 'vue', 'A blog', 'Log', 'blog-1');
\echo :SQLSTATE

-- Keys belong to their owner: the same key of another owner is a different one.
SELECT created, project_id <> :'project_id' AS another
  FROM create_complete_project('5e1f0000-0000-4000-8000-000000000002', 'vue', 'A blog', 'Blog', 'blog-1');

-- Different keys ask for different projects, however alike they are.
SELECT created, project_id <> :'project_id' AS another
  FROM create_complete_project(:'user', 'vue', 'A blog', 'Blog', 'blog-2');

-- A project that was deleted never comes back: the key makes a new one.
SELECT delete_project(:'project_id');
SELECT created, project_id <> :'project_id' AS another
  FROM create_complete_project(:'user', 'vue', 'A blog', 'Blog', 'blog-1');

--
-- Double clicks
--
-- Without a key, a call with a prompt that equals one the same owner made in another transaction just before
-- counts as a double click. "Just before" is pg_versioned.double_click_window; a long one here, so that a slow
-- machine does not matter.
SHOW pg_versioned.double_click_window;
SET pg_versioned.double_click_window = '60s';
SELECT * FROM create_complete_project(:'user', 'vue', 'A game', 'Game') \gset
SELECT created, project_id = :'project_id' AS project, version_id = :'version_id' AS version,
       build_id = :'build_id' AS build, build_metrics_id = :build_metrics_id AS metrics,
       ai_session_id = :'ai_session_id' AS ai_session
  FROM create_complete_project(:'user', 'vue', 'A game', 'Game');
-- And a third click.
SELECT created, project_id = :'project_id' AS project FROM create_complete_project(:'user', 'vue', 'A game', 'Game');

-- Owner, framework, prompt and name must be the same.
SELECT created FROM create_complete_project('5e1f0000-0000-4000-8000-000000000002', 'vue', 'A game', 'Game');
SELECT created FROM create_complete_project(:'user', 'react', 'A game', 'Game');
SELECT created FROM create_complete_project(:'user', 'vue', 'A game!', 'Game');
SELECT created FROM create_complete_project(:'user', 'vue', 'A game', 'Game 2');
-- A key says that it is another request,
SELECT created FROM create_complete_project(:'user', 'vue', 'A game', 'Game', 'game');
-- and so does the lack of a prompt: empty projects are made by the dozen.
SELECT created FROM create_complete_project(:'user', 'vue', NULL, 'Empty');
SELECT created FROM create_complete_project(:'user', 'vue', NULL, 'Empty');

-- Two calls within one transaction are no double click: they ask for two projects.
BEGIN;
SELECT project_id AS one, created FROM create_complete_project(:'user', 'vue', 'Twins', 'Twin') \gset
SELECT created, project_id <> :'one' AS another FROM create_complete_project(:'user', 'vue', 'Twins', 'Twin');
COMMIT;

-- A deleted project is not given back.
SELECT delete_project(:'project_id');
SELECT created, project_id <> :'project_id' AS another FROM create_complete_project(:'user', 'vue', 'A game', 'Game');

-- A call that was rolled back does not count.
BEGIN;
SELECT created FROM create_complete_project(:'user', 'vue', 'Second thoughts', 'Oops');
ROLLBACK;
SELECT created FROM create_complete_project(:'user', 'vue', 'Second thoughts', 'Oops');

-- When the window has passed, the same call is a new request.
SET pg_versioned.double_click_window = '20ms';
SELECT created FROM create_complete_project(:'user', 'vue', 'Patience', 'Later');
SELECT pg_sleep(0.1);
SELECT created FROM create_complete_project(:'user', 'vue', 'Patience', 'Later');

-- With 0 nothing counts as a double click.
SET pg_versioned.double_click_window = 0;
SELECT created FROM create_complete_project(:'user', 'vue', 'Click', 'Click');
SELECT created FROM create_complete_project(:'user', 'vue', 'Click', 'Click');
RESET pg_versioned.double_click_window;

--
-- What is refused
--
-- Somebody must own the project. A superuser without a JWT is nobody in particular.
SELECT created FROM create_complete_project();
\echo :SQLSTATE

-- Name and framework are lines of some text: at most 255 and 100 bytes.
SELECT created FROM create_complete_project(:'user', p_name => '');
\echo :SQLSTATE
SELECT created FROM create_complete_project(:'user', p_name => NULL);
\echo :SQLSTATE
SELECT created FROM create_complete_project(:'user', p_name => E'two\nlines');
\echo :SQLSTATE
SELECT created FROM create_complete_project(:'user', p_name => repeat('x', 256));
\echo :SQLSTATE
SELECT created FROM create_complete_project(:'user', p_framework => ' ');
\echo :SQLSTATE
SELECT created FROM create_complete_project(:'user', p_framework => NULL);
\echo :SQLSTATE
SELECT created FROM create_complete_project(:'user', p_framework => repeat('x', 101));
\echo :SQLSTATE
SELECT project_id AS longest FROM create_complete_project(:'user', repeat('x', 100), NULL, repeat('é', 127) || 'x') \gset
SELECT length(name), octet_length(name), length(framework) FROM projects WHERE id = :'longest';

-- A prompt is any text of at most 1 MiB.
SELECT created FROM create_complete_project(:'user', p_prompt => repeat('x', 1048577));
\echo :SQLSTATE
SELECT project_id AS wordy FROM create_complete_project(:'user', p_prompt => E'Tabs\tand\nlines\n' || repeat('x', 1048561)) \gset
SELECT length(prompt) FROM project_build_metrics WHERE project_id = :'wordy';

-- A key is a line of at most 255 bytes. One beginning is the extension's own.
SELECT created FROM create_complete_project(:'user', p_idempotency_key => '');
\echo :SQLSTATE
SELECT created FROM create_complete_project(:'user', p_idempotency_key => repeat('k', 256));
\echo :SQLSTATE
SELECT created FROM create_complete_project(:'user', p_idempotency_key => 'double-click:1');
\echo :SQLSTATE
SELECT created FROM create_complete_project(:'user', p_idempotency_key => repeat('k', 255));

-- None of the refused calls left anything.
SELECT count(*) AS odd_names FROM projects WHERE name IN ('', E'two\nlines') OR length(name) > 255;

--
-- Deleting
--
-- delete_project permanently removes a project with everything in it.
SELECT * FROM create_complete_project(:'user', p_prompt => 'Short-lived', p_idempotency_key => 'short-lived') \gset
SELECT version FROM atomic_upsert_project_file(:'project_id', 'a.txt', 'one', 'text');
SELECT version FROM atomic_upsert_project_file(:'project_id', 'a.txt', 'two', 'text');
SELECT version FROM delete_project_file(:'project_id', 'a.txt');
SELECT major_version FROM create_version_on_success(:'project_id', :'build_id');
SELECT role FROM add_project_member(:'project_id', '5e1f0000-0000-4000-8000-000000000002', 'viewer');
SELECT delete_project(:'project_id');
SELECT (SELECT count(*) FROM projects WHERE id = :'project_id')
     + (SELECT count(*) FROM project_members WHERE project_id = :'project_id')
     + (SELECT count(*) FROM project_build_metrics WHERE project_id = :'project_id')
     + (SELECT count(*) FROM project_ai_time_sessions WHERE project_id = :'project_id')
     + (SELECT count(*) FROM project_versions WHERE project_id = :'project_id')
     + (SELECT count(*) FROM project_file_heads WHERE project_id = :'project_id')
     + (SELECT count(*) FROM project_file_versions WHERE project_id = :'project_id')
     + (SELECT count(*) FROM project_idempotency_keys WHERE project_id = :'project_id') AS left_behind;

-- The next call finds nothing to delete.
SELECT delete_project('5e1f0000-0000-4000-8000-0000000000ff');
\echo :SQLSTATE
SELECT delete_project(NULL);
\echo :SQLSTATE

-- Deleting is as transactional as all the rest.
SELECT count(*) AS projects FROM projects WHERE owner_id = :'user' \gset
BEGIN;
SELECT bool_and(delete_project(id)) AS all_deleted FROM projects WHERE owner_id = :'user';
SELECT count(*) FROM projects WHERE owner_id = :'user';
ROLLBACK;
SELECT count(*) = :projects AS all_back FROM projects WHERE owner_id = :'user';
SELECT bool_and(delete_project(id)) AS all_deleted FROM projects;
