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
    snapshot_listed           boolean     NOT NULL DEFAULT false,
    pruned_at                 timestamptz,
    PRIMARY KEY (project_id, version_id),
    -- The number alone is unique, prerelease or not: 1.2.0 never follows 1.2.0-beta.
    UNIQUE (project_id, major_version, minor_version, patch_version)
);
CREATE UNIQUE INDEX project_versions_one_published
    ON @extschema@.project_versions (project_id) WHERE is_published;
-- For get_project_version_history: any list, and the usual one without checkpoints and deleted versions. On a hash, so that
-- nobody looks up a version in them who knows its project and its id.
CREATE INDEX project_versions_history ON @extschema@.project_versions
    (pg_catalog.uuid_hash_extended(project_id, 0), created_at, version_id)
    INCLUDE (project_id, change_type, is_published, soft_deleted_at);
CREATE INDEX project_versions_shown ON @extschema@.project_versions
    (pg_catalog.uuid_hash_extended(project_id, 0), created_at, version_id) INCLUDE (project_id, is_published)
    WHERE change_type <> 'patch' AND soft_deleted_at IS NULL;
COMMENT ON TABLE @extschema@.project_versions IS
    'One row per project version, metadata included, visible the moment the version exists.';
COMMENT ON COLUMN @extschema@.project_versions.published_at IS
    'When the version was last published; it stays when the version is unpublished.';
COMMENT ON COLUMN @extschema@.project_versions.change_type_defaulted IS
    'Whether nobody has said yet what kind of change the version is.';
COMMENT ON COLUMN @extschema@.project_versions.snapshot_listed IS
    'Whether project_file_snapshots lists the files of the snapshot; otherwise they are found among all file versions.';
COMMENT ON COLUMN @extschema@.project_versions.pruned_at IS
    'When prune_project_history removed files of the snapshot, which it does only for deleted versions; created_at if the version was imported, without files; else NULL.';
COMMENT ON COLUMN @extschema@.project_versions.snapshot_seq IS
    'The version''s files: per file, the newest file version whose snapshot_seq is not greater.';

CREATE FUNCTION @extschema@.create_version_on_success(
    p_project_id uuid,
    p_build_id   text,
    p_result     jsonb DEFAULT '{}'
) RETURNS @extschema@.project_versions
    LANGUAGE c VOLATILE PARALLEL UNSAFE COST 100
    AS 'MODULE_PATHNAME', 'create_version_from_cut_wrapper';
COMMENT ON FUNCTION @extschema@.create_version_on_success(uuid, text, jsonb) IS
    'Creates the reserved version of a build: numbers it, takes a snapshot of the files unless cut_project_build has, closes the build. Idempotent per build. Lines of files with more lines to compare than pg_versioned.max_compared_lines count as replaced, and a NOTICE says so. Errors: 22023 (unknown or invalid keys of p_result), 42501, PT404, PT409 (the build failed or was abandoned), 40001.';

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
    AS 'MODULE_PATHNAME', 'get_snapshot_files_wrapper';
COMMENT ON FUNCTION @extschema@.get_project_version_files(uuid, text) IS
    'The files of a project version as they were, ordered by path. Errors: 22023, 42501, PT404, PT409 (the version was deleted and its files pruned, or it was imported), XX001.';

CREATE FUNCTION @extschema@.cut_project_build(p_project_id uuid, p_build_id text)
    RETURNS @extschema@.project_build_metrics
    LANGUAGE c VOLATILE PARALLEL UNSAFE COST 100
    AS 'MODULE_PATHNAME', 'cut_project_build_wrapper';
COMMENT ON FUNCTION @extschema@.cut_project_build(uuid, text) IS
    'Fixes the files of an active build: whatever is saved later will not be part of its version. Idempotent: the first cut stands. Errors: 22023, 42501, PT404, PT409 (the build has ended), 40001.';

CREATE FUNCTION @extschema@.get_project_build_files(p_project_id uuid, p_build_id text)
    RETURNS TABLE (
        file_path    text,
        content      text,
        file_type    text,
        version      integer,
        content_hash text,
        updated_at   timestamptz
    )
    LANGUAGE c STABLE PARALLEL RESTRICTED COST 1000 ROWS 100
    AS 'MODULE_PATHNAME', 'get_project_build_files_wrapper';
COMMENT ON FUNCTION @extschema@.get_project_build_files(uuid, text) IS
    'The files of a build as cut_project_build fixed them, ordered by path; those of its version if it has succeeded. Errors: 22023, 42501, PT404, PT409 (the build was not cut, or it failed or was abandoned), XX001.';

CREATE FUNCTION @extschema@.update_version_metadata(p_project_id uuid, p_version_id text, p_metadata jsonb)
    RETURNS @extschema@.project_versions
    LANGUAGE c VOLATILE PARALLEL UNSAFE COST 100
    AS 'MODULE_PATHNAME', 'update_version_metadata_wrapper';
COMMENT ON FUNCTION @extschema@.update_version_metadata(uuid, text, jsonb) IS
    'Sets any of the keys that p_result of create_version_on_success may have; null clears one, the others keep their values. change_type can be set once if it was defaulted and the version is not published: the version then takes the next number of that type. Errors: 22023 (unknown or invalid keys), 42501, PT404, PT409 (change_type has been set, or the version is published), 40001.';

CREATE FUNCTION @extschema@.publish_project_version(p_project_id uuid, p_version_id text, p_comment text DEFAULT NULL)
    RETURNS @extschema@.project_versions
    LANGUAGE c VOLATILE PARALLEL UNSAFE COST 100
    AS 'MODULE_PATHNAME', 'publish_project_version_wrapper';
COMMENT ON FUNCTION @extschema@.publish_project_version(uuid, text, text) IS
    'Makes a version the published one instead of any other; p_comment becomes its user_comment, NULL keeps that. Idempotent. Errors: 22023, 42501, PT404, PT409 (the version is deleted, needs a rebuild or is not deployed), 40001.';

CREATE FUNCTION @extschema@.unpublish_project_version(p_project_id uuid, p_version_id text)
    RETURNS @extschema@.project_versions
    LANGUAGE c VOLATILE PARALLEL UNSAFE COST 100
    AS 'MODULE_PATHNAME', 'unpublish_project_version_wrapper';
COMMENT ON FUNCTION @extschema@.unpublish_project_version(uuid, text) IS
    'Makes a version an unpublished one; when and by whom it was published stays. Idempotent. Errors: 22023, 42501, PT404, 40001.';

CREATE FUNCTION @extschema@.delete_project_version(p_project_id uuid, p_version_id text)
    RETURNS @extschema@.project_versions
    LANGUAGE c VOLATILE PARALLEL UNSAFE COST 100
    AS 'MODULE_PATHNAME', 'delete_project_version_wrapper';
COMMENT ON FUNCTION @extschema@.delete_project_version(uuid, text) IS
    'Marks a version as deleted; undelete_project_version brings it back. If it was the project''s current one, the newest remaining one becomes current. Its files stay until prune_project_history removes them. Idempotent. Errors: 22023, 42501, PT404, PT409 (the version is published), 40001.';

CREATE FUNCTION @extschema@.undelete_project_version(p_project_id uuid, p_version_id text)
    RETURNS @extschema@.project_versions
    LANGUAGE c VOLATILE PARALLEL UNSAFE COST 100
    AS 'MODULE_PATHNAME', 'undelete_project_version_wrapper';
COMMENT ON FUNCTION @extschema@.undelete_project_version(uuid, text) IS
    'Brings back a deleted version. Idempotent. Errors: 22023, 42501, PT404, 40001.';

CREATE FUNCTION @extschema@.get_project_version_history(
    p_project_id          uuid,
    p_limit               integer DEFAULT 20,
    p_offset              integer DEFAULT 0,
    p_include_checkpoints boolean DEFAULT false,
    p_state               text    DEFAULT 'all',
    p_show_deleted        boolean DEFAULT false,
    p_before_version_id   text    DEFAULT NULL
) RETURNS TABLE (
        version_id                text,
        semver                    text,
        is_current                boolean,
        version_name              text,
        version_description       text,
        prompt                    text,
        framework                 text,
        status                    text,
        needs_rebuild             boolean,
        change_type               text,
        change_type_defaulted     boolean,
        major_version             integer,
        minor_version             integer,
        patch_version             integer,
        prerelease                text,
        breaking_risk             text,
        auto_classified           boolean,
        classification_confidence numeric,
        classification_reasoning  text,
        parent_version_id         text,
        base_version_id           text,
        files_changed             integer,
        lines_added               bigint,
        lines_removed             bigint,
        preview_url               text,
        artifact_url              text,
        artifact_size             bigint,
        artifact_checksum         text,
        build_duration_ms         bigint,
        install_duration_ms       bigint,
        deploy_duration_ms        bigint,
        git_commit_sha            text,
        git_tag                   text,
        is_published              boolean,
        published_at              timestamptz,
        published_by_user_id      uuid,
        user_comment              text,
        user_id                   uuid,
        soft_deleted_at           timestamptz,
        created_at                timestamptz,
        updated_at                timestamptz,
        can_preview               boolean,
        can_publish               boolean,
        can_unpublish             boolean,
        can_restore               boolean,
        total_count               bigint
    )
    LANGUAGE c STABLE PARALLEL RESTRICTED COST 100 ROWS 20
    AS 'MODULE_PATHNAME', 'get_project_version_history_wrapper';
COMMENT ON FUNCTION @extschema@.get_project_version_history(uuid, integer, integer, boolean, text, boolean, text) IS
    'The versions of a project, newest first, without checkpoints (patch versions) and deleted ones unless asked for; p_state: all, published or unpublished. The can_ columns say what this caller may do. The next page: by p_offset, or before the last version seen, which costs the same for every page; total_count is then NULL. Errors: 22023, 42501, PT404.';

CREATE FUNCTION @extschema@.diff_project_versions(
    p_project_id      uuid,
    p_from_version_id text,
    p_to_version_id   text    DEFAULT NULL,
    p_context         integer DEFAULT 3
) RETURNS TABLE (
        file_path     text,
        from_path     text,
        change        text,
        lines_added   bigint,
        lines_removed bigint,
        diff          text
    )
    LANGUAGE c STABLE PARALLEL RESTRICTED COST 1000 ROWS 100
    AS 'MODULE_PATHNAME', 'diff_project_versions_wrapper';
COMMENT ON FUNCTION @extschema@.diff_project_versions(uuid, text, text, integer) IS
    'What differs between two versions (NULL: the files as they are now), one row per changed file, ordered by path; change is added, modified, deleted or moved (from from_path). The diffs with p_context lines around changes, one after another, are a patch for git apply. A file with more lines to compare than pg_versioned.max_compared_lines has one replacing hunk. Errors: 22023, 42501, PT404, PT409 (a version was deleted and its files pruned, or it was imported), XX001.';

CREATE FUNCTION @extschema@.restore_project_version(
    p_project_id uuid,
    p_version_id text,
    p_dry_run    boolean DEFAULT false
) RETURNS TABLE (
        file_path text,
        from_path text,
        change    text,
        version   integer
    )
    LANGUAGE c VOLATILE PARALLEL UNSAFE COST 1000 ROWS 100
    AS 'MODULE_PATHNAME', 'restore_project_version_wrapper';
COMMENT ON FUNCTION @extschema@.restore_project_version(uuid, text, boolean) IS
    'Makes the files of a project those of a version, as new file versions: all or nothing, nothing is rewritten, unchanged files are not touched. One row per changed file, ordered by path; change is added (back), modified, deleted or moved (from from_path); version is the file''s new version. With p_dry_run nothing is saved. Errors: 22023, 42501, PT404, PT409 (the version is deleted), PT429, 40001, XX001.';
