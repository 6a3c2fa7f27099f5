-- Giving old file versions up.

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
    LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 100
    AS 'MODULE_PATHNAME', 'prune_project_history_wrapper';
COMMENT ON FUNCTION @extschema@.prune_project_history(uuid, text, integer, interval, boolean) IS
    'Removes file versions, of one file or of all, that are not current, that no project version''s snapshot needs, that are not among the last p_keep_last of their file and not younger than p_keep_newer_than. Numbers of what stays do not change. One row a file that loses versions, with the bytes of stored content freed; p_dry_run changes nothing. Errors: 22023, 42501, PT404, 40001, XX001.';
