//! `pg_versioned`: race-free versioning of projects and files inside Postgres.
//!
//! `docs/architecture.md` describes how saving and reading work. Imports go in one direction, downward in this list:
//!
//! - [`file`], [`version`], [`builds`], [`project`], [`retention`], [`integrity`], [`id`]: the SQL functions, one folder or
//!   file per subject; their declarations are in `sql/`.
//! - [`exclusive`], [`locks`], [`caller`], [`limit`], [`events`], [`content`], [`progress`]: what several of them share.
//!   Only [`locks`] knows lock keys, and only [`caller`] decides who may do what.
//! - [`backend`]: the only place that touches the C API of Postgres, and the only one with `unsafe`.
//! - [`input`], [`settings`], [`path`], [`text`], [`hex`], [`error`]: checks and values, without a database. Only
//!   [`error`] knows SQLSTATEs.

use pgrx::prelude::*;

mod backend;
mod builds;
mod caller;
mod content;
mod error;
mod events;
mod exclusive;
mod file;
mod hex;
mod id;
mod input;
mod integrity;
mod limit;
mod locks;
mod path;
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
extension_sql_file!("../sql/file_tables.sql", name = "file_tables", requires = ["versions"]);
extension_sql_file!("../sql/file_view.sql", name = "file_view", requires = ["file_tables"]);
extension_sql_file!("../sql/file_functions.sql", name = "file_functions", requires = ["file_view"]);
extension_sql_file!("../sql/limits.sql", name = "limits", requires = ["file_functions"]);
extension_sql_file!("../sql/integrity.sql", name = "integrity", requires = ["limits"]);
extension_sql_file!("../sql/retention.sql", name = "retention", requires = ["integrity"]);
extension_sql_file!("../sql/monitoring.sql", name = "monitoring", requires = ["retention"]);
extension_sql_file!("../sql/access.sql", name = "access", requires = ["monitoring"], finalize);

/// Called once when a backend loads the library.
#[pg_guard]
pub extern "C-unwind" fn _PG_init() {
    backend::log_panics();
    backend::keep_freed_memory();
    settings::register();
    backend::reserve_settings(c"pg_versioned");
}
