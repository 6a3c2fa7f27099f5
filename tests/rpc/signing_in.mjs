// Who is who: users by their JWT, a stranger, nobody, the service.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import test from 'node:test';

import { client, newProject, newUser, ok, refused, save, sql, token } from './support.mjs';

test('the actor is the sub of the JWT', async () => {
    const [ada, bob] = [newUser(), newUser()];
    assert.equal(await ok(ada.client.rpc('current_actor')), ada.id);
    assert.equal(await ok(bob.client.rpc('current_actor')), bob.id);
    const { project_id } = await newProject(ada, { editor: bob });
    const first = await ok(save(ada.client, project_id, 'a.txt', 'one'));
    const second = await ok(save(bob.client, project_id, 'a.txt', 'two'));
    assert.deepEqual([first.created_by, second.created_by], [ada.id, bob.id]);
    assert.equal(sql(`SELECT owner_id FROM versioned.projects WHERE id = '${project_id}'`), ada.id);
});

test('roles: viewers read, editors save, owners manage members', async () => {
    const [owner, editor, viewer, other] = [newUser(), newUser(), newUser(), newUser()];
    const { project_id } = await newProject(owner, { editor, viewer });
    const add = (by) =>
        by.client.rpc('add_project_member', { p_project_id: project_id, p_user_id: other.id, p_role: 'viewer' });
    await ok(save(editor.client, project_id, 'a.txt', 'one'));
    assert.equal((await ok(viewer.client.rpc('get_current_project_files', { project_uuid: project_id }))).length, 1);
    await refused(save(viewer.client, project_id, 'a.txt', 'two'), 403, '42501');
    await refused(add(editor), 403, '42501');
    await ok(add(owner));
    assert.equal(
        await ok(owner.client.rpc('remove_project_member', { p_project_id: project_id, p_user_id: editor.id })),
        true,
    );
    await refused(save(editor.client, project_id, 'a.txt', 'two'), 404, 'PT404');
});

test('nobody gets in without a JWT', async () => {
    const owner = newUser();
    const { project_id } = await newProject(owner);
    const anon = client();
    await refused(anon.rpc('current_actor'), 401, '42501');
    await refused(anon.rpc('create_complete_project'), 401, '42501');
    await refused(save(anon, project_id, 'a.txt', 'one'), 401, '42501');
    await refused(anon.from('project_files').select(), 401, '42501');
    await refused(anon.from('projects').select(), 401, '42501');
    await refused(anon.from('project_files').insert({ project_id, file_path: 'a.txt', content: 'one' }), 401, '42501');
    assert.equal(sql(`SELECT count(*) FROM versioned.project_file_versions WHERE project_id = '${project_id}'`), '0');
});

test('a JWT without a user is signed in as nobody', async () => {
    const owner = newUser();
    const { project_id } = await newProject(owner);
    for (const claims of [{ role: 'authenticated' }, { role: 'authenticated', sub: 'ada' }]) {
        const nobody = client(claims);
        await refused(save(nobody, project_id, 'a.txt', 'one'), 403, '42501');
        assert.equal(await ok(nobody.rpc('current_actor')), null);
        assert.deepEqual(await ok(nobody.from('projects').select()), []);
    }
});

test('a JWT signed by somebody else is refused', async () => {
    const forged = token({ sub: randomUUID(), role: 'service_role' }, 'a secret of thirty-two characters!');
    const response = await fetch(`${process.env.RPC_URL}/projects`, { headers: { Authorization: `Bearer ${forged}` } });
    assert.equal(response.status, 401);
});

test('the service acts in every project and for every user', async () => {
    const [owner, other] = [newUser(), newUser()];
    const { project_id } = await newProject(owner);
    const service = client({ role: 'service_role' });
    const file = await ok(save(service, project_id, 'a.txt', 'one'));
    assert.equal(file.created_by, null);
    const [made] = await ok(service.rpc('create_complete_project', { p_user_id: other.id }));
    assert.equal(sql(`SELECT owner_id FROM versioned.projects WHERE id = '${made.project_id}'`), other.id);
    await refused(owner.client.rpc('create_complete_project', { p_user_id: other.id }), 403, '42501');
    // A user's claims do not add the service's rights, nor take them away.
    const behalf = client({ role: 'service_role', sub: other.id });
    assert.equal((await ok(save(behalf, project_id, 'a.txt', 'two'))).created_by, other.id);
    assert.ok((await ok(service.from('projects').select('id'))).some((project) => project.id === project_id));
});
