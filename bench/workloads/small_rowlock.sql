\set file random(1, 2000)
SELECT peers.rowlock_save('00000000-0000-4000-8000-000000000001', 'src/file' || :file || '.ts', repeat(md5(random()::text), 64));
