//! Calls of trigger functions: the rows they are given and the row they answer with.

use core::ffi::CStr;

use pgrx::pg_sys;

use super::{Answer, Call, Row, Value, current_xid};
use crate::error::Error;

/// A call for one row.
pub struct Trigger<'c> {
    call: &'c Call,
    data: *mut pg_sys::TriggerData,
}

impl<'c> Trigger<'c> {
    /// 22023 when the function is not called as a trigger.
    pub fn of(call: &'c Call) -> Result<Self, Error> {
        let data = unsafe { trigger_data(call.fcinfo) };
        let data = data.ok_or_else(|| Error::Invalid("this function is called by its trigger only".to_owned()))?;
        Ok(Trigger { call, data })
    }

    /// The row before an `UPDATE`, or the one to `DELETE`; the new one of an `INSERT`.
    pub fn row(&self) -> Row {
        unsafe { Row::given((*self.data).tg_trigtuple, (*(*self.data).tg_relation).rd_att) }
    }

    /// The row after an `UPDATE`.
    pub fn updated_row(&self) -> Row {
        unsafe { Row::given((*self.data).tg_newtuple, (*(*self.data).tg_relation).rd_att) }
    }

    /// Answers with a row of the trigger's table.
    pub fn answer(&self, columns: &[Value]) -> Answer {
        unsafe { self.call.tuple((*(*self.data).tg_relation).rd_att, columns) }
    }

    /// Answers with the row it was called for, as it was.
    pub fn same_row(&self) -> Answer {
        Answer(pg_sys::Datum::from(unsafe { (*self.data).tg_trigtuple }))
    }
}

unsafe fn trigger_data(fcinfo: pg_sys::FunctionCallInfo) -> Option<*mut pg_sys::TriggerData> {
    unsafe {
        let context = (*fcinfo).context;
        let is_trigger = !context.is_null() && (*context).type_ == pg_sys::NodeTag::T_TriggerData;
        is_trigger.then_some(context.cast())
    }
}

/// Body of a `BEFORE INSERT` row trigger: puts the id of the inserting transaction into an `xid8` column, unless it is
/// there. `None` when it is not called as a trigger.
pub fn stamp_inserted_row(fcinfo: pg_sys::FunctionCallInfo, column: &CStr) -> Option<Answer> {
    unsafe {
        let data = trigger_data(fcinfo)?;
        let (row, desc) = ((*data).tg_trigtuple, (*(*data).tg_relation).rd_att);
        let mut number = pg_sys::SPI_fnumber(desc, column.as_ptr());
        assert!(number > 0, "no column {column:?}");
        let (mut is_null, mut no) = (false, false);
        let mut stamp = pg_sys::Datum::from(current_xid());
        let stamped = pg_sys::SPI_getbinval(row, desc, number, &mut is_null);
        if !is_null && stamped.value() == stamp.value() {
            return Some(Answer(pg_sys::Datum::from(row)));
        }
        let row = pg_sys::heap_modify_tuple_by_cols(row, desc, 1, &mut number, &mut stamp, &mut no);
        Some(Answer(pg_sys::Datum::from(row)))
    }
}
