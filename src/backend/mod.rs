//! Everything that touches Postgres' C API; no `unsafe` lives outside this folder.
//!
//! Postgres reports errors by `longjmp`; pgrx turns those into panics that unwind through here, so nothing
//! in this crate holds a Rust lock or half-changed state across a call into Postgres.

mod bindings;
mod bytes;
mod call;
mod lookup;
mod raise;
mod rows;
mod session;
mod slots;
mod spi;
mod trigger;
pub mod zstd;

pub use bytes::Bytes;
pub use call::{Answer, Call, log_panics, with_query_cache};
pub use lookup::{Lookup, Row};
pub use rows::{ResultSet, one_row, query_into_result};
pub use session::{
    Lock, Owner, SnapshotVersion, advisory_lock, advisory_try_lock, as_owner, bypasses_rls, clock, current_xid,
    fixed_snapshot, hash_key, is_standby, is_superuser, json_time, keep_freed_memory, local_transaction_id, log,
    log_logical_message, next_xid, notice, notify, reserve_settings, role_name, roles, setting, snapshot_version,
    system_identifier, undo_on_duplicate,
};
pub use slots::in_free_slot;
pub use spi::{Db, Rows, Statement, Timestamp, Value, connect};
pub use trigger::{Trigger, stamp_inserted_row};

/// Oid of a role.
pub type RoleId = pgrx::pg_sys::Oid;
