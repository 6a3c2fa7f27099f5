// project_files as a table: what clients do that know no functions.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import test from 'node:test';

import { client, newProject, newUser, ok, readable, refused, save, versions } from './support.mjs';

/** A user with a project. */
async function newOwner() {
    const user = newUser();
    const { project_id } = await newProject(user);
    const files = () => user.client.from('project_files');
    return {
        ...user,
        project_id,
        files,
        row: (file_path, content, more) => ({ project_id, file_path, content, ...more }),
    };
}

test('select filters by project, path and version', async () => {
    const { client, project_id, files } = await newOwner();
    for (const content of ['one', 'two']) await ok(save(client, project_id, 'a.txt', content));
    await ok(save(client, project_id, 'b.txt', 'b'));
    await ok(client.rpc('delete_project_file', { p_project_id: project_id, p_file_path: 'b.txt' }));
    const current = files()
        .select('file_path, content, version')
        .eq('project_id', project_id)
        .eq('is_current_version', true);
    assert.deepEqual(await ok(current), [{ file_path: 'a.txt', content: 'two', version: 2 }]);
    const a = () => files().select('version, is_current_version').eq('project_id', project_id).eq('file_path', 'a.txt');
    assert.deepEqual(await ok(a().eq('is_current_version', true).single()), { version: 2, is_current_version: true });
    assert.deepEqual(await ok(a().is('is_current_version', false)), [{ version: 1, is_current_version: false }]);
    assert.deepEqual(
        await ok(
            files()
                .select('version, is_deleted')
                .eq('project_id', project_id)
                .eq('file_path', 'b.txt')
                .order('version'),
        ),
        [
            { version: 1, is_deleted: false },
            { version: 2, is_deleted: true },
        ],
    );
    const { count } = await files().select('id', { count: 'exact', head: true }).eq('project_id', project_id);
    assert.equal(count, 4);
});

test('insert without a version saves the next one', async () => {
    const { id, project_id, files, row } = await newOwner();
    const [first] = await ok(files().insert(row('a.txt', 'one')).select());
    assert.deepEqual(
        [first.version, first.content, first.file_type, first.is_current_version, first.created_by, first.size_bytes],
        [1, 'one', 'text', true, id, 3],
    );
    const second = await ok(
        files()
            .insert(row('a.txt', 'two', { file_type: 'markdown' }))
            .select('id, version, file_type')
            .single(),
    );
    assert.deepEqual([second.version, second.file_type], [2, 'markdown']);
    assert.deepEqual(
        await ok(files().select('id').match({ project_id, file_path: 'a.txt', is_current_version: true })),
        [{ id: second.id }],
    );
});

test('insert with a version expects the one before', async () => {
    const { client, project_id, files, row } = await newOwner();
    await ok(files().insert(row('a.txt', 'one', { version: 1 })));
    await ok(files().insert(row('a.txt', 'two', { version: 2 })));
    for (const version of [1, 2, 4]) {
        const error = await refused(files().insert(row('a.txt', 'three', { version })), 409, 'PT409');
        assert.deepEqual([JSON.parse(error.details).expected, JSON.parse(error.details).current], [version - 1, 2]);
    }
    await refused(files().insert(row('a.txt', 'three', { version: 0 })), 400, '22023');
    await refused(files().insert(row('a.txt', 'three', { content_hash: '0'.repeat(64) })), 400, '22023');
    await refused(files().insert(row('../a.txt', 'three')), 400, '22023');
    assert.deepEqual(await versions(client, project_id, 'a.txt'), [1, 2]);
});

test('a bulk insert is all or nothing', async () => {
    const { client, project_id, files, row } = await newOwner();
    const saved = await ok(
        files()
            .insert(['a.txt', 'b.txt', 'a.txt'].map((path, i) => row(path, `${i}`)))
            .select('file_path, version'),
    );
    assert.deepEqual(saved, [
        { file_path: 'a.txt', version: 1 },
        { file_path: 'b.txt', version: 1 },
        { file_path: 'a.txt', version: 2 },
    ]);
    await refused(
        files().insert([row('c.txt', 'new', { version: 1 }), row('a.txt', 'stale', { version: 2 })]),
        409,
        'PT409',
    );
    assert.deepEqual(await versions(client, project_id, 'a.txt'), [1, 2]);
    assert.deepEqual(await versions(client, project_id, 'c.txt'), []);
});

test('update saves the next version', async () => {
    const { client, project_id, files, row } = await newOwner();
    await ok(files().insert([row('a.txt', 'one'), row('b.txt', 'one')]));
    const current = { project_id, is_current_version: true };
    const [updated] = await ok(
        files()
            .update({ content: 'two' })
            .match({ ...current, file_path: 'a.txt' })
            .select('version, content, is_current_version'),
    );
    assert.deepEqual(updated, { version: 2, content: 'two', is_current_version: true });
    const all = await ok(files().update({ content: 'three' }).match(current).select('file_path, version'));
    assert.deepEqual(
        all.sort((a, b) => a.file_path.localeCompare(b.file_path)),
        [
            { file_path: 'a.txt', version: 3 },
            { file_path: 'b.txt', version: 2 },
        ],
    );
    assert.deepEqual(
        await ok(
            files()
                .update({ content: 'four' })
                .match({ ...current, file_path: 'none.txt' })
                .select(),
        ),
        [],
    );
    await refused(
        files()
            .update({ project_id: randomUUID() })
            .match({ ...current, file_path: 'a.txt' }),
        400,
        '22023',
    );
    assert.deepEqual(await versions(client, project_id, 'a.txt'), [1, 2, 3]);
});

test('update of the path moves the file', async () => {
    const { client, project_id, files, row } = await newOwner();
    await ok(files().insert([row('a.txt', 'one'), row('taken.txt', 'one')]));
    const current = { project_id, file_path: 'a.txt', is_current_version: true };
    await refused(files().update({ file_path: 'taken.txt' }).match(current), 409, 'PT409');
    const [moved] = await ok(
        files().update({ file_path: 'b.txt', content: 'two' }).match(current).select('file_path, version, content'),
    );
    assert.deepEqual(moved, { file_path: 'b.txt', version: 2, content: 'two' });
    assert.deepEqual(await versions(client, project_id, 'a.txt'), []);
    const history = await ok(
        client.rpc('get_project_file_history', { p_project_id: project_id, p_file_path: 'b.txt' }),
    );
    assert.deepEqual(
        history.map((row) => [row.version, row.file_path]),
        [
            [2, 'b.txt'],
            [1, 'a.txt'],
        ],
    );
    assert.equal(
        (await ok(client.rpc('get_project_file', { p_project_id: project_id, p_file_path: 'b.txt' }))).content,
        'two',
    );
});

test('what is not current any more is not updated or deleted', async () => {
    const { client, project_id, files, row } = await newOwner();
    await ok(files().insert([row('a.txt', 'one'), row('a.txt', 'two')]));
    const old = { project_id, file_path: 'a.txt', version: 1 };
    const error = await refused(files().update({ content: 'three' }).match(old), 409, 'PT409');
    const { expected, current } = JSON.parse(error.details);
    assert.deepEqual([expected, current], [1, 2]);
    await refused(files().delete().match(old), 409, 'PT409');
    assert.deepEqual(await versions(client, project_id, 'a.txt'), [1, 2]);
});

test('of two updates of one version, one is made', async () => {
    const { client, project_id, files, row } = await newOwner();
    await ok(files().insert(row('a.txt', 'one')));
    for (let version = 1; version <= 10; version++) {
        const answers = await Promise.all(
            ['left', 'right'].map((side) =>
                files()
                    .update({ content: `${side} ${version}` })
                    .match({ project_id, file_path: 'a.txt', version, is_current_version: true })
                    .select('version'),
            ),
        );
        // Who comes after the other's commit finds no such row, who came before and waited is told.
        const made = answers.filter(({ status, data }) => status === 200 && data.length === 1);
        const missed = answers.filter(
            ({ status, data, error }) => (status === 200 && data.length === 0) || error?.code === 'PT409',
        );
        assert.deepEqual([made.length, missed.length], [1, 1], JSON.stringify(answers));
    }
    assert.equal((await versions(client, project_id, 'a.txt')).length, 11);
});

test('delete saves a tombstone', async () => {
    const { client, project_id, files, row } = await newOwner();
    await ok(files().insert([row('a.txt', 'one'), row('b.txt', 'one')]));
    const [deleted] = await ok(
        files().delete().match({ project_id, file_path: 'a.txt', is_current_version: true }).select('file_path'),
    );
    assert.equal(deleted.file_path, 'a.txt');
    const history = await ok(
        client.rpc('get_project_file_history', { p_project_id: project_id, p_file_path: 'a.txt' }),
    );
    assert.deepEqual(
        history.map((row) => [row.version, row.is_deleted]),
        [
            [2, true],
            [1, false],
        ],
    );
    assert.deepEqual(await ok(files().select('file_path').match({ project_id, is_current_version: true })), [
        { file_path: 'b.txt' },
    ]);
});

test('upsert by columns is not available, and writes nothing', async () => {
    const { client, project_id, files, row } = await newOwner();
    await ok(files().insert(row('a.txt', 'one')));
    for (const options of [
        { onConflict: 'project_id,file_path' },
        { onConflict: 'id' },
        { onConflict: 'project_id,file_path', ignoreDuplicates: true },
    ]) {
        await refused(files().upsert([row('a.txt', 'two'), row('b.txt', 'two')], options), 400, '42P10');
    }
    assert.deepEqual(await versions(client, project_id, 'a.txt'), [1]);
    assert.deepEqual(await versions(client, project_id, 'b.txt'), []);
});

// PostgREST says ON CONFLICT only for columns, and a view has no primary key to take them from.
test('upsert without columns is an insert', async () => {
    const { files, row } = await newOwner();
    await ok(files().insert(row('a.txt', 'one')));
    assert.deepEqual(
        await ok(
            files()
                .upsert([row('a.txt', 'two'), row('b.txt', 'two')])
                .select('file_path, version'),
        ),
        [
            { file_path: 'a.txt', version: 2 },
            { file_path: 'b.txt', version: 1 },
        ],
    );
    await refused(files().upsert(row('a.txt', 'three', { version: 2 })), 409, 'PT409');
});

test('row level security: viewers read, strangers see and change nothing', async () => {
    const owner = await newOwner();
    const [viewer, stranger] = [newUser(), newUser()];
    await ok(
        owner.client.rpc('add_project_member', {
            p_project_id: owner.project_id,
            p_user_id: viewer.id,
            p_role: 'viewer',
        }),
    );
    await ok(owner.files().insert(owner.row('a.txt', 'one')));
    const at = { project_id: owner.project_id, file_path: 'a.txt' };
    const read = (user) => ok(user.client.from('project_files').select('content').match(at));
    assert.deepEqual(await read(viewer), [{ content: 'one' }]);
    assert.deepEqual(await read(stranger), []);
    const write = (user) => [
        user.client.from('project_files').insert(owner.row('a.txt', 'two')),
        user.client.from('project_files').update({ content: 'two' }).match(at),
        user.client.from('project_files').delete().match(at),
    ];
    for (const request of write(viewer)) await refused(request, 403, '42501');
    const [insert, ...others] = write(stranger);
    await refused(insert, 404, 'PT404');
    for (const request of others) assert.deepEqual(await ok(request.select()), []);
    for (const request of write({ client: client() })) await refused(request, 401, '42501');
    assert.deepEqual(await read(owner), [{ content: 'one' }]);
});

test('row level security: every table shows members their project, and strangers nothing', async () => {
    const [owner, viewer, stranger] = [newUser(), newUser(), newUser()];
    const { project_id, build_id } = await newProject(owner, { viewer });
    await ok(save(owner.client, project_id, 'a.txt', 'one'));
    await ok(owner.client.rpc('create_version_on_success', { p_project_id: project_id, p_build_id: build_id }));
    assert.ok(readable().includes('project_files') && readable().includes('projects'), `${readable()}`);
    for (const table of readable()) {
        assert.ok((await ok(viewer.client.from(table).select())).length > 0, table);
        assert.deepEqual(await ok(stranger.client.from(table).select()), [], table);
        await refused(client().from(table).select(), 401, '42501');
    }
});
