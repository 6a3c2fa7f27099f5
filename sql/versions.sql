-- Project versions: one row per successful build, metadata included, and the files as they were.

CREATE TABLE @extschema@.project_versions (
    project_id                uuid        NOT NULL REFERENCES @extschema@.projects (id),
    version_id                text        NOT NULL COLLATE "C",
    user_id                   uuid,
    prompt                    text,
    enhanced_prompt           text,
    prompt_metadata           jsonb,
    parent_version_id         text        COLLATE "C",
    base_version_id           text        COLLATE "C",
    framework                 text        NOT NULL,
    status                    text        NOT NULL CHECK (status IN ('building', 'deployed', 'failed')),
    needs_rebuild             boolean     NOT NULL DEFAULT false,
    preview_url               text,
    artifact_url              text,
    artifact_size             bigint      CHECK (artifact_size BETWEEN 0 AND 2147483648),
    artifact_checksum         text        COLLATE "C" CHECK (artifact_checksum ~ '^[0-9a-f]{64}$'),
    output_size_bytes         bigint      CHECK (output_size_bytes >= 0),
    build_duration_ms         bigint      CHECK (build_duration_ms >= 0),
    install_duration_ms       bigint      CHECK (install_duration_ms >= 0),
    deploy_duration_ms        bigint      CHECK (deploy_duration_ms >= 0),
    node_version              text,
    pnpm_version              text,
    cf_deployment_id          text,
    base_snapshot_id          text,
    ai_json                   jsonb,
    ai_session_id             text        COLLATE "C",
    ai_session_created_at     timestamptz,
    ai_session_last_used_at   timestamptz,
    version_name              text,
    version_description       text,
    change_type               text        NOT NULL CHECK (change_type IN ('patch', 'minor', 'major')),
    major_version             integer     NOT NULL CHECK (major_version >= 0),
    minor_version             integer     NOT NULL CHECK (minor_version >= 0),
    patch_version             integer     NOT NULL CHECK (patch_version >= 0),
    prerelease                text        COLLATE "C",
    breaking_risk             text        CHECK (breaking_risk IN ('none', 'low', 'medium', 'high')),
    auto_classified           boolean     NOT NULL DEFAULT false,
    classification_confidence numeric     CHECK (classification_confidence BETWEEN 0 AND 1),
    classification_reasoning  text,
    from_recommendation_id    text,
    files_changed             integer     NOT NULL DEFAULT 0 CHECK (files_changed >= 0),
    lines_added               bigint      NOT NULL DEFAULT 0 CHECK (lines_added >= 0),
    lines_removed             bigint      NOT NULL DEFAULT 0 CHECK (lines_removed >= 0),
    git_commit_sha            text        COLLATE "C",
    git_tag                   text,
    is_published              boolean     NOT NULL DEFAULT false,
    published_at              timestamptz,
    published_by_user_id      uuid,
    user_comment              text,
    soft_deleted_at           timestamptz,
    snapshot_seq              integer     NOT NULL CHECK (snapshot_seq > 0),
    created_at                timestamptz NOT NULL,
    updated_at                timestamptz NOT NULL,
    change_type_defaulted     boolean     NOT NULL DEFAULT false,
    PRIMARY KEY (project_id, version_id),
    -- The number alone is unique, prerelease or not: 1.2.0 never follows 1.2.0-beta.
    UNIQUE (project_id, major_version, minor_version, patch_version)
);
CREATE UNIQUE INDEX project_versions_one_published
    ON @extschema@.project_versions (project_id) WHERE is_published;
COMMENT ON TABLE @extschema@.project_versions IS
    'One row per project version, metadata included, visible the moment the version exists.';
COMMENT ON COLUMN @extschema@.project_versions.change_type_defaulted IS
    'Whether nobody has said yet what kind of change the version is.';
COMMENT ON COLUMN @extschema@.project_versions.snapshot_seq IS
    'The version''s files: per file, the newest file version whose snapshot_seq is not greater.';

CREATE FUNCTION @extschema@.create_version_on_success(
    p_project_id uuid,
    p_build_id   text,
    p_result     jsonb DEFAULT '{}'
) RETURNS @extschema@.project_versions
    LANGUAGE c VOLATILE PARALLEL UNSAFE COST 100
    AS 'MODULE_PATHNAME', 'create_version_on_success_wrapper';
COMMENT ON FUNCTION @extschema@.create_version_on_success(uuid, text, jsonb) IS
    'Creates the reserved version of a build: numbers it, takes a snapshot of the files, closes the build. Idempotent per build. Lines of files with more lines to compare than pg_versioned.max_compared_lines count as replaced, and a NOTICE says so. Errors: 22023 (unknown or invalid keys of p_result), 42501, PT404, PT409 (the build failed or was abandoned), 40001.';

CREATE FUNCTION @extschema@.get_project_version_files(p_project_id uuid, p_version_id text)
    RETURNS TABLE (
        file_path    text,
        content      text,
        file_type    text,
        version      integer,
        content_hash text,
        updated_at   timestamptz
    )
    LANGUAGE c STABLE PARALLEL RESTRICTED COST 1000 ROWS 100
    AS 'MODULE_PATHNAME', 'get_project_version_files_wrapper';
COMMENT ON FUNCTION @extschema@.get_project_version_files(uuid, text) IS
    'The files of a project version as they were, ordered by path. Errors: 22023, 42501, PT404, XX001.';
