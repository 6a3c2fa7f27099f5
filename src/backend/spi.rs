//! Statements of our own, run through SPI with plans that are prepared once a backend.

use core::ffi::{c_char, c_int};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ffi::CString;

use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::Interval;
use pgrx::{FromDatum, IntoDatum, Uuid};

use super::{Bytes, Call};

/// A statement written once, as a `static`. `{s}` in its text stands for the extension's schema.
pub struct Statement(&'static str);

impl Statement {
    pub const fn new(sql: &'static str) -> Self {
        Statement(sql)
    }
}

/// Microseconds since 2000-01-01 00:00 UTC, Postgres' own `timestamptz`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub i64);

/// A typed parameter of a statement.
#[derive(Clone, Copy)]
pub struct Value {
    pub(super) oid: Oid,
    pub(super) datum: Option<pg_sys::Datum>,
}

impl Value {
    /// A 64-bit transaction id.
    pub fn xid8(xid: u64) -> Self {
        Value { oid: pg_sys::XID8OID, datum: Some(pg_sys::Datum::from(xid)) }
    }
}

macro_rules! value_from {
    ($($type:ty => $oid:ident, $v:ident -> $datum:expr;)*) => {$(
        impl From<$type> for Value {
            fn from($v: $type) -> Self {
                Value { oid: pg_sys::$oid, datum: $datum }
            }
        }
        impl From<Option<$type>> for Value {
            fn from(v: Option<$type>) -> Self {
                v.map_or(Value { oid: pg_sys::$oid, datum: None }, Value::from)
            }
        }
    )*};
}

value_from! {
    Uuid => UUIDOID, v -> v.into_datum();
    &str => TEXTOID, v -> v.into_datum();
    &[u8] => BYTEAOID, v -> v.into_datum();
    i16 => INT2OID, v -> v.into_datum();
    i32 => INT4OID, v -> v.into_datum();
    i64 => INT8OID, v -> v.into_datum();
    f64 => FLOAT8OID, v -> v.into_datum();
    Interval => INTERVALOID, v -> v.into_datum();
    bool => BOOLOID, v -> v.into_datum();
    &[i32] => INT4ARRAYOID, v -> v.into_datum();
    Timestamp => TIMESTAMPTZOID, v -> v.0.into_datum();
}

struct Plans {
    schema: String,
    by_statement: HashMap<*const Statement, pg_sys::SPIPlanPtr>,
}

thread_local! {
    static PLANS: RefCell<Plans> = RefCell::new(Plans { schema: String::new(), by_statement: HashMap::new() });
}

/// An open SPI connection.
pub struct Db<'c> {
    schema: &'c str,
    pub(super) namespace: Oid,
    /// Whether single rows are looked up by queries.
    pub(super) by_query: Cell<bool>,
}

/// Runs `body` with an SPI connection. Values that must outlive it are copied out by [`Rows`].
pub fn connect<R>(call: &Call, body: impl FnOnce(&Db) -> R) -> R {
    unsafe {
        pg_sys::SPI_connect();
        let db = Db { schema: &call.schema, namespace: call.namespace, by_query: Cell::new(false) };
        let result = body(&db);
        pg_sys::SPI_finish();
        result
    }
}

impl Db<'_> {
    /// Runs a statement with a fresh snapshot: under READ COMMITTED it sees what committed before now,
    /// also when the calling statement began earlier. Required after every lock.
    pub fn run(&self, statement: &'static Statement, args: &[Value]) -> Rows {
        self.execute(statement, args, |plan, values, nulls| unsafe {
            pg_sys::SPI_execute_plan(plan, values, nulls, false, 0)
        })
    }

    /// Runs a query with the calling statement's snapshot, for readers; allowed on a standby.
    pub fn read(&self, statement: &'static Statement, args: &[Value]) -> Rows {
        self.execute(statement, args, |plan, values, nulls| unsafe {
            pg_sys::SPI_execute_plan(plan, values, nulls, true, 0)
        })
    }

    /// Runs a query with the newest snapshot there is, under every isolation level: it shows what a fixed
    /// snapshot misses.
    pub fn read_latest(&self, statement: &'static Statement, args: &[Value]) -> Rows {
        self.execute(statement, args, |plan, values, nulls| unsafe {
            let (latest, none) = (pg_sys::GetLatestSnapshot(), std::ptr::null_mut());
            pg_sys::SPI_execute_snapshot(plan, values, nulls, latest, none, false, false, 0)
        })
    }

    /// Runs a query with the calling statement's snapshot and hands its rows to `body`, one by one, however many
    /// they are. What `body` fetches of a row lives until the next.
    pub fn each(&self, statement: &'static Statement, args: &[Value], mut body: impl FnMut(&Rows, usize)) {
        const BATCH: i64 = 100;
        let (mut datums, nulls) = parameters(args);
        let plan = self.plan(statement, args);
        unsafe {
            let portal = {
                let _indexes = IndexesOnly::begin();
                pg_sys::SPI_cursor_open(std::ptr::null(), plan, datums.as_mut_ptr(), nulls.as_ptr(), true)
            };
            let mut memory = pgrx::PgMemoryContexts::new("pg_versioned row");
            loop {
                pg_sys::SPI_cursor_fetch(portal, true, BATCH as _);
                let rows = Rows { table: pg_sys::SPI_tuptable, count: pg_sys::SPI_processed as usize };
                if rows.is_empty() {
                    break;
                }
                for row in 0..rows.len() {
                    memory.switch_to(|_| body(&rows, row));
                    memory.reset();
                }
            }
            pg_sys::SPI_cursor_close(portal);
        }
    }

    fn execute(
        &self,
        statement: &'static Statement,
        args: &[Value],
        run: impl FnOnce(pg_sys::SPIPlanPtr, *mut pg_sys::Datum, *const c_char) -> c_int,
    ) -> Rows {
        let plan = self.plan(statement, args);
        let (mut datums, nulls) = parameters(args);
        unsafe {
            let _indexes = IndexesOnly::begin();
            let status = run(plan, datums.as_mut_ptr(), nulls.as_ptr());
            assert!(status >= 0, "SPI answered {status}");
            Rows { table: pg_sys::SPI_tuptable, count: pg_sys::SPI_processed as usize }
        }
    }

    pub(super) fn plan(&self, statement: &'static Statement, args: &[Value]) -> pg_sys::SPIPlanPtr {
        if let Some(plan) = self.kept_plan(statement) {
            return plan;
        }
        let sql = CString::new(statement.0.replace("{s}", self.schema)).expect("our statements have no NUL");
        let mut types: Vec<Oid> = args.iter().map(|v| v.oid).collect();
        let plan = unsafe {
            // One plan for all parameters: they are ids and paths, and planning costs more than running.
            let options = pg_sys::CURSOR_OPT_GENERIC_PLAN as _;
            let plan = pg_sys::SPI_prepare_cursor(sql.as_ptr(), types.len() as _, types.as_mut_ptr(), options);
            assert!(!plan.is_null(), "SPI_prepare_cursor refused a statement");
            pg_sys::SPI_keepplan(plan);
            plan
        };
        PLANS.with_borrow_mut(|plans| plans.by_statement.insert(statement, plan));
        plan
    }

    /// Plans name their schema, so they are dropped together when the extension turns up in another.
    fn kept_plan(&self, statement: &'static Statement) -> Option<pg_sys::SPIPlanPtr> {
        let stale = PLANS.with_borrow_mut(|plans| {
            if plans.schema == self.schema {
                return Vec::new();
            }
            plans.schema = self.schema.to_owned();
            plans.by_statement.drain().map(|(_, plan)| plan).collect()
        });
        for plan in stale {
            unsafe { pg_sys::SPI_freeplan(plan) };
        }
        PLANS.with_borrow(|plans| plans.by_statement.get(&(statement as *const _)).copied())
    }
}

/// Values and null marks as SPI takes them.
fn parameters(args: &[Value]) -> (Vec<pg_sys::Datum>, Vec<c_char>) {
    args.iter()
        .map(|v| (v.datum.unwrap_or(pg_sys::Datum::null()), if v.datum.is_some() { b' ' } else { b'n' } as c_char))
        .unzip()
}

/// Keeps the planner from sequential scans while it lives. A plan made while a table is small would stay with
/// a scan when the table has grown a thousandfold within one transaction, before anything can analyze it. Where there is
/// no index to use, the plan seems so dear then that Postgres would compile it, which takes longer than to run it.
pub(super) struct IndexesOnly {
    seqscan: bool,
    jit: bool,
}

impl IndexesOnly {
    pub(super) fn begin() -> Self {
        unsafe {
            let before = IndexesOnly { seqscan: pg_sys::enable_seqscan, jit: pg_sys::jit_enabled };
            (pg_sys::enable_seqscan, pg_sys::jit_enabled) = (false, false);
            before
        }
    }
}

impl Drop for IndexesOnly {
    fn drop(&mut self) {
        unsafe { (pg_sys::enable_seqscan, pg_sys::jit_enabled) = (self.seqscan, self.jit) };
    }
}

/// The rows a statement answered with.
pub struct Rows {
    table: *mut pg_sys::SPITupleTable,
    count: usize,
}

impl Rows {
    /// Number of rows returned, or affected where the statement returns none.
    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Column `column` (from 1) of row `row` (from 0); `None` is SQL's NULL.
    ///
    /// # Panics
    /// When there is no such row, or the column is not of the type asked for: our statements are fixed.
    pub fn get<T: FromDatum>(&self, row: usize, column: usize) -> Option<T> {
        unsafe {
            let (datum, is_null) = self.datum(row, column);
            T::from_polymorphic_datum(datum, is_null, pg_sys::SPI_gettypeid((*self.table).tupdesc, column as _))
        }
    }

    /// A column that is declared NOT NULL.
    pub fn value<T: FromDatum>(&self, row: usize, column: usize) -> T {
        self.get(row, column).unwrap_or_else(|| panic!("column {column} is null"))
    }

    /// A column as a parameter of another statement or a column of an answer.
    pub fn column(&self, row: usize, column: usize) -> Value {
        unsafe {
            let (datum, is_null) = self.datum(row, column);
            let oid = pg_sys::SPI_gettypeid((*self.table).tupdesc, column as _);
            Value { oid, datum: (!is_null).then_some(datum) }
        }
    }

    /// All columns of a row.
    pub fn columns(&self, row: usize) -> Vec<Value> {
        let count = unsafe { (*(*self.table).tupdesc).natts as usize };
        (1..=count).map(|column| self.column(row, column)).collect()
    }

    /// A `timestamptz` column.
    pub fn time(&self, row: usize, column: usize) -> Option<Timestamp> {
        unsafe {
            let (datum, is_null) = self.datum(row, column);
            (!is_null).then(|| Timestamp(datum.value() as i64))
        }
    }

    /// A `bytea` column, not yet fetched. Fetch it while the connection is open.
    pub fn bytes(&self, row: usize, column: usize) -> Option<Bytes<'_>> {
        unsafe {
            let (datum, is_null) = self.datum(row, column);
            (!is_null).then(|| Bytes::new(datum))
        }
    }

    /// A composite column of the first row, as the function's answer.
    pub fn composite(&self, column: usize) -> super::Answer {
        unsafe {
            let (datum, is_null) = self.datum(0, column);
            assert!(!is_null, "composite column {column} is null");
            super::Answer(pg_sys::SPI_datumTransfer(datum, false, -1))
        }
    }

    /// The first row and what it is described by.
    pub(super) unsafe fn first(&self) -> (pg_sys::HeapTuple, pg_sys::TupleDesc) {
        assert!(!self.table.is_null() && self.count > 0, "no row");
        unsafe { (*(*self.table).vals, (*self.table).tupdesc) }
    }

    unsafe fn datum(&self, row: usize, column: usize) -> (pg_sys::Datum, bool) {
        assert!(!self.table.is_null() && row < self.count, "no row {row}");
        unsafe {
            let mut is_null = false;
            let tuple = *(*self.table).vals.add(row);
            let datum = pg_sys::SPI_getbinval(tuple, (*self.table).tupdesc, column as _, &mut is_null);
            (datum, is_null)
        }
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        if !self.table.is_null() {
            unsafe { pg_sys::SPI_freetuptable(self.table) };
        }
    }
}
