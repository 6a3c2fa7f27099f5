//! Library and schema of different versions: between `make install` and `ALTER EXTENSION ... UPDATE`, and in sessions that
//! had loaded the library before. Whatever is not as the library expects ends the call before anything comes of it.

use core::ffi::CStr;
use std::any::Any;
use std::panic::panic_any;

use pgrx::pg_sys;

use super::guard::{PostgresError, STATEMENT};
use super::row::attribute;
use super::value::Value;
use crate::error::Error;

/// The payload of a panic that ends the call. A panic, because a mismatch may show anywhere a row is read, and nothing
/// can go on from there.
struct Ended(Error);

/// Ends the call with [`Error::Mismatch`].
pub fn mismatch(what: String) -> ! {
    panic_any(Ended(Error::Mismatch(what)))
}

/// The same for a column of another type than the one it is read or written as.
pub fn other_type(column: &str, is: pg_sys::Oid, due: pg_sys::Oid) -> ! {
    // SAFETY: any oid has a name, a string in the current memory context.
    let [is, due] = [is, due].map(|oid| unsafe { CStr::from_ptr(pg_sys::format_type_be(oid)).to_string_lossy() });
    mismatch(format!("column \"{column}\" is of type {is}, not {due}"))
}

/// Ends the call unless rows of the type are to be filled with just these columns: one that was appended later would stay
/// empty, and one of another type would be taken for what it is not.
///
/// # Safety
/// The descriptor must be valid.
pub unsafe fn require_columns(desc: pg_sys::TupleDesc, columns: &[Value]) {
    // SAFETY: see above; the number of columns is checked first.
    unsafe {
        let count = (*desc).natts as usize;
        if count != columns.len() {
            mismatch(format!("the rows to be returned have {count} columns, not {}", columns.len()));
        }
        for (number, value) in (1..).zip(columns) {
            let column = attribute(desc, number);
            if (*column).atttypid != value.oid() {
                let name = CStr::from_ptr((*column).attname.data.as_ptr()).to_string_lossy();
                other_type(&name, (*column).atttypid, value.oid());
            }
        }
    }
}

/// Ends the call with 40001 if rows of the type have got other columns since the calling statement was planned: Postgres
/// would refuse them with an error that nobody retries.
///
/// # Safety
/// The call's own data, and a valid descriptor.
pub unsafe fn require_expected(fcinfo: pg_sys::FunctionCallInfo, desc: pg_sys::TupleDesc) {
    // SAFETY: a function in FROM is told what is expected of it; see execSRF.c.
    unsafe {
        let info: *const pg_sys::ReturnSetInfo = (*fcinfo).resultinfo.cast();
        let is_told = !info.is_null() && (*info).type_ == pg_sys::NodeTag::T_ReturnSetInfo;
        if is_told && !(*info).expectedDesc.is_null() && (*(*info).expectedDesc).natts != (*desc).natts {
            panic_any(Ended(Error::LostRace("the columns of the result".to_owned())));
        }
    }
}

/// Message of the error that Postgres raises if a query does not return the columns of the function's result.
pub const OTHER_COLUMNS: &CStr = c"a query does not return the function's columns";

/// The error that a panic stands for if it was caused by a mismatch; otherwise the panic.
pub fn in_panic(panic: Box<dyn Any + Send>) -> Result<Error, Box<dyn Any + Send>> {
    let panic = match panic.downcast::<Ended>() {
        Ok(ended) => return Ok(ended.0),
        Err(other) => other,
    };
    let raised = panic.downcast_ref::<PostgresError>().map(PostgresError::raised);
    match raised.filter(Raised::is_mismatch) {
        Some(raised) => Ok(Error::Mismatch(raised.what())),
        None => Err(panic),
    }
}

/// What matters of an error that Postgres raised.
#[derive(Default)]
pub struct Raised {
    pub sqlstate: String,
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
    /// Where in the calling statement's text, in characters from 1; 0 if it is not about a place in that.
    pub position: usize,
    /// The statement in which the error has a position.
    pub query: Option<String>,
    pub context: Option<String>,
}

impl Raised {
    /// Whether it ends a call that would otherwise go on after errors: a cancel, a timeout of the statement, or the end of
    /// the session or server.
    pub fn ends_the_call(&self) -> bool {
        self.sqlstate == "57014" || self.sqlstate.starts_with("57P")
    }

    /// Whether Postgres could make no sense of a statement of the extension itself. Code of others that the statement runs
    /// is innermost in the error's context, or has the error in a statement of its own.
    fn is_mismatch(&self) -> bool {
        match &self.query {
            // What has a position comes from reading the statement, not from running it: names, types, and literals that
            // a type does not have. Waiting for a table's lock may end then, too.
            Some(query) => {
                let is_of_class = ["22", "42", "0A", "3F"].iter().any(|class| self.sqlstate.starts_with(class));
                is_of_class && self.sqlstate != "42501" && query.starts_with(STATEMENT[0])
            }
            // Without a position only these are about the statement: no index for ON CONFLICT, and other columns. Any other
            // may come from a function without a context line, such as tsvector_update_trigger.
            None => {
                let is_about_it = self.sqlstate == "42P10" || self.message.as_bytes() == OTHER_COLUMNS.to_bytes();
                let innermost = self.context.as_ref().and_then(|context| context.lines().next());
                is_about_it && innermost.is_some_and(|line| line.contains(STATEMENT[0].trim_end()))
            }
        }
    }

    fn what(self) -> String {
        match self.detail {
            Some(detail) => format!("{}: {detail}", self.message),
            None => self.message,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "/* pg_versioned */ SELECT h.base_cost\n FROM s.h /* end */";

    fn raised(sqlstate: &str, query: Option<&str>, context: &[&str]) -> Raised {
        let (sqlstate, query) = (sqlstate.to_owned(), query.map(str::to_owned));
        let context = (!context.is_empty()).then(|| context.join("\n"));
        Raised { sqlstate, query, context, ..Raised::default() }
    }

    #[test]
    fn names_in_own_statements_that_mean_nothing_are_mismatches() {
        let caller = "PL/pgSQL function f() line 1 at PERFORM";
        for sqlstate in ["42703", "42P01", "42883", "42804", "42702", "3F000", "22P02"] {
            assert!(raised(sqlstate, Some(OWN), &[]).is_mismatch(), "{sqlstate}");
            assert!(raised(sqlstate, Some(OWN), &[caller]).is_mismatch(), "{sqlstate}");
        }
        for sqlstate in ["42501", "23505", "40001", "40P01", "55000", "55P03", "57014", "XX000", "P0001"] {
            assert!(!raised(sqlstate, Some(OWN), &[]).is_mismatch(), "{sqlstate}");
        }
    }

    #[test]
    fn what_others_do_in_own_statements_is_theirs() {
        let own = &*format!("SQL statement \"{OWN}\"");
        let theirs = "PL/pgSQL function public.t() line 3 at RAISE";
        assert!(!raised("42703", Some("SELECT NEW.nothing"), &[theirs, own]).is_mismatch());
        assert!(!raised("42703", None, &[theirs, own]).is_mismatch());
        assert!(!raised("42P10", None, &[theirs, own]).is_mismatch());
        assert!(!raised("42703", None, &[own]).is_mismatch());
        assert!(!raised("22P02", None, &[own]).is_mismatch());
        assert!(!raised("42P10", None, &[]).is_mismatch());
    }

    #[test]
    fn own_statements_fail_without_a_position_in_two_ways() {
        let own = &*format!("SQL-Anweisung »{OWN}«");
        assert!(raised("42P10", None, &[own]).is_mismatch());
        let message = OTHER_COLUMNS.to_string_lossy().into_owned();
        let columns = Raised { message, detail: Some("Returned type …".to_owned()), ..raised("42804", None, &[own]) };
        assert!(columns.is_mismatch());
        assert_eq!(columns.what(), "a query does not return the function's columns: Returned type …");
        assert!(!raised("42804", None, &[own]).is_mismatch());
    }
}
