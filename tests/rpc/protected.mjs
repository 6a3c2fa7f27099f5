// Tables of the application's own, which enable_versioning protects.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import test from 'node:test';

import { newUser, ok, refused, sql, upTo } from './support.mjs';

/** Inserts a row and returns it. */
const insert = (user, table, row) => user.client.schema('app').from(table).insert(row).select().single();

test('plain inserts of several users at once: numbered 1 to n, one active, each linked to the one before', async () => {
    const users = Array.from({ length: 4 }, () => newUser());
    const prompt_id = randomUUID();
    const rows = await Promise.all(
        // What clients compute for the version, as some do, does not matter.
        upTo(100).map((n) => ok(insert(users[n % users.length], 'prompt_version', { prompt_id, version: 1 + (n % 7) }))),
    );
    rows.sort((a, b) => a.version - b.version);
    assert.deepEqual(
        rows.map((row) => [row.version, row.is_active, row.previous_id]),
        rows.map((_, i) => [i + 1, true, i === 0 ? null : rows[i - 1].id]),
    );
    assert.equal(
        sql(`SELECT string_agg(version::text, ',') FROM app.prompt_version WHERE prompt_id = '${prompt_id}' AND is_active`),
        '100',
    );
    // Nobody sees what is another's, though the numbers count it.
    const own = await ok(users[0].client.schema('app').from('prompt_version').select('version').match({ prompt_id }));
    assert.equal(own.length, 25);
});

test('with on_explicit error, a number is compare-and-set', async () => {
    const user = newUser();
    const prompt_id = randomUUID();
    const rows = await Promise.all(upTo(20).map(() => insert(user, 'checked_version', { prompt_id, version: 1 })));
    assert.deepEqual(rows.map((row) => row.status).sort(), [201, ...Array(19).fill(409)]);
    const error = await refused(insert(user, 'checked_version', { prompt_id, version: 5 }), 409, 'PT409');
    assert.deepEqual(JSON.parse(error.details), {
        table: 'app.checked_version',
        parent: { prompt_id },
        expected: 4,
        current: 1,
    });
    assert.equal((await ok(insert(user, 'checked_version', { prompt_id }))).version, 2);
});
