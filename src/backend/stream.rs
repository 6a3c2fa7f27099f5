//! Functions that return their rows one by one, each when it is asked for, and what they keep between these calls.

use pgrx::{IntoDatum, PgMemoryContexts, pg_sys};

use super::row::Row;
use super::statement::{Arg, Db, Statement};
use super::{Answer, Call};
use crate::error::Error;

/// What a function that returns a set of texts keeps from one row to the next.
///
/// It is dropped by Postgres along with the memory of the query, possibly after an error, so its fields must not call
/// Postgres when they are dropped.
pub trait Stream: Sized + 'static {
    /// Begins with the function's arguments.
    fn open(call: &Call) -> Result<Self, Error>;

    /// The next row; `None` ends the set.
    fn next(&mut self, call: &Call) -> Result<Option<String>, Error>;
}

/// Answers one call of a function that returns the rows of an `S`: with a row, or with NULL at the end.
pub fn stream<S: Stream>(fcinfo: pg_sys::FunctionCallInfo) -> Option<Answer> {
    Call::run(fcinfo, |call| {
        // SAFETY: fn_extra is used by this function only, which keeps an `S` behind it, in memory that lives until the
        // set ends. Postgres passes a ReturnSetInfo with every call of a function that returns a set.
        unsafe {
            let is_first = (*(*fcinfo).flinfo).fn_extra.is_null();
            let calls = if is_first { pg_sys::init_MultiFuncCall(fcinfo) } else { pg_sys::per_MultiFuncCall(fcinfo) };
            if (*calls).user_fctx.is_null() {
                let state = S::open(call)?;
                let mut memory = PgMemoryContexts::For((*calls).multi_call_memory_ctx);
                (*calls).user_fctx = memory.leak_and_drop_on_delete(state).cast();
            }
            let row = (*(*calls).user_fctx.cast::<S>()).next(call)?;
            let set: *mut pg_sys::ReturnSetInfo = (*fcinfo).resultinfo.cast();
            let Some(row) = row else {
                pg_sys::end_MultiFuncCall(fcinfo, calls);
                (*set).isDone = pg_sys::ExprDoneCond::ExprEndResult;
                return Ok(None);
            };
            (*set).isDone = pg_sys::ExprDoneCond::ExprMultipleResult;
            let before = pg_sys::MemoryContextSwitchTo(call.memory);
            let text = row.into_datum().map(Answer);
            pg_sys::MemoryContextSwitchTo(before);
            Ok(text)
        }
    })
}

/// The rows of a query, to be read by later calls of a [`Stream`]. Many of them spill to disk.
///
/// Not a portal: users could get at it between the calls, a rollback to a savepoint would close it, and so would the
/// commit that a cursor WITH HOLD outlives.
pub struct KeptRows {
    store: *mut pg_sys::Tuplestorestate,
    /// Where a row is put to be read; null if there is none.
    slot: *mut pg_sys::TupleTableSlot,
}

impl KeptRows {
    /// Runs a query with the calling statement's snapshot, in [`Stream::open`].
    pub fn read(call: &Call, db: &Db, statement: &'static Statement, args: &[Arg]) -> Result<Self, Error> {
        // SAFETY: store and slot live in the memory of the set. When the set ends early, the store's file is closed by
        // `end_store`, which Postgres calls before it frees this memory; after an error, it is closed by the abort.
        unsafe {
            let memory = (*pg_sys::per_MultiFuncCall(call.fcinfo)).multi_call_memory_ctx;
            let before = pg_sys::MemoryContextSwitchTo(memory);
            let store = pg_sys::tuplestore_begin_heap(false, false, pg_sys::work_mem);
            pg_sys::MemoryContextSwitchTo(before);
            pg_sys::RegisterExprContextCallback(expression(call), Some(end_store), store.into());
            let mut kept = KeptRows { store, slot: core::ptr::null_mut() };
            db.each(statement, args, |row| {
                let (tuple, desc) = row.parts();
                if kept.slot.is_null() {
                    let before = pg_sys::MemoryContextSwitchTo(memory);
                    let desc = pg_sys::CreateTupleDescCopy(desc);
                    kept.slot = pg_sys::MakeSingleTupleTableSlot(desc, &pg_sys::TTSOpsMinimalTuple);
                    pg_sys::MemoryContextSwitchTo(before);
                }
                pg_sys::tuplestore_puttuple(store, tuple);
                Ok(())
            })?;
            Ok(kept)
        }
    }

    /// What `body` makes of the next row. Must not be asked again after `None`.
    pub fn next<T>(&mut self, call: &Call, body: impl FnOnce(&Row) -> T) -> Option<T> {
        let (forward, copy) = (true, false);
        // SAFETY: see `read`. The slot is emptied before the memory that its row may be in is reset.
        unsafe {
            if self.slot.is_null() || !pg_sys::tuplestore_gettupleslot(self.store, forward, copy, self.slot) {
                pg_sys::UnregisterExprContextCallback(expression(call), Some(end_store), self.store.into());
                pg_sys::tuplestore_end(self.store);
                return None;
            }
            let tuple = pg_sys::ExecCopySlotHeapTuple(self.slot);
            let result = body(&Row::borrowed(tuple, (*self.slot).tts_tupleDescriptor));
            pg_sys::heap_freetuple(tuple);
            pg_sys::ExecClearTuple(self.slot);
            Some(result)
        }
    }
}

/// The expression that the call is part of. It is shut down when its query ends, unless by an error.
///
/// # Safety
/// The call must be of a function that returns a set.
unsafe fn expression(call: &Call) -> *mut pg_sys::ExprContext {
    // SAFETY: see above.
    unsafe { (*(*call.fcinfo).resultinfo.cast::<pg_sys::ReturnSetInfo>()).econtext }
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn end_store(store: pg_sys::Datum) {
    // SAFETY: registered with a store, and unregistered when that is ended.
    unsafe { pg_sys::tuplestore_end(store.cast_mut_ptr()) };
}
