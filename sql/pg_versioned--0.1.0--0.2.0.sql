\echo Use "ALTER EXTENSION pg_versioned UPDATE TO '0.2.0'" to load this file. \quit

-- Every change that was made to the files in sql/ since 0.1.0. Tables are altered in the order in which they are created:
-- saves lock them in that order.
SET LOCAL search_path = pg_catalog, pg_temp;

ALTER TABLE @extschema@.projects
    ADD COLUMN config_updated_at timestamptz,
    ADD COLUMN listed_snapshot_seq integer NOT NULL DEFAULT 0;
COMMENT ON COLUMN @extschema@.projects.snapshot_seq IS
    'Stamp for file versions that are saved now. Taking a snapshot, for a project version or a build, increments it.';
COMMENT ON COLUMN @extschema@.projects.listed_snapshot_seq IS
    'The last snapshot whose files are listed in project_file_snapshots.';
COMMENT ON COLUMN @extschema@.projects.config_updated_at IS
    'When update_project_config last changed config; NULL: never, then created_at counts.';

ALTER TABLE @extschema@.project_build_metrics
    ADD COLUMN cut_at timestamptz,
    ADD COLUMN cut_snapshot_seq integer;
COMMENT ON COLUMN @extschema@.project_build_metrics.cut_at IS
    'When cut_project_build fixed the files of the version that the build may become; NULL if it did not.';
COMMENT ON COLUMN @extschema@.project_build_metrics.cut_snapshot_seq IS
    'The snapshot that cut_project_build fixed.';

ALTER TABLE @extschema@.project_versions
    ADD COLUMN snapshot_listed boolean NOT NULL DEFAULT false,
    ADD COLUMN pruned_at timestamptz;
COMMENT ON COLUMN @extschema@.project_versions.published_at IS
    'When the version was last published; it stays when the version is unpublished.';
COMMENT ON COLUMN @extschema@.project_versions.snapshot_listed IS
    'Whether project_file_snapshots lists the files of the snapshot; otherwise they are found among all file versions.';
COMMENT ON COLUMN @extschema@.project_versions.pruned_at IS
    'When prune_project_history removed files of the snapshot, which it does only for deleted versions; created_at if the version was imported, without files; else NULL.';

-- For get_project_version_history: any list, and the usual one without checkpoints and deleted versions. On a hash, so that
-- nobody looks up a version in them who knows its project and its id.
CREATE INDEX project_versions_history ON @extschema@.project_versions
    (pg_catalog.uuid_hash_extended(project_id, 0), created_at, version_id)
    INCLUDE (project_id, change_type, is_published, soft_deleted_at);
CREATE INDEX project_versions_shown ON @extschema@.project_versions
    (pg_catalog.uuid_hash_extended(project_id, 0), created_at, version_id) INCLUDE (project_id, is_published)
    WHERE change_type <> 'patch' AND soft_deleted_at IS NULL;

-- Without it, reading a snapshot would skip all later versions of each file. Its key begins with project_id for the
-- foreign key, which lets a library that does not know the table delete a project.
CREATE TABLE @extschema@.project_file_snapshots (
    project_id   uuid    NOT NULL REFERENCES @extschema@.projects (id) ON DELETE CASCADE,
    file_id      uuid    NOT NULL,
    snapshot_seq integer NOT NULL,
    version      integer NOT NULL,
    PRIMARY KEY (project_id, file_id, snapshot_seq) INCLUDE (version)
);
COMMENT ON TABLE @extschema@.project_file_snapshots IS
    'What snapshots hold: one row per snapshot and file that changed since the snapshot before, with the file''s newest version then. In later snapshots the file is the same until its next row.';

ALTER TABLE @extschema@.project_file_snapshots ENABLE ROW LEVEL SECURITY;
CREATE POLICY members_read ON @extschema@.project_file_snapshots FOR SELECT
    USING (versioned_internal.can_read_project(project_id));
SELECT pg_catalog.pg_extension_config_dump('@extschema@.project_file_snapshots', '');

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

-- These three by other symbols: a session with the library of 0.1.0 would not know of cuts, nor that files of a version
-- can be pruned.
CREATE OR REPLACE FUNCTION @extschema@.create_version_on_success(
    p_project_id uuid,
    p_build_id   text,
    p_result     jsonb DEFAULT '{}'
) RETURNS @extschema@.project_versions
    LANGUAGE c VOLATILE PARALLEL UNSAFE COST 100
    AS 'MODULE_PATHNAME', 'create_version_from_cut_wrapper';
COMMENT ON FUNCTION @extschema@.create_version_on_success(uuid, text, jsonb) IS
    'Creates the reserved version of a build: numbers it, takes a snapshot of the files unless cut_project_build has, closes the build. Idempotent per build. Lines of files with more lines to compare than pg_versioned.max_compared_lines count as replaced, and a NOTICE says so. Errors: 22023 (unknown or invalid keys of p_result), 42501, PT404, PT409 (the build failed or was abandoned), 40001.';

CREATE OR REPLACE FUNCTION @extschema@.get_project_version_files(p_project_id uuid, p_version_id text)
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

CREATE OR REPLACE FUNCTION @extschema@.prune_project_history(
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
    AS 'MODULE_PATHNAME', 'prune_between_cuts_wrapper';
COMMENT ON FUNCTION @extschema@.prune_project_history(uuid, text, integer, interval, boolean) IS
    'Removes file versions, of one file or of all, that are not current, not needed by the snapshot of any project version or active build, not among the last p_keep_last of their file and not newer than p_keep_newer_than. Snapshots of deleted project versions are kept only if those were deleted within p_keep_newer_than; one that loses files can no longer be restored. The numbers of other versions do not change. Returns one row per file that loses versions, with the bytes of stored content freed; with p_dry_run nothing changes. Errors: 22023, 42501, PT404, 40001, XX001.';

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

COMMENT ON FUNCTION @extschema@.check_project_integrity(uuid) IS
    'One row per problem in the stored data of a project (NULL: of all projects, for privileged callers), none if it is sound. problem: version_gap, duplicate_version, second_head, head_mismatch, orphan, out_of_order, snapshot_mismatch, base_missing, undecodable, hash_mismatch. Reads and decodes every version. Errors: 42501, PT404.';

CREATE FUNCTION @extschema@.get_project_fast_export(p_project_id uuid, p_authors jsonb DEFAULT '{}')
    RETURNS SETOF text
    LANGUAGE c STABLE PARALLEL RESTRICTED COST 1000 ROWS 1000
    AS 'MODULE_PATHNAME', 'get_project_fast_export_wrapper';
COMMENT ON FUNCTION @extschema@.get_project_fast_export(uuid, jsonb) IS
    'The history of a project''s files as a stream for git fast-import, row by row: file versions as commits on the branch main, project versions that are neither deleted nor pruned as annotated tags. p_authors names users, {"<user id>": "Name <email>"}. Errors: 22023, 42501, PT404, PT409 (a file has the path of another one''s directory), XX001.';

CREATE VIEW @extschema@.project_ai_time WITH (security_invoker = true) AS
SELECT b.project_id,
       b.build_id,
       CASE b.status WHEN 'deployed' THEN b.version_id END AS version_id,
       pg_catalog.count(s.session_id) AS sessions,
       pg_catalog.count(s.session_id) FILTER (WHERE s.ended_at IS NULL) AS open_sessions,
       COALESCE(pg_catalog.sum(s.duration_ms), 0)::bigint AS ai_duration_ms
  FROM @extschema@.project_build_metrics b
  LEFT JOIN @extschema@.project_ai_time_sessions s
    ON s.project_id OPERATOR(pg_catalog.=) b.project_id AND s.build_id OPERATOR(pg_catalog.=) b.build_id
 GROUP BY b.project_id, b.build_id, b.status, b.version_id;
COMMENT ON VIEW @extschema@.project_ai_time IS
    'AI time billed to a build: its sessions, how many of them are open, and the milliseconds of the others. version_id is NULL unless the build has become a version. Row level security applies.';

CREATE VIEW @extschema@.project_build_summary WITH (security_invoker = true) AS
SELECT (b.started_at AT TIME ZONE 'UTC')::date AS day,
       b.project_id,
       pg_catalog.count(*) AS builds,
       pg_catalog.count(*) FILTER (WHERE b.status = 'started') AS running,
       pg_catalog.count(*) FILTER (WHERE b.status = 'deployed') AS succeeded,
       pg_catalog.count(*) FILTER (WHERE b.status = 'failed') AS failed,
       pg_catalog.count(*) FILTER (WHERE b.status = 'abandoned') AS abandoned,
       pg_catalog.round(pg_catalog.avg((b.status = 'deployed')::integer) FILTER (WHERE b.status <> 'started'), 4)
           AS success_rate,
       pg_catalog.percentile_cont(0.5) WITHIN GROUP (ORDER BY b.total_duration_ms)
           FILTER (WHERE b.status IN ('deployed', 'failed')) AS median_duration_ms,
       pg_catalog.percentile_cont(0.95) WITHIN GROUP (ORDER BY b.total_duration_ms)
           FILTER (WHERE b.status IN ('deployed', 'failed')) AS p95_duration_ms,
       pg_catalog.sum(t.ai_duration_ms)::bigint AS ai_duration_ms
  FROM @extschema@.project_build_metrics b
  JOIN @extschema@.project_ai_time t
    ON t.project_id OPERATOR(pg_catalog.=) b.project_id AND t.build_id OPERATOR(pg_catalog.=) b.build_id
 GROUP BY 1, 2;
COMMENT ON VIEW @extschema@.project_build_summary IS
    'Builds started per day (UTC) and project: how many, in which states, the share of those that ended which succeeded, median and 95th percentile of the durations of those that succeeded or failed (when a build was abandoned says nothing about how long it took), AI time of all. Row level security applies.';

-- Tables of versions that people have already: what is wrong with them.

CREATE FUNCTION @extschema@.versioning_report(
    p_table          regclass,
    p_parent_columns text[],
    p_version_column text,
    p_current_column text DEFAULT NULL,
    p_order_columns  text[] DEFAULT NULL
) RETURNS TABLE (
        code        text,
        severity    text,
        description text,
        rows        bigint,
        example     jsonb,
        fix         text
    )
    LANGUAGE c STABLE PARALLEL UNSAFE COST 100 ROWS 10
    AS 'MODULE_PATHNAME', 'versioning_report_wrapper';
COMMENT ON FUNCTION @extschema@.versioning_report(regclass, text[], text, text, text[]) IS
    'What is wrong with a table that holds versions of something, a row each; no row if it is sound. p_parent_columns name what the versions are of, p_current_column the flag of the current version, p_order_columns the true order. severity is error, warning or info; rows is how many rows are concerned, example one of them, fix SQL that can be run as it is, in the order of the rows. Only reads. For the owner of the table. Errors: 22023, 42501.';

-- Repairing the numbers of tables that people have already.

CREATE FUNCTION @extschema@.renumber_versions(
    p_table          regclass,
    p_parent_columns text[],
    p_version_column text,
    p_order_columns  text[],
    p_current_column text DEFAULT NULL,
    p_dry_run        boolean DEFAULT true
) RETURNS TABLE (
        row_key     jsonb,
        parent      jsonb,
        old_version bigint,
        new_version bigint,
        old_current boolean,
        new_current boolean,
        backup      text
    )
    LANGUAGE c VOLATILE PARALLEL UNSAFE COST 100 ROWS 1000
    AS 'MODULE_PATHNAME', 'renumber_versions_wrapper';
COMMENT ON FUNCTION @extschema@.renumber_versions(regclass, text[], text, text[], text, boolean) IS
    'Numbers the rows of each parent 1, 2, 3 ... in the order of p_order_columns (nulls first, ties by primary key), and sees to it that exactly one is current: the newest of several that are, or the newest of all. Every other column keeps its value, and no trigger of the user fires. Returns one row per row that changes; with p_dry_run nothing does. Otherwise writers are locked out, and the changed rows'' old numbers and flags are kept in the table backup, from which undo_renumber puts them back. For the table''s owner. Errors: 22023, 25001, 42501, 55000, 55006.';

CREATE FUNCTION @extschema@.undo_renumber(p_backup regclass)
    RETURNS TABLE (
        row_key     jsonb,
        old_version bigint,
        new_version bigint,
        restored    boolean,
        reason      text
    )
    LANGUAGE c VOLATILE PARALLEL UNSAFE COST 100 ROWS 1000
    AS 'MODULE_PATHNAME', 'undo_renumber_wrapper';
COMMENT ON FUNCTION @extschema@.undo_renumber(regclass) IS
    'Gives rows the numbers and flags back that renumber_versions changed, from the backup that it made. Returns one row per row of the backup, with the number that it had and the one that it has now. Rows that have been deleted or changed since are left alone, and so are all rows of a parent for which a unique index forbids the old numbers: restored is false, and reason says why. For the owner of both tables. Errors: 22023, 25001, 42501, 55000, 55006.';

-- Tables of users whose versions are numbered by triggers.

-- In a schema whose name never changes: dumps of users' tables refer to it.
CREATE FUNCTION versioned_internal.number_version() RETURNS trigger
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'number_version_wrapper';
COMMENT ON FUNCTION versioned_internal.number_version() IS
    'Trigger function of tables with versioning enabled: gives an inserted row its number, flag and link, and refuses changes of parent and number. Errors: 22023, 40001, 55000, PT409.';

CREATE FUNCTION versioned_internal.settle_version() RETURNS trigger
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'settle_version_wrapper';
COMMENT ON FUNCTION versioned_internal.settle_version() IS
    'Trigger function of tables with versioning enabled: after a row was inserted, changed or deleted, makes the flag and the link of other rows follow. Errors: 09000, 22023, 40001, 55000.';

CREATE FUNCTION @extschema@.enable_versioning(
    p_table              regclass,
    p_parent_columns     text[],
    p_version_column     text,
    p_current_column     text DEFAULT NULL,
    p_previous_id_column text DEFAULT NULL,
    p_on_explicit        text DEFAULT 'renumber'
) RETURNS TABLE (
        action    text,
        statement text
    )
    LANGUAGE c VOLATILE PARALLEL UNSAFE COST 100 ROWS 10
    AS 'MODULE_PATHNAME', 'enable_versioning_wrapper';
COMMENT ON FUNCTION @extschema@.enable_versioning(regclass, text[], text, text, text, text) IS
    'Makes every way to insert rows into a table of the caller''s race-free: triggers number the versions of each parent 1, 2, 3 ..., keep one row of each current, and link each row to the one before it. Before that it removes a default and redundant constraints and adds what is missing. Returns the statements that it has run, none if nothing had to be changed. A number that is not the next one is replaced (p_on_explicit ''renumber'') or refused with PT409 (''error''). Errors: 22023, 25001, 25006, 42501, 55000.';

CREATE FUNCTION @extschema@.disable_versioning(p_table regclass) RETURNS TABLE (
        action    text,
        statement text
    )
    LANGUAGE c VOLATILE PARALLEL UNSAFE COST 100 ROWS 10
    AS 'MODULE_PATHNAME', 'disable_versioning_wrapper';
COMMENT ON FUNCTION @extschema@.disable_versioning(regclass) IS
    'Removes the triggers of enable_versioning from a table of the caller''s, and makes unique again the indexes on the flag that it has found unique. What it has added otherwise stays. Returns the statements that it has run. Errors: 22023, 25001, 25006, 42501.';

CREATE VIEW @extschema@.versioned_tables WITH (security_invoker = true) AS
SELECT t.tgrelid::pg_catalog.regclass AS table_name,
       ARRAY(SELECT pg_catalog.jsonb_array_elements_text(c.config OPERATOR(pg_catalog.->) 'parent_columns')) AS parent_columns,
       c.config OPERATOR(pg_catalog.->>) 'version_column' AS version_column,
       c.config OPERATOR(pg_catalog.->>) 'current_column' AS current_column,
       c.config OPERATOR(pg_catalog.->>) 'previous_id_column' AS previous_id_column,
       c.config OPERATOR(pg_catalog.->>) 'on_explicit' AS on_explicit,
       t.tgenabled OPERATOR(pg_catalog.<>) 'D' AS enabled
  FROM pg_catalog.pg_trigger t
  JOIN pg_catalog.pg_proc p ON p.oid OPERATOR(pg_catalog.=) t.tgfoid
 CROSS JOIN LATERAL (
       -- Others can create triggers with these functions, too, and any arguments.
       SELECT CASE WHEN t.tgnargs OPERATOR(pg_catalog.=) 1::smallint
                    AND pg_catalog.position(t.tgargs, '{"parent_columns":'::pg_catalog.bytea) OPERATOR(pg_catalog.=) 1
                   THEN pg_catalog.convert_from(
                            pg_catalog.substring(t.tgargs, 1, pg_catalog.length(t.tgargs) OPERATOR(pg_catalog.-) 1),
                            'UTF8')::pg_catalog.jsonb END AS config) c
 WHERE p.pronamespace OPERATOR(pg_catalog.=) 'versioned_internal'::pg_catalog.regnamespace
   AND p.proname OPERATOR(pg_catalog.=) 'number_version'
   AND t.tgparentid OPERATOR(pg_catalog.=) 0
   AND c.config IS NOT NULL
   -- The trigger for INSERT (pg_trigger.h).
   AND (t.tgtype OPERATOR(pg_catalog.&) 4::smallint) OPERATOR(pg_catalog.<>) 0::smallint;
COMMENT ON VIEW @extschema@.versioned_tables IS
    'Tables with versioning enabled, one row per table, as their triggers have it: the arguments of enable_versioning, and whether the trigger is enabled.';
-- Histories that people have already.

CREATE TABLE @extschema@.imported_files (
    project_id  uuid        NOT NULL REFERENCES @extschema@.projects (id) ON DELETE CASCADE,
    source      text        NOT NULL COLLATE "C",
    source_id   text        NOT NULL COLLATE "C",
    version     integer     NOT NULL,
    file_id     uuid        NOT NULL,
    id          uuid        NOT NULL,
    imported_at timestamptz NOT NULL,
    PRIMARY KEY (project_id, source, source_id, version)
);
CREATE UNIQUE INDEX imported_files_version ON @extschema@.imported_files (project_id, file_id, version);
COMMENT ON TABLE @extschema@.imported_files IS
    'Which rows of which tables import_project_files has made file versions of. A row that is marked as deleted and has content became two.';
COMMENT ON COLUMN @extschema@.imported_files.source IS
    'Schema and name of the table, quoted; the schema of temporary tables is pg_temp.';
COMMENT ON COLUMN @extschema@.imported_files.source_id IS
    'The row''s id as text; a JSON array if it has several columns.';
COMMENT ON COLUMN @extschema@.imported_files.id IS
    'The id of the version in project_files.';

CREATE TABLE @extschema@.imported_versions (
    project_id  uuid        NOT NULL REFERENCES @extschema@.projects (id) ON DELETE CASCADE,
    source      text        NOT NULL COLLATE "C",
    source_id   text        NOT NULL COLLATE "C",
    version_id  text        NOT NULL COLLATE "C",
    imported_at timestamptz NOT NULL,
    PRIMARY KEY (project_id, source, source_id)
);
COMMENT ON TABLE @extschema@.imported_versions IS
    'Which rows of which tables import_project_versions has made project versions of.';
COMMENT ON COLUMN @extschema@.imported_versions.source IS
    'Schema and name of the table, quoted; the schema of temporary tables is pg_temp.';
COMMENT ON COLUMN @extschema@.imported_versions.source_id IS
    'The version''s id in that table, as text.';

-- No policies, as for other tables that only the extension's owner reads.
ALTER TABLE @extschema@.imported_files ENABLE ROW LEVEL SECURITY;
ALTER TABLE @extschema@.imported_versions ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('@extschema@.imported_files', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.imported_versions', '');

CREATE FUNCTION @extschema@.import_project_files(
    p_source  regclass,
    p_mapping jsonb   DEFAULT '{}',
    p_dry_run boolean DEFAULT true
) RETURNS TABLE (
        action     text,
        source_id  text,
        project_id uuid,
        file_path  text,
        version    integer,
        detail     text,
        rows       bigint
    )
    LANGUAGE c VOLATILE PARALLEL UNSAFE COST 1000 ROWS 1000
    AS 'MODULE_PATHNAME', 'import_project_files_wrapper';
COMMENT ON FUNCTION @extschema@.import_project_files(regclass, jsonb, boolean) IS
    'Imports a table with one row per version of a file into the files of projects: numbers become 1, 2, 3 ..., authors and times are kept, what does not fit is repaired or skipped and reported. p_mapping has the names of the table''s columns, {"file_path": "path"}. Run again, it imports only what is new; imported_files says which row became what. With p_dry_run it only reports. Announces nothing. For privileged callers, who must be able to read all rows of the table. Errors: 22023, 42501, 40001.';

CREATE FUNCTION @extschema@.import_project_versions(
    p_versions regclass,
    p_metadata regclass DEFAULT NULL,
    p_mapping  jsonb    DEFAULT '{}',
    p_dry_run  boolean  DEFAULT true
) RETURNS TABLE (
        action     text,
        source_id  text,
        project_id uuid,
        version_id text,
        semver     text,
        detail     text,
        rows       bigint
    )
    LANGUAGE c VOLATILE PARALLEL UNSAFE COST 1000 ROWS 1000
    AS 'MODULE_PATHNAME', 'import_project_versions_wrapper';
COMMENT ON FUNCTION @extschema@.import_project_versions(regclass, regclass, jsonb, boolean) IS
    'Imports a table of project versions, and one of their metadata if there is one, into project_versions: whatever status they have, with or without metadata. Missing and repeated numbers are repaired, ids that are ULIDs are kept, what does not fit is repaired or skipped and reported. The files of an imported version are not known. p_mapping has the names of the tables'' columns, {"versions": {...}, "metadata": {...}}. Run again, it imports only what is new; imported_versions says which row became what. With p_dry_run it only reports. For privileged callers, who must be able to read all rows of the tables. Errors: 22023, 42501, 40001.';

-- Whether migrations still build what the schemas hold.

CREATE FUNCTION @extschema@.replay_migrations(
    p_migrations    jsonb,
    p_schemas       text[] DEFAULT '{public}',
    p_stop_on_error boolean DEFAULT true
) RETURNS TABLE (
        name        text,
        ok          boolean,
        statements  integer,
        sqlstate    text,
        message     text,
        line        integer,
        col         integer,
        statement   text,
        explanation text
    )
    LANGUAGE c VOLATILE PARALLEL UNSAFE COST 100 ROWS 100
    AS 'MODULE_PATHNAME', 'replay_migrations_wrapper';
COMMENT ON FUNCTION @extschema@.replay_migrations(jsonb, text[], boolean) IS
    'Runs migrations, an array of {"name", "sql"}, in order on empty copies of the schemas p_schemas, with the caller''s own rights, and undoes everything. The schemas themselves are neither locked nor changed. Returns one row per migration that was run; with p_stop_on_error the first one that fails is the last. Of a migration that fails, statement, line and col are the first statement that fails and where, and explanation says which migration is the cause, where that is known; it also says what was assumed and what was not checked. For owners of the schemas. Errors: 22023, 25001, 25006, 40001, 42501, 53400.';

CREATE FUNCTION @extschema@.schema_drift(
    p_migrations jsonb,
    p_schemas    text[] DEFAULT '{public}',
    p_include    text[] DEFAULT '{}'
) RETURNS TABLE (
        kind       text,
        object     text,
        difference text,
        expected   text,
        actual     text,
        migration  text
    )
    LANGUAGE c VOLATILE PARALLEL UNSAFE COST 100 ROWS 100
    AS 'MODULE_PATHNAME', 'schema_drift_wrapper';
COMMENT ON FUNCTION @extschema@.schema_drift(jsonb, text[], text[]) IS
    'What migrations build, as replay_migrations runs them, against what the schemas p_schemas really hold. Returns one row per difference: what is missing in the schemas, extra there, or changed, with what the migrations build (expected), what is there (actual), and the migration that last touched it. p_include may name owners, grants and comments, which do not count otherwise. A statement that fails is left out, with a warning. Objects of extensions and the tables of migration tools do not count. For owners of the schemas. Errors: 22023, 25001, 25006, 40001, 42501, 53400.';

CREATE FUNCTION @extschema@.schema_fingerprint(p_schema name, p_include text[] DEFAULT '{}') RETURNS text
    LANGUAGE c STABLE PARALLEL UNSAFE COST 100
    AS 'MODULE_PATHNAME', 'schema_fingerprint_wrapper';
COMMENT ON FUNCTION @extschema@.schema_fingerprint(name, text[]) IS
    'A hash (SHA-256) over everything that a schema holds, equal for equal schemas on any server of the same major version: tables, columns and their order, constraints, indexes, sequences, types, views, functions, triggers, rules, policies, row level security. p_include adds owners, grants, comments. Members of extensions, the tables of migration tools, data and tablespaces do not count. Only reads. Errors: 22023.';

-- Which migrations were applied, and whether they are still what they were.

CREATE TABLE @extschema@.recorded_migrations (
    position   bigint      NOT NULL GENERATED BY DEFAULT AS IDENTITY,
    name       text        NOT NULL COLLATE "C" PRIMARY KEY,
    checksum   bytea       NOT NULL CHECK (pg_catalog.octet_length(checksum) = 32),
    applied_at timestamptz NOT NULL,
    applied_by text        NOT NULL COLLATE "C"
);
COMMENT ON TABLE @extschema@.recorded_migrations IS
    'The migrations that record_migration was told of.';
COMMENT ON COLUMN @extschema@.recorded_migrations.position IS
    'The order in which they were recorded; numbers may be missing.';
COMMENT ON COLUMN @extschema@.recorded_migrations.checksum IS
    'SHA-256 of the text in UTF-8.';
COMMENT ON COLUMN @extschema@.recorded_migrations.applied_by IS
    'The role that recorded it.';

-- No policies, as for other tables that only the extension's owner reads.
ALTER TABLE @extschema@.recorded_migrations ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('@extschema@.recorded_migrations', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.recorded_migrations_position_seq', '');

CREATE FUNCTION @extschema@.record_migration(
    p_name text,
    p_sql  text
) RETURNS boolean
    LANGUAGE c VOLATILE PARALLEL UNSAFE COST 100
    AS 'MODULE_PATHNAME', 'record_migration_wrapper';
COMMENT ON FUNCTION @extschema@.record_migration(text, text) IS
    'Records in recorded_migrations that a migration was applied, and the checksum of its text. Returns true if it was recorded now, false if it was recorded before with the same text. Runs nothing. Errors: 22023, PT409 (recorded with another text), 25006, 40001.';

CREATE FUNCTION @extschema@.verify_migrations(
    p_migrations jsonb,
    p_tool       text DEFAULT 'auto'
) RETURNS TABLE (
        name    text,
        finding text,
        detail  text
    )
    LANGUAGE c STABLE PARALLEL UNSAFE COST 100 ROWS 10
    AS 'MODULE_PATHNAME', 'verify_migrations_wrapper';
COMMENT ON FUNCTION @extschema@.verify_migrations(jsonb, text) IS
    'How migrations, an array of {"name", "sql"} in their order, differ from what was applied to this database, one row per finding; no row if all is well. finding is edited, missing, out of order, not in the list, failed or half-applied. p_tool says whose table is compared with: pg_versioned (recorded_migrations), prisma, drizzle, sqlx, supabase or flyway; auto takes the one that there is, and a notice names it. Only reads, with the caller''s own rights. Errors: 22023, 42501, 55000.';

CREATE OR REPLACE VIEW versioned_internal.api WITH (security_invoker = true) AS
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
    ('project_build_summary', 'SELECT'),
    ('project_ai_time', 'SELECT'),
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
    ('update_project_config', 'EXECUTE'),
    ('get_project_state', 'EXECUTE'),
    ('start_project_build', 'EXECUTE'),
    ('fail_project_build', 'EXECUTE'),
    ('cut_project_build', 'EXECUTE'),
    ('get_project_build_files', 'EXECUTE'),
    ('start_ai_time_tracking', 'EXECUTE'),
    ('stop_ai_time_tracking', 'EXECUTE'),
    ('create_version_on_success', 'EXECUTE'),
    ('update_version_metadata', 'EXECUTE'),
    ('publish_project_version', 'EXECUTE'),
    ('unpublish_project_version', 'EXECUTE'),
    ('delete_project_version', 'EXECUTE'),
    ('undelete_project_version', 'EXECUTE'),
    ('get_project_version_history', 'EXECUTE'),
    ('get_project_version_files', 'EXECUTE'),
    ('diff_project_versions', 'EXECUTE'),
    ('restore_project_version', 'EXECUTE'),
    ('get_project_fast_export', 'EXECUTE'),
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

SELECT versioned_internal.settle_privileges(
    ARRAY[
        '@extschema@.update_project_config(uuid, jsonb, timestamptz)',
        '@extschema@.get_project_state(uuid)',
        '@extschema@.cut_project_build(uuid, text)',
        '@extschema@.get_project_build_files(uuid, text)',
        '@extschema@.update_version_metadata(uuid, text, jsonb)',
        '@extschema@.publish_project_version(uuid, text, text)',
        '@extschema@.unpublish_project_version(uuid, text)',
        '@extschema@.delete_project_version(uuid, text)',
        '@extschema@.undelete_project_version(uuid, text)',
        '@extschema@.get_project_version_history(uuid, integer, integer, boolean, text, boolean, text)',
        '@extschema@.diff_project_versions(uuid, text, text, integer)',
        '@extschema@.restore_project_version(uuid, text, boolean)',
        '@extschema@.get_project_fast_export(uuid, jsonb)',
        'versioned_internal.number_version()',
        'versioned_internal.settle_version()',
        '@extschema@.enable_versioning(regclass, text[], text, text, text, text)',
        '@extschema@.disable_versioning(regclass)',
        '@extschema@.renumber_versions(regclass, text[], text, text[], text, boolean)',
        '@extschema@.undo_renumber(regclass)',
        '@extschema@.versioning_report(regclass, text[], text, text, text[])',
        '@extschema@.import_project_files(regclass, jsonb, boolean)',
        '@extschema@.import_project_versions(regclass, regclass, jsonb, boolean)',
        '@extschema@.replay_migrations(jsonb, text[], boolean)',
        '@extschema@.schema_drift(jsonb, text[], text[])',
        '@extschema@.record_migration(text, text)',
        '@extschema@.verify_migrations(jsonb, text)',
        '@extschema@.schema_fingerprint(name, text[])'
    ]::regprocedure[],
    ARRAY[
        '@extschema@.project_file_snapshots',
        '@extschema@.imported_files',
        '@extschema@.imported_versions',
        '@extschema@.recorded_migrations',
        '@extschema@.recorded_migrations_position_seq',
        '@extschema@.project_ai_time',
        '@extschema@.project_build_summary',
        '@extschema@.versioned_tables'
    ]::regclass[]);
