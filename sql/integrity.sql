-- What operators ask: is everything sound, and what does it weigh.

CREATE FUNCTION @extschema@.check_project_integrity(p_project_id uuid DEFAULT NULL)
    RETURNS TABLE (
        project_id uuid,
        file_path  text,
        version    integer,
        problem    text,
        detail     text
    )
    LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 1
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'check_project_integrity_wrapper';
COMMENT ON FUNCTION @extschema@.check_project_integrity(uuid) IS
    'One row for everything that is wrong with a project''s stored data (NULL: with all projects'', for privileged callers), none when it is sound. problem: version_gap, duplicate_version, second_head, head_mismatch, orphan, out_of_order, base_missing, undecodable, hash_mismatch. Reads and decodes every version. Errors: 42501, PT404.';

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
    'What a project''s files weigh: bytes of all versions'' contents, bytes stored of them, and their ratio; rows and indexes come on top. Read it under row level security.';
