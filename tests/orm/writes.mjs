// Every way in which Prisma writes rows, on a protected table.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import test from 'node:test';

import { PrismaClient, PrismaPg, assertNumbered, fromServer, prisma, refused, sql, together, upTo, versionsOf } from './support.mjs';

const newFile = () => prisma.file.create({ data: { path: randomUUID() } });
const numbers = (rows) => rows.map((row) => row.version);

test('the number that the application sends does not matter', async () => {
    const { id: fileId } = await newFile();
    for (const version of [0, 1, 1, 99, -5]) {
        await prisma.fileVersion.create({ data: { fileId, version, content: `${version}` } });
    }
    const rows = await assertNumbered(fileId, 5);
    assert.deepEqual(
        rows.map((row) => row.content),
        ['0', '1', '1', '99', '-5'],
    );
});

test('createMany and createManyAndReturn number rows in their order', async () => {
    const [a, b] = [await newFile(), await newFile()];
    const data = upTo(20).map((n) => ({ fileId: n % 2 ? a.id : b.id, version: 1, content: `${n}` }));
    assert.deepEqual(await prisma.fileVersion.createMany({ data }), { count: 20 });
    const more = await prisma.fileVersion.createManyAndReturn({
        data: upTo(10).map((n) => ({ fileId: a.id, version: 1, content: `${n}` })),
    });
    assert.deepEqual(
        more.map((row) => [row.version, row.content]),
        upTo(10).map((n) => [10 + n, `${n}`]),
    );
    const rows = await assertNumbered(a.id, 20);
    assert.deepEqual(
        rows.slice(0, 10).map((row) => row.content),
        upTo(10).map((n) => `${2 * n - 1}`),
    );
    await assertNumbered(b.id, 10);
});

test('createMany at once, of the same file', async () => {
    const { id: fileId } = await newFile();
    const created = await together(16, (client) =>
        prisma.fileVersion.createManyAndReturn({
            data: upTo(25).map((n) => ({ fileId, version: n, content: `${client}` })),
        }),
    );
    await assertNumbered(fileId, 400);
    // The rows of one statement follow each other.
    for (const rows of created) {
        assert.deepEqual(
            numbers(rows),
            upTo(25).map((n) => rows[0].version + n - 1),
        );
    }
});

test('createMany with skipDuplicates leaves no gap for what it skips', async () => {
    const { id: fileId } = await newFile();
    const first = await prisma.fileVersion.create({ data: { fileId, version: 1, content: 'first' } });
    const data = [
        { id: first.id, fileId, version: 1, content: 'the same id' },
        { fileId, version: 1, content: 'the same number' },
    ];
    assert.deepEqual(await prisma.fileVersion.createMany({ data, skipDuplicates: true }), { count: 1 });
    assert.deepEqual(
        (await versionsOf(fileId)).map((row) => [row.version, row.content]),
        [
            [1, 'first'],
            [2, 'the same number'],
        ],
    );
});

test('a file with its versions in one nested create', async () => {
    const create = (n) => ({ version: 1, content: `${n}` });
    const { versions } = await prisma.file.create({
        data: { path: 'nested', versions: { create: [1, 2, 3].map(create) } },
        include: { versions: { orderBy: { version: 'asc' } } },
    });
    assert.deepEqual(
        versions.map((row) => [row.version, row.content]),
        [
            [1, '1'],
            [2, '2'],
            [3, '3'],
        ],
    );
    const updated = await prisma.file.update({
        where: { id: versions[0].fileId },
        data: { versions: { createMany: { data: [4, 5].map(create) } } },
        include: { versions: { orderBy: { version: 'asc' } } },
    });
    assert.deepEqual(numbers(updated.versions), upTo(5));
    // The other way round: a version with its file.
    const version = await prisma.fileVersion.create({
        data: { version: 17, content: 'first', file: { create: { path: 'nested' } } },
    });
    assert.equal(version.version, 1);
});

test('upsert by id: the first one inserts, the second one updates', async () => {
    const { id: fileId } = await newFile();
    const id = randomUUID();
    const upsert = (content) =>
        prisma.fileVersion.upsert({
            where: { id },
            create: { id, fileId, version: 1, content },
            update: { content },
        });
    const rows = [await upsert('one'), await upsert('two')];
    assert.deepEqual(
        rows.map((row) => [row.version, row.content]),
        [
            [1, 'one'],
            [1, 'two'],
        ],
    );
    await together(10, (n) => upsert(`${n}`));
    await assertNumbered(fileId, 1);
    await prisma.fileVersion.create({ data: { fileId, version: 1, content: 'next' } });
    await assertNumbered(fileId, 2);
});

// Numbers are given before a conflict is looked for, so INSERT … ON CONFLICT (parent, number), which Prisma sends when
// `where` and `create` name the same one, finds none.
test('upsert by number creates the next version each time', async () => {
    const { id: templateId } = await prisma.promptTemplate.create({ data: { name: 'upsert' } });
    const upsert = (version, content) =>
        prisma.systemPrompt.upsert({
            where: { templateId_version: { templateId, version } },
            create: { templateId, version, content },
            update: { content },
        });
    assert.equal((await upsert(1, 'one')).version, 1);
    assert.equal((await upsert(1, 'two')).version, 2);
    await together(10, (n) => upsert(2, `${n}`));
    const rows = await prisma.systemPrompt.findMany({ where: { templateId }, orderBy: { version: 'asc' } });
    assert.deepEqual(numbers(rows), upTo(12));
    assert.deepEqual(
        rows.slice(0, 2).map((row) => row.content),
        ['one', 'two'],
    );
});

test('other columns can be updated, number and parent cannot', async () => {
    const [{ id: fileId }, other] = [await newFile(), await newFile()];
    const row = await prisma.fileVersion.create({ data: { fileId, version: 1, content: 'one' } });
    await prisma.fileVersion.create({ data: { fileId, version: 1, content: 'two' } });
    const where = { id: row.id };
    assert.equal((await prisma.fileVersion.update({ where, data: { content: 'changed' } })).content, 'changed');
    // Applications send whole rows: an unchanged number is no change.
    assert.equal((await prisma.fileVersion.update({ where, data: { ...row, content: 'whole row' } })).version, 1);
    for (const data of [{ version: 7 }, { version: { increment: 1 } }, { fileId: other.id }]) {
        const error = await refused(prisma.fileVersion.update({ where, data }), 'P2039');
        const { code, message } = fromServer(error);
        assert.equal(code, '22023');
        assert.match(message, 'version' in data ? /version/ : /fileId/);
        assert.match(message, /file_version/);
        // The message is in the error that the application logs.
        assert.ok(error.message.includes(message), error.message);
    }
    await refused(prisma.fileVersion.updateMany({ where: { fileId }, data: { version: 1 } }), 'P2039');
    assert.deepEqual(
        (await assertNumbered(fileId, 2)).map((row) => row.content),
        ['whole row', 'two'],
    );
});

test('deleting: the newest number is free again, others are not', async () => {
    const { id: fileId } = await newFile();
    const create = () => prisma.fileVersion.create({ data: { fileId, version: 1, content: '' } });
    const rows = [await create(), await create(), await create()];
    await prisma.fileVersion.delete({ where: { id: rows[1].id } });
    assert.equal((await create()).version, 4);
    await prisma.fileVersion.deleteMany({ where: { fileId, version: { gte: 3 } } });
    assert.deepEqual(numbers([await create(), await create()]), [2, 3]);
    await prisma.file.delete({ where: { id: fileId } });
    assert.deepEqual(await versionsOf(fileId), []);
});

test('raw SQL from Prisma is numbered as well', async () => {
    const { id: fileId } = await newFile();
    await together(
        10,
        (n) =>
            prisma.$executeRaw`INSERT INTO file_version (id, "fileId", version, content)
                               SELECT ${`${fileId} ${n}`}, ${fileId}, coalesce(max(version), 0) + 1, 'raw'
                                 FROM file_version WHERE "fileId" = ${fileId}`,
    );
    await assertNumbered(fileId, 10);
});

test('the application needs no right on anything of the extension', async () => {
    await sql('DROP ROLE IF EXISTS orm_application');
    await sql('CREATE ROLE orm_application LOGIN');
    await sql('GRANT SELECT, INSERT, UPDATE ON file_version, "SystemPrompt" TO orm_application');
    const theirs = new PrismaClient({ adapter: new PrismaPg({ user: 'orm_application' }) });
    try {
        const [{ id: fileId }, template] = [
            await newFile(),
            await prisma.promptTemplate.create({ data: { name: 'rights' } }),
        ];
        await together(5, () => theirs.fileVersion.create({ data: { fileId, version: 1, content: '' } }));
        await assertNumbered(fileId, 5);
        const data = { templateId: template.id, content: '' };
        const [one] = [await theirs.systemPrompt.create({ data }), await theirs.systemPrompt.create({ data })];
        await theirs.systemPrompt.update({ where: { id: one.id }, data: { isActive: true } });
        const active = await theirs.systemPrompt.findMany({ where: { templateId: template.id, isActive: true } });
        assert.deepEqual(numbers(active), [1]);
        const row = theirs.$queryRaw`SELECT versioned.enable_versioning('file_version', '{fileId}', 'version')`;
        assert.equal(fromServer(await refused(row, 'P2010')).code, '42501');
    } finally {
        await theirs.$disconnect();
        await sql('DROP OWNED BY orm_application');
        await sql('DROP ROLE orm_application');
    }
});
