-- The tables of files: heads say what is current, versions are the history and are never rewritten.
--
-- Their primary keys begin with file_id. If they began with project_id, the planner would join a project that is newer
-- than the last ANALYZE, and estimated to have one row, by project_id alone: it would read all its versions for each file.

-- Free space on the page keeps updates of heads HOT: a save changes no column of any index, partial ones included.
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
    'One row per file (file_id survives renames): its present path and newest version. The only row of a file that is ever updated.';

-- No foreign key to the heads: a version is inserted together with the change of its head, and a trigger protects heads
-- from deletion. Checking the key would cost every save a query, a row lock and its WAL.
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
-- Already compressed.
ALTER TABLE @extschema@.project_file_versions ALTER COLUMN stored SET STORAGE EXTERNAL;
CREATE INDEX project_file_versions_id ON @extschema@.project_file_versions (id);
-- For the change feed. On a hash, so that no join uses it as an index on project_id (see above), and half as long.
CREATE INDEX project_file_versions_change ON @extschema@.project_file_versions
    (pg_catalog.uuid_hash_extended(project_id, 0), change_xid, file_id, version);
COMMENT ON TABLE @extschema@.project_file_versions IS
    'Append-only history: versions 1, 2, 3 ... of every file, tombstones (is_deleted) included.';
COMMENT ON COLUMN @extschema@.project_file_heads.pruned_versions IS
    'Versions that prune_project_history has removed; NULL if none.';
COMMENT ON COLUMN @extschema@.project_file_heads.base_version IS
    'The version that the next delta is based on; NULL if the next version is a keyframe.';
COMMENT ON COLUMN @extschema@.project_file_heads.base_cost IS
    'Bytes of the deltas that are based on base_version. Negative: this many more versions are saved as keyframes, without trying a delta.';
COMMENT ON COLUMN @extschema@.project_file_heads.key_cost IS
    'Bytes of the middle versions since the last keyframe.';
COMMENT ON COLUMN @extschema@.project_file_versions.encoding IS
    'How stored is encoded: 0 the content; 1 a zstd frame; 2 the lengths of the beginning and the end shared with the base, then the middle; 3 the same with the middle in a zstd frame whose prefix is the base''s middle; NULL for a tombstone. Frames have no magic number.';
COMMENT ON COLUMN @extschema@.project_file_versions.base_version IS
    'The version of this file that stored is based on; NULL for a keyframe and for a tombstone.';
COMMENT ON COLUMN @extschema@.project_file_versions.file_path IS
    'The path this version was saved under; the file''s present path is its head''s.';

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

CREATE FUNCTION @extschema@.refuse_history_rewrite() RETURNS trigger
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'refuse_history_rewrite_wrapper';
COMMENT ON FUNCTION @extschema@.refuse_history_rewrite() IS
    'Trigger: allows only the extension''s own functions to change or remove the history of files. Errors: 42501.';
CREATE TRIGGER refuse_history_rewrite
    BEFORE DELETE OR TRUNCATE ON @extschema@.project_file_heads
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.refuse_history_rewrite();
CREATE TRIGGER refuse_history_rewrite
    BEFORE UPDATE OR DELETE OR TRUNCATE ON @extschema@.project_file_versions
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.refuse_history_rewrite();

-- Also fires while a dump is restored and on a logical replica: there, too, change_xid must belong to this cluster's
-- transactions, in the order in which the rows became visible here.
CREATE FUNCTION @extschema@.stamp_file_change() RETURNS trigger
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'stamp_file_change_wrapper';
COMMENT ON FUNCTION @extschema@.stamp_file_change() IS
    'Trigger: sets change_xid to the transaction that inserts the row, wherever the row comes from.';
CREATE TRIGGER stamp_file_change
    BEFORE INSERT ON @extschema@.project_file_versions
    FOR EACH ROW EXECUTE FUNCTION @extschema@.stamp_file_change();
ALTER TABLE @extschema@.project_file_versions ENABLE ALWAYS TRIGGER stamp_file_change;
