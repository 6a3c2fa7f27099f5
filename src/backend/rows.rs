//! Rows built from known values, and query results sent straight into a function's result set.

use pgrx::pg_sys;

use super::spi::{Db, IndexesOnly, Statement, Value};
use super::{Answer, Call, bindings};

impl Call {
    /// A value of the function's composite result type, from its columns in order.
    pub fn row(&self, columns: &[Value]) -> Answer {
        let (mut datums, mut nulls) = split(columns);
        unsafe {
            let desc = pg_sys::lookup_rowtype_tupdesc(self.result_type, -1);
            assert_eq!((*desc).natts as usize, columns.len(), "columns of the result type");
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
}

impl Call {
    /// A row as triggers answer with it.
    pub(super) unsafe fn tuple(&self, desc: pg_sys::TupleDesc, columns: &[Value]) -> Answer {
        let (mut datums, mut nulls) = split(columns);
        unsafe {
            assert_eq!((*desc).natts as usize, columns.len(), "columns of the trigger's table");
            let before = pg_sys::MemoryContextSwitchTo(self.memory);
            let tuple = pg_sys::heap_form_tuple(desc, datums.as_mut_ptr(), nulls.as_mut_ptr());
            pg_sys::MemoryContextSwitchTo(before);
            Answer(pg_sys::Datum::from(tuple))
        }
    }
}

/// Answers a set-returning function with one row.
pub fn one_row(call: &Call, columns: &[Value]) -> Answer {
    let set = ResultSet::begin(call);
    set.push(columns);
    set.done()
}

/// The rows that a set-returning function answers with. They spill to disk rather than fill memory.
pub struct ResultSet(*mut pg_sys::ReturnSetInfo);

impl ResultSet {
    pub fn begin(call: &Call) -> Self {
        ResultSet(unsafe { result_set(call) })
    }

    pub fn push(&self, columns: &[Value]) {
        let (mut datums, mut nulls) = split(columns);
        unsafe {
            let (store, desc) = ((*self.0).setResult, (*self.0).setDesc);
            assert_eq!((*desc).natts as usize, columns.len(), "columns of the result set");
            pg_sys::tuplestore_putvalues(store, desc, datums.as_mut_ptr(), nulls.as_mut_ptr());
        }
    }

    pub fn done(self) -> Answer {
        Answer::DONE
    }
}

/// Answers a set-returning function with a query's rows, which go into the result set one by one: however
/// large the set is, it spills to disk rather than fill memory.
pub fn query_into_result(call: &Call, db: &Db, statement: &'static Statement, args: &[Value]) -> Answer {
    let plan = db.plan(statement, args);
    unsafe {
        let set = result_set(call);
        let params = pg_sys::makeParamList(args.len() as _);
        let slots = (*params).params.as_mut_slice(args.len());
        for (slot, arg) in slots.iter_mut().zip(args) {
            slot.value = arg.datum.unwrap_or(pg_sys::Datum::null());
            slot.isnull = arg.datum.is_none();
            slot.pflags = pg_sys::PARAM_FLAG_CONST as _;
            slot.ptype = arg.oid;
        }
        let receiver = bindings::CreateTuplestoreDestReceiver();
        bindings::SetTuplestoreDestReceiverParams(
            receiver,
            (*set).setResult,
            (*(*set).econtext).ecxt_per_query_memory,
            false,
            (*set).setDesc,
            c"a query does not answer with the function's columns".as_ptr(),
        );
        let options = pg_sys::SPIExecuteOptions { params, read_only: true, dest: receiver, ..Default::default() };
        let _indexes = IndexesOnly::begin();
        let status = pg_sys::SPI_execute_plan_extended(plan, &options);
        assert!(status >= 0, "SPI_execute_plan_extended answered {status}");
        if let Some(destroy) = (*receiver).rDestroy {
            destroy(receiver);
        }
    }
    Answer::DONE
}

unsafe fn result_set(call: &Call) -> *mut pg_sys::ReturnSetInfo {
    unsafe {
        pg_sys::InitMaterializedSRF(call.fcinfo, 0);
        (*call.fcinfo).resultinfo.cast()
    }
}

fn split(columns: &[Value]) -> (Vec<pg_sys::Datum>, Vec<bool>) {
    columns.iter().map(|v| (v.datum.unwrap_or(pg_sys::Datum::null()), v.datum.is_none())).unzip()
}
