//! The versions of one parent in a table of a user, found by the index on its parent columns and the version.
//!
//! They are read directly: whatever the policies and privileges of the session are, and with the functions of the index
//! itself, so that equality is the one that the index enforces.

use core::marker::PhantomData;
use core::mem::MaybeUninit;

use pgrx::pg_sys;

use super::guard;
use super::row::attribute;
use super::value::Value;

/// Which end of a parent's versions to begin with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum From {
    Newest,
    Oldest,
}

/// Versions to choose from.
#[derive(Clone, Copy)]
pub enum Among {
    All,
    Below(i64),
    Above(i64),
    Exactly(i64),
}

impl Among {
    /// The strategy of btree indexes, and the number to compare with.
    fn condition(self) -> Option<(u32, i64)> {
        match self {
            Among::All => None,
            Among::Below(version) => Some((pg_sys::BTLessStrategyNumber, version)),
            Among::Above(version) => Some((pg_sys::BTGreaterStrategyNumber, version)),
            Among::Exactly(version) => Some((pg_sys::BTEqualStrategyNumber, version)),
        }
    }
}

/// An open index, and the parent whose versions are looked for.
pub struct VersionIndex<'t> {
    table: pg_sys::Relation,
    index: pg_sys::Relation,
    /// That the index's first columns equal the parent's.
    parent: Vec<pg_sys::ScanKeyData>,
    version_type: pg_sys::Oid,
    lifetime: PhantomData<&'t ()>,
}

impl<'t> VersionIndex<'t> {
    /// The index of a table on just the parent columns, in any order, followed by the version, if there is one. `parents`
    /// are the numbers of the columns and the values to look for, none of them NULL.
    ///
    /// # Safety
    /// The table must be open and locked for `'t`, and so must the values live.
    pub(super) unsafe fn open(table: pg_sys::Relation, parents: &[(i32, Value<'t>)], version: i32) -> Option<Self> {
        // SAFETY: see above; indexes cannot be dropped while their table is locked, so they need no locks of their own. The
        // list is freed with its context.
        unsafe {
            let version_type = (*attribute((*table).rd_att, version)).atttypid;
            let indexes = pg_sys::RelationGetIndexList(table);
            let count = if indexes.is_null() { 0 } else { (*indexes).length };
            (0..count).find_map(|n| {
                let index = pg_sys::RelationIdGetRelation(pg_sys::list_nth_oid(indexes, n));
                if index.is_null() {
                    return None;
                }
                if is_on(index, parents, version) {
                    let parent = equal_to(index, parents);
                    return Some(VersionIndex { table, index, parent, version_type, lifetime: PhantomData });
                }
                pg_sys::RelationClose(index);
                None
            })
        }
    }

    /// The first of the versions that the active snapshot shows.
    pub fn first(&self, from: From, among: Among) -> Option<VersionRow<'t>> {
        let (mut conditions, direction) = (self.conditions(among), self.direction(from));
        // SAFETY: table and index are open and belong together; the conditions are on the index's first columns.
        unsafe {
            let (snapshot, count) = (pg_sys::GetActiveSnapshot(), conditions.len() as _);
            let row = guard::first_row(self.table, self.index, snapshot, conditions.as_mut_ptr(), count, direction);
            (!row.is_null()).then(|| self.row(row))
        }
    }

    /// The newest of the versions that the active snapshot shows which `is_wanted`.
    pub fn newest_that(&self, among: Among, is_wanted: impl Fn(&VersionRow) -> bool) -> Option<VersionRow<'t>> {
        self.that(among, is_wanted, 1).pop()
    }

    /// All versions that the active snapshot shows which `are_wanted`, the newest first.
    pub fn all_that(&self, are_wanted: impl Fn(&VersionRow) -> bool) -> Vec<VersionRow<'t>> {
        self.that(Among::All, are_wanted, usize::MAX)
    }

    fn that(&self, among: Among, is_wanted: impl Fn(&VersionRow) -> bool, count: usize) -> Vec<VersionRow<'t>> {
        let (mut conditions, direction) = (self.conditions(among), self.direction(From::Newest));
        // SAFETY: as above; scan and slot are ended here, or at the end of the transaction after an error.
        unsafe {
            let snapshot = pg_sys::GetActiveSnapshot();
            let scan = super::table::begin_scan(self.table, self.index, snapshot, &mut conditions);
            let slot = pg_sys::table_slot_create(self.table, core::ptr::null_mut());
            let mut found = Vec::new();
            while found.len() < count && pg_sys::index_getnext_slot(scan, direction, slot) {
                let row = self.row(pg_sys::ExecCopySlotHeapTuple(slot));
                if is_wanted(&row) {
                    found.push(row);
                } else {
                    pg_sys::heap_freetuple(row.tuple);
                }
                super::check_for_interrupts();
            }
            pg_sys::ExecDropSingleTupleTableSlot(slot);
            pg_sys::index_endscan(scan);
            found
        }
    }

    fn row(&self, tuple: pg_sys::HeapTuple) -> VersionRow<'t> {
        VersionRow { tuple, table: self.table, lifetime: PhantomData }
    }

    fn conditions(&self, among: Among) -> Vec<pg_sys::ScanKeyData> {
        let mut conditions = self.parent.clone();
        if let Some((strategy, version)) = among.condition() {
            let value = integer(self.version_type, version).unwrap_or(pg_sys::Datum::null());
            // SAFETY: the column after the parent's is the version.
            conditions.push(unsafe { condition(self.index, self.parent.len(), strategy, value) });
        }
        conditions
    }

    fn direction(&self, from: From) -> pg_sys::ScanDirection::Type {
        // SAFETY: the index has options for each of its columns.
        let options = unsafe { *(*self.index).rd_indoption.add(self.parent.len()) };
        let is_descending = options as u32 & pg_sys::INDOPTION_DESC != 0;
        if is_descending == (from == From::Newest) {
            pg_sys::ScanDirection::ForwardScanDirection
        } else {
            pg_sys::ScanDirection::BackwardScanDirection
        }
    }
}

impl Drop for VersionIndex<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // SAFETY: opened by `open`.
            unsafe { pg_sys::RelationClose(self.index) };
        }
    }
}

/// Whether a usable btree index begins with the parents' columns in any order, followed by the version.
unsafe fn is_on(index: pg_sys::Relation, parents: &[(i32, Value)], version: i32) -> bool {
    // SAFETY: the index is open; the number of columns is checked first.
    unsafe {
        let entry = &*(*index).rd_index;
        let (count, wanted) = (entry.indnkeyatts as usize, parents.len() + 1);
        if (*(*index).rd_rel).relam != pg_sys::BTREE_AM_OID
            || !(entry.indisvalid && entry.indisready && entry.indislive)
            || count < wanted
            || !pg_sys::RelationGetIndexPredicate(index).is_null()
        {
            return false;
        }
        let columns: Vec<i32> = entry.indkey.values.as_slice(count).iter().map(|&number| number.into()).collect();
        let (first, number) = (&columns[..parents.len()], columns[parents.len()]);
        number == version && parents.iter().all(|(parent, _)| first.contains(parent))
    }
}

/// Conditions that the first columns of an index equal the parents'.
unsafe fn equal_to(index: pg_sys::Relation, parents: &[(i32, Value)]) -> Vec<pg_sys::ScanKeyData> {
    // SAFETY: the index is on these columns, see `is_on`.
    unsafe {
        let columns = (*(*index).rd_index).indkey.values.as_slice(parents.len());
        let value = |column: &i16| {
            let parent = parents.iter().find(|(parent, _)| *parent == i32::from(*column));
            parent.expect("a parent's column").1.parts().0
        };
        let equals = pg_sys::BTEqualStrategyNumber;
        columns.iter().enumerate().map(|(i, column)| condition(index, i, equals, value(column))).collect()
    }
}

/// A condition on column `i` (from 0) of an index.
unsafe fn condition(index: pg_sys::Relation, i: usize, strategy: u32, value: pg_sys::Datum) -> pg_sys::ScanKeyData {
    // SAFETY: the index has this column, whose operator family has all operators that btree indexes know.
    unsafe {
        let (family, of_type) = (*(*index).rd_opfamily.add(i), *(*index).rd_opcintype.add(i));
        let operator = pg_sys::get_opfamily_member(family, of_type, of_type, strategy as _);
        let mut condition: pg_sys::ScanKeyData = core::mem::zeroed();
        pg_sys::ScanKeyEntryInitialize(
            &mut condition,
            0,
            i as pg_sys::AttrNumber + 1,
            strategy as _,
            pg_sys::InvalidOid,
            *(*index).rd_indcollation.add(i),
            pg_sys::get_opcode(operator),
            value,
        );
        condition
    }
}

/// A number as a value of an integer type; `None` if the type cannot hold it.
pub(super) fn integer(of_type: pg_sys::Oid, number: i64) -> Option<pg_sys::Datum> {
    match of_type {
        pg_sys::INT2OID => i16::try_from(number).ok().map(pg_sys::Datum::from),
        pg_sys::INT4OID => i32::try_from(number).ok().map(pg_sys::Datum::from),
        _ => Some(pg_sys::Datum::from(number)),
    }
}

/// A row of a user's table, copied.
pub struct VersionRow<'t> {
    tuple: pg_sys::HeapTuple,
    table: pg_sys::Relation,
    lifetime: PhantomData<&'t ()>,
}

/// What a row is locked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum LockFor {
    /// To be updated.
    Update,
    /// To be referred to by a foreign key.
    Reference,
}

/// What came of the attempt to lock a row.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum RowLock {
    Locked,
    /// Another transaction holds it.
    Busy,
    /// Another transaction has changed or deleted it.
    Changed,
}

impl<'t> VersionRow<'t> {
    /// Column `number`.
    pub fn column(&self, number: i32) -> Value<'t> {
        // SAFETY: the tuple matches the descriptor of its table.
        unsafe {
            let (desc, mut is_null) = ((*self.table).rd_att, false);
            let datum = pg_sys::SPI_getbinval(self.tuple, desc, number, &mut is_null);
            Value::new((*attribute(desc, number)).atttypid, (!is_null).then_some(datum))
        }
    }

    /// Where the row is, for `WHERE ctid = $1`.
    pub fn ctid(&self) -> Value<'t> {
        // SAFETY: the location is part of the copy.
        unsafe { Value::new(pg_sys::TIDOID, Some(pg_sys::Datum::from(&raw mut (*self.tuple).t_self))) }
    }

    /// Whether both are the same row.
    pub fn is(&self, other: &VersionRow) -> bool {
        // SAFETY: plain numbers of the copies.
        let place = |row: &VersionRow| unsafe {
            let tid = &(*row.tuple).t_self;
            (tid.ip_blkid.bi_hi, tid.ip_blkid.bi_lo, tid.ip_posid)
        };
        place(self) == place(other)
    }

    /// Locks the row against changes by others. Without `wait` it may be busy.
    pub fn lock(&self, how: LockFor, wait: bool) -> RowLock {
        let mode = match how {
            LockFor::Update => pg_sys::LockTupleMode::LockTupleNoKeyExclusive,
            LockFor::Reference => pg_sys::LockTupleMode::LockTupleKeyShare,
        };
        let policy = if wait { pg_sys::LockWaitPolicy::LockWaitBlock } else { pg_sys::LockWaitPolicy::LockWaitSkip };
        let mut failure = MaybeUninit::<pg_sys::TM_FailureData>::zeroed();
        // SAFETY: the table is open, and there is an active snapshot. The slot is dropped here.
        unsafe {
            let slot = pg_sys::table_slot_create(self.table, core::ptr::null_mut());
            let result = pg_sys::table_tuple_lock(
                self.table,
                &raw mut (*self.tuple).t_self,
                pg_sys::GetActiveSnapshot(),
                slot,
                pg_sys::GetCurrentCommandId(false),
                mode,
                policy,
                0,
                failure.as_mut_ptr(),
            );
            pg_sys::ExecDropSingleTupleTableSlot(slot);
            match result {
                pg_sys::TM_Result::TM_Ok | pg_sys::TM_Result::TM_SelfModified => RowLock::Locked,
                pg_sys::TM_Result::TM_WouldBlock => RowLock::Busy,
                _ => RowLock::Changed,
            }
        }
    }
}
