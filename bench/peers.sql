-- What is measured beside the extension. Each peer but the limit keeps full copies, as the systems it replaces did.

CREATE SCHEMA peers;

-- "SELECT … FOR UPDATE, then version + 1": right only while one client saves a file at a time. It answers what
-- atomic_upsert_project_file answers, and its rows have a project.
CREATE TABLE peers.rowlock_projects (id uuid PRIMARY KEY);
CREATE TABLE peers.rowlock_files (
    id                 uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    project_id         uuid        NOT NULL REFERENCES peers.rowlock_projects (id),
    file_path          text        NOT NULL,
    content            text        NOT NULL,
    file_type          text        NOT NULL,
    version            integer     NOT NULL,
    content_hash       text        NOT NULL,
    is_current_version boolean     NOT NULL DEFAULT true,
    created_by         uuid,
    created_at         timestamptz NOT NULL DEFAULT now(),
    UNIQUE (project_id, file_path, version)
);
CREATE UNIQUE INDEX ON peers.rowlock_files (project_id, file_path) WHERE is_current_version;

CREATE FUNCTION peers.rowlock_save(p_project uuid, p_path text, p_content text, p_type text)
    RETURNS peers.rowlock_files LANGUAGE plpgsql AS $$
DECLARE
    v_version integer;
    v_saved   peers.rowlock_files;
BEGIN
    SELECT version INTO v_version FROM peers.rowlock_files
     WHERE project_id = p_project AND file_path = p_path AND is_current_version
       FOR UPDATE;
    UPDATE peers.rowlock_files SET is_current_version = false
     WHERE project_id = p_project AND file_path = p_path AND is_current_version;
    INSERT INTO peers.rowlock_files (project_id, file_path, content, file_type, version, content_hash)
    VALUES (p_project, p_path, p_content, p_type, coalesce(v_version, 0) + 1,
            encode(sha256(convert_to(p_content, 'UTF8')), 'hex'))
    RETURNING * INTO v_saved;
    RETURN v_saved;
END
$$;

-- The floor: one statement that writes a head and a full copy, and checks nothing.
CREATE TABLE peers.floor_heads (
    project_id uuid, file_path text, version integer NOT NULL, updated_at timestamptz NOT NULL,
    PRIMARY KEY (project_id, file_path)
) WITH (fillfactor = 70);
CREATE TABLE peers.floor_versions (
    project_id uuid, file_path text, version integer, content text NOT NULL, created_at timestamptz NOT NULL,
    PRIMARY KEY (project_id, file_path, version)
);

-- The limit: what an empty save costs. Two advisory locks, one head updated, one version of 320 bytes without content
-- inserted, with three indexes as wide as the extension's, a commit; nothing is checked, hashed or encoded. One statement,
-- with no function of ours in it: see workloads.sh.
CREATE TABLE peers.limit_heads (
    project_id uuid, file_path text, file_id uuid NOT NULL, version integer NOT NULL, updated_at timestamptz NOT NULL,
    PRIMARY KEY (project_id, file_path)
) WITH (fillfactor = 70);
CREATE TABLE peers.limit_versions (
    project_id uuid        NOT NULL,
    file_id    uuid        NOT NULL,
    id         uuid        NOT NULL,
    created_at timestamptz NOT NULL,
    change_xid xid8        NOT NULL,
    version    integer     NOT NULL,
    file_path  text        NOT NULL COLLATE "C",
    stored     bytea       NOT NULL,
    PRIMARY KEY (file_id, version, project_id)
);
CREATE INDEX ON peers.limit_versions (id);
CREATE INDEX ON peers.limit_versions (uuid_hash_extended(project_id, 0), change_xid, file_id, version);
