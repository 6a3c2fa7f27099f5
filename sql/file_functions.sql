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
