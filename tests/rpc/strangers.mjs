// A caller who may not see a project cannot tell it from one that does not exist.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import test from 'node:test';

import { functions, newProject, newUser, ok, save, send } from './support.mjs';

/** Arguments of every function about a project that a member would succeed with, but for the project's own. */
function argumentsFor({ build_id, version_id, ai_session_id }) {
    const a = { p_file_path: 'a.txt' };
    const content = { ...a, p_content: 'two', p_file_type: 'text' };
    return {
        add_project_member: { p_user_id: randomUUID(), p_role: 'viewer' },
        atomic_upsert_project_file: { ...content, expected_version: 1 },
        atomic_upsert_project_files: {
            p_files: [{ file_path: 'a.txt', content: 'two', file_type: 'text', expected_version: 1 }],
        },
        check_project_integrity: {},
        create_version_on_success: { p_build_id: build_id },
        cut_project_build: { p_build_id: build_id },
        delete_project: {},
        delete_project_file: a,
        delete_project_version: { p_version_id: version_id },
        diff_project_file: { ...a, p_from_version: 1 },
        diff_project_versions: { p_from_version_id: version_id },
        fail_project_build: { p_build_id: build_id },
        get_current_project_files: {},
        get_project_build_files: { p_build_id: build_id },
        get_project_changes: {},
        get_project_fast_export: {},
        get_project_file: a,
        get_project_file_history: a,
        get_project_state: {},
        get_project_version_files: { p_version_id: version_id },
        get_project_version_history: {},
        merge_project_file: { ...content, p_base_version: 1 },
        move_project_file: { p_from_path: 'a.txt', p_to_path: 'b.txt' },
        prune_project_history: { p_keep_last: 1 },
        publish_project_version: { p_version_id: version_id },
        remove_project_member: { p_user_id: randomUUID() },
        restore_project_version: { p_version_id: version_id },
        revert_project_file: { ...a, p_to_version: 1 },
        start_ai_time_tracking: { p_build_id: build_id },
        start_project_build: { p_supersede: true },
        stop_ai_time_tracking: { p_session_id: ai_session_id },
        undelete_project_version: { p_version_id: version_id },
        unpublish_project_version: { p_version_id: version_id },
        update_version_metadata: { p_version_id: version_id, p_metadata: { version_name: 'Beta' } },
        update_project_config: { p_config: { theme: 'dark' } },
        upsert_project_file: { ...content, expected_version: 0 },
    };
}

/** A user in no project, who looks at everything that is in an answer. */
function newStranger() {
    let seen;
    const client = newUser().through(async (url, options) => {
        const response = await send(url, options);
        const headers = [...response.headers].filter(([name]) => name !== 'date');
        seen = { status: response.status, text: response.statusText, headers, body: await response.clone().text() };
        return response;
    });
    return {
        client,
        /** The answer to a request about the project `id`, with another word for `id`. */
        async ask(id, request) {
            await request(id);
            return JSON.parse(JSON.stringify(seen).replaceAll(id, 'ID'));
        },
    };
}

test('functions answer a stranger as if there were no such project', async () => {
    const [owner, stranger] = [newUser(), newStranger()];
    const project = await newProject(owner);
    await ok(save(owner.client, project.project_id, 'a.txt', 'one'));
    // What is IMMUTABLE reads no table, so it can tell nothing but what it is given.
    const about = functions().flatMap(({ name, args, granted, immutable }) => {
        const key = args?.find((arg) => arg === 'p_project_id' || arg === 'project_uuid');
        return granted && key && !immutable ? [{ name, key }] : [];
    });
    const known = argumentsFor(project);
    assert.deepEqual(about.map(({ name }) => name).sort(), Object.keys(known).sort());
    for (const { name, key } of about) {
        const ask = (id) => stranger.ask(id, (id) => stranger.client.rpc(name, { ...known[name], [key]: id }));
        const real = await ask(project.project_id);
        assert.deepEqual(real, await ask(randomUUID()), name);
        const body = JSON.parse(real.body);
        if (name === 'upsert_project_file') assert.equal(body.error.code, 'NOT_FOUND');
        else assert.deepEqual([real.status, body.code], [404, 'PT404'], name);
    }
    assert.equal(
        (await ok(owner.client.rpc('get_project_file', { p_project_id: project.project_id, p_file_path: 'a.txt' })))
            .version,
        1,
    );
});

test('tables answer a stranger as if there were no such project', async () => {
    const [owner, stranger] = [newUser(), newStranger()];
    const { project_id } = await newProject(owner);
    await ok(save(owner.client, project_id, 'a.txt', 'one'));
    const files = () => stranger.client.from('project_files');
    for (const request of [
        (id) => files().select().eq('project_id', id),
        (id) => files().insert({ project_id: id, file_path: 'a.txt', content: 'two' }),
        (id) => files().insert({ project_id: id, file_path: 'a.txt', content: 'two', version: 1 }),
        (id) => files().update({ content: 'two' }).eq('project_id', id).select(),
        (id) => files().delete().eq('project_id', id).select(),
        (id) => stranger.client.from('projects').select().eq('id', id),
    ]) {
        assert.deepEqual(await stranger.ask(project_id, request), await stranger.ask(randomUUID(), request));
    }
    assert.deepEqual(await ok(owner.client.from('project_files').select('content').eq('project_id', project_id)), [
        { content: 'one' },
    ]);
});
