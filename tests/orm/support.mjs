// Clients of the database orm, whose tables Prisma makes of schema.prisma.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

// The packages are with the project's other tools, where no import looks for them.
export const require = createRequire(`${process.env.ORM_WORK}/`);
export const { PrismaClient, Prisma } = require('./client');
export const { PrismaPg } = require('@prisma/adapter-pg');
export const pg = require('pg');

export const schema = readFileSync(new URL('schema.prisma', import.meta.url), 'utf8');

/** How many connections a test may have at once. */
const connections = 32;

/** Prisma's client as an application makes it. */
export const prisma = new PrismaClient({
    adapter: new PrismaPg({ max: connections }),
    transactionOptions: { maxWait: 60_000, timeout: 60_000 },
});

/** Connections for plain SQL, and for Drizzle. */
export const pool = new pg.Pool({ max: connections });

/** What a superuser's statement answers. */
export async function sql(statement, values) {
    const { rows } = await pool.query(statement, values);
    return rows;
}

/** 1 … n. */
export const upTo = (n) => Array.from({ length: n }, (_, i) => i + 1);

/** Runs `task(1)` to `task(n)` at once; all of them must succeed. */
export const together = (n, task) => Promise.all(upTo(n).map(task));

/** The error of a request that must fail, with its code of Prisma's or SQLSTATE. */
export async function refused(request, code) {
    const error = await request.then(
        (row) => assert.fail(`not refused: ${JSON.stringify(row)}`),
        (error) => error,
    );
    assert.equal(error.code ?? error.name, code, error.stack);
    return error;
}

/** The SQLSTATE, message, detail and hint that the server has sent, as Prisma hands them on. */
export function fromServer(error) {
    const cause = error.meta?.driverAdapterError?.cause;
    assert.equal(cause?.kind, 'postgres', error.stack);
    return cause;
}

/** The rows of a file, oldest version first. */
export const versionsOf = (fileId) => prisma.fileVersion.findMany({ where: { fileId }, orderBy: { version: 'asc' } });

/** A file's version numbers must be 1 … n, without exception. */
export async function assertNumbered(fileId, n) {
    const rows = await versionsOf(fileId);
    assert.deepEqual(
        rows.map((row) => row.version),
        upTo(n),
    );
    return rows;
}

/** The application's next version: the newest one's number and one more, read outside any transaction. */
export async function nextVersion(fileId, client = prisma) {
    const latest = await client.fileVersion.findFirst({ where: { fileId }, orderBy: { version: 'desc' } });
    return (latest?.version ?? 0) + 1;
}
