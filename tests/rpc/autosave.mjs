// examples/autosave.mjs: against the server, and against answers that a server seldom gives.

import assert from 'node:assert/strict';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { Autosave } from '../../examples/autosave.mjs';
import { newProject, newUser, ok, refused, save, send, until, upTo, versions } from './support.mjs';

/** An editor of one file; it types fast, and fails the test when it meets an error that it should not. */
function edit(client, projectId, { content, version }, more) {
    return new Autosave({
        client,
        projectId,
        filePath: 'a.txt',
        fileType: 'text',
        content,
        version,
        delay: 5,
        maxDelay: 50,
        retryDelay: 5,
        onChange: () => {},
        onConflict: (text) => assert.fail(`conflict:\n${text}`),
        onError: (error) => assert.fail(JSON.stringify(error)),
        ...more,
    });
}

const newFile = { content: '', version: 0 };

/** Takes both sides of every conflict; of a line that both have edited, the words of both. */
function takeBoth(text) {
    const conflict = /^<{7}.*\n([^]*?)^\|{7}.*\n[^]*?^={7}\n([^]*?)^>{7}.*\n/gm;
    return text.replace(conflict, (_, ours, theirs) => {
        const lines = [ours, theirs].map((side) => side.split('\n'));
        return lines[0].map((line, i) => [...new Set([line, lines[1][i]].join(' ').split(' '))].join(' ')).join('\n');
    });
}

test('autosave waits for a pause in typing', async () => {
    const user = newUser();
    const { project_id } = await newProject(user);
    const editor = edit(user.client, project_id, newFile, { delay: 1_000, maxDelay: 10_000 });
    for (const n of upTo(30)) {
        editor.edit('x'.repeat(n));
        await sleep(1);
    }
    await until(() => editor.version === 1);
    editor.stop();
    assert.deepEqual(await versions(user.client, project_id, 'a.txt'), [1]);
    const [file] = await ok(user.client.rpc('get_current_project_files', { project_uuid: project_id }));
    assert.equal(file.content, 'x'.repeat(30));
});

test('autosave does not wait for ever', async () => {
    const user = newUser();
    const { project_id } = await newProject(user);
    const editor = edit(user.client, project_id, newFile, { delay: 1_000_000, maxDelay: 50 });
    await until(() => {
        editor.edit(`${editor.text}x`);
        return editor.version >= 2;
    });
    editor.stop();
});

test('two editors of one file, over a network that loses answers', async () => {
    const users = [newUser(), newUser()];
    const { project_id } = await newProject(users[0], { editor: users[1] });
    const lines = ['title', ...upTo(20).map((n) => `line ${n}`)];
    await ok(save(users[0].client, project_id, 'a.txt', `${lines.join('\n')}\n`));
    const seen = { conflicts: 0, lost: 0 };
    let requests = 0;
    const network = async (url, options) => {
        const response = await send(url, options);
        if (++requests % 5 !== 0) return response;
        seen.lost++;
        throw new TypeError('connection lost');
    };
    const editors = users.map((user) =>
        edit(
            user.through(network),
            project_id,
            { content: `${lines.join('\n')}\n`, version: 1 },
            {
                onConflict: async (text) => {
                    seen.conflicts++;
                    await sleep(5);
                    return takeBoth(text);
                },
            },
        ),
    );
    // Each begins with the title, goes on with lines of its own, and comes back to the title.
    const write = async (editor, name, ownLine) => {
        for (const n of upTo(15)) {
            // What is typed while a conflict is shown is not taken, so it is typed again.
            await until(() => {
                const text = editor.text.split('\n');
                text[n % 3 === 1 ? 0 : ownLine] += ` ${name}${n}`;
                editor.edit(text.join('\n'));
                return editor.text.includes(` ${name}${n}`);
            });
            await sleep(Math.random() * 20);
        }
        await editor.flush();
    };
    await Promise.all([write(editors[0], 'ada', 5), write(editors[1], 'bob', 15)]);
    await Promise.all(editors.map((editor) => editor.refresh()));

    assert.equal(editors[0].text, editors[1].text);
    const words = editors[0].text
        .split(/\s+/)
        .filter((word) => /^(ada|bob)\d+$/.test(word))
        .sort();
    assert.deepEqual(
        words,
        upTo(15)
            .flatMap((n) => [`ada${n}`, `bob${n}`])
            .sort(),
    );
    assert.ok(!/^[<|=>]{7}/m.test(editors[0].text), editors[0].text);
    assert.equal(
        (await ok(users[0].client.rpc('get_project_file', { p_project_id: project_id, p_file_path: 'a.txt' }))).content,
        editors[0].text,
    );
    const numbers = await versions(users[0].client, project_id, 'a.txt');
    assert.deepEqual(numbers, upTo(numbers.length));
    assert.ok(seen.conflicts > 0 && seen.lost > 0, JSON.stringify(seen));
});

test('both edit the same line at the same time', async () => {
    const users = [newUser(), newUser()];
    const { project_id } = await newProject(users[0], { editor: users[1] });
    const opened = await ok(save(users[0].client, project_id, 'a.txt', 'title\nrest\n'));
    const shown = [];
    const editors = users.map((user) =>
        edit(user.client, project_id, opened, {
            onConflict: (text) => {
                shown.push(text);
                return takeBoth(text);
            },
        }),
    );
    editors[0].edit('title ada\nrest\n');
    editors[1].edit('title bob\nrest\n');
    await Promise.all(editors.map((editor) => editor.flush()));
    await Promise.all(editors.map((editor) => editor.refresh()));
    assert.equal(shown.length, 1);
    assert.ok(shown[0].includes('title ada\n') && shown[0].includes('title bob\n') && shown[0].includes('<<<<<<< '));
    assert.equal(editors[0].text, editors[1].text);
    assert.deepEqual(editors[0].text.split('\n')[0].split(' ').sort(), ['ada', 'bob', 'title']);
    assert.deepEqual(await versions(users[0].client, project_id, 'a.txt'), [1, 2, 3]);
});

test('what is typed during a merge is kept', async () => {
    const [user, other] = [newUser(), newUser()];
    const { project_id } = await newProject(user, { editor: other });
    const lines = upTo(9).map((n) => `line ${n}\n`);
    const opened = await ok(save(user.client, project_id, 'a.txt', lines.join('')));
    /** The lines, but for some. */
    const edited = (changes) => lines.map((line, i) => changes[i] ?? line).join('');
    let typed;
    // Types as soon as the merge is done, before the editor hears of it.
    const client = {
        async rpc(name, args) {
            const answer = await user.client.rpc(name, args);
            if (name === 'merge_project_file' && typed) {
                editor.edit(typed);
                typed = undefined;
            }
            return answer;
        },
    };
    const editor = edit(client, project_id, opened, { delay: 60_000, maxDelay: 60_000, onConflict: takeBoth });
    // Elsewhere than the other's edit.
    await ok(save(other.client, project_id, 'a.txt', edited({ 0: 'theirs\n' })));
    editor.edit(edited({ 4: 'mine\n' }));
    typed = edited({ 4: 'mine, and more\n' });
    await editor.flush();
    assert.equal(editor.text, edited({ 0: 'theirs\n', 4: 'mine, and more\n' }));
    // In the midst of what the other edited.
    lines.splice(0, lines.length, ...editor.text.split(/(?<=\n)/));
    await ok(save(other.client, project_id, 'a.txt', edited({ 0: 'first\n', 8: 'last\n' })));
    editor.edit(edited({ 4: 'again\n' }));
    typed = edited({ 4: 'again\n', 6: 'more again\n' });
    await editor.flush();
    editor.stop();
    assert.equal(editor.text, edited({ 0: 'first\n', 4: 'again\n', 6: 'more again\n', 8: 'last\n' }));
    const { content } = await ok(
        user.client.rpc('get_project_file', { p_project_id: project_id, p_file_path: 'a.txt' }),
    );
    assert.equal(content, editor.text);
});

test('what is typed during a refresh is kept', async () => {
    const [user, other] = [newUser(), newUser()];
    const { project_id } = await newProject(user, { editor: other });
    const opened = await ok(save(user.client, project_id, 'a.txt', '1\n2\n3\n4\n'));
    const client = {
        async rpc(name, args) {
            const answer = await user.client.rpc(name, args);
            if (name === 'get_project_file') editor.edit('1\n2\n3\nmine\n');
            return answer;
        },
    };
    const editor = edit(client, project_id, opened, { delay: 60_000, maxDelay: 60_000 });
    await ok(save(other.client, project_id, 'a.txt', 'theirs\n2\n3\n4\n'));
    await editor.refresh();
    assert.equal(editor.text, '1\n2\n3\nmine\n');
    await editor.flush();
    editor.stop();
    assert.equal(editor.text, 'theirs\n2\n3\nmine\n');
});

test('what is typed behind the question about a conflict does not count', async () => {
    const user = newUser();
    const { project_id } = await newProject(user);
    const opened = await ok(save(user.client, project_id, 'a.txt', 'title\n'));
    const editor = edit(user.client, project_id, opened, {
        onConflict: async () => {
            editor.edit('typed behind the question\n');
            assert.equal(editor.text, 'my title\n');
            await sleep(50);
            return 'resolved\n';
        },
    });
    await ok(save(user.client, project_id, 'a.txt', 'their title\n'));
    editor.edit('my title\n');
    await editor.flush();
    assert.equal(editor.text, 'resolved\n');
    assert.deepEqual(await versions(user.client, project_id, 'a.txt'), [1, 2, 3]);
});

test('autosave keeps to the limit it is told', async () => {
    const user = newUser({ plan: 'free' });
    const { project_id } = await newProject(user);
    let limited = 0;
    const counting = async (url, options) => {
        const response = await send(url, options);
        if (response.status === 429) limited++;
        return response;
    };
    const editor = edit(user.through(counting), project_id, newFile);
    for (const n of upTo(8)) {
        editor.edit(`save ${n}`);
        await editor.flush();
    }
    assert.deepEqual(await versions(user.client, project_id, 'a.txt'), upTo(8));
    assert.ok(limited > 0);
    // Told when to come again, it comes then; a timer may be a millisecond early.
    assert.ok(limited <= 3 * 8, `${limited} refusals`);
});

test('autosave tells what waiting does not cure, and goes on after the next edit', async () => {
    const [owner, member] = [newUser(), newUser()];
    const { project_id } = await newProject(owner, { viewer: member });
    const errors = [];
    const editor = edit(member.client, project_id, newFile, { onError: (error) => errors.push(error.code) });
    editor.edit('one');
    await until(() => errors.length === 1);
    await ok(
        owner.client.rpc('add_project_member', { p_project_id: project_id, p_user_id: member.id, p_role: 'editor' }),
    );
    editor.edit('one and a half');
    await until(() => editor.version === 1);
    await ok(owner.client.rpc('delete_project_file', { p_project_id: project_id, p_file_path: 'a.txt' }));
    editor.edit('two');
    await until(() => errors.length === 2);
    editor.stop();
    assert.deepEqual(errors, ['42501', 'PT409']);
    await refused(
        member.client.rpc('get_project_file', { p_project_id: project_id, p_file_path: 'a.txt' }),
        404,
        'PT404',
    );
});

test('autosave retries what may succeed later, and nothing else', async () => {
    const failures = [
        { status: 0, error: { message: 'fetch failed', code: '' } },
        { status: 500, error: { message: 'lost race', code: '40001' } },
        { status: 500, error: { message: 'deadlock', code: '40P01' } },
        { status: 503, error: { message: 'no database', code: 'PGRST001' } },
        { status: 502, error: { message: '<html>' } },
        { status: 429, error: { message: 'slow down', code: 'PT429', details: '{"retry_after_ms": 40}' } },
    ];
    const calls = [];
    const scripted = {
        async rpc(name, args) {
            calls.push({ at: Date.now(), name, ...args });
            const failure = failures[calls.length - 1];
            return failure ? { data: null, ...failure } : { data: { version: 1 }, error: null, status: 200 };
        },
    };
    const editor = edit(scripted, 'p', newFile);
    editor.edit('one');
    await editor.flush();
    assert.equal(editor.version, 1);
    const { at, ...request } = calls[0];
    assert.deepEqual(
        calls.map(({ at, ...call }) => call),
        calls.map(() => request),
    );
    assert.equal(calls.length, failures.length + 1);
    // Timers may end a millisecond early.
    assert.ok(calls.at(-1).at - calls.at(-2).at >= 39);

    for (const error of [
        { status: 500, code: 'XX001' },
        { status: 400, code: '22023' },
        { status: 404, code: 'PT404' },
    ]) {
        let count = 0;
        const refusing = {
            rpc: async () => (count++, { data: null, status: error.status, error: { message: '', code: error.code } }),
        };
        const editor = edit(refusing, 'p', newFile);
        editor.edit('one');
        await assert.rejects(editor.flush(), { code: error.code });
        assert.equal(count, 1);
    }
});
