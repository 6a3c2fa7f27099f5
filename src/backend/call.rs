//! A call of one of our SQL functions: where the extension lives, who owns it, and the answer's row type.

use core::cell::OnceCell;
use core::ffi::CStr;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use pgrx::callconv::{BoxRet, FcInfo};
use pgrx::pgrx_sql_entity_graph::metadata::{
    ArgumentError, ReturnsError, ReturnsRef, SqlMappingRef, SqlTranslatable, TypeOrigin,
};
use pgrx::{FromDatum, PgMemoryContexts, direct_function_call, pg_sys};

use super::guard::raise_again;
use super::raise::raise;
use super::{RoleId, Value};
use crate::error::Error;

/// The function being called, as the catalogue has it now. Looked up afresh at every call (one syscache
/// probe each), so nothing goes stale when the extension is dropped and created again elsewhere.
pub struct Call {
    pub(super) fcinfo: pg_sys::FunctionCallInfo,
    schema: OnceCell<String>,
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
        // SAFETY: Postgres hands every function a call with its entry; the catalogue's tuple is released after its use.
        unsafe {
            let function = (*(*fcinfo).flinfo).fn_oid;
            let tuple = pg_sys::SearchSysCache1(pg_sys::SysCacheIdentifier::PROCOID as _, function.into());
            assert!(!tuple.is_null(), "function {function:?} is not in the catalogue");
            let entry = &*(pg_sys::GETSTRUCT(tuple) as *const pg_sys::FormData_pg_proc);
            let (namespace, owner, result_type) = (entry.pronamespace, entry.proowner, entry.prorettype);
            pg_sys::ReleaseSysCache(tuple);
            let (schema, memory) = (OnceCell::new(), pg_sys::CurrentMemoryContext);
            Call { fcinfo, schema, namespace, owner, result_type, memory }
        }
    }

    /// Name of the extension's schema, quoted for use in SQL.
    pub fn schema(&self) -> &str {
        self.schema.get_or_init(|| {
            // SAFETY: both functions answer with a text in the current memory, or with none.
            unsafe {
                let name = pg_sys::get_namespace_name(self.namespace);
                assert!(!name.is_null(), "schema {:?} is not in the catalogue", self.namespace);
                CStr::from_ptr(pg_sys::quote_identifier(name)).to_string_lossy().into_owned()
            }
        })
    }

    /// 25006 where nothing can be written: on a standby, and in a read-only transaction.
    pub fn refuse_read_only(&self) {
        // SAFETY: reads of the transaction's state; the name is a text of Postgres'.
        unsafe {
            if pg_sys::XactReadOnly || pg_sys::RecoveryInProgress() {
                let name = pg_sys::get_func_name((*(*self.fcinfo).flinfo).fn_oid);
                pg_sys::PreventCommandIfReadOnly(name);
                pg_sys::PreventCommandDuringRecovery(name);
            }
        }
    }

    /// The argument number `index` (from 0), which must be declared as a `T`.
    pub fn argument<T: FromDatum>(&self, index: usize) -> Option<T> {
        // SAFETY: by the declaration in sql/.
        unsafe { pgrx::fcinfo::pg_getarg(self.fcinfo, index) }
    }

    /// The `text` argument number `index` as a parameter or a column, as it came.
    pub fn text_argument(&self, index: usize) -> Value<'_> {
        // SAFETY: by the declaration in sql/, and arguments live as long as their call.
        unsafe { Value::new(pg_sys::TEXTOID, pgrx::fcinfo::pg_getarg_datum(self.fcinfo, index)) }
    }

    /// Text of the `jsonb` argument number `index` (from 0), just as Postgres writes it; pgrx' `JsonB` would put it
    /// through types that hold neither every number nor every depth.
    pub fn jsonb_argument(&self, index: usize) -> Option<JsonText> {
        // SAFETY: the argument is declared as jsonb. The text lives in a memory of its own, which goes with it.
        unsafe {
            let argument = pgrx::fcinfo::pg_getarg_datum(self.fcinfo, index)?;
            let mut memory = PgMemoryContexts::new("pg_versioned json");
            let text = memory.switch_to(|_| direct_function_call::<&CStr>(pg_sys::jsonb_out, &[Some(argument)]))?;
            Some(JsonText { text: core::ptr::from_ref(text), _memory: memory })
        }
    }

    /// Runs the body of a function that answers with a row or a set, and raises its error.
    pub fn answer(fcinfo: pg_sys::FunctionCallInfo, body: impl FnOnce(&Call) -> Result<Answer, Error>) -> Answer {
        Self::run(fcinfo, body)
    }

    /// Runs the body of a function that answers with a plain value, and raises its error.
    pub fn run<T>(fcinfo: pg_sys::FunctionCallInfo, body: impl FnOnce(&Call) -> Result<T, Error>) -> T {
        match catch_unwind(AssertUnwindSafe(|| body(&Call::new(fcinfo)))) {
            Ok(Ok(value)) => value,
            Ok(Err(error)) => raise(error),
            // A panic of our own becomes an error that shows nothing of it; errors of Postgres' go on their way.
            Err(panic) if is_our_own(&*panic) => raise(Error::Internal),
            Err(panic) => resume_unwind(raise_again(panic)),
        }
    }
}

fn is_our_own(panic: &dyn Any) -> bool {
    panic.is::<&str>() || panic.is::<String>()
}

/// A JSON text, as long as it is needed.
pub struct JsonText {
    text: *const CStr,
    _memory: PgMemoryContexts,
}

impl JsonText {
    /// The text; `None` where it is no UTF-8, which no jsonb is.
    pub fn as_str(&self) -> Option<&str> {
        // SAFETY: the text lives in the memory beside it.
        unsafe { (*self.text).to_str().ok() }
    }
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
    // SAFETY: nothing but this function uses fn_extra, and each function keeps one type there; the value goes with the
    // memory of the query's function.
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

// SAFETY: the datum is of the function's declared type, or nothing where rows or triggers answer.
unsafe impl BoxRet for Answer {
    unsafe fn box_into<'fcx>(self, fcinfo: &mut FcInfo<'fcx>) -> pgrx::datum::Datum<'fcx> {
        // SAFETY: as above.
        unsafe { fcinfo.return_raw_datum(self.0) }
    }
}

// SAFETY: required by #[pg_extern], and not used: the declarations in sql/ name the real types.
unsafe impl SqlTranslatable for Answer {
    const TYPE_IDENT: &'static str = pgrx::pgrx_resolved_type!(Answer);
    const TYPE_ORIGIN: TypeOrigin = TypeOrigin::External;
    const ARGUMENT_SQL: Result<SqlMappingRef, ArgumentError> = Ok(SqlMappingRef::literal("record"));
    const RETURN_SQL: Result<ReturnsRef, ReturnsError> = Ok(ReturnsRef::One(SqlMappingRef::literal("record")));
}
