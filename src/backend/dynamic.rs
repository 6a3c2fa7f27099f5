//! Statements on tables of users, whose names are known only when they run. They are written anew for each call, with
//! quoted names; values are passed as parameters, `$1` and so on.

use core::ffi::{c_char, c_int, c_void};
use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::CString;

use pgrx::pg_sys::{self, Oid};

use super::result::receive_into_result;
use super::row::Row;
use super::session::{RowSecurityOff, past_forced_policies};
use super::statement::{Db, Rows, parameters};
use super::value::Value;
use super::{Answer, Call, guard};
use crate::error::Error;

/// The beginning of the text of these statements; see [`guard::STATEMENT`]. It is another one, because an error in them is
/// about the user's table and not about the extension's.
const BEGIN: &str = "/* pg_versioned: own table */ ";

/// Plans that are kept per backend, by text and types of parameters.
const KEPT_PLANS: usize = 200;

thread_local! {
    static PLANS: RefCell<HashMap<(String, Vec<Oid>), pg_sys::SPIPlanPtr>> = RefCell::default();
}

fn text(sql: &str) -> CString {
    CString::new(format!("{BEGIN}{sql}{}", guard::STATEMENT[1])).expect("statements contain no NUL")
}

fn types(args: &[Value]) -> Vec<Oid> {
    args.iter().map(|arg| arg.oid()).collect()
}

impl Db<'_> {
    /// Runs a statement with a fresh snapshot.
    pub fn dynamic(&self, sql: &str, args: &[Value]) -> Rows<'_> {
        self.execute_text(sql, args, false)
    }

    /// Runs a query with the calling statement's snapshot.
    pub fn dynamic_read(&self, sql: &str, args: &[Value]) -> Rows<'_> {
        self.execute_text(sql, args, true)
    }

    fn execute_text(&self, sql: &str, args: &[Value], read_only: bool) -> Rows<'_> {
        let _memory = self.spi();
        let (sql, mut types) = (text(sql), types(args));
        let (mut datums, nulls) = parameters(args);
        // SAFETY: text, types, values and null flags have the form that SPI expects.
        let status = unsafe {
            guard::SPI_execute_with_args(
                sql.as_ptr(),
                args.len() as c_int,
                types.as_mut_ptr(),
                datums.as_mut_ptr(),
                nulls.as_ptr(),
                read_only,
                0,
            )
        };
        assert!(status >= 0, "SPI answered {status}");
        self.rows()
    }

    /// Runs a statement with a fresh snapshot and a plan that is kept, for triggers.
    pub fn dynamic_kept(&self, sql: String, args: &[Value]) -> Rows<'_> {
        let _memory = self.spi();
        let key = (sql, types(args));
        let kept = PLANS.with_borrow(|plans| plans.get(&key).copied());
        let plan = kept.unwrap_or_else(|| {
            let plan = prepare(&key.0, &key.1);
            let old = PLANS.with_borrow_mut(|plans| {
                let old = if plans.len() < KEPT_PLANS { HashMap::new() } else { std::mem::take(plans) };
                plans.insert(key, plan);
                old
            });
            for plan in old.into_values() {
                // SAFETY: it has been removed from the map. A statement that is being run holds what it needs.
                unsafe { pg_sys::SPI_freeplan(plan) };
            }
            plan
        });
        let (mut datums, nulls) = parameters(args);
        // SAFETY: the values are of the types that the plan was made for.
        let status = unsafe { guard::SPI_execute_plan(plan, datums.as_mut_ptr(), nulls.as_ptr(), false, 0) };
        assert!(status >= 0, "SPI answered {status}");
        self.rows()
    }

    /// Runs a query with the calling statement's snapshot and passes its rows to `body` one by one, regardless of their
    /// number. Whatever `body` fetches from a row lives until the next row. The first error ends it.
    pub fn dynamic_each(
        &self,
        sql: &str,
        args: &[Value],
        body: impl FnMut(&Row) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let _memory = self.spi();
        // SAFETY: `each_of` closes the portal.
        unsafe {
            let portal = open(sql, args);
            self.each_of(portal, body)
        }
    }

    /// The same, with all rows of the tables: 42501 if the caller has no right to read them, or if a policy would hide some.
    pub fn dynamic_each_of_all(
        &self,
        sql: &str,
        args: &[Value],
        body: impl FnMut(&Row) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let _memory = self.spi();
        // SAFETY: as above.
        unsafe {
            // Policies are applied when the query is rewritten. `body` may run statements of its own.
            let portal = past_forced_policies(|| {
                let _no_policies = RowSecurityOff::begin();
                open(sql, args)
            });
            self.each_of(portal, body)
        }
    }
}

/// Opens a portal of a query.
fn open(sql: &str, args: &[Value]) -> *mut c_void {
    let (sql, mut types) = (text(sql), types(args));
    let (mut datums, nulls) = parameters(args);
    // SAFETY: as in `execute_text`. The portal is the caller's to close.
    unsafe {
        guard::SPI_cursor_open_with_args(
            std::ptr::null(),
            sql.as_ptr(),
            args.len() as c_int,
            types.as_mut_ptr(),
            datums.as_mut_ptr(),
            nulls.as_ptr(),
            true,
            0,
        )
    }
}

/// Makes a set-returning function return the rows of a query, run with the calling statement's snapshot.
pub fn dynamic_into_result(call: &Call, db: &Db, sql: &str, args: &[Value]) -> Answer {
    let _memory = db.spi();
    let sql = text(sql);
    receive_into_result(call, args, |options| {
        // SAFETY: text and options live until it has run.
        unsafe { guard::SPI_execute_extended(sql.as_ptr(), options) }
    })
}

fn prepare(sql: &str, types: &[Oid]) -> pg_sys::SPIPlanPtr {
    let (sql, mut types) = (text(sql), types.to_vec());
    // Parents may be of very different sizes, but what is asked of one is always a few rows at the end of an index.
    let options = pg_sys::CURSOR_OPT_GENERIC_PLAN as c_int;
    // SAFETY: SPI is connected; the plan is kept until it is freed.
    unsafe {
        let plan = guard::SPI_prepare_cursor(sql.as_ptr(), types.len() as c_int, types.as_mut_ptr(), options);
        assert!(!plan.is_null(), "SPI_prepare_cursor refused a statement");
        pg_sys::SPI_keepplan(plan);
        plan
    }
}

/// A name as an identifier of SQL.
pub fn quoted_identifier(name: &str) -> String {
    let name = CString::new(name).expect("names contain no NUL");
    // SAFETY: the result is a string in the current memory context, or the name itself.
    unsafe {
        let quoted: *const c_char = pg_sys::quote_identifier(name.as_ptr());
        core::ffi::CStr::from_ptr(quoted).to_string_lossy().into_owned()
    }
}

/// A text as a literal of SQL.
pub fn quoted_literal(text: &str) -> String {
    let text = CString::new(text).expect("texts contain no NUL");
    // SAFETY: the result is a string in the current memory context.
    unsafe { core::ffi::CStr::from_ptr(pg_sys::quote_literal_cstr(text.as_ptr())).to_string_lossy().into_owned() }
}
