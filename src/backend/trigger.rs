//! Calls of trigger functions: the rows passed to them and the row they return.

use core::ffi::CStr;

use pgrx::pg_sys;

use super::row::{Row, attribute};
use super::value::Value;
use super::{Answer, Call, current_xid};
use crate::error::Error;

/// What fires a trigger.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Event {
    Insert,
    Update,
    Delete,
}

/// A call for one row of a view of the extension.
pub struct Trigger<'c> {
    call: &'c Call,
    data: &'c pg_sys::TriggerData,
}

impl<'c> Trigger<'c> {
    /// 22023 if the function is not called by an `INSTEAD OF` row trigger for this event on the view named.
    pub fn instead_of(call: &'c Call, event: Event, view: &CStr) -> Result<Self, Error> {
        // SAFETY: trigger data lives as long as the call, and its relation is open.
        let data = unsafe { trigger_data(call.fcinfo) }.filter(|data| {
            let wanted = pg_sys::TRIGGER_EVENT_INSTEAD | pg_sys::TRIGGER_EVENT_ROW | event.code();
            data.tg_event & (pg_sys::TRIGGER_EVENT_TIMINGMASK | pg_sys::TRIGGER_EVENT_ROW | pg_sys::TRIGGER_EVENT_OPMASK)
                == wanted
                // SAFETY: as above.
                && unsafe { is_relation(data.tg_relation, call.namespace(), view) }
        });
        Ok(Trigger { call, data: data.ok_or_else(misused)? })
    }

    /// The old row of an `UPDATE` or `DELETE`; the new row of an `INSERT`.
    pub fn row(&self) -> Row<'_> {
        // SAFETY: a row trigger has a row, which matches its relation's descriptor.
        unsafe { Row::borrowed(self.data.tg_trigtuple, (*self.data.tg_relation).rd_att) }
    }

    /// The new row of an `UPDATE`.
    pub fn updated_row(&self) -> Row<'_> {
        // SAFETY: a row trigger for UPDATE has this row as well.
        unsafe { Row::borrowed(self.data.tg_newtuple, (*self.data.tg_relation).rd_att) }
    }

    /// Returns a row of the trigger's view.
    pub fn answer(&self, columns: &[Value]) -> Answer {
        // SAFETY: the view's own descriptor.
        unsafe { self.call.tuple((*self.data.tg_relation).rd_att, columns) }
    }

    /// Returns the row it was called for, unchanged.
    pub fn same_row(&self) -> Answer {
        Answer(pg_sys::Datum::from(self.data.tg_trigtuple))
    }
}

impl Event {
    fn code(self) -> u32 {
        match self {
            Event::Insert => pg_sys::TRIGGER_EVENT_INSERT,
            Event::Update => pg_sys::TRIGGER_EVENT_UPDATE,
            Event::Delete => pg_sys::TRIGGER_EVENT_DELETE,
        }
    }
}

pub(super) fn misused() -> Error {
    Error::Invalid("this function can be called only by the extension's own triggers".to_owned())
}

/// The trigger data of a call; `None` if the function is not called by a trigger.
pub(super) unsafe fn trigger_data<'c>(fcinfo: pg_sys::FunctionCallInfo) -> Option<&'c pg_sys::TriggerData> {
    // SAFETY: the context of a call by a trigger is its data (CALLED_AS_TRIGGER in trigger.h).
    unsafe {
        let context = (*fcinfo).context;
        let is_trigger = !context.is_null() && (*context).type_ == pg_sys::NodeTag::T_TriggerData;
        is_trigger.then(|| &*context.cast())
    }
}

unsafe fn is_relation(relation: pg_sys::Relation, namespace: pg_sys::Oid, name: &CStr) -> bool {
    // SAFETY: the relation is open.
    unsafe {
        let entry = &*(*relation).rd_rel;
        entry.relnamespace == namespace && CStr::from_ptr(entry.relname.data.as_ptr()) == name
    }
}

/// Body of a `BEFORE INSERT` row trigger: stores the id of the inserting transaction in an `xid8` column, unless it is
/// already there. 22023 if it is called in any other way. `table` is the extension's own that has it.
pub fn stamp_inserted_row(call: &Call, table: &CStr, column: &CStr) -> Result<Answer, Error> {
    const EVENT: u32 = pg_sys::TRIGGER_EVENT_BEFORE | pg_sys::TRIGGER_EVENT_ROW | pg_sys::TRIGGER_EVENT_INSERT;
    const MASK: u32 = pg_sys::TRIGGER_EVENT_TIMINGMASK | pg_sys::TRIGGER_EVENT_ROW | pg_sys::TRIGGER_EVENT_OPMASK;
    // SAFETY: a row trigger has a row, which matches its relation's descriptor; the column's type is checked before
    // writing.
    unsafe {
        let data = trigger_data(call.fcinfo).filter(|data| data.tg_event & MASK == EVENT).ok_or_else(misused)?;
        let (row, desc) = (data.tg_trigtuple, (*data.tg_relation).rd_att);
        let mut number = pg_sys::SPI_fnumber(desc, column.as_ptr());
        if number <= 0 || (*attribute(desc, number)).atttypid != pg_sys::XID8OID {
            return Err(if is_relation(data.tg_relation, call.namespace(), table) {
                Error::Mismatch(format!("table {table:?} has no column {column:?} as it was"))
            } else {
                misused()
            });
        }
        let (mut is_null, mut no) = (false, false);
        let mut stamp = pg_sys::Datum::from(current_xid());
        let stamped = pg_sys::SPI_getbinval(row, desc, number, &mut is_null);
        if !is_null && stamped.value() == stamp.value() {
            return Ok(Answer(pg_sys::Datum::from(row)));
        }
        let row = pg_sys::heap_modify_tuple_by_cols(row, desc, 1, &raw mut number, &raw mut stamp, &raw mut no);
        Ok(Answer(pg_sys::Datum::from(row)))
    }
}

impl Call {
    /// 22023 if the function is not called by a trigger.
    pub fn as_trigger(&self) -> Result<(), Error> {
        // SAFETY: the call's own data.
        unsafe { trigger_data(self.fcinfo) }.map(|_| ()).ok_or_else(misused)
    }
}
