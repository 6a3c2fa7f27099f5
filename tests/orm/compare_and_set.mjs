// p_on_explicit => 'error': a number says which version the writer has seen.

import assert from 'node:assert/strict';
import test from 'node:test';

import { fromServer, prisma, refused, together, upTo } from './support.mjs';

const newPage = () => prisma.page.create({ data: {} });
const create = (pageId, number, body = '') => prisma.pageRevision.create({ data: { pageId, number, body } });
const latest = async (pageId) =>
    (await prisma.pageRevision.findFirst({ where: { pageId }, orderBy: { number: 'desc' } }))?.number ?? 0;

async function assertNumbered(pageId, n) {
    const rows = await prisma.pageRevision.findMany({ where: { pageId }, orderBy: { number: 'asc' } });
    assert.deepEqual(
        rows.map((row) => row.number),
        upTo(n),
    );
}

test('of ten writers that have seen the same version, one succeeds; the others are told PT409', async () => {
    const { id } = await newPage();
    await create(id, 1);
    const outcomes = await Promise.allSettled(upTo(10).map((n) => create(id, 2, `writer ${n}`)));
    const errors = outcomes.filter((outcome) => outcome.status === 'rejected').map((outcome) => outcome.reason);
    assert.equal(errors.length, 9);
    for (const error of errors) {
        // Prisma has no code of its own for it; the server's is in the error.
        assert.equal(error.code, 'P2039', error.stack);
        const { code, message, detail, hint } = fromServer(error);
        assert.equal(code, 'PT409');
        assert.match(message, /2/);
        assert.ok(error.message.includes(message), error.message);
        const { expected, current, parent } = JSON.parse(detail);
        assert.deepEqual([expected, current, parent], [1, 2, { pageId: id }]);
        assert.ok(hint.length > 0);
    }
    await assertNumbered(id, 2);
});

test('a number that is too high or too low is PT409, and nothing is written', async () => {
    const { id } = await newPage();
    for (const number of [0, 2, 99, -1]) {
        assert.equal(fromServer(await refused(create(id, number), 'P2039')).code, 'PT409');
    }
    await create(id, 1);
    assert.equal(fromServer(await refused(create(id, 1), 'P2039')).code, 'PT409');
    const many = prisma.pageRevision.createMany({
        data: [2, 3, 5].map((number) => ({ pageId: id, number, body: '' })),
    });
    assert.equal(fromServer(await refused(many, 'P2039')).code, 'PT409');
    const raw = prisma.$executeRaw`INSERT INTO "PageRevision" VALUES ('raw', ${id}, 7, '')`;
    assert.equal(fromServer(await refused(raw, 'P2010')).code, 'PT409');
    await assertNumbered(id, 1);
    await prisma.pageRevision.createMany({ data: [2, 3, 4].map((number) => ({ pageId: id, number, body: '' })) });
    await assertNumbered(id, 4);
});

test('a row without a number gets the next one', async () => {
    const { id } = await newPage();
    await together(8, (n) => prisma.$executeRaw`INSERT INTO "PageRevision" (id, "pageId", body)
                                                VALUES (${`${id} ${n}`}, ${id}, '')`);
    await assertNumbered(id, 8);
});

test('writers that read again after PT409 all get through', async () => {
    const { id } = await newPage();
    let conflicts = 0;
    const append = async (line) => {
        for (;;) {
            const seen = await prisma.pageRevision.findFirst({ where: { pageId: id }, orderBy: { number: 'desc' } });
            try {
                return await create(id, (seen?.number ?? 0) + 1, `${seen?.body ?? ''}${line}\n`);
            } catch (error) {
                if (fromServer(error).code !== 'PT409') throw error;
                conflicts++;
            }
        }
    };
    await together(16, (n) => append(`line ${n}`));
    await assertNumbered(id, 16);
    assert.ok(conflicts > 0);
    // No line is lost: each revision was made of the one before it.
    const newest = await prisma.pageRevision.findFirstOrThrow({ where: { pageId: id }, orderBy: { number: 'desc' } });
    assert.equal(await latest(id), 16);
    assert.deepEqual(
        newest.body.trim().split('\n').sort(),
        upTo(16)
            .map((n) => `line ${n}`)
            .sort(),
    );
});
