// Many requests at once.

import assert from 'node:assert/strict';
import test from 'node:test';

import { newProject, newUser, ok, save, upTo, versions } from './support.mjs';

test('200 autosaves of one file at once: all are saved, as 1 to 200', async () => {
    const [owner, ...editors] = Array.from({ length: 4 }, () => newUser());
    const { project_id } = await newProject(owner, { editor: editors });
    const users = [owner, ...editors];
    const answers = await Promise.all(
        upTo(200).map((n) => save(users[n % users.length].client, project_id, 'a.txt', `save ${n}`)),
    );
    assert.deepEqual([...new Set(answers.map((answer) => answer.status))], [200]);
    const saved = answers.map(({ data }) => data).sort((a, b) => a.version - b.version);
    assert.deepEqual(
        saved.map((row) => row.version),
        upTo(200),
    );
    const rows = await ok(
        owner.client
            .from('project_files')
            .select('version, content, created_by, is_current_version')
            .match({ project_id, file_path: 'a.txt' })
            .order('version'),
    );
    assert.deepEqual(
        rows.map((row) => [row.version, row.content, row.created_by, row.is_current_version]),
        saved.map((row) => [row.version, row.content, row.created_by, row.version === 200]),
    );
});

test('of 40 saves that expect one version, one is made', async () => {
    const owner = newUser();
    const { project_id } = await newProject(owner);
    await ok(save(owner.client, project_id, 'a.txt', 'one', 0));
    const answers = await Promise.all(upTo(40).map((n) => save(owner.client, project_id, 'a.txt', `save ${n}`, 1)));
    const statuses = answers.map((answer) => answer.status);
    assert.deepEqual([statuses.filter((s) => s === 200).length, statuses.filter((s) => s === 409).length], [1, 39]);
    assert.deepEqual(await versions(owner.client, project_id, 'a.txt'), [1, 2]);
});

test('batches, inserts and saves of the same files at once', async () => {
    const owner = newUser();
    const { project_id } = await newProject(owner);
    const paths = ['a.txt', 'b.txt', 'c.txt'];
    const batch = (n) =>
        owner.client.rpc('atomic_upsert_project_files', {
            p_project_id: project_id,
            p_files: (n % 2 ? paths : [...paths].reverse()).map((file_path) => ({
                file_path,
                content: `batch ${n}`,
                file_type: 'text',
            })),
        });
    const insert = (n) =>
        owner.client.from('project_files').insert({ project_id, file_path: paths[n % 3], content: `insert ${n}` });
    await Promise.all(
        upTo(30).map((n) =>
            ok(
                n % 3 === 0
                    ? batch(n)
                    : n % 3 === 1
                      ? insert(n)
                      : save(owner.client, project_id, paths[n % 2], `save ${n}`),
            ),
        ),
    );
    const saves = await Promise.all(paths.map((path) => versions(owner.client, project_id, path)));
    for (const numbers of saves) assert.deepEqual(numbers, upTo(numbers.length));
    assert.equal(saves.flat().length, 10 * 3 + 10 + 10);
});
