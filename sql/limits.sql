-- How often an actor may save.

-- Unlogged: a crash only loses who has saved how much. Not unique: a saver that finds the slot taken adds another.
CREATE UNLOGGED TABLE @extschema@.rate_limits (
    project_id uuid        NOT NULL,
    actor      uuid        NOT NULL,
    paid_off   timestamptz NOT NULL
);
CREATE INDEX rate_limits_project_id_actor ON @extschema@.rate_limits (project_id, actor);
COMMENT ON TABLE @extschema@.rate_limits IS
    'How much of pg_versioned.save_rate and pg_versioned.save_burst each actor has used in a project, in one row or several. It is safe to empty this table.';
COMMENT ON COLUMN @extschema@.rate_limits.paid_off IS
    'When the saves made so far will be paid off at the allowed rate; the latest of an actor''s rows counts.';
