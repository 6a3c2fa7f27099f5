\set file random(1, 2000)
SELECT content FROM versioned.project_files WHERE project_id = '00000000-0000-4000-8000-000000000001' AND file_path = 'src/file' || :file || '.ts' AND is_current_version;
