--
-- THE VIEW
--
-- project_files is what clients read: one row per file version, with plain SELECTs.
--
INSERT INTO projects (id, owner_id, name, framework)
VALUES ('71e30000-0000-4000-8000-000000000001', '5e1f0000-0000-4000-8000-000000000001', 'View', 'react');
\set project 71e30000-0000-4000-8000-000000000001

SELECT a.attname AS column, format_type(a.atttypid, a.atttypmod) AS type
  FROM pg_attribute a
 WHERE a.attrelid = 'project_files'::regclass AND a.attnum > 0 AND NOT a.attisdropped
 ORDER BY a.attnum;

-- Three versions of one file, one of another, a deleted one, a moved one, and one that came back.
SELECT max(version) FROM unnest('{one,two,three}'::text[]) content, atomic_upsert_project_file(:'project', 'a.txt', content, 'text');
SELECT version FROM atomic_upsert_project_file(:'project', 'b.txt', 'one', 'text');
SELECT version FROM atomic_upsert_project_file(:'project', 'gone.txt', 'one', 'text');
SELECT version FROM delete_project_file(:'project', 'gone.txt');
SELECT version FROM atomic_upsert_project_file(:'project', 'here.txt', 'one', 'text');
SELECT version FROM move_project_file(:'project', 'here.txt', 'there.txt');
SELECT version FROM atomic_upsert_project_file(:'project', 'again.txt', 'one', 'text');
SELECT version FROM delete_project_file(:'project', 'again.txt');
SELECT version FROM atomic_upsert_project_file(:'project', 'again.txt', 'two', 'text');

SELECT file_path, version, content, file_type, left(content_hash, 8) AS hash, size_bytes, is_current_version, is_deleted
  FROM project_files WHERE project_id = :'project' ORDER BY file_path, version;
-- The row is what the saving function answered.
SELECT count(*), bool_and(f = v) AS same
  FROM project_files v, get_project_file(v.project_id, v.file_path, v.version) f
 WHERE v.project_id = :'project';
-- Versions are never changed, so they were last modified by whom and when they were created.
SELECT bool_and(updated_at = created_at AND last_modified_by IS NOT DISTINCT FROM created_by) AS never_changed,
       count(DISTINCT id) = count(*) AS unique_ids
  FROM project_files WHERE project_id = :'project';
-- One is current of each live file, none of a deleted one.
SELECT file_path, count(*) FILTER (WHERE is_current_version) AS current, count(*) FILTER (WHERE is_current_version IS NULL) AS neither
  FROM project_files WHERE project_id = :'project' GROUP BY file_path ORDER BY file_path;
-- What is listed is what is current.
SELECT count(*), bool_and((v.content, v.version, v.file_type, v.content_hash, v.updated_at) = (l.content, l.version, l.file_type, l.content_hash, l.updated_at)) AS same
  FROM project_files v FULL JOIN get_current_project_files(:'project') l USING (file_path)
 WHERE v.project_id = :'project' AND v.is_current_version;

-- The queries clients send.
SELECT content, version FROM project_files
 WHERE project_id = :'project' AND file_path = 'a.txt' AND is_current_version;
SELECT content, version FROM project_files
 WHERE project_id = :'project' AND file_path = 'a.txt' AND is_current_version IS TRUE;
SELECT content, version FROM project_files
 WHERE project_id = :'project' AND file_path = 'a.txt' AND NOT is_current_version ORDER BY version DESC;
SELECT version, content FROM project_files
 WHERE project_id = :'project' AND file_path = 'a.txt' AND version = 2;
SELECT id AS of_version_2 FROM project_files WHERE project_id = :'project' AND file_path = 'a.txt' AND version = 2 \gset
SELECT file_path, version, content FROM project_files WHERE id = :'of_version_2';

--
-- Plans
--
-- A file may have a hundred thousand versions; reading the current one must not look at them. This function
-- runs a query and says which tables it has read and how, in how many places of its plan, and how many rows
-- it met at a time, those it threw away included.
CREATE FUNCTION pg_temp.reads(query text, OUT relation text, OUT how text, OUT places bigint, OUT rows bigint)
RETURNS SETOF record LANGUAGE plpgsql AS $$
DECLARE
    v_plan jsonb;
BEGIN
    EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, FORMAT JSON) ' || query INTO v_plan;
    RETURN QUERY
    WITH RECURSIVE node (plan) AS (
        SELECT v_plan -> 0 -> 'Plan'
        UNION ALL
        SELECT child FROM node, jsonb_array_elements(plan -> 'Plans') child
    )
    SELECT coalesce(plan ->> 'Relation Name', ''), CASE WHEN plan ? 'Index Name' THEN 'by index' ELSE plan ->> 'Node Type' END, count(*),
           max(ceil((plan ->> 'Actual Rows')::numeric + coalesce((plan ->> 'Rows Removed by Filter')::numeric, 0)))::bigint
      FROM node
     WHERE (plan ->> 'Node Type' LIKE '%Scan' AND plan ->> 'Node Type' NOT IN ('Subquery Scan', 'Bitmap Heap Scan', 'Function Scan'))
       AND (plan ->> 'Actual Loops')::numeric > 0
     GROUP BY 1, 2
     ORDER BY 1, 2;
END
$$;
-- 2000 files, and one with 1000 versions, the last of which is a difference from a difference.
SELECT count(*) FROM generate_series(1, 2000) f, atomic_upsert_project_file(:'project', 'src/' || f, 'file ' || f, 'text');
SELECT string_agg(md5(i::text), E'\n') AS text FROM generate_series(1, 30) i \gset
SELECT count(*) FROM generate_series(1, 1000) v, atomic_upsert_project_file(:'project', 'busy.txt', :'text' || v, 'text');
ANALYZE project_file_heads, project_file_versions, projects, project_members;
-- With little data Postgres prefers to read a whole table; here it is to choose as it does with much.
SET enable_seqscan = off;
SET enable_bitmapscan = off;

-- The current version: two index look-ups, one row each. In any form the condition takes,
SELECT * FROM pg_temp.reads($$SELECT * FROM project_files WHERE project_id = '71e30000-0000-4000-8000-000000000001' AND file_path = 'busy.txt' AND is_current_version$$);
SELECT * FROM pg_temp.reads($$SELECT * FROM project_files WHERE project_id = '71e30000-0000-4000-8000-000000000001' AND file_path = 'busy.txt' AND is_current_version IS TRUE$$);
SELECT * FROM pg_temp.reads($$SELECT * FROM project_files WHERE project_id = '71e30000-0000-4000-8000-000000000001' AND file_path = 'busy.txt' AND is_current_version = true$$);
SELECT * FROM pg_temp.reads($$SELECT * FROM project_files WHERE project_id = '71e30000-0000-4000-8000-000000000001' AND file_path = 'busy.txt' AND is_current_version IS NOT FALSE$$);
-- also when it is a parameter, as web servers and ORMs send it, of a plan made for all its values.
SET plan_cache_mode = force_generic_plan;
PREPARE file(uuid, text, boolean) AS SELECT * FROM project_files WHERE project_id = $1 AND file_path = $2 AND is_current_version = $3;
SELECT * FROM pg_temp.reads($$EXECUTE file('71e30000-0000-4000-8000-000000000001', 'busy.txt', true)$$);
PREPARE file_is_true(uuid, text) AS SELECT * FROM project_files WHERE project_id = $1 AND file_path = $2 AND is_current_version IS TRUE;
SELECT * FROM pg_temp.reads($$EXECUTE file_is_true('71e30000-0000-4000-8000-000000000001', 'busy.txt')$$);
RESET plan_cache_mode;

-- As a user under row level security it is the same.
SET ROLE authenticated;
SELECT set_config('request.jwt.claims', '{"sub": "5e1f0000-0000-4000-8000-000000000001"}', false) IS NOT NULL AS signed_in;
SELECT * FROM pg_temp.reads($$SELECT * FROM project_files WHERE project_id = '71e30000-0000-4000-8000-000000000001' AND file_path = 'busy.txt' AND is_current_version$$);
SELECT * FROM pg_temp.reads($$SELECT * FROM project_files WHERE project_id = '71e30000-0000-4000-8000-000000000001' AND file_path = 'busy.txt' AND is_current_version IS TRUE$$);
SET plan_cache_mode = force_generic_plan;
SELECT * FROM pg_temp.reads($$EXECUTE file('71e30000-0000-4000-8000-000000000001', 'busy.txt', true)$$);
RESET plan_cache_mode;
RESET ROLE;
RESET request.jwt.claims;

-- A single version by its number, or by its id: index look-ups as well.
SELECT * FROM pg_temp.reads($$SELECT * FROM project_files WHERE project_id = '71e30000-0000-4000-8000-000000000001' AND file_path = 'busy.txt' AND version = 500$$)
 WHERE rows > 1;
SELECT reads.* FROM get_project_file(:'project', 'busy.txt', 500) f, pg_temp.reads(format('SELECT * FROM project_files WHERE id = %L', f.id)) reads
 WHERE rows > 1;

--
-- Metadata without content
--
-- What a version is based on is joined only for its content: the planner drops the joins of a query that does not
-- select it, for members under row level security, too.
SELECT * FROM pg_temp.reads($$SELECT id, file_path, file_type, version, content_hash, size_bytes, is_deleted, created_by, updated_at FROM project_files WHERE project_id = '71e30000-0000-4000-8000-000000000001' AND file_path = 'busy.txt' AND is_current_version$$);
SELECT relation, how, places FROM pg_temp.reads($$SELECT version, content_hash FROM project_files WHERE project_id = '71e30000-0000-4000-8000-000000000001' AND file_path = 'busy.txt'$$);
SET ROLE authenticated;
SELECT set_config('request.jwt.claims', '{"sub": "5e1f0000-0000-4000-8000-000000000001"}', false) IS NOT NULL AS signed_in;
SELECT * FROM pg_temp.reads($$SELECT id, file_path, file_type, version, content_hash, size_bytes, is_deleted, created_by, updated_at FROM project_files WHERE project_id = '71e30000-0000-4000-8000-000000000001' AND file_path = 'busy.txt' AND is_current_version$$);
RESET ROLE;
RESET request.jwt.claims;

-- A listing that does not select content does not read it. The function counts the pages a query touches;
-- the file has megabytes.
CREATE FUNCTION pg_temp.pages(query text) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    v_plan jsonb;
BEGIN
    EXECUTE 'EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF, SUMMARY OFF, FORMAT JSON) ' || query INTO v_plan;
    RETURN (v_plan -> 0 -> 'Plan' ->> 'Shared Hit Blocks')::integer + (v_plan -> 0 -> 'Plan' ->> 'Shared Read Blocks')::integer;
END
$$;
SELECT size_bytes > 5000000 AS large
  FROM atomic_upsert_project_file(:'project', 'large.txt', (SELECT string_agg(sha256(n::text::bytea)::text, '') FROM generate_series(1, 80000) n), 'text');
SELECT pg_temp.pages($$SELECT sum(length(content)) FROM project_files WHERE project_id = '71e30000-0000-4000-8000-000000000001' AND file_path = 'large.txt' AND is_current_version$$) > 100 AS with_content,
       pg_temp.pages($$SELECT id, file_path, file_type, version, content_hash, size_bytes, is_current_version, is_deleted, created_by, updated_at
                         FROM project_files WHERE project_id = '71e30000-0000-4000-8000-000000000001' AND file_path = 'large.txt' AND is_current_version$$) > 100 AS without,
       pg_temp.pages($$SELECT id, file_path, file_type, version, content_hash, size_bytes, is_current_version, is_deleted, created_by, updated_at
                         FROM project_files WHERE project_id = '71e30000-0000-4000-8000-000000000001' AND file_path = 'large.txt'$$) > 100 AS of_all_versions;

RESET enable_seqscan;
RESET enable_bitmapscan;
SELECT delete_project(:'project');
