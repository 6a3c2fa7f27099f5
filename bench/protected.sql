-- What the section protected measures: tables of an application's versions, all of the same columns and constraints.

CREATE SCHEMA own;

-- Numbered by its clients, each of which has parents or numbers of its own.
CREATE TABLE own.plain (
    id          uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    parent      text        NOT NULL,
    version     integer     NOT NULL,
    is_current  boolean     NOT NULL DEFAULT true,
    previous_id uuid,
    content     text        NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    UNIQUE (parent, version)
);

CREATE TABLE own.numbered (LIKE own.plain INCLUDING ALL);
CREATE TABLE own.flagged (LIKE own.plain INCLUDING ALL);
CREATE TABLE own.linked (LIKE own.plain INCLUDING ALL);
SELECT FROM versioned.enable_versioning('own.numbered', '{parent}', 'version');
SELECT FROM versioned.enable_versioning('own.flagged', '{parent}', 'version', 'is_current');
SELECT FROM versioned.enable_versioning('own.linked', '{parent}', 'version', 'is_current', 'previous_id');

-- What numbering takes in PL/pgSQL, done right.
CREATE TABLE own.locked_max (LIKE own.plain INCLUDING ALL);
CREATE FUNCTION own.next_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(NEW.parent, 0));
    SELECT coalesce(max(version), 0) + 1 INTO NEW.version FROM own.locked_max WHERE parent = NEW.parent;
    RETURN NEW;
END
$$;
CREATE TRIGGER next_version BEFORE INSERT ON own.locked_max FOR EACH ROW EXECUTE FUNCTION own.next_version();

-- "SELECT … FOR UPDATE, then version + 1", which keeps a flag as well: right only while a parent has one client.
CREATE TABLE own.row_locked (LIKE own.plain INCLUDING ALL);
CREATE UNIQUE INDEX ON own.row_locked (parent) WHERE is_current;
CREATE FUNCTION own.row_locked_save(p_parent text, p_content text) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    v_version integer;
BEGIN
    SELECT version INTO v_version FROM own.row_locked WHERE parent = p_parent AND is_current FOR UPDATE;
    UPDATE own.row_locked SET is_current = false WHERE parent = p_parent AND is_current;
    INSERT INTO own.row_locked (parent, version, content) VALUES (p_parent, coalesce(v_version, 0) + 1, p_content)
    RETURNING version INTO v_version;
    RETURN v_version;
END
$$;

-- That every table has what its peer promises.
CREATE PROCEDURE own.check_rows() LANGUAGE plpgsql AS $$
DECLARE
    v_table text;
    v_wrong bigint;
BEGIN
    FOREACH v_table IN ARRAY ARRAY['numbered', 'flagged', 'linked', 'locked_max', 'row_locked'] LOOP
        EXECUTE format('SELECT count(*) FROM (SELECT FROM own.%I GROUP BY parent
                         HAVING max(version) <> count(*) OR min(version) <> 1) p', v_table) INTO v_wrong;
        ASSERT v_wrong = 0, format('%s parents of %s are not numbered from 1 on', v_wrong, v_table);
    END LOOP;
    FOREACH v_table IN ARRAY ARRAY['flagged', 'linked', 'row_locked'] LOOP
        EXECUTE format('SELECT count(*) FROM (SELECT FROM own.%I GROUP BY parent
                         HAVING count(*) FILTER (WHERE is_current) <> 1) p', v_table) INTO v_wrong;
        ASSERT v_wrong = 0, format('%s parents of %s have not one current row', v_wrong, v_table);
    END LOOP;
    SELECT count(*) INTO v_wrong FROM own.linked l
     WHERE previous_id IS DISTINCT FROM (SELECT id FROM own.linked p WHERE p.parent = l.parent AND p.version = l.version - 1);
    ASSERT v_wrong = 0, format('%s rows do not link to the one before', v_wrong);
END
$$;
