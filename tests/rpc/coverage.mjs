// What the tests before this one have called.

import assert from 'node:assert/strict';
import test from 'node:test';

import { called, client, functions, refused } from './support.mjs';

test('every function that users may call was called', () => {
    const granted = functions()
        .filter((f) => f.granted)
        .map((f) => f.name);
    assert.ok(granted.length > 0);
    assert.deepEqual(
        granted.filter((name) => !called.has(name)),
        [],
    );
});

// PostgREST tells functions of one name apart by the arguments a request happens to have.
test('no function has a namesake', () => {
    const names = functions().map((f) => f.name);
    assert.deepEqual(
        names.filter((name, i) => names.indexOf(name) !== i),
        [],
    );
});

test('what users may not call is refused', async () => {
    const withheld = functions()
        .filter((f) => !f.granted)
        .map((f) => f.name);
    assert.deepEqual(withheld.toSorted(), [
        'disable_versioning',
        'enable_versioning',
        'grant_versioned_access',
        'import_project_files',
        'import_project_versions',
        'record_migration',
        'renumber_versions',
        'replay_migrations',
        'schema_drift',
        'schema_fingerprint',
        'undo_renumber',
        'verify_migrations',
        'versioning_report',
    ]);
    for (const role of ['authenticated', 'service_role']) {
        await refused(client({ role }).rpc('grant_versioned_access', { p_role: 'anon' }), 403, '42501');
    }
});
