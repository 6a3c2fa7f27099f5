--
-- COMPARING VERSIONS
--
-- diff_project_versions(p_project_id, p_from_version_id, p_to_version_id, p_context) shows what differs between two
-- versions, or between one and the files as they are now: one row per file, as git would say it.
--
INSERT INTO projects (id, owner_id, name, framework)
VALUES ('d1ff0000-0000-4000-8000-000000000001', '5e1f0000-0000-4000-8000-000000000001', 'Differences', 'react'),
       ('d1ff0000-0000-4000-8000-000000000002', '5e1f0000-0000-4000-8000-000000000001', 'Another', 'react');
\set project d1ff0000-0000-4000-8000-000000000001
-- Builds and succeeds at once; says the version.
CREATE FUNCTION pg_temp.release(project uuid) RETURNS text LANGUAGE sql AS $$
    SELECT v.version_id FROM start_project_build(project) b, create_version_on_success(project, b.build_id) v
$$;
CREATE FUNCTION pg_temp.save(path text, content text, file_type text DEFAULT 'text') RETURNS integer
    RETURN (atomic_upsert_project_file(:'project', path, content, file_type)).version;
CREATE FUNCTION pg_temp.move(path text, to_path text) RETURNS integer
    RETURN (move_project_file(:'project', path, to_path)).version;
CREATE FUNCTION pg_temp.delete(path text) RETURNS integer
    RETURN (delete_project_file(:'project', path)).version;

SELECT pg_temp.save('edited.txt', (SELECT string_agg('line ' || n, E'\n') || E'\n' FROM generate_series(1, 12) n));
SELECT pg_temp.save('deleted.txt', E'old\n'), pg_temp.save('moved.txt', E'same\n'), pg_temp.save('both.txt', E'1\n2\n3\n'),
       pg_temp.save('typed', E'key: value\n'), pg_temp.save('same.txt', E'same\n'), pg_temp.save('empty.txt', '');
SELECT pg_temp.release(:'project') AS first \gset
SELECT pg_temp.save('edited.txt', (SELECT string_agg(CASE n WHEN 6 THEN 'LINE 6' ELSE 'line ' || n END, E'\n') FROM generate_series(1, 12) n));
SELECT pg_temp.delete('deleted.txt'), pg_temp.move('moved.txt', 'lib/moved.txt'), pg_temp.move('both.txt', 'lib/both.txt'),
       pg_temp.save('lib/both.txt', E'1\n2\n3\n4\n'), pg_temp.save('typed', E'key: value\n', 'yaml'), pg_temp.save('added.txt', E'new\n'),
       pg_temp.save('also empty.txt', ''), pg_temp.delete('empty.txt');
-- Saved and put back as it was, and created and deleted again: no difference.
SELECT pg_temp.save('same.txt', E'other\n'), pg_temp.save('same.txt', E'same\n'), pg_temp.save('brief.txt', 'x'), pg_temp.delete('brief.txt');
SELECT pg_temp.release(:'project') AS second \gset

-- What has happened to which file, in order of paths.
SELECT file_path, from_path, change, lines_added, lines_removed, diff <> '' AS shown
  FROM diff_project_versions(:'project', :'first', :'second');
-- The line counts are those of the version.
SELECT (files_changed, lines_added, lines_removed)
     = (SELECT count(*), sum(lines_added), sum(lines_removed) FROM diff_project_versions(:'project', :'first', :'second')) AS as_in_version
  FROM project_versions WHERE project_id = :'project' AND version_id = :'second';
-- The other way round.
SELECT file_path, from_path, change, lines_added, lines_removed
  FROM diff_project_versions(:'project', :'second', :'first');
-- Without the second version: up to now.
SELECT count(*) FROM diff_project_versions(:'project', :'second');
SELECT pg_temp.save('added.txt', E'newer\n');
SELECT file_path, from_path, change, lines_added, lines_removed FROM diff_project_versions(:'project', :'second');
SELECT count(*) FROM diff_project_versions(:'project', :'second', :'second');
SELECT count(*) FROM diff_project_versions(:'project', lower(:'first'), :'first');

-- The diffs are a patch.
\pset format unaligned
\pset tuples_only on
SELECT string_agg(diff, '' ORDER BY file_path) FROM diff_project_versions(:'project', :'first', :'second');
-- With as many lines around changes as one asks for.
SELECT diff FROM diff_project_versions(:'project', :'first', :'second', 0) WHERE file_path = 'edited.txt';
SELECT diff FROM diff_project_versions(:'project', :'first', :'second', p_context => 1) WHERE file_path = 'edited.txt';
SELECT diff = diff_project_file AS as_of_the_file
  FROM diff_project_versions(:'project', :'first', :'second', p_context => 3), diff_project_file(:'project', 'edited.txt', 1, 2)
 WHERE file_path = 'edited.txt';

-- Two files that swap their paths are moved, both.
SELECT pg_temp.save('a.txt', E'a\n'), pg_temp.save('b.txt', E'b\n');
SELECT pg_temp.release(:'project') AS third \gset
SELECT pg_temp.move('a.txt', 'c.txt'), pg_temp.move('b.txt', 'a.txt'), pg_temp.move('c.txt', 'b.txt'), pg_temp.save('b.txt', E'a\nmore\n');
SELECT file_path, from_path, change, lines_added, lines_removed FROM diff_project_versions(:'project', :'third');
SELECT string_agg(diff, '' ORDER BY file_path) FROM diff_project_versions(:'project', :'third');
-- A file at whose path another one is now has become that; each path is named once.
SELECT pg_temp.release(:'project') AS fourth \gset
SELECT pg_temp.delete('a.txt'), pg_temp.move('b.txt', 'a.txt');
SELECT file_path, from_path, change, lines_added, lines_removed FROM diff_project_versions(:'project', :'fourth');
SELECT string_agg(diff, '' ORDER BY file_path) FROM diff_project_versions(:'project', :'fourth');
-- A file that goes elsewhere is moved, also if another takes its place.
SELECT pg_temp.release(:'project') AS fifth \gset
SELECT pg_temp.move('a.txt', 'z.txt'), pg_temp.save('a.txt', E'anew\n');
SELECT file_path, from_path, change FROM diff_project_versions(:'project', :'fifth');
\pset format aligned
\pset tuples_only off

--
-- Too much to compare
--
-- Lines that are equal at the beginning and the end do not count; if more than pg_versioned.max_compared_lines remain,
-- all of them are replaced.
SELECT pg_temp.release(:'project') AS sixth \gset
SELECT pg_temp.save('edited.txt', (SELECT string_agg(CASE WHEN n IN (3, 9) THEN 'LINE ' ELSE 'line ' END || n, E'\n') FROM generate_series(1, 12) n));
SET pg_versioned.max_compared_lines = 6;
\pset format unaligned
\pset tuples_only on
SELECT lines_added, lines_removed, diff FROM diff_project_versions(:'project', :'sixth', p_context => 1);
RESET pg_versioned.max_compared_lines;
SELECT lines_added, lines_removed, diff FROM diff_project_versions(:'project', :'sixth', p_context => 1);
\pset format aligned
\pset tuples_only off

-- Deleted versions can be compared.
SELECT count(delete_project_version(:'project', :'first')) AS deleted;
SELECT count(*) FROM diff_project_versions(:'project', :'first', :'second');

--
-- What is refused
--
CREATE FUNCTION pg_temp.error_of(sql text, OUT code text, OUT message text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE sql;
EXCEPTION WHEN OTHERS THEN
    code := SQLSTATE;
    message := regexp_replace(SQLERRM, '01[^A][0-9A-HJKMNP-TV-Z]{23}', '<id>', 'g');
END
$$;
SELECT pg_temp.release('d1ff0000-0000-4000-8000-000000000002') AS others \gset
SELECT call, e.*
  FROM (VALUES (1, 'NULL, %2$L'), (2, '%1$L, NULL'), (3, '%1$L, %2$L, NULL, NULL'), (4, '%1$L, %2$L, NULL, -1'), (5, '%1$L, %2$L, NULL, 1001'),
               (6, '%1$L, ''1.0.0'''), (7, '%1$L, %2$L, ''1.0.0'''), (8, '%1$L, ''01ARZ3NDEKTSV4RRFFQ69G5FAV'''), (9, '%1$L, %3$L'),
               (10, '%1$L, %2$L, %3$L'), (11, '''d1ff0000-0000-4000-8000-0000000000ff'', %2$L')) c (n, call),
       pg_temp.error_of(format('SELECT diff_project_versions(' || call || ')', :'project', :'second', :'others')) e
 ORDER BY n;
-- Damage is named, here that of a file that was changed.
SET session_replication_role = replica;
UPDATE project_file_versions SET stored = '\x00' WHERE project_id = :'project' AND file_path = 'deleted.txt' AND version = 1;
RESET session_replication_role;
SELECT * FROM pg_temp.error_of(format('SELECT diff_project_versions(%L, %L, %L)', :'project', :'first', :'second'));

-- Comparing writes nothing.
BEGIN READ ONLY;
SELECT count(*) FROM diff_project_versions(:'project', :'second', :'sixth');
ROLLBACK;

SELECT bool_and(delete_project(id)) AS deleted FROM projects;
