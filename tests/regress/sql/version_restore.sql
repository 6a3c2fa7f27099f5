--
-- RESTORING VERSIONS
--
-- restore_project_version(p_project_id, p_version_id, p_dry_run) makes the files of a project those of a version, by
-- new file versions: the history stays as it is.
--
INSERT INTO projects (id, owner_id, name, framework)
VALUES ('4e570000-0000-4000-8000-000000000001', '5e1f0000-0000-4000-8000-000000000001', 'Restored', 'react'),
       ('4e570000-0000-4000-8000-000000000002', '5e1f0000-0000-4000-8000-000000000001', 'Another', 'react');
\set project 4e570000-0000-4000-8000-000000000001
CREATE FUNCTION pg_temp.release(project uuid) RETURNS text LANGUAGE sql AS $$
    SELECT v.version_id FROM start_project_build(project) b, create_version_on_success(project, b.build_id) v
$$;
CREATE FUNCTION pg_temp.save(path text, content text, file_type text DEFAULT 'text') RETURNS integer
    RETURN (atomic_upsert_project_file(:'project', path, content, file_type)).version;
CREATE FUNCTION pg_temp.move(path text, to_path text) RETURNS integer
    RETURN (move_project_file(:'project', path, to_path)).version;
CREATE FUNCTION pg_temp.delete(path text) RETURNS integer
    RETURN (delete_project_file(:'project', path)).version;
-- Whether the live files are those of a version.
CREATE FUNCTION pg_temp.is_as_in(version text) RETURNS boolean LANGUAGE sql AS $$
    SELECT NOT EXISTS (
        (SELECT file_path, content, file_type, content_hash FROM get_project_version_files('4e570000-0000-4000-8000-000000000001', version)
          EXCEPT SELECT file_path, content, file_type, content_hash FROM get_current_project_files('4e570000-0000-4000-8000-000000000001'))
         UNION ALL
        (SELECT file_path, content, file_type, content_hash FROM get_current_project_files('4e570000-0000-4000-8000-000000000001')
          EXCEPT SELECT file_path, content, file_type, content_hash FROM get_project_version_files('4e570000-0000-4000-8000-000000000001', version)))
$$;

SELECT pg_temp.save('a.txt', 'a'), pg_temp.save('b.txt', 'b'), pg_temp.save('edited.txt', 'old'), pg_temp.save('edited.txt', 'as it was'),
       pg_temp.save('deleted.txt', 'deleted'), pg_temp.save('moved.txt', 'moved'), pg_temp.save('typed', 'key: value', 'yaml'),
       pg_temp.save('same.txt', 'same'), pg_temp.save('again.txt', 'same');
SELECT pg_temp.release(:'project') AS first \gset
-- The two swap their paths, one is edited, one deleted, one moved and edited, one gets another type, one is new; one is
-- changed and changed back.
SELECT pg_temp.move('a.txt', 'c.txt'), pg_temp.move('b.txt', 'a.txt'), pg_temp.move('c.txt', 'b.txt');
SELECT pg_temp.save('edited.txt', 'newer'), pg_temp.delete('deleted.txt'), pg_temp.move('moved.txt', 'lib/moved.txt'),
       pg_temp.save('lib/moved.txt', 'moved and edited'), pg_temp.save('typed', 'key: value', 'text'), pg_temp.save('new.txt', 'new'),
       pg_temp.save('again.txt', 'other'), pg_temp.save('again.txt', 'same');
SELECT pg_temp.release(:'project') AS second \gset

-- A dry run says what would happen, and changes nothing.
CREATE TEMP TABLE before AS SELECT * FROM project_files WHERE project_id = :'project';
SELECT * FROM restore_project_version(:'project', :'first', p_dry_run => true);
SELECT count(*) FROM (TABLE before EXCEPT SELECT * FROM project_files) gone;
SELECT count(*) FROM (SELECT * FROM project_files WHERE project_id = :'project' EXCEPT TABLE before) changed;
-- The same rows again, this time for real.
SELECT * FROM restore_project_version(:'project', lower(:'first'));
SELECT pg_temp.is_as_in(:'first');
SELECT file_path, content, file_type, version FROM get_current_project_files(:'project');
-- The history goes on, and versions keep their files.
SELECT version, file_path, is_deleted FROM get_project_file_history(:'project', 'a.txt');
SELECT version, file_path, is_deleted FROM get_project_file_history(:'project', 'deleted.txt');
SELECT version, file_path, is_deleted FROM get_project_file_history(:'project', 'new.txt');
SELECT count(*) FROM get_project_version_files(:'project', :'second') WHERE file_path IN ('new.txt', 'lib/moved.txt');
SELECT * FROM check_project_integrity(:'project');
-- There is nothing more to do.
SELECT * FROM restore_project_version(:'project', :'first');
SELECT count(*) FROM diff_project_versions(:'project', :'first');
-- The way back is the same.
SELECT * FROM restore_project_version(:'project', :'second', false);
SELECT pg_temp.is_as_in(:'second');

-- Another file has the path of one that comes back: one is deleted there, one added.
SELECT pg_temp.move('same.txt', 'elsewhere.txt'), pg_temp.save('same.txt', 'another file'), pg_temp.delete('elsewhere.txt');
SELECT * FROM restore_project_version(:'project', :'second');
SELECT pg_temp.is_as_in(:'second');
SELECT version, file_path, is_deleted FROM get_project_file_history(:'project', 'same.txt');
-- Three files that go round in a circle, one of them deleted in between.
SELECT pg_temp.move('a.txt', 'x'), pg_temp.move('b.txt', 'a.txt'), pg_temp.move('edited.txt', 'b.txt'), pg_temp.move('x', 'edited.txt'),
       pg_temp.delete('b.txt');
SELECT * FROM restore_project_version(:'project', :'second');
SELECT pg_temp.is_as_in(:'second');
SELECT * FROM check_project_integrity(:'project');

-- A version without files takes all of them away.
SELECT pg_temp.release('4e570000-0000-4000-8000-000000000002') AS others \gset
SELECT (atomic_upsert_project_file('4e570000-0000-4000-8000-000000000002', name, name, 'text')).version FROM unnest('{a,b}'::text[]) name;
SELECT * FROM restore_project_version('4e570000-0000-4000-8000-000000000002', :'others');
SELECT count(*) FROM get_current_project_files('4e570000-0000-4000-8000-000000000002');

--
-- In company
--
-- A build that was cut before keeps its files; one that was not gets those that were restored.
SELECT build_id AS cut, version_id AS third FROM start_project_build(:'project') \gset
SELECT count(cut_project_build(:'project', :'cut')) AS cut;
SELECT pg_temp.save('edited.txt', 'after the cut');
SELECT file_path, change FROM restore_project_version(:'project', :'first');
SELECT files_changed FROM create_version_on_success(:'project', :'cut');
SELECT count(*) FROM diff_project_versions(:'project', :'second', :'third');
SELECT pg_temp.release(:'project') AS fourth \gset
SELECT count(*) FROM diff_project_versions(:'project', :'first', :'fourth');
-- With saves and versions in one transaction; undone, nothing has happened.
BEGIN;
SELECT pg_temp.save('edited.txt', 'in a transaction');
SELECT file_path, change, version FROM restore_project_version(:'project', :'fourth');
SELECT pg_temp.is_as_in(:'fourth');
SELECT count(*) FROM restore_project_version(:'project', :'second');
SELECT pg_temp.release(:'project') AS undone \gset
SELECT count(*) FROM diff_project_versions(:'project', :'second', :'undone');
ROLLBACK;
SELECT count(*) FROM diff_project_versions(:'project', :'first');

-- It is one save, however many files it changes; a dry run is none.
SELECT role FROM add_project_member(:'project', '5e1f0000-0000-4000-8000-00000000000e', 'editor');
SET pg_versioned.save_rate = 1;
SET pg_versioned.save_burst = 1;
SET ROLE authenticated;
SELECT set_config('request.jwt.claims', '{"sub": "5e1f0000-0000-4000-8000-00000000000e"}', false) IS NOT NULL AS editor;
SELECT count(*) > 5 AS many FROM restore_project_version(:'project', :'second', true);
SELECT count(*) > 5 AS many FROM restore_project_version(:'project', :'second', true);
SELECT count(*) > 5 AS many FROM restore_project_version(:'project', :'second');
\set VERBOSITY sqlstate
SELECT count(*) FROM restore_project_version(:'project', :'first');
\set VERBOSITY default
-- Who restores is who saves.
RESET ROLE;
RESET request.jwt.claims;
RESET pg_versioned.save_rate;
RESET pg_versioned.save_burst;
SELECT file_path, created_by FROM project_files WHERE project_id = :'project' AND is_current_version AND created_by IS NOT NULL ORDER BY file_path;

--
-- What is refused
--
CREATE FUNCTION pg_temp.error_of(sql text, OUT code text, OUT message text, OUT detail text, OUT hint text)
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE sql;
EXCEPTION WHEN OTHERS THEN
    code := SQLSTATE;
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    message := regexp_replace(message, '01[^A][0-9A-HJKMNP-TV-Z]{23}', '<id>', 'g');
    detail := regexp_replace(detail, '01[^A][0-9A-HJKMNP-TV-Z]{23}', '<id>', 'g');
END
$$;
SELECT call, code, message
  FROM (VALUES (1, 'NULL, %2$L'), (2, '%1$L, NULL'), (3, '%1$L, %2$L, NULL'), (4, '%1$L, ''1.0.0'''), (5, '%1$L, ''01ARZ3NDEKTSV4RRFFQ69G5FAV'''),
               (6, '%1$L, %3$L'), (7, '''4e570000-0000-4000-8000-0000000000ff'', %2$L')) c (n, call),
       pg_temp.error_of(format('SELECT restore_project_version(' || call || ')', :'project', :'first', :'others')) e
 ORDER BY n;
-- A deleted version must be brought back first.
SELECT count(delete_project_version(:'project', :'first')) AS deleted;
\x on
SELECT * FROM pg_temp.error_of(format('SELECT restore_project_version(%L, %L)', :'project', :'first'));
SELECT code FROM pg_temp.error_of(format('SELECT restore_project_version(%L, %L, true)', :'project', :'first'));
\x off
SELECT count(undelete_project_version(:'project', :'first')) AS undeleted;
-- All files or none: here one is damaged.
SET session_replication_role = replica;
UPDATE project_file_versions SET stored = '\x00' WHERE project_id = :'project' AND file_path = 'typed' AND version = 1;
RESET session_replication_role;
SELECT code, message FROM pg_temp.error_of(format('SELECT restore_project_version(%L, %L)', :'project', :'first'));
SELECT count(*) FROM diff_project_versions(:'project', :'second');
BEGIN READ ONLY;
SELECT code FROM pg_temp.error_of(format('SELECT restore_project_version(%L, %L, true)', :'project', :'first'));
ROLLBACK;

SELECT bool_and(delete_project(id)) AS deleted FROM projects;
