SELECT version FROM versioned.atomic_upsert_project_file('00000000-0000-4000-8000-000000000001', 'src/hot.ts', repeat(md5(random()::text), 64), 'typescript');
