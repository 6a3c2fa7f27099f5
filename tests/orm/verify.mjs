// verify_migrations on the tables that Prisma's schema engine and Drizzle's migrator write.

import assert from 'node:assert/strict';
import { appendFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import test from 'node:test';

import { pg, require, schema, sql } from './support.mjs';
import { SchemaEngine } from './schema_engine.mjs';

const { drizzle } = require('drizzle-orm/node-postgres');
const { migrate } = require('drizzle-orm/node-postgres/migrator');

const database = 'orm_verify';

/** A connection to a database that is empty, as Prisma wants it at first. */
async function fresh() {
    await sql(`DROP DATABASE IF EXISTS ${database} WITH (FORCE)`);
    await sql(`CREATE DATABASE ${database} TEMPLATE template0`);
    const client = new pg.Client({ database });
    await client.connect();
    return client;
}

const install = (client) => client.query('CREATE SCHEMA versioned; CREATE EXTENSION pg_versioned SCHEMA versioned');

/** The findings about migrations, as [name, finding]. */
async function findings(client, migrations, tool = 'auto') {
    const list = Object.entries(migrations).map(([name, sql]) => ({ name, sql }));
    const { rows } = await client.query('SELECT * FROM versioned.verify_migrations($1, $2)', [JSON.stringify(list), tool]);
    return rows.map(({ name, finding }) => [name, finding]);
}

const first = '20260101000000_prompts';
const second = '20260102000000_previous';
const third = '20260103000000_broken';

test('Prisma: the first migration was edited after it ran', async () => {
    const client = await fresh();
    const engine = await SchemaEngine.open(schema, database);
    const migrations = {
        [first]: 'CREATE TABLE "SystemPrompt" ("id" TEXT NOT NULL);\n',
        [second]: 'ALTER TABLE "SystemPrompt" ADD COLUMN "previousVersionId" TEXT;\n',
    };
    const { appliedMigrationNames } = await engine.deploy(migrations);
    assert.deepEqual(appliedMigrationNames, [first, second]);
    await install(client);
    assert.deepEqual(await findings(client, migrations), []);
    // As the files are, and with the line ends of another system.
    const files = Object.fromEntries(
        Object.entries(migrations).map(([name, sql]) => [
            `prisma/migrations/${name}/migration.sql`,
            sql.replaceAll('\n', '\r\n'),
        ]),
    );
    assert.deepEqual(await findings(client, files, 'prisma'), []);
    const edited = {
        ...migrations,
        [first]: 'CREATE TABLE "SystemPrompt" ("id" TEXT NOT NULL, "previousVersionId" TEXT);\n',
    };
    assert.deepEqual(await findings(client, edited), [[first, 'edited']]);
    assert.deepEqual(await findings(client, { [second]: migrations[second] }), [[first, 'not in the list']]);
    const early = { '20251231000000_early': 'SELECT 1', ...migrations };
    assert.deepEqual(await findings(client, early), [['20251231000000_early', 'out of order']]);

    // One that fails, and is tried again.
    const broken = { ...migrations, [third]: 'SELECT 1; ALTER TABLE "Nothing" ADD COLUMN "x" TEXT' };
    assert.deepEqual(await findings(client, broken), [[third, 'missing']]);
    await assert.rejects(engine.deploy(broken));
    assert.deepEqual(await findings(client, broken), [[third, 'failed']]);
    await engine.engine.markMigrationRolledBack({ migrationName: third });
    assert.deepEqual(await findings(client, broken), [[third, 'missing']]);
    const mended = { ...migrations, [third]: 'SELECT 1' };
    assert.deepEqual((await engine.deploy(mended)).appliedMigrationNames, [third]);
    assert.deepEqual(await findings(client, mended), []);
    assert.deepEqual(await findings(client, broken), [[third, 'edited']]);
    await engine.close();
    await client.end();
});

test('Drizzle: pairs hashes without names', async () => {
    const client = await fresh();
    const folder = `${process.env.ORM_WORK}/drizzle`;
    const files = ['0000_prompts.sql', '0001_previous.sql', '0002_last.sql'];
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(`${folder}/meta`, { recursive: true });
    writeFileSync(`${folder}/${files[0]}`, 'CREATE TABLE prompt (id text);--> statement-breakpoint\nCREATE TABLE é ();\n');
    writeFileSync(`${folder}/${files[1]}`, 'ALTER TABLE prompt ADD previous text;\r\n');
    writeFileSync(`${folder}/${files[2]}`, 'ALTER TABLE prompt ADD last text;');
    const journal = (entries) =>
        writeFileSync(
            `${folder}/meta/_journal.json`,
            JSON.stringify({
                version: '7',
                dialect: 'postgresql',
                entries: entries.map((idx) => ({
                    idx,
                    version: '7',
                    when: 1_767_225_600_000 + idx * 1000,
                    tag: files[idx].replace('.sql', ''),
                    breakpoints: true,
                })),
            }),
        );
    const pool = new pg.Pool({ database });
    const apply = async (entries) => {
        journal(entries);
        await migrate(drizzle(pool), { migrationsFolder: folder });
    };
    const read = (names = files) =>
        Object.fromEntries(names.map((name) => [`drizzle/${name}`, readFileSync(`${folder}/${name}`, 'utf8')]));
    await install(client);
    await apply([0, 2]);
    // Drizzle never applies what the journal dates before the last one.
    assert.deepEqual(await findings(client, read()), [[`drizzle/${files[1]}`, 'out of order']]);
    await apply([0, 1, 2]);
    assert.deepEqual(await findings(client, read()), [[`drizzle/${files[1]}`, 'out of order']]);
    assert.deepEqual(await findings(client, read([files[0], files[2]])), []);
    appendFileSync(`${folder}/${files[0]}`, '-- edited');
    assert.deepEqual(await findings(client, read([files[0], files[2]])), [[`drizzle/${files[0]}`, 'edited']]);
    await pool.end();
    await client.end();
    await sql(`DROP DATABASE ${database}`);
});
