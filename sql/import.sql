-- Histories that people have already.

CREATE TABLE @extschema@.imported_files (
    project_id  uuid        NOT NULL REFERENCES @extschema@.projects (id) ON DELETE CASCADE,
    source      text        NOT NULL COLLATE "C",
    source_id   text        NOT NULL COLLATE "C",
    version     integer     NOT NULL,
    file_id     uuid        NOT NULL,
    id          uuid        NOT NULL,
    imported_at timestamptz NOT NULL,
    PRIMARY KEY (project_id, source, source_id, version)
);
CREATE UNIQUE INDEX imported_files_version ON @extschema@.imported_files (project_id, file_id, version);
COMMENT ON TABLE @extschema@.imported_files IS
    'Which rows of which tables import_project_files has made file versions of. A row that is marked as deleted and has content became two.';
COMMENT ON COLUMN @extschema@.imported_files.source IS
    'Schema and name of the table, quoted; the schema of temporary tables is pg_temp.';
COMMENT ON COLUMN @extschema@.imported_files.source_id IS
    'The row''s id as text; a JSON array if it has several columns.';
COMMENT ON COLUMN @extschema@.imported_files.id IS
    'The id of the version in project_files.';

CREATE TABLE @extschema@.imported_versions (
    project_id  uuid        NOT NULL REFERENCES @extschema@.projects (id) ON DELETE CASCADE,
    source      text        NOT NULL COLLATE "C",
    source_id   text        NOT NULL COLLATE "C",
    version_id  text        NOT NULL COLLATE "C",
    imported_at timestamptz NOT NULL,
    PRIMARY KEY (project_id, source, source_id)
);
COMMENT ON TABLE @extschema@.imported_versions IS
    'Which rows of which tables import_project_versions has made project versions of.';
COMMENT ON COLUMN @extschema@.imported_versions.source IS
    'Schema and name of the table, quoted; the schema of temporary tables is pg_temp.';
COMMENT ON COLUMN @extschema@.imported_versions.source_id IS
    'The version''s id in that table, as text.';

CREATE FUNCTION @extschema@.import_project_files(
    p_source  regclass,
    p_mapping jsonb   DEFAULT '{}',
    p_dry_run boolean DEFAULT true
) RETURNS TABLE (
        action     text,
        source_id  text,
        project_id uuid,
        file_path  text,
        version    integer,
        detail     text,
        rows       bigint
    )
    LANGUAGE c VOLATILE PARALLEL UNSAFE COST 1000 ROWS 1000
    AS 'MODULE_PATHNAME', 'import_project_files_wrapper';
COMMENT ON FUNCTION @extschema@.import_project_files(regclass, jsonb, boolean) IS
    'Imports a table with one row per version of a file into the files of projects: numbers become 1, 2, 3 ..., authors and times are kept, what does not fit is repaired or skipped and reported. p_mapping has the names of the table''s columns, {"file_path": "path"}. Run again, it imports only what is new; imported_files says which row became what. With p_dry_run it only reports. Announces nothing. For privileged callers, who must be able to read all rows of the table. Errors: 22023, 42501, 40001.';

CREATE FUNCTION @extschema@.import_project_versions(
    p_versions regclass,
    p_metadata regclass DEFAULT NULL,
    p_mapping  jsonb    DEFAULT '{}',
    p_dry_run  boolean  DEFAULT true
) RETURNS TABLE (
        action     text,
        source_id  text,
        project_id uuid,
        version_id text,
        semver     text,
        detail     text,
        rows       bigint
    )
    LANGUAGE c VOLATILE PARALLEL UNSAFE COST 1000 ROWS 1000
    AS 'MODULE_PATHNAME', 'import_project_versions_wrapper';
COMMENT ON FUNCTION @extschema@.import_project_versions(regclass, regclass, jsonb, boolean) IS
    'Imports a table of project versions, and one of their metadata if there is one, into project_versions: whatever status they have, with or without metadata. Missing and repeated numbers are repaired, ids that are ULIDs are kept, what does not fit is repaired or skipped and reported. The files of an imported version are not known. p_mapping has the names of the tables'' columns, {"versions": {...}, "metadata": {...}}. Run again, it imports only what is new; imported_versions says which row became what. With p_dry_run it only reports. For privileged callers, who must be able to read all rows of the tables. Errors: 22023, 42501, 40001.';
