// Users, their clients and projects, and a superuser's view of the database.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { createHmac, randomUUID } from 'node:crypto';
import { createRequire } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';

// The packages are with the project's other tools, where no import looks for them.
const require = createRequire(`${process.env.RPC_PACKAGES}/`);
const { PostgrestClient } = require('@supabase/postgrest-js');

const { RPC_URL, RPC_JWT_SECRET, VERSIONED_BINDIR } = process.env;
const psql = `${VERSIONED_BINDIR}/psql`;

/** Functions that answered 2xx to one client or another. */
export const called = new Set();

/** Sends requests, and notes which functions were called. */
async function send(url, options) {
    const response = await fetch(url, options);
    const name = /\/rpc\/(\w+)/.exec(String(url))?.[1];
    if (name && response.ok) called.add(name);
    return response;
}

/** A client with a JWT of these claims; without any it is anonymous. `through` stands for the network. */
export function client(claims, through = send) {
    const headers = claims ? { Authorization: `Bearer ${token(claims)}` } : {};
    return new PostgrestClient(RPC_URL, { headers, fetch: through });
}

export { send };

export function token(claims, secret = RPC_JWT_SECRET) {
    const part = (json) => Buffer.from(JSON.stringify(json)).toString('base64url');
    const exp = Math.floor(Date.now() / 1000) + 600;
    const signed = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ exp, ...claims })}`;
    return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
}

/** A signed-in user whom nobody knows yet. */
export function newUser(claims = {}) {
    const id = randomUUID();
    const all = { sub: id, role: 'authenticated', ...claims };
    return { id, client: client(all), through: (network) => client(all, network) };
}

/** What a call answers; it must succeed. */
export async function ok(request) {
    const { data, error, status } = await request;
    assert.equal(error, null, `${status} ${JSON.stringify(error)}`);
    assert.ok(status >= 200 && status < 300, `status ${status}`);
    return data;
}

/** The error of a call; it must be answered with this status and SQLSTATE. */
export async function refused(request, status, code) {
    const answer = await request;
    assert.deepEqual({ status: answer.status, code: answer.error?.code }, { status, code }, JSON.stringify(answer));
    assert.equal(answer.data, null);
    return answer.error;
}

/** Makes a project with its first build. */
export async function newProject(owner, members = {}) {
    const [project] = await ok(owner.client.rpc('create_complete_project', { p_name: 'Test' }));
    for (const [role, users] of Object.entries(members)) {
        for (const user of [users].flat()) {
            await ok(
                owner.client.rpc('add_project_member', {
                    p_project_id: project.project_id,
                    p_user_id: user.id,
                    p_role: role,
                }),
            );
        }
    }
    return project;
}

/** Saves a file; without `expected` the last writer wins. */
export function save(client, project, path, content, expected) {
    return client.rpc('atomic_upsert_project_file', {
        project_uuid: project,
        p_file_path: path,
        p_content: content,
        p_file_type: 'text',
        expected_version: expected,
    });
}

/** The numbers of a file's versions, oldest first. */
export async function versions(client, project, path) {
    const rows = await ok(
        client.from('project_files').select('version').match({ project_id: project, file_path: path }).order('version'),
    );
    return rows.map((row) => row.version);
}

/** 1 … n. */
export const upTo = (n) => Array.from({ length: n }, (_, i) => i + 1);

/** What a superuser's statement answers, as text. */
export function sql(statement) {
    return execFileSync(psql, ['-XAtq', '-v', 'ON_ERROR_STOP=1', '-c', statement], { encoding: 'utf8' }).trim();
}

/** A superuser's session, for transactions that stay open. */
export class Session {
    #process = spawn(psql, ['-XAtq'], { stdio: ['pipe', 'pipe', 'inherit'] });
    #output = '';

    constructor() {
        this.#process.stdout.setEncoding('utf8').on('data', (text) => (this.#output += text));
    }

    /** Sends a statement, and does not wait for its end. */
    start(statement) {
        this.#process.stdin.write(`${statement};\n`);
    }

    /** Runs a statement, waits for its end, and tells what it answered. */
    async run(statement) {
        const end = `end of ${randomUUID()}`;
        this.#output = '';
        this.#process.stdin.write(`${statement};\n\\echo ${end}\n`);
        await until(() => this.#output.includes(end));
        return this.#output.slice(0, this.#output.indexOf(end)).trim();
    }

    async close() {
        const closed = new Promise((resolve) => this.#process.once('close', resolve));
        this.#process.stdin.end();
        await closed;
    }
}

/** Waits until a condition holds, at most ten seconds. */
export async function until(holds) {
    for (const end = Date.now() + 10_000; !(await holds()); await sleep(5)) {
        assert.ok(Date.now() < end, `in vain: ${holds}`);
    }
}

/** Waits until a request of PostgREST waits for a lock. */
export function untilWaiting() {
    return until(
        () =>
            sql(`SELECT count(*) FROM pg_stat_activity
              WHERE datname = current_database() AND usename = 'authenticator' AND wait_event_type = 'Lock'`) !== '0',
    );
}

/** The tables (r) and views (v) that users may read. */
export function readable(kinds = 'rv') {
    return JSON.parse(
        sql(`SELECT json_agg(c.relname) FROM pg_class c
              WHERE c.relnamespace = 'versioned'::regnamespace AND strpos('${kinds}', c.relkind::text) > 0
                AND has_table_privilege('authenticated', c.oid, 'SELECT')`),
    );
}

/** The functions of the API: those in the extension's schema, except those of triggers. */
export function functions() {
    return JSON.parse(
        sql(`SELECT json_agg(json_build_object(
                        'name', p.proname,
                        'args', p.proargnames[1:p.pronargs],
                        'immutable', p.provolatile = 'i',
                        'granted', has_function_privilege('authenticated', p.oid, 'EXECUTE')))
               FROM pg_depend d
               JOIN pg_extension x ON x.oid = d.refobjid AND x.extname = 'pg_versioned'
               JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid AND p.pronamespace = x.extnamespace
              WHERE d.deptype = 'e' AND p.prorettype <> 'trigger'::regtype`),
    );
}
