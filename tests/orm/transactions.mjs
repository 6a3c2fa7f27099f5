// Transactions of Prisma's: interactive ones, batches, and every isolation level.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { Prisma, assertNumbered, nextVersion, prisma, sql, together, versionsOf } from './support.mjs';

const newFile = () => prisma.file.create({ data: { path: randomUUID() } });

/** Reads the latest version and creates the next one, in one transaction. */
function createInTransaction(fileId, options) {
    return prisma.$transaction(async (tx) => {
        const version = await nextVersion(fileId, tx);
        return tx.fileVersion.create({ data: { fileId, version, content: 'in a transaction' } });
    }, options);
}

/** Waits until a session waits for a lock, at most ten seconds. */
async function untilWaiting() {
    const waiting = () =>
        sql(`SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`);
    for (const end = Date.now() + 10_000; (await waiting()).length === 0; await sleep(5)) {
        assert.ok(Date.now() < end, 'nobody waits');
    }
}

test('interactive transactions', async () => {
    const { id: fileId } = await newFile();
    const created = await together(32, () => createInTransaction(fileId));
    const rows = await assertNumbered(fileId, 32);
    assert.deepEqual(
        created.sort((a, b) => a.version - b.version),
        rows,
    );
});

test('batches', async () => {
    const { id: fileId } = await newFile();
    const create = () => prisma.fileVersion.create({ data: { fileId, version: 1, content: '' } });
    const batches = await together(16, () => prisma.$transaction([create(), create(), create()]));
    await assertNumbered(fileId, 48);
    for (const rows of batches) {
        assert.deepEqual(
            rows.map((row) => row.version - rows[0].version),
            [0, 1, 2],
        );
    }
});

test('a transaction that is rolled back takes no number', async () => {
    const { id: fileId } = await newFile();
    await createInTransaction(fileId);
    await assert.rejects(
        prisma.$transaction(async (tx) => {
            const { version } = await tx.fileVersion.create({ data: { fileId, version: 2, content: 'undone' } });
            assert.equal(version, 2);
            throw new Error('undone');
        }),
        { message: 'undone' },
    );
    await createInTransaction(fileId);
    await assertNumbered(fileId, 2);
});

test('a version that follows another one waits for its commit', async () => {
    const { id: fileId } = await newFile();
    const order = [];
    let second;
    await prisma.$transaction(async (tx) => {
        await tx.fileVersion.create({ data: { fileId, version: 1, content: 'first' } });
        second = createInTransaction(fileId).then(({ version }) => order.push(`second is ${version}`));
        await untilWaiting();
        order.push('first ends');
    });
    await second;
    assert.deepEqual(order, ['first ends', 'second is 2']);
});

for (const isolationLevel of ['RepeatableRead', 'Serializable']) {
    test(`${isolationLevel}: whoever loses a race is told P2034 and may retry`, async () => {
        const { id: fileId } = await newFile();
        const lost = {};
        /** What Prisma's documentation advises. */
        const createWithRetries = async () => {
            for (;;) {
                try {
                    return await createInTransaction(fileId, { isolationLevel });
                } catch (error) {
                    assert.ok(error instanceof Prisma.PrismaClientKnownRequestError, error.stack);
                    lost[error.code] = (lost[error.code] ?? 0) + 1;
                    assert.equal(error.code, 'P2034', error.stack);
                }
            }
        };
        const created = await together(16, createWithRetries);
        assert.deepEqual(
            created.sort((a, b) => a.version - b.version),
            await assertNumbered(fileId, 16),
        );
        assert.deepEqual(Object.keys(lost).filter((code) => code !== 'P2034'), []);
    });

    test(`${isolationLevel}: a version that came after the snapshot is P2034, and nothing is written`, async () => {
        const { id: fileId } = await newFile();
        await createInTransaction(fileId);
        await assert.rejects(
            prisma.$transaction(
                async (tx) => {
                    const version = await nextVersion(fileId, tx);
                    // Somebody else, who is done before this one writes.
                    await prisma.fileVersion.create({ data: { fileId, version, content: 'theirs' } });
                    await tx.fileVersion.create({ data: { fileId, version, content: 'ours' } });
                },
                { isolationLevel },
            ),
            { code: 'P2034' },
        );
        assert.deepEqual(
            (await versionsOf(fileId)).map((row) => [row.version, row.content]),
            [
                [1, 'in a transaction'],
                [2, 'theirs'],
            ],
        );
    });
}

test('two files in opposite orders: a deadlock is P2034, and a retry goes through', async () => {
    const files = [await newFile(), await newFile()];
    const create = (tx, { id }) => tx.fileVersion.create({ data: { fileId: id, version: 1, content: '' } });
    let ready = 0;
    let go;
    const bothHoldOne = new Promise((resolve) => (go = resolve));
    const both = (order) =>
        prisma.$transaction(async (tx) => {
            await create(tx, order[0]);
            if (++ready === 2) go();
            await bothHoldOne;
            await create(tx, order[1]);
        });
    const orders = [files, [...files].reverse()];
    const outcomes = await Promise.allSettled(orders.map(both));
    const lost = outcomes.flatMap((outcome, i) => (outcome.status === 'rejected' ? [i] : []));
    assert.equal(lost.length, 1);
    assert.equal(outcomes[lost[0]].reason.code, 'P2034');
    await both(orders[lost[0]]);
    for (const { id } of files) await assertNumbered(id, 2);
});
