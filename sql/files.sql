-- Files: heads say what is current, versions are the history and are never rewritten.
--
-- Their primary keys begin with file_id. Were it project_id, then a project newer than the last ANALYZE, estimated to
-- have one row, would be joined by project_id alone: all its versions read for each of its files.

-- Room on the page keeps the update of a head HOT: a save changes no column of any index, partial ones included.
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
    'One row a file (file_id survives renames): its present path and current version. The only file row that is ever updated.';

-- No foreign key to the heads: a version is inserted by the very statement that writes its head, and heads are kept from
-- deletion by a trigger. The key's check would cost every save a query, a row lock and its WAL.
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
-- Compressed already.
ALTER TABLE @extschema@.project_file_versions ALTER COLUMN stored SET STORAGE EXTERNAL;
CREATE INDEX project_file_versions_id ON @extschema@.project_file_versions (id);
-- For the change feed. Of a hash, so that no join takes it for an index of project_id (see above); and it is half as long.
CREATE INDEX project_file_versions_change ON @extschema@.project_file_versions
    (pg_catalog.uuid_hash_extended(project_id, 0), change_xid, file_id, version);
COMMENT ON TABLE @extschema@.project_file_versions IS
    'Append-only history: versions 1, 2, 3 ... of every file, tombstones (is_deleted) included.';
COMMENT ON COLUMN @extschema@.project_file_heads.pruned_versions IS
    'Versions that prune_project_history removed; NULL when it removed none.';
COMMENT ON COLUMN @extschema@.project_file_heads.base_version IS
    'The version that the next delta stands on; NULL when the next version is a keyframe.';
COMMENT ON COLUMN @extschema@.project_file_heads.base_cost IS
    'Bytes of the deltas that stand on base_version.';
COMMENT ON COLUMN @extschema@.project_file_heads.key_cost IS
    'Bytes of the middle versions since the last keyframe.';
COMMENT ON COLUMN @extschema@.project_file_versions.encoding IS
    'What stored is: 0 the content; 1 a zstd frame; 2 the lengths of the beginning and the end shared with the base, then the middle; 3 the same with the middle in a zstd frame whose prefix is the base''s middle; NULL for a tombstone. Frames have no magic number.';
COMMENT ON COLUMN @extschema@.project_file_versions.base_version IS
    'The version of this file that stored stands on; NULL for a keyframe and for a tombstone.';
COMMENT ON COLUMN @extschema@.project_file_versions.file_path IS
    'The path this version was saved under; the file''s present path is its head''s.';

-- Not logged: a crash only forgets who saved much. Not unique: a saver that finds the slot taken adds one.
CREATE UNLOGGED TABLE @extschema@.rate_limits (
    project_id uuid        NOT NULL,
    actor      uuid        NOT NULL,
    paid_off   timestamptz NOT NULL
);
CREATE INDEX rate_limits_project_id_actor ON @extschema@.rate_limits (project_id, actor);
COMMENT ON TABLE @extschema@.rate_limits IS
    'How much of pg_versioned.save_rate and save_burst each actor has used in a project, in one slot or several. Safe to empty.';
COMMENT ON COLUMN @extschema@.rate_limits.paid_off IS
    'When the saves made so far will be paid off at the allowed rate; the latest of an actor''s slots counts.';

CREATE FUNCTION @extschema@.refuse_history_rewrite() RETURNS trigger
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'refuse_history_rewrite_wrapper';
COMMENT ON FUNCTION @extschema@.refuse_history_rewrite() IS
    'Trigger: lets nobody but the extension''s own functions rewrite or remove the history of files (42501).';
CREATE TRIGGER refuse_history_rewrite
    BEFORE DELETE OR TRUNCATE ON @extschema@.project_file_heads
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.refuse_history_rewrite();
CREATE TRIGGER refuse_history_rewrite
    BEFORE UPDATE OR DELETE OR TRUNCATE ON @extschema@.project_file_versions
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.refuse_history_rewrite();

-- Also while a dump is restored and on a logical replica: there, too, change_xid must be of this cluster's transactions,
-- in the order in which the rows became visible here.
CREATE FUNCTION @extschema@.stamp_file_change() RETURNS trigger
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'stamp_file_change_wrapper';
COMMENT ON FUNCTION @extschema@.stamp_file_change() IS
    'Trigger: change_xid is the transaction that inserts the row, wherever the row comes from.';
CREATE TRIGGER stamp_file_change
    BEFORE INSERT ON @extschema@.project_file_versions
    FOR EACH ROW EXECUTE FUNCTION @extschema@.stamp_file_change();
ALTER TABLE @extschema@.project_file_versions ENABLE ALWAYS TRIGGER stamp_file_change;

CREATE FUNCTION @extschema@.stored_content(
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
    p_key_size      integer,
    p_key_encoding  smallint,
    p_key_stored    bytea
) RETURNS text
    LANGUAGE c IMMUTABLE PARALLEL SAFE COST 100
    AS 'MODULE_PATHNAME', 'stored_content_wrapper';
COMMENT ON FUNCTION @extschema@.stored_content(uuid, text, integer, bytea, integer, smallint, bytea, integer, smallint, bytea, integer, smallint, bytea) IS
    'The content of a file version from its row, the one it stands on (base) and the one that stands on (key), checked against its hash; NULL for a tombstone. Errors: XX001, naming project, path and version.';

-- A UNION ALL of constants, not a comparison: is_current_version then prunes a branch at planning
-- time whatever form the client's condition takes.
CREATE VIEW @extschema@.project_files WITH (security_invoker = true) AS
SELECT v.id,
       h.project_id,
       h.file_path,
       @extschema@.stored_content(h.project_id, v.file_path, v.version, v.content_hash, v.size_bytes, v.encoding, v.stored,
                                  b.size_bytes, b.encoding, b.stored, k.size_bytes, k.encoding, k.stored)
           COLLATE pg_catalog."default" AS content,
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
  JOIN @extschema@.project_file_versions v
    ON v.project_id = h.project_id AND v.file_id = h.file_id AND v.version = h.version
  LEFT JOIN @extschema@.project_file_versions b
    ON b.project_id = v.project_id AND b.file_id = v.file_id AND b.version = v.base_version
  LEFT JOIN @extschema@.project_file_versions k
    ON k.project_id = b.project_id AND k.file_id = b.file_id AND k.version = b.base_version
 WHERE NOT h.is_deleted
UNION ALL
SELECT v.id,
       h.project_id,
       h.file_path,
       @extschema@.stored_content(h.project_id, v.file_path, v.version, v.content_hash, v.size_bytes, v.encoding, v.stored,
                                  b.size_bytes, b.encoding, b.stored, k.size_bytes, k.encoding, k.stored)
           COLLATE pg_catalog."default" AS content,
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
  JOIN @extschema@.project_file_versions v
    ON v.project_id = h.project_id AND v.file_id = h.file_id
  LEFT JOIN @extschema@.project_file_versions b
    ON b.project_id = v.project_id AND b.file_id = v.file_id AND b.version = v.base_version
  LEFT JOIN @extschema@.project_file_versions k
    ON k.project_id = b.project_id AND k.file_id = b.file_id AND k.version = b.base_version
 WHERE h.is_deleted OR v.version <> h.version;
COMMENT ON VIEW @extschema@.project_files IS
    'One row a file version under the file''s present path; is_current_version is true for exactly one version of a live file. Read it under row level security.';

ALTER VIEW @extschema@.project_files ALTER COLUMN file_type SET DEFAULT 'text';

CREATE FUNCTION @extschema@.insert_project_file() RETURNS trigger
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'insert_project_file_wrapper';
COMMENT ON FUNCTION @extschema@.insert_project_file() IS
    'Trigger of project_files: INSERT saves a file as atomic_upsert_project_file does. A version N given expects version N - 1. Errors: 22023, 42501, PT404, PT409, PT429, 40001.';
CREATE TRIGGER insert_project_file
    INSTEAD OF INSERT ON @extschema@.project_files
    FOR EACH ROW EXECUTE FUNCTION @extschema@.insert_project_file();

CREATE FUNCTION @extschema@.update_project_file() RETURNS trigger
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'update_project_file_wrapper';
COMMENT ON FUNCTION @extschema@.update_project_file() IS
    'Trigger of project_files: UPDATE of content, file_type and file_path saves the next version, if the row is current and still is after waiting. Errors: 22023, 42501, PT404, PT409, PT429, 40001.';
CREATE TRIGGER update_project_file
    INSTEAD OF UPDATE ON @extschema@.project_files
    FOR EACH ROW EXECUTE FUNCTION @extschema@.update_project_file();

CREATE FUNCTION @extschema@.remove_project_file() RETURNS trigger
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'remove_project_file_wrapper';
COMMENT ON FUNCTION @extschema@.remove_project_file() IS
    'Trigger of project_files: DELETE saves a tombstone as delete_project_file does, if the row is current and still is after waiting. Errors: 42501, PT404, PT409, PT429, 40001.';
CREATE TRIGGER remove_project_file
    INSTEAD OF DELETE ON @extschema@.project_files
    FOR EACH ROW EXECUTE FUNCTION @extschema@.remove_project_file();

CREATE FUNCTION @extschema@.atomic_upsert_project_file(
    project_uuid     uuid,
    p_file_path      text,
    p_content        text,
    p_file_type      text,
    expected_version integer DEFAULT NULL
) RETURNS @extschema@.project_files
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'atomic_upsert_project_file_wrapper';
COMMENT ON FUNCTION @extschema@.atomic_upsert_project_file(uuid, text, text, text, integer) IS
    'Saves a file as its next version. expected_version: NULL, last writer wins; N, the current version must be N; 0, the file must not exist. Content and type equal to the current ones save nothing. Errors: 22023, 42501, PT404, PT409, PT429, 40001.';

CREATE FUNCTION @extschema@.upsert_project_file(
    project_uuid     uuid,
    p_file_path      text,
    p_content        text,
    p_file_type      text,
    expected_version integer DEFAULT NULL
) RETURNS json
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'upsert_project_file_wrapper';
COMMENT ON FUNCTION @extschema@.upsert_project_file(uuid, text, text, text, integer) IS
    'atomic_upsert_project_file that answers errors instead of raising them: {"success": true, "data": {id, file_path, version, content_hash, updated_at, is_current_version}} or {"success": false, "error": {code, message, retry_suggested, current_version}}. code: VERSION_CONFLICT, RATE_LIMIT_EXCEEDED, AUTHENTICATION_REQUIRED, FORBIDDEN, NOT_FOUND, INVALID_INPUT, RETRY; anything else is raised.';

CREATE FUNCTION @extschema@.atomic_upsert_project_files(p_project_id uuid, p_files jsonb)
    RETURNS SETOF @extschema@.project_files
    LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 50
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'atomic_upsert_project_files_wrapper';
COMMENT ON FUNCTION @extschema@.atomic_upsert_project_files(uuid, jsonb) IS
    'Saves and deletes many files, or none. p_files: an array of {file_path, content, file_type, expected_version?, delete?}, each path once, at most 10000; answers in its order. Batches never deadlock with one another. DETAIL of PT409 lists every conflict. Errors: 22023, 42501, PT404, PT409, PT429, 40001.';

CREATE FUNCTION @extschema@.delete_project_file(
    p_project_id       uuid,
    p_file_path        text,
    p_expected_version integer DEFAULT NULL
) RETURNS @extschema@.project_files
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'delete_project_file_wrapper';
COMMENT ON FUNCTION @extschema@.delete_project_file(uuid, text, integer) IS
    'Deletes a file by saving a tombstone as its next version; the history stays. Errors: 22023, 42501, PT404, PT409, PT429, 40001.';

CREATE FUNCTION @extschema@.move_project_file(
    p_project_id       uuid,
    p_from_path        text,
    p_to_path          text,
    p_expected_version integer DEFAULT NULL
) RETURNS @extschema@.project_files
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'move_project_file_wrapper';
COMMENT ON FUNCTION @extschema@.move_project_file(uuid, text, text, integer) IS
    'Renames a file as its next version; its history follows. PT409 when the new path is taken by a live file. Errors: 22023, 42501, PT404, PT409, PT429, 40001.';

CREATE FUNCTION @extschema@.revert_project_file(
    p_project_id       uuid,
    p_file_path        text,
    p_to_version       integer,
    p_expected_version integer DEFAULT NULL
) RETURNS @extschema@.project_files
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'revert_project_file_wrapper';
COMMENT ON FUNCTION @extschema@.revert_project_file(uuid, text, integer, integer) IS
    'Saves the content and type of an old version as the file''s next version; also brings back a deleted file. Errors: 22023 (that version is a deletion), 42501, PT404, PT409, PT429, 40001.';

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
    LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 1
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'merge_project_file_wrapper';
COMMENT ON FUNCTION @extschema@.merge_project_file(uuid, text, text, integer, text) IS
    'Saves an edit of version p_base_version (0: of no file) together with what others saved since, merged line by line as git merge-file does. With conflicts it saves nothing: content then has both sides between diff3 markers, and version is the one to resolve them onto. p_file_type NULL keeps the type. Errors: 22023, 42501, PT404, PT409 (the file was deleted), PT429, 40001.';

CREATE FUNCTION @extschema@.get_current_project_files(project_uuid uuid)
    RETURNS TABLE (
        file_path    text,
        content      text,
        file_type    text,
        version      integer,
        content_hash text,
        updated_at   timestamptz
    )
    LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 100
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'get_current_project_files_wrapper';
COMMENT ON FUNCTION @extschema@.get_current_project_files(uuid) IS
    'All live files of a project with their content, by path. Errors: 22023, 42501, PT404.';

CREATE FUNCTION @extschema@.get_project_file(
    p_project_id uuid,
    p_file_path  text,
    p_version    integer DEFAULT NULL
) RETURNS @extschema@.project_files
    LANGUAGE c STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'get_project_file_wrapper';
COMMENT ON FUNCTION @extschema@.get_project_file(uuid, text, integer) IS
    'A file as it is now, or as its version N was (also of a deleted file). Errors: 22023, 42501, PT404.';

CREATE FUNCTION @extschema@.diff_project_file(
    p_project_id   uuid,
    p_file_path    text,
    p_from_version integer,
    p_to_version   integer DEFAULT NULL
) RETURNS text
    LANGUAGE c STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'diff_project_file_wrapper';
COMMENT ON FUNCTION @extschema@.diff_project_file(uuid, text, integer, integer) IS
    'Unified diff between two versions of a file (NULL: its newest), with the paths they had, as git apply takes it; empty when they are equal. Errors: 22023, 42501, PT404.';

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
    LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 100
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'get_project_changes_wrapper';
COMMENT ON FUNCTION @extschema@.get_project_changes(uuid, text, integer) IS
    'The change feed: committed file versions after a cursor (NULL: from the beginning), in an order in which none ever appears before one already read. Poll with the last row''s cursor. A version appears once every transaction of the cluster that began writing before it has ended; two versions of a file may come in the other order, so keep the greater number. Errors: 22023 (also for a cursor of another cluster), 42501, PT404.';

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
    LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 50
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'get_project_file_history_wrapper';
COMMENT ON FUNCTION @extschema@.get_project_file_history(uuid, text, integer, integer) IS
    'A file''s versions, newest first, each with the path it was saved under; the next page starts before the last version seen. Errors: 22023, 42501, PT404.';
