//! Rows built from known values, and query results sent directly to a function's result set.

use core::ffi::c_int;

use pgrx::pg_sys;

use super::mismatch::{OTHER_COLUMNS, require_columns, require_expected};
use super::statement::{Arg, Db, IndexesOnly, Statement};
use super::value::Value;
use super::{Answer, Call, guard};

impl Call {
    /// A value of the function's composite result type, from its columns in order.
    pub fn row(&self, columns: &[Value]) -> Answer {
        let (mut datums, mut nulls) = split(columns);
        // SAFETY: the number and the types of the columns are checked.
        unsafe {
            let desc = pg_sys::lookup_rowtype_tupdesc(self.result_type, -1);
            require_columns(desc, columns);
            require_expected(self.fcinfo, desc);
            let before = pg_sys::MemoryContextSwitchTo(self.memory);
            let tuple = pg_sys::heap_form_tuple(desc, datums.as_mut_ptr(), nulls.as_mut_ptr());
            let datum = pg_sys::HeapTupleHeaderGetDatum((*tuple).t_data);
            pg_sys::MemoryContextSwitchTo(before);
            if (*desc).tdrefcount >= 0 {
                pg_sys::DecrTupleDescRefCount(desc);
            }
            Answer(datum)
        }
    }

    /// A row in the form returned by triggers.
    ///
    /// # Safety
    /// The descriptor must be that of the trigger's relation.
    pub(super) unsafe fn tuple(&self, desc: pg_sys::TupleDesc, columns: &[Value]) -> Answer {
        let (mut datums, mut nulls) = split(columns);
        // SAFETY: as above.
        unsafe {
            require_columns(desc, columns);
            let before = pg_sys::MemoryContextSwitchTo(self.memory);
            let tuple = pg_sys::heap_form_tuple(desc, datums.as_mut_ptr(), nulls.as_mut_ptr());
            pg_sys::MemoryContextSwitchTo(before);
            Answer(pg_sys::Datum::from(tuple))
        }
    }
}

/// Makes a set-returning function return one row.
pub fn one_row(call: &Call, columns: &[Value]) -> Answer {
    let set = ResultSet::begin(call);
    set.push(columns);
    set.done()
}

/// The rows returned by a set-returning function. They spill to disk rather than fill up memory.
pub struct ResultSet(*mut pg_sys::ReturnSetInfo);

impl ResultSet {
    pub fn begin(call: &Call) -> Self {
        // SAFETY: called once per call of a set-returning function.
        ResultSet(unsafe { result_set(call) })
    }

    pub fn push(&self, columns: &[Value]) {
        let (mut datums, mut nulls) = split(columns);
        // SAFETY: the store was created by `begin`; the number and the types of the columns are checked.
        unsafe {
            let (store, desc) = ((*self.0).setResult, (*self.0).setDesc);
            require_columns(desc, columns);
            pg_sys::tuplestore_putvalues(store, desc, datums.as_mut_ptr(), nulls.as_mut_ptr());
        }
    }

    pub fn done(self) -> Answer {
        Answer::DONE
    }
}

/// Makes a set-returning function return a query's rows, which are added to the result set one by one: however large
/// the set is, it spills to disk rather than filling up memory.
pub fn query_into_result(call: &Call, db: &Db, statement: &'static Statement, args: &[Arg]) -> Answer {
    let _memory = db.spi();
    let (plan, args) = db.plan(statement, args);
    let _indexes = IndexesOnly::begin();
    receive_into_result(call, &args, |options| {
        // SAFETY: these are the plan's parameters.
        unsafe { guard::SPI_execute_plan_extended(plan, options) }
    })
}

/// Adds the rows that `run` sends to the receiver in its options to the result set. `run` returns what SPI answered.
pub(super) fn receive_into_result(
    call: &Call,
    args: &[Value],
    run: impl FnOnce(&pg_sys::SPIExecuteOptions) -> c_int,
) -> Answer {
    // SAFETY: the receiver and the parameters live until the query has run.
    unsafe {
        let set = result_set(call);
        let params = pg_sys::makeParamList(args.len() as _);
        let slots = (*params).params.as_mut_slice(args.len());
        for (slot, arg) in slots.iter_mut().zip(args) {
            (slot.value, slot.isnull) = arg.parts();
            slot.pflags = pg_sys::PARAM_FLAG_CONST as _;
            slot.ptype = arg.oid();
        }
        let receiver = guard::CreateTuplestoreDestReceiver();
        guard::SetTuplestoreDestReceiverParams(
            receiver,
            (*set).setResult,
            (*(*set).econtext).ecxt_per_query_memory,
            false,
            (*set).setDesc,
            OTHER_COLUMNS.as_ptr(),
        );
        let status = run(&guard::options(params, receiver));
        assert!(status >= 0, "SPI answered {status}");
        if let Some(destroy) = (*receiver).rDestroy {
            destroy(receiver);
        }
    }
    Answer::DONE
}

unsafe fn result_set(call: &Call) -> *mut pg_sys::ReturnSetInfo {
    // SAFETY: ensured by the caller.
    unsafe {
        pg_sys::InitMaterializedSRF(call.fcinfo, 0);
        let set: *mut pg_sys::ReturnSetInfo = (*call.fcinfo).resultinfo.cast();
        require_expected(call.fcinfo, (*set).setDesc);
        set
    }
}

fn split(columns: &[Value]) -> (Vec<pg_sys::Datum>, Vec<bool>) {
    columns.iter().map(|value| value.parts()).unzip()
}
