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
