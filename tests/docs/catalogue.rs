//! What the extension has, as the catalogue of a server says.

use std::env;

use postgres::{Client, NoTls};

/// A function that clients can call.
pub struct Function {
    pub name: String,
    /// As `pg_get_function_arguments` writes them.
    pub arguments: String,
    /// Columns with their types, or the type of what it returns; empty for nothing.
    pub results: Vec<String>,
    pub comment: String,
}

/// A table or view.
pub struct Relation {
    pub name: String,
    /// Names and types.
    pub columns: Vec<(String, String)>,
}

pub struct Setting {
    pub name: String,
    /// As `SHOW` shows it.
    pub default: String,
}

pub struct Catalogue {
    pub functions: Vec<Function>,
    pub relations: Vec<Relation>,
    pub settings: Vec<Setting>,
}

const DATABASE: &str = "versioned_docs_catalogue";

fn connect(database: &str) -> Client {
    let setting = |name, default: &str| env::var(name).unwrap_or_else(|_| default.to_owned());
    let mut config = postgres::Config::new();
    config
        .host(&setting("PGHOST", "/var/run/postgresql"))
        .port(setting("PGPORT", "5432").parse().expect("PGPORT is a number"))
        .user(&setting("PGUSER", "postgres"))
        .dbname(database);
    if let Ok(password) = env::var("PGPASSWORD") {
        config.password(password);
    }
    config.connect(NoTls).expect("a superuser can connect")
}

/// Installs the extension into a database of its own and reads what is there.
pub fn read() -> Catalogue {
    let mut admin = connect("postgres");
    let mut run = |sql: &str| admin.batch_execute(sql).unwrap_or_else(|e| panic!("{e}: {sql}"));
    run(&format!("DROP DATABASE IF EXISTS {DATABASE}"));
    run(&format!("CREATE DATABASE {DATABASE} TEMPLATE template0 ENCODING 'UTF8'"));
    let catalogue = {
        let mut client = connect(DATABASE);
        client
            .batch_execute(
                "CREATE SCHEMA versioned; CREATE EXTENSION pg_versioned SCHEMA versioned; LOAD 'pg_versioned'",
            )
            .expect("the extension can be created");
        Catalogue {
            functions: functions(&mut client),
            relations: relations(&mut client),
            settings: settings(&mut client),
        }
    };
    run(&format!("DROP DATABASE {DATABASE}"));
    catalogue
}

/// A type as people write it.
fn usual(name: &str) -> String {
    match name {
        "bool" => "boolean".to_owned(),
        "int8" => "bigint".to_owned(),
        name => name.replace("timestamp with time zone", "timestamptz"),
    }
}

fn functions(client: &mut Client) -> Vec<Function> {
    let rows = client.query(
        "SELECT p.proname::text, pg_get_function_arguments(p.oid), coalesce(obj_description(p.oid, 'pg_proc'), ''),
                CASE WHEN p.proargmodes IS NOT NULL
                     THEN ARRAY(SELECT a.name || ' ' || format_type(a.type, NULL)
                                  FROM unnest(p.proargnames, p.proargmodes, p.proallargtypes) a (name, mode, type)
                                 WHERE a.mode = 't')
                     ELSE array_remove(ARRAY[(SELECT typname FROM pg_type WHERE oid = p.prorettype)::text], 'void')
                END
           FROM pg_proc p
          WHERE p.pronamespace = 'versioned'::regnamespace AND p.prorettype <> 'trigger'::regtype
          ORDER BY p.proname, 2",
        &[],
    );
    let function = |row: &postgres::Row| {
        let results: Vec<String> = row.get(3);
        let results = results.iter().map(|result| usual(result)).collect();
        Function { name: row.get(0), arguments: row.get(1), comment: row.get(2), results }
    };
    rows.expect("the functions can be read").iter().map(function).collect()
}

fn relations(client: &mut Client) -> Vec<Relation> {
    let rows = client.query(
        "SELECT c.relname::text, array_agg(a.attname::text ORDER BY a.attnum),
                array_agg(format_type(a.atttypid, a.atttypmod) ORDER BY a.attnum)
           FROM pg_class c
           JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
          WHERE c.relnamespace = 'versioned'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
          GROUP BY c.relname
          ORDER BY c.relname",
        &[],
    );
    let relation = |row: &postgres::Row| {
        let (names, types): (Vec<String>, Vec<String>) = (row.get(1), row.get(2));
        let types = types.iter().map(|name| usual(name));
        Relation { name: row.get(0), columns: names.into_iter().zip(types).collect() }
    };
    rows.expect("the tables can be read").iter().map(relation).collect()
}

/// With their defaults, whatever the server's configuration says.
fn settings(client: &mut Client) -> Vec<Setting> {
    let rows = client.query(
        "SELECT name, current_setting(name)
           FROM (SELECT name, set_config(name, boot_val, false) FROM pg_settings
                  WHERE name LIKE 'pg\\_versioned.%' ORDER BY name OFFSET 0) boot
          WHERE set_config IS NOT NULL",
        &[],
    );
    let rows = rows.expect("the settings can be read");
    rows.iter().map(|row| Setting { name: row.get(0), default: row.get(1) }).collect()
}
