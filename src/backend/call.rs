//! A call of one of our SQL functions: where the extension lives, who owns it, and the answer's row type.

use core::ffi::CStr;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use pgrx::callconv::{BoxRet, FcInfo};
use pgrx::pgrx_sql_entity_graph::metadata::{
    ArgumentError, ReturnsError, ReturnsRef, SqlMappingRef, SqlTranslatable, TypeOrigin,
};
use pgrx::{FromDatum, direct_function_call, pg_sys};

use super::raise::raise;
use super::{RoleId, Value};
use crate::error::Error;

/// The function being called, as the catalogue has it now. Looked up afresh at every call (one syscache
/// probe each), so nothing goes stale when the extension is dropped and created again elsewhere.
pub struct Call {
    pub(super) fcinfo: pg_sys::FunctionCallInfo,
    /// Name of the extension's schema, quoted for use in SQL.
    pub schema: String,
    pub(super) namespace: pg_sys::Oid,
    /// The role all writing runs as.
    pub owner: RoleId,
    pub(super) result_type: pg_sys::Oid,
    /// Where the answer must live: an SPI connection's own memory goes with it.
    pub(super) memory: pg_sys::MemoryContext,
}

impl Call {
    /// Reads the entry of the function that `fcinfo` is a call of.
    pub fn new(fcinfo: pg_sys::FunctionCallInfo) -> Self {
        unsafe {
            let function = (*(*fcinfo).flinfo).fn_oid;
            let tuple = pg_sys::SearchSysCache1(pg_sys::SysCacheIdentifier::PROCOID as _, function.into());
            assert!(!tuple.is_null(), "function {function:?} is not in the catalogue");
            let entry = &*(pg_sys::GETSTRUCT(tuple) as *const pg_sys::FormData_pg_proc);
            let (namespace, owner, result_type) = (entry.pronamespace, entry.proowner, entry.prorettype);
            pg_sys::ReleaseSysCache(tuple);
            let name = pg_sys::get_namespace_name(namespace);
            assert!(!name.is_null(), "schema {namespace:?} is not in the catalogue");
            let quoted = CStr::from_ptr(pg_sys::quote_identifier(name));
            let schema = quoted.to_string_lossy().into_owned();
            Call { fcinfo, schema, namespace, owner, result_type, memory: pg_sys::CurrentMemoryContext }
        }
    }

    /// The argument number `index` (from 0), which must be declared as a `T`.
    pub fn argument<T: FromDatum>(&self, index: usize) -> Option<T> {
        unsafe { pgrx::fcinfo::pg_getarg(self.fcinfo, index) }
    }

    /// The `text` argument number `index` as a parameter or a column, as it came.
    pub fn text_argument(&self, index: usize) -> Value {
        Value { oid: pg_sys::TEXTOID, datum: unsafe { pgrx::fcinfo::pg_getarg_datum(self.fcinfo, index) } }
    }

    /// Text of the `jsonb` argument number `index` (from 0), just as Postgres writes it; pgrx' `JsonB` would put it
    /// through types that hold neither every number nor every depth.
    pub fn jsonb_argument(&self, index: usize) -> Option<String> {
        unsafe {
            let argument = pgrx::fcinfo::pg_getarg_datum(self.fcinfo, index)?;
            let text = direct_function_call::<&CStr>(pg_sys::jsonb_out, &[Some(argument)])?;
            Some(text.to_string_lossy().into_owned())
        }
    }

    /// Runs the body of a function that answers with a row or a set, and raises its error.
    pub fn answer(fcinfo: pg_sys::FunctionCallInfo, body: impl FnOnce(&Call) -> Result<Answer, Error>) -> Answer {
        Self::run(fcinfo, body)
    }

    /// Runs the body of a function that answers with a plain value, and raises its error.
    pub fn run<T>(fcinfo: pg_sys::FunctionCallInfo, body: impl FnOnce(&Call) -> Result<T, Error>) -> T {
        match Self::caught(fcinfo, body) {
            Ok(value) => value,
            Err(error) => raise(error),
        }
    }

    /// Errors of Postgres' go on their way; a panic of our own becomes an error that shows nothing of it.
    fn caught<T>(fcinfo: pg_sys::FunctionCallInfo, body: impl FnOnce(&Call) -> Result<T, Error>) -> Result<T, Error> {
        catch_unwind(AssertUnwindSafe(|| body(&Call::new(fcinfo))))
            .unwrap_or_else(|panic| if is_our_own(&*panic) { Err(Error::Internal) } else { resume_unwind(panic) })
    }
}

fn is_our_own(panic: &dyn Any) -> bool {
    panic.is::<&str>() || panic.is::<String>()
}

/// Sends our own panics to the server's log, and keeps pgrx from adding a backtrace to the DETAIL of every
/// error that passes through where RUST_BACKTRACE is set.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        if is_our_own(panic.payload()) {
            eprintln!("pg_versioned: internal error: {panic}");
        }
    }));
}

/// Runs `body` with a value that lives as long as the query does, between its calls of one function.
pub fn with_query_cache<T: Default + 'static, R>(
    fcinfo: pg_sys::FunctionCallInfo,
    body: impl FnOnce(&mut T) -> R,
) -> R {
    unsafe {
        let flinfo = (*fcinfo).flinfo;
        if (*flinfo).fn_extra.is_null() {
            let mut context = pgrx::PgMemoryContexts::For((*flinfo).fn_mcxt);
            (*flinfo).fn_extra = context.leak_and_drop_on_delete(T::default()).cast();
        }
        body(&mut *(*flinfo).fn_extra.cast::<T>())
    }
}

/// What a function answers with: a composite value, the rows already put into its result set, or the
/// nothing a trigger returns.
pub struct Answer(pub(super) pg_sys::Datum);

impl Answer {
    /// For set-returning functions, whose rows are in the call's result set already, and for triggers.
    pub const DONE: Answer = Answer(pg_sys::Datum::null());
}

unsafe impl BoxRet for Answer {
    unsafe fn box_into<'fcx>(self, fcinfo: &mut FcInfo<'fcx>) -> pgrx::datum::Datum<'fcx> {
        unsafe { fcinfo.return_raw_datum(self.0) }
    }
}

// Required by #[pg_extern]; the declarations in sql/ name the real types.
unsafe impl SqlTranslatable for Answer {
    const TYPE_IDENT: &'static str = pgrx::pgrx_resolved_type!(Answer);
    const TYPE_ORIGIN: TypeOrigin = TypeOrigin::External;
    const ARGUMENT_SQL: Result<SqlMappingRef, ArgumentError> = Ok(SqlMappingRef::literal("record"));
    const RETURN_SQL: Result<ReturnsRef, ReturnsError> = Ok(ReturnsRef::One(SqlMappingRef::literal("record")));
}
