--
-- IMPORT
--
-- Histories that people have already: a table of file versions, and two tables of project versions.
--
CREATE SCHEMA legacy;
\set project 1e6ac100-0000-4000-8000-000000000001
\set other   1e6ac100-0000-4000-8000-000000000002
\set ada     5e1f0000-0000-4000-8000-000000000001
INSERT INTO projects (id, owner_id, name, framework) VALUES (:'project', :'ada', 'Legacy', 'react');
-- The rows of a report without the ids that differ from run to run.
CREATE FUNCTION pg_temp.of_files(source regclass, mapping jsonb DEFAULT '{}', dry_run boolean DEFAULT true)
RETURNS TABLE (action text, id text, project text, path text, version integer, detail text, "rows" bigint) LANGUAGE sql AS $$
    SELECT action, source_id, right(project_id::text, 1), file_path, version, detail, rows
      FROM import_project_files(source, mapping, dry_run)
$$;
CREATE FUNCTION pg_temp.error_of(sql text, OUT code text, OUT message text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE sql;
EXCEPTION WHEN OTHERS THEN
    code := SQLSTATE;
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT;
    message := regexp_replace(message, '(public|versioned)\.', '');
END
$$;
\pset null -
SELECT current_schema() AS schema \gset

--
-- Files
--
CREATE TABLE legacy.project_files (
    id                 text PRIMARY KEY,
    project_id         uuid NOT NULL,
    path               text,
    content            text,
    type               text,
    version            integer DEFAULT 1,
    is_current_version boolean,
    is_deleted         boolean,
    hash               text,
    "userId"           text,
    "createdAt"        timestamptz
);
INSERT INTO legacy.project_files VALUES
    -- As it should be, with a hash in upper case, and an equal content that is a version of its own.
    ('s1', :'project', 'sound.ts', 'one', 'ts', 1, false, false, upper(encode(sha256('one'), 'hex')), :'ada', '2024-01-01'),
    ('s2', :'project', 'sound.ts', 'two', 'ts', 2, false, false, NULL, NULL, '2024-01-02'),
    ('s3', :'project', 'sound.ts', 'two', 'ts', 3, true, false, NULL, NULL, '2024-01-02'),
    -- A number twice, a gap, none at all; and times, authors and hashes that are not right.
    ('d1', :'project', 'raced.ts', 'r one', 'ts', 1, false, false, NULL, 'auth0|1', '2024-01-01'),
    ('d2', :'project', 'raced.ts', 'r two', 'ts', 1, false, false, 'beef', NULL, '2024-01-03'),
    ('d3', :'project', 'raced.ts', 'r three', NULL, 4, false, false, NULL, NULL, '2024-01-02'),
    ('d4', :'project', 'raced.ts', 'r four', 'ts', NULL, true, false, NULL, NULL, NULL),
    -- Current is not the newest; two are; none is.
    ('c1', :'project', 'older.ts', 'o one', 'ts', 1, true, false, NULL, NULL, '2024-01-01'),
    ('c2', :'project', 'older.ts', 'o two', 'ts', 2, false, false, NULL, NULL, '2024-01-02'),
    ('c3', :'project', 'both.ts', 'b one', 'ts', 1, true, false, NULL, NULL, '2024-01-01'),
    ('c4', :'project', 'both.ts', 'b two', 'ts', 2, true, false, NULL, NULL, '2024-01-02'),
    ('c5', :'project', 'both.ts', 'b three', 'ts', 3, NULL, false, NULL, NULL, '2024-01-03'),
    ('c6', :'project', 'none.ts', 'n one', 'ts', 1, false, false, NULL, NULL, '2024-01-01'),
    -- Deletions: as rows of their own, as marks on the last version, on all versions, and of nothing.
    ('x1', :'project', 'gone.ts', 'g one', 'ts', 1, false, false, NULL, NULL, '2024-01-01'),
    ('x2', :'project', 'gone.ts', NULL, 'ts', 2, false, true, NULL, :'ada', '2024-01-02'),
    ('x3', :'project', 'marked.ts', 'm one', 'ts', 1, false, false, NULL, NULL, '2024-01-01'),
    ('x4', :'project', 'marked.ts', 'm two', 'ts', 2, false, true, NULL, :'ada', '2024-01-02'),
    ('x5', :'project', 'all.ts', 'a one', 'ts', 1, false, true, NULL, NULL, '2024-01-01'),
    ('x6', :'project', 'all.ts', 'a two', 'ts', 2, false, true, NULL, NULL, '2024-01-02'),
    ('x7', :'project', 'back.ts', 'k one', 'ts', 1, false, true, NULL, NULL, '2024-01-01'),
    ('x8', :'project', 'back.ts', 'k two', 'ts', 2, true, false, NULL, NULL, '2024-01-02'),
    ('x9', :'project', 'nothing.ts', NULL, 'ts', 1, false, true, NULL, NULL, '2024-01-02'),
    -- What cannot be imported.
    ('n1', :'project', 'sound.ts', NULL, 'ts', 4, false, false, NULL, NULL, '2024-01-04'),
    ('n2', :'project', '../up.ts', 'u', 'ts', 1, true, false, NULL, NULL, '2024-01-04'),
    ('n3', :'project', NULL, 'u', 'ts', 1, true, false, NULL, NULL, '2024-01-04'),
    ('n4', :'project', 'type.ts', 'u', E'a\nb', 1, true, false, NULL, NULL, '2024-01-04'),
    ('n5', :'other', 'sound.ts', 'u', 'ts', 1, true, false, NULL, NULL, '2024-01-04');
-- It only says what it would do, unless told otherwise.
CREATE TEMP TABLE dry AS SELECT * FROM pg_temp.of_files('legacy.project_files', '{"created_by": "userId"}');
SELECT count(*) FROM project_file_versions WHERE project_id = :'project';
CREATE TEMP TABLE done AS SELECT * FROM pg_temp.of_files('legacy.project_files', '{"created_by": "userId"}', false);
SELECT * FROM done;
SELECT * FROM (SELECT * FROM done WHERE action <> 'verified' EXCEPT ALL SELECT * FROM dry) d;
SELECT * FROM (SELECT * FROM dry EXCEPT ALL SELECT * FROM done) d;
SELECT file_path, version, content, file_type, is_current_version AS current, is_deleted AS deleted,
       created_by IS NOT NULL AS author, (created_at AT TIME ZONE 'UTC')::date AS day
  FROM project_files WHERE project_id = :'project' ORDER BY 1, 2;
SELECT * FROM check_project_integrity(:'project');
-- The map, joined with the table it is about.
SELECT l.id, m.version, v.version = m.version AND v.project_id = l.project_id AND v.content IS NOT DISTINCT FROM l.content AS same
  FROM legacy.project_files l
  JOIN imported_files m ON m.source = 'legacy.project_files' AND m.source_id = l.id
  JOIN project_files v ON v.id = m.id
 WHERE l.path = 'marked.ts' ORDER BY 1, 2;
-- Every version is in the change feed, and in the map.
SELECT count(*) FROM get_project_changes(:'project', p_limit => 1000);
SELECT count(*) FROM project_file_versions v
  JOIN imported_files m ON (m.project_id, m.file_id, m.version, m.id) = (v.project_id, v.file_id, v.version, v.id)
 WHERE v.project_id = :'project';

-- Again: only what is new. A file that was saved since, and one that was not imported, stay as they are.
SELECT * FROM pg_temp.of_files('legacy.project_files', '{"created_by": "userId"}', false) WHERE action <> 'skipped' OR id IS NULL;
SELECT version FROM atomic_upsert_project_file(:'project', 'none.ts', 'saved here', 'ts');
SELECT version FROM atomic_upsert_project_file(:'project', 'native.ts', 'saved here', 'ts');
UPDATE legacy.project_files SET is_current_version = false WHERE id IN ('s3', 'c6');
INSERT INTO legacy.project_files VALUES
    ('t1', :'project', 'sound.ts', 'four', 'ts', 4, true, false, NULL, NULL, '2024-02-01'),
    ('t2', :'project', 'sound.ts', 'zero', 'ts', 0, false, false, NULL, NULL, '2023-02-01'),
    ('t3', :'project', 'none.ts', 'n two', 'ts', 2, true, false, NULL, NULL, '2024-02-01'),
    ('t4', :'project', 'native.ts', 'v one', 'ts', 1, true, false, NULL, NULL, '2024-02-01'),
    ('t5', :'project', 'older.ts', 'o three', 'ts', 3, false, false, NULL, NULL, '2024-02-01'),
    ('t6', :'project', 'gone.ts', 'g three', 'ts', 3, true, false, NULL, NULL, '2024-02-01');
SELECT * FROM pg_temp.of_files('legacy.project_files', '{"created_by": "userId"}', false) WHERE id LIKE 't%' OR id IS NULL;
SELECT file_path, version, content FROM project_files
 WHERE project_id = :'project' AND is_current_version AND file_path IN ('sound.ts', 'none.ts', 'native.ts', 'older.ts', 'gone.ts') ORDER BY 1;
-- Later saves go on from there.
SELECT version FROM atomic_upsert_project_file(:'project', 'sound.ts', 'five', 'ts', 5);
SELECT * FROM check_project_integrity(:'project');

-- Projects that do not exist are made if the rows say whose they are. An id of several columns is a JSON array.
CREATE TABLE legacy."the; DROP TABLE ""files"" --" (
    "select" bigint, "größe" integer, project_id text, owner_id text, project_name text, file_path varchar(200), content text,
    created_at timestamp, PRIMARY KEY ("select", "größe")
);
INSERT INTO legacy."the; DROP TABLE ""files"" --" VALUES
    (10, 1, upper(:'other'), :'ada', 'Made by import', 'a', 'ten', '2024-01-02'),
    (9, 1, :'other', :'ada', 'Made by import', 'a', 'nine', '2024-01-01'),
    (8, 2, '1e6ac100-0000-4000-8000-000000000003', 'nobody', NULL, 'a', 'eight', '2024-01-01');
SET TimeZone = 'UTC';
SELECT * FROM pg_temp.of_files('legacy."the; DROP TABLE ""files"" --"', '{}', false);
SELECT name, framework, owner_id = :'ada' AS is_hers, created_at, created_by_service FROM projects WHERE id = :'other';
SELECT role, user_id = :'ada' AS is_hers FROM project_members WHERE project_id = :'other';
SELECT source, source_id, version FROM imported_files WHERE project_id = :'other' ORDER BY version;
SELECT version, content, created_at FROM project_files WHERE project_id = :'other' ORDER BY 1;

-- What is wrong with arguments and tables is named, and nothing is written.
CREATE TABLE legacy.bare (file_path text, content bytea, project_id integer, "no" text);
SELECT e.* FROM (VALUES
    ($$SELECT import_project_files(NULL)$$),
    ($$SELECT import_project_files('legacy.project_files', NULL)$$),
    ($$SELECT import_project_files('legacy.project_files', '[]')$$),
    ($$SELECT import_project_files('legacy.project_files', '{"nope": "x", "file-path": "y"}')$$),
    ($$SELECT import_project_files('legacy.project_files', '{"content": 1}')$$),
    ($$SELECT import_project_files('legacy.project_files', '{"content": "body"}')$$),
    ($$SELECT import_project_files('legacy.project_files', '{"content": null}')$$),
    ($$SELECT import_project_files('legacy.project_files', '{"version": "path"}')$$),
    ($$SELECT import_project_files('legacy.project_files', '{"created_at": "version"}')$$),
    ($$SELECT import_project_files('legacy.project_files', '{"is_deleted": "path"}')$$),
    ($$SELECT import_project_files('legacy.project_files', '{"id": "path"}')$$),
    ($$SELECT import_project_files('legacy.project_files', p_dry_run => NULL)$$),
    ($$SELECT import_project_files('legacy.bare')$$),
    ($$SELECT import_project_files('legacy.bare', '{"id": "no"}')$$),
    ($$SELECT import_project_files('project_files')$$),
    ($$SELECT import_project_files('projects')$$)
) s (sql), pg_temp.error_of(s.sql) e;
-- Privileged callers only, who may read all rows.
CREATE ROLE regress_importer NOLOGIN BYPASSRLS;
GRANT USAGE ON SCHEMA legacy, :"schema" TO regress_importer;
GRANT EXECUTE ON FUNCTION import_project_files, import_project_versions TO regress_importer;
SET ROLE regress_importer;
SELECT * FROM pg_temp.error_of($$SELECT import_project_files('legacy.project_files')$$);
SELECT * FROM pg_temp.error_of($$SELECT import_project_versions('legacy.project_files')$$);
RESET ROLE;
GRANT SELECT ON legacy.project_files TO regress_importer;
ALTER TABLE legacy.project_files ENABLE ROW LEVEL SECURITY;
CREATE POLICY none ON legacy.project_files USING (false);
SET ROLE regress_importer;
SELECT sum(rows) FROM import_project_files('legacy.project_files', '{"created_by": "userId"}') WHERE action = 'read';
RESET ROLE;
-- The table is read by the caller: a type of somebody else's never gets to do anything as the extension's owner.
CREATE TYPE legacy.odd AS (x integer);
CREATE FUNCTION legacy.reader(legacy.odd) RETURNS text LANGUAGE sql AS 'SELECT current_user::text';
CREATE CAST (legacy.odd AS text) WITH FUNCTION legacy.reader;
CREATE TABLE legacy.odd_files (id integer PRIMARY KEY, project_id uuid, file_path text, content legacy.odd);
INSERT INTO legacy.odd_files SELECT n, :'project', 'odd.ts', ROW(n)::legacy.odd FROM generate_series(1, 3) n;
GRANT SELECT ON legacy.odd_files TO regress_importer;
SET ROLE regress_importer;
SELECT sum(rows) FROM import_project_files('legacy.odd_files', p_dry_run => false) WHERE action = 'imported' AND file_path IS NULL;
RESET ROLE;
SELECT version, content FROM project_files WHERE project_id = :'project' AND file_path = 'odd.ts' ORDER BY 1;
ALTER ROLE regress_importer NOBYPASSRLS;
SET ROLE regress_importer;
SELECT * FROM pg_temp.error_of($$SELECT import_project_files('legacy.project_files')$$);
RESET ROLE;
-- An owner of the extension who is no superuser is told of a policy; what he has forced on his own table hides nothing.
SELECT current_user AS me \gset
CREATE ROLE regress_extension_owner NOLOGIN;
GRANT USAGE ON SCHEMA legacy TO regress_extension_owner;
SELECT grant_versioned_access('regress_extension_owner');
GRANT SELECT ON legacy.project_files TO regress_extension_owner;
CREATE TABLE legacy.forced AS SELECT id, project_id, path, content FROM legacy.project_files WHERE id ~ '^s';
ALTER TABLE legacy.forced ADD PRIMARY KEY (id);
ALTER TABLE legacy.forced ENABLE ROW LEVEL SECURITY;
ALTER TABLE legacy.forced FORCE ROW LEVEL SECURITY;
CREATE POLICY none ON legacy.forced USING (false);
ALTER TABLE legacy.forced OWNER TO regress_extension_owner;
ALTER FUNCTION import_project_files(regclass, jsonb, boolean) OWNER TO regress_extension_owner;
SET ROLE regress_extension_owner;
SELECT count(*) FROM legacy.forced;
SELECT sum(rows) FROM import_project_files('legacy.forced') WHERE action = 'read';
SELECT * FROM pg_temp.error_of($$SELECT import_project_files('legacy.project_files')$$);
SHOW row_security;
RESET ROLE;
ALTER FUNCTION import_project_files(regclass, jsonb, boolean) OWNER TO :"me";
BEGIN READ ONLY;
SELECT sum(rows) FROM import_project_files('legacy.project_files') WHERE action = 'read';
SELECT * FROM import_project_files('legacy.project_files', p_dry_run => false);
ROLLBACK;

--
-- Project versions
--
\set third   1e6ac100-0000-4000-8000-000000000004
INSERT INTO projects (id, owner_id, name, framework) VALUES (:'third', :'ada', 'Versions', 'svelte');
SELECT version FROM atomic_upsert_project_file(:'third', 'a.ts', 'before', 'ts');
CREATE TABLE legacy.versions (
    id text PRIMARY KEY, project_id text, user_id text, prompt text, framework text, status text, parent_version_id text,
    base_version_id text, preview_url text, artifact_size bigint, ai_json json, deleted_at timestamptz, created_at timestamptz
);
CREATE TABLE legacy.versions_metadata (
    id serial PRIMARY KEY, version_id text, "versionName" text, semver text, change_type text, is_published boolean,
    published_at timestamptz, lines_added integer, updated_at timestamptz
);
CREATE FUNCTION pg_temp.of_versions(mapping jsonb DEFAULT '{}', dry_run boolean DEFAULT true)
RETURNS TABLE (action text, id text, is_kept boolean, semver text, detail text, "rows" bigint) LANGUAGE sql AS $$
    SELECT action, source_id, version_id = source_id, semver, detail, rows
      FROM import_project_versions('legacy.versions', 'legacy.versions_metadata', mapping, dry_run)
$$;
INSERT INTO legacy.versions VALUES
    ('v1', :'third', :'ada', 'Make it', 'vue', 'deployed', NULL, NULL, 'https://v1.example', 10, '{"a": null}', NULL, '2024-01-01'),
    ('01HK153X00000000000000000A', :'third', 'bob', 'Again', NULL, 'failed', 'v1', 'v1', NULL, -1, NULL, NULL, '2024-01-02'),
    ('v3', :'third', NULL, NULL, NULL, 'building', 'v4', NULL, NULL, NULL, NULL, NULL, '2024-01-03'),
    ('v4', :'third', NULL, NULL, NULL, 'ready', 'lost', 'elsewhere', NULL, NULL, NULL, NULL, '2024-01-03'),
    ('v5', :'third', NULL, NULL, NULL, 'deployed', NULL, NULL, NULL, NULL, NULL, '2024-02-01', '2024-01-05'),
    ('v6', :'third', NULL, NULL, NULL, '?', NULL, NULL, NULL, NULL, NULL, NULL, NULL),
    ('v7', 'nowhere', NULL, NULL, NULL, 'deployed', NULL, NULL, NULL, NULL, NULL, NULL, '2024-01-07');
INSERT INTO legacy.versions_metadata (version_id, "versionName", semver, change_type, is_published, published_at, lines_added, updated_at) VALUES
    ('v1', 'First', '1.0.0', 'major', true, '2024-01-01', 5, '2024-01-01'),
    ('v1', 'First, corrected', '1.0.0', 'major', true, '2024-01-02', 6, '2024-01-08'),
    ('01HK153X00000000000000000A', 'Again', '1.0.0', 'minor', true, NULL, -5, NULL),
    ('v4', 'Beta', 'v1.2.0-beta.1', 'huge', true, '2024-01-03', NULL, NULL),
    ('v5', 'Deleted', '1.3', 'patch', true, NULL, NULL, NULL),
    ('v9', 'Of nothing', '9.0.0', 'major', false, NULL, NULL, NULL);
CREATE TEMP TABLE dry_versions AS SELECT * FROM pg_temp.of_versions('{"metadata": {"version_name": "versionName"}}');
SELECT count(*) FROM project_versions WHERE project_id = :'third';
CREATE TEMP TABLE done_versions AS SELECT * FROM pg_temp.of_versions('{"metadata": {"version_name": "versionName"}}', false);
SELECT * FROM done_versions;
SELECT * FROM (SELECT * FROM done_versions WHERE action <> 'verified' EXCEPT ALL SELECT * FROM dry_versions) d;
SELECT * FROM (SELECT * FROM dry_versions EXCEPT ALL SELECT * FROM done_versions) d;
-- One history: with and without metadata, whatever became of them.
SELECT m.source_id, h.semver, h.version_name, h.status, h.framework, h.change_type, h.is_current AS current, h.is_published AS published,
       p.source_id AS parent, h.base_version_id IS NOT NULL AS base, h.lines_added, h.user_id IS NOT NULL AS author, h.created_at < '2024-02-01' AS past
  FROM get_project_version_history(:'third', p_show_deleted => true, p_include_checkpoints => true) h
  JOIN imported_versions m ON m.project_id = :'third' AND m.version_id = h.version_id
  LEFT JOIN imported_versions p ON p.project_id = :'third' AND p.version_id = h.parent_version_id;
SELECT preview_url, artifact_size, ai_json, ulid_to_timestamp(version_id) = created_at AS of_its_time FROM project_versions
 WHERE project_id = :'third' AND version_name = 'First, corrected';
SELECT current_semver, published_semver FROM get_project_state(:'third');
SELECT * FROM check_project_integrity(:'third');
-- Nothing is shown for its files, which are not known.
SELECT version_id AS imported FROM imported_versions WHERE project_id = :'third' AND source_id = 'v1' \gset
\set VERBOSITY sqlstate
SELECT * FROM get_project_version_files(:'third', :'imported');
SELECT * FROM restore_project_version(:'third', :'imported');
SELECT * FROM diff_project_versions(:'third', :'imported');
\set VERBOSITY default
SELECT can_preview, can_publish, can_restore FROM get_project_version_history(:'third') WHERE version_id = :'imported';
-- It can be published, deleted and brought back; the current version is always the newest.
SELECT is_published FROM unpublish_project_version(:'third', (SELECT version_id FROM project_versions WHERE project_id = :'third' AND is_published));
SELECT is_published FROM publish_project_version(:'third', :'imported');
SELECT soft_deleted_at IS NOT NULL AS deleted FROM delete_project_version(:'third', (SELECT current_version_id FROM projects WHERE id = :'third'));
SELECT current_semver, published_semver FROM get_project_state(:'third');
-- The next build goes on from there, and is compared with the files as they were at the import.
SELECT build_id FROM start_project_build(:'third') \gset
SELECT version FROM atomic_upsert_project_file(:'third', 'b.ts', 'after', 'ts');
SELECT major_version, minor_version, files_changed, lines_added FROM create_version_on_success(:'third', :'build_id');
SELECT file_path FROM get_project_version_files(:'third', (SELECT current_version_id FROM projects WHERE id = :'third'));
-- Again: only what is new, older than what is there or not.
INSERT INTO legacy.versions (id, project_id, status, parent_version_id, created_at) VALUES
    ('v8', :'third', 'deployed', 'v1', '2024-01-08'), ('v0', :'third', 'deployed', NULL, '2023-01-01');
INSERT INTO legacy.versions_metadata (version_id, is_published) VALUES ('v8', true);
SELECT * FROM pg_temp.of_versions('{"metadata": {"version_name": "versionName"}}', false) WHERE action <> 'skipped';
SELECT current_semver, published_semver FROM get_project_state(:'third');
SELECT * FROM check_project_integrity(:'third');
-- History can be pruned, and the project deleted, with the maps.
SELECT file_path, removed_versions FROM prune_project_history(:'third', p_dry_run => false);
SELECT * FROM check_project_integrity(:'third');

SELECT e.* FROM (VALUES
    ($$SELECT import_project_versions('legacy.versions', 'legacy.versions_metadata', '{"version": {}, "x": 1}')$$),
    ($$SELECT import_project_versions('legacy.versions', 'legacy.versions_metadata', '{"versions": "x"}')$$),
    ($$SELECT import_project_versions('legacy.versions', 'legacy.versions_metadata', '{"versions": {"nope": "x"}}')$$),
    ($$SELECT import_project_versions('legacy.versions', 'legacy.versions_metadata', '{"metadata": {"semver": "nope"}}')$$),
    ($$SELECT import_project_versions('legacy.versions', 'legacy.versions_metadata', '{"metadata": {"version_id": null}}')$$),
    ($$SELECT import_project_versions('legacy.versions', 'legacy.versions_metadata', '{"versions": {"major_version": "prompt"}}')$$),
    ($$SELECT import_project_versions('legacy.versions', NULL, '{"metadata": {"semver": "x"}}')$$),
    ($$SELECT import_project_versions('legacy.bare')$$)
) s (sql), pg_temp.error_of(s.sql) e;

-- What was skipped and is put right later does not come after what has been imported since, unless it is to be current.
CREATE TABLE legacy.fixed (id integer PRIMARY KEY, project_id uuid, path text, content text, version integer, created_at timestamptz);
INSERT INTO legacy.fixed VALUES
    (1, :'third', 'fixed', 'one', 1, '2024-01-01'), (2, :'third', 'fixed', NULL, 2, '2024-01-02'),
    (3, :'third', 'fixed', 'three', 3, '2024-01-03');
SELECT * FROM pg_temp.of_files('legacy.fixed', '{}', false) WHERE project IS NOT NULL;
UPDATE legacy.fixed SET content = 'two' WHERE id = 2;
SELECT * FROM pg_temp.of_files('legacy.fixed', '{}', false) WHERE project IS NOT NULL;
INSERT INTO legacy.fixed VALUES (4, :'third', 'fixed', 'four', 4, '2024-01-04'), (5, :'third', 'fixed', NULL, 5, '2024-01-05');
SELECT * FROM pg_temp.of_files('legacy.fixed', '{}', false) WHERE project IS NOT NULL;
SELECT version, content, created_at, is_current_version FROM project_files
 WHERE project_id = :'third' AND file_path = 'fixed' ORDER BY version;

-- What was imported is not imported again, whatever became of it.
CREATE TABLE legacy.moved (id integer PRIMARY KEY, project_id uuid, path text, content text);
INSERT INTO legacy.moved VALUES (1, :'third', 'from', 'one'), (2, :'third', 'from', 'two');
SELECT * FROM pg_temp.of_files('legacy.moved', '{}', false) WHERE project IS NOT NULL;
SELECT version FROM move_project_file(:'third', 'from', 'to');
SELECT file_path, removed_versions FROM prune_project_history(:'third', 'to', 1, p_dry_run => false);
SELECT * FROM pg_temp.of_files('legacy.moved', '{}', false) WHERE "rows" > 0;
SELECT file_path, version FROM project_files WHERE project_id = :'third' AND file_path IN ('from', 'to');

-- A time before all others is none, and the others keep theirs.
CREATE TABLE legacy.ageless (id integer PRIMARY KEY, project_id uuid, path text, content text, created_at timestamptz);
INSERT INTO legacy.ageless VALUES
    (1, :'third', 'ageless', 'one', '2024-01-01'), (2, :'third', 'ageless', 'two', '-infinity'),
    (3, :'third', 'ageless', 'three', '2024-01-03');
SELECT * FROM pg_temp.of_files('legacy.ageless', '{}', false) WHERE project IS NOT NULL;
SELECT version, content, created_at FROM project_files
 WHERE project_id = :'third' AND file_path = 'ageless' ORDER BY version;
CREATE TABLE legacy.ages (id integer PRIMARY KEY, project_id uuid, created_at timestamptz);
INSERT INTO legacy.ages VALUES (1, :'other', '2024-01-01'), (2, :'other', '-infinity'), (3, :'other', '2024-01-03');
SELECT source_id, detail FROM import_project_versions('legacy.ages', NULL, '{}', false) WHERE action = 'repaired';
SELECT m.source_id, v.created_at FROM project_versions v JOIN imported_versions m USING (project_id, version_id)
 WHERE project_id = :'other' AND source = 'legacy.ages' ORDER BY 1;

-- Ids and names may be numbers.
CREATE TABLE legacy.numbered (id integer PRIMARY KEY, project_id uuid, created_at timestamptz, base_version_id integer, version_name integer);
INSERT INTO legacy.numbered VALUES (1, :'other', '2024-03-01', NULL, 7), (2, :'other', '2024-03-02', 1, 8);
SELECT source_id, detail FROM import_project_versions('legacy.numbered', NULL, '{}', false) WHERE action = 'repaired';
SELECT m.source_id, v.version_name, b.source_id AS base
  FROM imported_versions m JOIN project_versions v USING (project_id, version_id)
  LEFT JOIN imported_versions b ON b.project_id = v.project_id AND b.version_id = v.base_version_id
 WHERE m.project_id = :'other' AND m.source = 'legacy.numbered' ORDER BY 1;

-- New versions come after those that were imported before them, also at the same time.
CREATE TABLE legacy.tied (id integer PRIMARY KEY, project_id uuid, created_at date);
INSERT INTO legacy.tied SELECT n, :'other', '2024-04-01' FROM generate_series(1, 3) n;
SELECT count(*) FROM import_project_versions('legacy.tied', NULL, '{}', false) WHERE action = 'imported' AND source_id IS NOT NULL;
INSERT INTO legacy.tied SELECT n, :'other', '2024-04-01' FROM generate_series(4, 5) n;
SELECT count(*) FROM import_project_versions('legacy.tied', NULL, '{}', false) WHERE action = 'imported' AND source_id IS NOT NULL;
SELECT m.source_id, v.version_id = p.current_version_id AS is_current
  FROM project_versions v JOIN imported_versions m USING (project_id, version_id) JOIN projects p ON p.id = v.project_id
 WHERE v.project_id = :'other' AND m.source = 'legacy.tied' ORDER BY v.created_at, m.source_id;

-- The map goes with the project.
SELECT count(delete_project(id)) FROM unnest(ARRAY[:'project', :'other', :'third']::uuid[]) id;
SELECT (SELECT count(*) FROM imported_files) + (SELECT count(*) FROM imported_versions) AS rows;
DROP OWNED BY regress_importer, regress_extension_owner CASCADE;
DROP ROLE regress_importer, regress_extension_owner;
SET client_min_messages = warning;
DROP SCHEMA legacy CASCADE;
