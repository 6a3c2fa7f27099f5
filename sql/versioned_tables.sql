-- Tables of users whose versions are numbered by triggers.

-- In a schema whose name never changes: dumps of users' tables refer to it.
CREATE FUNCTION versioned_internal.number_version() RETURNS trigger
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'number_version_wrapper';
COMMENT ON FUNCTION versioned_internal.number_version() IS
    'Trigger function of tables with versioning enabled: gives an inserted row its number, flag and link, and refuses changes of parent and number. Errors: 22023, 40001, 55000, PT409.';

CREATE FUNCTION versioned_internal.settle_version() RETURNS trigger
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'settle_version_wrapper';
COMMENT ON FUNCTION versioned_internal.settle_version() IS
    'Trigger function of tables with versioning enabled: after a row was inserted, changed or deleted, makes the flag and the link of other rows follow. Errors: 09000, 22023, 40001, 55000.';

CREATE FUNCTION @extschema@.enable_versioning(
    p_table              regclass,
    p_parent_columns     text[],
    p_version_column     text,
    p_current_column     text DEFAULT NULL,
    p_previous_id_column text DEFAULT NULL,
    p_on_explicit        text DEFAULT 'renumber'
) RETURNS TABLE (
        action    text,
        statement text
    )
    LANGUAGE c VOLATILE PARALLEL UNSAFE COST 100 ROWS 10
    AS 'MODULE_PATHNAME', 'enable_versioning_wrapper';
COMMENT ON FUNCTION @extschema@.enable_versioning(regclass, text[], text, text, text, text) IS
    'Makes every way to insert rows into a table of the caller''s race-free: triggers number the versions of each parent 1, 2, 3 ..., keep one row of each current, and link each row to the one before it. Before that it removes a default and redundant constraints and adds what is missing. Returns the statements that it has run, none if nothing had to be changed. A number that is not the next one is replaced (p_on_explicit ''renumber'') or refused with PT409 (''error''). Errors: 22023, 25001, 25006, 42501, 55000.';

CREATE FUNCTION @extschema@.disable_versioning(p_table regclass) RETURNS TABLE (
        action    text,
        statement text
    )
    LANGUAGE c VOLATILE PARALLEL UNSAFE COST 100 ROWS 10
    AS 'MODULE_PATHNAME', 'disable_versioning_wrapper';
COMMENT ON FUNCTION @extschema@.disable_versioning(regclass) IS
    'Removes the triggers of enable_versioning from a table of the caller''s, and makes unique again the indexes on the flag that it has found unique. What it has added otherwise stays. Returns the statements that it has run. Errors: 22023, 25001, 25006, 42501.';

CREATE VIEW @extschema@.versioned_tables WITH (security_invoker = true) AS
SELECT t.tgrelid::pg_catalog.regclass AS table_name,
       ARRAY(SELECT pg_catalog.jsonb_array_elements_text(c.config OPERATOR(pg_catalog.->) 'parent_columns')) AS parent_columns,
       c.config OPERATOR(pg_catalog.->>) 'version_column' AS version_column,
       c.config OPERATOR(pg_catalog.->>) 'current_column' AS current_column,
       c.config OPERATOR(pg_catalog.->>) 'previous_id_column' AS previous_id_column,
       c.config OPERATOR(pg_catalog.->>) 'on_explicit' AS on_explicit,
       t.tgenabled OPERATOR(pg_catalog.<>) 'D' AS enabled
  FROM pg_catalog.pg_trigger t
  JOIN pg_catalog.pg_proc p ON p.oid OPERATOR(pg_catalog.=) t.tgfoid
 CROSS JOIN LATERAL (
       -- Others can create triggers with these functions, too, and any arguments.
       SELECT CASE WHEN t.tgnargs OPERATOR(pg_catalog.=) 1::smallint
                    AND pg_catalog.position(t.tgargs, '{"parent_columns":'::pg_catalog.bytea) OPERATOR(pg_catalog.=) 1
                   THEN pg_catalog.convert_from(
                            pg_catalog.substring(t.tgargs, 1, pg_catalog.length(t.tgargs) OPERATOR(pg_catalog.-) 1),
                            'UTF8')::pg_catalog.jsonb END AS config) c
 WHERE p.pronamespace OPERATOR(pg_catalog.=) 'versioned_internal'::pg_catalog.regnamespace
   AND p.proname OPERATOR(pg_catalog.=) 'number_version'
   AND t.tgparentid OPERATOR(pg_catalog.=) 0
   AND c.config IS NOT NULL
   -- The trigger for INSERT (pg_trigger.h).
   AND (t.tgtype OPERATOR(pg_catalog.&) 4::smallint) OPERATOR(pg_catalog.<>) 0::smallint;
COMMENT ON VIEW @extschema@.versioned_tables IS
    'Tables with versioning enabled, one row per table, as their triggers have it: the arguments of enable_versioning, and whether the trigger is enabled.';
