//! Everything that touches the C API of Postgres; there is no `unsafe` outside this folder.
//!
//! Postgres reports errors by `longjmp`; guards turn them into panics that unwind through this code, so nothing in this
//! crate holds a Rust lock or half-changed state across a call into Postgres. Resources that Postgres releases at the
//! end of a transaction (references, snapshots, connections) are left to it after an error.
#![allow(unsafe_code)]

mod aside;
mod bytes;
mod call;
mod catalog_filter;
mod catalogue;
mod dynamic;
mod fresh_session;
mod guard;
mod held_locks;
mod hook;
mod lock;
mod memory;
mod mismatch;
mod raise;
mod relation;
mod result;
mod row;
mod row_trigger;
mod script;
mod session;
mod slots;
mod snapshot;
mod statement;
mod stream;
mod subtransaction;
mod table;
mod touched;
mod trigger;
mod value;
mod version_index;
mod writer;
pub mod zstd;

pub use aside::{
    disable_database_wide_rules, drop_relation, drop_schema, move_extension_aside, move_schema_aside, schema_named,
};
pub use bytes::Bytes;
pub use call::{Answer, Call, log_panics, with_query_cache};
pub use catalog_filter::CatalogFilter;
pub use catalogue::{despite_drops, printing_alike};
pub use dynamic::{dynamic_into_result, quoted_identifier, quoted_literal};
pub use fresh_session::{SessionBefore, set};
pub use held_locks::{LocksBefore, lock_table_size};
pub use lock::{Lock, ReturnableLock, advisory_lock, advisory_try_lock, advisory_unlock, holds_advisory_lock};
pub use memory::{give_memory_back, in_own_memory, keep_freed_memory};
pub use mismatch::Raised;
pub use relation::{equality_operator, has_pending_triggers, keep_as_it_is, qualified_name};
pub use result::{ResultSet, one_row, query_into_result};
pub use row::Row;
pub use row_trigger::{RowTrigger, When};
pub use script::{ForeignKey, Kind, Script, Statement as ScriptStatement, line_and_column, run_script};
pub use session::{
    Owner, all_is_undone, as_owner, as_table_owner, bypasses_rls, check_for_interrupts, clock, current_xid,
    has_written, hash_key, is_standby, is_superuser, json_time, local_transaction_id, log, log_logical_message,
    next_xid, notice, notify, past_forced_policies, require_writable, reserve_settings, role_name, roles, search_path,
    setting, system_identifier, warning, within_foreign_key,
};
pub use slots::in_free_slot;
pub use snapshot::{FreshSnapshot, LatestSnapshot, Visibility, fixed_snapshot, visibility};
pub use statement::{Arg, Db, Rows, Statement, connect, connect_for_user_code};
pub use stream::{KeptRows, Stream, stream};
pub use subtransaction::{attempt, attempt_or_error};
pub use table::{Lookup, Use};
pub use touched::{Touch, Touched, Watch, foreign_object, is_own};
pub use trigger::{Event, Trigger, stamp_inserted_row};
pub use value::{Timestamp, Value, column_type};
pub use version_index::{Among, From, LockFor, RowLock, VersionIndex, VersionRow};
pub use writer::{Allowed, Writer};

/// OID of a role.
pub type RoleId = pgrx::pg_sys::Oid;
