//! The connection, from the environment that libpq reads, and the extension behind it.

use std::env;
use std::path::Path;
use std::time::Duration;

use postgres::{Client, Config, NoTls};

use crate::failure::{Doing, Failure};

/// Where pg_versioned is installed.
pub struct Extension {
    /// Its version.
    pub version: String,
    /// Its schema, quoted where SQL needs it.
    pub schema: String,
    /// The server's version.
    pub server: String,
}

/// Connects, and puts the extension's schema on the search path.
pub fn connect() -> Result<(Client, Extension), Failure> {
    let config = config_from_environment()?;
    let target = describe_target(&config);
    let mut client = config.connect(NoTls).doing(format!("connecting to {target}"))?;
    let extension = find_extension(&mut client)?;
    client.batch_execute(&format!("SET search_path = {}", extension.schema)).doing("setting the search path")?;
    Ok((client, extension))
}

fn find_extension(client: &mut Client) -> Result<Extension, Failure> {
    let found = client
        .query_opt(
            "SELECT e.extversion, quote_ident(n.nspname), split_part(current_setting('server_version'), ' ', 1)
               FROM pg_catalog.pg_extension e
               JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
              WHERE e.extname = 'pg_versioned'",
            &[],
        )
        .doing("looking for the extension")?;
    let row = found.ok_or_else(|| {
        Failure::Server(
            "this database has no extension pg_versioned: run CREATE SCHEMA versioned; \
             CREATE EXTENSION pg_versioned SCHEMA versioned;"
                .to_owned(),
        )
    })?;
    Ok(Extension { version: row.get(0), schema: row.get(1), server: row.get(2) })
}

/// PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE and PGOPTIONS, with libpq's defaults.
fn config_from_environment() -> Result<Config, Failure> {
    let user = variable("PGUSER")
        .or_else(|| variable("USER"))
        .or_else(|| variable("LOGNAME"))
        .unwrap_or_else(|| "postgres".to_owned());
    let mut config = Config::new();
    config
        .host(&variable("PGHOST").unwrap_or_else(default_host))
        .dbname(&variable("PGDATABASE").unwrap_or_else(|| user.clone()))
        .user(&user)
        .application_name("pg_versioned replay")
        .connect_timeout(Duration::from_secs(10));
    if let Some(port) = variable("PGPORT") {
        let number = port.parse().map_err(|_| Failure::Server(format!("PGPORT is not a port: {port}")))?;
        config.port(number);
    }
    if let Some(password) = variable("PGPASSWORD") {
        config.password(password);
    }
    if let Some(options) = variable("PGOPTIONS") {
        config.options(&options);
    }
    Ok(config)
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

fn default_host() -> String {
    let usual = ["/var/run/postgresql", "/tmp"];
    let found = usual.iter().find(|folder| Path::new(folder).join(".s.PGSQL.5432").exists());
    found.map_or_else(|| "localhost".to_owned(), |folder| (*folder).to_owned())
}

fn describe_target(config: &Config) -> String {
    use postgres::config::Host;
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(name)) => name.clone(),
        Some(Host::Unix(folder)) => folder.display().to_string(),
        None => String::new(),
    };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    format!(
        "database {} at {host}:{port} as {}",
        config.get_dbname().unwrap_or_default(),
        config.get_user().unwrap_or_default(),
    )
}
