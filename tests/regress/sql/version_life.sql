--
-- LIVES OF VERSIONS
--
-- What can be done with a version after it was made: say more about it, publish it, delete it and bring it back; and
-- before: fix the files that it will have. get_project_version_history lists what there is.
--
INSERT INTO projects (id, owner_id, name, framework)
VALUES ('11fe0000-0000-4000-8000-000000000001', '5e1f0000-0000-4000-8000-000000000001', 'Lives', 'react'),
       ('11fe0000-0000-4000-8000-000000000002', '5e1f0000-0000-4000-8000-000000000001', 'Another', 'react');
\set project 11fe0000-0000-4000-8000-000000000001
\set other 11fe0000-0000-4000-8000-000000000002
-- Builds and succeeds at once; says the number.
CREATE FUNCTION pg_temp.release(project uuid, result jsonb DEFAULT '{}') RETURNS text LANGUAGE sql AS $$
    SELECT format('%s.%s.%s', v.major_version, v.minor_version, v.patch_version) || coalesce('-' || v.prerelease, '')
      FROM start_project_build(project, 'Prompt') b, create_version_on_success(project, b.build_id, result) v
$$;
-- The version with a number.
CREATE FUNCTION pg_temp.v(number text) RETURNS text
    RETURN (SELECT version_id FROM project_versions
             WHERE project_id = :'project' AND format('%s.%s.%s', major_version, minor_version, patch_version) = number);
-- The number of a version.
CREATE FUNCTION pg_temp.number(id text) RETURNS text
    RETURN (SELECT format('%s.%s.%s', major_version, minor_version, patch_version)
              FROM project_versions WHERE project_id = :'project' AND version_id = id);
-- The error of a call, without the IDs that differ from run to run.
CREATE FUNCTION pg_temp.error_of(sql text, OUT code text, OUT message text, OUT detail text, OUT hint text)
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE sql;
EXCEPTION WHEN OTHERS THEN
    code := SQLSTATE;
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    message := regexp_replace(message, '01[^A][0-9A-HJKMNP-TV-Z]{23}', '<id>', 'g');
    detail := regexp_replace(detail, '01[^A][0-9A-HJKMNP-TV-Z]{23}', '<id>', 'g');
END
$$;

SELECT version FROM atomic_upsert_project_file(:'project', 'a.txt', E'zero\n', 'text');
SELECT pg_temp.release(:'project', '{"version_name": "One", "preview_url": "https://one.example.com"}');
SELECT pg_temp.release(:'project', '{"change_type": "minor", "version_name": "Two"}');
SELECT pg_temp.release(:'project', '{"change_type": "patch"}');
SELECT pg_temp.release(:'project', '{"prerelease": "beta.1", "artifact_url": "s3://bucket/1", "build_duration_ms": 7}');
SELECT pg_temp.release(:'other');
SELECT version_id AS others FROM project_versions WHERE project_id = :'other' \gset

--
-- Saying more about a version
--
-- Keys that are given are set, null clears, the rest stays.
\x on
SELECT version_name, version_description, prerelease, build_duration_ms, artifact_url, ai_json, needs_rebuild,
       git_commit_sha, change_type, change_type_defaulted, v.updated_at > v.created_at AS updated
  FROM update_version_metadata(:'project', pg_temp.v('1.2.0'), '{
    "version_name": "Three", "version_description": "Two\nlines", "prerelease": null, "ai_json": {"n": 1e400, "deep": [[]]},
    "needs_rebuild": true, "git_commit_sha": "ABCDEF0"}') v;
SELECT version_name, version_description, ai_json, needs_rebuild
  FROM update_version_metadata(:'project', lower(pg_temp.v('1.2.0')), '{"version_description": null, "ai_json": null, "needs_rebuild": false}');
\x off
-- JSON null in a jsonb column is NULL; within one it stays.
SELECT prompt_metadata FROM update_version_metadata(:'project', pg_temp.v('1.2.0'), '{"prompt_metadata": {"nothing": null}}');
-- No key, no change, but of updated_at.
SELECT to_jsonb(after) - 'updated_at' = to_jsonb(before) - 'updated_at' AS same, after.updated_at > before.updated_at AS touched
  FROM project_versions before, update_version_metadata(:'project', before.version_id, '{}') after
 WHERE before.project_id = :'project' AND before.version_id = pg_temp.v('1.2.0');
-- Every key of p_result can be set.
SELECT count(*) AS keys, bool_and(e.code IS NULL) AS accepted
  FROM (VALUES ('change_type', '"minor"'), ('prerelease', '"rc.1"'), ('version_name', '"n"'), ('git_tag', '"t"'), ('node_version', '"22"'),
               ('pnpm_version', '"9"'), ('cf_deployment_id', '"c"'), ('base_snapshot_id', '"s"'), ('base_version_id', '"b"'),
               ('from_recommendation_id', '"r"'), ('preview_url', '"p"'), ('artifact_url', '"a"'), ('version_description', '"d"'),
               ('enhanced_prompt', '"e"'), ('classification_reasoning', '"c"'), ('user_comment', '"u"'), ('prompt_metadata', '[]'),
               ('ai_json', '1'), ('needs_rebuild', 'false'), ('auto_classified', 'true'), ('artifact_size', '1'),
               ('artifact_checksum', '"' || repeat('a', 64) || '"'), ('git_commit_sha', '"abcdef0"'), ('output_size_bytes', '1'),
               ('build_duration_ms', '1'), ('install_duration_ms', '1'), ('deploy_duration_ms', '1'), ('breaking_risk', '"low"'),
               ('classification_confidence', '0.5')) k (key, value),
       pg_temp.error_of(format('SELECT update_version_metadata(%L, %L, %L)', :'project', pg_temp.v('1.1.0'), format('{"%s": %s}', key, value))) e;
SELECT git_tag, node_version, artifact_size, left(artifact_checksum, 3) AS checksum, breaking_risk, classification_confidence, auto_classified,
       user_comment, base_version_id, deploy_duration_ms
  FROM project_versions WHERE project_id = :'project' AND version_id = pg_temp.v('1.1.0');

-- Whoever does not say what kind of change a version is leaves it open, and can say it later, once. The version then
-- gets the next number of that kind; the former number is not used again.
SELECT change_type_defaulted FROM project_versions WHERE project_id = :'project' AND version_id = pg_temp.v('1.2.0');
SELECT pg_temp.number(version_id) AS number, change_type, change_type_defaulted
  FROM update_version_metadata(:'project', pg_temp.v('1.2.0'), '{"change_type": "major"}');
SELECT pg_temp.number(version_id) AS number, change_type, change_type_defaulted
  FROM update_version_metadata(:'project', pg_temp.v('2.0.0'), '{"change_type": "major"}');
SELECT * FROM pg_temp.error_of(format('SELECT update_version_metadata(%L, %L, %L)', :'project', pg_temp.v('2.0.0'), '{"change_type": "patch"}'));
SELECT pg_temp.release(:'project', '{"change_type": "patch"}');
-- Saying what was assumed leaves the number as it is.
SELECT pg_temp.release(:'project');
SELECT pg_temp.number(version_id) AS number, change_type, change_type_defaulted
  FROM update_version_metadata(:'project', pg_temp.v('2.1.0'), '{"change_type": "minor"}');
-- The first version was major because it is the first; that was nobody's word.
SELECT change_type, change_type_defaulted FROM project_versions WHERE project_id = :'project' AND version_id = pg_temp.v('1.0.0');

-- What is refused: nothing of it is set.
\x on
SELECT metadata, e.code, e.message
  FROM (VALUES ('{"version_name": "x", "colour": 1}'), ('{"a": 1, "b": 2}'), ('{"artifact_size": -1}'), ('{"artifact_size": "big"}'),
               ('{"change_type": "huge"}'), ('{"change_type": null}'), ('{"needs_rebuild": null}'), ('{"auto_classified": null}'),
               ('{"needs_rebuild": "yes"}'), ('{"prerelease": "01"}'), ('{"version_name": ""}'), ('{"classification_confidence": 2}'),
               ('[]'), ('null'), ('"text"')) m (metadata),
       pg_temp.error_of(format('SELECT update_version_metadata(%L, %L, %L)', :'project', pg_temp.v('1.0.0'), metadata)) e;
\x off
SELECT version_name, artifact_size, change_type, needs_rebuild FROM project_versions WHERE project_id = :'project' AND version_id = pg_temp.v('1.0.0');

--
-- Publishing
--
-- One version of a project is published at most.
SELECT is_published, published_at = v.updated_at AS now, published_by_user_id, user_comment
  FROM publish_project_version(:'project', pg_temp.v('1.0.0'), 'Looks good') v;
SELECT is_published FROM publish_project_version(:'project', pg_temp.v('1.1.0'));
SELECT pg_temp.number(version_id) AS number, is_published, published_at IS NOT NULL AS was_published, user_comment
  FROM project_versions WHERE project_id = :'project' AND published_at IS NOT NULL ORDER BY created_at;
-- Publishing the published one again changes nothing, not even its comment.
SELECT to_jsonb(after) = to_jsonb(before) AS same
  FROM project_versions before, publish_project_version(:'project', before.version_id, 'Again') after
 WHERE before.project_id = :'project' AND before.is_published;
-- It can be corrected, but takes no other number any more.
SELECT pg_temp.release(:'project');
SELECT is_published FROM publish_project_version(:'project', pg_temp.v('2.2.0'));
SELECT version_name FROM update_version_metadata(:'project', pg_temp.v('2.2.0'), '{"version_name": "Better"}');
\x on
SELECT * FROM pg_temp.error_of(format('SELECT update_version_metadata(%L, %L, %L)', :'project', pg_temp.v('2.2.0'),
                                      '{"version_name": "Worse", "change_type": "major"}'));
\x off
SELECT version_name FROM project_versions WHERE project_id = :'project' AND is_published;
SELECT change_type_defaulted FROM update_version_metadata(:'project', pg_temp.v('2.2.0'), '{"change_type": "minor"}');
-- When and by whom it was published stays.
SELECT is_published, published_at IS NOT NULL AS was_published FROM unpublish_project_version(:'project', pg_temp.v('2.2.0'));
SELECT to_jsonb(after) = to_jsonb(before) AS same
  FROM project_versions before, unpublish_project_version(:'project', before.version_id) after
 WHERE before.project_id = :'project' AND before.version_id = pg_temp.v('2.2.0');

-- What cannot be published: what needs a rebuild, what was not deployed (versions that were imported), what is deleted.
SELECT needs_rebuild FROM update_version_metadata(:'project', pg_temp.v('2.2.0'), '{"needs_rebuild": true}');
UPDATE project_versions SET status = 'failed' WHERE project_id = :'project' AND version_id = pg_temp.v('2.0.1');
SELECT soft_deleted_at = v.updated_at AS now FROM delete_project_version(:'project', pg_temp.v('2.1.0')) v;
SELECT is_published FROM publish_project_version(:'project', pg_temp.v('1.0.0'));
\x on
SELECT number, e.*
  FROM unnest('{2.2.0,2.0.1,2.1.0}'::text[]) number,
       pg_temp.error_of(format('SELECT publish_project_version(%L, %L)', :'project', pg_temp.v(number))) e;
\x off
SELECT pg_temp.number(version_id) AS published FROM project_versions WHERE project_id = :'project' AND is_published;

--
-- Deleting
--
-- The published version is not deleted.
\x on
SELECT * FROM pg_temp.error_of(format('SELECT delete_project_version(%L, %L)', :'project', pg_temp.v('1.0.0')));
\x off
-- The newest deployed version that is not deleted is the project's current one.
CREATE FUNCTION pg_temp.current() RETURNS text
    RETURN (SELECT pg_temp.number(current_version_id) FROM projects WHERE id = :'project');
SELECT pg_temp.current();
SELECT pg_temp.number(version_id) AS deleted, pg_temp.current() FROM delete_project_version(:'project', pg_temp.v('2.2.0'));
SELECT pg_temp.current();
SELECT to_jsonb(after) = to_jsonb(before) AS same
  FROM project_versions before, delete_project_version(:'project', before.version_id) after
 WHERE before.project_id = :'project' AND before.version_id = pg_temp.v('2.2.0');
SELECT soft_deleted_at FROM undelete_project_version(:'project', pg_temp.v('2.1.0'));
SELECT pg_temp.current();
SELECT soft_deleted_at FROM undelete_project_version(:'project', pg_temp.v('2.2.0'));
SELECT to_jsonb(after) = to_jsonb(before) AS same
  FROM project_versions before, undelete_project_version(:'project', before.version_id) after
 WHERE before.project_id = :'project' AND before.version_id = pg_temp.v('2.2.0');
SELECT pg_temp.current();
-- Deleted versions can be read and corrected all the same, and their numbers are not used again.
SELECT count(*) FROM delete_project_version(:'project', pg_temp.v('2.2.0')) v, get_project_version_files(:'project', v.version_id);
SELECT version_name, soft_deleted_at IS NOT NULL AS deleted
  FROM update_version_metadata(:'project', pg_temp.v('2.2.0'), '{"version_name": "Gone"}');
SELECT pg_temp.release(:'project');
SELECT pg_temp.number(parent_version_id) AS parent FROM project_versions WHERE project_id = :'project' AND version_id = pg_temp.v('2.3.0');
-- A project may have lost all of them.
SELECT count(delete_project_version(:'other', :'others')) AS deleted;
SELECT current_version_id FROM projects WHERE id = :'other';
SELECT pg_temp.release(:'other');
SELECT parent_version_id FROM project_versions WHERE project_id = :'other' AND soft_deleted_at IS NULL;

--
-- The history
--
-- Newest first. Patch versions are checkpoints, and shown only if asked for; so are deleted ones.
SELECT semver, is_current, version_name, status, change_type, is_published, soft_deleted_at IS NOT NULL AS deleted, total_count
  FROM get_project_version_history(:'project');
SELECT semver, total_count FROM get_project_version_history(:'project', p_include_checkpoints => true);
SELECT semver, total_count FROM get_project_version_history(:'project', p_show_deleted => true);
SELECT semver, change_type, soft_deleted_at IS NOT NULL AS deleted, total_count
  FROM get_project_version_history(:'project', p_include_checkpoints => true, p_show_deleted => true);
SELECT semver, total_count FROM get_project_version_history(:'project', p_state => 'published');
SELECT semver, total_count FROM get_project_version_history(:'project', p_state => 'unpublished');
SELECT semver, total_count FROM get_project_version_history(:'project', p_state => 'unpublished', p_include_checkpoints => true, p_show_deleted => true);
-- A published checkpoint is a checkpoint.
SELECT is_published FROM publish_project_version(:'project', pg_temp.v('1.1.1'));
SELECT semver, total_count FROM get_project_version_history(:'project', p_state => 'published');
SELECT semver, total_count FROM get_project_version_history(:'project', p_state => 'published', p_include_checkpoints => true);

-- Pages by number, and by the last version seen, which does not count them again.
SELECT semver, total_count FROM get_project_version_history(:'project', 2);
SELECT semver, total_count FROM get_project_version_history(:'project', p_limit => 2, p_offset => 2);
SELECT semver, total_count FROM get_project_version_history(:'project', p_limit => 2, p_offset => 4);
SELECT semver, total_count FROM get_project_version_history(:'project', p_limit => 2, p_offset => 5);
SELECT semver, total_count FROM get_project_version_history(:'project', p_limit => 2, p_before_version_id => lower(pg_temp.v('2.1.0')));
SELECT semver, total_count FROM get_project_version_history(:'project', p_limit => 2, p_offset => 1, p_before_version_id => pg_temp.v('2.1.0'));
SELECT semver, total_count FROM get_project_version_history(:'project', p_before_version_id => pg_temp.v('1.0.0'));
-- That one need not be in the list itself.
SELECT semver FROM get_project_version_history(:'project', 1, p_before_version_id => pg_temp.v('2.2.0'));
-- All pages together are the list.
WITH RECURSIVE pages AS (
    SELECT 1 AS page, array_agg(semver) AS semvers, (array_agg(version_id))[count(*)] AS last
      FROM get_project_version_history(:'project', 3, p_include_checkpoints => true, p_show_deleted => true)
    UNION ALL
    SELECT page + 1, next.semvers, next.last
      FROM pages, LATERAL (
           SELECT array_agg(semver) AS semvers, (array_agg(version_id))[count(*)] AS last
             FROM get_project_version_history(:'project', 3, p_include_checkpoints => true, p_show_deleted => true, p_before_version_id => last)) next
     WHERE next.last IS NOT NULL)
SELECT page, semvers FROM pages ORDER BY page;

-- Everything that it says of a version.
\x on
SELECT h.version_id = pg_temp.v('1.0.0') AS version_id, semver, is_current, version_name, version_description, prompt, framework, status,
       needs_rebuild, change_type, change_type_defaulted, major_version, minor_version, patch_version, prerelease, breaking_risk,
       auto_classified, classification_confidence, classification_reasoning, parent_version_id, base_version_id,
       files_changed, lines_added, lines_removed, preview_url, artifact_url, artifact_size, artifact_checksum,
       build_duration_ms, install_duration_ms, deploy_duration_ms, git_commit_sha, git_tag, is_published,
       published_at IS NOT NULL AS published_at, published_by_user_id, user_comment, user_id, soft_deleted_at,
       created_at IS NOT NULL AS created_at, updated_at > created_at AS updated_at,
       can_preview, can_publish, can_unpublish, can_restore, total_count
  FROM get_project_version_history(:'project') h WHERE semver = '1.0.0';
\x off
SELECT bool_and(to_jsonb(v) @> (to_jsonb(h) - '{semver,is_current,can_preview,can_publish,can_unpublish,can_restore,total_count}'::text[])) AS as_in_the_table
  FROM get_project_version_history(:'project', p_include_checkpoints => true, p_show_deleted => true) h
  JOIN project_versions v ON v.project_id = :'project' AND v.version_id = h.version_id;
SELECT semver, major_version FROM get_project_version_history(:'project') WHERE prerelease IS NOT NULL;

-- What an editor may do with each, and what a viewer.
SELECT role FROM add_project_member(:'project', '5e1f0000-0000-4000-8000-00000000000e', 'editor');
SELECT role FROM add_project_member(:'project', '5e1f0000-0000-4000-8000-00000000000f', 'viewer');
SET ROLE authenticated;
SELECT set_config('request.jwt.claims', '{"sub": "5e1f0000-0000-4000-8000-00000000000e"}', false) IS NOT NULL AS editor;
SELECT semver, status, needs_rebuild, can_preview, can_publish, can_unpublish, can_restore
  FROM get_project_version_history(:'project', p_include_checkpoints => true, p_show_deleted => true);
SELECT set_config('request.jwt.claims', '{"sub": "5e1f0000-0000-4000-8000-00000000000f"}', false) IS NOT NULL AS viewer;
SELECT bool_or(can_preview) AS can_preview, bool_or(can_publish) AS can_publish, bool_or(can_unpublish) AS can_unpublish,
       bool_or(can_restore) AS can_restore
  FROM get_project_version_history(:'project', p_include_checkpoints => true, p_show_deleted => true);
-- It does as it says.
\x on
SELECT call, e.code, e.message
  FROM unnest('{publish_project_version,unpublish_project_version,delete_project_version,undelete_project_version,restore_project_version}'::text[]) call,
       pg_temp.error_of(format('SELECT %I(%L, %L)', call, :'project', pg_temp.v('1.0.0'))) e;
SELECT e.code, e.message FROM pg_temp.error_of(format('SELECT update_version_metadata(%L, %L, %L)', :'project', pg_temp.v('1.0.0'), '{}')) e;
\x off
-- Who publishes is noted.
SELECT set_config('request.jwt.claims', '{"sub": "5e1f0000-0000-4000-8000-00000000000e"}', false) IS NOT NULL AS editor;
SELECT published_by_user_id FROM publish_project_version(:'project', pg_temp.v('1.0.0'));
RESET ROLE;
RESET request.jwt.claims;

--
-- Cutting a build
--
-- Whoever builds for minutes while people go on typing fixes the files first: what is saved afterwards belongs to the
-- next version.
SELECT version FROM atomic_upsert_project_file(:'project', 'a.txt', E'one\n', 'text');
SELECT version FROM atomic_upsert_project_file(:'project', 'b.txt', E'old\n', 'text');
SELECT build_id AS build, version_id AS reserved FROM start_project_build(:'project') \gset
\x on
SELECT * FROM pg_temp.error_of(format('SELECT get_project_build_files(%L, %L)', :'project', :'build'));
\x off
SELECT snapshot_seq AS before FROM projects WHERE id = :'project' \gset
SELECT status, cut_at IS NOT NULL AS cut, cut_snapshot_seq - :before AS snapshot FROM cut_project_build(:'project', :'build');
SELECT version FROM atomic_upsert_project_file(:'project', 'a.txt', E'two\n', 'text');
SELECT version FROM delete_project_file(:'project', 'b.txt');
SELECT version FROM atomic_upsert_project_file(:'project', 'c.txt', E'new\n', 'text');
SELECT file_path, rtrim(content, E'\n') AS content, file_type, version, length(content_hash) AS hash, updated_at <= clock_timestamp() AS dated
  FROM get_project_build_files(:'project', :'build');
-- The first cut stands.
SELECT to_jsonb(after) = to_jsonb(before) AS same
  FROM project_build_metrics before, cut_project_build(p_project_id => :'project', p_build_id => lower(before.build_id)) after
 WHERE before.project_id = :'project' AND before.build_id = :'build';
SELECT files_changed, lines_added, lines_removed, v.snapshot_seq - :before AS snapshot, snapshot_listed
  FROM create_version_on_success(:'project', :'build') v;
SELECT file_path, rtrim(content, E'\n') AS content, version FROM get_project_version_files(:'project', :'reserved');
-- The files of a build that succeeded are those of its version, cut or not.
SELECT file_path, version FROM get_project_build_files(:'project', :'build');
SELECT build_id AS uncut FROM start_project_build(:'project') \gset
SELECT files_changed, lines_added, lines_removed FROM create_version_on_success(:'project', :'uncut');
SELECT file_path, version FROM get_project_build_files(:'project', :'uncut');
-- A build that has ended is not cut, and one that came to nothing has no files.
SELECT build_id AS failed FROM start_project_build(:'project') \gset
SELECT count(cut_project_build(:'project', :'failed')) AS cut;
SELECT status FROM fail_project_build(:'project', :'failed');
SELECT build_id AS abandoned FROM start_project_build(:'project') \gset
SELECT count(cut_project_build(:'project', :'abandoned')) AS cut;
SELECT build_id AS active FROM start_project_build(:'project', p_supersede => true) \gset
\x on
SELECT call, build, e.*
  FROM (VALUES (1, 'deployed', :'build'), (2, 'failed', :'failed'), (3, 'abandoned', :'abandoned')) b (n, build, id),
       unnest('{cut_project_build,get_project_build_files,create_version_on_success}'::text[]) WITH ORDINALITY call (call, c),
       pg_temp.error_of(format('SELECT %I(%L, %L)', call, :'project', id)) e
 WHERE e.code IS NOT NULL
 ORDER BY c, n;
\x off
-- A cut that is rolled back has not happened.
BEGIN;
SELECT cut_at IS NOT NULL AS cut FROM cut_project_build(:'project', :'active');
ROLLBACK;
SELECT cut_at, cut_snapshot_seq FROM project_build_metrics WHERE project_id = :'project' AND build_id = :'active';
-- It says when the build's files are from, which has nothing to do with when it ends.
BEGIN;
SELECT version FROM atomic_upsert_project_file(:'project', 'a.txt', 'before', 'text');
SELECT count(cut_project_build(:'project', :'active')) AS cut;
SELECT version FROM atomic_upsert_project_file(:'project', 'a.txt', 'after', 'text');
SELECT change_type FROM create_version_on_success(:'project', :'active');
COMMIT;
SELECT file_path, content FROM get_project_build_files(:'project', :'active') WHERE file_path = 'a.txt';
SELECT file_path, content FROM get_current_project_files(:'project') WHERE file_path = 'a.txt';

--
-- What is refused
--
-- Arguments that are NULL, no IDs, or out of range.
SELECT call, e.code, e.message
  FROM (VALUES (1, 'cut_project_build(NULL, %2$L)'), (2, 'cut_project_build(%1$L, NULL)'), (3, 'cut_project_build(%1$L, ''x'')'),
               (4, 'get_project_build_files(NULL, %2$L)'), (5, 'get_project_build_files(%1$L, NULL)'), (6, 'get_project_build_files(%1$L, '''')'),
               (7, 'update_version_metadata(NULL, %2$L, ''{}'')'), (8, 'update_version_metadata(%1$L, NULL, ''{}'')'),
               (9, 'update_version_metadata(%1$L, %2$L, NULL)'), (10, 'publish_project_version(NULL, %2$L)'),
               (11, 'publish_project_version(%1$L, NULL)'), (12, 'publish_project_version(%1$L, %2$L, repeat(''x'', 1048577))'),
               (13, 'unpublish_project_version(NULL, %2$L)'), (14, 'unpublish_project_version(%1$L, NULL)'),
               (15, 'delete_project_version(NULL, %2$L)'), (16, 'delete_project_version(%1$L, NULL)'),
               (17, 'undelete_project_version(NULL, %2$L)'), (18, 'undelete_project_version(%1$L, NULL)'),
               (19, 'get_project_version_history(NULL)'), (20, 'get_project_version_history(%1$L, p_limit => 0)'),
               (21, 'get_project_version_history(%1$L, p_limit => 1001)'), (22, 'get_project_version_history(%1$L, p_limit => NULL)'),
               (23, 'get_project_version_history(%1$L, p_offset => -1)'), (24, 'get_project_version_history(%1$L, p_offset => NULL)'),
               (25, 'get_project_version_history(%1$L, p_state => ''draft'')'), (26, 'get_project_version_history(%1$L, p_state => NULL)'),
               (27, 'get_project_version_history(%1$L, p_include_checkpoints => NULL)'),
               (28, 'get_project_version_history(%1$L, p_show_deleted => NULL)'),
               (29, 'get_project_version_history(%1$L, p_before_version_id => ''1.0.0'')')) c (n, call),
       pg_temp.error_of('SELECT ' || format(call, :'project', '01ARZ3NDEKTSV4RRFFQ69G5FAV')) e
 ORDER BY n;
-- Projects, builds and versions that do not exist; versions of another project are none of this one.
SELECT call, e.code, e.message
  FROM (VALUES (1, 'cut_project_build(%1$L, %2$L)'), (2, 'get_project_build_files(%1$L, %2$L)'), (3, 'update_version_metadata(%1$L, %2$L, ''{}'')'),
               (4, 'publish_project_version(%1$L, %2$L)'), (5, 'unpublish_project_version(%1$L, %2$L)'), (6, 'delete_project_version(%1$L, %2$L)'),
               (7, 'undelete_project_version(%1$L, %2$L)'), (8, 'get_project_version_history(%1$L, p_before_version_id => %2$L)')) c (n, call),
       (VALUES (1, '11fe0000-0000-4000-8000-0000000000ff', '01ARZ3NDEKTSV4RRFFQ69G5FAV'), (2, :'project', '01ARZ3NDEKTSV4RRFFQ69G5FAV'),
               (3, :'project', :'others')) i (m, project, id),
       pg_temp.error_of('SELECT ' || format(call, project, id)) e
 ORDER BY n, m;

-- Listing and reading write nothing; the rest does, and says so.
BEGIN READ ONLY;
SELECT count(*) FROM get_project_version_history(:'project');
SELECT count(*) FROM get_project_build_files(:'project', :'build');
SELECT call, e.code
  FROM unnest('{cut_project_build,publish_project_version,unpublish_project_version,delete_project_version,undelete_project_version}'::text[]) call,
       pg_temp.error_of(format('SELECT %I(%L, %L)', call, :'project', :'reserved')) e;
ROLLBACK;

-- The lists of snapshots are the extension's own.
SET ROLE authenticated;
SELECT count(*) FROM project_file_snapshots;
\echo :SQLSTATE
RESET ROLE;

SELECT bool_and(delete_project(id)) AS deleted FROM projects;
SELECT count(*) AS left_behind FROM project_file_snapshots;
