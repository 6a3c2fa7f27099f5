// Story (a): a table of versions that only the application counts, what racing does to it, its repair, and the same
// application on the protected table.

import assert from 'node:assert/strict';
import test from 'node:test';

import { assertNumbered, nextVersion, prisma, schema, sql, together, upTo, versionsOf } from './support.mjs';
import { SchemaEngine } from './schema_engine.mjs';

/** Ten requests that all read before any of them writes, each outside any transaction. */
async function raceOfTen(fileId) {
    const read = await together(10, () => nextVersion(fileId));
    return together(10, (n) =>
        prisma.fileVersion.create({ data: { fileId, version: read[n - 1], content: `writer ${n}` } }),
    );
}

test('the tables are those that Prisma makes of the schema', async () => {
    const engine = await SchemaEngine.open(schema, 'orm');
    const { executedSteps, unexecutable } = await engine.push();
    assert.ok(executedSteps > 0);
    assert.deepEqual(unexecutable, []);
    await engine.close();
    assert.deepEqual(
        await sql(`SELECT column_name, data_type, column_default FROM information_schema.columns
                    WHERE table_name = 'file_version' ORDER BY ordinal_position`),
        [
            { column_name: 'id', data_type: 'text', column_default: null },
            { column_name: 'fileId', data_type: 'text', column_default: null },
            { column_name: 'version', data_type: 'integer', column_default: null },
            { column_name: 'content', data_type: 'text', column_default: null },
            {
                column_name: 'createdAt',
                data_type: 'timestamp without time zone',
                column_default: 'CURRENT_TIMESTAMP',
            },
        ],
    );
});

// Those of the file that the next tests go on with.
let fileId;

test('before: ten writers that read the same latest version make duplicates', async () => {
    ({ id: fileId } = await prisma.file.create({ data: { path: 'src/App.tsx' } }));
    await raceOfTen(fileId);
    await raceOfTen(fileId);
    const rows = await versionsOf(fileId);
    assert.deepEqual(
        rows.map((row) => row.version),
        [...Array(10).fill(1), ...Array(10).fill(2)],
    );
    // And somebody tidies up, or a transaction fails after its number was taken.
    await prisma.fileVersion.create({ data: { fileId, version: 7, content: 'after a gap' } });
});

test('before: a unique constraint cannot be added any more, and where there is one it raises P2002', async () => {
    await assert.rejects(sql('CREATE UNIQUE INDEX ON file_version ("fileId", version)'), { code: '23505' });
    const page = await prisma.page.create({ data: {} });
    const outcomes = await Promise.allSettled(
        upTo(10).map((n) => prisma.pageRevision.create({ data: { pageId: page.id, number: 1, body: `writer ${n}` } })),
    );
    const codes = outcomes.filter((o) => o.status === 'rejected').map((o) => o.reason.code);
    assert.deepEqual(codes, Array(9).fill('P2002'));
    await prisma.page.delete({ where: { id: page.id } });
});

test('a table with duplicates is not protected, and the refusal names the repair', async () => {
    await assert.rejects(sql(`SELECT versioned.enable_versioning('file_version', '{fileId}', 'version')`), (error) => {
        assert.match(`${error.message} ${error.detail} ${error.hint}`, /renumber_versions/);
        return true;
    });
    assert.equal((await versionsOf(fileId)).length, 21);
});

const report = () =>
    sql(`SELECT code FROM versioned.versioning_report('file_version', '{fileId}', 'version', NULL, '{createdAt}')`);
const renumber = (dryRun) =>
    sql(
        `SELECT * FROM versioned.renumber_versions('file_version', '{fileId}', 'version', '{createdAt}', p_dry_run => $1)`,
        [dryRun],
    );

test('the report, a dry run, the repair, and back', async () => {
    const found = (await report()).map((row) => row.code);
    for (const code of ['duplicate_versions', 'version_gaps', 'no_unique_constraint']) {
        assert.ok(found.includes(code), `${code} is not among ${found}`);
    }
    const before = await versionsOf(fileId);
    const shown = await renumber(true);
    assert.ok(shown.length > 0);
    assert.deepEqual(await versionsOf(fileId), before);

    const [{ backup }] = await renumber(false);
    const rows = await assertNumbered(fileId, 21);
    // Only numbers have changed, and they are in the order of time.
    const without = (list) => list.map(({ version, ...rest }) => rest).sort((a, b) => (a.id < b.id ? -1 : 1));
    assert.deepEqual(without(rows), without(before));
    assert.deepEqual(
        rows,
        [...rows].sort((a, b) => a.createdAt - b.createdAt),
    );

    // Prisma would drop the backup, which is a table that its schema does not have: out of its sight, it is still one.
    const engine = await SchemaEngine.open(schema, 'orm');
    assert.match(await engine.diff(), /DROP TABLE "file_version_backup_\w+";/);
    await sql('CREATE SCHEMA backups');
    const hide = (name) => sql(`ALTER TABLE ${name} SET SCHEMA backups`);
    await hide(backup);
    assert.equal((await engine.diff()).trim(), '-- This is an empty migration.');
    await engine.close();
    await sql('SELECT versioned.undo_renumber($1)', [`backups.${backup.split('.').at(-1)}`]);
    const inOrder = (list) => [...list].sort((a, b) => (a.id < b.id ? -1 : 1));
    assert.deepEqual(inOrder(await versionsOf(fileId)), inOrder(before));
    await hide((await renumber(false))[0].backup);
    await assertNumbered(fileId, 21);
});

test('the table is protected', async () => {
    await sql(`SELECT versioned.enable_versioning('file_version', '{fileId}', 'version')`);
    await sql(`SELECT versioned.enable_versioning('"PageRevision"', '{pageId}', 'number', p_on_explicit => 'error')`);
    await sql(
        `SELECT versioned.enable_versioning('"SystemPrompt"', '{templateId}', 'version', 'isActive', 'previousVersionId')`,
    );
    const { id } = await prisma.fileVersion.create({ data: { fileId, version: 22, content: 'as before' } });
    await assertNumbered(fileId, 22);
    await prisma.fileVersion.delete({ where: { id } });
    // Nothing is left of what the report found.
    assert.deepEqual(await report(), []);
});

test('after: the same ten writers make ten versions', async () => {
    const { id } = await prisma.file.create({ data: { path: 'src/main.ts' } });
    const created = [...(await raceOfTen(id)), ...(await raceOfTen(id))];
    const rows = await assertNumbered(id, 20);
    // Each writer has been told the number that its row has.
    assert.deepEqual(
        created.sort((a, b) => a.version - b.version),
        rows,
    );
    await raceOfTen(fileId);
    await assertNumbered(fileId, 31);
});

test('after: 32 clients with 20 versions each, and no retry', async () => {
    const { id } = await prisma.file.create({ data: { path: 'src/hot.ts' } });
    let retries = 0;
    /** What the application has had all along. */
    const createVersion = async (content) => {
        for (;;) {
            try {
                const version = await nextVersion(id);
                return await prisma.fileVersion.create({ data: { fileId: id, version, content } });
            } catch (error) {
                if (error.code !== 'P2002') throw error;
                retries++;
            }
        }
    };
    const created = await together(32, async (client) => {
        const own = [];
        for (const n of upTo(20)) own.push(await createVersion(`client ${client}, ${n}`));
        return own;
    });
    const rows = await assertNumbered(id, 32 * 20);
    assert.equal(retries, 0);
    assert.deepEqual(
        created.flat().sort((a, b) => a.version - b.version),
        rows,
    );
    // One after the other is one after the other.
    for (const own of created) {
        const numbers = own.map((row) => row.version);
        assert.deepEqual(
            numbers,
            [...numbers].sort((a, b) => a - b),
        );
    }
});
