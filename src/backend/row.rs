//! A row from any source, with its columns accessible by name.

use core::marker::PhantomData;

use pgrx::pg_sys;

use super::mismatch::{mismatch, other_type, require_expected};
use super::statement::Db;
use super::value::{Column, Value};
use super::{Answer, guard};

/// A row of a query's result, of a table, or passed to a trigger.
pub struct Row<'r> {
    tuple: pg_sys::HeapTuple,
    desc: pg_sys::TupleDesc,
    held: Held,
    lifetime: PhantomData<&'r ()>,
}

/// What a row releases when dropped.
#[derive(Clone, Copy)]
enum Held {
    Nothing,
    /// A copy of the tuple, and a reference to the table that provides its descriptor.
    Table(pg_sys::Relation),
    /// Copies of the tuple and the descriptor.
    Copy,
}

impl<'r> Row<'r> {
    /// # Safety
    /// The tuple and the descriptor must live for `'r`.
    pub(super) unsafe fn borrowed(tuple: pg_sys::HeapTuple, desc: pg_sys::TupleDesc) -> Self {
        Row { tuple, desc, held: Held::Nothing, lifetime: PhantomData }
    }

    /// Takes over a copy of a table's row, and takes a reference of its own to the table.
    ///
    /// # Safety
    /// `tuple` must be a copy made by Postgres, and the table open.
    pub(super) unsafe fn of_table(tuple: pg_sys::HeapTuple, table: pg_sys::Relation) -> Self {
        // SAFETY: the table is open, so its descriptor exists.
        let desc = unsafe {
            pg_sys::RelationIncrementReferenceCount(table);
            (*table).rd_att
        };
        Row { tuple, desc, held: Held::Table(table), lifetime: PhantomData }
    }

    /// A copy that outlives the result it is part of.
    pub(super) fn copied<'c>(&self) -> Row<'c> {
        // SAFETY: the tuple and the descriptor live as long as the row.
        unsafe {
            let (tuple, desc) = (pg_sys::heap_copytuple(self.tuple), pg_sys::CreateTupleDescCopy(self.desc));
            Row { tuple, desc, held: Held::Copy, lifetime: PhantomData }
        }
    }

    /// The tuple and its descriptor, which live as long as the row.
    pub(super) fn parts(&self) -> (pg_sys::HeapTuple, pg_sys::TupleDesc) {
        (self.tuple, self.desc)
    }

    /// Whether the row was read directly from its table, not by a query.
    pub fn is_in_table(&self) -> bool {
        self.in_table().is_some()
    }

    /// The tuple, and the table it was copied from.
    pub(super) fn in_table(&self) -> Option<(pg_sys::HeapTuple, pg_sys::Relation)> {
        match self.held {
            Held::Table(table) => Some((self.tuple, table)),
            _ => None,
        }
    }

    /// A column; `None` is SQL's NULL.
    ///
    /// Ends the call with [`Error::Mismatch`](crate::error::Error::Mismatch) if there is no such column or it is of
    /// another type; so do the other ways to read one.
    pub fn get<'v, T: Column<'v>>(&'v self, name: &str) -> Option<T> {
        let value = self.column(name);
        if value.oid() != T::TYPE {
            other_type(name, value.oid(), T::TYPE);
        }
        // SAFETY: the column is of that type, not null, and lives as long as the row.
        value.datum().map(|datum| unsafe { T::read(datum) })
    }

    /// A column that is not NULL.
    pub fn value<'v, T: Column<'v>>(&'v self, name: &str) -> T {
        self.get(name).unwrap_or_else(|| is_null(name))
    }

    /// A column as a parameter of a statement or a column of a result.
    pub fn column(&self, name: &str) -> Value<'_> {
        // SAFETY: the tuple and its descriptor live as long as the row.
        unsafe { self.numbered(column_number(self.desc, name)) }
    }

    /// All columns in order.
    pub fn columns(&self) -> Vec<Value<'_>> {
        // SAFETY: as above.
        unsafe { (1..=(*self.desc).natts).map(|number| self.numbered(number)).collect() }
    }

    /// A composite column as the result of the function that `db` serves.
    pub fn composite(&self, db: &Db, name: &str) -> Answer {
        let value = self.column(name);
        // A column of that name would be taken for the row.
        if value.oid() != db.result_type() {
            other_type(name, value.oid(), db.result_type());
        }
        let datum = value.datum().unwrap_or_else(|| is_null(name));
        // SAFETY: a composite value is passed by reference, and is copied into the memory context of the result.
        unsafe {
            let desc = pg_sys::lookup_rowtype_tupdesc_copy(value.oid(), -1);
            require_expected(db.fcinfo(), desc);
            pg_sys::FreeTupleDesc(desc);
            let before = pg_sys::MemoryContextSwitchTo(db.answer_memory());
            let copy = guard::datumCopy(datum, false, -1);
            pg_sys::MemoryContextSwitchTo(before);
            Answer(copy)
        }
    }

    unsafe fn numbered(&self, number: i32) -> Value<'_> {
        // SAFETY: the number is valid for the descriptor.
        unsafe {
            let mut is_null = false;
            let datum = pg_sys::SPI_getbinval(self.tuple, self.desc, number, &mut is_null);
            Value::new((*attribute(self.desc, number)).atttypid, (!is_null).then_some(datum))
        }
    }
}

fn is_null(column: &str) -> ! {
    mismatch(format!("column \"{column}\" is null"))
}

/// The number (from 1) of the column of this name.
///
/// # Safety
/// The descriptor must be valid.
pub(super) unsafe fn column_number(desc: pg_sys::TupleDesc, name: &str) -> i32 {
    // SAFETY: see above.
    let number = unsafe { (1..=(*desc).natts).find(|&number| is_named(desc, number, name)) };
    number.unwrap_or_else(|| mismatch(format!("there is no column \"{name}\"")))
}

/// Whether a table or a result begins with these columns.
///
/// # Safety
/// The descriptor must be valid.
pub(super) unsafe fn begins_with(desc: pg_sys::TupleDesc, columns: &[(&str, pg_sys::Oid)]) -> bool {
    // SAFETY: see above; the number of columns is checked first.
    unsafe {
        (*desc).natts as usize >= columns.len()
            && columns.iter().zip(1..).all(|((name, type_id), number)| {
                is_named(desc, number, name) && (*attribute(desc, number)).atttypid == *type_id
            })
    }
}

/// Whether attribute `number` (from 1) has this name.
///
/// # Safety
/// There must be an attribute with that number.
pub(super) unsafe fn is_named(desc: pg_sys::TupleDesc, number: i32, name: &str) -> bool {
    // SAFETY: see above. A name is terminated by a NUL within its field, which may be read as bytes.
    let field = unsafe {
        let field = &(*attribute(desc, number)).attname.data;
        core::slice::from_raw_parts(field.as_ptr().cast::<u8>(), field.len())
    };
    // Most other names differ in their length or their last character.
    let (name, end) = (name.as_bytes(), name.len());
    field.get(end) == Some(&0) && end > 0 && field[end - 1] == name[end - 1] && field.starts_with(name)
}

/// Attribute `number` (from 1).
///
/// # Safety
/// There must be an attribute with that number.
pub(super) unsafe fn attribute(desc: pg_sys::TupleDesc, number: i32) -> *const pg_sys::FormData_pg_attribute {
    // SAFETY: see above.
    unsafe {
        #[cfg(not(feature = "pg18"))]
        return (*desc).attrs.as_ptr().add(number as usize - 1);
        #[cfg(feature = "pg18")]
        return (*desc)
            .compact_attrs
            .as_ptr()
            .add((*desc).natts as usize)
            .cast::<pg_sys::FormData_pg_attribute>()
            .add(number as usize - 1);
    }
}

impl Drop for Row<'_> {
    fn drop(&mut self) {
        // After an error, open resources are released at the end of the transaction.
        if std::thread::panicking() {
            return;
        }
        // SAFETY: the row owns these resources. The table's lock remains until the transaction ends.
        unsafe {
            match self.held {
                Held::Nothing => {}
                Held::Table(table) => {
                    pg_sys::heap_freetuple(self.tuple);
                    pg_sys::table_close(table, pg_sys::NoLock as _);
                }
                Held::Copy => {
                    pg_sys::heap_freetuple(self.tuple);
                    pg_sys::FreeTupleDesc(self.desc);
                }
            }
        }
    }
}
