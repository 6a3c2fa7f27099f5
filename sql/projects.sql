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
    config_updated_at    timestamptz,
    listed_snapshot_seq  integer     NOT NULL DEFAULT 0,
    PRIMARY KEY (id)
) WITH (fillfactor = 70);
CREATE INDEX projects_owner_id ON @extschema@.projects (owner_id);
COMMENT ON TABLE @extschema@.projects IS
    'One row per project. Written only by the functions; current_version_id is NULL until a build has succeeded.';
COMMENT ON COLUMN @extschema@.projects.snapshot_seq IS
    'Stamp for file versions that are saved now. Taking a snapshot, for a project version or a build, increments it.';
COMMENT ON COLUMN @extschema@.projects.listed_snapshot_seq IS
    'The last snapshot whose files are listed in project_file_snapshots.';
COMMENT ON COLUMN @extschema@.projects.config_updated_at IS
    'When update_project_config last changed config; NULL: never, then created_at counts.';

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

CREATE FUNCTION @extschema@.update_project_config(
    p_project_id          uuid,
    p_config              jsonb,
    p_expected_updated_at timestamptz DEFAULT NULL
) RETURNS @extschema@.projects
    LANGUAGE c VOLATILE PARALLEL UNSAFE COST 100
    AS 'MODULE_PATHNAME', 'update_project_config_wrapper';
COMMENT ON FUNCTION @extschema@.update_project_config(uuid, jsonb, timestamptz) IS
    'Merges a JSON object into a project''s config (RFC 7396: null removes a key, objects are merged, any other value replaces); returns the project. PT409 if config_updated_at is not the expected one and the merge would change something. Errors: 22023, 42501, PT404, PT409, 40001.';

CREATE FUNCTION @extschema@.get_project_state(p_project_id uuid) RETURNS TABLE (
    project_id               uuid,
    name                     text,
    framework                text,
    owner_id                 uuid,
    role                     text,
    config                   jsonb,
    config_updated_at        timestamptz,
    build_status             text,
    running_build_id         text,
    running_build_started_at timestamptz,
    last_build_started       timestamptz,
    last_build_completed     timestamptz,
    current_version_id       text,
    current_semver           text,
    published_version_id     text,
    published_semver         text,
    published_at             timestamptz,
    created_at               timestamptz,
    updated_at               timestamptz
)
    LANGUAGE c STABLE PARALLEL RESTRICTED COST 100 ROWS 1
    AS 'MODULE_PATHNAME', 'get_project_state_wrapper';
COMMENT ON FUNCTION @extschema@.get_project_state(uuid) IS
    'What a page about a project needs: name, config, the caller''s role, the running build, the current and the published version. Errors: 22023, 42501, PT404.';

CREATE FUNCTION @extschema@.delete_project(p_project_id uuid) RETURNS boolean
    LANGUAGE c VOLATILE PARALLEL UNSAFE COST 100
    AS 'MODULE_PATHNAME', 'delete_project_wrapper';
COMMENT ON FUNCTION @extschema@.delete_project(uuid) IS
    'Permanently deletes a project with all its files, history, versions and builds; returns true. Owners only. Errors: 22023, 42501, PT404, 40001.';
