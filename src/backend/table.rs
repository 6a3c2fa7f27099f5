//! Rows found and written without a query, using the complete key of a unique index.
//!
//! A save finds three to five rows and writes two. As queries, they took half of its time, most of it for starting and
//! ending the executor. Postgres itself is moving foreign-key checks to such lookups for the same reason.
//!
//! A table is locked before its name is relied upon, and before any of its indexes is examined: maintenance commands
//! lock in that order, too. Table locks are held until the transaction ends, index locks only while the index is used.

use core::ffi::CStr;

use pgrx::pg_sys;

use super::guard;
use super::row::{Row, is_named};
use super::statement::{Arg, Db, Statement};
use super::value::Value;
use crate::error::Error;

/// Most columns of a key.
const MOST_COLUMNS: usize = 3;

/// How a call will use a table.
#[derive(Clone, Copy)]
pub enum Use {
    Read,
    Write,
    /// For writing while nobody else writes.
    Alone,
}

impl Use {
    fn lock_mode(self) -> pg_sys::LOCKMODE {
        match self {
            Use::Read => pg_sys::AccessShareLock as _,
            Use::Write => pg_sys::RowExclusiveLock as _,
            Use::Alone => pg_sys::ShareRowExclusiveLock as _,
        }
    }
}

/// An index, together with a query that finds the same row.
pub struct Lookup {
    table: &'static CStr,
    index: &'static CStr,
    /// The index's columns in order, with the names used in the query.
    key: &'static [&'static str],
    query: Statement,
}

impl Lookup {
    /// `index` is the name of a btree index of `table`; `query` selects `*` from the table by `key`, the index's
    /// columns in order.
    pub const fn new(
        table: &'static CStr,
        index: &'static CStr,
        key: &'static [&'static str],
        query: &'static str,
    ) -> Self {
        Lookup { table, index, key, query: Statement::new(query) }
    }
}

impl Db<'_> {
    /// Locks tables for the use a call will make of them. This must be done before waiting for advisory locks: a call that
    /// waits for a table then holds nothing that similar calls wait for, so maintenance in between cannot make them
    /// deadlock. `before_waiting` is asked once if a table is not free.
    pub fn lock_tables(
        &self,
        tables: &[(&'static CStr, Use)],
        before_waiting: impl FnOnce() -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut before_waiting = Some(before_waiting);
        for &(name, how) in tables {
            let oid = match self.try_lock_table(name, how.lock_mode())? {
                Some(oid) => oid,
                None => {
                    before_waiting.take().map_or(Ok(()), |ask| ask())?;
                    self.lock_table(name, how.lock_mode())?
                }
            };
            self.locked.borrow_mut().push((name, oid));
        }
        Ok(())
    }

    /// A table that is locked until the transaction ends, by this call if it is not already.
    pub(super) fn table(&self, name: &CStr, how: Use) -> Result<pg_sys::Oid, Error> {
        let locked = self.locked.borrow().iter().find(|(known, _)| *known == name).map(|(_, oid)| *oid);
        locked.map_or_else(|| self.lock_table(name, how.lock_mode()), Ok)
    }

    /// Finds a row with the active snapshot.
    pub fn look_up(&self, lookup: &'static Lookup, key: &[Arg]) -> Result<Option<Row<'_>>, Error> {
        if self.is_distributed.get() { Ok(self.query_row(lookup, key)) } else { self.probe(lookup, key) }
    }

    /// Finds the row that all others belong to. If the table on this server does not contain it but a query finds it,
    /// the tables are distributed over other servers, and this connection uses queries to find and write from now on.
    pub fn look_up_root(&self, lookup: &'static Lookup, key: &[Arg]) -> Result<Option<Row<'_>>, Error> {
        if let Some(row) = self.probe(lookup, key)? {
            return Ok(Some(row));
        }
        // SAFETY: any name will do.
        let may_be_distributed = unsafe { pg_sys::get_extension_oid(c"citus".as_ptr(), true) } != pg_sys::InvalidOid;
        let row = may_be_distributed.then(|| self.query_row(lookup, key)).flatten();
        self.is_distributed.set(row.is_some());
        Ok(row)
    }

    /// Finds all rows that have the key, with the active snapshot. The index need not be unique.
    pub fn look_up_all(&self, lookup: &'static Lookup, key: &[Arg]) -> Result<Vec<Row<'_>>, Error> {
        let by_query = || self.read(&lookup.query, key).iter().map(|row| row.copied()).collect();
        if self.is_distributed.get() {
            return Ok(by_query());
        }
        // SAFETY: table and index are open and belong together.
        self.by_index(lookup, key, |table, index| unsafe { rows_by_index(table, index, lookup.key, key) }, by_query)
    }

    fn query_row(&self, lookup: &'static Lookup, key: &[Arg]) -> Option<Row<'_>> {
        let rows = self.read(&lookup.query, key);
        // The row must outlive the query's result.
        rows.first().map(|row| row.copied())
    }

    fn probe(&self, lookup: &'static Lookup, key: &[Arg]) -> Result<Option<Row<'_>>, Error> {
        // SAFETY: table and index are open and belong together.
        let first = |table, index| unsafe {
            probe_index(table, index, lookup.key, key).map(|tuple| Row::of_table(tuple, table))
        };
        self.by_index(lookup, key, first, || self.query_row(lookup, key))
    }

    /// Runs `search` with the table and the index of a lookup, or `by_query` if the index is too new for some snapshots:
    /// the planner knows which ones.
    fn by_index<T>(
        &self,
        lookup: &Lookup,
        key: &[Arg],
        search: impl FnOnce(pg_sys::Relation, pg_sys::Relation) -> T,
        by_query: impl FnOnce() -> T,
    ) -> Result<T, Error> {
        let oid = self.table(lookup.table, Use::Read)?;
        // SAFETY: the table is locked, so it does not change, nor does an index that was found valid: even REINDEX
        // CONCURRENTLY waits for the users of the table before dropping an index.
        unsafe {
            let table = pg_sys::table_open(oid, pg_sys::NoLock as _);
            let found = open_index(self.namespace(), table, lookup.index, lookup.key, key).map(|index| {
                let is_too_new = (*(*index).rd_index).indcheckxmin;
                let found = (!is_too_new).then(|| search(table, index));
                pg_sys::index_close(index, pg_sys::AccessShareLock as _);
                found.unwrap_or_else(by_query)
            });
            pg_sys::table_close(table, pg_sys::NoLock as _);
            found
        }
    }

    /// Locks a table by its name until the transaction ends; returns its oid.
    pub(super) fn lock_table(&self, name: &CStr, mode: pg_sys::LOCKMODE) -> Result<pg_sys::Oid, Error> {
        let lock = |oid| {
            // SAFETY: locking an oid is safe even if the table no longer exists.
            unsafe { pg_sys::LockRelationOid(oid, mode) };
            true
        };
        // It has waited, so there is an oid.
        self.lock_named(name, mode, lock).map(|oid| oid.expect("the lock was waited for"))
    }

    /// The same if that needs no waiting.
    fn try_lock_table(&self, name: &CStr, mode: pg_sys::LOCKMODE) -> Result<Option<pg_sys::Oid>, Error> {
        // SAFETY: as above.
        self.lock_named(name, mode, |oid| unsafe { pg_sys::ConditionalLockRelationOid(oid, mode) })
    }

    fn lock_named(
        &self,
        name: &CStr,
        mode: pg_sys::LOCKMODE,
        lock: impl Fn(pg_sys::Oid) -> bool,
    ) -> Result<Option<pg_sys::Oid>, Error> {
        // SAFETY: any name and any oid will do.
        let named = || unsafe { pg_sys::get_relname_relid(name.as_ptr(), self.namespace()) };
        // SAFETY: a plain read of a global.
        let messages = || unsafe { pg_sys::SharedInvalidMessageCounter };
        loop {
            let before = messages();
            let oid = named();
            if oid == pg_sys::InvalidOid {
                return Err(Error::Missing { kind: "table", name: name.to_string_lossy().into_owned() });
            }
            if !lock(oid) {
                return Ok(None);
            }
            // Locking it may have revealed that the name now belongs to another table.
            if messages() == before || named() == oid {
                return Ok(Some(oid));
            }
            // SAFETY: taken above.
            unsafe { pg_sys::UnlockRelationOid(oid, mode) };
        }
    }
}

/// How often an index is looked for. When REINDEX CONCURRENTLY gives a name to another index, the change is visible shortly
/// before it is announced: what is read anew then does not fit what is still cached, and seems invalid.
const ATTEMPTS: usize = 4;

/// The index of an open table that has this name, if it is usable and on these columns, with the types of `key`.
///
/// # Safety
/// The table must be open and locked.
pub(super) unsafe fn open_index(
    namespace: pg_sys::Oid,
    table: pg_sys::Relation,
    name: &CStr,
    columns: &[&str],
    key: &[Arg],
) -> Result<pg_sys::Relation, Error> {
    // SAFETY: see above; the caller closes the index.
    unsafe {
        let text = || name.to_string_lossy().into_owned();
        let index = (0..ATTEMPTS).find_map(|attempt| {
            if attempt > 0 {
                pg_sys::InvalidateSystemCaches();
            }
            index_named(namespace, table, name)
        });
        let index = index.ok_or_else(|| Error::Missing { kind: "valid index", name: text() })?;
        if is_on(index, table, columns, key) {
            return Ok(index);
        }
        pg_sys::index_close(index, pg_sys::AccessShareLock as _);
        Err(Error::Mismatch(format!(
            "index \"{}\" is not a btree index on {} as they were",
            text(),
            columns.join(", ")
        )))
    }
}

/// Whether it is a btree index that begins with these columns, and compares them as [`equal_to`] does: it would take a
/// value of another type for what it is not, and search in another order in vain.
unsafe fn is_on(index: pg_sys::Relation, table: pg_sys::Relation, columns: &[&str], key: &[Arg]) -> bool {
    // SAFETY: both are open; the number of columns is checked first.
    unsafe {
        let entry = &*(*index).rd_index;
        let count = entry.indnkeyatts as usize;
        if (*(*index).rd_rel).relam != pg_sys::BTREE_AM_OID || count < columns.len() {
            return false;
        }
        let numbers = entry.indkey.values.as_slice(count);
        columns.iter().enumerate().all(|(i, column)| {
            let value = in_key(key, column).oid();
            numbers[i] > 0
                && is_named((*table).rd_att, numbers[i].into(), column)
                && *(*index).rd_opcintype.add(i) == value
                && *(*index).rd_indcollation.add(i) == equality(value).1
        })
    }
}

fn in_key<'v>(key: &[Arg<'v>], column: &str) -> Value<'v> {
    key.iter().find(|(name, _)| *name == column).unwrap_or_else(|| panic!("no key {column}")).1
}

/// The index of an open table that has this name and may be used.
///
/// # Safety
/// The table must be open and locked.
unsafe fn index_named(namespace: pg_sys::Oid, table: pg_sys::Relation, name: &CStr) -> Option<pg_sys::Relation> {
    // SAFETY: see above; what is opened here is closed by the caller, or here.
    unsafe {
        loop {
            let before = pg_sys::SharedInvalidMessageCounter;
            let oid = pg_sys::get_relname_relid(name.as_ptr(), namespace);
            if oid == pg_sys::InvalidOid {
                return None;
            }
            let index = pg_sys::try_relation_open(oid, pg_sys::AccessShareLock as _);
            // While waiting for the lock, the name may have become that of another index.
            let is_it = pg_sys::SharedInvalidMessageCounter == before
                || pg_sys::get_relname_relid(name.as_ptr(), namespace) == oid;
            if index.is_null() {
                if is_it { return None } else { continue }
            }
            let entry = (*index).rd_index;
            if is_it && !entry.is_null() && (*entry).indrelid == (*table).rd_id && (*entry).indisvalid {
                return Some(index);
            }
            pg_sys::relation_close(index, pg_sys::AccessShareLock as _);
            if is_it {
                return None;
            }
        }
    }
}

/// A copy of the row whose index columns equal `key`.
unsafe fn probe_index(
    table: pg_sys::Relation,
    index: pg_sys::Relation,
    columns: &[&str],
    key: &[Arg],
) -> Option<pg_sys::HeapTuple> {
    assert!(columns.len() <= MOST_COLUMNS, "{} columns", columns.len());
    // SAFETY: the table and the index are open and belong together; conditions and slot live as long as the scan.
    unsafe {
        let mut conditions = equal_to::<MOST_COLUMNS>(columns, key);
        let snapshot = pg_sys::GetActiveSnapshot();
        let forward = pg_sys::ScanDirection::ForwardScanDirection;
        let row = guard::first_row(table, index, snapshot, conditions.as_mut_ptr(), columns.len() as _, forward);
        (!row.is_null()).then_some(row)
    }
}

/// Copies of all rows whose index columns are equal to `key`.
unsafe fn rows_by_index<'r>(
    table: pg_sys::Relation,
    index: pg_sys::Relation,
    columns: &[&str],
    key: &[Arg],
) -> Vec<Row<'r>> {
    // SAFETY: table and index are open and belong together; conditions and slot live as long as the scan.
    unsafe {
        let mut conditions = equal_to::<MOST_COLUMNS>(columns, key);
        let scan = begin_scan(table, index, pg_sys::GetActiveSnapshot(), &mut conditions[..columns.len()]);
        let slot = pg_sys::table_slot_create(table, core::ptr::null_mut());
        let mut rows = Vec::new();
        while pg_sys::index_getnext_slot(scan, pg_sys::ScanDirection::ForwardScanDirection, slot) {
            rows.push(Row::of_table(pg_sys::ExecCopySlotHeapTuple(slot), table));
        }
        pg_sys::ExecDropSingleTupleTableSlot(slot);
        pg_sys::index_endscan(scan);
        rows
    }
}

/// Conditions of a scan: the index's first columns equal the values in `key` that have the names in `columns`.
pub(super) unsafe fn equal_to<const COLUMNS: usize>(columns: &[&str], key: &[Arg]) -> [pg_sys::ScanKeyData; COLUMNS] {
    // SAFETY: ScanKeyEntryInitialize starts from a zeroed key; the functions compare values of these types.
    unsafe {
        let mut conditions: [pg_sys::ScanKeyData; COLUMNS] = core::mem::zeroed();
        for (i, (condition, column)) in conditions.iter_mut().zip(columns).enumerate() {
            let value = in_key(key, column);
            let (equals, collation) = equality(value.oid());
            let (datum, is_null) = value.parts();
            let flags = if is_null { pg_sys::SK_ISNULL as _ } else { 0 };
            let (column, strategy) = (i as pg_sys::AttrNumber + 1, pg_sys::BTEqualStrategyNumber as _);
            let any_type = pg_sys::InvalidOid;
            pg_sys::ScanKeyEntryInitialize(condition, flags, column, strategy, any_type, collation, equals, datum);
        }
        conditions
    }
}

/// `conditions` must live as long as the scan.
pub(super) unsafe fn begin_scan(
    table: pg_sys::Relation,
    index: pg_sys::Relation,
    snapshot: pg_sys::Snapshot,
    conditions: &mut [pg_sys::ScanKeyData],
) -> pg_sys::IndexScanDesc {
    let count = conditions.len() as _;
    // SAFETY: ensured by the caller.
    unsafe {
        #[cfg(not(feature = "pg18"))]
        let scan = pg_sys::index_beginscan(table, index, snapshot, count, 0);
        #[cfg(feature = "pg18")]
        let scan = pg_sys::index_beginscan(table, index, snapshot, core::ptr::null_mut(), count, 0);
        pg_sys::index_rescan(scan, conditions.as_mut_ptr(), count, core::ptr::null_mut(), 0);
        scan
    }
}

/// The function and the collation by which the extension's indexes compare values of a type.
fn equality(value_type: pg_sys::Oid) -> (pg_sys::RegProcedure, pg_sys::Oid) {
    match value_type {
        pg_sys::UUIDOID => (pg_sys::F_UUID_EQ.into(), pg_sys::InvalidOid),
        pg_sys::INT4OID => (pg_sys::F_INT4EQ.into(), pg_sys::InvalidOid),
        pg_sys::TEXTOID => (pg_sys::F_TEXTEQ.into(), pg_sys::C_COLLATION_OID),
        other => panic!("no index has a column of type {other:?}"),
    }
}
