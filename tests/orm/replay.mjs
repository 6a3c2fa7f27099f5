// A chain that Prisma's own engine writes and applies: replay_migrations runs it, and schema_drift agrees with Prisma on drift.

import assert from 'node:assert/strict';
import test from 'node:test';

import { pg, schema, sql } from './support.mjs';
import { SchemaEngine } from './schema_engine.mjs';

const database = 'orm_replay';
const init = '20260101000000_init';
const added = '20260102000000_summary';

/** The schema with one more column. */
const withSummary = schema.replace('isActive          Boolean', 'summary           String?\n  isActive          Boolean');

const list = (migrations) => JSON.stringify(Object.entries(migrations).map(([name, sql]) => ({ name, sql })));

test('Prisma: what its engine writes is replayed, and both see the same drift', async () => {
    assert.notEqual(withSummary, schema);
    await sql(`DROP DATABASE IF EXISTS ${database} WITH (FORCE)`);
    await sql(`CREATE DATABASE ${database} TEMPLATE template0`);
    const before = await SchemaEngine.open(schema, database);
    const migrations = { [init]: await before.nextMigration({}) };
    await before.deploy(migrations);
    await before.close();
    const engine = await SchemaEngine.open(withSummary, database);
    migrations[added] = await engine.nextMigration(migrations);
    assert.match(migrations[added], /ADD COLUMN\s+"summary" TEXT/);
    await engine.deploy(migrations);

    const client = new pg.Client({ database });
    await client.connect();
    // For Prisma the extension's schema is none of its schemas.
    await client.query('CREATE SCHEMA versioned; CREATE EXTENSION pg_versioned SCHEMA versioned');
    const replay = async (chain) => {
        const { rows } = await client.query('SELECT * FROM versioned.replay_migrations($1, $2, false)', [list(chain), ['public']]);
        return rows;
    };
    const drift = async () => {
        const { rows } = await client.query('SELECT * FROM versioned.schema_drift($1)', [list(migrations)]);
        return rows.map(({ kind, object, difference, migration }) => [kind, object, difference, migration]);
    };
    assert.deepEqual(
        (await replay(migrations)).map(({ name, ok, explanation }) => [name, ok, explanation]),
        [
            [init, true, null],
            [added, true, null],
        ],
    );

    // No drift, also of the table in which Prisma keeps its records.
    assert.deepEqual(await drift(), []);
    assert.deepEqual(await engine.diagnose(migrations), { tag: 'createMigration' });
    const changes = [
        ['ALTER TABLE "SystemPrompt" ADD "byHand" text', 'DROP COLUMN "byHand"', ['column', 'public."SystemPrompt"."byHand"', 'extra', null]],
        [
            'ALTER TABLE "SystemPrompt" DROP COLUMN summary',
            'ADD COLUMN summary text',
            ['column', 'public."SystemPrompt".summary', 'missing', added],
        ],
        [
            'ALTER TABLE "SystemPrompt" ALTER COLUMN content DROP NOT NULL',
            'ALTER COLUMN content SET NOT NULL',
            ['column', 'public."SystemPrompt".content', 'changed', init],
        ],
    ];
    for (const [change, undo, row] of changes) {
        await client.query(change);
        assert.deepEqual(await drift(), [row]);
        const action = await engine.diagnose(migrations);
        assert.equal(action.tag, 'reset');
        assert.match(action.reason, /Drift detected/);
        await client.query(`ALTER TABLE "SystemPrompt" ${undo}`);
        assert.deepEqual(await engine.diagnose(migrations), { tag: 'createMigration' });
    }

    // The first migration was edited and has the column already: Prisma only says that the second does not apply.
    const edited = { ...migrations, [init]: migrations[init].replace('"isActive"', '"summary" TEXT,\n    "isActive"') };
    await assert.rejects(engine.diagnose(edited), /failed to apply cleanly to the shadow database/);
    const [, second] = await replay(edited);
    assert.equal(second.sqlstate, '42701');
    assert.equal(
        second.explanation,
        `column "summary" of table "SystemPrompt" exists already: migration "${init}" made it`,
    );
    const { rows } = await client.query('SELECT name, finding FROM versioned.verify_migrations($1)', [list(edited)]);
    assert.deepEqual(rows, [{ name: init, finding: 'edited' }]);
    await engine.close();
    await client.end();
    await sql(`DROP DATABASE ${database}`);
});
