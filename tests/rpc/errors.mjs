// Every error of the contract as HTTP shows it: the status, and PostgREST's code, message, details and hint.

import assert from 'node:assert/strict';
import { createHash, randomUUID } from 'node:crypto';
import test from 'node:test';

import {
    Session,
    client,
    newProject,
    newUser,
    ok,
    readable,
    refused,
    save,
    sql,
    untilWaiting,
    upTo,
    versions,
} from './support.mjs';

const hash = (text) => createHash('sha256').update(text).digest('hex');

test('PT409: 409, with the current version and its hash', async () => {
    const { client } = newUser();
    const { project_id } = await newProject({ client });
    await ok(save(client, project_id, 'a "b".txt', 'one', 0));
    await ok(save(client, project_id, 'a "b".txt', 'two', 1));
    const error = await refused(save(client, project_id, 'a "b".txt', 'three', 1), 409, 'PT409');
    assert.ok(error.message.includes('a "b".txt'), error.message);
    assert.deepEqual(JSON.parse(error.details), {
        file_path: 'a "b".txt',
        expected: 1,
        current: 2,
        current_hash: hash('two'),
    });
    assert.ok(error.hint.length > 0);
    const absent = await refused(save(client, project_id, 'none.txt', 'one', 4), 409, 'PT409');
    assert.deepEqual(JSON.parse(absent.details), {
        file_path: 'none.txt',
        expected: 4,
        current: null,
        current_hash: null,
    });
    assert.deepEqual(await versions(client, project_id, 'a "b".txt'), [1, 2]);
    assert.deepEqual(await versions(client, project_id, 'none.txt'), []);
});

test('PT409: 409 for a path that is taken', async () => {
    const { client } = newUser();
    const { project_id } = await newProject({ client });
    await ok(save(client, project_id, 'a.txt', 'one'));
    await ok(save(client, project_id, 'b.txt', 'two'));
    const move = { p_project_id: project_id, p_from_path: 'a.txt', p_to_path: 'b.txt' };
    const error = await refused(client.rpc('move_project_file', move), 409, 'PT409');
    assert.equal(JSON.parse(error.details).file_path, 'b.txt');
    assert.ok(error.message.includes('b.txt') && error.hint.length > 0);
});

test('PT404: 404', async () => {
    const { client } = newUser();
    const { project_id } = await newProject({ client });
    await ok(save(client, project_id, 'a.txt', 'one'));
    const at = { p_project_id: project_id, p_file_path: 'a.txt' };
    for (const [request, names] of [
        [save(client, randomUUID(), 'a.txt', 'one'), 'project'],
        [client.rpc('get_project_file', { ...at, p_file_path: 'none.txt' }), 'none.txt'],
        [client.rpc('get_project_file', { ...at, p_version: 7 }), 'version 7'],
        [client.rpc('delete_project_file', { ...at, p_file_path: 'none.txt' }), 'none.txt'],
        [
            client.rpc('fail_project_build', { p_project_id: project_id, p_build_id: '01ARZ3NDEKTSV4RRFFQ69G5FAV' }),
            'build',
        ],
    ]) {
        const error = await refused(request, 404, 'PT404');
        assert.ok(error.message.includes(names), error.message);
    }
});

test('42501: 401 for nobody, 403 for a user', async () => {
    const [owner, viewer] = [newUser(), newUser()];
    const { project_id } = await newProject(owner, { viewer });
    await refused(save(client(), project_id, 'a.txt', 'one'), 401, '42501');
    const error = await refused(save(viewer.client, project_id, 'a.txt', 'one'), 403, '42501');
    assert.ok(error.message.includes(project_id) && error.message.includes('editor'), error.message);
    // Tables can only be read, by anyone.
    for (const table of readable('r')) {
        for (const user of [owner.client, client({ role: 'service_role' })]) {
            await refused(user.from(table).delete(), 403, '42501');
        }
    }
});

test('22023: 400, with the argument that is wrong', async () => {
    const { client } = newUser();
    const { project_id } = await newProject({ client });
    const at = { p_project_id: project_id, p_file_path: 'a.txt' };
    await ok(save(client, project_id, 'a.txt', 'one'));
    for (const [request, names] of [
        [save(client, project_id, '../a.txt', 'one'), '../a.txt'],
        [save(client, project_id, 'b'.repeat(1025), 'one'), 'p_file_path'],
        [save(client, project_id, 'a.txt', null), 'p_content'],
        [save(client, null, 'a.txt', 'one'), 'project_uuid'],
        [save(client, project_id, 'a.txt', 'one', -1), 'expected_version'],
        [save(client, project_id, 'a.txt', 'x'.repeat(10 * 1024 * 1024 + 1)), '10485760'],
        [client.rpc('get_project_file_history', { ...at, p_limit: 1001 }), 'p_limit'],
        [client.rpc('atomic_upsert_project_files', { p_project_id: project_id, p_files: [{ path: 'a.txt' }] }), 'path'],
        [client.rpc('revert_project_file', { ...at, p_to_version: 0 }), 'p_to_version'],
    ]) {
        const error = await refused(request, 400, '22023');
        assert.ok(error.message.includes(names), error.message);
    }
    assert.deepEqual(await versions(client, project_id, 'a.txt'), [1]);
});

test('PT429: 429, with the time to wait', async () => {
    const { client } = newUser({ plan: 'free' });
    const { project_id } = await newProject({ client });
    const answers = await Promise.all(upTo(30).map((n) => save(client, project_id, 'a.txt', `${n}`)));
    const saved = answers.filter((answer) => answer.status === 200).length;
    const limited = answers.filter((answer) => answer.status !== 200);
    assert.ok(saved >= 3 && limited.length > 0, `${saved} saved`);
    for (const { status, error } of limited) {
        assert.deepEqual([status, error.code], [429, 'PT429']);
        const details = JSON.parse(error.details);
        assert.deepEqual(Object.keys(details), ['retry_after_ms']);
        // Five a second: no save has to wait for more than one of them.
        assert.ok(details.retry_after_ms > 0 && details.retry_after_ms <= 200, error.details);
        assert.ok(error.message.includes(project_id) && error.hint.length > 0);
    }
    // What was refused is not there.
    assert.equal((await versions(client, project_id, 'a.txt')).length, saved);
    const other = newUser({ plan: 'free' });
    await ok(save(other.client, (await newProject(other)).project_id, 'a.txt', 'one'));
});

test('XX001: 500, and only for who reads what is damaged', async () => {
    const { client } = newUser();
    const { project_id } = await newProject({ client });
    await ok(save(client, project_id, 'a.txt', 'one'));
    await ok(save(client, project_id, 'b.txt', 'two'));
    sql(`SET session_replication_role = replica;
         UPDATE versioned.project_file_versions SET stored = '\\x00'
          WHERE project_id = '${project_id}' AND file_path = 'a.txt'`);
    const read = (path) => client.rpc('get_project_file', { p_project_id: project_id, p_file_path: path });
    const view = (columns) => client.from('project_files').select(columns).match({ project_id, file_path: 'a.txt' });
    for (const request of [read('a.txt'), view('content')]) {
        const error = await refused(request, 500, 'XX001');
        assert.ok(error.message.includes(project_id) && error.message.includes('a.txt'), error.message);
    }
    assert.deepEqual(await ok(view('version')), [{ version: 1 }]);
    assert.equal((await ok(read('b.txt'))).content, 'two');
    const problems = await ok(client.rpc('check_project_integrity', { p_project_id: project_id }));
    assert.deepEqual(
        problems.map((row) => [row.file_path, row.version]),
        [['a.txt', 1]],
    );
    // A save does not build on it.
    await ok(save(client, project_id, 'a.txt', 'three', 1));
    assert.equal((await ok(read('a.txt'))).content, 'three');
});

/** Runs `during` while another session holds the lock of a project's file, with a save that is not committed. */
async function whileHeld(project_id, during) {
    const other = new Session();
    try {
        await other.run('BEGIN');
        await other.run(`SELECT versioned.atomic_upsert_project_file('${project_id}', 'a.txt', 'other', 'text')`);
        await during(other);
    } finally {
        await other.close();
    }
}

test('55P03: 500, and nothing is written', async () => {
    const { client } = newUser({ role: 'rpc_repeatable_read' });
    const { project_id } = await newProject({ client });
    await ok(save(client, project_id, 'a.txt', 'one'));
    await whileHeld(project_id, () => refused(save(client, project_id, 'a.txt', 'late'), 500, '55P03'));
    assert.deepEqual(await versions(client, project_id, 'a.txt'), [1]);
});

test('40001: PostgREST itself tries again, and no save is lost', async () => {
    const { client } = newUser({ role: 'rpc_repeatable_read' });
    const { project_id } = await newProject({ client });
    await ok(save(client, project_id, 'a.txt', 'one'));
    const raced = async (expected) => {
        let answer;
        await whileHeld(project_id, async (other) => {
            const request = save(client, project_id, 'a.txt', `late ${expected}`, expected).then((answer) => answer);
            await untilWaiting();
            await other.run('COMMIT');
            answer = await request;
        });
        return answer;
    };
    assert.equal((await ok(raced())).version, 3);
    const { details } = await refused(raced(3), 409, 'PT409');
    assert.equal(JSON.parse(details).current, 4);
    assert.deepEqual(await versions(client, project_id, 'a.txt'), [1, 2, 3, 4]);
});

test('40P01: 500, and nothing is written', async () => {
    const { client } = newUser();
    const { project_id } = await newProject({ client });
    const other = new Session();
    try {
        await other.run('BEGIN');
        // The longer patience decides which of the two is ended.
        await other.run("SET LOCAL deadlock_timeout = '5s'");
        const saveOther = (path) =>
            `SELECT versioned.atomic_upsert_project_file('${project_id}', '${path}', 'other', 'text')`;
        await other.run(saveOther('b.txt'));
        const request = client
            .from('project_files')
            .insert(['a.txt', 'b.txt'].map((file_path) => ({ project_id, file_path, content: 'late' })))
            .then((answer) => answer);
        await untilWaiting();
        other.start(saveOther('a.txt'));
        await refused(request, 500, '40P01');
        await other.run('COMMIT');
    } finally {
        await other.close();
    }
    const files = await ok(client.rpc('get_current_project_files', { project_uuid: project_id }));
    assert.deepEqual(
        files.map((file) => [file.file_path, file.content]),
        [
            ['a.txt', 'other'],
            ['b.txt', 'other'],
        ],
    );
});
