\echo Use "CREATE EXTENSION pg_versioned" to load this file. \quit

-- requirements.sql

-- Every name below is qualified with the extension's schema, so only Postgres' own operators and types are found by
-- search_path: objects that exist in the target schema cannot change what the script does.
SET LOCAL search_path = pg_catalog, pg_temp;

-- What the database must provide before anything is created.
DO $$
BEGIN
    IF pg_catalog.getdatabaseencoding() <> 'UTF8' THEN
        RAISE EXCEPTION 'pg_versioned needs a database with encoding UTF8, this one has %',
            pg_catalog.getdatabaseencoding()
            USING ERRCODE = 'feature_not_supported',
                  HINT = 'Create a database with ENCODING ''UTF8'' TEMPLATE template0.';
    END IF;
END
$$;

-- What views, policies and upgrades need but clients should not use is in a separate schema, which is not to be exposed.
CREATE SCHEMA versioned_internal;
COMMENT ON SCHEMA versioned_internal IS
    'What the views and policies of pg_versioned need. Not for use by clients: do not expose it through an API.';

-- ids.sql

-- ULIDs: 48 bits of milliseconds, 80 bits of randomness, 26 characters of Crockford's base 32.
-- https://github.com/ulid/spec

CREATE FUNCTION @extschema@.generate_ulid() RETURNS text
    LANGUAGE c VOLATILE PARALLEL RESTRICTED
    AS 'MODULE_PATHNAME', 'generate_ulid_wrapper';
COMMENT ON FUNCTION @extschema@.generate_ulid() IS
    'A new ULID: 26 characters, never NULL, strictly increasing within a session even inside one millisecond.';

CREATE FUNCTION @extschema@.ulid_to_timestamp(p_ulid text) RETURNS timestamptz
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'ulid_to_timestamp_wrapper';
COMMENT ON FUNCTION @extschema@.ulid_to_timestamp(text) IS
    'The time at which a ULID was generated, to the millisecond. 22023 if the text is not a ULID.';

CREATE FUNCTION @extschema@.ulid_to_uuid(p_ulid text) RETURNS uuid
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'ulid_to_uuid_wrapper';
COMMENT ON FUNCTION @extschema@.ulid_to_uuid(text) IS
    'The same 128 bits as a uuid; sorts alike. 22023 if the text is not a ULID.';

CREATE FUNCTION @extschema@.uuid_to_ulid(p_uuid uuid) RETURNS text
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'uuid_to_ulid_wrapper';
COMMENT ON FUNCTION @extschema@.uuid_to_ulid(uuid) IS
    'The same 128 bits as a ULID; the inverse of ulid_to_uuid.';

CREATE FUNCTION @extschema@.is_ulid(p_text text) RETURNS boolean
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'is_ulid_wrapper';
COMMENT ON FUNCTION @extschema@.is_ulid(text) IS
    'Whether a text is a ULID (either case, at most 7ZZZZZZZZZZZZZZZZZZZZZZZZZ). Never raises an error.';

-- locks.sql

-- The advisory locks of the protocol. Any client can take part in it by taking the same keys in the same order:
-- owner, then project, then files in ascending key order.

CREATE FUNCTION @extschema@.owner_lock_key(p_owner_id uuid) RETURNS bigint
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'owner_lock_key_wrapper';
COMMENT ON FUNCTION @extschema@.owner_lock_key(uuid) IS
    'Key of the advisory lock that creating a project takes on its owner: hashtextextended(''owner:<uuid>'', 0).';

CREATE FUNCTION @extschema@.project_lock_key(p_project_id uuid) RETURNS bigint
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'project_lock_key_wrapper';
COMMENT ON FUNCTION @extschema@.project_lock_key(uuid) IS
    'Key of a project''s advisory lock, shared for saves and exclusive for whatever needs the project to stay unchanged: hashtextextended(''project:<uuid>'', 0).';

CREATE FUNCTION @extschema@.file_lock_key(p_project_id uuid, p_file_path text) RETURNS bigint
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'file_lock_key_wrapper';
COMMENT ON FUNCTION @extschema@.file_lock_key(uuid, text) IS
    'Key of the advisory lock that a save takes on its path, exclusive: hashtextextended(''file:<uuid>:<path>'', 0).';

-- projects.sql

-- Projects, who may work on them, and the record of calls by which a double click creates only one project.

CREATE TABLE @extschema@.projects (
    id                   uuid        NOT NULL,
    owner_id             uuid        NOT NULL,
    name                 text        NOT NULL,
    framework            text        NOT NULL,
    config               jsonb       NOT NULL DEFAULT '{}',
    created_by_service   text        NOT NULL DEFAULT 'worker-service',
    build_status         text        NOT NULL DEFAULT 'idle'
        CHECK (build_status IN ('idle', 'building', 'deployed', 'failed')),
    current_build_id     text        COLLATE "C",
    current_version_id   text        COLLATE "C",
    last_build_started   timestamptz,
    last_build_completed timestamptz,
    snapshot_seq         integer     NOT NULL DEFAULT 1 CHECK (snapshot_seq > 0),
    created_at           timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    updated_at           timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    PRIMARY KEY (id)
) WITH (fillfactor = 70);
CREATE INDEX projects_owner_id ON @extschema@.projects (owner_id);
COMMENT ON TABLE @extschema@.projects IS
    'One row per project. Written only by the functions; current_version_id is NULL until a build has succeeded.';
COMMENT ON COLUMN @extschema@.projects.snapshot_seq IS
    'Stamp for file versions that are saved now. Creating a project version records it and increments it.';

CREATE TABLE @extschema@.project_members (
    project_id uuid        NOT NULL REFERENCES @extschema@.projects (id),
    user_id    uuid        NOT NULL,
    role       text        NOT NULL CHECK (role IN ('viewer', 'editor', 'owner')),
    created_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    PRIMARY KEY (project_id, user_id)
);
CREATE INDEX project_members_user_id ON @extschema@.project_members (user_id);
COMMENT ON TABLE @extschema@.project_members IS
    'Who may work on a project: viewers read, editors save and build, owners manage members and delete. projects.owner_id is an owner with or without a row here.';

-- No foreign key to projects: the table belongs to owners, not to projects.
CREATE TABLE @extschema@.project_idempotency_keys (
    owner_id         uuid        NOT NULL,
    key              text        NOT NULL COLLATE "C",
    request_hash     bytea       NOT NULL,
    project_id       uuid        NOT NULL,
    version_id       text        NOT NULL COLLATE "C",
    build_id         text        NOT NULL COLLATE "C",
    build_metrics_id bigint      NOT NULL,
    ai_session_id    text        NOT NULL COLLATE "C",
    created_xid      xid8        NOT NULL,
    created_at       timestamptz NOT NULL,
    PRIMARY KEY (owner_id, key)
);
CREATE INDEX project_idempotency_keys_project_id ON @extschema@.project_idempotency_keys (project_id);
COMMENT ON TABLE @extschema@.project_idempotency_keys IS
    'What the first create_complete_project call of an owner with a key returned. Keys that start with double-click: are the extension''s own record of recent calls without a key.';

CREATE FUNCTION @extschema@.create_complete_project(
    p_user_id         uuid DEFAULT NULL,
    p_framework       text DEFAULT 'react',
    p_prompt          text DEFAULT NULL,
    p_name            text DEFAULT 'Untitled Project',
    p_idempotency_key text DEFAULT NULL
) RETURNS TABLE (
    project_id       uuid,
    version_id       text,
    build_id         text,
    build_metrics_id bigint,
    created          boolean,
    ai_session_id    text
)
    LANGUAGE c VOLATILE PARALLEL UNSAFE COST 100 ROWS 1
    AS 'MODULE_PATHNAME', 'create_complete_project_wrapper';
COMMENT ON FUNCTION @extschema@.create_complete_project(uuid, text, text, text, text) IS
    'Creates a project with its first build, metrics and AI-time session in one transaction, or nothing. The same key, or a double click, returns the first call''s IDs with created = false. Errors: 22023, 42501, 40001.';

CREATE FUNCTION @extschema@.add_project_member(p_project_id uuid, p_user_id uuid, p_role text)
    RETURNS @extschema@.project_members
    LANGUAGE c VOLATILE PARALLEL UNSAFE COST 100
    AS 'MODULE_PATHNAME', 'add_project_member_wrapper';
COMMENT ON FUNCTION @extschema@.add_project_member(uuid, uuid, text) IS
    'Gives a user a role (viewer, editor, owner) in a project, or changes it. Owners only. Errors: 22023, 42501, PT404, 40001.';

CREATE FUNCTION @extschema@.remove_project_member(p_project_id uuid, p_user_id uuid) RETURNS boolean
    LANGUAGE c VOLATILE PARALLEL UNSAFE COST 100
    AS 'MODULE_PATHNAME', 'remove_project_member_wrapper';
COMMENT ON FUNCTION @extschema@.remove_project_member(uuid, uuid) IS
    'Removes a user from a project; false if the user was not a member. Once this has committed, no save by that user commits any more. Owners only. Errors: 22023 (the project''s owner_id), 42501, PT404, 40001.';

CREATE FUNCTION @extschema@.delete_project(p_project_id uuid) RETURNS boolean
    LANGUAGE c VOLATILE PARALLEL UNSAFE COST 100
    AS 'MODULE_PATHNAME', 'delete_project_wrapper';
COMMENT ON FUNCTION @extschema@.delete_project(uuid) IS
    'Permanently deletes a project with all its files, history, versions and builds; returns true. Owners only. Errors: 22023, 42501, PT404, 40001.';

-- builds.sql

-- Builds: one row per attempt. Only a build that succeeds becomes a version (versions.sql).

CREATE TABLE @extschema@.project_build_metrics (
    id                  bigint      NOT NULL GENERATED BY DEFAULT AS IDENTITY,
    build_id            text        NOT NULL COLLATE "C",
    project_id          uuid        NOT NULL REFERENCES @extschema@.projects (id),
    version_id          text        NOT NULL COLLATE "C",
    user_id             uuid,
    is_initial_build    boolean     NOT NULL DEFAULT false,
    status              text        NOT NULL CHECK (status IN ('started', 'deployed', 'failed', 'abandoned')),
    prompt              text,
    framework           text        NOT NULL,
    started_at          timestamptz NOT NULL,
    completed_at        timestamptz,
    total_duration_ms   bigint,
    build_duration_ms   bigint,
    install_duration_ms bigint,
    deploy_duration_ms  bigint,
    error               text,
    PRIMARY KEY (project_id, build_id),
    CHECK ((status = 'started') = (completed_at IS NULL))
);
CREATE UNIQUE INDEX project_build_metrics_one_active
    ON @extschema@.project_build_metrics (project_id) WHERE status = 'started';
CREATE INDEX project_build_metrics_id ON @extschema@.project_build_metrics (id);
COMMENT ON TABLE @extschema@.project_build_metrics IS
    'One row per build attempt; at most one per project has the status started. version_id is reserved and becomes a row of project_versions when the build succeeds.';

CREATE TABLE @extschema@.project_ai_time_sessions (
    session_id  text        NOT NULL COLLATE "C",
    project_id  uuid        NOT NULL,
    build_id    text        NOT NULL COLLATE "C",
    user_id     uuid,
    operation   text        NOT NULL,
    started_at  timestamptz NOT NULL,
    ended_at    timestamptz,
    duration_ms bigint,
    PRIMARY KEY (project_id, session_id),
    FOREIGN KEY (project_id, build_id) REFERENCES @extschema@.project_build_metrics (project_id, build_id),
    CHECK ((ended_at IS NULL) = (duration_ms IS NULL))
);
CREATE INDEX project_ai_time_sessions_build_id ON @extschema@.project_ai_time_sessions (project_id, build_id);
COMMENT ON TABLE @extschema@.project_ai_time_sessions IS
    'AI time billed to a build. Sessions still open when their build ends are closed with it.';

CREATE FUNCTION @extschema@.start_project_build(
    p_project_id uuid,
    p_prompt     text    DEFAULT NULL,
    p_framework  text    DEFAULT NULL,
    p_supersede  boolean DEFAULT false
) RETURNS TABLE (
    project_id       uuid,
    version_id       text,
    build_id         text,
    build_metrics_id bigint,
    created          boolean,
    ai_session_id    text
)
    LANGUAGE c VOLATILE PARALLEL UNSAFE COST 100 ROWS 1
    AS 'MODULE_PATHNAME', 'start_project_build_wrapper';
COMMENT ON FUNCTION @extschema@.start_project_build(uuid, text, text, boolean) IS
    'Starts a project''s next build. PT409 while another build is active, unless p_supersede is true or that build is older than pg_versioned.build_timeout; in these cases it is abandoned. Errors: 22023, 42501, PT404, PT409, 40001.';

CREATE FUNCTION @extschema@.fail_project_build(p_project_id uuid, p_build_id text, p_error text DEFAULT NULL)
    RETURNS @extschema@.project_build_metrics
    LANGUAGE c VOLATILE PARALLEL UNSAFE COST 100
    AS 'MODULE_PATHNAME', 'fail_project_build_wrapper';
COMMENT ON FUNCTION @extschema@.fail_project_build(uuid, text, text) IS
    'Marks a build as failed; it leaves no version behind. Idempotent. PT409 if the build has succeeded. Errors: 22023, 42501, PT404, PT409, 40001.';

CREATE FUNCTION @extschema@.start_ai_time_tracking(
    p_project_id uuid,
    p_build_id   text,
    p_operation  text DEFAULT 'main_build'
) RETURNS text
    LANGUAGE c VOLATILE PARALLEL UNSAFE COST 100
    AS 'MODULE_PATHNAME', 'start_ai_time_tracking_wrapper';
COMMENT ON FUNCTION @extschema@.start_ai_time_tracking(uuid, text, text) IS
    'Starts billing AI time to an active build; returns the session''s ULID. Errors: 22023, 42501, PT404, PT409 (the build has ended), 40001.';

CREATE FUNCTION @extschema@.stop_ai_time_tracking(p_project_id uuid, p_session_id text) RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE COST 100
    AS 'MODULE_PATHNAME', 'stop_ai_time_tracking_wrapper';
COMMENT ON FUNCTION @extschema@.stop_ai_time_tracking(uuid, text) IS
    'Ends an AI-time session; returns its duration in milliseconds. Further calls return the same value. Errors: 22023, 42501, PT404, 40001.';

-- versions.sql

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

-- file_tables.sql

-- The tables of files: heads say what is current, versions are the history and are never rewritten.
--
-- Their primary keys begin with file_id. If they began with project_id, the planner would join a project that is newer
-- than the last ANALYZE, and estimated to have one row, by project_id alone: it would read all its versions for each file.

-- Free space on the page keeps updates of heads HOT: a save changes no column of any index, partial ones included.
CREATE TABLE @extschema@.project_file_heads (
    project_id   uuid        NOT NULL REFERENCES @extschema@.projects (id),
    file_id      uuid        NOT NULL,
    file_path    text        NOT NULL COLLATE "C",
    file_type    text        NOT NULL,
    is_deleted   boolean     NOT NULL DEFAULT false,
    snapshot_seq integer     NOT NULL,
    base_version integer,
    key_cost     integer     NOT NULL DEFAULT 0,
    base_cost    integer     NOT NULL DEFAULT 0,
    version      integer     NOT NULL,
    updated_at   timestamptz NOT NULL,
    content_hash bytea,
    pruned_versions int4multirange,
    PRIMARY KEY (file_id, project_id)
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX project_file_heads_live_path
    ON @extschema@.project_file_heads (project_id, file_path) WHERE NOT is_deleted;
CREATE INDEX project_file_heads_path
    ON @extschema@.project_file_heads (project_id, file_path);
COMMENT ON TABLE @extschema@.project_file_heads IS
    'One row per file (file_id survives renames): its present path and newest version. The only row of a file that is ever updated.';

-- No foreign key to the heads: a version is inserted together with the change of its head, and a trigger protects heads
-- from deletion. Checking the key would cost every save a query, a row lock and its WAL.
CREATE TABLE @extschema@.project_file_versions (
    project_id   uuid        NOT NULL,
    file_id      uuid        NOT NULL,
    id           uuid        NOT NULL,
    created_by   uuid,
    created_at   timestamptz NOT NULL,
    change_xid   xid8        NOT NULL,
    version      integer     NOT NULL,
    base_version integer,
    size_bytes   integer     NOT NULL,
    snapshot_seq integer     NOT NULL,
    encoding     smallint,
    is_deleted   boolean     NOT NULL DEFAULT false,
    file_path    text        NOT NULL COLLATE "C",
    file_type    text        NOT NULL,
    content_hash bytea,
    stored       bytea,
    PRIMARY KEY (file_id, version, project_id)
);
-- Already compressed.
ALTER TABLE @extschema@.project_file_versions ALTER COLUMN stored SET STORAGE EXTERNAL;
CREATE INDEX project_file_versions_id ON @extschema@.project_file_versions (id);
-- For the change feed. On a hash, so that no join uses it as an index on project_id (see above), and half as long.
CREATE INDEX project_file_versions_change ON @extschema@.project_file_versions
    (pg_catalog.uuid_hash_extended(project_id, 0), change_xid, file_id, version);
COMMENT ON TABLE @extschema@.project_file_versions IS
    'Append-only history: versions 1, 2, 3 ... of every file, tombstones (is_deleted) included.';
COMMENT ON COLUMN @extschema@.project_file_heads.pruned_versions IS
    'Versions that prune_project_history has removed; NULL if none.';
COMMENT ON COLUMN @extschema@.project_file_heads.base_version IS
    'The version that the next delta is based on; NULL if the next version is a keyframe.';
COMMENT ON COLUMN @extschema@.project_file_heads.base_cost IS
    'Bytes of the deltas that are based on base_version. Negative: this many more versions are saved as keyframes, without trying a delta.';
COMMENT ON COLUMN @extschema@.project_file_heads.key_cost IS
    'Bytes of the middle versions since the last keyframe.';
COMMENT ON COLUMN @extschema@.project_file_versions.encoding IS
    'How stored is encoded: 0 the content; 1 a zstd frame; 2 the lengths of the beginning and the end shared with the base, then the middle; 3 the same with the middle in a zstd frame whose prefix is the base''s middle; NULL for a tombstone. Frames have no magic number.';
COMMENT ON COLUMN @extschema@.project_file_versions.base_version IS
    'The version of this file that stored is based on; NULL for a keyframe and for a tombstone.';
COMMENT ON COLUMN @extschema@.project_file_versions.file_path IS
    'The path this version was saved under; the file''s present path is its head''s.';

CREATE FUNCTION @extschema@.refuse_history_rewrite() RETURNS trigger
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'refuse_history_rewrite_wrapper';
COMMENT ON FUNCTION @extschema@.refuse_history_rewrite() IS
    'Trigger: allows only the extension''s own functions to change or remove the history of files. Errors: 42501.';
CREATE TRIGGER refuse_history_rewrite
    BEFORE DELETE OR TRUNCATE ON @extschema@.project_file_heads
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.refuse_history_rewrite();
CREATE TRIGGER refuse_history_rewrite
    BEFORE UPDATE OR DELETE OR TRUNCATE ON @extschema@.project_file_versions
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.refuse_history_rewrite();

-- Also fires while a dump is restored and on a logical replica: there, too, change_xid must belong to this cluster's
-- transactions, in the order in which the rows became visible here.
CREATE FUNCTION @extschema@.stamp_file_change() RETURNS trigger
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'stamp_file_change_wrapper';
COMMENT ON FUNCTION @extschema@.stamp_file_change() IS
    'Trigger: sets change_xid to the transaction that inserts the row, wherever the row comes from.';
CREATE TRIGGER stamp_file_change
    BEFORE INSERT ON @extschema@.project_file_versions
    FOR EACH ROW EXECUTE FUNCTION @extschema@.stamp_file_change();
ALTER TABLE @extschema@.project_file_versions ENABLE ALWAYS TRIGGER stamp_file_change;

-- file_view.sql

-- The view of files that users read, and how plain SQL statements write to it.

CREATE FUNCTION versioned_internal.stored_content(
    p_project_id    uuid,
    p_file_path     text,
    p_version       integer,
    p_content_hash  bytea,
    p_size_bytes    integer,
    p_encoding      smallint,
    p_stored        bytea,
    p_base_size     integer,
    p_base_encoding smallint,
    p_base_stored   bytea,
    p_keyframe_size      integer,
    p_keyframe_encoding  smallint,
    p_keyframe_stored    bytea
) RETURNS text
    LANGUAGE c IMMUTABLE PARALLEL SAFE COST 100
    AS 'MODULE_PATHNAME', 'stored_content_wrapper';
COMMENT ON FUNCTION versioned_internal.stored_content(uuid, text, integer, bytea, integer, smallint, bytea, integer, smallint, bytea, integer, smallint, bytea) IS
    'The content of a file version, from its row, the row it is based on (base) and the row that the base is based on (keyframe), checked against its hash; NULL for a deletion. Errors: XX001, naming project, path and version.';

-- The planner removes the joins from queries that do not select the content.
CREATE VIEW versioned_internal.file_contents WITH (security_invoker = true) AS
SELECT v.project_id,
       v.file_id,
       v.id,
       v.version,
       v.file_path,
       v.file_type,
       v.content_hash,
       v.size_bytes,
       v.is_deleted,
       v.snapshot_seq,
       v.created_by,
       v.created_at,
       v.encoding,
       v.stored,
       b.size_bytes AS base_size,
       b.encoding   AS base_encoding,
       b.stored     AS base_stored,
       k.size_bytes AS keyframe_size,
       k.encoding   AS keyframe_encoding,
       k.stored     AS keyframe_stored,
       versioned_internal.stored_content(v.project_id, v.file_path, v.version, v.content_hash,
                                         v.size_bytes, v.encoding, v.stored,
                                         b.size_bytes, b.encoding, b.stored,
                                         k.size_bytes, k.encoding, k.stored) COLLATE pg_catalog."default" AS content
  FROM @extschema@.project_file_versions v
  LEFT JOIN @extschema@.project_file_versions b
    ON b.project_id = v.project_id AND b.file_id = v.file_id AND b.version = v.base_version
  LEFT JOIN @extschema@.project_file_versions k
    ON k.project_id = b.project_id AND k.file_id = b.file_id AND k.version = b.base_version;
COMMENT ON VIEW versioned_internal.file_contents IS
    'One row per file version, with its content and how that is stored. Row level security applies.';

-- A UNION ALL of constants, not a comparison: a condition on is_current_version then prunes a branch at planning time,
-- whatever its form.
CREATE VIEW @extschema@.project_files WITH (security_invoker = true) AS
SELECT v.id,
       h.project_id,
       h.file_path,
       v.content,
       v.file_type,
       v.version,
       pg_catalog.encode(v.content_hash, 'hex') AS content_hash,
       v.size_bytes,
       true AS is_current_version,
       v.is_deleted,
       v.created_by,
       v.created_by AS last_modified_by,
       v.created_at,
       v.created_at AS updated_at
  FROM @extschema@.project_file_heads h
  JOIN versioned_internal.file_contents v
    ON v.project_id = h.project_id AND v.file_id = h.file_id AND v.version = h.version
 WHERE NOT h.is_deleted
UNION ALL
SELECT v.id,
       h.project_id,
       h.file_path,
       v.content,
       v.file_type,
       v.version,
       pg_catalog.encode(v.content_hash, 'hex'),
       v.size_bytes,
       false,
       v.is_deleted,
       v.created_by,
       v.created_by,
       v.created_at,
       v.created_at
  FROM @extschema@.project_file_heads h
  JOIN versioned_internal.file_contents v
    ON v.project_id = h.project_id AND v.file_id = h.file_id
 WHERE h.is_deleted OR v.version <> h.version;
COMMENT ON VIEW @extschema@.project_files IS
    'One row per file version, under the file''s present path; is_current_version is true for exactly one version of a live file and for none of a deleted one. Row level security applies.';

ALTER VIEW @extschema@.project_files ALTER COLUMN file_type SET DEFAULT 'text';

CREATE FUNCTION @extschema@.insert_project_file() RETURNS trigger
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'insert_project_file_wrapper';
COMMENT ON FUNCTION @extschema@.insert_project_file() IS
    'Trigger of project_files: INSERT saves a file as atomic_upsert_project_file does. If version N is given, version N - 1 is expected. Errors: 22023, 42501, PT404, PT409, PT429, 40001.';
CREATE TRIGGER insert_project_file
    INSTEAD OF INSERT ON @extschema@.project_files
    FOR EACH ROW EXECUTE FUNCTION @extschema@.insert_project_file();

CREATE FUNCTION @extschema@.update_project_file() RETURNS trigger
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'update_project_file_wrapper';
COMMENT ON FUNCTION @extschema@.update_project_file() IS
    'Trigger of project_files: UPDATE of content, file_type and file_path saves the next version if the row is current, and still is after waiting for its lock. Errors: 22023, 42501, PT404, PT409, PT429, 40001.';
CREATE TRIGGER update_project_file
    INSTEAD OF UPDATE ON @extschema@.project_files
    FOR EACH ROW EXECUTE FUNCTION @extschema@.update_project_file();

CREATE FUNCTION @extschema@.remove_project_file() RETURNS trigger
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'remove_project_file_wrapper';
COMMENT ON FUNCTION @extschema@.remove_project_file() IS
    'Trigger of project_files: DELETE saves a tombstone as delete_project_file does if the row is current, and still is after waiting for its lock. Errors: 42501, PT404, PT409, PT429, 40001.';
CREATE TRIGGER remove_project_file
    INSTEAD OF DELETE ON @extschema@.project_files
    FOR EACH ROW EXECUTE FUNCTION @extschema@.remove_project_file();

-- file_functions.sql

-- Functions that save, change and read files.

CREATE FUNCTION @extschema@.atomic_upsert_project_file(
    project_uuid     uuid,
    p_file_path      text,
    p_content        text,
    p_file_type      text,
    expected_version integer DEFAULT NULL
) RETURNS @extschema@.project_files
    LANGUAGE c VOLATILE PARALLEL UNSAFE COST 100
    AS 'MODULE_PATHNAME', 'atomic_upsert_project_file_wrapper';
COMMENT ON FUNCTION @extschema@.atomic_upsert_project_file(uuid, text, text, text, integer) IS
    'Saves a file as its next version. expected_version: NULL, last writer wins; N, the current version must be N; 0, the file must not exist. Content and type equal to the current ones are not saved again. A save sent twice returns the version of the first one. Errors: 22023, 42501, PT404, PT409, PT429, 40001.';

CREATE FUNCTION @extschema@.upsert_project_file(
    project_uuid     uuid,
    p_file_path      text,
    p_content        text,
    p_file_type      text,
    expected_version integer DEFAULT NULL
) RETURNS json
    LANGUAGE c VOLATILE PARALLEL UNSAFE COST 100
    AS 'MODULE_PATHNAME', 'upsert_project_file_wrapper';
COMMENT ON FUNCTION @extschema@.upsert_project_file(uuid, text, text, text, integer) IS
    'Like atomic_upsert_project_file, but returns errors instead of raising them: {"success": true, "data": {id, file_path, version, content_hash, updated_at, is_current_version}} or {"success": false, "error": {code, message, retry_suggested, current_version}}. code: VERSION_CONFLICT, RATE_LIMIT_EXCEEDED, AUTHENTICATION_REQUIRED, FORBIDDEN, NOT_FOUND, INVALID_INPUT, RETRY; anything else is raised.';

CREATE FUNCTION @extschema@.atomic_upsert_project_files(p_project_id uuid, p_files jsonb)
    RETURNS SETOF @extschema@.project_files
    LANGUAGE c VOLATILE PARALLEL UNSAFE COST 100 ROWS 50
    AS 'MODULE_PATHNAME', 'atomic_upsert_project_files_wrapper';
COMMENT ON FUNCTION @extschema@.atomic_upsert_project_files(uuid, jsonb) IS
    'Saves and deletes many files, or none. p_files: an array of {file_path, content, file_type, expected_version?, delete?}, each path once, at most 10000. Returns rows in the same order. Batches never deadlock with one another. DETAIL of PT409 lists up to 50 conflicts and their number as conflict_count. Errors: 22023, 42501, PT404, PT409, PT429, 40001.';

CREATE FUNCTION @extschema@.delete_project_file(
    p_project_id       uuid,
    p_file_path        text,
    p_expected_version integer DEFAULT NULL
) RETURNS @extschema@.project_files
    LANGUAGE c VOLATILE PARALLEL UNSAFE COST 100
    AS 'MODULE_PATHNAME', 'delete_project_file_wrapper';
COMMENT ON FUNCTION @extschema@.delete_project_file(uuid, text, integer) IS
    'Deletes a file by saving a tombstone as its next version; the history remains. A deletion sent twice with the expected version returns the same tombstone. Errors: 22023, 42501, PT404, PT409, PT429, 40001.';

CREATE FUNCTION @extschema@.move_project_file(
    p_project_id       uuid,
    p_from_path        text,
    p_to_path          text,
    p_expected_version integer DEFAULT NULL
) RETURNS @extschema@.project_files
    LANGUAGE c VOLATILE PARALLEL UNSAFE COST 100
    AS 'MODULE_PATHNAME', 'move_project_file_wrapper';
COMMENT ON FUNCTION @extschema@.move_project_file(uuid, text, text, integer) IS
    'Renames a file as its next version; its history follows. PT409 if a live file has the new path. A move sent twice with the expected version returns the version of the first one. Errors: 22023, 42501, PT404, PT409, PT429, 40001.';

CREATE FUNCTION @extschema@.revert_project_file(
    p_project_id       uuid,
    p_file_path        text,
    p_to_version       integer,
    p_expected_version integer DEFAULT NULL
) RETURNS @extschema@.project_files
    LANGUAGE c VOLATILE PARALLEL UNSAFE COST 100
    AS 'MODULE_PATHNAME', 'revert_project_file_wrapper';
COMMENT ON FUNCTION @extschema@.revert_project_file(uuid, text, integer, integer) IS
    'Saves the content and type of an old version as the file''s next version; this also brings back a deleted file. Errors: 22023 (that version is a deletion), 42501, PT404, PT409, PT429, 40001, XX001.';

CREATE FUNCTION @extschema@.merge_project_file(
    p_project_id   uuid,
    p_file_path    text,
    p_content      text,
    p_base_version integer,
    p_file_type    text DEFAULT NULL
) RETURNS TABLE (
    version       integer,
    merged        boolean,
    has_conflicts boolean,
    content       text
)
    LANGUAGE c VOLATILE PARALLEL UNSAFE COST 100 ROWS 1
    AS 'MODULE_PATHNAME', 'merge_project_file_wrapper';
COMMENT ON FUNCTION @extschema@.merge_project_file(uuid, text, text, integer, text) IS
    'Saves an edit of version p_base_version (0: a new file) together with what others have saved since, merged line by line as git merge-file does. With conflicts it saves nothing: content then has both sides between diff3 markers, and version is the base for the resolved text. p_file_type NULL keeps the type. Errors: 22023 (also if more lines differ than pg_versioned.max_compared_lines), 42501, PT404, PT409 (the file was deleted), PT429, 40001, XX001.';

CREATE FUNCTION @extschema@.get_current_project_files(project_uuid uuid)
    RETURNS TABLE (
        file_path    text,
        content      text,
        file_type    text,
        version      integer,
        content_hash text,
        updated_at   timestamptz
    )
    LANGUAGE c STABLE PARALLEL RESTRICTED COST 1000 ROWS 100
    AS 'MODULE_PATHNAME', 'get_current_project_files_wrapper';
COMMENT ON FUNCTION @extschema@.get_current_project_files(uuid) IS
    'All live files of a project with their content, ordered by path. Errors: 22023, 42501, PT404, XX001.';

CREATE FUNCTION @extschema@.get_project_file(
    p_project_id uuid,
    p_file_path  text,
    p_version    integer DEFAULT NULL
) RETURNS @extschema@.project_files
    LANGUAGE c STABLE PARALLEL RESTRICTED COST 100
    AS 'MODULE_PATHNAME', 'get_project_file_wrapper';
COMMENT ON FUNCTION @extschema@.get_project_file(uuid, text, integer) IS
    'The current version of a file, or its version N (also of a deleted file). Errors: 22023, 42501, PT404, XX001.';

CREATE FUNCTION @extschema@.diff_project_file(
    p_project_id   uuid,
    p_file_path    text,
    p_from_version integer,
    p_to_version   integer DEFAULT NULL
) RETURNS text
    LANGUAGE c STABLE PARALLEL RESTRICTED COST 100
    AS 'MODULE_PATHNAME', 'diff_project_file_wrapper';
COMMENT ON FUNCTION @extschema@.diff_project_file(uuid, text, integer, integer) IS
    'Unified diff between two versions of a file (NULL: its newest), with the paths they were saved under, in the form that git apply accepts; empty if they are equal. Errors: 22023 (also if more lines differ than pg_versioned.max_compared_lines), 42501, PT404, XX001.';

CREATE FUNCTION @extschema@.get_project_changes(
    p_project_id uuid,
    p_after      text    DEFAULT NULL,
    p_limit      integer DEFAULT 100
) RETURNS TABLE (
        cursor       text,
        file_id      uuid,
        version      integer,
        file_path    text,
        file_type    text,
        content_hash text,
        size_bytes   integer,
        is_deleted   boolean,
        created_by   uuid,
        created_at   timestamptz
    )
    LANGUAGE c STABLE PARALLEL RESTRICTED COST 100 ROWS 100
    AS 'MODULE_PATHNAME', 'get_project_changes_wrapper';
COMMENT ON FUNCTION @extschema@.get_project_changes(uuid, text, integer) IS
    'The change feed: committed file versions after a cursor (NULL: from the beginning), in an order in which none ever appears before one already read. Poll with the last row''s cursor. A version appears once every transaction of the cluster that started writing before it has ended; two versions of a file may arrive in reverse order, so keep the greater number. Errors: 22023 (also for a cursor of another cluster), 42501, PT404.';

CREATE FUNCTION @extschema@.get_project_file_history(
    p_project_id     uuid,
    p_file_path      text,
    p_limit          integer DEFAULT 50,
    p_before_version integer DEFAULT NULL
) RETURNS TABLE (
        version            integer,
        file_path          text,
        file_type          text,
        content_hash       text,
        size_bytes         integer,
        is_current_version boolean,
        is_deleted         boolean,
        created_by         uuid,
        created_at         timestamptz
    )
    LANGUAGE c STABLE PARALLEL RESTRICTED COST 100 ROWS 50
    AS 'MODULE_PATHNAME', 'get_project_file_history_wrapper';
COMMENT ON FUNCTION @extschema@.get_project_file_history(uuid, text, integer, integer) IS
    'A file''s versions, newest first, each with the path it was saved under; the next page starts before the last version seen. Errors: 22023, 42501, PT404.';

-- limits.sql

-- How often an actor may save.

-- Unlogged: a crash only loses who has saved how much. Not unique: a saver that finds the slot taken adds another.
CREATE UNLOGGED TABLE @extschema@.rate_limits (
    project_id uuid        NOT NULL,
    actor      uuid        NOT NULL,
    paid_off   timestamptz NOT NULL
);
CREATE INDEX rate_limits_project_id_actor ON @extschema@.rate_limits (project_id, actor);
COMMENT ON TABLE @extschema@.rate_limits IS
    'How much of pg_versioned.save_rate and pg_versioned.save_burst each actor has used in a project, in one row or several. It is safe to empty this table.';
COMMENT ON COLUMN @extschema@.rate_limits.paid_off IS
    'When the saves made so far will be paid off at the allowed rate; the latest of an actor''s rows counts.';

-- integrity.sql

-- Checking stored data.

CREATE FUNCTION @extschema@.check_project_integrity(p_project_id uuid DEFAULT NULL)
    RETURNS TABLE (
        project_id uuid,
        file_path  text,
        version    integer,
        problem    text,
        detail     text
    )
    LANGUAGE c STABLE PARALLEL RESTRICTED COST 1000 ROWS 1
    AS 'MODULE_PATHNAME', 'check_project_integrity_wrapper';
COMMENT ON FUNCTION @extschema@.check_project_integrity(uuid) IS
    'One row per problem in the stored data of a project (NULL: of all projects, for privileged callers), none if it is sound. problem: version_gap, duplicate_version, second_head, head_mismatch, orphan, out_of_order, base_missing, undecodable, hash_mismatch. Reads and decodes every version. Errors: 42501, PT404.';

-- retention.sql

-- Removing old file versions.

CREATE FUNCTION @extschema@.prune_project_history(
    p_project_id      uuid,
    p_file_path       text DEFAULT NULL,
    p_keep_last       integer DEFAULT NULL,
    p_keep_newer_than interval DEFAULT NULL,
    p_dry_run         boolean DEFAULT true
) RETURNS TABLE (
        file_path        text,
        removed_versions integer[],
        bytes_freed      bigint
    )
    LANGUAGE c VOLATILE PARALLEL UNSAFE COST 100 ROWS 100
    AS 'MODULE_PATHNAME', 'prune_project_history_wrapper';
COMMENT ON FUNCTION @extschema@.prune_project_history(uuid, text, integer, interval, boolean) IS
    'Removes file versions, of one file or of all, that are not current, not needed by any project version''s snapshot, not among the last p_keep_last of their file and not newer than p_keep_newer_than. The numbers of other versions do not change. Returns one row per file that loses versions, with the bytes of stored content freed; with p_dry_run nothing changes. Errors: 22023, 42501, PT404, 40001, XX001.';

-- monitoring.sql

-- Views for monitoring: how much space projects take, how much is saved, and who waits for whom.

CREATE VIEW @extschema@.project_storage WITH (security_invoker = true) AS
SELECT h.project_id,
       pg_catalog.count(DISTINCT h.file_id) AS files,
       pg_catalog.count(*) AS versions,
       pg_catalog.sum(v.size_bytes)::bigint AS content_bytes,
       pg_catalog.sum(COALESCE(pg_catalog.octet_length(v.stored), 0))::bigint AS stored_bytes,
       pg_catalog.round(pg_catalog.sum(v.size_bytes)::numeric
                        OPERATOR(pg_catalog./) NULLIF(pg_catalog.sum(pg_catalog.octet_length(v.stored)), 0), 1) AS ratio
  FROM @extschema@.project_file_heads h
  JOIN @extschema@.project_file_versions v
    ON v.project_id OPERATOR(pg_catalog.=) h.project_id AND v.file_id OPERATOR(pg_catalog.=) h.file_id
 GROUP BY h.project_id;
COMMENT ON VIEW @extschema@.project_storage IS
    'Space taken by the files of a project: bytes of the contents of all versions, bytes stored for them, and the ratio of the two, not counting other columns and indexes. Row level security applies.';

CREATE VIEW @extschema@.file_operation_metrics WITH (security_invoker = true) AS
SELECT pg_catalog.date_trunc('hour', o.created_at, 'UTC') AS hour,
       o.project_id,
       pg_catalog.count(*) AS operations,
       pg_catalog.count(*) FILTER (WHERE o.is_create) AS creates,
       pg_catalog.count(*) FILTER (WHERE NOT (o.is_create OR o.is_deleted)) AS updates,
       pg_catalog.count(*) FILTER (WHERE o.is_deleted) AS deletes,
       pg_catalog.round(pg_catalog.avg(o.size_bytes) FILTER (WHERE NOT o.is_deleted)) AS average_size,
       pg_catalog.max(o.version) AS highest_version
  FROM (SELECT v.project_id, v.created_at, v.size_bytes, v.version, v.is_deleted,
               NOT v.is_deleted AND COALESCE(pg_catalog.lag(v.is_deleted) OVER history, v.version = 1) AS is_create
          FROM @extschema@.project_file_versions v
        WINDOW history AS (PARTITION BY v.project_id, v.file_id ORDER BY v.version)) o
 GROUP BY 1, 2;
COMMENT ON VIEW @extschema@.file_operation_metrics IS
    'File versions saved per hour (UTC) and project: all, first ones and those after a deletion (creates), deletions, the others (updates, moves included), average bytes of content, highest version number. Pruned versions are not counted. Row level security applies.';

CREATE VIEW @extschema@.versioning_locks WITH (security_invoker = true) AS
WITH locks AS (
    SELECT l.pid, l.mode, l.granted, l.waitstart, (l.classid::bigint << 32) | l.objid::bigint AS key
      FROM pg_catalog.pg_locks l
      JOIN pg_catalog.pg_database d ON d.oid = l.database AND d.datname = pg_catalog.current_database()
     WHERE l.locktype = 'advisory' AND l.objsubid = 1
), project_locks AS (
    SELECT l.pid, l.key, p.id AS project_id
      FROM locks l
      JOIN @extschema@.projects p ON @extschema@.project_lock_key(p.id) = l.key
)
SELECT l.pid,
       CASE WHEN p.project_id IS NULL THEN 'file' ELSE 'project' END AS kind,
       COALESCE(p.project_id, f.project_id) AS project_id,
       f.file_path,
       CASE l.mode WHEN 'ShareLock' THEN 'shared' ELSE 'exclusive' END AS mode,
       l.granted,
       COALESCE(l.waitstart, a.xact_start) AS since,
       CASE WHEN l.granted THEN '{}' ELSE pg_catalog.pg_blocking_pids(l.pid) END AS blocked_by,
       a.usename AS role,
       a.application_name,
       a.state
  FROM locks l
  LEFT JOIN project_locks p ON p.pid = l.pid AND p.key = l.key
  LEFT JOIN LATERAL (
       SELECT h.project_id, h.file_path
         FROM project_locks held
         JOIN @extschema@.project_file_heads h ON h.project_id = held.project_id
        WHERE p.key IS NULL AND held.pid = l.pid
          AND @extschema@.file_lock_key(h.project_id, h.file_path) = l.key
        LIMIT 1) f ON true
  LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
 WHERE EXISTS (SELECT FROM project_locks held WHERE held.pid = l.pid);
COMMENT ON VIEW @extschema@.versioning_locks IS
    'Who holds or waits for which project or file, since when (waiting: since the wait began; holding: since the transaction began), and which sessions are in the way. file_path is NULL for a file that is being created, and for other advisory locks of the same transactions. For roles that can read all projects and pg_stat_activity; reads every path of the locked projects.';

-- access.sql

-- Who may see what: row level security for reading. Writing goes only through the functions, which check rights
-- themselves.

CREATE FUNCTION @extschema@.current_actor() RETURNS uuid
    LANGUAGE c STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'current_actor_wrapper';
COMMENT ON FUNCTION @extschema@.current_actor() IS
    'The user on whose behalf the session acts: sub of the JWT claims where those count, else pg_versioned.actor_id; NULL when nobody is signed in.';

CREATE FUNCTION versioned_internal.can_read_project(p_project_id uuid) RETURNS boolean
    LANGUAGE c STABLE PARALLEL RESTRICTED COST 100
    AS 'MODULE_PATHNAME', 'can_read_project_wrapper';
COMMENT ON FUNCTION versioned_internal.can_read_project(uuid) IS
    'Whether the current actor is a member of a project, in any role. Used by the row level security policies.';

CREATE FUNCTION versioned_internal.readable_project_ids() RETURNS uuid[]
    LANGUAGE c STABLE PARALLEL RESTRICTED COST 1000
    AS 'MODULE_PATHNAME', 'readable_project_ids_wrapper';
COMMENT ON FUNCTION versioned_internal.readable_project_ids() IS
    'All projects the current actor is a member of; lets a listing of projects use the primary key.';

ALTER TABLE @extschema@.projects ENABLE ROW LEVEL SECURITY;
CREATE POLICY members_read ON @extschema@.projects FOR SELECT
    USING (id = ANY ((SELECT versioned_internal.readable_project_ids())::uuid[]));

ALTER TABLE @extschema@.project_members ENABLE ROW LEVEL SECURITY;
CREATE POLICY members_read ON @extschema@.project_members FOR SELECT
    USING (versioned_internal.can_read_project(project_id));

ALTER TABLE @extschema@.project_build_metrics ENABLE ROW LEVEL SECURITY;
CREATE POLICY members_read ON @extschema@.project_build_metrics FOR SELECT
    USING (versioned_internal.can_read_project(project_id));

ALTER TABLE @extschema@.project_ai_time_sessions ENABLE ROW LEVEL SECURITY;
CREATE POLICY members_read ON @extschema@.project_ai_time_sessions FOR SELECT
    USING (versioned_internal.can_read_project(project_id));

ALTER TABLE @extschema@.project_versions ENABLE ROW LEVEL SECURITY;
CREATE POLICY members_read ON @extschema@.project_versions FOR SELECT
    USING (versioned_internal.can_read_project(project_id));

ALTER TABLE @extschema@.project_file_heads ENABLE ROW LEVEL SECURITY;
CREATE POLICY members_read ON @extschema@.project_file_heads FOR SELECT
    USING (versioned_internal.can_read_project(project_id));

ALTER TABLE @extschema@.project_file_versions ENABLE ROW LEVEL SECURITY;
CREATE POLICY members_read ON @extschema@.project_file_versions FOR SELECT
    USING (versioned_internal.can_read_project(project_id));

-- No policies: only the extension's owner can read them.
ALTER TABLE @extschema@.project_idempotency_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE @extschema@.rate_limits ENABLE ROW LEVEL SECURITY;

-- Without these, pg_dump would omit all data.
SELECT pg_catalog.pg_extension_config_dump('@extschema@.projects', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.project_members', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.project_idempotency_keys', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.project_build_metrics', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.project_build_metrics_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.project_ai_time_sessions', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.project_versions', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.project_file_heads', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.project_file_versions', '');

-- privileges.sql

-- Who may call, read and write what.

-- What roles with access may do, by the names of schemas, tables, views and functions. What is not here is the owner's.
CREATE VIEW versioned_internal.api WITH (security_invoker = true) AS
SELECT a.name, a.privileges
  FROM (VALUES
    ('versioned_internal', 'USAGE'),
    ('project_files', 'SELECT, INSERT, UPDATE, DELETE'),
    ('projects', 'SELECT'),
    ('project_members', 'SELECT'),
    ('project_build_metrics', 'SELECT'),
    ('project_ai_time_sessions', 'SELECT'),
    ('project_versions', 'SELECT'),
    ('project_file_heads', 'SELECT'),
    ('project_file_versions', 'SELECT'),
    ('project_storage', 'SELECT'),
    ('file_operation_metrics', 'SELECT'),
    ('file_contents', 'SELECT'),
    ('generate_ulid', 'EXECUTE'),
    ('ulid_to_timestamp', 'EXECUTE'),
    ('ulid_to_uuid', 'EXECUTE'),
    ('uuid_to_ulid', 'EXECUTE'),
    ('is_ulid', 'EXECUTE'),
    ('owner_lock_key', 'EXECUTE'),
    ('project_lock_key', 'EXECUTE'),
    ('file_lock_key', 'EXECUTE'),
    ('create_complete_project', 'EXECUTE'),
    ('add_project_member', 'EXECUTE'),
    ('remove_project_member', 'EXECUTE'),
    ('delete_project', 'EXECUTE'),
    ('start_project_build', 'EXECUTE'),
    ('fail_project_build', 'EXECUTE'),
    ('start_ai_time_tracking', 'EXECUTE'),
    ('stop_ai_time_tracking', 'EXECUTE'),
    ('create_version_on_success', 'EXECUTE'),
    ('get_project_version_files', 'EXECUTE'),
    ('atomic_upsert_project_file', 'EXECUTE'),
    ('upsert_project_file', 'EXECUTE'),
    ('atomic_upsert_project_files', 'EXECUTE'),
    ('delete_project_file', 'EXECUTE'),
    ('move_project_file', 'EXECUTE'),
    ('revert_project_file', 'EXECUTE'),
    ('merge_project_file', 'EXECUTE'),
    ('get_current_project_files', 'EXECUTE'),
    ('get_project_file', 'EXECUTE'),
    ('get_project_file_history', 'EXECUTE'),
    ('diff_project_file', 'EXECUTE'),
    ('get_project_changes', 'EXECUTE'),
    ('check_project_integrity', 'EXECUTE'),
    ('prune_project_history', 'EXECUTE'),
    ('current_actor', 'EXECUTE'),
    ('can_read_project', 'EXECUTE'),
    ('readable_project_ids', 'EXECUTE'),
    ('stored_content', 'EXECUTE')
  ) AS a (name, privileges);
COMMENT ON VIEW versioned_internal.api IS
    'The privileges that grant_versioned_access grants, one row per object.';

CREATE VIEW versioned_internal.member_privileges WITH (security_invoker = true) AS
SELECT m.classid, m.objid, m.member, m.owner, m.acl, a.privileges AS api_privileges
  FROM (SELECT d.classid,
               d.objid,
               CASE WHEN n.oid IS NOT NULL THEN 'SCHEMA ' || pg_catalog.quote_ident(n.nspname)
                    WHEN p.oid IS NOT NULL THEN 'ROUTINE ' || d.objid::pg_catalog.regprocedure::text
                    WHEN c.relkind = 'S' THEN 'SEQUENCE ' || d.objid::pg_catalog.regclass::text
                    ELSE 'TABLE ' || d.objid::pg_catalog.regclass::text
               END AS member,
               COALESCE(c.relowner, p.proowner, n.nspowner) AS owner,
               COALESCE(c.relacl, p.proacl, n.nspacl,
                        CASE WHEN p.oid IS NOT NULL THEN pg_catalog.acldefault('f', p.proowner) END) AS acl,
               COALESCE(c.relname, p.proname, n.nspname)::text AS name,
               COALESCE(c.relnamespace, p.pronamespace, n.oid) IN (
                   x.extnamespace, 'versioned_internal'::pg_catalog.regnamespace) AS is_own
          FROM pg_catalog.pg_depend d
          JOIN pg_catalog.pg_extension x ON x.oid = d.refobjid AND x.extname = 'pg_versioned'
          LEFT JOIN pg_catalog.pg_class c
            ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND c.oid = d.objid
          LEFT JOIN pg_catalog.pg_proc p
            ON d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND p.oid = d.objid
          LEFT JOIN pg_catalog.pg_namespace n
            ON d.classid = 'pg_catalog.pg_namespace'::pg_catalog.regclass AND n.oid = d.objid
         WHERE d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
           AND d.deptype = 'e'
           AND (c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') OR p.oid IS NOT NULL OR n.oid IS NOT NULL)) m
  LEFT JOIN versioned_internal.api a ON a.name = m.name AND m.is_own;
COMMENT ON VIEW versioned_internal.member_privileges IS
    'The objects of the extension as GRANT and REVOKE name them, their privileges, and what grant_versioned_access grants (NULL: nothing).';

CREATE FUNCTION versioned_internal.grant_privileges(p_member text, p_privileges text, p_roles oid[]) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    v_role oid;
BEGIN
    FOREACH v_role IN ARRAY p_roles LOOP
        EXECUTE format('GRANT %s ON %s TO %s', p_privileges, p_member,
                       CASE v_role WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(v_role)) END);
    END LOOP;
END
$$;
COMMENT ON FUNCTION versioned_internal.grant_privileges(text, text, oid[]) IS
    'Grants privileges on an object, named as in member_privileges, to roles (0: PUBLIC). For install and upgrade scripts.';

CREATE FUNCTION versioned_internal.revoke_privileges(p_member text, p_roles oid[]) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    v_role oid;
BEGIN
    FOREACH v_role IN ARRAY p_roles LOOP
        EXECUTE format('REVOKE ALL ON %s FROM %s', p_member,
                       CASE v_role WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(v_role)) END);
    END LOOP;
END
$$;
COMMENT ON FUNCTION versioned_internal.revoke_privileges(text, oid[]) IS
    'Revokes all privileges on an object, named as in member_privileges, from roles (0: PUBLIC). For install and upgrade scripts.';

CREATE FUNCTION @extschema@.grant_versioned_access(p_role name) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    v_role oid := (SELECT oid FROM pg_roles WHERE rolname = p_role);
BEGIN
    IF p_role IS NULL THEN
        RAISE EXCEPTION 'p_role must not be null' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF v_role IS NULL THEN
        RAISE EXCEPTION 'role "%" does not exist', p_role USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- The schema is looked up, not substituted: ALTER SCHEMA, ... RENAME must not break this.
    PERFORM versioned_internal.grant_privileges('SCHEMA ' || extnamespace::regnamespace::text, 'USAGE', ARRAY[v_role])
       FROM pg_extension WHERE extname = 'pg_versioned';
    PERFORM versioned_internal.grant_privileges(member, api_privileges, ARRAY[v_role])
       FROM versioned_internal.member_privileges WHERE api_privileges IS NOT NULL;
END
$$;
COMMENT ON FUNCTION @extschema@.grant_versioned_access(name) IS
    'Lets a role read (under row level security), call the functions and write to project_files. For the owner of the extension. 22023 if there is no such role.';

-- The initial privileges of an object are those that CREATE EXTENSION or an update has granted. pg_dump takes it that the
-- extension grants them again wherever it is created, and writes out only what is different.
CREATE FUNCTION versioned_internal.set_initial_privileges(p_catalog regclass, p_object oid, p_acl aclitem[])
    RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    IF p_acl IS NULL THEN
        DELETE FROM pg_init_privs WHERE classoid = p_catalog AND objoid = p_object AND objsubid = 0;
    ELSE
        UPDATE pg_init_privs SET initprivs = p_acl
         WHERE classoid = p_catalog AND objoid = p_object AND objsubid = 0;
    END IF;
    -- From Postgres 17 on, roles that are among them cannot be dropped.
    DELETE FROM pg_shdepend d
     WHERE d.deptype = 'i'
       AND d.dbid = (SELECT b.oid FROM pg_database b WHERE b.datname = current_database())
       AND d.classid = p_catalog AND d.objid = p_object AND d.objsubid = 0
       AND NOT EXISTS (SELECT FROM aclexplode(p_acl) a WHERE d.refobjid IN (a.grantee, a.grantor));
END
$$;
COMMENT ON FUNCTION versioned_internal.set_initial_privileges(regclass, oid, aclitem[]) IS
    'Replaces the initial privileges of an object that has some (NULL: none). For install and upgrade scripts.';

CREATE FUNCTION versioned_internal.settle_privileges(p_functions regprocedure[], p_relations regclass[]) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    v_owner   oid := (SELECT extowner FROM pg_extension WHERE extname = 'pg_versioned');
    v_usual   oid[] := ARRAY(SELECT oid FROM pg_roles WHERE rolname IN ('authenticated', 'service_role'));
    v_roles   oid[];
    v_member  record;
    v_initial aclitem[];
BEGIN
    -- Functions act as their owner, so whoever upgrades does not become one. Sequences follow their tables.
    FOR v_member IN
        SELECT member FROM versioned_internal.member_privileges
         WHERE owner <> v_owner AND member NOT LIKE 'SEQUENCE %'
           AND (classid = 'pg_proc'::regclass AND objid = ANY (p_functions)
                OR classid = 'pg_class'::regclass AND objid = ANY (p_relations))
    LOOP
        EXECUTE format('ALTER %s OWNER TO %I', v_member.member, pg_get_userbyid(v_owner));
    END LOOP;

    -- Whoever uses the API has both of these.
    v_roles := ARRAY(
        SELECT a.grantee FROM versioned_internal.member_privileges m, aclexplode(m.acl) a
         WHERE m.classid = 'pg_proc'::regclass AND m.api_privileges IS NOT NULL AND a.grantee <> m.owner
           AND (SELECT p.proname FROM pg_proc p WHERE p.oid = m.objid) = 'atomic_upsert_project_file'
        INTERSECT
        SELECT a.grantee FROM versioned_internal.member_privileges m, aclexplode(m.acl) a
         WHERE m.classid = 'pg_class'::regclass AND m.api_privileges IS NOT NULL AND a.privilege_type = 'SELECT'
           AND (SELECT c.relname FROM pg_class c WHERE c.oid = m.objid) = 'project_files');

    FOR v_member IN
        SELECT m.*, ARRAY(SELECT DISTINCT a.grantee FROM aclexplode(m.acl) a WHERE a.grantee <> m.owner) AS others
          FROM (SELECT 'pg_proc'::regclass AS catalog, unnest(p_functions)::oid AS object
                UNION ALL
                SELECT 'pg_class', unnest(p_relations)) o
          LEFT JOIN versioned_internal.member_privileges m ON m.classid = o.catalog AND m.objid = o.object
    LOOP
        IF v_member.member IS NULL THEN
            RAISE EXCEPTION 'only functions, tables, views and sequences of pg_versioned have privileges to settle';
        END IF;
        PERFORM versioned_internal.revoke_privileges(v_member.member, v_member.others);
        CONTINUE WHEN v_member.api_privileges IS NULL;
        -- First as CREATE EXTENSION would have it, for pg_dump.
        PERFORM versioned_internal.grant_privileges(v_member.member, v_member.api_privileges, v_usual);
        v_initial := (SELECT initprivs FROM pg_init_privs
                       WHERE classoid = v_member.classid AND objoid = v_member.objid AND objsubid = 0);
        PERFORM versioned_internal.revoke_privileges(v_member.member, v_usual);
        PERFORM versioned_internal.grant_privileges(v_member.member, v_member.api_privileges, v_roles);
        PERFORM versioned_internal.set_initial_privileges(v_member.classid, v_member.objid, v_initial);
    END LOOP;
END
$$;
COMMENT ON FUNCTION versioned_internal.settle_privileges(regprocedure[], regclass[]) IS
    'For upgrade scripts, about the functions, tables, views and sequences that they create: gives them to the extension''s owner, revokes what default privileges have granted, and grants the API (see the view api) to every role that has it, that is, every role that has been granted EXECUTE on atomic_upsert_project_file and SELECT on project_files.';

-- After everything has been created: default privileges of the database may have granted privileges on it to any role.
SELECT versioned_internal.revoke_privileges(
           member, ARRAY(SELECT DISTINCT a.grantee FROM pg_catalog.aclexplode(acl) a WHERE a.grantee <> owner))
  FROM versioned_internal.member_privileges;

DO $$
DECLARE
    v_schema  oid;
    v_owner   oid;
    v_initial aclitem[];
BEGIN
    SELECT n.oid, n.nspowner, i.initprivs INTO STRICT v_schema, v_owner, v_initial
      FROM pg_catalog.pg_extension x
      JOIN pg_catalog.pg_namespace n ON n.oid = x.extnamespace
      LEFT JOIN pg_catalog.pg_init_privs i
        ON i.classoid = 'pg_catalog.pg_namespace'::pg_catalog.regclass AND i.objoid = n.oid AND i.objsubid = 0
     WHERE x.extname = 'pg_versioned';
    PERFORM @extschema@.grant_versioned_access(r.rolname)
       FROM pg_catalog.pg_roles r WHERE r.rolname IN ('authenticated', 'service_role');
    -- The schema is the user's. Only these two privileges on it are the extension's work.
    v_initial := COALESCE(v_initial, pg_catalog.acldefault('n', v_owner) OPERATOR(pg_catalog.||) ARRAY(
        SELECT pg_catalog.makeaclitem(r.oid, v_owner, 'USAGE', false)
          FROM pg_catalog.pg_roles r WHERE r.rolname IN ('authenticated', 'service_role')));
    PERFORM versioned_internal.set_initial_privileges('pg_catalog.pg_namespace', v_schema, v_initial);
END
$$;
