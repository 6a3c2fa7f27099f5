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
