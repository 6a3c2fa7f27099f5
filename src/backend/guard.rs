//! Postgres functions that pgrx does not bind, and those that may run users' code.
//!
//! A Postgres error leaves a function by `longjmp`. pgrx's own guards turn it into a panic that preserves only the
//! SQLSTATEs that pgrx knows, and neither the context nor the names of constraints. The guard here preserves the entire
//! error, so that [`raise_again`] reports an error from a user's trigger exactly as it was raised.

use core::ffi::{CStr, c_char, c_int, c_long, c_void};
use core::mem::MaybeUninit;
use std::any::Any;

use cee_scape::call_with_sigsetjmp;
use pgrx::pg_sys::{
    self, AsPgCStr, DestReceiver, EState, List, MemoryContext, ParamListInfo, ResultRelInfo, SPIExecuteOptions,
    SPIPlanPtr, SPITupleTable, Snapshot, TupleDesc, TupleTableSlot, Tuplestorestate,
};

use super::mismatch::Raised;
use super::raise::unpacked;

/// A Postgres error passing through Rust as the payload of a panic.
pub struct PostgresError(*mut pg_sys::ErrorData);

// SAFETY: a panic's payload must be Send; a backend has only one thread in which this ever exists.
unsafe impl Send for PostgresError {}

impl PostgresError {
    /// Whether it is a duplicate key in the unique index named, or in the index that REINDEX CONCURRENTLY replaces by it
    /// (whose name goes on with `_ccold`).
    pub fn is_duplicate_in(&self, constraint: &str) -> bool {
        // SAFETY: the entire error was copied by `guarded`, and nobody frees it.
        unsafe {
            let error = &*self.0;
            error.sqlerrcode == pg_sys::errcodes::PgSqlErrorCode::ERRCODE_UNIQUE_VIOLATION as c_int
                && !error.constraint_name.is_null()
                && CStr::from_ptr(error.constraint_name).to_bytes() == constraint.as_bytes()
        }
    }

    /// What it says.
    pub fn raised(&self) -> Raised {
        // SAFETY: as above; each text is a string or null.
        unsafe {
            let error = &*self.0;
            let text =
                |text: *mut c_char| (!text.is_null()).then(|| CStr::from_ptr(text).to_string_lossy().into_owned());
            Raised {
                sqlstate: unpacked(error.sqlerrcode),
                message: text(error.message).unwrap_or_default(),
                detail: text(error.detail),
                hint: text(error.hint),
                position: usize::try_from(error.cursorpos).unwrap_or_default(),
                query: text(error.internalquery),
                context: text(error.context),
            }
        }
    }
}

/// Reports an error caught by [`guarded`] again; returns the payload if it is not such an error. Must be called with
/// nothing on the stack that needs dropping.
pub fn raise_again(payload: Box<dyn Any + Send>) -> Box<dyn Any + Send> {
    match payload.downcast::<PostgresError>() {
        Ok(error) => {
            let PostgresError(error) = *error;
            hide_own_statements(error);
            unsafe extern "C-unwind" {
                fn ReThrowError(edata: *mut pg_sys::ErrorData);
            }
            // SAFETY: the error is complete (see `guarded`); its memory lives until the transaction ends.
            unsafe { ReThrowError(error) };
            unreachable!("ReThrowError returned")
        }
        Err(other) => other,
    }
}

/// The beginning and the end of the text of every statement of the extension.
pub const STATEMENT: [&str; 2] = ["/* pg_versioned */ ", " /* end */"];

/// What its statements on tables of users begin with, too.
pub const ANY_STATEMENT: &str = "/* pg_versioned";

/// Removes the extension's own statements from an error's CONTEXT and QUERY.
fn hide_own_statements(error: *mut pg_sys::ErrorData) {
    // SAFETY: the entire error was copied by `guarded`; its texts are strings or null.
    unsafe {
        let query = (*error).internalquery;
        if !query.is_null() && CStr::from_ptr(query).to_bytes().starts_with(ANY_STATEMENT.as_bytes()) {
            ((*error).internalquery, (*error).internalpos) = (core::ptr::null_mut(), 0);
        }
        if !(*error).context.is_null() {
            let context = CStr::from_ptr((*error).context).to_string_lossy();
            let kept = without_own_statements(&context);
            (*error).context = kept.map_or(core::ptr::null_mut(), |kept| kept.as_pg_cstr());
        }
    }
}

/// The lines of a CONTEXT that are not about the extension's own statements; `None` if there are none.
fn without_own_statements(context: &str) -> Option<String> {
    let [begin, end] = [format!("SQL statement \"{ANY_STATEMENT}"), format!("{}\"", STATEMENT[1])];
    let mut kept = String::new();
    let mut rest = context;
    while let Some((before, own)) = rest.split_once(&begin) {
        kept.push_str(before);
        rest = own.split_once(&end).map_or("", |(_, after)| after.strip_prefix('\n').unwrap_or(after));
    }
    kept.push_str(rest);
    let kept = kept.trim_end();
    (!kept.is_empty()).then(|| kept.to_owned())
}

/// Runs `call`, which only calls one C function; an error becomes a panic with [`PostgresError`].
///
/// # Safety
/// As for `pg_guard_ffi_boundary` of pgrx: `call` must not panic, and must not own anything that needs dropping.
unsafe fn guarded<T>(call: impl FnOnce() -> T) -> T {
    // SAFETY: the same steps as PG_TRY and PG_CATCH in elog.h. The saved state is restored either way.
    unsafe {
        let context = pg_sys::CurrentMemoryContext;
        let (handler, callbacks) = (pg_sys::PG_exception_stack, pg_sys::error_context_stack);
        let mut result = MaybeUninit::uninit();
        let jumped = call_with_sigsetjmp(false, |buffer| {
            pg_sys::PG_exception_stack = core::ptr::from_ref(buffer).cast_mut().cast();
            result.write(call());
            0
        });
        (pg_sys::PG_exception_stack, pg_sys::error_context_stack) = (handler, callbacks);
        if jumped == 0 {
            return result.assume_init();
        }
        // Not in the current context, which may be freed before the error is reported.
        pg_sys::CurrentMemoryContext = pg_sys::TopTransactionContext;
        let error = pg_sys::CopyErrorData();
        pg_sys::FlushErrorState();
        pg_sys::CurrentMemoryContext = context;
        std::panic::panic_any(PostgresError(error))
    }
}

macro_rules! guarded {
    ($($(#[$attribute:meta])* fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $result:ty)?;)*) => {$(
        $(#[$attribute])*
        pub unsafe fn $name($($arg: $type),*) $(-> $result)? {
            unsafe extern "C-unwind" {
                fn $name($($arg: $type),*) $(-> $result)?;
            }
            // SAFETY: plain values only, so nothing needs dropping when Postgres exits by longjmp. Everything else is
            // up to the caller.
            unsafe { guarded(|| $name($($arg),*)) }
        }
    )*};
}

#[allow(non_snake_case, clippy::too_many_arguments)]
mod functions {
    use super::*;

    guarded! {
        /// commands/async.h
        fn Async_Notify(channel: *const c_char, payload: *const c_char);

        /// replication/message.h
        #[cfg(any(feature = "pg15", feature = "pg16"))]
        fn LogLogicalMessage(prefix: *const c_char, message: *const c_char, size: usize, transactional: bool) -> u64;
        #[cfg(not(any(feature = "pg15", feature = "pg16")))]
        fn LogLogicalMessage(prefix: *const c_char, message: *const c_char, size: usize, transactional: bool, flush: bool) -> u64;

        /// executor/tstoreReceiver.h
        fn CreateTuplestoreDestReceiver() -> *mut DestReceiver;
        fn SetTuplestoreDestReceiverParams(
            receiver: *mut DestReceiver,
            store: *mut Tuplestorestate,
            context: MemoryContext,
            detoast: bool,
            target: TupleDesc,
            map_failure_message: *const c_char
        );

        /// common/hashfn.h
        fn hash_bytes_extended(key: *const u8, length: c_int, seed: u64) -> u64;

        /// utils/datum.h
        fn datumCopy(value: pg_sys::Datum, by_value: bool, length: c_int) -> pg_sys::Datum;
        fn datumIsEqual(a: pg_sys::Datum, b: pg_sys::Datum, by_value: bool, length: c_int) -> bool;

        /// catalog/partition.h
        fn get_partition_ancestors(relation: pg_sys::Oid) -> *mut List;

        /// catalog/namespace.h
        fn fetch_search_path(with_implicit: bool) -> *mut List;

        /// fmgr.h
        fn FunctionCall2Coll(
            function: *mut pg_sys::FmgrInfo, collation: pg_sys::Oid, a: pg_sys::Datum, b: pg_sys::Datum
        ) -> pg_sys::Datum;

        /// parser/parser.h, parser/scanner.h
        fn raw_parser(text: *const c_char, mode: pg_sys::RawParseMode::Type) -> *mut List;
        fn core_yylex(
            value: *mut pg_sys::core_YYSTYPE, location: *mut c_int, scanner: pg_sys::core_yyscan_t
        ) -> c_int;

        /// tcop/tcopprot.h, tcop/utility.h
        fn pg_analyze_and_rewrite_fixedparams(
            tree: *mut pg_sys::RawStmt, source: *const c_char, types: *const pg_sys::Oid, count: c_int,
            environment: *mut pg_sys::QueryEnvironment
        ) -> *mut List;
        fn pg_plan_queries(
            queries: *mut List, source: *const c_char, options: c_int, params: ParamListInfo
        ) -> *mut List;
        fn ProcessUtility(
            plan: *mut pg_sys::PlannedStmt, source: *const c_char, read_only_tree: bool,
            context: pg_sys::ProcessUtilityContext::Type, params: ParamListInfo,
            environment: *mut pg_sys::QueryEnvironment, receiver: *mut DestReceiver,
            completion: *mut pg_sys::QueryCompletion
        );

        /// nodes/nodes.h
        fn copyObjectImpl(node: *const c_void) -> *mut c_void;

        /// commands/portalcmds.h
        fn PerformPortalClose(name: *const c_char);

        /// catalog/namespace.h
        fn makeRangeVarFromNameList(names: *const List) -> *mut pg_sys::RangeVar;
        fn RangeVarGetRelidExtended(
            name: *const pg_sys::RangeVar, lock: pg_sys::LOCKMODE, flags: u32,
            callback: pg_sys::RangeVarGetRelidCallback, argument: *mut c_void
        ) -> pg_sys::Oid;

        /// catalog/dependency.h, catalog/indexing.h
        fn performDeletion(
            object: *const pg_sys::ObjectAddress, behavior: pg_sys::DropBehavior::Type, flags: c_int
        );
        fn CatalogTupleUpdate(
            catalog: pg_sys::Relation, tid: pg_sys::ItemPointer, tuple: pg_sys::HeapTuple
        );

        /// executor/spi.h
        fn SPI_prepare_cursor(
            source: *const c_char, count: c_int, types: *mut pg_sys::Oid, options: c_int
        ) -> SPIPlanPtr;
        fn SPI_execute_with_args(
            source: *const c_char, count: c_int, types: *mut pg_sys::Oid, values: *mut pg_sys::Datum,
            nulls: *const c_char, read_only: bool, limit: c_long
        ) -> c_int;
        fn SPI_execute_extended(source: *const c_char, options: *const SPIExecuteOptions) -> c_int;
        fn SPI_cursor_open_with_args(
            name: *const c_char, source: *const c_char, count: c_int, types: *mut pg_sys::Oid,
            values: *mut pg_sys::Datum, nulls: *const c_char, read_only: bool, options: c_int
        ) -> *mut c_void;
        fn SPI_execute_plan(
            plan: SPIPlanPtr, values: *mut pg_sys::Datum, nulls: *const c_char, read_only: bool, count: c_long
        ) -> c_int;
        fn SPI_execute_snapshot(
            plan: SPIPlanPtr, values: *mut pg_sys::Datum, nulls: *const c_char, snapshot: Snapshot, crosscheck: Snapshot,
            read_only: bool, fire_triggers: bool, count: c_long
        ) -> c_int;
        fn SPI_execute_plan_extended(plan: SPIPlanPtr, options: *const SPIExecuteOptions) -> c_int;
        fn SPI_cursor_open(
            name: *const c_char, plan: SPIPlanPtr, values: *mut pg_sys::Datum, nulls: *const c_char, read_only: bool
        ) -> *mut c_void;
        fn SPI_cursor_fetch(portal: *mut c_void, forward: bool, count: c_long);
        fn SPI_cursor_close(portal: *mut c_void);
        fn SPI_freetuptable(table: *mut SPITupleTable);

        /// executor/executor.h
        fn ExecutorStart(query: *mut pg_sys::QueryDesc, flags: c_int);
        #[cfg(not(feature = "pg18"))]
        fn ExecutorRun(
            query: *mut pg_sys::QueryDesc, direction: pg_sys::ScanDirection::Type, count: u64, once: bool
        );
        #[cfg(feature = "pg18")]
        fn ExecutorRun(query: *mut pg_sys::QueryDesc, direction: pg_sys::ScanDirection::Type, count: u64);
        fn ExecutorFinish(query: *mut pg_sys::QueryDesc);
        fn ExecutorEnd(query: *mut pg_sys::QueryDesc);
        fn ExecConstraints(relation: *mut ResultRelInfo, slot: *mut TupleTableSlot, estate: *mut EState);
        #[cfg(feature = "pg15")]
        fn ExecInsertIndexTuples(
            relation: *mut ResultRelInfo, slot: *mut TupleTableSlot, estate: *mut EState, update: bool, no_error: bool,
            conflict: *mut bool, arbiters: *mut List
        ) -> *mut List;
        #[cfg(not(feature = "pg15"))]
        fn ExecInsertIndexTuples(
            relation: *mut ResultRelInfo, slot: *mut TupleTableSlot, estate: *mut EState, update: bool, no_error: bool,
            conflict: *mut bool, arbiters: *mut List, only_summarizing: bool
        ) -> *mut List;
    }
}

pub use functions::*;

/// A copy of the first row that `conditions` on an index find in the direction of the scan, or null: many calls under one
/// guard, because a guard costs as much as a small call.
///
/// # Safety
/// The table and the index are open and belong together; there are `count` conditions, on the index's first columns.
pub unsafe fn first_row(
    table: pg_sys::Relation,
    index: pg_sys::Relation,
    snapshot: Snapshot,
    conditions: *mut pg_sys::ScanKeyData,
    count: c_int,
    direction: pg_sys::ScanDirection::Type,
) -> pg_sys::HeapTuple {
    unsafe extern "C-unwind" {
        #[cfg(not(feature = "pg18"))]
        fn index_beginscan(
            table: pg_sys::Relation,
            index: pg_sys::Relation,
            snapshot: Snapshot,
            keys: c_int,
            order_bys: c_int,
        ) -> pg_sys::IndexScanDesc;
        #[cfg(feature = "pg18")]
        fn index_beginscan(
            table: pg_sys::Relation,
            index: pg_sys::Relation,
            snapshot: Snapshot,
            instrument: *mut pg_sys::IndexScanInstrumentation,
            keys: c_int,
            order_bys: c_int,
        ) -> pg_sys::IndexScanDesc;
        fn index_rescan(
            scan: pg_sys::IndexScanDesc,
            keys: *mut pg_sys::ScanKeyData,
            count: c_int,
            order_bys: *mut pg_sys::ScanKeyData,
            order_by_count: c_int,
        );
        fn index_getnext_slot(
            scan: pg_sys::IndexScanDesc,
            direction: pg_sys::ScanDirection::Type,
            slot: *mut TupleTableSlot,
        ) -> bool;
        fn index_endscan(scan: pg_sys::IndexScanDesc);
        fn table_slot_create(table: pg_sys::Relation, slots: *mut *mut List) -> *mut TupleTableSlot;
        fn ExecDropSingleTupleTableSlot(slot: *mut TupleTableSlot);
    }
    const NONE: c_int = 0;
    let nothing = core::ptr::null_mut;
    // SAFETY: ensured by the caller; what is begun here is ended here, or at the end of the transaction after an error.
    unsafe {
        guarded(|| {
            #[cfg(not(feature = "pg18"))]
            let scan = index_beginscan(table, index, snapshot, count, NONE);
            #[cfg(feature = "pg18")]
            let scan = index_beginscan(table, index, snapshot, core::ptr::null_mut(), count, NONE);
            index_rescan(scan, conditions, count, nothing(), NONE);
            let slot = table_slot_create(table, core::ptr::null_mut());
            let mut row = core::ptr::null_mut();
            if index_getnext_slot(scan, direction, slot)
                && let Some(copy) = (*(*slot).tts_ops).copy_heap_tuple
            {
                row = copy(slot);
            }
            ExecDropSingleTupleTableSlot(slot);
            index_endscan(scan);
            row
        })
    }
}

/// For [`SPI_execute_plan_extended`].
pub fn options(params: ParamListInfo, receiver: *mut DestReceiver) -> SPIExecuteOptions {
    SPIExecuteOptions { params, read_only: true, dest: receiver, ..Default::default() }
}

#[cfg(test)]
mod tests {
    use super::without_own_statements;

    #[test]
    fn own_statements_are_taken_out_of_the_context() {
        let theirs = "PL/pgSQL function public.t() line 3 at RAISE";
        let own = "SQL statement \"/* pg_versioned */ WITH h AS (\n SELECT \"x\")\nSELECT 1 /* end */\"";
        let caller = "PL/pgSQL function f() line 1 at PERFORM";
        assert_eq!(without_own_statements(&format!("{theirs}\n{own}")).as_deref(), Some(theirs));
        let all = format!("{theirs}\n{own}\n{caller}");
        assert_eq!(without_own_statements(&all), Some(format!("{theirs}\n{caller}")));
        assert_eq!(without_own_statements(own), None);
        assert_eq!(without_own_statements(theirs).as_deref(), Some(theirs));
    }
}
