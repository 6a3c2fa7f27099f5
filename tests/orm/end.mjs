// Without this, open connections would keep the process.

import test from 'node:test';

import { pool, prisma } from './support.mjs';

test('all connections are given back', async () => {
    await prisma.$disconnect();
    await pool.end();
});
