--
-- BUILDS
--
-- A build is one attempt. It either succeeds and becomes a version (versions.sql), fails, or is abandoned for
-- another. A project has one active build at a time.
--
INSERT INTO projects (id, owner_id, name, framework)
VALUES ('b0110000-0000-4000-8000-000000000001', '5e1f0000-0000-4000-8000-000000000001', 'Builds', 'svelte');
\set project b0110000-0000-4000-8000-000000000001

--
-- Starting
--
-- start_project_build returns what create_complete_project does.
SELECT * FROM start_project_build(:'project', 'Make it blue') \gset
SELECT :'project_id' = :'project' AS project, is_ulid(:'version_id') AS version, is_ulid(:'build_id') AS build,
       is_ulid(:'ai_session_id') AS ai_session, :build_metrics_id > 0 AS metrics, :'created' AS created;
SELECT build_status, current_build_id = :'build_id' AS building_it, current_version_id,
       last_build_started IS NOT NULL AS started, last_build_completed IS NOT NULL AS completed
  FROM projects WHERE id = :'project';
SELECT id = :build_metrics_id AS id, version_id = :'version_id' AS version, user_id, is_initial_build, status, prompt, framework,
       started_at <= clock_timestamp() AS started, completed_at
  FROM project_build_metrics WHERE project_id = :'project';
SELECT session_id = :'ai_session_id' AS ai_session, build_id = :'build_id' AS build, operation, ended_at
  FROM project_ai_time_sessions WHERE project_id = :'project';

-- While it is active, no other build can be started.
\set VERBOSITY sqlstate
SELECT build_id FROM start_project_build(:'project', 'Make it red');
\set VERBOSITY default
-- The message and DETAIL name the active build. Build IDs differ each time this runs, so a function takes
-- them out.
CREATE FUNCTION pg_temp.error_of(sql text, OUT code text, OUT message text, OUT detail jsonb, OUT hint text)
LANGUAGE plpgsql AS $$
DECLARE
    v_detail text;
BEGIN
    EXECUTE sql;
EXCEPTION WHEN OTHERS THEN
    code := SQLSTATE;
    message := regexp_replace(SQLERRM, '[0-7][0-9A-Z]{25}', '<build>', 'g');
    GET STACKED DIAGNOSTICS v_detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    detail := nullif(v_detail, '')::jsonb;
END
$$;
\x on
SELECT code, message, detail ->> 'project_id' = :'project' AS project, detail ->> 'build_id' = :'build_id' AS build,
       (detail ->> 'started_at')::timestamptz = started_at AS started_at, hint
  FROM pg_temp.error_of(format('SELECT build_id FROM start_project_build(%L)', :'project')), project_build_metrics
 WHERE project_id = :'project';
\x off

-- p_supersede abandons the active one, with its AI-time sessions.
SELECT build_id AS second FROM start_project_build(:'project', p_framework => 'vue', p_supersede => true) \gset
SELECT build_id = :'second' AS second, is_initial_build, status, prompt, framework, completed_at IS NOT NULL AS completed,
       total_duration_ms >= 0 AS measured, error
  FROM project_build_metrics WHERE project_id = :'project' ORDER BY id;
SELECT build_id = :'second' AS second, ended_at IS NOT NULL AS ended, duration_ms >= 0 AS measured
  FROM project_ai_time_sessions WHERE project_id = :'project' ORDER BY session_id;
SELECT build_status, current_build_id = :'second' AS second FROM projects WHERE id = :'project';
-- The project keeps its framework; p_framework is the build's.
SELECT framework FROM projects WHERE id = :'project';
-- With nothing active there is nothing to supersede, and that is fine.
SELECT status FROM fail_project_build(:'project', :'second');
SELECT build_id AS third FROM start_project_build(p_project_id => :'project', p_supersede => true) \gset

-- A worker that died would block its project for ever. An active build older than
-- pg_versioned.build_timeout gives way to the next one.
SHOW pg_versioned.build_timeout;
UPDATE project_build_metrics SET started_at = started_at - interval '59 minutes' WHERE project_id = :'project' AND build_id = :'third';
SELECT code FROM pg_temp.error_of(format('SELECT build_id FROM start_project_build(%L)', :'project'));
UPDATE project_build_metrics SET started_at = started_at - interval '2 minutes' WHERE project_id = :'project' AND build_id = :'third';
SELECT build_id AS fourth FROM start_project_build(:'project') \gset
SELECT status, total_duration_ms > 3600000 AS over_an_hour FROM project_build_metrics WHERE project_id = :'project' AND build_id = :'third';
SET pg_versioned.build_timeout = '1s';
SELECT pg_sleep(1.1);
SELECT build_id AS fifth FROM start_project_build(:'project') \gset
RESET pg_versioned.build_timeout;
SELECT array_agg(status ORDER BY id) FROM project_build_metrics WHERE project_id = :'project';

--
-- Failing
--
-- A failed build closes itself and its sessions, tells the project, and leaves no version behind.
\x on
SELECT build_id = :'fifth' AS build, status, error, completed_at <= clock_timestamp() AS completed,
       total_duration_ms >= 0 AS measured, build_duration_ms, install_duration_ms, deploy_duration_ms
  FROM fail_project_build(:'project', :'fifth', E'vite: exit code 1\nsee the log');
\x off
SELECT build_status, current_build_id = :'fifth' AS last_tried, current_version_id, last_build_completed >= last_build_started AS completed
  FROM projects WHERE id = :'project';
SELECT count(*) FILTER (WHERE ended_at IS NULL) AS open_sessions FROM project_ai_time_sessions WHERE project_id = :'project';
SELECT count(*) AS versions FROM project_versions WHERE project_id = :'project';

-- Workers retry. The second call changes nothing.
SELECT extract(epoch FROM completed_at) AS first_end FROM project_build_metrics WHERE build_id = :'fifth' \gset
SELECT status, error, extract(epoch FROM completed_at) = :first_end AS unchanged FROM fail_project_build(:'project', :'fifth', 'something else');
-- An abandoned build stays abandoned. The one that took its place does not notice.
SELECT build_id AS sixth FROM start_project_build(:'project') \gset
SELECT status, error FROM fail_project_build(p_project_id => :'project', p_build_id => :'fourth', p_error => 'too late');
SELECT build_status, current_build_id = :'sixth' AS sixth FROM projects WHERE id = :'project';
-- IDs are accepted in lower case.
SELECT status FROM fail_project_build(:'project', lower(:'sixth'));
-- p_error is any text of at most 64 KiB, or NULL.
SELECT build_id AS seventh FROM start_project_build(:'project') \gset
SELECT status FROM fail_project_build(:'project', :'seventh', repeat('x', 65537));
\echo :SQLSTATE
SELECT status, error FROM fail_project_build(:'project', :'seventh', NULL);

--
-- Success comes once
--
-- A build that failed or was abandoned cannot become a version any more.
\set VERBOSITY sqlstate
SELECT version_id FROM create_version_on_success(:'project', :'seventh');
SELECT version_id FROM create_version_on_success(:'project', :'third');
\set VERBOSITY default
\x on
SELECT code, message, detail ->> 'project_id' = :'project' AS project, detail ->> 'build_id' = :'seventh' AS build,
       detail ->> 'status' AS status, hint
  FROM pg_temp.error_of(format('SELECT version_id FROM create_version_on_success(%L, %L)', :'project', :'seventh'));
SELECT code, message, detail ->> 'status' AS status
  FROM pg_temp.error_of(format('SELECT version_id FROM create_version_on_success(%L, %L)', :'project', :'third'));
\x off
-- One that succeeded cannot fail any more.
SELECT build_id AS eighth FROM start_project_build(:'project') \gset
SELECT major_version FROM create_version_on_success(:'project', :'eighth');
\x on
SELECT code, message, detail ->> 'status' AS status, hint
  FROM pg_temp.error_of(format('SELECT status FROM fail_project_build(%L, %L)', :'project', :'eighth'));
\x off
SELECT build_status FROM projects WHERE id = :'project';
SELECT is_initial_build, status FROM project_build_metrics WHERE project_id = :'project' ORDER BY id;

-- A failure after that leaves the last good version current.
SELECT build_id AS ninth FROM start_project_build(:'project') \gset
SELECT status FROM fail_project_build(:'project', :'ninth');
SELECT build_status, current_build_id = :'ninth' AS last_tried, current_version_id = version_id AS still_current
  FROM projects p JOIN project_build_metrics b ON b.project_id = p.id AND b.build_id = :'eighth'
 WHERE p.id = :'project';

--
-- AI time
--
-- Besides main_build, which begins with the build, workers bill what else they do.
SELECT build_id AS tenth FROM start_project_build(:'project') \gset
SELECT start_ai_time_tracking(:'project', :'tenth', 'code_review') AS review \gset
SELECT start_ai_time_tracking(p_project_id => :'project', p_build_id => lower(:'tenth')) AS more \gset
SELECT is_ulid(:'review') AS review, is_ulid(:'more') AS more;
SELECT operation, user_id, started_at <= clock_timestamp() AS started, ended_at, duration_ms
  FROM project_ai_time_sessions WHERE project_id = :'project' AND build_id = :'tenth' ORDER BY session_id;

-- Stopping returns the milliseconds, the same ones however often it is called.
UPDATE project_ai_time_sessions SET started_at = started_at - interval '90 seconds'
 WHERE project_id = :'project' AND session_id = :'review';
SELECT stop_ai_time_tracking(:'project', :'review') AS duration \gset
SELECT :duration BETWEEN 90000 AND 150000 AS about_90_seconds;
SELECT stop_ai_time_tracking(:'project', lower(:'review')) = :duration AS same;
SELECT ended_at - started_at BETWEEN interval '90 seconds' AND interval '150 seconds' AS times_agree, duration_ms = :duration AS same
  FROM project_ai_time_sessions WHERE project_id = :'project' AND session_id = :'review';

-- What is still open when the build ends is closed with it; what was closed stays as it was.
SELECT status FROM fail_project_build(:'project', :'tenth');
SELECT count(*), count(ended_at) AS ended, count(duration_ms) AS measured
  FROM project_ai_time_sessions WHERE project_id = :'project' AND build_id = :'tenth';
SELECT stop_ai_time_tracking(:'project', :'review') = :duration AS same;
SELECT stop_ai_time_tracking(:'project', :'more') >= 0 AS measured;
-- No billing to a build that has ended.
SELECT code, message, detail ->> 'status' AS status
  FROM pg_temp.error_of(format('SELECT start_ai_time_tracking(%L, %L)', :'project', :'tenth'));

--
-- What is refused
--
-- NULL where there must be something, and limits.
SELECT build_id FROM start_project_build(NULL);
\echo :SQLSTATE
SELECT build_id FROM start_project_build(:'project', p_supersede => NULL);
\echo :SQLSTATE
SELECT build_id FROM start_project_build(:'project', repeat('x', 1048577));
\echo :SQLSTATE
SELECT build_id FROM start_project_build(:'project', p_framework => '');
\echo :SQLSTATE
SELECT build_id FROM start_project_build(:'project', p_framework => repeat('x', 101));
\echo :SQLSTATE
SELECT status FROM fail_project_build(NULL, :'tenth');
\echo :SQLSTATE
SELECT status FROM fail_project_build(:'project', NULL);
\echo :SQLSTATE
SELECT start_ai_time_tracking(NULL, :'tenth');
\echo :SQLSTATE
SELECT start_ai_time_tracking(:'project', NULL);
\echo :SQLSTATE
SELECT start_ai_time_tracking(:'project', :'tenth', NULL);
\echo :SQLSTATE
SELECT start_ai_time_tracking(:'project', :'tenth', '');
\echo :SQLSTATE
SELECT start_ai_time_tracking(:'project', :'tenth', repeat('x', 101));
\echo :SQLSTATE
SELECT stop_ai_time_tracking(NULL, :'more');
\echo :SQLSTATE
SELECT stop_ai_time_tracking(:'project', NULL);
\echo :SQLSTATE

-- Unknown projects, builds and sessions.
SELECT build_id FROM start_project_build('b0110000-0000-4000-8000-0000000000ff');
\echo :SQLSTATE
SELECT status FROM fail_project_build('b0110000-0000-4000-8000-0000000000ff', '01ARZ3NDEKTSV4RRFFQ69G5FAV');
\echo :SQLSTATE
SELECT status FROM fail_project_build(:'project', '01ARZ3NDEKTSV4RRFFQ69G5FAV');
\echo :SQLSTATE
SELECT status FROM fail_project_build(:'project', 'LATEST');
\echo :SQLSTATE
SELECT start_ai_time_tracking('b0110000-0000-4000-8000-0000000000ff', '01ARZ3NDEKTSV4RRFFQ69G5FAV');
\echo :SQLSTATE
SELECT start_ai_time_tracking(:'project', '01ARZ3NDEKTSV4RRFFQ69G5FAV');
\echo :SQLSTATE
SELECT stop_ai_time_tracking('b0110000-0000-4000-8000-0000000000ff', '01ARZ3NDEKTSV4RRFFQ69G5FAV');
\echo :SQLSTATE
SELECT stop_ai_time_tracking(:'project', '01ARZ3NDEKTSV4RRFFQ69G5FAV');
\echo :SQLSTATE
-- A build belongs to its project.
INSERT INTO projects (id, owner_id, name, framework)
VALUES ('b0110000-0000-4000-8000-000000000002', '5e1f0000-0000-4000-8000-000000000001', 'Another', 'svelte');
SELECT code, message FROM pg_temp.error_of(format('SELECT fail_project_build(%L, %L)', 'b0110000-0000-4000-8000-000000000002', :'tenth'));
SELECT code, message FROM pg_temp.error_of(format('SELECT stop_ai_time_tracking(%L, %L)', 'b0110000-0000-4000-8000-000000000002', :'more'));

-- Each project builds for itself.
SELECT build_id IS NOT NULL AS started FROM start_project_build(:'project');
SELECT build_id IS NOT NULL AS started FROM start_project_build('b0110000-0000-4000-8000-000000000002');

SELECT bool_and(delete_project(id)) AS deleted FROM projects;
