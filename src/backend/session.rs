//! The session and its transaction: roles, settings, clock, locks, notifications.

use core::ffi::{CStr, c_int};
use std::any::Any;
use std::ffi::CString;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use pgrx::pg_sys::panic::CaughtError;
use pgrx::{IntoDatum, PgSqlErrorCode, direct_function_call, pg_sys};

use super::spi::Timestamp;
use super::{Call, RoleId, bindings};

/// Proof that the code runs with the rights of the extension's owner.
pub struct Owner(());

/// Runs `body` as the extension's owner, and goes back. An error on the way leaves the switch to the abort
/// of its transaction or subtransaction, which restores both values.
pub fn as_owner<R>(call: &Call, body: impl FnOnce(&Owner) -> R) -> R {
    unsafe {
        let (mut role, mut context) = (pg_sys::InvalidOid, 0);
        pg_sys::GetUserIdAndSecContext(&mut role, &mut context);
        pg_sys::SetUserIdAndSecContext(call.owner, context | pg_sys::SECURITY_LOCAL_USERID_CHANGE as c_int);
        let result = body(&Owner(()));
        pg_sys::SetUserIdAndSecContext(role, context);
        result
    }
}

/// The roles of a session: who runs the code at hand, who `SET ROLE` chose, and who logged in.
#[derive(Clone, Copy)]
pub struct Roles {
    pub current: RoleId,
    pub outer: RoleId,
    pub session: RoleId,
}

pub fn roles() -> Roles {
    unsafe {
        Roles { current: pg_sys::GetUserId(), outer: pg_sys::GetOuterUserId(), session: pg_sys::GetSessionUserId() }
    }
}

pub fn is_superuser(role: RoleId) -> bool {
    unsafe { pg_sys::superuser_arg(role) }
}

/// Superusers count as well.
pub fn bypasses_rls(role: RoleId) -> bool {
    unsafe { pg_sys::has_bypassrls_privilege(role) }
}

pub fn role_name(role: RoleId) -> Option<String> {
    unsafe {
        let name = pg_sys::GetUserNameFromId(role, true);
        (!name.is_null()).then(|| CStr::from_ptr(name).to_string_lossy().into_owned())
    }
}

/// A setting by name; `None` when it is unset or empty.
pub fn setting(name: &CStr) -> Option<String> {
    unsafe {
        let value = pg_sys::GetConfigOption(name.as_ptr(), true, false);
        let text = (!value.is_null()).then(|| CStr::from_ptr(value).to_string_lossy().into_owned())?;
        (!text.is_empty()).then_some(text)
    }
}

/// Makes settings of a prefix an error that are not defined by now: a misspelt one would be none.
pub fn reserve_settings(prefix: &CStr) {
    unsafe { pg_sys::MarkGUCPrefixReserved(prefix.as_ptr()) }
}

/// The wall clock now, not the transaction's start.
pub fn clock() -> Timestamp {
    Timestamp(unsafe { pg_sys::GetCurrentTimestamp() })
}

/// A moment as JSON has it, in UTC.
pub fn json_time(time: Timestamp) -> String {
    let mut buffer = [0; pg_sys::MAXDATELEN as usize + 1];
    let utc: c_int = 0;
    unsafe {
        let datum = pg_sys::Datum::from(time.0);
        let text = pg_sys::JsonEncodeDateTime(buffer.as_mut_ptr(), datum, pg_sys::TIMESTAMPTZOID, &utc);
        CStr::from_ptr(text).to_string_lossy().into_owned()
    }
}

/// The transaction's id, which a writing transaction has anyway. 25006 where nothing can be written.
pub fn current_xid() -> u64 {
    unsafe {
        pg_sys::PreventCommandIfReadOnly(c"INSERT".as_ptr());
        pg_sys::GetTopFullTransactionId().value
    }
}

/// The id that the next transaction will have.
pub fn next_xid() -> u64 {
    unsafe { pg_sys::ReadNextFullTransactionId().value }
}

/// Whether this server replays another's log.
pub fn is_standby() -> bool {
    unsafe { pg_sys::RecoveryInProgress() }
}

/// What tells this cluster from all others, its standbys and its copies by `pg_basebackup` excepted.
pub fn system_identifier() -> u64 {
    unsafe { pg_sys::GetSystemIdentifier() }
}

/// What the active snapshot shows: equal only for equal views of the database.
pub type SnapshotVersion = (u64, u32, u32);

pub fn snapshot_version() -> SnapshotVersion {
    unsafe {
        assert!(pg_sys::ActiveSnapshotSet(), "called without a snapshot");
        let snapshot = pg_sys::GetActiveSnapshot();
        // A savepoint that is undone changes what is seen, and neither of the other two.
        let savepoint = pg_sys::GetCurrentSubTransactionId();
        ((*snapshot).snapXactCompletionCount, (*snapshot).curcid, savepoint)
    }
}

/// A number that no two transactions of this backend share (for a very long time).
pub fn local_transaction_id() -> u32 {
    unsafe {
        #[cfg(any(feature = "pg15", feature = "pg16"))]
        return (*pg_sys::MyProc).lxid;
        #[cfg(not(any(feature = "pg15", feature = "pg16")))]
        return (*pg_sys::MyProc).vxid.lxid;
    }
}

/// REPEATABLE READ or above: the transaction's snapshot is fixed, no lock makes it fresher.
pub fn fixed_snapshot() -> bool {
    unsafe { pg_sys::XactIsoLevel >= pg_sys::XACT_REPEATABLE_READ as c_int }
}

/// How an advisory lock is held.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    Shared,
    Exclusive,
}

/// Waits for an advisory lock and holds it until the transaction (or savepoint) ends.
pub fn advisory_lock(key: i64, lock: Lock) {
    let function = match lock {
        Lock::Shared => pg_sys::pg_advisory_xact_lock_shared_int8,
        Lock::Exclusive => pg_sys::pg_advisory_xact_lock_int8,
    };
    unsafe { direct_function_call::<()>(function, &[key.into_datum()]) };
}

/// Takes an advisory lock if that needs no waiting; whether it did.
pub fn advisory_try_lock(key: i64, lock: Lock) -> bool {
    let function = match lock {
        Lock::Shared => pg_sys::pg_try_advisory_xact_lock_shared_int8,
        Lock::Exclusive => pg_sys::pg_try_advisory_xact_lock_int8,
    };
    unsafe { direct_function_call::<bool>(function, &[key.into_datum()]) == Some(true) }
}

/// `hashtextextended(text, 0)`.
pub fn hash_key(text: &str) -> i64 {
    unsafe { bindings::hash_bytes_extended(text.as_ptr(), text.len() as c_int, 0) as i64 }
}

/// `NOTIFY`, delivered when the transaction commits.
pub fn notify(channel: &str, payload: &str) {
    with_c_strings(channel, payload, |channel, payload| unsafe {
        bindings::Async_Notify(channel.as_ptr(), payload.as_ptr())
    });
}

/// `pg_logical_emit_message(true, prefix, message)`.
pub fn log_logical_message(prefix: &str, message: &str) {
    with_c_strings(prefix, message, |prefix, text| unsafe {
        #[cfg(any(feature = "pg15", feature = "pg16"))]
        {
            bindings::LogLogicalMessage(prefix.as_ptr(), text.as_ptr(), message.len(), true);
        }
        #[cfg(not(any(feature = "pg15", feature = "pg16")))]
        {
            bindings::LogLogicalMessage(prefix.as_ptr(), text.as_ptr(), message.len(), true, false);
        }
    });
}

/// Sends the client a notice.
pub fn notice(line: &str) {
    pgrx::notice!("{line}");
}

/// Writes a line to the server's log.
pub fn log(line: &str) {
    pgrx::log!("pg_versioned: {line}");
}

fn with_c_strings<R>(a: &str, b: &str, body: impl FnOnce(&CStr, &CStr) -> R) -> R {
    let (a, b) = (CString::new(a).expect("no NUL in SQL text"), CString::new(b).expect("no NUL in SQL text"));
    body(&a, &b)
}

/// Has the C library keep up to 4 MB that are freed at the heap's end. Each query takes and frees some 30 KB for every
/// index it scans, and by default glibc asks the kernel for them and gives them back at every save: up to a fifth of its
/// time. Freeing one large block moves both of its thresholds (mallopt(3), `M_MMAP_THRESHOLD`).
pub fn keep_freed_memory() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(2 << 20)));
}

/// Runs `body` in a subtransaction; `None`, with everything it did undone, when it ran into the unique index
/// named. Any other error undoes it as well, and goes on its way.
pub fn undo_on_duplicate<R>(index: &str, body: impl FnOnce() -> R) -> Option<R> {
    unsafe {
        let context = pg_sys::CurrentMemoryContext;
        let resources = pg_sys::CurrentResourceOwner;
        let leave = |end: unsafe fn()| {
            end();
            pg_sys::CurrentMemoryContext = context;
            pg_sys::CurrentResourceOwner = resources;
        };
        pg_sys::BeginInternalSubTransaction(std::ptr::null());
        pg_sys::CurrentMemoryContext = context;
        let result = catch_unwind(AssertUnwindSafe(body));
        match result {
            Ok(result) => {
                leave(pg_sys::ReleaseCurrentSubTransaction);
                Some(result)
            }
            Err(panic) => {
                // Left open, it would be what the error aborts, in the place of the transaction around it.
                leave(pg_sys::RollbackAndReleaseCurrentSubTransaction);
                if !is_duplicate(index, &*panic) {
                    resume_unwind(panic);
                }
                None
            }
        }
    }
}

/// Postgres' message, in every language, has the index's name in it; pgrx hands on no other field that does. Triggers
/// of the database's owner may raise the same SQLSTATE for reasons of theirs.
fn is_duplicate(index: &str, panic: &(dyn Any + Send)) -> bool {
    matches!(
        panic.downcast_ref::<CaughtError>(),
        Some(CaughtError::PostgresError(error))
            if error.sql_error_code() == PgSqlErrorCode::ERRCODE_UNIQUE_VIOLATION && error.message().contains(index)
    )
}
