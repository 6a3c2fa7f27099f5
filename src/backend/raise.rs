//! Raises [`Error`]s as Postgres errors, with SQLSTATEs that are not in pgrx's closed enum of codes.

use core::ffi::{CStr, c_char, c_int};

use pgrx::PgLogLevel;
use pgrx::pg_sys::AsPgCStr;

use crate::error::Error;

unsafe extern "C-unwind" {
    fn errstart(elevel: c_int, domain: *const c_char) -> bool;
    fn errcode(sqlerrcode: c_int) -> c_int;
    fn errmsg(fmt: *const c_char, ...) -> c_int;
    fn errdetail(fmt: *const c_char, ...) -> c_int;
    fn errhint(fmt: *const c_char, ...) -> c_int;
    fn errfinish(filename: *const c_char, lineno: c_int, funcname: *const c_char);
}

/// Ends the call with `error`.
///
/// `errfinish` exits by `longjmp`, so everything that needs dropping must be gone before it is called: this function
/// owns the error, and its callers are the `#[pg_extern]` functions themselves, which call it in tail position.
pub fn raise(error: Error) -> ! {
    const TEXT: &CStr = c"%s";
    let code = packed(error.sqlstate());
    let message = error.to_string().as_pg_cstr();
    let detail = error.detail().map_or(std::ptr::null_mut(), |d| d.as_pg_cstr());
    let hint = error.hint().map_or(std::ptr::null_mut(), |h| h.as_pg_cstr());
    drop(error);
    // SAFETY: the steps of ereport(); the texts were copied into memory managed by Postgres.
    unsafe {
        errstart(PgLogLevel::ERROR as c_int, std::ptr::null());
        errcode(code);
        errmsg(TEXT.as_ptr(), message);
        if !detail.is_null() {
            errdetail(TEXT.as_ptr(), detail);
        }
        if !hint.is_null() {
            errhint(TEXT.as_ptr(), hint);
        }
        errfinish(c"pg_versioned".as_ptr(), 0, std::ptr::null());
    }
    unreachable!("errfinish returned from an ERROR")
}

/// Five characters packed as Postgres does it, six bits each (`MAKE_SQLSTATE` in elog.h).
fn packed(sqlstate: &str) -> c_int {
    sqlstate.bytes().enumerate().fold(0, |code, (i, c)| code | ((c_int::from(c) - 0x30) & 0x3f) << (6 * i))
}

/// The opposite of [`packed`].
pub fn unpacked(code: c_int) -> String {
    (0..5).map(|i| char::from(((code >> (6 * i)) & 0x3f) as u8 + 0x30)).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn packs_as_postgres_does() {
        assert_eq!(super::packed("40001"), pgrx::PgSqlErrorCode::ERRCODE_T_R_SERIALIZATION_FAILURE as i32);
        assert_eq!(super::packed("22023"), pgrx::PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE as i32);
        assert_eq!(super::packed("55P03"), pgrx::PgSqlErrorCode::ERRCODE_LOCK_NOT_AVAILABLE as i32);
        assert_eq!(super::unpacked(super::packed("42P10")), "42P10");
    }
}
