//! A row, from wherever it comes, with its columns by name.

use core::marker::PhantomData;

use pgrx::pg_sys;

use super::statement::Db;
use super::value::{Column, Value};
use super::{Answer, guard};

/// A row of a query's answer, of a table, or one that a trigger was given.
pub struct Row<'r> {
    tuple: pg_sys::HeapTuple,
    desc: pg_sys::TupleDesc,
    held: Held,
    lifetime: PhantomData<&'r ()>,
}

/// What a row gives back at its end.
#[derive(Clone, Copy)]
enum Held {
    Nothing,
    /// A copy of the tuple, and a reference to the table whose description it has.
    Table(pg_sys::Relation),
    /// Copies of tuple and description.
    Copy,
}

impl<'r> Row<'r> {
    /// # Safety
    /// Tuple and description must live for `'r`.
    pub(super) unsafe fn borrowed(tuple: pg_sys::HeapTuple, desc: pg_sys::TupleDesc) -> Self {
        Row { tuple, desc, held: Held::Nothing, lifetime: PhantomData }
    }

    /// Owns a copy of a table's row, and the table's reference.
    ///
    /// # Safety
    /// `tuple` must be a copy made by Postgres, and the table open.
    pub(super) unsafe fn of_table(tuple: pg_sys::HeapTuple, table: pg_sys::Relation) -> Self {
        // SAFETY: the table is open, so its description is there.
        let desc = unsafe { (*table).rd_att };
        Row { tuple, desc, held: Held::Table(table), lifetime: PhantomData }
    }

    /// A copy that outlives the answer it is part of.
    pub(super) fn copied<'c>(&self) -> Row<'c> {
        // SAFETY: tuple and description live as long as the row.
        unsafe {
            let (tuple, desc) = (pg_sys::heap_copytuple(self.tuple), pg_sys::CreateTupleDescCopy(self.desc));
            Row { tuple, desc, held: Held::Copy, lifetime: PhantomData }
        }
    }

    /// Whether the row was read from its table, not by a query.
    pub fn is_in_table(&self) -> bool {
        self.in_table().is_some()
    }

    /// The tuple, and the table it is a copy from.
    pub(super) fn in_table(&self) -> Option<(pg_sys::HeapTuple, pg_sys::Relation)> {
        match self.held {
            Held::Table(table) => Some((self.tuple, table)),
            _ => None,
        }
    }

    /// A column; `None` is SQL's NULL.
    ///
    /// # Panics
    /// When there is no such column or it is of another type: our statements and tables are fixed.
    pub fn get<'v, T: Column<'v>>(&'v self, name: &str) -> Option<T> {
        let value = self.column(name);
        assert!(value.oid() == T::TYPE, "column {name} is of type {:?}, not {:?}", value.oid(), T::TYPE);
        // SAFETY: the column is of that type, not null, and lives as long as the row.
        value.datum().map(|datum| unsafe { T::read(datum) })
    }

    /// A column that is not NULL.
    pub fn value<'v, T: Column<'v>>(&'v self, name: &str) -> T {
        self.get(name).unwrap_or_else(|| panic!("column {name} is null"))
    }

    /// A column as a parameter of a statement or a column of an answer.
    pub fn column(&self, name: &str) -> Value<'_> {
        // SAFETY: the tuple and its description live as long as the row.
        unsafe {
            let number = (1..=(*self.desc).natts)
                .find(|&number| is_named(self.desc, number, name))
                .unwrap_or_else(|| panic!("no column {name}"));
            self.numbered(number)
        }
    }

    /// All columns in their order.
    pub fn columns(&self) -> Vec<Value<'_>> {
        // SAFETY: as above.
        unsafe { (1..=(*self.desc).natts).map(|number| self.numbered(number)).collect() }
    }

    /// A composite column as the answer of the function that `db` serves.
    pub fn composite(&self, db: &Db, name: &str) -> Answer {
        let datum = self.column(name).datum().unwrap_or_else(|| panic!("column {name} is null"));
        // SAFETY: a composite is passed by reference, and is copied into the memory of the answer.
        unsafe {
            let before = pg_sys::MemoryContextSwitchTo(db.answer_memory());
            let copy = guard::datumCopy(datum, false, -1);
            pg_sys::MemoryContextSwitchTo(before);
            Answer(copy)
        }
    }

    unsafe fn numbered(&self, number: i32) -> Value<'_> {
        // SAFETY: the number is one of the description's.
        unsafe {
            let mut is_null = false;
            let datum = pg_sys::SPI_getbinval(self.tuple, self.desc, number, &mut is_null);
            Value::new((*attribute(self.desc, number)).atttypid, (!is_null).then_some(datum))
        }
    }
}

/// Whether attribute `number` (from 1) has this name.
///
/// # Safety
/// There must be an attribute of that number.
pub(super) unsafe fn is_named(desc: pg_sys::TupleDesc, number: i32, name: &str) -> bool {
    // SAFETY: as said. A name is followed by a NUL within its field.
    let field = unsafe { &(*attribute(desc, number)).attname.data };
    let same = |(byte, character): (u8, &core::ffi::c_char)| byte == *character as u8;
    name.len() < field.len() && field[name.len()] == 0 && name.bytes().zip(field).all(same)
}

/// Attribute `number` (from 1).
///
/// # Safety
/// There must be an attribute of that number.
pub(super) unsafe fn attribute(desc: pg_sys::TupleDesc, number: i32) -> *const pg_sys::FormData_pg_attribute {
    // SAFETY: as said.
    unsafe {
        #[cfg(not(feature = "pg18"))]
        return (*desc).attrs.as_ptr().add(number as usize - 1);
        #[cfg(feature = "pg18")]
        return (*desc).compact_attrs.as_ptr().add((*desc).natts as usize).cast().add(number as usize - 1);
    }
}

impl Drop for Row<'_> {
    fn drop(&mut self) {
        // Where an error unwinds, its transaction's end gives back what is open.
        if std::thread::panicking() {
            return;
        }
        // SAFETY: the row owns what it holds. The table's lock stays until the transaction ends.
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
