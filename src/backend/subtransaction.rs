//! Work that can be undone alone.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use pgrx::pg_sys;

use super::guard::PostgresError;
use super::mismatch::Raised;

/// Runs `body` in a subtransaction, which is undone unless `keeps` says of the result that it is kept; its locks go with
/// it. An error also undoes it, and is passed on.
pub fn attempt<R>(body: impl FnOnce() -> R, keeps: impl FnOnce(&R) -> bool) -> R {
    // SAFETY: the steps of a PL/pgSQL exception block (pl_exec.c): memory context and resource owner are restored either
    // way.
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
        match catch_unwind(AssertUnwindSafe(body)) {
            Ok(result) if keeps(&result) => {
                leave(pg_sys::ReleaseCurrentSubTransaction);
                result
            }
            Ok(result) => {
                leave(pg_sys::RollbackAndReleaseCurrentSubTransaction);
                result
            }
            Err(panic) => {
                // If left open, it would be aborted by the error instead of the surrounding transaction.
                leave(pg_sys::RollbackAndReleaseCurrentSubTransaction);
                resume_unwind(panic)
            }
        }
    }
}

/// Runs `body` in a subtransaction, which is undone unless it returns `Ok`. An error of Postgres becomes a value, unless it
/// ends the call.
pub fn attempt_or_error<T, E>(body: impl FnOnce() -> Result<T, E>) -> Result<Result<T, E>, Box<Raised>> {
    or_error(|| attempt(body, Result::is_ok))
}

/// Runs `body`, which leaves nothing that an error would have to release. An error of Postgres becomes a value, unless it ends
/// the call.
pub fn or_error<R>(body: impl FnOnce() -> R) -> Result<R, Box<Raised>> {
    catch_unwind(AssertUnwindSafe(body)).map_err(|panic| {
        match panic.downcast_ref::<PostgresError>().map(PostgresError::raised) {
            Some(raised) if !raised.ends_the_call() => Box::new(raised),
            _ => resume_unwind(panic),
        }
    })
}
