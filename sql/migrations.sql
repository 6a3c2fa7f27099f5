-- Whether migrations still build what the schemas hold.

CREATE FUNCTION @extschema@.replay_migrations(
    p_migrations    jsonb,
    p_schemas       text[] DEFAULT '{public}',
    p_stop_on_error boolean DEFAULT true
) RETURNS TABLE (
        name        text,
        ok          boolean,
        statements  integer,
        sqlstate    text,
        message     text,
        line        integer,
        col         integer,
        statement   text,
        explanation text
    )
    LANGUAGE c VOLATILE PARALLEL UNSAFE COST 100 ROWS 100
    AS 'MODULE_PATHNAME', 'replay_migrations_wrapper';
COMMENT ON FUNCTION @extschema@.replay_migrations(jsonb, text[], boolean) IS
    'Runs migrations, an array of {"name", "sql"}, in order on empty copies of the schemas p_schemas, with the caller''s own rights, and undoes everything. The schemas themselves are neither locked nor changed. Returns one row per migration that was run; with p_stop_on_error the first one that fails is the last. Of a migration that fails, statement, line and col are the first statement that fails and where, and explanation says which migration is the cause, where that is known; it also says what was assumed and what was not checked. For owners of the schemas. Errors: 22023, 25001, 25006, 40001, 42501, 53400.';

CREATE FUNCTION @extschema@.schema_drift(
    p_migrations jsonb,
    p_schemas    text[] DEFAULT '{public}',
    p_include    text[] DEFAULT '{}'
) RETURNS TABLE (
        kind       text,
        object     text,
        difference text,
        expected   text,
        actual     text,
        migration  text
    )
    LANGUAGE c VOLATILE PARALLEL UNSAFE COST 100 ROWS 100
    AS 'MODULE_PATHNAME', 'schema_drift_wrapper';
COMMENT ON FUNCTION @extschema@.schema_drift(jsonb, text[], text[]) IS
    'What migrations build, as replay_migrations runs them, against what the schemas p_schemas really hold. Returns one row per difference: what is missing in the schemas, extra there, or changed, with what the migrations build (expected), what is there (actual), and the migration that last touched it. p_include may name owners, grants and comments, which do not count otherwise. A statement that fails is left out, with a warning. Objects of extensions and the tables of migration tools do not count. For owners of the schemas. Errors: 22023, 25001, 25006, 40001, 42501, 53400.';

CREATE FUNCTION @extschema@.schema_fingerprint(p_schema name, p_include text[] DEFAULT '{}') RETURNS text
    LANGUAGE c STABLE PARALLEL UNSAFE COST 100
    AS 'MODULE_PATHNAME', 'schema_fingerprint_wrapper';
COMMENT ON FUNCTION @extschema@.schema_fingerprint(name, text[]) IS
    'A hash (SHA-256) over everything that a schema holds, equal for equal schemas on any server of the same major version: tables, columns and their order, constraints, indexes, sequences, types, views, functions, triggers, rules, policies, row level security. p_include adds owners, grants, comments. Members of extensions, the tables of migration tools, data and tablespaces do not count. Only reads. Errors: 22023.';
