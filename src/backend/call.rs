//! A call of one of the extension's SQL functions: the extension's schema and owner, and the result's row type.

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
use super::mismatch::in_panic;
use super::raise::raise;
use super::value::Column;
use super::{RoleId, Timestamp, Value};
use crate::error::Error;

/// The function being called, as currently recorded in the catalog. It is looked up at every call (one syscache probe
/// each), so nothing becomes stale when the extension is dropped and created again elsewhere.
pub struct Call {
    pub(super) fcinfo: pg_sys::FunctionCallInfo,
    schema: OnceCell<String>,
    namespace: OnceCell<pg_sys::Oid>,
    /// The role that performs all writing.
    pub owner: RoleId,
    pub(super) result_type: pg_sys::Oid,
    /// Where the result must live: the memory of an SPI connection is freed along with it.
    pub(super) memory: pg_sys::MemoryContext,
}

impl Call {
    /// Reads the catalog entry of the function being called through `fcinfo`.
    pub fn new(fcinfo: pg_sys::FunctionCallInfo) -> Self {
        // SAFETY: Postgres passes the function's entry with every call; the catalog tuple is released after use.
        unsafe {
            let function = (*(*fcinfo).flinfo).fn_oid;
            let tuple = pg_sys::SearchSysCache1(pg_sys::SysCacheIdentifier::PROCOID as _, function.into());
            assert!(!tuple.is_null(), "function {function:?} is not in the catalog");
            let entry = &*(pg_sys::GETSTRUCT(tuple) as *const pg_sys::FormData_pg_proc);
            let (namespace, owner, result_type) = (entry.pronamespace, entry.proowner, entry.prorettype);
            pg_sys::ReleaseSysCache(tuple);
            let (schema, memory) = (OnceCell::new(), pg_sys::CurrentMemoryContext);
            Call { fcinfo, schema, namespace: OnceCell::from(namespace), owner, result_type, memory }
        }
    }

    /// The same for a function that is not in the extension's schema.
    fn internal(fcinfo: pg_sys::FunctionCallInfo) -> Self {
        Call { namespace: OnceCell::new(), ..Self::new(fcinfo) }
    }

    /// The extension's schema.
    pub(super) fn namespace(&self) -> pg_sys::Oid {
        *self.namespace.get_or_init(extension_namespace)
    }

    /// Name of the extension's schema, quoted for use in SQL.
    pub fn schema(&self) -> &str {
        self.schema.get_or_init(|| {
            // SAFETY: both functions return a string in the current memory context, or null.
            unsafe {
                let name = pg_sys::get_namespace_name(self.namespace());
                assert!(!name.is_null(), "schema {:?} is not in the catalog", self.namespace());
                CStr::from_ptr(pg_sys::quote_identifier(name)).to_string_lossy().into_owned()
            }
        })
    }

    /// 25006 if nothing can be written: on a standby, and in a read-only transaction.
    pub fn refuse_read_only(&self) {
        // SAFETY: reads the transaction's state; the name is a string owned by Postgres.
        unsafe {
            if pg_sys::XactReadOnly || pg_sys::RecoveryInProgress() {
                let name = pg_sys::get_func_name((*(*self.fcinfo).flinfo).fn_oid);
                pg_sys::PreventCommandIfReadOnly(name);
                pg_sys::PreventCommandDuringRecovery(name);
            }
        }
    }

    /// Argument number `index` (from 0), which must be declared as a `T`.
    pub fn argument<T: FromDatum>(&self, index: usize) -> Option<T> {
        // SAFETY: guaranteed by the declaration in sql/.
        unsafe { pgrx::fcinfo::pg_getarg(self.fcinfo, index) }
    }

    /// `text` argument number `index` as a parameter or a column, unchanged.
    pub fn text_argument(&self, index: usize) -> Value<'_> {
        // SAFETY: guaranteed by the declaration in sql/; arguments live as long as their call.
        unsafe { Value::new(pg_sys::TEXTOID, pgrx::fcinfo::pg_getarg_datum(self.fcinfo, index)) }
    }

    /// `timestamptz` argument number `index` (from 0).
    pub fn timestamp_argument(&self, index: usize) -> Option<Timestamp> {
        // SAFETY: guaranteed by the declaration in sql/.
        unsafe { pgrx::fcinfo::pg_getarg_datum(self.fcinfo, index).map(|datum| Timestamp::read(datum)) }
    }

    /// Text of `jsonb` argument number `index` (from 0), exactly as Postgres writes it; pgrx's `JsonB` would convert it
    /// to types that cannot represent every number or every depth.
    pub fn jsonb_argument(&self, index: usize) -> Option<JsonText> {
        // SAFETY: the argument is declared as jsonb. The text lives in its own memory context, which is freed along
        // with it.
        unsafe {
            let argument = pgrx::fcinfo::pg_getarg_datum(self.fcinfo, index)?;
            let mut memory = PgMemoryContexts::new("pg_versioned json");
            let text = memory.switch_to(|_| direct_function_call::<&CStr>(pg_sys::jsonb_out, &[Some(argument)]))?;
            Some(JsonText { text: core::ptr::from_ref(text), _memory: memory })
        }
    }

    /// Runs the body of a function that returns a row or a set, and raises its error.
    pub fn answer(fcinfo: pg_sys::FunctionCallInfo, body: impl FnOnce(&Call) -> Result<Answer, Error>) -> Answer {
        Self::run(fcinfo, body)
    }

    /// Runs the body of a function that returns a plain value, and raises its error.
    pub fn run<T>(fcinfo: pg_sys::FunctionCallInfo, body: impl FnOnce(&Call) -> Result<T, Error>) -> T {
        raising(|| body(&Call::new(fcinfo)))
    }

    /// The same for a function in the schema `versioned_internal`.
    pub fn run_internal<T>(fcinfo: pg_sys::FunctionCallInfo, body: impl FnOnce(&Call) -> Result<T, Error>) -> T {
        raising(|| body(&Call::internal(fcinfo)))
    }
}

fn raising<T>(body: impl FnOnce() -> Result<T, Error>) -> T {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(value)) => value,
        Ok(Err(error)) => raise(error),
        Err(panic) => match in_panic(panic) {
            Ok(error) => raise(error),
            // A panic of this crate becomes an error that reveals nothing about it; Postgres errors are passed on.
            Err(panic) if is_our_own(&*panic) => raise(Error::Internal),
            Err(panic) => resume_unwind(raise_again(panic)),
        },
    }
}

/// The schema in which the extension was created.
fn extension_namespace() -> pg_sys::Oid {
    // SAFETY: a scan of the catalog by name, as in get_extension_oid; what is opened is closed.
    unsafe {
        let catalog = pg_sys::table_open(pg_sys::ExtensionRelationId, pg_sys::AccessShareLock as _);
        let mut name = core::mem::zeroed();
        pg_sys::ScanKeyInit(
            &mut name,
            pg_sys::Anum_pg_extension_extname as _,
            pg_sys::BTEqualStrategyNumber as _,
            pg_sys::F_NAMEEQ.into(),
            pg_sys::Datum::from(c"pg_versioned".as_ptr()),
        );
        let (index, newest) = (pg_sys::ExtensionNameIndexId.into(), core::ptr::null_mut());
        let scan = pg_sys::systable_beginscan(catalog, index, true, newest, 1, &mut name);
        let tuple = pg_sys::systable_getnext(scan);
        assert!(!tuple.is_null(), "the extension is not in the catalog");
        let namespace = (*(pg_sys::GETSTRUCT(tuple) as *const pg_sys::FormData_pg_extension)).extnamespace;
        pg_sys::systable_endscan(scan);
        pg_sys::table_close(catalog, pg_sys::AccessShareLock as _);
        namespace
    }
}

fn is_our_own(panic: &dyn Any) -> bool {
    panic.is::<&str>() || panic.is::<String>()
}

/// A JSON text, kept as long as it is needed.
pub struct JsonText {
    text: *const CStr,
    _memory: PgMemoryContexts,
}

impl JsonText {
    /// The text; `None` if it is not valid UTF-8, which never happens for jsonb.
    pub fn as_str(&self) -> Option<&str> {
        // SAFETY: the text lives in the memory context next to it.
        unsafe { (*self.text).to_str().ok() }
    }
}

/// Sends the crate's own panics to the server log, and keeps pgrx from adding a backtrace to the DETAIL of every error
/// that passes through when RUST_BACKTRACE is set.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        if is_our_own(panic.payload()) {
            eprintln!("pg_versioned: internal error: {panic}");
        }
    }));
}

/// Runs `body` with a value that is kept between the calls of one function for as long as the query runs.
pub fn with_query_cache<T: Default + 'static, R>(
    fcinfo: pg_sys::FunctionCallInfo,
    body: impl FnOnce(&mut T) -> R,
) -> R {
    // SAFETY: only this function uses fn_extra, and each function keeps one type there; the value is freed along with
    // the memory context of the query's function.
    unsafe {
        let flinfo = (*fcinfo).flinfo;
        if (*flinfo).fn_extra.is_null() {
            let mut context = pgrx::PgMemoryContexts::For((*flinfo).fn_mcxt);
            (*flinfo).fn_extra = context.leak_and_drop_on_delete(T::default()).cast();
        }
        body(&mut *(*flinfo).fn_extra.cast::<T>())
    }
}

/// The result of a function: a composite value, rows already added to its result set, or nothing in case of a trigger.
pub struct Answer(pub(super) pg_sys::Datum);

impl Answer {
    /// For set-returning functions, whose rows are already in the call's result set, and for triggers.
    pub const DONE: Answer = Answer(pg_sys::Datum::null());
}

// SAFETY: the datum is of the function's declared type, or empty if the result is in rows or comes from a trigger.
unsafe impl BoxRet for Answer {
    unsafe fn box_into<'fcx>(self, fcinfo: &mut FcInfo<'fcx>) -> pgrx::datum::Datum<'fcx> {
        // SAFETY: as above.
        unsafe { fcinfo.return_raw_datum(self.0) }
    }
}

// SAFETY: required by #[pg_extern] but unused: the declarations in sql/ specify the real types.
unsafe impl SqlTranslatable for Answer {
    const TYPE_IDENT: &'static str = pgrx::pgrx_resolved_type!(Answer);
    const TYPE_ORIGIN: TypeOrigin = TypeOrigin::External;
    const ARGUMENT_SQL: Result<SqlMappingRef, ArgumentError> = Ok(SqlMappingRef::literal("record"));
    const RETURN_SQL: Result<ReturnsRef, ReturnsError> = Ok(ReturnsRef::One(SqlMappingRef::literal("record")));
}
