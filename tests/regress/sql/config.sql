--
-- CONFIG
--
-- A project's config is a JSON object of the application's. Editors merge their changes into it (RFC 7396), so that
-- those who change different keys do not overwrite each other.
--
INSERT INTO projects (id, owner_id, name, framework)
VALUES ('c0f10000-0000-4000-8000-000000000001', '5e1f0000-0000-4000-8000-000000000001', 'Config', 'vue');
\set project c0f10000-0000-4000-8000-000000000001
SELECT config, config_updated_at FROM projects WHERE id = :'project';

-- Objects are merged, null removes a key, any other value replaces what was there. The answer is the project's row.
SELECT id = :'project' AS project, name, config, config_updated_at = updated_at AS dated, updated_at > created_at AS later
  FROM update_project_config(:'project', '{"theme": {"dark": true, "size": 12}, "tags": ["a", "b"]}');
SELECT config FROM update_project_config(:'project', '{"theme": {"size": null, "font": "mono"}, "tags": ["c"], "none": null}');
SELECT config FROM update_project_config(:'project', '{"theme": "plain"}');
SELECT config FROM update_project_config(:'project', '{"theme": {"deep": {"er": {"null": null}}}, "tags": null}');
SELECT config FROM update_project_config(p_config => '{"theme": null}', p_project_id => :'project');

-- Numbers are kept to the letter.
SELECT config FROM update_project_config(:'project', '{"n": {"small": 1e-30, "big": 12345678901234567890123.4500, "zero": 1.50}}');
SELECT config FROM update_project_config(:'project', '{"n": {"zero": 1.500}, "other": 0.10000000000000000000000001}');

-- Who changes a key depending on what else is there says on which config that was based, by its timestamp.
SELECT config_updated_at AS mine FROM get_project_state(:'project') \gset
SELECT config ->> 'lang' AS lang FROM update_project_config(:'project', '{"lang": "en"}', :'mine');
CREATE FUNCTION pg_temp.error_of(sql text, OUT code text, OUT message text, OUT detail jsonb, OUT hint text)
LANGUAGE plpgsql AS $$
DECLARE
    v_detail text;
BEGIN
    EXECUTE sql;
EXCEPTION WHEN OTHERS THEN
    code := SQLSTATE;
    message := regexp_replace(SQLERRM, '\d{4}-\d\d-\d\dT[0-9:.+]+', '<time>', 'g');
    GET STACKED DIAGNOSTICS v_detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    detail := nullif(v_detail, '')::jsonb;
END
$$;
\x on
SELECT e.code, e.message, e.detail ->> 'project_id' = :'project' AS project,
       (e.detail ->> 'expected')::timestamptz = :'mine' AS expected,
       (e.detail ->> 'current')::timestamptz = p.config_updated_at AS current, e.detail -> 'config' = p.config AS config,
       e.hint
  FROM pg_temp.error_of(format('SELECT update_project_config(%L, ''{"lang": "fr"}'', %L)', :'project', :'mine')) e,
       projects p
 WHERE p.id = :'project';
\x off
-- The same call again is no conflict: it finds its change made, and changes nothing.
SELECT config_updated_at AS present, updated_at AS touched FROM projects WHERE id = :'project' \gset
SELECT config ->> 'lang' AS lang, config_updated_at = :'present' AND updated_at = :'touched' AS unchanged
  FROM update_project_config(:'project', '{"lang": "en"}', :'mine');
SELECT updated_at = :'touched' AS unchanged FROM update_project_config(:'project', '{}', 'infinity');
-- What else happens to a project does not concern its config.
SELECT build_id FROM start_project_build(:'project') \gset
SELECT config ->> 'lang' AS lang FROM update_project_config(:'project', '{"lang": "de"}', :'present');
-- Until the first change, the time of its creation is the config's.
INSERT INTO projects (id, owner_id, name, framework)
VALUES ('c0f10000-0000-4000-8000-000000000002', '5e1f0000-0000-4000-8000-000000000001', 'Second', 'vue')
RETURNING created_at AS created \gset
SELECT config FROM update_project_config('c0f10000-0000-4000-8000-000000000002', '{"a": 1}', :'created');
-- Each change has a time of its own, also within one transaction.
BEGIN;
SELECT count(DISTINCT (update_project_config('c0f10000-0000-4000-8000-000000000002', jsonb_build_object('n', n))).config_updated_at)
  FROM generate_series(1, 100) n;
ROLLBACK;

--
-- What is refused
--
SELECT config FROM update_project_config(:'project', NULL);
\echo :SQLSTATE
SELECT config FROM update_project_config(:'project', '["theme"]');
\echo :SQLSTATE
SELECT config FROM update_project_config(:'project', 'null');
\echo :SQLSTATE
SELECT config FROM update_project_config(NULL, '{}');
\echo :SQLSTATE
SELECT config FROM update_project_config('c0f10000-0000-4000-8000-0000000000ff', '{}');
\echo :SQLSTATE
-- At most 100 levels, and one MiB: of what is sent, and of what becomes of it.
SELECT length(config::text) FROM update_project_config('c0f10000-0000-4000-8000-000000000002',
    (repeat('{"a": ', 100) || 'null' || repeat('}', 100))::jsonb);
SELECT config FROM update_project_config(:'project', (repeat('{"a": ', 101) || 'null' || repeat('}', 101))::jsonb);
\echo :SQLSTATE
SELECT config FROM update_project_config(:'project', jsonb_build_object('long', repeat('x', 1048576)));
\echo :SQLSTATE
SELECT config FROM update_project_config('c0f10000-0000-4000-8000-000000000002', '{"a": null}');
SELECT octet_length(config::text)
  FROM update_project_config('c0f10000-0000-4000-8000-000000000002', jsonb_build_object('long', repeat('é', 524282)));
SELECT config FROM update_project_config('c0f10000-0000-4000-8000-000000000002', '{"k": 1}');
\echo :SQLSTATE
SELECT config FROM update_project_config('c0f10000-0000-4000-8000-000000000002', '{"k": 1, "long": null}');

--
-- A project's state
--
-- What a page about a project needs, in one row. Here a build runs, and there is no version.
\x on
SELECT project_id = :'project' AS project, name, framework, owner_id, role, config ->> 'lang' AS lang, build_status,
       running_build_id = :'build_id' AS runs, running_build_started_at = last_build_started AS started,
       last_build_completed, current_version_id, current_semver, published_version_id, published_semver, published_at
  FROM get_project_state(:'project');
-- Its version is published, then there is another, and no build runs.
SELECT version_id AS first FROM create_version_on_success(:'project', :'build_id') \gset
UPDATE project_versions SET is_published = true, published_at = '2026-01-02 03:04:05Z' WHERE version_id = :'first';
SELECT build_id FROM start_project_build(:'project') \gset
SELECT version_id AS second
  FROM create_version_on_success(:'project', :'build_id', '{"change_type": "patch", "prerelease": "beta.2"}') \gset
SELECT build_status, running_build_id, running_build_started_at, last_build_completed IS NOT NULL AS completed,
       current_version_id = :'second' AS current, current_semver, published_version_id = :'first' AS published,
       published_semver, published_at = '2026-01-02 03:04:05Z' AS dated
  FROM get_project_state(:'project');
\x off
SELECT s.config_updated_at = p.config_updated_at AS changed, s.created_at = p.created_at AS created,
       s.updated_at = p.updated_at AS updated
  FROM get_project_state(:'project') s JOIN projects p ON p.id = s.project_id;
SELECT * FROM get_project_state(NULL);
\echo :SQLSTATE
SELECT * FROM get_project_state('c0f10000-0000-4000-8000-0000000000ff');
\echo :SQLSTATE

--
-- AI time and builds, summed up
--
INSERT INTO projects (id, owner_id, name, framework)
VALUES ('c0f10000-0000-4000-8000-000000000003', '5e1f0000-0000-4000-8000-000000000001', 'Summed up', 'vue');
\set project c0f10000-0000-4000-8000-000000000003
INSERT INTO project_build_metrics (project_id, build_id, version_id, status, framework, started_at, completed_at, total_duration_ms)
SELECT :'project', 'b' || n, 'v' || n, status, 'vue', at, at + ms * interval '1 ms', ms
  FROM (VALUES (1, 'deployed', 100, '2026-03-01 00:00:00Z'::timestamptz),
               (2, 'failed', 300, '2026-03-01 08:00:00Z'),
               (3, 'deployed', 200, '2026-03-01 23:59:59.9Z'),
               (4, 'abandoned', 99999, '2026-03-01 12:00:00Z'),
               (5, 'abandoned', 7, '2026-03-02 00:00:00Z'),
               (6, 'started', NULL, '2026-03-03 00:00:00Z')) b (n, status, ms, at);
INSERT INTO project_ai_time_sessions (project_id, session_id, build_id, operation, started_at, ended_at, duration_ms)
SELECT :'project', 's' || n, build, 'x', '2026-03-05Z', CASE WHEN ms IS NOT NULL THEN '2026-03-05Z'::timestamptz END, ms
  FROM (VALUES (1, 'b1', 10), (2, 'b1', 20), (3, 'b3', 0), (4, 'b4', 4), (5, 'b6', 5), (6, 'b6', NULL)) s (n, build, ms);
SELECT build_id, version_id, sessions, open_sessions, ai_duration_ms
  FROM project_ai_time WHERE project_id = :'project' ORDER BY build_id;
\x on
SELECT * FROM project_build_summary WHERE project_id = :'project' ORDER BY day;
\x off

SELECT bool_and(delete_project(id)) AS all_deleted FROM projects;
