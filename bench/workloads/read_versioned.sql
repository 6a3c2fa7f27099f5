\set file random(1, 2000)
SELECT content FROM versioned.get_project_file('00000000-0000-4000-8000-000000000001', 'src/file' || :file || '.ts');
