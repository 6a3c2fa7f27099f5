-- Repairing the numbers of tables that people have already.

CREATE FUNCTION @extschema@.renumber_versions(
    p_table          regclass,
    p_parent_columns text[],
    p_version_column text,
    p_order_columns  text[],
    p_current_column text DEFAULT NULL,
    p_dry_run        boolean DEFAULT true
) RETURNS TABLE (
        row_key     jsonb,
        parent      jsonb,
        old_version bigint,
        new_version bigint,
        old_current boolean,
        new_current boolean,
        backup      text
    )
    LANGUAGE c VOLATILE PARALLEL UNSAFE COST 100 ROWS 1000
    AS 'MODULE_PATHNAME', 'renumber_versions_wrapper';
COMMENT ON FUNCTION @extschema@.renumber_versions(regclass, text[], text, text[], text, boolean) IS
    'Numbers the rows of each parent 1, 2, 3 ... in the order of p_order_columns (nulls first, ties by primary key), and sees to it that exactly one is current: the newest of several that are, or the newest of all. Every other column keeps its value, and no trigger of the user fires. Returns one row per row that changes; with p_dry_run nothing does. Otherwise writers are locked out, and the changed rows'' old numbers and flags are kept in the table backup, from which undo_renumber puts them back. For the table''s owner. Errors: 22023, 25001, 42501, 55000, 55006.';

CREATE FUNCTION @extschema@.undo_renumber(p_backup regclass)
    RETURNS TABLE (
        row_key     jsonb,
        old_version bigint,
        new_version bigint,
        restored    boolean,
        reason      text
    )
    LANGUAGE c VOLATILE PARALLEL UNSAFE COST 100 ROWS 1000
    AS 'MODULE_PATHNAME', 'undo_renumber_wrapper';
COMMENT ON FUNCTION @extschema@.undo_renumber(regclass) IS
    'Gives rows the numbers and flags back that renumber_versions changed, from the backup that it made. Returns one row per row of the backup, with the number that it had and the one that it has now. Rows that have been deleted or changed since are left alone, and so are all rows of a parent for which a unique index forbids the old numbers: restored is false, and reason says why. For the owner of both tables. Errors: 22023, 25001, 42501, 55000, 55006.';
