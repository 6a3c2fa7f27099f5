\set file random(1, 2000)
SELECT v.content FROM peers.floor_heads h JOIN peers.floor_versions v USING (project_id, file_path, version) WHERE h.project_id = '00000000-0000-4000-8000-000000000001' AND h.file_path = 'src/file' || :file || '.ts';
