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
    AS 'MODULE_PATHNAME', 'prune_between_cuts_wrapper';
COMMENT ON FUNCTION @extschema@.prune_project_history(uuid, text, integer, interval, boolean) IS
    'Removes file versions, of one file or of all, that are not current, not needed by the snapshot of any project version or active build, not among the last p_keep_last of their file and not newer than p_keep_newer_than. Snapshots of deleted project versions are kept only if those were deleted within p_keep_newer_than; one that loses files can no longer be restored. The numbers of other versions do not change. Returns one row per file that loses versions, with the bytes of stored content freed; with p_dry_run nothing changes. Errors: 22023, 42501, PT404, 40001, XX001.';
