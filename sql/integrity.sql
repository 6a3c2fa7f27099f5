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
    'One row per problem in the stored data of a project (NULL: of all projects, for privileged callers), none if it is sound. problem: version_gap, duplicate_version, second_head, head_mismatch, orphan, out_of_order, snapshot_mismatch, base_missing, undecodable, hash_mismatch. Reads and decodes every version. Errors: 42501, PT404.';
