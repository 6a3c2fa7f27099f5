//! `pg_versioned`: race-free versioning of projects and files inside Postgres.
//!
//! One folder or file per subject. Pure logic ([`id::ulid`], [`file::path`], [`version::semver`], …) knows
//! nothing of Postgres; [`backend`] is the only place that touches Postgres' C API, [`locks`] the only one
//! that knows lock keys, [`error`] the only one that knows SQLSTATEs and [`caller`] the only one that
//! decides who may do what. The SQL side of every function is declared in `sql/`.

use pgrx::prelude::*;

mod backend;
mod builds;
mod caller;
mod content;
mod error;
mod events;
mod file;
mod held;
mod id;
mod input;
mod integrity;
mod limit;
mod locks;
mod progress;
mod project;
mod retention;
mod settings;
mod text;
mod version;

pgrx::pg_module_magic!(name, version);

extension_sql_file!("../sql/requirements.sql", name = "requirements", bootstrap);
extension_sql_file!("../sql/ids.sql", name = "ids", requires = ["requirements"]);
extension_sql_file!("../sql/locks.sql", name = "locks", requires = ["ids"]);
extension_sql_file!("../sql/projects.sql", name = "projects", requires = ["locks"]);
extension_sql_file!("../sql/builds.sql", name = "builds", requires = ["projects"]);
extension_sql_file!("../sql/versions.sql", name = "versions", requires = ["builds"]);
extension_sql_file!("../sql/files.sql", name = "files", requires = ["versions"]);
extension_sql_file!("../sql/integrity.sql", name = "integrity", requires = ["files"]);
extension_sql_file!("../sql/retention.sql", name = "retention", requires = ["integrity"]);
extension_sql_file!("../sql/monitoring.sql", name = "monitoring", requires = ["retention"]);
extension_sql_file!("../sql/access.sql", name = "access", requires = ["monitoring"], finalize);

/// Called once when a backend loads the library.
#[pg_guard]
pub extern "C-unwind" fn _PG_init() {
    backend::log_panics();
    backend::keep_freed_memory();
    settings::register();
}
