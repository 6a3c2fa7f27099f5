// Every function by its named arguments, as an app calls it, and what comes back as JSON.

import assert from 'node:assert/strict';
import { createHash, randomUUID } from 'node:crypto';
import test from 'node:test';

import { newProject, newUser, ok, refused, save, sql, upTo } from './support.mjs';

const hash = (text) => createHash('sha256').update(text).digest('hex');
const ulid = /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/;

test('ids', async () => {
    const { client } = newUser();
    const before = Date.now();
    const id = await ok(client.rpc('generate_ulid'));
    assert.match(id, ulid);
    assert.equal(await ok(client.rpc('is_ulid', { p_text: id })), true);
    assert.equal(await ok(client.rpc('is_ulid', { p_text: 'ulid' })), false);
    const made = Date.parse(await ok(client.rpc('ulid_to_timestamp', { p_ulid: id })));
    assert.ok(made >= before - 1000 && made <= Date.now() + 1000, `${made}`);
    const uuid = await ok(client.rpc('ulid_to_uuid', { p_ulid: id }));
    assert.equal(await ok(client.rpc('uuid_to_ulid', { p_uuid: uuid })), id);
});

test('lock keys', async () => {
    const { client } = newUser();
    const id = randomUUID();
    const key = (text) => sql(`SELECT hashtextextended('${text}', 0)`);
    // JSON numbers lose the last digits of a 64-bit integer, so keys are compared as JavaScript has them.
    assert.equal(await ok(client.rpc('owner_lock_key', { p_owner_id: id })), Number(key(`owner:${id}`)));
    assert.equal(await ok(client.rpc('project_lock_key', { p_project_id: id })), Number(key(`project:${id}`)));
    assert.equal(
        await ok(client.rpc('file_lock_key', { p_project_id: id, p_file_path: 'a.txt' })),
        Number(key(`file:${id}:a.txt`)),
    );
});

test('a project is created once', async () => {
    const { id, client } = newUser();
    const args = {
        p_user_id: id,
        p_framework: 'vue',
        p_prompt: 'A shop',
        p_name: 'Shop',
        p_idempotency_key: randomUUID(),
    };
    const answers = await Promise.all(upTo(5).map(() => ok(client.rpc('create_complete_project', args))));
    const made = answers.map(([row]) => row);
    assert.equal(made.filter((row) => row.created).length, 1);
    const { project_id, ...rest } = made[0];
    assert.ok(made.every((row) => row.project_id === project_id && row.build_id === rest.build_id));
    assert.deepEqual(Object.keys(rest).sort(), [
        'ai_session_id',
        'build_id',
        'build_metrics_id',
        'created',
        'version_id',
    ]);
    assert.match(rest.build_id, ulid);
    assert.deepEqual(await ok(client.from('projects').select('id, name, framework')), [
        { id: project_id, name: 'Shop', framework: 'vue' },
    ]);
    await refused(client.rpc('create_complete_project', { ...args, p_name: 'Bar' }), 400, '22023');
});

test('members', async () => {
    const [owner, other] = [newUser(), newUser()];
    const { project_id: p_project_id } = await newProject(owner);
    const add = (p_role) => owner.client.rpc('add_project_member', { p_project_id, p_user_id: other.id, p_role });
    const can = async () => (await ok(other.client.from('projects').select('id').eq('id', p_project_id))).length === 1;
    assert.equal(await can(), false);
    const member = await ok(add('viewer'));
    assert.deepEqual([member.project_id, member.user_id, member.role], [p_project_id, other.id, 'viewer']);
    assert.equal((await ok(add('editor'))).role, 'editor');
    assert.equal(await can(), true);
    const remove = () => owner.client.rpc('remove_project_member', { p_project_id, p_user_id: other.id });
    assert.equal(await ok(remove()), true);
    assert.equal(await ok(remove()), false);
    assert.equal(await can(), false);
    await refused(add('boss'), 400, '22023');
});

test('a config is merged, and a change of it is expected or not', async () => {
    const [owner, viewer] = [newUser(), newUser()];
    const { project_id: p_project_id, build_id } = await newProject(owner, { viewer });
    const update = (p_config, p_expected_updated_at) =>
        owner.client.rpc('update_project_config', { p_project_id, p_config, p_expected_updated_at });
    const state = async (by) => {
        const rows = await ok(by.client.rpc('get_project_state', { p_project_id }, { get: true }));
        assert.equal(rows.length, 1);
        return rows[0];
    };
    const first = await state(viewer);
    assert.deepEqual(
        [first.project_id, first.name, first.role, first.config, first.running_build_id, first.current_semver],
        [p_project_id, 'Test', 'viewer', {}, build_id, null],
    );
    assert.equal((await state(owner)).role, 'owner');
    const { config, config_updated_at } = await ok(update({ theme: { dark: true }, lang: 'en' }));
    assert.deepEqual(config, { theme: { dark: true }, lang: 'en' });
    // The timestamp goes back as it came: a Date would lose its microseconds.
    assert.deepEqual((await ok(update({ theme: { size: 12 }, lang: null }, config_updated_at))).config, {
        theme: { dark: true, size: 12 },
    });
    const conflict = await refused(update({ theme: null }, config_updated_at), 409, 'PT409');
    const { expected, current, ...detail } = JSON.parse(conflict.details);
    assert.deepEqual(detail, { project_id: p_project_id, config: { theme: { dark: true, size: 12 } } });
    assert.ok(expected < current);
    assert.deepEqual((await ok(update({ theme: null }, current))).config, {});
    await refused(update([1]), 400, '22023');
    await refused(viewer.client.rpc('update_project_config', { p_project_id, p_config: {} }), 403, '42501');
});

test('a file is saved, moved, reverted and deleted', async () => {
    const { id, client } = newUser();
    const { project_id } = await newProject({ client });
    const at = (p_file_path) => ({ p_project_id: project_id, p_file_path });

    const { id: version_id, created_at, updated_at, ...file } = await ok(save(client, project_id, 'a.txt', 'one\n', 0));
    assert.match(version_id, /^[0-9a-f-]{36}$/);
    assert.equal(created_at, updated_at);
    assert.deepEqual(file, {
        project_id,
        file_path: 'a.txt',
        content: 'one\n',
        file_type: 'text',
        version: 1,
        content_hash: hash('one\n'),
        size_bytes: 4,
        is_current_version: true,
        is_deleted: false,
        created_by: id,
        last_modified_by: id,
    });
    await ok(save(client, project_id, 'a.txt', 'two\n', 1));

    const moved = await ok(
        client.rpc('move_project_file', {
            p_project_id: project_id,
            p_from_path: 'a.txt',
            p_to_path: 'b.txt',
            p_expected_version: 2,
        }),
    );
    assert.deepEqual([moved.file_path, moved.version, moved.content], ['b.txt', 3, 'two\n']);
    const reverted = await ok(
        client.rpc('revert_project_file', { ...at('b.txt'), p_to_version: 1, p_expected_version: 3 }),
    );
    assert.deepEqual([reverted.version, reverted.content], [4, 'one\n']);
    const tombstone = await ok(client.rpc('delete_project_file', { ...at('b.txt'), p_expected_version: 4 }));
    assert.deepEqual([tombstone.version, tombstone.is_deleted, tombstone.content], [5, true, null]);
    assert.deepEqual(await ok(client.rpc('get_current_project_files', { project_uuid: project_id })), []);
    assert.equal((await ok(client.rpc('revert_project_file', { ...at('b.txt'), p_to_version: 2 }))).version, 6);

    assert.equal((await ok(client.rpc('get_project_file', at('b.txt')))).content, 'two\n');
    assert.equal((await ok(client.rpc('get_project_file', { ...at('b.txt'), p_version: 1 }))).content, 'one\n');
    const [current] = await ok(client.rpc('get_current_project_files', { project_uuid: project_id }));
    assert.deepEqual(
        [current.file_path, current.content, current.file_type, current.version, current.content_hash],
        ['b.txt', 'two\n', 'text', 6, hash('two\n')],
    );
    const history = await ok(
        client.rpc('get_project_file_history', { ...at('b.txt'), p_limit: 3, p_before_version: 6 }),
    );
    assert.deepEqual(
        history.map((row) => [row.version, row.file_path, row.is_deleted]),
        [
            [5, 'b.txt', true],
            [4, 'b.txt', false],
            [3, 'b.txt', false],
        ],
    );
    assert.deepEqual(
        (await ok(client.rpc('get_project_file_history', at('b.txt')))).map((row) => row.file_path),
        ['b.txt', 'b.txt', 'b.txt', 'b.txt', 'a.txt', 'a.txt'],
    );
    const diff = await ok(client.rpc('diff_project_file', { ...at('b.txt'), p_from_version: 3, p_to_version: 4 }));
    assert.ok(diff.includes('\n-two\n+one\n'), diff);
});

test('reading functions answer GET', async () => {
    const { client } = newUser();
    const { project_id } = await newProject({ client });
    await ok(save(client, project_id, 'a.txt', 'one'));
    await ok(save(client, project_id, 'b.txt', 'two'));
    const file = { p_project_id: project_id, p_file_path: 'b.txt' };
    assert.equal((await ok(client.rpc('get_project_file', file, { get: true }))).content, 'two');
    assert.deepEqual(
        await ok(
            client
                .rpc('get_current_project_files', { project_uuid: project_id }, { get: true })
                .select('file_path, version')
                .neq('file_path', 'b.txt'),
        ),
        [{ file_path: 'a.txt', version: 1 }],
    );
});

test('any text comes back as it was sent', async () => {
    const { client } = newUser();
    const { project_id } = await newProject({ client });
    const texts = [
        '',
        '\\x00 \\n',
        'quotes \' " ` $$',
        'tabs\tand\r\nlines\n',
        'Grüße, 你好, 👩‍💻',
        '\u2028 \ufeff',
        '{"a": [1]}',
    ];
    for (const text of texts) {
        const file = await ok(save(client, project_id, `as ${texts.indexOf(text)} 你好?&=.txt`, text));
        assert.deepEqual([file.content, file.content_hash], [text, hash(text)]);
    }
    const files = await ok(client.rpc('get_current_project_files', { project_uuid: project_id }));
    assert.deepEqual(
        files.map((file) => file.content),
        texts,
    );
});

test('a large file comes back as it was sent', async () => {
    const { client } = newUser();
    const { project_id } = await newProject({ client });
    const text = Array.from({ length: 100_000 }, (_, i) => `line ${i} of a large file\n`).join('');
    await ok(save(client, project_id, 'large.txt', text));
    await ok(save(client, project_id, 'large.txt', `${text}end\n`));
    const read = (p_version) =>
        ok(client.rpc('get_project_file', { p_project_id: project_id, p_file_path: 'large.txt', p_version }));
    assert.ok((await read(1)).content === text);
    assert.ok((await read(2)).content === `${text}end\n`);
});

test('upsert_project_file answers JSON, errors too', async () => {
    const [owner, viewer, stranger] = [newUser(), newUser(), newUser()];
    const { project_id } = await newProject(owner, { viewer });
    const upsert = async (by, content, expected_version, p_file_path = 'a.txt') =>
        ok(
            by.client.rpc('upsert_project_file', {
                project_uuid: project_id,
                p_file_path,
                p_content: content,
                p_file_type: 'text',
                expected_version,
            }),
        );
    const answer = await upsert(owner, 'one', 0);
    assert.deepEqual(Object.keys(answer), ['success', 'data']);
    const { id, updated_at, ...data } = answer.data;
    assert.deepEqual(
        [answer.success, data],
        [true, { file_path: 'a.txt', version: 1, content_hash: hash('one'), is_current_version: true }],
    );
    assert.deepEqual(
        await ok(owner.client.from('project_files').select('id, updated_at').eq('project_id', project_id)),
        [{ id, updated_at }],
    );

    const refusal = async (answer, code, retry_suggested, current_version = null) => {
        const { success, error, ...rest } = await answer;
        const { message, ...others } = error;
        assert.deepEqual([success, rest, others], [false, {}, { code, retry_suggested, current_version }]);
        assert.ok(message.length > 0);
    };
    await ok(save(owner.client, project_id, 'a.txt', 'two'));
    await refusal(upsert(owner, 'three', 1), 'VERSION_CONFLICT', true, 2);
    await refusal(upsert(owner, 'three', 7, 'none.txt'), 'VERSION_CONFLICT', true);
    await refusal(upsert(viewer, 'three'), 'FORBIDDEN', false);
    await refusal(upsert(stranger, 'three'), 'NOT_FOUND', false);
    await refusal(upsert(owner, 'three', null, '../a.txt'), 'INVALID_INPUT', false);
    const nobody = newUser({ sub: undefined });
    await refusal(upsert(nobody, 'three'), 'AUTHENTICATION_REQUIRED', false);
    const limited = newUser({ plan: 'free' });
    await ok(
        owner.client.rpc('add_project_member', { p_project_id: project_id, p_user_id: limited.id, p_role: 'editor' }),
    );
    const answers = await Promise.all(upTo(30).map((n) => upsert(limited, `${n}`, null, `${n}.txt`)));
    const limits = answers.filter((answer) => !answer.success);
    assert.ok(limits.length > 0);
    for (const answer of limits) await refusal(answer, 'RATE_LIMIT_EXCEEDED', true);
});

test('many files at once, or none', async () => {
    const { client } = newUser();
    const { project_id: p_project_id } = await newProject({ client });
    const batch = (...p_files) => client.rpc('atomic_upsert_project_files', { p_project_id, p_files });
    const file = (file_path, content, expected_version) => ({
        file_path,
        content,
        file_type: 'text',
        expected_version,
    });
    const saved = await ok(batch(file('b.txt', 'b', 0), file('a.txt', 'a', 0), file('c.txt', 'c')));
    assert.deepEqual(
        saved.map((row) => [row.file_path, row.version]),
        [
            ['b.txt', 1],
            ['a.txt', 1],
            ['c.txt', 1],
        ],
    );
    const error = await refused(
        batch(file('d.txt', 'd', 0), file('a.txt', 'aa', 3), file('b.txt', 'bb', 4), {
            file_path: 'c.txt',
            delete: true,
        }),
        409,
        'PT409',
    );
    assert.deepEqual(
        JSON.parse(error.details).conflicts.map(({ file_path, expected, current }) => ({
            file_path,
            expected,
            current,
        })),
        [
            { file_path: 'a.txt', expected: 3, current: 1 },
            { file_path: 'b.txt', expected: 4, current: 1 },
        ],
    );
    assert.equal((await ok(batch({ file_path: 'c.txt', delete: true })))[0].is_deleted, true);
    const files = await ok(client.rpc('get_current_project_files', { project_uuid: p_project_id }));
    assert.deepEqual(
        files.map((row) => [row.file_path, row.content]),
        [
            ['a.txt', 'a'],
            ['b.txt', 'b'],
        ],
    );
});

test('edits of one version are merged', async () => {
    const { client } = newUser();
    const { project_id: p_project_id } = await newProject({ client });
    const merge = async (p_content, p_base_version, p_file_type) => {
        const rows = await ok(
            client.rpc('merge_project_file', {
                p_project_id,
                p_file_path: 'a.txt',
                p_content,
                p_base_version,
                p_file_type,
            }),
        );
        assert.equal(rows.length, 1);
        return rows[0];
    };
    assert.deepEqual(await merge('1\n2\n3\n4\n', 0, 'text'), {
        version: 1,
        merged: false,
        has_conflicts: false,
        content: '1\n2\n3\n4\n',
    });
    await ok(save(client, p_project_id, 'a.txt', 'one\n2\n3\n4\n', 1));
    assert.deepEqual(await merge('1\n2\n3\nfour\n', 1), {
        version: 3,
        merged: true,
        has_conflicts: false,
        content: 'one\n2\n3\nfour\n',
    });
    const { content, ...conflict } = await merge('eins\n2\n3\n4\n', 1);
    assert.deepEqual(conflict, { version: 3, merged: false, has_conflicts: true });
    assert.match(content, /^<<<<<<< .*\none\n\|\|\|\|\|\|\| .*\n1\n=======\neins\n>>>>>>> .*\n2\n3\nfour\n$/);
    assert.equal((await ok(client.rpc('get_project_file', { p_project_id, p_file_path: 'a.txt' }))).version, 3);
});

test('the change feed tells every save once', async () => {
    const { id, client } = newUser();
    const { project_id } = await newProject({ client });
    for (const content of ['one', 'two', 'three']) await ok(save(client, project_id, 'a.txt', content));
    await ok(client.rpc('delete_project_file', { p_project_id: project_id, p_file_path: 'a.txt' }));
    const seen = [];
    let after = null;
    // It may lag behind the oldest transaction of the cluster, also of other databases.
    for (const end = Date.now() + 10_000; seen.length < 4 && Date.now() < end;) {
        const page = await ok(
            client.rpc('get_project_changes', { p_project_id: project_id, p_after: after, p_limit: 3 }),
        );
        seen.push(...page);
        after = page.at(-1)?.cursor ?? after;
    }
    assert.deepEqual(
        seen.map((row) => [row.file_path, row.version, row.is_deleted, row.created_by]),
        [
            ['a.txt', 1, false, id],
            ['a.txt', 2, false, id],
            ['a.txt', 3, false, id],
            ['a.txt', 4, true, id],
        ],
    );
    const error = await refused(
        client.rpc('get_project_changes', { p_project_id: project_id, p_after: 'yesterday' }),
        400,
        '22023',
    );
    assert.ok(error.hint);
});

test('a build from its start to a version, and one that fails', async () => {
    const { id, client } = newUser();
    const { project_id: p_project_id, build_id: p_build_id, version_id } = await newProject({ client });
    await ok(save(client, p_project_id, 'a.txt', 'one\n'));
    const session = await ok(client.rpc('start_ai_time_tracking', { p_project_id, p_build_id, p_operation: 'review' }));
    assert.match(session, ulid);
    const stop = () => ok(client.rpc('stop_ai_time_tracking', { p_project_id, p_session_id: session }));
    const duration = await stop();
    assert.ok(Number.isInteger(duration) && duration >= 0);
    assert.equal(await stop(), duration);

    const succeed = () =>
        ok(client.rpc('create_version_on_success', { p_project_id, p_build_id, p_result: { version_name: 'Beta' } }));
    const version = await succeed();
    assert.deepEqual(
        [version.version_id, version.major_version, version.minor_version, version.change_type, version.version_name],
        [version_id, 1, 0, 'major', 'Beta'],
    );
    assert.equal((await succeed()).version_id, version_id);
    await ok(save(client, p_project_id, 'a.txt', 'two\n'));
    const files = await ok(client.rpc('get_project_version_files', { p_project_id, p_version_id: version_id }));
    assert.deepEqual(
        files.map((file) => [file.file_path, file.content]),
        [['a.txt', 'one\n']],
    );
    const stream = await ok(
        client.rpc('get_project_fast_export', { p_project_id, p_authors: { [id]: 'Ada <ada@example.com>' } }),
    );
    assert.deepEqual([stream[0], stream.at(-1)], ['feature done', 'done']);
    assert.match(stream.join('\n'), /\ncommitter Ada <ada@example\.com> \d+ \+0000\n/);

    const start = (args) => client.rpc('start_project_build', { p_project_id, ...args });
    const [build] = await ok(start({ p_prompt: 'Again', p_framework: 'svelte' }));
    const conflict = await refused(start(), 409, 'PT409');
    assert.equal(JSON.parse(conflict.details).build_id, build.build_id);
    const [next] = await ok(start({ p_supersede: true }));
    const failed = await ok(
        client.rpc('fail_project_build', { p_project_id, p_build_id: next.build_id, p_error: 'no space left' }),
    );
    assert.deepEqual([failed.status, failed.error], ['failed', 'no space left']);
    await refused(client.rpc('create_version_on_success', { p_project_id, p_build_id: next.build_id }), 409, 'PT409');
    assert.deepEqual(
        (
            await ok(
                client
                    .from('project_build_metrics')
                    .select('build_id, status')
                    .eq('project_id', p_project_id)
                    .order('id'),
            )
        ).map((row) => row.status),
        ['deployed', 'abandoned', 'failed'],
    );
});

test('integrity and retention', async () => {
    const { client } = newUser();
    const { project_id: p_project_id } = await newProject({ client });
    for (const content of ['one', 'two', 'three', 'four']) await ok(save(client, p_project_id, 'a.txt', content));
    assert.deepEqual(await ok(client.rpc('check_project_integrity', { p_project_id })), []);
    const prune = async (args) => ok(client.rpc('prune_project_history', { p_project_id, p_keep_last: 2, ...args }));
    const remaining = async () =>
        (await ok(client.rpc('get_project_file_history', { p_project_id, p_file_path: 'a.txt' }))).map(
            (row) => row.version,
        );
    assert.deepEqual(await prune({ p_keep_newer_than: '1 hour' }), []);
    const [dry] = await prune();
    assert.deepEqual([dry.file_path, dry.removed_versions], ['a.txt', [1, 2]]);
    assert.deepEqual(await remaining(), [4, 3, 2, 1]);
    const [pruned] = await prune({ p_file_path: 'a.txt', p_dry_run: false });
    assert.deepEqual(pruned, dry);
    assert.deepEqual(await remaining(), [4, 3]);
    assert.deepEqual(await ok(client.rpc('check_project_integrity', { p_project_id })), []);
});

test('what decodes stored rows is not part of the API', async () => {
    const { client } = newUser();
    const { project_id } = await newProject({ client });
    await ok(save(client, project_id, 'a.txt', 'one\n'));
    const row = await ok(client.from('project_file_versions').select().eq('project_id', project_id).single());
    assert.equal(row.base_version, null);
    const { error } = await client.rpc('stored_content', { p_stored: row.stored });
    assert.equal(error.code, 'PGRST202');
});

test('a deleted project is gone', async () => {
    const [owner, editor] = [newUser(), newUser()];
    const { project_id } = await newProject(owner, { editor });
    await ok(save(owner.client, project_id, 'a.txt', 'one'));
    const remove = (by) => by.client.rpc('delete_project', { p_project_id: project_id });
    await refused(remove(editor), 403, '42501');
    assert.equal(await ok(remove(owner)), true);
    await refused(remove(owner), 404, 'PT404');
    assert.deepEqual(await ok(owner.client.from('project_files').select().eq('project_id', project_id)), []);
    await refused(save(owner.client, project_id, 'a.txt', 'two'), 404, 'PT404');
});
