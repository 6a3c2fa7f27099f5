-- What a save costs in storage: the head is updated in place (HOT), so that no index grows with the history.
\getenv schema VERSIONED_SCHEMA
SET search_path = :"schema", public;
SET pg_versioned.notify = off;

SELECT project_id FROM create_complete_project('70000000-0000-4000-8000-000000000001') \gset

BEGIN;
SELECT count((atomic_upsert_project_file(:'project_id', 'a.txt', 'content ' || i, 'text')).version)
  FROM generate_series(1, 11) AS i;
-- Ten of the eleven saves updated the head, all of them HOT.
SELECT pg_stat_get_xact_tuples_updated('project_file_heads'::regclass) AS updated,
       pg_stat_get_xact_tuples_hot_updated('project_file_heads'::regclass) AS hot;
COMMIT;

-- A project that came after the statistics reads by the whole key, not by the project alone.
ANALYZE project_file_heads, project_file_versions;
SELECT project_id AS newer FROM create_complete_project('70000000-0000-4000-8000-000000000001') \gset
SELECT count((atomic_upsert_project_file(:'newer', 'f' || i, 'x', 'text')).version) FROM generate_series(1, 2000) AS i;
CREATE FUNCTION pg_temp.index_conditions(p_query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    v_line text;
BEGIN
    FOR v_line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || p_query LOOP
        IF v_line ~ 'Index Cond' THEN
            RETURN NEXT regexp_replace(btrim(v_line), '''[-0-9a-f]{36}''::uuid', '<project>', 'g');
        END IF;
    END LOOP;
END
$$;
SET enable_seqscan = off;
SELECT pg_temp.index_conditions(format(
    'SELECT version FROM project_files WHERE project_id = %L AND file_path = ''f7'' AND is_current_version', :'newer'));
RESET enable_seqscan;

SELECT delete_project(:'project_id'), delete_project(:'newer');
