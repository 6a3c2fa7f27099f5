--
-- WHAT LISTING AND READING VERSIONS COSTS
--
-- A page of the history costs the same however many versions there are, and reading a version the same whatever was
-- saved later. What the functions' statements read is counted here.
--
INSERT INTO projects (id, owner_id, name, framework)
VALUES ('91a50000-0000-4000-8000-000000000001', '5e1f0000-0000-4000-8000-000000000001', 'Plans', 'react');
\set project 91a50000-0000-4000-8000-000000000001
SET pg_versioned.notify = off;
-- Ten files, one of which is saved over and over; a version with all of them; later 300 others, each third a checkpoint
-- and each fifth deleted.
SELECT count((atomic_upsert_project_file(:'project', 'f' || n, 'first', 'text')).version) FROM generate_series(1, 10) n;
SELECT v.version_id AS early FROM start_project_build(:'project') b, create_version_on_success(:'project', b.build_id) v \gset
SELECT count((atomic_upsert_project_file(:'project', 'f1', 'now ' || n, 'text')).version) FROM generate_series(1, 300) n;
CREATE FUNCTION pg_temp.release(project uuid, n integer) RETURNS text LANGUAGE sql AS $$
    SELECT v.version_id
      FROM atomic_upsert_project_file(project, 'f2', n::text, 'text') f, start_project_build(project) b,
           create_version_on_success(project, b.build_id, jsonb_build_object('change_type', CASE n % 3 WHEN 0 THEN 'patch' ELSE 'minor' END)) v
     WHERE f.version > 0
$$;
CREATE FUNCTION pg_temp.delete_current(project uuid) RETURNS text LANGUAGE sql AS $$
    SELECT (delete_project_version(project, current_version_id)).version_id FROM projects WHERE id = project
$$;
SELECT count(CASE n % 5 WHEN 0 THEN (delete_project_version(:'project', id)).version_id END) AS deleted
  FROM generate_series(1, 300) n, pg_temp.release(:'project', n) id;
SELECT count(*), count(*) FILTER (WHERE change_type = 'patch') AS checkpoints, count(soft_deleted_at) AS deleted
  FROM project_versions WHERE project_id = :'project';
-- Where a page begins that is neither the first nor the last.
SELECT version_id AS middle FROM get_project_version_history(:'project', 1, 80) \gset

-- What a query reads: scans of indexes and tables, and the entries or rows that they return.
CREATE FUNCTION pg_temp.reads(query text, OUT relation text, OUT scans bigint, OUT read bigint) RETURNS SETOF record
LANGUAGE plpgsql AS $$
DECLARE
    before jsonb;
    now jsonb := '{}';
BEGIN
    FOR i IN 1..2 LOOP
        before := now;
        SELECT jsonb_object_agg(c.relname, jsonb_build_array(pg_stat_get_xact_numscans(c.oid), pg_stat_get_xact_tuples_returned(c.oid)))
          INTO now
          FROM pg_class c LEFT JOIN pg_index i ON i.indexrelid = c.oid
         WHERE coalesce(i.indrelid, c.oid) IN ('project_versions'::regclass, 'project_file_heads'::regclass,
                                               'project_file_versions'::regclass, 'project_file_snapshots'::regclass);
        IF i = 1 THEN
            EXECUTE query;
        END IF;
    END LOOP;
    RETURN QUERY
    SELECT key COLLATE "C", (now -> key ->> 0)::bigint - (before -> key ->> 0)::bigint, (now -> key ->> 1)::bigint - (before -> key ->> 1)::bigint
      FROM jsonb_object_keys(now) key
     WHERE now -> key <> before -> key
     ORDER BY 1;
END
$$;

-- The calls, an index that each must use, and whether it reads about as much as it returns. Marking a version as deleted
-- reads the project's versions where there are no statistics.
CREATE VIEW pg_temp.costs AS
SELECT what, index, bool_or(relation = index) AS is_used, sum(read) FILTER (WHERE n < 8) < 150 AS little
  FROM (VALUES (1, 'a page', 'project_versions_shown', 'get_project_version_history(%1$L, p_before_version_id => %2$L)'),
               (2, 'a page of all', 'project_versions_history',
                   'get_project_version_history(%1$L, p_include_checkpoints => true, p_show_deleted => true, p_before_version_id => %2$L)'),
               (3, 'unpublished ones', 'project_versions_shown', 'get_project_version_history(%1$L, p_state => ''unpublished'', p_before_version_id => %2$L)'),
               (4, 'the published one', 'project_versions_one_published', 'get_project_version_history(%1$L, p_state => ''published'', p_before_version_id => %2$L)'),
               (5, 'the files of the early version', 'project_file_snapshots_pkey', 'get_project_version_files(%1$L, %3$L)'),
               (6, 'how they differ from now', 'project_file_snapshots_pkey', 'diff_project_versions(%1$L, %3$L)'),
               (7, 'creating a version', 'project_versions_history', 'pg_temp.release(%1$L, 1)'),
               (8, 'finding the current one', 'project_versions_history', 'pg_temp.delete_current(%1$L)')) c (n, what, index, call),
       pg_temp.reads(format('SELECT count(*) FROM ' || call, '91a50000-0000-4000-8000-000000000001', current_setting('my.middle'), current_setting('my.early')))
 GROUP BY n, what, index
 ORDER BY n;
SET my.middle = :'middle';
SET my.early = :'early';
-- Whether there are statistics of the tables or not, and whether plans are made for the arguments or for any.
SET plan_cache_mode = force_custom_plan;
SELECT * FROM pg_temp.costs;
SET plan_cache_mode = force_generic_plan;
SELECT * FROM pg_temp.costs;
-- Without dead rows, which the planner would read on its way to the greatest values.
VACUUM (ANALYZE) projects, project_versions, project_file_heads, project_file_versions, project_file_snapshots;
SELECT * FROM pg_temp.costs;
SET plan_cache_mode = force_custom_plan;
SELECT * FROM pg_temp.costs;
RESET plan_cache_mode;
RESET my.middle;
RESET my.early;
RESET pg_versioned.notify;

SELECT delete_project(:'project');
