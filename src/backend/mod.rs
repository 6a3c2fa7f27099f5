//! Everything that touches the C API of Postgres; there is no `unsafe` outside this folder.
//!
//! Postgres reports errors by `longjmp`; guards turn them into panics that unwind through this code, so nothing in this
//! crate holds a Rust lock or half-changed state across a call into Postgres. Resources that Postgres releases at the
//! end of a transaction (references, snapshots, connections) are left to it after an error.
#![allow(unsafe_code)]

mod bytes;
mod call;
mod guard;
mod lock;
mod raise;
mod result;
mod row;
mod session;
mod slots;
mod statement;
mod table;
mod trigger;
mod value;
mod writer;
pub mod zstd;

pub use bytes::Bytes;
pub use call::{Answer, Call, log_panics, with_query_cache};
pub use lock::{Lock, advisory_lock, advisory_try_lock, advisory_unlock};
pub use result::{ResultSet, one_row, query_into_result};
pub use row::Row;
pub use session::{
    FreshSnapshot, Owner, Visibility, as_owner, bypasses_rls, check_for_interrupts, clock, current_xid, fixed_snapshot,
    give_memory_back, hash_key, in_own_memory, is_standby, is_superuser, json_time, keep_freed_memory,
    local_transaction_id, log, log_logical_message, next_xid, notice, notify, reserve_settings, role_name, roles,
    setting, system_identifier, visibility,
};
pub use slots::in_free_slot;
pub use statement::{Arg, Db, Rows, Statement, connect};
pub use table::{Lookup, Use};
pub use trigger::{Event, Trigger, stamp_inserted_row};
pub use value::{Timestamp, Value, column_type};
pub use writer::{Allowed, Writer};

/// OID of a role.
pub type RoleId = pgrx::pg_sys::Oid;
