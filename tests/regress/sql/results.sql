--
-- RESULTS
--
-- What a build worker reports goes into p_result of create_version_on_success: a JSON object, whose keys are
-- columns of project_versions. All are optional.
--
INSERT INTO projects (id, owner_id, name, framework)
VALUES ('4e5a0000-0000-4000-8000-000000000001', '5e1f0000-0000-4000-8000-000000000001', 'Results', 'react');
\set project 4e5a0000-0000-4000-8000-000000000001
SELECT build_id AS build FROM start_project_build(:'project', 'The prompt') \gset

\x on
SELECT version_name, version_description, change_type, prerelease, enhanced_prompt, prompt_metadata, base_version_id, needs_rebuild,
       preview_url, artifact_url, artifact_size, artifact_checksum, output_size_bytes,
       build_duration_ms, install_duration_ms, deploy_duration_ms, node_version, pnpm_version, cf_deployment_id, base_snapshot_id,
       ai_json, breaking_risk, auto_classified, classification_confidence, classification_reasoning, from_recommendation_id,
       git_commit_sha, git_tag, user_comment
  FROM create_version_on_success(:'project', :'build', '{
    "version_name": "First light",
    "version_description": "Two paragraphs.\n\nThis is the second.",
    "change_type": "major",
    "prerelease": "rc.1",
    "enhanced_prompt": "The prompt, but better",
    "prompt_metadata": {"model": "m-1", "temperature": 0.5, "tags": ["a", "b"], "nothing": null},
    "base_version_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV",
    "needs_rebuild": true,
    "preview_url": "https://preview.example.com/1",
    "artifact_url": "s3://bucket/1.tar.zst",
    "artifact_size": 2147483648,
    "artifact_checksum": "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855",
    "output_size_bytes": 5000000000,
    "build_duration_ms": 61000,
    "install_duration_ms": 30500,
    "deploy_duration_ms": 0,
    "node_version": "v22.1.0",
    "pnpm_version": "9.1.0",
    "cf_deployment_id": "cf-123",
    "base_snapshot_id": "snap-1",
    "ai_json": [{"step": 1}, "two", 3],
    "breaking_risk": "low",
    "auto_classified": true,
    "classification_confidence": 0.95,
    "classification_reasoning": "Because.",
    "from_recommendation_id": "rec-7",
    "git_commit_sha": "ABCDEF0123456789ABCDEF0123456789ABCDEF01",
    "git_tag": "v1.0.0-rc.1",
    "user_comment": "Finally! 🎉"
}');
\x off
-- The row holds it, durations also the build's.
SELECT version_name, artifact_size FROM project_versions WHERE project_id = :'project';
SELECT status, build_duration_ms, install_duration_ms, deploy_duration_ms FROM project_build_metrics WHERE project_id = :'project';

-- Every column a worker may report is a key; the rest is the server's business.
SELECT a.attname COLLATE "C" AS servers
  FROM pg_attribute a
 WHERE a.attrelid = 'project_versions'::regclass AND a.attnum > 0 AND NOT a.attisdropped
   AND a.attname NOT IN ('version_name', 'version_description', 'change_type', 'prerelease', 'enhanced_prompt', 'prompt_metadata',
       'base_version_id', 'needs_rebuild', 'preview_url', 'artifact_url', 'artifact_size', 'artifact_checksum', 'output_size_bytes',
       'build_duration_ms', 'install_duration_ms', 'deploy_duration_ms', 'node_version', 'pnpm_version', 'cf_deployment_id',
       'base_snapshot_id', 'ai_json', 'breaking_risk', 'auto_classified', 'classification_confidence',
       'classification_reasoning', 'from_recommendation_id', 'git_commit_sha', 'git_tag', 'user_comment')
 ORDER BY 1;

-- null is as good as absent, and {} is the default.
SELECT build_id AS build FROM start_project_build(:'project') \gset
\x on
SELECT version_name, prompt_metadata, needs_rebuild, artifact_size, ai_json, breaking_risk, auto_classified, classification_confidence,
       change_type, build_duration_ms
  FROM create_version_on_success(p_project_id => :'project', p_build_id => :'build', p_result => '{"version_name": null, "prompt_metadata": null,
    "needs_rebuild": null, "artifact_size": null, "ai_json": null, "breaking_risk": null, "auto_classified": null,
    "classification_confidence": null, "change_type": null, "build_duration_ms": null}');
\x off

-- The JSON of a prompt or an AI comes back as it was given: numbers to the last digit, of any size, values
-- nested however deep.
SELECT build_id AS build FROM start_project_build(:'project') \gset
SELECT prompt_metadata = '{"big": 12345678901234567890123, "fine": 0.1234567890123456789, "text": "é\n\"\\"}' AS kept
  FROM create_version_on_success(:'project', :'build',
       '{"prompt_metadata": {"big": 12345678901234567890123, "fine": 0.1234567890123456789, "text": "é\n\"\\"}}');
SELECT build_id AS build FROM start_project_build(:'project', p_supersede => true) \gset
SELECT ai_json = '[1e400, -1e-400]' AS kept FROM create_version_on_success(:'project', :'build', '{"ai_json": [1e400, -1e-400]}');
SELECT build_id AS build FROM start_project_build(:'project', p_supersede => true) \gset
SELECT ai_json = (repeat('[', 500) || repeat(']', 500))::jsonb AS kept
  FROM create_version_on_success(:'project', :'build', jsonb_build_object('ai_json', (repeat('[', 500) || repeat(']', 500))::jsonb));

--
-- What is refused
--
-- From here on one build is tried again and again; a refused result leaves it as it was.
SELECT build_id AS build FROM start_project_build(:'project', p_supersede => true) \gset

-- Unknown keys, all of them named.
SELECT version_name FROM create_version_on_success(:'project', :'build', '{"versionName": "typo"}');
\echo :SQLSTATE
SELECT version_name FROM create_version_on_success(:'project', :'build', '{"zip": 1, "version_name": "fine", "artifact": {}, "is_published": true}');
\echo :SQLSTATE
-- Columns that are not the worker's to set are not keys either.
SELECT version_name FROM create_version_on_success(:'project', :'build', '{"major_version": 9, "snapshot_seq": 1, "status": "failed"}');
\echo :SQLSTATE
-- What is not an object.
SELECT version_name FROM create_version_on_success(:'project', :'build', '[]');
\echo :SQLSTATE
SELECT version_name FROM create_version_on_success(:'project', :'build', '"done"');
\echo :SQLSTATE
SELECT version_name FROM create_version_on_success(:'project', :'build', 'null');
\echo :SQLSTATE
SELECT version_name FROM create_version_on_success(:'project', :'build', NULL);
\echo :SQLSTATE

-- Values of another type. The message names the key.
SELECT version_name FROM create_version_on_success(:'project', :'build', '{"version_name": 1}');
\echo :SQLSTATE
SELECT version_name FROM create_version_on_success(:'project', :'build', '{"needs_rebuild": "yes"}');
\echo :SQLSTATE
SELECT version_name FROM create_version_on_success(:'project', :'build', '{"git_tag": ["v1"]}');
\echo :SQLSTATE
-- In words of JSON, not of the language the extension is written in.
\set VERBOSITY sqlstate
SELECT version_name FROM create_version_on_success(:'project', :'build', '{"artifact_size": "12"}');
SELECT :'LAST_ERROR_MESSAGE' LIKE 'p_result key "artifact_size"%' AS names_the_key, :'LAST_ERROR_MESSAGE' ~ '[iuf]64' AS speaks_rust;
SELECT version_name FROM create_version_on_success(:'project', :'build', '{"build_duration_ms": 1.5}');
SELECT :'LAST_ERROR_MESSAGE' LIKE 'p_result key "build_duration_ms"%' AS names_the_key, :'LAST_ERROR_MESSAGE' ~ '[iuf]64' AS speaks_rust;
SELECT version_name FROM create_version_on_success(:'project', :'build', '{"output_size_bytes": 1e30}');
SELECT :'LAST_ERROR_MESSAGE' LIKE 'p_result key "output_size_bytes"%' AS names_the_key, :'LAST_ERROR_MESSAGE' ~ '[iuf]64' AS speaks_rust;
SELECT version_name FROM create_version_on_success(:'project', :'build', '{"classification_confidence": "high"}');
SELECT :'LAST_ERROR_MESSAGE' LIKE 'p_result key "classification_confidence"%' AS names_the_key, :'LAST_ERROR_MESSAGE' ~ '[iuf]64' AS speaks_rust;
\set VERBOSITY default

-- Values out of their range: sizes and durations below 0, artifacts above 2 GiB, confidence outside 0 to 1.
SELECT version_name FROM create_version_on_success(:'project', :'build', '{"artifact_size": -1}');
\echo :SQLSTATE
SELECT version_name FROM create_version_on_success(:'project', :'build', '{"artifact_size": 2147483649}');
\echo :SQLSTATE
SELECT version_name FROM create_version_on_success(:'project', :'build', '{"output_size_bytes": -1}');
\echo :SQLSTATE
SELECT version_name FROM create_version_on_success(:'project', :'build', '{"build_duration_ms": -1}');
\echo :SQLSTATE
SELECT version_name FROM create_version_on_success(:'project', :'build', '{"install_duration_ms": -1}');
\echo :SQLSTATE
SELECT version_name FROM create_version_on_success(:'project', :'build', '{"deploy_duration_ms": -1}');
\echo :SQLSTATE
SELECT version_name FROM create_version_on_success(:'project', :'build', '{"classification_confidence": 1.01}');
\echo :SQLSTATE
SELECT version_name FROM create_version_on_success(:'project', :'build', '{"classification_confidence": -0.01}');
\echo :SQLSTATE

-- Words that are not allowed.
SELECT version_name FROM create_version_on_success(:'project', :'build', '{"change_type": "huge"}');
\echo :SQLSTATE
SELECT version_name FROM create_version_on_success(:'project', :'build', '{"change_type": "Major"}');
\echo :SQLSTATE
SELECT version_name FROM create_version_on_success(:'project', :'build', '{"breaking_risk": "unknown"}');
\echo :SQLSTATE

-- Invalid hashes: 64 hexadecimal digits for the artifact, 7 to 64 for git.
SELECT version_name FROM create_version_on_success(:'project', :'build', '{"artifact_checksum": "e3b0c442"}');
\echo :SQLSTATE
SELECT version_name FROM create_version_on_success(:'project', :'build', jsonb_build_object('artifact_checksum', repeat('g', 64)));
\echo :SQLSTATE
SELECT version_name FROM create_version_on_success(:'project', :'build', '{"git_commit_sha": "abc"}');
\echo :SQLSTATE

-- Prerelease labels that SemVer does not allow.
SELECT version_name FROM create_version_on_success(:'project', :'build', '{"prerelease": ""}');
\echo :SQLSTATE
SELECT version_name FROM create_version_on_success(:'project', :'build', '{"prerelease": "beta.01"}');
\echo :SQLSTATE
SELECT version_name FROM create_version_on_success(:'project', :'build', '{"prerelease": "beta_1"}');
\echo :SQLSTATE

-- Lines of 1 to 2048 bytes, prose of at most 1 MiB.
SELECT version_name FROM create_version_on_success(:'project', :'build', '{"version_name": ""}');
\echo :SQLSTATE
SELECT version_name FROM create_version_on_success(:'project', :'build', '{"version_name": "two\nlines"}');
\echo :SQLSTATE
SELECT version_name FROM create_version_on_success(:'project', :'build', jsonb_build_object('preview_url', repeat('x', 2049)));
\echo :SQLSTATE
SELECT version_name FROM create_version_on_success(:'project', :'build', jsonb_build_object('user_comment', repeat('x', 1048577)));
\echo :SQLSTATE

-- After all this the build is still active, and can succeed.
SELECT status FROM project_build_metrics WHERE project_id = :'project' AND build_id = :'build';
SELECT major_version, minor_version, patch_version, length(preview_url) AS preview_url, length(version_description) AS description
  FROM create_version_on_success(:'project', :'build', jsonb_build_object('preview_url', repeat('x', 2048),
                                                                          'version_description', repeat('x', 1048576)));

SELECT delete_project(:'project');
