//! The session and its transaction: roles, settings, clock, locks, notifications.

use core::ffi::{CStr, c_int};
use std::cell::Cell;
use std::ffi::CString;

use pgrx::pg_sys;

use super::guard;
use super::value::Timestamp;
use super::{Call, RoleId};

/// Proof that the code runs with the permissions of the extension's owner.
pub struct Owner(());

/// Runs `body` as the extension's owner, and then switches back. If an error occurs, the abort of the transaction or
/// subtransaction restores both values.
pub fn as_owner<R>(call: &Call, body: impl FnOnce(&Owner) -> R) -> R {
    as_role(call.owner, pg_sys::SECURITY_LOCAL_USERID_CHANGE, || body(&Owner(())))
}

/// Runs `body` as the owner of a table, for whom no policy counts even if row-level security is forced: what Postgres
/// does for the actions of foreign keys (ri_PerformCheck in ri_triggers.c).
pub fn as_table_owner<R>(owner: RoleId, body: impl FnOnce() -> R) -> R {
    as_role(owner, pg_sys::SECURITY_LOCAL_USERID_CHANGE | pg_sys::SECURITY_NOFORCE_RLS, body)
}

/// Runs `body` as the current role. Where it owns a table, no policy counts even if row-level security is forced.
pub fn past_forced_policies<R>(body: impl FnOnce() -> R) -> R {
    as_role(roles().current, pg_sys::SECURITY_NOFORCE_RLS, body)
}

/// Whether the current statement is run by a foreign key, or by [`as_table_owner`].
pub fn within_foreign_key() -> bool {
    // SAFETY: a plain read of the session's state.
    unsafe { pg_sys::InNoForceRLSOperation() }
}

fn as_role<R>(role: RoleId, flags: u32, body: impl FnOnce() -> R) -> R {
    // SAFETY: both values are restored, here or by the abort that an error leads to.
    unsafe {
        let (mut before, mut context) = (pg_sys::InvalidOid, 0);
        pg_sys::GetUserIdAndSecContext(&mut before, &mut context);
        pg_sys::SetUserIdAndSecContext(role, context | flags as c_int);
        let result = body();
        pg_sys::SetUserIdAndSecContext(before, context);
        result
    }
}

/// The roles of a session: the one running the current code, the one chosen by `SET ROLE`, and the one that logged in.
#[derive(Clone, Copy)]
pub struct Roles {
    pub current: RoleId,
    pub outer: RoleId,
    pub session: RoleId,
}

pub fn roles() -> Roles {
    // SAFETY: a plain read of the session's state.
    unsafe {
        Roles { current: pg_sys::GetUserId(), outer: pg_sys::GetOuterUserId(), session: pg_sys::GetSessionUserId() }
    }
}

pub fn is_superuser(role: RoleId) -> bool {
    // SAFETY: any OID is allowed.
    unsafe { pg_sys::superuser_arg(role) }
}

/// Also true for superusers.
pub fn bypasses_rls(role: RoleId) -> bool {
    // SAFETY: any OID is allowed.
    unsafe { pg_sys::has_bypassrls_privilege(role) }
}

pub fn role_name(role: RoleId) -> Option<String> {
    // SAFETY: the name is a string in the current memory context, or null.
    unsafe {
        let name = pg_sys::GetUserNameFromId(role, true);
        (!name.is_null()).then(|| CStr::from_ptr(name).to_string_lossy().into_owned())
    }
}

/// A setting by name; `None` if it is unset or empty.
pub fn setting(name: &CStr) -> Option<String> {
    // SAFETY: the value is a string that lives until the setting changes, or null.
    unsafe {
        let value = pg_sys::GetConfigOption(name.as_ptr(), true, false);
        let text = (!value.is_null()).then(|| CStr::from_ptr(value).to_string_lossy().into_owned())?;
        (!text.is_empty()).then_some(text)
    }
}

/// The schemas in which names without one are looked for, in order; only those that exist and that the current role may use.
pub fn search_path() -> Vec<String> {
    // SAFETY: the list holds OIDs of schemas; a name is a string in the current memory context, or null if the schema has
    // just been dropped.
    unsafe {
        let path = guard::fetch_search_path(false);
        let count = if path.is_null() { 0 } else { (*path).length };
        let name = |n| {
            let name = pg_sys::get_namespace_name(pg_sys::list_nth_oid(path, n));
            (!name.is_null()).then(|| CStr::from_ptr(name).to_string_lossy().into_owned())
        };
        (0..count).filter_map(name).collect()
    }
}

/// Makes undefined settings with this prefix an error from now on, so that misspelled names are not ignored.
pub fn reserve_settings(prefix: &CStr) {
    // SAFETY: called while the library is loaded.
    unsafe { pg_sys::MarkGUCPrefixReserved(prefix.as_ptr()) }
}

/// The current wall-clock time, not the start of the transaction.
pub fn clock() -> Timestamp {
    // SAFETY: a function without preconditions.
    Timestamp(unsafe { pg_sys::GetCurrentTimestamp() })
}

/// A timestamp as formatted in JSON, in UTC.
pub fn json_time(time: Timestamp) -> String {
    let mut buffer = [0; pg_sys::MAXDATELEN as usize + 1];
    let utc: c_int = 0;
    // SAFETY: the buffer can hold the longest text (MAXDATELEN).
    unsafe {
        let datum = pg_sys::Datum::from(time.0);
        let text = pg_sys::JsonEncodeDateTime(buffer.as_mut_ptr(), datum, pg_sys::TIMESTAMPTZOID, &utc);
        CStr::from_ptr(text).to_string_lossy().into_owned()
    }
}

/// The transaction's id, which a writing transaction has anyway. 25006 if nothing can be written.
pub fn current_xid() -> u64 {
    // SAFETY: a function without preconditions.
    unsafe {
        pg_sys::PreventCommandIfReadOnly(c"INSERT".as_ptr());
        pg_sys::GetTopFullTransactionId().value
    }
}

/// 25006 if nothing can be written, in the words for a command.
pub fn require_writable(command: &CStr) {
    // SAFETY: a function without preconditions.
    unsafe { pg_sys::PreventCommandIfReadOnly(command.as_ptr()) }
}

thread_local! {
    /// The transaction, and its number of commands, after something was undone that was all that it had written.
    static UNDONE: Cell<Option<(u32, pg_sys::CommandId)>> = const { Cell::new(None) };
}

/// The number of the current command, which increases after each command that writes.
fn command() -> pg_sys::CommandId {
    // SAFETY: functions without preconditions; nothing is in progress that must not see what was done before it.
    unsafe {
        pg_sys::CommandCounterIncrement();
        pg_sys::GetCurrentCommandId(false)
    }
}

/// Whether the transaction has written, except what [`all_is_undone`] was told of.
pub fn has_written() -> bool {
    // SAFETY: a plain read of the session's state.
    let has_id = unsafe { pg_sys::GetTopTransactionIdIfAny() } != pg_sys::InvalidTransactionId;
    has_id && UNDONE.get() != Some((local_transaction_id(), command()))
}

/// All that the transaction has written has been undone.
pub fn all_is_undone() {
    UNDONE.set(Some((local_transaction_id(), command())));
}

/// The id that the next transaction will have.
pub fn next_xid() -> u64 {
    // SAFETY: a plain read of the session's state.
    unsafe { pg_sys::ReadNextFullTransactionId().value }
}

/// Whether this server replays another server's WAL.
pub fn is_standby() -> bool {
    // SAFETY: a plain read of the session's state.
    unsafe { pg_sys::RecoveryInProgress() }
}

/// Distinguishes this cluster from all others, except its standbys and copies made by `pg_basebackup`.
pub fn system_identifier() -> u64 {
    // SAFETY: a plain read of the session's state.
    unsafe { pg_sys::GetSystemIdentifier() }
}

/// A number that no two transactions of this backend share (for a very long time).
pub fn local_transaction_id() -> u32 {
    // SAFETY: a backend keeps its entry for its entire lifetime.
    unsafe {
        #[cfg(any(feature = "pg15", feature = "pg16"))]
        return (*pg_sys::MyProc).lxid;
        #[cfg(not(any(feature = "pg15", feature = "pg16")))]
        return (*pg_sys::MyProc).vxid.lxid;
    }
}

/// `hashtextextended(text, 0)`.
pub fn hash_key(text: &str) -> i64 {
    // SAFETY: the pointer and the length are those of the text.
    unsafe { guard::hash_bytes_extended(text.as_ptr(), text.len() as c_int, 0) as i64 }
}

/// `NOTIFY`, delivered when the transaction commits.
pub fn notify(channel: &str, payload: &str) {
    with_c_strings(channel, payload, |channel, payload| {
        // SAFETY: both are strings that Postgres copies.
        unsafe { guard::Async_Notify(channel.as_ptr(), payload.as_ptr()) }
    });
}

/// `pg_logical_emit_message(true, prefix, message)`.
pub fn log_logical_message(prefix: &str, message: &str) {
    with_c_strings(prefix, message, |prefix, text| {
        // SAFETY: both are strings that Postgres copies, the second one with this length.
        unsafe {
            #[cfg(any(feature = "pg15", feature = "pg16"))]
            guard::LogLogicalMessage(prefix.as_ptr(), text.as_ptr(), message.len(), true);
            #[cfg(not(any(feature = "pg15", feature = "pg16")))]
            guard::LogLogicalMessage(prefix.as_ptr(), text.as_ptr(), message.len(), true, false);
        }
    });
}

/// Sends the client a warning.
pub fn warning(line: &str) {
    pgrx::warning!("{line}");
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

/// Ends the call here if it was canceled, timed out, or the session is being terminated.
pub fn check_for_interrupts() {
    pgrx::check_for_interrupts!();
}

/// Settings of this session while it exists, as CREATE FUNCTION ... SET would have them (fmgr_security_definer in fmgr.c).
struct Pinned(c_int);

impl Pinned {
    fn begin(name: &CStr, value: &CStr) -> Self {
        Self::begin_all(&[(name, value)])
    }

    fn begin_all(settings: &[(&CStr, &CStr)]) -> Self {
        // SAFETY: undone by `drop`, or at the end of the transaction or subtransaction after an error.
        unsafe {
            let level = pg_sys::NewGUCNestLevel();
            for (name, value) in settings {
                pg_sys::set_config_option(
                    name.as_ptr(),
                    value.as_ptr(),
                    pg_sys::GucContext::PGC_USERSET,
                    pg_sys::GucSource::PGC_S_SESSION,
                    pg_sys::GucAction::GUC_ACTION_SAVE,
                    true,
                    0,
                    false,
                );
            }
            Pinned(level)
        }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // SAFETY: begun by `begin`.
            unsafe { pg_sys::AtEOXact_GUC(true, self.0) };
        }
    }
}

/// Pins `search_path` while it exists.
pub struct PinnedSearchPath(#[allow(dead_code)] Pinned);

impl PinnedSearchPath {
    /// Names are then found in `pg_catalog`, unless they are schema-qualified.
    pub fn begin() -> Self {
        PinnedSearchPath(Pinned::begin(c"search_path", c"pg_catalog, pg_temp"))
    }

    /// They are also found in a schema, whose name is quoted; in `pg_catalog` first.
    pub fn begin_in(schema: &str) -> Self {
        let path = CString::new(format!("pg_catalog, {schema}, pg_temp")).expect("names contain no NUL");
        PinnedSearchPath(Pinned::begin(c"search_path", &path))
    }
}

/// Makes it an error that a policy would hide rows, while it exists. Must end before what was pinned before it does.
pub struct RowSecurityOff(#[allow(dead_code)] Pinned);

impl RowSecurityOff {
    pub fn begin() -> Self {
        RowSecurityOff(Pinned::begin(c"row_security", c"off"))
    }
}

/// Pins what definitions and the constants in them are printed by, while it exists. Must end before what was pinned before it
/// does.
pub struct Printing(#[allow(dead_code)] Pinned);

impl Printing {
    pub fn begin() -> Self {
        Printing(Pinned::begin_all(&[
            (c"quote_all_identifiers", c"off"),
            (c"standard_conforming_strings", c"on"),
            (c"DateStyle", c"ISO, YMD"),
            (c"IntervalStyle", c"postgres"),
            (c"TimeZone", c"UTC"),
            (c"extra_float_digits", c"1"),
            (c"bytea_output", c"hex"),
            (c"lc_monetary", c"C"),
        ]))
    }
}
