//! `pg_versioned`: race-free versioning of projects and files inside Postgres.
//!
//! `docs/architecture.md` describes how saving and reading work. Imports go in one direction, downward in this list:
//!
//! - [`own_table`], [`import`], [`migration`], [`file`], [`version`], [`builds`], [`project`], [`git_export`], [`retention`],
//!   [`integrity`], [`id`]: the SQL functions, one folder or file per subject; their declarations are in `sql/`, which `pgrx-config/assemble` makes the
//!   install script of.
//! - [`exclusive`], [`locks`], [`caller`], [`limit`], [`events`], [`content`], [`progress`]: what several of them share.
//!   Only [`locks`] knows lock keys, and only [`caller`] decides who may do what.
//! - [`backend`]: the only place that touches the C API of Postgres, and the only one with `unsafe`.
//! - [`input`], [`settings`], [`path`], [`text`], [`tokens`], [`hex`], [`error`]: checks and values, without a database.
//!   Only [`error`] knows SQLSTATEs.

use pgrx::prelude::*;

mod backend;
mod builds;
mod caller;
mod content;
mod error;
mod events;
mod exclusive;
mod file;
mod git_export;
mod hex;
mod id;
mod import;
mod input;
mod integrity;
mod limit;
mod locks;
mod migration;
mod own_table;
mod path;
mod progress;
mod project;
mod retention;
mod settings;
mod text;
mod tokens;
mod version;

pgrx::pg_module_magic!(name, version);

/// Called once when a backend loads the library.
#[pg_guard]
pub extern "C-unwind" fn _PG_init() {
    backend::log_panics();
    backend::keep_freed_memory();
    settings::register();
    backend::reserve_settings(c"pg_versioned");
}
