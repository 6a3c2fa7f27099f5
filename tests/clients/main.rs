//! What the extension promises, asked of it by real connections.
//!
//! Connects as the libpq environment says, as a superuser; every test makes a database of its own and drops it.
//! A test waits for what it can see (`pg_stat_activity`, `pg_locks`), never for time to pass.

mod batches;
mod builds;
mod calls;
mod catalogue;
mod claims;
mod config;
mod content;
mod creation;
mod death;
mod dump;
mod errors;
mod events;
mod fast_export;
mod fast_export_directories;
mod feed;
mod foreign_code;
mod git;
mod hostile_names;
mod integrity;
mod invariants;
mod large_batches;
mod life;
mod limits;
mod locks;
mod long_texts;
mod maintenance;
mod members;
mod merging;
mod mismatch;
mod mismatch_calls;
mod misused_triggers;
mod model;
mod moved_twice;
mod privileges;
mod reading;
mod reentrancy;
mod refusals;
mod reinstall;
mod renumbering;
mod restoring;
mod retention;
mod rollback;
mod saves;
mod skippers;
mod stale_rights;
mod standby;
mod stored;
mod storm;
mod support;
mod upgrades;
mod user_objects;
mod user_triggers;
mod view_writes;
