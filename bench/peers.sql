-- What the saves are compared with. Each peer keeps full copies, as the systems this extension replaces did.

CREATE SCHEMA peers;

-- "SELECT … FOR UPDATE, then version + 1": right only while one client saves a file at a time.
CREATE TABLE peers.rowlock_files (
    id                 uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    project_id         uuid        NOT NULL,
    file_path          text        NOT NULL,
    content            text        NOT NULL,
    version            integer     NOT NULL,
    content_hash       text        NOT NULL,
    is_current_version boolean     NOT NULL DEFAULT true,
    created_at         timestamptz NOT NULL DEFAULT now(),
    UNIQUE (project_id, file_path, version)
);
CREATE UNIQUE INDEX ON peers.rowlock_files (project_id, file_path) WHERE is_current_version;

CREATE FUNCTION peers.rowlock_save(p_project uuid, p_path text, p_content text) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    v_version integer;
BEGIN
    SELECT version INTO v_version FROM peers.rowlock_files
     WHERE project_id = p_project AND file_path = p_path AND is_current_version
       FOR UPDATE;
    UPDATE peers.rowlock_files SET is_current_version = false
     WHERE project_id = p_project AND file_path = p_path AND is_current_version;
    INSERT INTO peers.rowlock_files (project_id, file_path, content, version, content_hash)
    VALUES (p_project, p_path, p_content, coalesce(v_version, 0) + 1,
            encode(sha256(convert_to(p_content, 'UTF8')), 'hex'));
    RETURN coalesce(v_version, 0) + 1;
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
