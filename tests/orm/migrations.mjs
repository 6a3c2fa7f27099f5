// What `prisma db push`, `db pull` and `migrate` make of protected tables.

import assert from 'node:assert/strict';
import test from 'node:test';

import { pg, schema, sql } from './support.mjs';
import { SchemaEngine } from './schema_engine.mjs';

/** What Prisma calls no difference. */
const empty = '-- This is an empty migration.';

/** The schema with the line that the protected table has more: its unique constraint. */
const withUnique = schema.replace('@@map("file_version")', '@@unique([fileId, version])\n  @@map("file_version")');

test('the only difference is the unique constraint, which Prisma wants to drop as an index and cannot', async () => {
    const engine = await SchemaEngine.open(schema, 'orm');
    assert.match(await engine.diff(), /^-- DropIndex\nDROP INDEX "file_version_fileId_version_key";\s*$/);
    await assert.rejects(engine.push(), /cannot drop index "file_version_fileId_version_key"/);
    assert.notEqual(await engine.diff(), empty);
    await engine.close();
});

test('with @@unique in the schema there is no difference, and db push does nothing', async () => {
    const engine = await SchemaEngine.open(withUnique, 'orm');
    assert.equal((await engine.diff()).trim(), empty);
    assert.equal((await engine.push()).executedSteps, 0);
    await engine.close();
});

test('db pull finds @@unique and nothing else, and no default where there is none', async () => {
    const engine = await SchemaEngine.open(schema, 'orm');
    const words = (text) => text.replace(/\/\/.*/g, '').split(/\s+/).filter(Boolean).sort();
    const pulled = await engine.pull();
    assert.deepEqual(words(pulled), words(withUnique.replace('@default(dbgenerated())', '')));
    // Nor does it warn of anything that Prisma does not know.
    assert.ok(!pulled.includes('///'), pulled);
    await engine.close();
});

test('a migration protects the table, in the shadow database too', async () => {
    await sql('DROP DATABASE IF EXISTS orm_migrations WITH (FORCE)');
    await sql('CREATE DATABASE orm_migrations TEMPLATE template0');
    const engine = await SchemaEngine.open(withUnique, 'orm_migrations');
    const migrations = { '20260101000000_init': await engine.nextMigration({}) };
    assert.match(migrations['20260101000000_init'], /CREATE TABLE "file_version"/);
    migrations['20260102000000_protect'] = `
        CREATE SCHEMA versioned;
        CREATE EXTENSION pg_versioned SCHEMA versioned;
        SELECT versioned.enable_versioning('file_version', '{fileId}', 'version');`;
    const { appliedMigrationNames } = await engine.deploy(migrations);
    assert.deepEqual(appliedMigrationNames, Object.keys(migrations));
    // No drift, and nothing for the next migration to do.
    assert.equal(await engine.nextMigration(migrations), null);
    await engine.close();

    const client = new pg.Client({ database: 'orm_migrations' });
    await client.connect();
    await client.query(`INSERT INTO file VALUES ('f', 'a');
                        INSERT INTO file_version VALUES ('1', 'f', 9, ''), ('2', 'f', 9, '')`);
    const { rows } = await client.query('SELECT version FROM file_version ORDER BY 1');
    assert.deepEqual(rows, [{ version: 1 }, { version: 2 }]);
    await client.end();
    await sql('DROP DATABASE orm_migrations');
});

test('protected by hand and not by a migration, the table is drift to migrate dev', async () => {
    await sql('DROP DATABASE IF EXISTS orm_migrations WITH (FORCE)');
    await sql('CREATE DATABASE orm_migrations TEMPLATE template0');
    const engine = await SchemaEngine.open(schema, 'orm_migrations');
    const migrations = { '20260101000000_init': await engine.nextMigration({}) };
    await engine.deploy(migrations);
    assert.deepEqual(await engine.diagnose(migrations), { tag: 'createMigration' });
    const client = new pg.Client({ database: 'orm_migrations' });
    await client.connect();
    await client.query(`CREATE SCHEMA versioned; CREATE EXTENSION pg_versioned SCHEMA versioned;
                        SELECT versioned.enable_versioning('file_version', '{fileId}', 'version')`);
    await client.end();
    const action = await engine.diagnose(migrations);
    assert.equal(action.tag, 'reset');
    assert.match(action.reason, /Drift detected/);
    assert.match(action.reason, /file_version/);
    await engine.close();
    await sql('DROP DATABASE orm_migrations');
});

test('a static default would come back, @default(dbgenerated()) is none', async () => {
    const number = /version( +)Int\n( +content +String\n +createdAt)/;
    const diffWith = async (attribute) => {
        const changed = withUnique.replace(number, `version$1Int ${attribute}\n$2`);
        assert.notEqual(changed, withUnique);
        const engine = await SchemaEngine.open(changed, 'orm');
        const script = await engine.diff();
        await engine.close();
        return script;
    };
    assert.match(await diffWith('@default(1)'), /ALTER TABLE "file_version" ALTER COLUMN "version" SET DEFAULT 1;/);
    assert.equal((await diffWith('@default(dbgenerated())')).trim(), empty);
});
