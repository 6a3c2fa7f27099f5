//! A session like that of a new connection, for statements that come after one another in different ones; and what of
//! a session's state no rollback undoes.

use core::ffi::{CStr, c_int};
use std::collections::HashSet;
use std::ffi::CString;

use pgrx::pg_sys::{self, Oid};

use super::held_locks::LocksBefore;
use super::session::setting;
use super::statement::{Statement, connect};
use super::{Call, guard};

static PREPARED_STATEMENTS: Statement = Statement::new("SELECT name FROM pg_catalog.pg_prepared_statements");
static CURSORS: Statement = Statement::new("SELECT name FROM pg_catalog.pg_cursors");

fn names(call: &Call, statement: &'static Statement) -> HashSet<String> {
    connect(call, |db| db.run(statement, &[]).iter().map(|row| row.value("name")).collect())
}

/// What ends the transaction when `transaction_timeout` is over (Postgres 17 and later). Resetting the setting stops it, and
/// setting it begins it anew.
#[cfg(not(any(feature = "pg15", feature = "pg16")))]
struct TransactionTimer(Option<(String, pg_sys::TimestampTz)>);

#[cfg(any(feature = "pg15", feature = "pg16"))]
struct TransactionTimer;

#[cfg(not(any(feature = "pg15", feature = "pg16")))]
impl TransactionTimer {
    const SETTING: &CStr = c"transaction_timeout";
    /// `TRANSACTION_TIMEOUT` in timeout.h.
    const ID: c_int = 8;

    fn take() -> Self {
        unsafe extern "C-unwind" {
            fn get_timeout_active(id: c_int) -> bool;
            fn get_timeout_finish_time(id: c_int) -> pg_sys::TimestampTz;
        }
        // SAFETY: plain reads of the session's state.
        let end = unsafe { get_timeout_active(Self::ID).then(|| get_timeout_finish_time(Self::ID)) };
        TransactionTimer(end.and_then(|end| Some((setting(Self::SETTING)?, end))))
    }

    /// Lets it end the transaction when it would have ended before.
    fn go_on(&self) {
        unsafe extern "C-unwind" {
            fn enable_timeout_at(id: c_int, end: pg_sys::TimestampTz);
        }
        if let Some((value, end)) = &self.0 {
            if setting(Self::SETTING).as_ref() != Some(value) {
                set(Self::SETTING, Some(value));
            }
            // SAFETY: a timer of Postgres' own, which may be running.
            unsafe { enable_timeout_at(Self::ID, *end) };
        }
    }
}

#[cfg(any(feature = "pg15", feature = "pg16"))]
impl TransactionTimer {
    fn take() -> Self {
        TransactionTimer
    }

    fn go_on(&self) {}
}

/// The state of a session before statements of others run in it.
pub struct SessionBefore {
    user: Oid,
    context: c_int,
    session_authorization: Option<String>,
    role: Option<String>,
    prepared_statements: HashSet<String>,
    cursors: HashSet<String>,
    timer: TransactionTimer,
    pub locks: LocksBefore,
}

impl SessionBefore {
    pub fn take(call: &Call) -> Self {
        let (mut user, mut context) = (pg_sys::InvalidOid, 0);
        // SAFETY: a plain read of the session's state.
        unsafe { pg_sys::GetUserIdAndSecContext(&mut user, &mut context) };
        SessionBefore {
            user,
            context,
            session_authorization: setting(c"session_authorization"),
            role: setting(c"role"),
            prepared_statements: names(call, &PREPARED_STATEMENTS),
            cursors: names(call, &CURSORS),
            timer: TransactionTimer::take(),
            locks: LocksBefore::take(),
        }
    }

    /// Makes settings and role those of a new connection of the current role, closes cursors and drops prepared statements
    /// that are new.
    pub fn reset(&self, call: &Call) {
        // SAFETY: the state is the session's own, and what is set here is undone with the subtransaction.
        unsafe {
            pg_sys::ResetAllOptions();
            self.timer.go_on();
            if setting(c"session_authorization") != self.session_authorization {
                set(c"session_authorization", self.session_authorization.as_deref());
            }
            if setting(c"role") != self.role {
                set(c"role", self.role.as_deref());
            }
            pg_sys::SetUserIdAndSecContext(self.user, self.context);
        }
        self.drop_prepared_statements(call);
        for name in names(call, &CURSORS).difference(&self.cursors) {
            let name = CString::new(name.as_str()).expect("names contain no NUL");
            // SAFETY: the cursor is one that a statement has left open.
            unsafe { guard::PerformPortalClose(name.as_ptr()) };
        }
    }

    /// Whether a cursor was open before.
    pub fn had_cursor(&self, name: &str) -> bool {
        self.cursors.contains(name)
    }

    /// Whether a statement was prepared before.
    pub fn had_prepared(&self, name: &str) -> bool {
        self.prepared_statements.contains(name)
    }

    /// Undoes what no rollback undoes. The subtransaction must be over.
    pub fn restore(&self, call: &Call) {
        // A cancel must not come between.
        // SAFETY: the count is set back, here or by the handler of an error.
        unsafe { pg_sys::InterruptHoldoffCount += 1 };
        self.drop_prepared_statements(call);
        self.locks.restore_lasting();
        self.timer.go_on();
        // SAFETY: as above.
        unsafe { pg_sys::InterruptHoldoffCount -= 1 };
    }

    fn drop_prepared_statements(&self, call: &Call) {
        for name in names(call, &PREPARED_STATEMENTS).difference(&self.prepared_statements) {
            let name = CString::new(name.as_str()).expect("names contain no NUL");
            // SAFETY: the statement exists, or nothing is dropped.
            unsafe { pg_sys::DropPreparedStatement(name.as_ptr(), false) };
        }
    }
}

/// Sets a setting until the subtransaction ends, whoever may otherwise set it; `None` is its default.
pub fn set(name: &CStr, value: Option<&str>) {
    let value = value.map(|value| CString::new(value).expect("settings contain no NUL"));
    // SAFETY: both are strings that Postgres copies.
    unsafe {
        pg_sys::set_config_option(
            name.as_ptr(),
            value.as_ref().map_or(core::ptr::null(), |value| value.as_ptr()),
            pg_sys::GucContext::PGC_SUSET,
            pg_sys::GucSource::PGC_S_SESSION,
            pg_sys::GucAction::GUC_ACTION_SET,
            true,
            0,
            false,
        )
    };
}
