// Drizzle on the same tables.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import test from 'node:test';

import { assertNumbered, pool, prisma, require, together, upTo } from './support.mjs';

const { drizzle } = require('drizzle-orm/node-postgres');
const { boolean, integer, pgTable, text } = require('drizzle-orm/pg-core');
const { desc, eq } = require('drizzle-orm');

const fileVersion = pgTable('file_version', {
    id: text().primaryKey(),
    fileId: text().notNull(),
    version: integer().notNull(),
    content: text().notNull(),
});
const systemPrompt = pgTable('SystemPrompt', {
    id: text().primaryKey(),
    templateId: text().notNull(),
    version: integer().notNull(),
    content: text().notNull(),
    isActive: boolean().notNull().default(true),
    previousVersionId: text(),
});

const db = drizzle(pool);
const newFile = () => prisma.file.create({ data: { path: randomUUID() } });
const row = (fileId, version, content = '') => ({ id: randomUUID(), fileId, version, content });

async function nextVersion(fileId, client = db) {
    const [latest] = await client
        .select({ version: fileVersion.version })
        .from(fileVersion)
        .where(eq(fileVersion.fileId, fileId))
        .orderBy(desc(fileVersion.version))
        .limit(1);
    return (latest?.version ?? 0) + 1;
}

test('Drizzle: insert().returning() after all have read the same number', async () => {
    const { id } = await newFile();
    const read = await together(32, () => nextVersion(id));
    assert.deepEqual(new Set(read), new Set([1]));
    const created = await together(32, (n) =>
        db
            .insert(fileVersion)
            .values(row(id, read[n - 1]))
            .returning(),
    );
    await assertNumbered(id, 32);
    assert.deepEqual(
        created.map(([row]) => row.version).sort((a, b) => a - b),
        upTo(32),
    );
});

test('Drizzle: several rows, onConflictDoNothing, onConflictDoUpdate, transactions', async () => {
    const { id } = await newFile();
    const rows = upTo(3).map((n) => row(id, 1, `${n}`));
    const created = await db.insert(fileVersion).values(rows).returning();
    assert.deepEqual(
        created.map((row) => row.version),
        [1, 2, 3],
    );
    // The id is known already: nothing is inserted, and no number is used up.
    assert.deepEqual(await db.insert(fileVersion).values(rows[0]).onConflictDoNothing().returning(), []);
    const target = fileVersion.id;
    const [updated] = await db
        .insert(fileVersion)
        .values({ ...rows[1], content: 'changed' })
        .onConflictDoUpdate({ target, set: { content: 'changed' } })
        .returning();
    assert.deepEqual([updated.version, updated.content], [2, 'changed']);
    await together(10, () =>
        db.transaction(async (tx) => tx.insert(fileVersion).values(row(id, await nextVersion(id, tx)))),
    );
    await assertNumbered(id, 13);
});

test('Drizzle: the SQLSTATE of a refusal is in the cause', async () => {
    const { id } = await newFile();
    const [created] = await db.insert(fileVersion).values(row(id, 1)).returning();
    const update = db.update(fileVersion).set({ version: 7 }).where(eq(fileVersion.id, created.id));
    await assert.rejects(update, (error) => {
        assert.equal(error.cause.code, '22023', error.stack);
        return true;
    });
    await assertNumbered(id, 1);
});

test('Drizzle: the active prompt and the chain', async () => {
    const { id: templateId } = await prisma.promptTemplate.create({ data: { name: 'drizzle' } });
    const created = await together(16, (n) =>
        db
            .insert(systemPrompt)
            .values({ id: `${templateId} ${n}`, templateId, version: 1, content: '' })
            .returning(),
    );
    const rows = created.flat().sort((a, b) => a.version - b.version);
    assert.deepEqual(
        rows.map((row) => [row.version, row.previousVersionId]),
        upTo(16).map((n) => [n, n === 1 ? null : rows[n - 2].id]),
    );
    const active = await db.select().from(systemPrompt).where(eq(systemPrompt.templateId, templateId));
    assert.deepEqual(
        active.filter((row) => row.isActive).map((row) => row.version),
        [16],
    );
});
