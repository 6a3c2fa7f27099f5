-- Tables of versions that people have already: what is wrong with them.

CREATE FUNCTION @extschema@.versioning_report(
    p_table          regclass,
    p_parent_columns text[],
    p_version_column text,
    p_current_column text DEFAULT NULL,
    p_order_columns  text[] DEFAULT NULL
) RETURNS TABLE (
        code        text,
        severity    text,
        description text,
        rows        bigint,
        example     jsonb,
        fix         text
    )
    LANGUAGE c STABLE PARALLEL UNSAFE COST 100 ROWS 10
    AS 'MODULE_PATHNAME', 'versioning_report_wrapper';
COMMENT ON FUNCTION @extschema@.versioning_report(regclass, text[], text, text, text[]) IS
    'What is wrong with a table that holds versions of something, a row each; no row if it is sound. p_parent_columns name what the versions are of, p_current_column the flag of the current version, p_order_columns the true order. severity is error, warning or info; rows is how many rows are concerned, example one of them, fix SQL that can be run as it is, in the order of the rows. Only reads. For the owner of the table. Errors: 22023, 42501.';
