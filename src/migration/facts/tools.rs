//! The tables in which migration tools note what they have run. They are no part of the schema.

/// A table that a tool makes, recognized by its name and these columns.
struct Tools {
    name: &'static str,
    columns: &'static [&'static str],
    /// Whether it may have other columns too. It must not where people also give tables of their own that name.
    may_have_more: bool,
}

const fn named(name: &'static str, columns: &'static [&'static str]) -> Tools {
    Tools { name, columns, may_have_more: true }
}

const fn exactly(name: &'static str, columns: &'static [&'static str]) -> Tools {
    Tools { name, columns, may_have_more: false }
}

const TABLES: &[Tools] = &[
    // Prisma, Drizzle, sqlx
    named("_prisma_migrations", &["id", "checksum", "finished_at", "migration_name", "applied_steps_count"]),
    named("__drizzle_migrations", &["id", "hash", "created_at"]),
    named("_sqlx_migrations", &["version", "description", "installed_on", "success", "checksum", "execution_time"]),
    // Supabase, in three ages
    exactly("schema_migrations", &["version", "statements"]),
    exactly("schema_migrations", &["version", "statements", "name"]),
    exactly("schema_migrations", &["version", "statements", "name", "created_by"]),
    exactly("schema_migrations", &["version", "statements", "name", "created_by", "idempotency_key"]),
    exactly("schema_migrations", &["version", "statements", "name", "created_by", "idempotency_key", "rollback"]),
    exactly("seed_files", &["path", "hash"]),
    // Rails and dbmate, golang-migrate, Ecto
    exactly("schema_migrations", &["version"]),
    exactly("schema_migrations", &["version", "dirty"]),
    exactly("schema_migrations", &["version", "inserted_at"]),
    exactly("ar_internal_metadata", &["key", "value", "created_at", "updated_at"]),
    // Flyway, Liquibase
    named("flyway_schema_history", &["installed_rank", "version", "script", "checksum", "installed_on", "success"]),
    named("databasechangelog", &["id", "author", "filename", "dateexecuted", "orderexecuted", "exectype", "md5sum"]),
    named("databasechangeloglock", &["id", "locked", "lockgranted", "lockedby"]),
    // Django, Alembic, yoyo
    named("django_migrations", &["id", "app", "name", "applied"]),
    exactly("alembic_version", &["version_num"]),
    named("_yoyo_migration", &["migration_hash", "migration_id", "applied_at_utc"]),
    // Knex, Sequelize, TypeORM, MikroORM, Kysely, node-pg-migrate
    named("knex_migrations", &["id", "name", "batch", "migration_time"]),
    named("knex_migrations_lock", &["index", "is_locked"]),
    exactly("SequelizeMeta", &["name"]),
    exactly("migrations", &["id", "timestamp", "name"]),
    named("typeorm_metadata", &["type", "database", "schema", "table", "name", "value"]),
    named("mikro_orm_migrations", &["id", "name", "executed_at"]),
    named("kysely_migration", &["name", "timestamp"]),
    named("kysely_migration_lock", &["id", "is_locked"]),
    named("pgmigrations", &["id", "name", "run_on"]),
    // goose, Atlas, Bun, Diesel, SeaORM, refinery
    named("goose_db_version", &["id", "version_id", "is_applied", "tstamp"]),
    named("atlas_schema_revisions", &["version", "description", "applied", "total", "executed_at", "hash"]),
    named("bun_migrations", &["id", "name", "group_id", "migrated_at"]),
    named("__diesel_schema_migrations", &["version", "run_on"]),
    named("seaql_migrations", &["version", "applied_at"]),
    named("refinery_schema_history", &["version", "name", "applied_on", "checksum"]),
    // Entity Framework, Laravel, Doctrine, Phinx
    named("__EFMigrationsHistory", &["MigrationId", "ProductVersion"]),
    exactly("migrations", &["id", "migration", "batch"]),
    named("doctrine_migration_versions", &["version", "executed_at", "execution_time"]),
    named("phinxlog", &["version", "migration_name", "start_time", "end_time", "breakpoint"]),
];

/// The names that such tables have.
pub fn names() -> Vec<String> {
    TABLES.iter().map(|table| table.name.to_owned()).collect()
}

/// Whether a message of Postgres names, in quotes, a table by which a tool is recognized.
pub fn is_named_in(message: &str) -> bool {
    let named = TABLES.iter().filter(|table| table.may_have_more || table.name == "schema_migrations");
    named.into_iter().any(|table| {
        let end = format!("{}\"", table.name);
        message.match_indices(&end).any(|(at, _)| matches!(message[..at].chars().next_back(), Some('"' | '.')))
    })
}

/// Whether a table of this name, with these columns, is a migration tool's own.
pub fn is_tools_own(name: &str, columns: &[String]) -> bool {
    let has = |column: &&str| columns.iter().any(|other| other == column);
    TABLES.iter().any(|table| {
        table.name == name
            && table.columns.iter().all(has)
            && (table.may_have_more || table.columns.len() == columns.len())
    })
}

#[cfg(test)]
mod tests {
    use super::{is_named_in, is_tools_own};

    fn is_own(name: &str, columns: &[&str]) -> bool {
        is_tools_own(name, &columns.iter().map(|&column| column.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn messages_name_tables() {
        assert!(is_named_in("relation \"public._sqlx_migrations\" does not exist"));
        assert!(is_named_in("relation \"schema_migrations\" does not exist"));
        for other in ["my_sqlx_migrations", "migrations", "_sqlx_migrations_old"] {
            assert!(!is_named_in(&format!("relation \"{other}\" does not exist")), "{other}");
        }
    }

    #[test]
    fn by_name_and_columns() {
        assert!(is_own("migrations", &["name", "id", "timestamp"]));
        assert!(is_own("migrations", &["id", "migration", "batch"]));
        assert!(is_own("schema_migrations", &["version"]));
        assert!(is_own("schema_migrations", &["version", "statements", "name"]));
        assert!(is_own(
            "_sqlx_migrations",
            &["version", "description", "installed_on", "success", "checksum", "execution_time"]
        ));
        assert!(is_own("goose_db_version", &["id", "version_id", "is_applied", "tstamp", "note"]));
    }

    #[test]
    fn peoples_own_tables_are_theirs() {
        assert!(!is_own("migrations", &["id", "timestamp", "name", "species"]));
        assert!(!is_own("migrations", &["id", "species", "batch"]));
        assert!(!is_own("schema_migrations", &["version", "tenant_id"]));
        assert!(!is_own("alembic_version", &["version_num", "tenant_id"]));
        assert!(!is_own("kysely_migration", &["name"]));
        assert!(!is_own("sequelizemeta", &["name"]));
    }
}
