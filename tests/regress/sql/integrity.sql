--
-- INTEGRITY AND STORAGE
--
-- What operators want to know of a project: is everything sound, and how much space does it take.
--
INSERT INTO projects (id, owner_id, name, framework)
VALUES ('1e900000-0000-4000-8000-000000000001', '5e1f0000-0000-4000-8000-000000000001', 'Integrity', 'react');
\set project 1e900000-0000-4000-8000-000000000001
-- 60 versions of 13 KB that differ by a word each.
SELECT max((atomic_upsert_project_file(:'project', 'a.txt',
            (SELECT string_agg(CASE WHEN n = v THEN 'edited' ELSE md5(n::text) END, E'\n' ORDER BY n) FROM generate_series(1, 400) n),
            'text')).version)
  FROM generate_series(1, 60) v;
SELECT * FROM check_project_integrity(:'project');

-- Stored as keyframes, versions based on one, and versions based on those.
SELECT CASE WHEN v.base_version IS NULL THEN 'keyframe' WHEN b.base_version IS NULL THEN 'middle' ELSE 'delta' END AS stands,
       count(*) > 0 AS some, max(octet_length(v.stored)) < 10000 AS small
  FROM project_file_versions v
  LEFT JOIN project_file_versions b ON b.file_id = v.file_id AND b.version = v.base_version
 WHERE v.project_id = :'project'
 GROUP BY 1 ORDER BY 1;
SELECT files, versions, content_bytes, stored_bytes BETWEEN 5000 AND 40000 AS stored, ratio > 20 AS compact
  FROM project_storage WHERE project_id = :'project';
SELECT attstorage FROM pg_attribute WHERE attrelid = 'project_file_versions'::regclass AND attname = 'stored';

-- Damage, as a disk or a superuser does it, is an error that names what is damaged, never another text.
SET session_replication_role = replica;
UPDATE project_file_versions SET stored = '\x00' WHERE project_id = :'project' AND version = 60;
SELECT content FROM get_project_file(:'project', 'a.txt');
\echo :SQLSTATE
SELECT content FROM project_files WHERE project_id = :'project' AND is_current_version;
\echo :SQLSTATE
-- Metadata is read all the same.
SELECT version, size_bytes FROM project_files WHERE project_id = :'project' AND is_current_version;
DELETE FROM project_file_versions WHERE project_id = :'project' AND version IN (7, 8);
UPDATE project_file_heads SET file_type = 'other' WHERE project_id = :'project';
RESET session_replication_role;
SELECT file_path, version, problem, detail FROM check_project_integrity(:'project') WHERE problem <> 'base_missing' ORDER BY version, problem;
-- The next version is not based on a damaged one.
SELECT version FROM atomic_upsert_project_file(:'project', 'a.txt', 'whole again', 'text');
SELECT content FROM get_project_file(:'project', 'a.txt');

-- Members check their projects; all projects are for privileged roles.
SELECT count(*) FROM check_project_integrity('1e900000-0000-4000-8000-00000000000f');
\echo :SQLSTATE
SET ROLE authenticated;
SELECT set_config('request.jwt.claims', '{"sub": "5e1f0000-0000-4000-8000-000000000001"}', false) IS NOT NULL AS signed_in;
SELECT count(*) > 0 AS found FROM check_project_integrity(:'project');
SELECT * FROM check_project_integrity();
\echo :SQLSTATE
RESET ROLE;
RESET request.jwt.claims;
SELECT delete_project(:'project');
