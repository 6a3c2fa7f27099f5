-- A project's history for git.

CREATE FUNCTION @extschema@.get_project_fast_export(p_project_id uuid, p_authors jsonb DEFAULT '{}')
    RETURNS SETOF text
    LANGUAGE c STABLE PARALLEL RESTRICTED COST 1000 ROWS 1000
    AS 'MODULE_PATHNAME', 'get_project_fast_export_wrapper';
COMMENT ON FUNCTION @extschema@.get_project_fast_export(uuid, jsonb) IS
    'The history of a project''s files as a stream for git fast-import, row by row: file versions as commits on the branch main, project versions that are neither deleted nor pruned as annotated tags. p_authors names users, {"<user id>": "Name <email>"}. Errors: 22023, 42501, PT404, PT409 (a file has the path of another one''s directory), XX001.';
