// Story (d): of the versions of a prompt exactly one is active, and each links to the one before it.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import test from 'node:test';

import { prisma, together, upTo } from './support.mjs';

const newTemplate = () => prisma.promptTemplate.create({ data: { name: randomUUID() } });
const create = (templateId, more = {}) =>
    prisma.systemPrompt.create({ data: { templateId, content: '', ...more } });
const rowsOf = (templateId) => prisma.systemPrompt.findMany({ where: { templateId }, orderBy: { version: 'asc' } });
const activate = (id, isActive = true) => prisma.systemPrompt.update({ where: { id }, data: { isActive } });

/** The numbers are 1 … n, each row links to the one before it, and one row is active: its number is returned. */
async function assertSound(templateId, n) {
    const rows = await rowsOf(templateId);
    assert.deepEqual(
        rows.map((row) => [row.version, row.previousVersionId]),
        upTo(n).map((version) => [version, version === 1 ? null : rows[version - 2].id]),
    );
    const active = rows.filter((row) => row.isActive);
    assert.equal(active.length, 1, `${active.length} are active`);
    return active[0].version;
}

test('32 prompts at once: one chain, and the newest is active', async () => {
    const { id } = await newTemplate();
    const created = await together(32, () => create(id));
    assert.equal(await assertSound(id, 32), 32);
    const rows = await rowsOf(id);
    // What a client is told of its row: the number and the link stay, and it was the active one at that moment.
    created.sort((a, b) => a.version - b.version);
    assert.deepEqual(
        created,
        rows.map((row) => ({ ...row, isActive: true })),
    );
});

test('32 clients with 10 prompts and activations each: always one active, and no error', async () => {
    const { id } = await newTemplate();
    const first = [];
    for (const _ of upTo(4)) first.push(await create(id));
    let created = first.length;
    let done = false;
    const watch = async () => {
        while (!done) {
            // Whoever reads meanwhile sees one as well.
            assert.equal(await prisma.systemPrompt.count({ where: { templateId: id, isActive: true } }), 1);
        }
    };
    const client = async (n) => {
        for (const round of upTo(10)) {
            if ((n + round) % 2) {
                await activate(first[(n + round) % 4].id);
            } else {
                await create(id, { isActive: round % 3 > 0 });
                created++;
            }
        }
    };
    const watching = watch();
    await together(31, client).finally(() => (done = true));
    await watching;
    await assertSound(id, created);
});

test('32 activations at once, of all and of the same', async () => {
    const { id } = await newTemplate();
    const rows = [];
    for (const _ of upTo(32)) rows.push(await create(id));
    const answers = await together(32, (n) => activate(rows[n - 1].id));
    assert.deepEqual(new Set(answers.map((row) => row.isActive)), new Set([true]));
    const active = await assertSound(id, 32);
    await together(32, () => activate(rows[(active + 1) % 32].id));
    assert.equal(await assertSound(id, 32), rows[(active + 1) % 32].version);
});

test('a prompt that is not active leaves the active one', async () => {
    const { id } = await newTemplate();
    // Except the first, which is all there is.
    assert.equal((await create(id, { isActive: false })).isActive, true);
    assert.equal((await create(id, { isActive: false })).isActive, false);
    assert.equal(await assertSound(id, 2), 1);
    assert.equal((await create(id)).isActive, true);
    assert.equal(await assertSound(id, 3), 3);
});

test('activating an older one moves the flag, and the next prompt takes it', async () => {
    const { id } = await newTemplate();
    const [one] = [await create(id), await create(id), await create(id)];
    assert.equal((await activate(one.id)).isActive, true);
    assert.equal(await assertSound(id, 3), 1);
    assert.equal((await create(id)).version, 4);
    assert.equal(await assertSound(id, 4), 4);
});

test('no prompt is active after the active one was deactivated', async () => {
    const { id } = await newTemplate();
    const [, two] = [await create(id), await create(id)];
    await activate(two.id, false);
    assert.deepEqual(
        (await rowsOf(id)).map((row) => row.isActive),
        [false, false],
    );
    await activate(two.id);
    assert.equal(await assertSound(id, 2), 2);
});

test('deleting the active one passes the flag to the newest', async () => {
    const { id } = await newTemplate();
    const [, , three] = [await create(id), await create(id), await create(id)];
    await prisma.systemPrompt.delete({ where: { id: three.id } });
    assert.equal(await assertSound(id, 2), 2);
    const again = await create(id);
    assert.deepEqual([again.version, again.isActive], [3, true]);
    assert.equal(await assertSound(id, 3), 3);
});

test('deleting one in between: the next links to the one before it', async () => {
    const { id } = await newTemplate();
    const [one, two, three] = [await create(id), await create(id), await create(id)];
    await prisma.systemPrompt.delete({ where: { id: two.id } });
    assert.deepEqual(
        (await rowsOf(id)).map((row) => [row.version, row.previousVersionId, row.isActive]),
        [
            [1, null, false],
            [3, one.id, true],
        ],
    );
    assert.equal((await create(id)).previousVersionId, three.id);
});

test('many in one statement', async () => {
    const { id } = await newTemplate();
    const rows = await prisma.systemPrompt.createManyAndReturn({
        data: upTo(5).map((n) => ({ templateId: id, content: `${n}` })),
    });
    assert.deepEqual(
        rows.map((row) => row.version),
        upTo(5),
    );
    assert.equal(await assertSound(id, 5), 5);
});

test('the application may switch the flag itself in a transaction, as it always did', async () => {
    const { id } = await newTemplate();
    await create(id);
    const outcomes = await Promise.allSettled(
        upTo(16).map(() =>
            prisma.$transaction(async (tx) => {
                const active = await tx.systemPrompt.findFirst({ where: { templateId: id, isActive: true } });
                await tx.systemPrompt.updateMany({ where: { templateId: id }, data: { isActive: false } });
                return tx.systemPrompt.create({
                    data: {
                        templateId: id,
                        version: (active?.version ?? 0) + 1,
                        content: '',
                        previousVersionId: active?.id,
                    },
                });
            }),
        ),
    );
    const failed = outcomes.filter((outcome) => outcome.status === 'rejected').map((outcome) => outcome.reason);
    assert.deepEqual(failed, []);
    assert.equal(await assertSound(id, 17), 17);
});
