// What PostgREST tells a client there is.

import assert from 'node:assert/strict';
import test from 'node:test';

import { functions, send, token } from './support.mjs';

const API = {
    functions: [
        'add_project_member',
        'atomic_upsert_project_file',
        'atomic_upsert_project_files',
        'check_project_integrity',
        'create_complete_project',
        'create_version_on_success',
        'current_actor',
        'cut_project_build',
        'delete_project',
        'delete_project_file',
        'delete_project_version',
        'diff_project_file',
        'diff_project_versions',
        'fail_project_build',
        'file_lock_key',
        'generate_ulid',
        'get_current_project_files',
        'get_project_build_files',
        'get_project_changes',
        'get_project_fast_export',
        'get_project_file',
        'get_project_file_history',
        'get_project_state',
        'get_project_version_files',
        'get_project_version_history',
        'is_ulid',
        'merge_project_file',
        'move_project_file',
        'owner_lock_key',
        'project_lock_key',
        'prune_project_history',
        'publish_project_version',
        'remove_project_member',
        'restore_project_version',
        'revert_project_file',
        'start_ai_time_tracking',
        'start_project_build',
        'stop_ai_time_tracking',
        'ulid_to_timestamp',
        'ulid_to_uuid',
        'undelete_project_version',
        'unpublish_project_version',
        'update_project_config',
        'update_version_metadata',
        'upsert_project_file',
        'uuid_to_ulid',
    ],
    tables: [
        'file_operation_metrics',
        'project_ai_time',
        'project_ai_time_sessions',
        'project_build_metrics',
        'project_build_summary',
        'project_file_heads',
        'project_file_versions',
        'project_files',
        'project_members',
        'project_storage',
        'project_versions',
        'projects',
    ],
};
const NOTHING = { functions: [], tables: [] };

/** Functions and tables that the API's description names for these claims. */
async function described(claims) {
    const headers = claims ? { Authorization: `Bearer ${token(claims)}` } : {};
    const { paths } = await (await send(`${process.env.RPC_URL}/`, { headers })).json();
    const names = Object.keys(paths).filter((path) => path !== '/');
    const [calls, tables] = [true, false].map((rpc) => names.filter((name) => name.startsWith('/rpc/') === rpc).sort());
    return {
        functions: calls.map((path) => path.slice('/rpc/'.length)),
        tables: tables.map((path) => path.slice(1)),
    };
}

test('the description lists the API and nothing else', async () => {
    for (const role of ['authenticated', 'service_role']) assert.deepEqual(await described({ role }), API, role);
    assert.deepEqual(await described(), NOTHING);
});

test('the API is what users may call', () => {
    const granted = functions().filter((f) => f.granted);
    assert.deepEqual(granted.map((f) => f.name).sort(), API.functions);
});
