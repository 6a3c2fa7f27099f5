// What can be done with versions, by members of each role.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import test from 'node:test';

import { client, newProject, newUser, ok, refused, save } from './support.mjs';

const NO_ID = '01ARZ3NDEKTSV4RRFFQ69G5FAV';

/** A project with an owner, an editor and a viewer. */
async function team() {
    const [owner, editor, viewer] = [newUser(), newUser(), newUser()];
    const project = await newProject(owner, { editor, viewer });
    return { owner, editor, viewer, project, p_project_id: project.project_id };
}

/** Ends a build, by default a new one, as a success; the version. */
async function release({ client }, p_project_id, p_result = {}, p_build_id = undefined) {
    p_build_id ??= (await ok(client.rpc('start_project_build', { p_project_id })))[0].build_id;
    return ok(client.rpc('create_version_on_success', { p_project_id, p_build_id, p_result }));
}

const details = (error) => JSON.parse(error.details);

test('a build is cut, and becomes a version of the files it had then', async () => {
    const { owner, editor, viewer, project, p_project_id } = await team();
    const p_build_id = project.build_id;
    const cut = (by) => by.client.rpc('cut_project_build', { p_project_id, p_build_id });
    const files = async (by = viewer) =>
        (await ok(by.client.rpc('get_project_build_files', { p_project_id, p_build_id }))).map((file) => [
            file.file_path,
            file.content,
            file.version,
        ]);
    await ok(save(owner.client, p_project_id, 'a.txt', 'built\n'));
    const request = viewer.client.rpc('get_project_build_files', { p_project_id, p_build_id });
    const uncut = await refused(request, 409, 'PT409');
    assert.deepEqual(details(uncut), { project_id: p_project_id, build_id: p_build_id });
    assert.match(uncut.hint, /cut_project_build/);
    await refused(cut(viewer), 403, '42501');
    const build = await ok(cut(editor));
    assert.deepEqual([build.build_id, build.status, build.cut_snapshot_seq], [p_build_id, 'started', 1]);
    assert.ok(Date.parse(build.cut_at) >= Date.parse(build.started_at));
    await ok(save(owner.client, p_project_id, 'a.txt', 'typed later\n'));
    await ok(save(owner.client, p_project_id, 'b.txt', 'new\n'));
    assert.deepEqual(await ok(cut(owner)), build);
    assert.deepEqual(await files(), [['a.txt', 'built\n', 1]]);
    const version = await release(editor, p_project_id, {}, p_build_id);
    assert.deepEqual([version.files_changed, version.lines_added], [1, 1]);
    assert.deepEqual(await files(), [['a.txt', 'built\n', 1]]);
    const late = await refused(cut(editor), 409, 'PT409');
    assert.equal(details(late).status, 'deployed');
});

test('metadata of a version', async () => {
    const { editor, viewer, project, p_project_id } = await team();
    await release(editor, p_project_id, {}, project.build_id);
    const { version_id: p_version_id } = await release(editor, p_project_id, { version_name: 'Draft', git_tag: 'v1' });
    const update = (p_metadata, by = editor) =>
        by.client.rpc('update_version_metadata', { p_project_id, p_version_id, p_metadata });
    const version = await ok(update({ version_name: 'Final', git_tag: null, ai_json: { steps: [1, null] } }));
    assert.deepEqual(
        [version.version_name, version.git_tag, version.ai_json, version.change_type_defaulted],
        ['Final', null, { steps: [1, null] }, true],
    );
    const major = await ok(update({ change_type: 'major' }));
    assert.deepEqual([major.major_version, major.minor_version, major.change_type_defaulted], [2, 0, false]);
    const classified = await refused(update({ change_type: 'patch' }), 409, 'PT409');
    assert.deepEqual(details(classified), { project_id: p_project_id, version_id: p_version_id, state: 'classified' });
    const unknown = await refused(update({ colour: 'red' }), 400, '22023');
    assert.match(unknown.message, /"colour"/);
    await refused(update({ needs_rebuild: null }), 400, '22023');
    await refused(update(null), 400, '22023');
    await refused(update({}, viewer), 403, '42501');
});

test('publication and deletion', async () => {
    const { owner, editor, viewer, project, p_project_id } = await team();
    const first = await release(editor, p_project_id, {}, project.build_id);
    const second = await release(editor, p_project_id, { needs_rebuild: true });
    const call = (what, { version_id }, by = editor, args = {}) =>
        by.client.rpc(`${what}_project_version`, { p_project_id, p_version_id: version_id, ...args });
    const current = async () =>
        (await ok(viewer.client.from('projects').select('current_version_id').eq('id', p_project_id).single()))
            .current_version_id;

    const published = await ok(call('publish', first, editor, { p_comment: 'Good' }));
    assert.deepEqual(
        [published.is_published, published.published_by_user_id, published.user_comment],
        [true, editor.id, 'Good'],
    );
    const rebuild = await refused(call('publish', second), 409, 'PT409');
    assert.deepEqual(details(rebuild), {
        project_id: p_project_id,
        version_id: second.version_id,
        state: 'needs_rebuild',
    });
    assert.ok(rebuild.hint.length > 0);
    assert.equal(details(await refused(call('delete', first), 409, 'PT409')).state, 'published');
    const unpublished = await ok(call('unpublish', first, owner));
    assert.deepEqual([unpublished.is_published, unpublished.published_at], [false, published.published_at]);

    assert.equal(await current(), second.version_id);
    assert.ok((await ok(call('delete', second))).soft_deleted_at);
    assert.equal(await current(), first.version_id);
    assert.equal(details(await refused(call('publish', second), 409, 'PT409')).state, 'deleted');
    assert.equal((await ok(call('undelete', second, owner))).soft_deleted_at, null);
    assert.equal(await current(), second.version_id);
    for (const what of ['publish', 'unpublish', 'delete', 'undelete']) {
        await refused(call(what, first, viewer), 403, '42501');
        await refused(call(what, { version_id: NO_ID }), 404, 'PT404');
        await refused(call(what, { version_id: null }), 400, '22023');
    }
});

test('the history in pages, with what the caller may do', async () => {
    const { editor, viewer, project, p_project_id } = await team();
    const first = await release(editor, p_project_id, { preview_url: 'https://x.example.com' }, project.build_id);
    for (const change_type of ['minor', 'patch', 'minor', 'major']) {
        await release(editor, p_project_id, { change_type, prerelease: change_type === 'major' ? 'rc.1' : null });
    }
    await ok(editor.client.rpc('publish_project_version', { p_project_id, p_version_id: first.version_id }));
    const history = (args, by = viewer) => by.client.rpc('get_project_version_history', { p_project_id, ...args });
    const numbers = async (args) => (await ok(history(args))).map((row) => row.semver);

    const all = await ok(history());
    assert.deepEqual(
        all.map((row) => [row.semver, row.is_current, row.is_published, row.total_count]),
        [
            ['2.0.0-rc.1', true, false, 4],
            ['1.2.0', false, false, 4],
            ['1.1.0', false, false, 4],
            ['1.0.0', false, true, 4],
        ],
    );
    assert.equal(Object.keys(all[0]).length, 46);
    assert.deepEqual(await numbers({ p_limit: 2, p_offset: 1 }), ['1.2.0', '1.1.0']);
    const next = await ok(history({ p_limit: 2, p_before_version_id: all[1].version_id }));
    assert.deepEqual(
        next.map((row) => [row.semver, row.total_count]),
        [
            ['1.1.0', null],
            ['1.0.0', null],
        ],
    );
    assert.deepEqual(await numbers({ p_state: 'published' }), ['1.0.0']);
    assert.equal((await numbers({ p_include_checkpoints: true })).length, 5);
    const deleted = all[2].version_id;
    await ok(editor.client.rpc('delete_project_version', { p_project_id, p_version_id: deleted }));
    assert.deepEqual(await numbers({ p_state: 'unpublished' }), ['2.0.0-rc.1', '1.2.0']);
    assert.equal((await numbers({ p_show_deleted: true })).length, 4);

    const may = async (by) =>
        (await ok(history({ p_show_deleted: true }, by))).map((row) =>
            ['preview', 'publish', 'unpublish', 'restore'].filter((what) => row[`can_${what}`]).join(' '),
        );
    assert.deepEqual(await may(editor), ['publish restore', 'publish restore', '', 'preview unpublish restore']);
    assert.deepEqual(await may(viewer), ['', '', '', 'preview']);
    for (const args of [{ p_limit: 0 }, { p_offset: -1 }, { p_state: 'draft' }, { p_show_deleted: null }]) {
        const error = await refused(history(args), 400, '22023');
        assert.ok(error.message.includes(Object.keys(args)[0]), error.message);
    }
    await refused(history({ p_before_version_id: NO_ID }), 404, 'PT404');
});

test('comparing and restoring', async () => {
    const { owner, editor, viewer, project, p_project_id } = await team();
    await ok(save(owner.client, p_project_id, 'a.txt', 'one\ntwo\n'));
    await ok(save(owner.client, p_project_id, 'b.txt', 'same\n'));
    const first = await release(owner, p_project_id, {}, project.build_id);
    await ok(save(owner.client, p_project_id, 'a.txt', 'one\n2\n'));
    await ok(owner.client.rpc('move_project_file', { p_project_id, p_from_path: 'b.txt', p_to_path: 'lib/b.txt' }));
    await ok(save(owner.client, p_project_id, 'c.txt', 'new\n'));
    const second = await release(owner, p_project_id);

    const diff = (args, by = viewer) =>
        by.client.rpc('diff_project_versions', { p_project_id, p_from_version_id: first.version_id, ...args });
    const changes = await ok(diff({ p_to_version_id: second.version_id, p_context: 0 }));
    assert.deepEqual(
        changes.map((row) => [row.file_path, row.from_path, row.change, row.lines_added, row.lines_removed]),
        [
            ['a.txt', null, 'modified', 1, 1],
            ['c.txt', null, 'added', 1, 0],
            ['lib/b.txt', 'b.txt', 'moved', 0, 0],
        ],
    );
    assert.equal(changes[0].diff, 'diff --git a/a.txt b/a.txt\n--- a/a.txt\n+++ b/a.txt\n@@ -2 +2 @@ one\n-two\n+2\n');
    assert.deepEqual(await ok(diff({ p_context: 0 })), changes);
    await refused(diff({ p_context: -1 }), 400, '22023');
    await refused(diff({ p_to_version_id: NO_ID }), 404, 'PT404');

    const restore = (args, by = editor) =>
        by.client.rpc('restore_project_version', { p_project_id, p_version_id: first.version_id, ...args });
    const due = [
        { file_path: 'a.txt', from_path: null, change: 'modified', version: 3 },
        { file_path: 'b.txt', from_path: 'lib/b.txt', change: 'moved', version: 3 },
        { file_path: 'c.txt', from_path: null, change: 'deleted', version: 2 },
    ];
    await refused(restore({ p_dry_run: true }, viewer), 403, '42501');
    assert.deepEqual(await ok(restore({ p_dry_run: true })), due);
    assert.equal((await ok(diff())).length, 3);
    assert.deepEqual(await ok(restore()), due);
    assert.deepEqual(await ok(diff()), []);
    assert.deepEqual(await ok(restore()), []);
    const files = await ok(viewer.client.rpc('get_current_project_files', { project_uuid: p_project_id }));
    assert.deepEqual(
        files.map((file) => [file.file_path, file.content, file.version]),
        [
            ['a.txt', 'one\ntwo\n', 3],
            ['b.txt', 'same\n', 3],
        ],
    );
    await ok(owner.client.rpc('delete_project_version', { p_project_id, p_version_id: first.version_id }));
    const gone = await refused(restore(), 409, 'PT409');
    assert.deepEqual(details(gone), { project_id: p_project_id, version_id: first.version_id, state: 'deleted' });
    await refused(restore({ p_version_id: NO_ID }), 404, 'PT404');
    await refused(restore({ p_dry_run: null }), 400, '22023');
});

test('files of a deleted version that were pruned are gone', async () => {
    const { client } = newUser();
    const { project_id: p_project_id, build_id } = await newProject({ client });
    await ok(save(client, p_project_id, 'a.txt', 'one\n'));
    const { version_id: p_version_id } = await release({ client }, p_project_id, {}, build_id);
    await ok(save(client, p_project_id, 'a.txt', 'two\n'));
    await release({ client }, p_project_id);
    const version = { p_project_id, p_version_id };
    await ok(client.rpc('delete_project_version', version));
    const prune = (args) => ok(client.rpc('prune_project_history', { p_project_id, p_dry_run: false, ...args }));
    assert.deepEqual(await prune({ p_keep_newer_than: '1 hour' }), []);
    assert.deepEqual(
        (await prune()).map((row) => row.removed_versions),
        [[1]],
    );
    await ok(client.rpc('undelete_project_version', version));
    for (const request of [
        client.rpc('get_project_version_files', version),
        client.rpc('restore_project_version', version),
        client.rpc('diff_project_versions', { p_project_id, p_from_version_id: p_version_id }),
    ]) {
        const error = await refused(request, 409, 'PT409');
        assert.equal(details(error).state, 'pruned');
    }
});

test('nobody and strangers are refused', async () => {
    const { owner, project, p_project_id } = await team();
    const { version_id } = await release(owner, p_project_id, {}, project.build_id);
    const [active] = await ok(owner.client.rpc('start_project_build', { p_project_id }));
    const [version, build] = [{ p_version_id: version_id }, { p_build_id: active.build_id }];
    for (const [name, args] of [
        ['cut_project_build', build],
        ['get_project_build_files', build],
        ['update_version_metadata', { ...version, p_metadata: {} }],
        ['publish_project_version', version],
        ['unpublish_project_version', version],
        ['delete_project_version', version],
        ['undelete_project_version', version],
        ['get_project_version_history', {}],
        ['diff_project_versions', { p_from_version_id: version_id }],
        ['restore_project_version', version],
    ]) {
        await refused(client().rpc(name, { p_project_id, ...args }), 401, '42501');
        await refused(newUser().client.rpc(name, { p_project_id, ...args }), 404, 'PT404');
        await refused(owner.client.rpc(name, { ...args, p_project_id: randomUUID() }), 404, 'PT404');
        await refused(owner.client.rpc(name, { ...args, p_project_id: null }), 400, '22023');
    }
});
