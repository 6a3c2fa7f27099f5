// Prisma's own schema engine: what `prisma db push`, `db pull`, `migrate diff`, `migrate deploy` and `migrate dev` ask.
// The command line runs it as a program from a server of Prisma's; this is the same one as WebAssembly, over pg.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';

import { PrismaPg, pg, require, sql } from './support.mjs';

const { ColumnTypeEnum, bindMigrationAwareSqlAdapterFactory } = require('@prisma/driver-adapter-utils');

/** The engine's module. It is not awaited at the top level: tests would be registered in another order. */
let loaded;
const load = () => (loaded ??= instantiate());

async function instantiate() {
    const code = require.resolve('@prisma/schema-engine-wasm/schema_engine_bg');
    const module = await import(code);
    const { instance } = await WebAssembly.instantiate(readFileSync(code.replace(/\.js$/, '.wasm')), {
        './schema_engine_bg.js': module,
    });
    module.__wbg_set_wasm(instance.exports);
    instance.exports.__wbindgen_start();
    globalThis.PRISMA_WASM_PANIC_REGISTRY = { set_message: (message) => console.error(message) };
    return module;
}

const [char, charArray] = [18, 1002];

/** The adapter refuses the catalogue's type "char", which the engine reads: it goes through as an array, and back. */
class CataloguePool extends pg.Pool {
    async query(...args) {
        const result = await super.query(...args);
        for (const field of result.fields ?? []) if (field.dataTypeID === char) field.dataTypeID = charArray;
        return result;
    }
}

class CatalogueAdapter extends PrismaPg {
    async connect() {
        return withChar(await super.connect());
    }
    /** The shadow database of `migrate dev`. */
    async connectToShadowDb() {
        const database = `prisma_migrate_shadow_db_${randomUUID()}`;
        await sql(`CREATE DATABASE "${database}" TEMPLATE template0`);
        const shadow = new CataloguePool({ database });
        const adapter = await new CatalogueAdapter(shadow).connect();
        adapter.dispose = async () => {
            await shadow.end();
            await sql(`DROP DATABASE "${database}" WITH (FORCE)`);
        };
        return adapter;
    }
}

function withChar(adapter) {
    const query = adapter.queryRaw.bind(adapter);
    adapter.queryRaw = async (...args) => {
        const result = await query(...args);
        const types = result.columnTypes;
        result.columnTypes = types.map((t) => (t === ColumnTypeEnum.CharacterArray ? ColumnTypeEnum.Character : t));
        return result;
    };
    return adapter;
}

const filters = { externalTables: [], externalEnums: [] };

/** The engine on a database; `schema` is the text of a schema.prisma. */
export class SchemaEngine {
    static async open(schema, database) {
        const self = new SchemaEngine();
        self.pool = new CataloguePool({ database });
        self.files = [{ path: 'schema.prisma', content: schema }];
        self.engine = await (await load()).SchemaEngine.new(
            { datamodels: [['schema.prisma', schema]] },
            () => {},
            bindMigrationAwareSqlAdapterFactory(new CatalogueAdapter(self.pool)),
        );
        return self;
    }

    /** `prisma db push`. */
    push() {
        return this.engine.schemaPush({ force: false, schema: { files: this.files }, filters });
    }

    /** `prisma db pull`: the schema with what the database has. */
    async pull() {
        const { schema } = await this.engine.introspect({
            schema: { files: this.files },
            baseDirectoryPath: '.',
            force: false,
            compositeTypeDepth: 0,
            namespaces: null,
        });
        return schema.files[0].content;
    }

    /** `prisma migrate diff --from-config-datasource --to-schema --script`: what would make the database the schema's. */
    async diff() {
        const { stdout } = await this.engine.diff({
            from: { tag: 'schemaDatasource', files: this.files, configDir: '.' },
            to: { tag: 'schemaDatamodel', files: this.files },
            script: true,
            exitCode: null,
            filters,
        });
        return stdout;
    }

    /** `prisma migrate deploy`. */
    deploy(migrations) {
        return this.engine.applyMigrations({ migrationsList: list(migrations), filters });
    }

    /** What `prisma migrate dev` asks before it does anything: whether the database is what the migrations make. */
    async diagnose(migrations) {
        const { action } = await this.engine.devDiagnostic({ migrationsList: list(migrations), filters });
        return action;
    }

    /** The script of the migration that `prisma migrate dev` writes then. */
    async nextMigration(migrations) {
        // The engine uses what it has seen in the shadow database.
        assert.deepEqual(await this.diagnose(migrations), { tag: 'createMigration' });
        const { migrationScript } = await this.engine.createMigration({
            migrationsList: list(migrations),
            schema: { files: this.files },
            draft: false,
            migrationName: 'next',
            filters,
        });
        return migrationScript;
    }

    async close() {
        this.engine.free();
        await this.pool.end();
    }
}

/** The folder prisma/migrations, as the engine reads it. */
function list(migrations) {
    return {
        baseDir: '.',
        lockfile: { path: './migration_lock.toml', content: 'provider = "postgresql"\n' },
        shadowDbInitScript: '',
        migrationDirectories: Object.entries(migrations).map(([path, sql]) => ({
            path,
            migrationFile: { path: 'migration.sql', content: { tag: 'ok', value: sql } },
        })),
    };
}
