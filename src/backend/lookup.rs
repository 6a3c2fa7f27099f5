//! One row by the whole key of a unique index, without a query.
//!
//! A save finds four rows this way. As queries they took a quarter of its time, most of it for starting and ending
//! the executor. Foreign keys' own checks are moving to such look-ups in Postgres for the same reason.

use core::ffi::CStr;

use pgrx::{FromDatum, pg_sys};

use super::{Bytes, Db, Rows, Statement, Timestamp, Value};

/// An index with the query that finds the same row.
pub struct Lookup {
    index: &'static CStr,
    query: Statement,
}

impl Lookup {
    /// `index` is the name of a unique btree index; `query` selects `*` of its table by the index's columns, which
    /// are its parameters in order.
    pub const fn new(index: &'static CStr, query: &'static str) -> Self {
        Lookup { index, query: Statement::new(query) }
    }
}

impl Db<'_> {
    /// Finds a row with a fresh snapshot, as [`Db::run`] would.
    pub fn look_up(&self, lookup: &'static Lookup, key: &[Value]) -> Option<Row> {
        if self.by_query.get() { self.query_row(lookup, key) } else { self.probe(lookup, key) }
    }

    /// Finds the row that all others belong to. Where the table on this server does not have it but a query does, the
    /// tables are distributed over other servers, and this connection looks up by queries from now on.
    pub fn look_up_root(&self, lookup: &'static Lookup, key: &[Value]) -> Option<Row> {
        self.probe(lookup, key).or_else(|| {
            let row = self.query_row(lookup, key);
            self.by_query.set(row.is_some());
            row
        })
    }

    fn query_row(&self, lookup: &'static Lookup, key: &[Value]) -> Option<Row> {
        let rows = self.run(&lookup.query, key);
        (!rows.is_empty()).then_some(Row(Source::Query(rows)))
    }

    fn probe(&self, lookup: &'static Lookup, key: &[Value]) -> Option<Row> {
        const MOST_COLUMNS: usize = 3;
        assert!(key.len() <= MOST_COLUMNS, "{} columns", key.len());
        unsafe {
            let index = pg_sys::get_relname_relid(lookup.index.as_ptr(), self.namespace);
            if index == pg_sys::InvalidOid {
                return None;
            }
            let lock = pg_sys::AccessShareLock as pg_sys::LOCKMODE;
            let index = pg_sys::index_open(index, lock);
            let table = pg_sys::table_open((*(*index).rd_index).indrelid, lock);
            let mut conditions = equal_to::<MOST_COLUMNS>(key);
            // What this transaction wrote before is seen, and what others committed until now.
            pg_sys::CommandCounterIncrement();
            pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
            let scan = begin_scan(table, index, pg_sys::GetActiveSnapshot(), &mut conditions[..key.len()]);
            let slot = pg_sys::table_slot_create(table, core::ptr::null_mut());
            let found = pg_sys::index_getnext_slot(scan, pg_sys::ScanDirection::ForwardScanDirection, slot);
            let tuple = found.then(|| pg_sys::ExecCopySlotHeapTuple(slot));
            pg_sys::ExecDropSingleTupleTableSlot(slot);
            pg_sys::index_endscan(scan);
            pg_sys::PopActiveSnapshot();
            pg_sys::index_close(index, lock);
            let row = tuple.map(|tuple| Row(Source::Index { tuple, table }));
            if row.is_none() {
                pg_sys::table_close(table, lock);
            }
            row
        }
    }
}

/// Conditions of a scan: the index's first columns are equal to `key`.
pub(super) unsafe fn equal_to<const COLUMNS: usize>(key: &[Value]) -> [pg_sys::ScanKeyData; COLUMNS] {
    unsafe {
        let mut conditions: [pg_sys::ScanKeyData; COLUMNS] = core::mem::zeroed();
        for (i, (condition, value)) in conditions.iter_mut().zip(key).enumerate() {
            let (equals, collation) = equality(value.oid);
            let datum = value.datum.unwrap_or(pg_sys::Datum::null());
            let flags = if value.datum.is_some() { 0 } else { pg_sys::SK_ISNULL as _ };
            let (column, strategy) = (i as pg_sys::AttrNumber + 1, pg_sys::BTEqualStrategyNumber as _);
            let any_type = pg_sys::InvalidOid;
            pg_sys::ScanKeyEntryInitialize(condition, flags, column, strategy, any_type, collation, equals, datum);
        }
        conditions
    }
}

/// `conditions` must live as long as the scan does.
pub(super) unsafe fn begin_scan(
    table: pg_sys::Relation,
    index: pg_sys::Relation,
    snapshot: pg_sys::Snapshot,
    conditions: &mut [pg_sys::ScanKeyData],
) -> pg_sys::IndexScanDesc {
    let count = conditions.len() as _;
    unsafe {
        #[cfg(not(feature = "pg18"))]
        let scan = pg_sys::index_beginscan(table, index, snapshot, count, 0);
        #[cfg(feature = "pg18")]
        let scan = pg_sys::index_beginscan(table, index, snapshot, core::ptr::null_mut(), count, 0);
        pg_sys::index_rescan(scan, conditions.as_mut_ptr(), count, core::ptr::null_mut(), 0);
        scan
    }
}

/// The function and the collation by which an index of ours compares values of a type.
fn equality(value_type: pg_sys::Oid) -> (pg_sys::RegProcedure, pg_sys::Oid) {
    match value_type {
        pg_sys::UUIDOID => (pg_sys::F_UUID_EQ.into(), pg_sys::InvalidOid),
        pg_sys::INT4OID => (pg_sys::F_INT4EQ.into(), pg_sys::InvalidOid),
        pg_sys::TEXTOID => (pg_sys::F_TEXTEQ.into(), pg_sys::C_COLLATION_OID),
        other => panic!("no index has a column of type {other:?}"),
    }
}

/// A row of a table, with its columns by name.
pub struct Row(Source);

enum Source {
    Query(Rows),
    /// A row that a trigger was given.
    Given {
        tuple: pg_sys::HeapTuple,
        desc: pg_sys::TupleDesc,
    },
    /// A copy of the row; its table is open, because the row's description is the table's.
    Index {
        tuple: pg_sys::HeapTuple,
        table: pg_sys::Relation,
    },
}

impl Row {
    pub(super) fn given(tuple: pg_sys::HeapTuple, desc: pg_sys::TupleDesc) -> Self {
        Row(Source::Given { tuple, desc })
    }

    /// A column; `None` is SQL's NULL.
    pub fn get<T: FromDatum>(&self, name: &CStr) -> Option<T> {
        let (datum, is_null) = self.datum(name);
        unsafe { T::from_datum(datum, is_null) }
    }

    /// A column that is declared NOT NULL.
    pub fn value<T: FromDatum>(&self, name: &CStr) -> T {
        self.get(name).unwrap_or_else(|| panic!("column {name:?} is null"))
    }

    /// A `timestamptz` column that is declared NOT NULL.
    pub fn time(&self, name: &CStr) -> Timestamp {
        Timestamp(self.value(name))
    }

    /// A `bytea` column, not yet fetched. Fetch it while the connection is open.
    pub fn bytes(&self, name: &CStr) -> Option<Bytes<'_>> {
        let (datum, is_null) = self.datum(name);
        (!is_null).then(|| unsafe { Bytes::new(datum) })
    }

    fn datum(&self, name: &CStr) -> (pg_sys::Datum, bool) {
        unsafe {
            let (tuple, desc) = match &self.0 {
                Source::Query(rows) => rows.first(),
                Source::Given { tuple, desc } => (*tuple, *desc),
                Source::Index { tuple, table } => (*tuple, (**table).rd_att),
            };
            let column = pg_sys::SPI_fnumber(desc, name.as_ptr());
            assert!(column > 0, "no column {name:?}");
            let mut is_null = false;
            let datum = pg_sys::SPI_getbinval(tuple, desc, column, &mut is_null);
            (datum, is_null)
        }
    }
}

impl Drop for Row {
    fn drop(&mut self) {
        if let Source::Index { tuple, table } = self.0 {
            unsafe {
                pg_sys::heap_freetuple(tuple);
                pg_sys::table_close(table, pg_sys::AccessShareLock as _);
            }
        }
    }
}
