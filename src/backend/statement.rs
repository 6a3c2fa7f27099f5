//! SQL statements of the extension, executed through SPI with plans that are prepared once per backend.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::marker::PhantomData;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ffi::CString;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use pgrx::pg_sys::{self, Oid};

use super::guard::PostgresError;
use super::row::Row;
use super::session::PinnedSearchPath;
use super::subtransaction::attempt;
use super::value::Value;
use super::{Call, guard};
use crate::error::Error;

/// A statement, written once as a `static`. In its text, `{s}` stands for the extension's schema, and `:name` for the
/// parameter of that name.
pub struct Statement(&'static str);

impl Statement {
    pub const fn new(sql: &'static str) -> Self {
        Statement(sql)
    }
}

/// A parameter's name and value; see [`args!`](crate::args).
pub type Arg<'v> = (&'static str, Value<'v>);

/// Parameters of a statement: `args! { project, path: self.path }` gives `:project` and `:path`.
#[macro_export]
macro_rules! args {
    (@value $name:ident) => { $name };
    (@value $name:ident $value:expr) => { $value };
    ($($name:ident $(: $value:expr)?),* $(,)?) => {
        [$((stringify!($name), $crate::backend::Value::from($crate::args!(@value $name $($value)?)))),*]
    };
}

/// A statement with its parameters numbered.
struct Parsed {
    sql: String,
    /// Names of `$1`, `$2`, and so on.
    parameters: Vec<&'static str>,
}

/// Numbers the parameters in the order in which they first appear. Quoted text and casts (`::`) are left alone.
fn parse(text: &'static str, schema: &str) -> Parsed {
    let mut parsed = Parsed { sql: String::with_capacity(text.len() + 64), parameters: Vec::new() };
    let mut rest = text;
    let mut in_quotes = false;
    while let Some(at) = rest.find([':', '\'', '{']) {
        let (before, from) = rest.split_at(at);
        parsed.sql.push_str(before);
        let name_len = from[1..].find(|c: char| !(c.is_ascii_lowercase() || c == '_')).unwrap_or(from.len() - 1);
        let taken = if in_quotes || !from.starts_with(':') {
            1
        } else if from.starts_with("::") {
            2
        } else {
            1 + name_len
        };
        match (&from[..taken], in_quotes) {
            ("'", _) => {
                in_quotes = !in_quotes;
                parsed.sql.push('\'');
            }
            ("{", false) if from.starts_with("{s}") => {
                parsed.sql.push_str(schema);
                rest = &from["{s}".len()..];
                continue;
            }
            (name, false) if name.len() > 1 && name != "::" => {
                let name = &name[1..];
                let known = parsed.parameters.iter().position(|known| *known == name);
                let number = known.unwrap_or_else(|| {
                    parsed.parameters.push(name);
                    parsed.parameters.len() - 1
                });
                parsed.sql.push_str(&format!("${}", number + 1));
            }
            (other, _) => parsed.sql.push_str(other),
        }
        rest = &from[taken..];
    }
    parsed.sql.push_str(rest);
    parsed
}

/// A saved plan, and the names of its parameters in order.
#[derive(Clone)]
struct Plan {
    plan: pg_sys::SPIPlanPtr,
    parameters: std::rc::Rc<[&'static str]>,
}

struct Plans {
    schema: String,
    by_statement: HashMap<*const Statement, Plan>,
}

thread_local! {
    static PLANS: RefCell<Plans> = RefCell::new(Plans { schema: String::new(), by_statement: HashMap::new() });
}

/// Access to the extension's tables, through statements or directly (see [`super::table`]).
pub struct Db<'c> {
    call: &'c Call,
    spi: RefCell<Option<Connection>>,
    /// Whether the tables are distributed over other servers, so that their rows can only be reached through
    /// statements.
    pub(super) is_distributed: Cell<bool>,
    /// The schema, quoted, in which users' code finds what it names without one.
    user_schema: Option<String>,
    /// Tables locked at the start of the call: until it ends, their names keep referring to them.
    pub(super) locked: RefCell<Vec<(&'static CStr, Oid)>>,
}

/// An open SPI connection.
struct Connection {
    /// With which its statements are parsed, planned and run.
    _search_path: PinnedSearchPath,
}

/// Runs `body` with access to the extension's tables.
pub fn connect<R>(call: &Call, body: impl FnOnce(&Db) -> R) -> R {
    body(&Db::new(call, None))
}

/// Runs `body` with access to tables of users, whose triggers find what they name without a schema in this one, quoted: never
/// in the caller's path, where the caller could have put anything. Every name in the statements themselves must have its
/// schema, operators included.
pub fn connect_for_user_code<R>(call: &Call, schema: String, body: impl FnOnce(&Db) -> R) -> R {
    body(&Db::new(call, Some(schema)))
}

/// Restores the current memory context, because SPI leaves its own behind.
pub(super) struct SameMemory(pg_sys::MemoryContext);

impl SameMemory {
    fn begin() -> Self {
        // SAFETY: a plain read of a global of this single-threaded process.
        SameMemory(unsafe { pg_sys::CurrentMemoryContext })
    }
}

impl Drop for SameMemory {
    fn drop(&mut self) {
        // SAFETY: the context outlives the call that was made in it.
        unsafe { pg_sys::CurrentMemoryContext = self.0 };
    }
}

impl<'c> Db<'c> {
    fn new(call: &'c Call, user_schema: Option<String>) -> Self {
        let (spi, is_distributed, locked) = (RefCell::new(None), Cell::new(false), RefCell::default());
        Db { call, spi, is_distributed, user_schema, locked }
    }
}

impl Db<'_> {
    pub(super) fn namespace(&self) -> Oid {
        self.call.namespace()
    }

    /// The memory context in which a function's result must live.
    pub(super) fn answer_memory(&self) -> pg_sys::MemoryContext {
        self.call.memory
    }

    pub(super) fn fcinfo(&self) -> pg_sys::FunctionCallInfo {
        self.call.fcinfo
    }

    /// The declared type of the function's result.
    pub(super) fn result_type(&self) -> Oid {
        self.call.result_type
    }

    /// The role whose permissions are used for all writing.
    pub(super) fn owner(&self) -> Oid {
        self.call.owner
    }

    /// Runs a statement with a fresh snapshot: under READ COMMITTED it sees everything committed before now, even if
    /// the calling statement began earlier. Required after every lock.
    pub fn run(&self, statement: &'static Statement, args: &[Arg]) -> Rows<'_> {
        self.execute(statement, args, |plan, values, nulls| {
            // SAFETY: plan, values and null flags have the form that SPI expects; see `execute`.
            unsafe { guard::SPI_execute_plan(plan, values, nulls, false, 0) }
        })
    }

    /// Runs a query with the calling statement's snapshot, for readers; also allowed on a standby.
    pub fn read(&self, statement: &'static Statement, args: &[Arg]) -> Rows<'_> {
        self.execute(statement, args, |plan, values, nulls| {
            // SAFETY: as in `run`.
            unsafe { guard::SPI_execute_plan(plan, values, nulls, true, 0) }
        })
    }

    /// Runs a query with the newest possible snapshot, whatever the isolation level: it shows what a fixed snapshot
    /// misses.
    pub fn read_latest(&self, statement: &'static Statement, args: &[Arg]) -> Rows<'_> {
        self.execute(statement, args, |plan, values, nulls| {
            // SAFETY: as in `run`; the newest snapshot lives until the next one is taken.
            unsafe {
                let (latest, none) = (pg_sys::GetLatestSnapshot(), std::ptr::null_mut());
                guard::SPI_execute_snapshot(plan, values, nulls, latest, none, false, false, 0)
            }
        })
    }

    /// Runs a query with the calling statement's snapshot and passes its rows to `body` one by one, regardless of their
    /// number. Whatever `body` fetches from a row lives until the next row. The first error ends it.
    pub fn each(
        &self,
        statement: &'static Statement,
        args: &[Arg],
        body: impl FnMut(&Row) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let _memory = self.spi();
        let (plan, values) = self.plan(statement, args);
        let (mut datums, nulls) = parameters(&values);
        // SAFETY: as in `run`; `each_of` closes the portal.
        unsafe {
            let portal = {
                let _indexes = IndexesOnly::begin();
                guard::SPI_cursor_open(std::ptr::null(), plan, datums.as_mut_ptr(), nulls.as_ptr(), true)
            };
            self.each_of(portal, body)
        }
    }

    /// Passes the rows of a portal to `body` and closes it.
    ///
    /// # Safety
    /// It must be an open portal that nobody else closes.
    pub(super) unsafe fn each_of(
        &self,
        portal: *mut c_void,
        mut body: impl FnMut(&Row) -> Result<(), Error>,
    ) -> Result<(), Error> {
        const BATCH: i64 = 100;
        // SAFETY: see above; the rows of a fetch live until they are freed.
        unsafe {
            let mut memory = pgrx::PgMemoryContexts::new("pg_versioned row");
            loop {
                guard::SPI_cursor_fetch(portal, true, BATCH as _);
                let rows = self.rows();
                if rows.is_empty() {
                    break;
                }
                for row in rows.iter() {
                    memory.switch_to(|_| body(&row))?;
                    memory.reset();
                    super::check_for_interrupts();
                }
            }
            guard::SPI_cursor_close(portal);
        }
        Ok(())
    }

    fn execute(
        &self,
        statement: &'static Statement,
        args: &[Arg],
        run: impl FnOnce(pg_sys::SPIPlanPtr, *mut pg_sys::Datum, *const c_char) -> c_int,
    ) -> Rows<'_> {
        let _memory = self.spi();
        let (plan, values) = self.plan(statement, args);
        let (mut datums, nulls) = parameters(&values);
        let _indexes = IndexesOnly::begin();
        let status = run(plan, datums.as_mut_ptr(), nulls.as_ptr());
        assert!(status >= 0, "SPI answered {status}");
        self.rows()
    }

    pub(super) fn rows(&self) -> Rows<'_> {
        // SAFETY: reads globals that were set by the preceding SPI call.
        unsafe { Rows { table: pg_sys::SPI_tuptable, count: pg_sys::SPI_processed as usize, connection: PhantomData } }
    }

    /// Opens the SPI connection for the first statement: a save that finds and writes its rows directly needs none.
    pub(super) fn spi(&self) -> SameMemory {
        let memory = SameMemory::begin();
        if self.spi.borrow().is_none() {
            // SAFETY: undone by `drop`, or at the end of the transaction or subtransaction after an error.
            unsafe { pg_sys::SPI_connect() };
            let search_path =
                self.user_schema.as_deref().map_or_else(PinnedSearchPath::begin, PinnedSearchPath::begin_in);
            *self.spi.borrow_mut() = Some(Connection { _search_path: search_path });
        }
        memory
    }

    /// Runs `body` in a subtransaction; if it violates the unique index named, everything it did is undone and the
    /// result is `None`. Any other error also undoes it, and is passed on.
    pub fn undo_on_duplicate<R>(&self, index: &str, body: impl FnOnce() -> R) -> Option<R> {
        // A connection opened inside would be left open at the end of the subtransaction.
        let _memory = self.spi();
        match catch_unwind(AssertUnwindSafe(|| attempt(body, |_| true))) {
            Ok(result) => Some(result),
            Err(panic) => {
                if !panic.downcast_ref::<PostgresError>().is_some_and(|error| error.is_duplicate_in(index)) {
                    resume_unwind(panic);
                }
                None
            }
        }
    }

    /// The plan of a statement, and its parameters in the plan's order.
    pub(super) fn plan<'v>(
        &self,
        statement: &'static Statement,
        args: &[Arg<'v>],
    ) -> (pg_sys::SPIPlanPtr, Vec<Value<'v>>) {
        let plan = self.kept_plan(statement).unwrap_or_else(|| self.prepare(statement, args));
        (plan.plan, in_order(&plan.parameters, args))
    }

    fn prepare(&self, statement: &'static Statement, args: &[Arg]) -> Plan {
        let Parsed { sql, parameters } = parse(statement.0, self.call.schema());
        let mut types: Vec<Oid> = in_order(&parameters, args).iter().map(|value| value.oid()).collect();
        let [begin, end] = guard::STATEMENT;
        let sql = CString::new(format!("{begin}{sql}{end}")).expect("statements contain no NUL");
        // One plan for all parameters: they are ids and paths, and planning costs more than execution.
        let options = pg_sys::CURSOR_OPT_GENERIC_PLAN as _;
        // SAFETY: SPI is connected; the plan is kept until its schema changes.
        let plan = unsafe {
            let plan = guard::SPI_prepare_cursor(sql.as_ptr(), types.len() as _, types.as_mut_ptr(), options);
            assert!(!plan.is_null(), "SPI_prepare_cursor refused a statement");
            pg_sys::SPI_keepplan(plan);
            plan
        };
        let plan = Plan { plan, parameters: parameters.into() };
        PLANS.with_borrow_mut(|plans| plans.by_statement.insert(statement, plan.clone()));
        plan
    }

    /// Plans contain the name of their schema, so all are dropped when the extension is found in another one.
    fn kept_plan(&self, statement: &'static Statement) -> Option<Plan> {
        let schema = self.call.schema();
        let stale = PLANS.with_borrow_mut(|plans| {
            if plans.schema == schema {
                return Vec::new();
            }
            schema.clone_into(&mut plans.schema);
            plans.by_statement.drain().map(|(_, plan)| plan).collect()
        });
        for Plan { plan, .. } in stale {
            // SAFETY: nobody else uses it, since it has been removed from the map.
            unsafe { pg_sys::SPI_freeplan(plan) };
        }
        PLANS.with_borrow(|plans| plans.by_statement.get(&(statement as *const _)).cloned())
    }
}

impl Drop for Db<'_> {
    fn drop(&mut self) {
        // After an error, the connection is closed at the end of the transaction.
        if let (Some(connection), false) = (self.spi.take(), std::thread::panicking()) {
            let _memory = SameMemory::begin();
            drop(connection);
            // SAFETY: opened by `spi`, and closed only here.
            unsafe { pg_sys::SPI_finish() };
        }
    }
}

/// The values of `args` in the order of `names`.
fn in_order<'v>(names: &[&str], args: &[Arg<'v>]) -> Vec<Value<'v>> {
    let value = |name: &&str| {
        let arg = args.iter().find(|(known, _)| known == name);
        arg.unwrap_or_else(|| panic!("no parameter {name}")).1
    };
    names.iter().map(value).collect()
}

/// Values and null flags in the form that SPI expects.
pub(super) fn parameters(values: &[Value]) -> (Vec<pg_sys::Datum>, Vec<c_char>) {
    let mark = |is_null| if is_null { b'n' } else { b' ' } as c_char;
    values.iter().map(|value| value.parts()).map(|(datum, is_null)| (datum, mark(is_null))).unzip()
}

/// Prevents sequential scans while it exists. A plan made while a table is small would continue to use a sequential
/// scan after the table has grown a thousandfold within one transaction, before it can be analyzed. If there is no
/// usable index, the plan then seems so expensive that Postgres would JIT-compile it, which takes longer than running
/// it.
pub(super) struct IndexesOnly {
    seqscan: bool,
    jit: bool,
}

impl IndexesOnly {
    pub(super) fn begin() -> Self {
        // SAFETY: plain settings of this process, restored by `drop`.
        unsafe {
            let before = IndexesOnly { seqscan: pg_sys::enable_seqscan, jit: pg_sys::jit_enabled };
            (pg_sys::enable_seqscan, pg_sys::jit_enabled) = (false, false);
            before
        }
    }
}

impl Drop for IndexesOnly {
    fn drop(&mut self) {
        // SAFETY: as in `begin`.
        unsafe { (pg_sys::enable_seqscan, pg_sys::jit_enabled) = (self.seqscan, self.jit) };
    }
}

/// The rows returned by a statement.
pub struct Rows<'d> {
    table: *mut pg_sys::SPITupleTable,
    count: usize,
    connection: PhantomData<&'d ()>,
}

impl Rows<'_> {
    /// Whether no row was returned, or affected if the statement returns none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many rows were returned, or affected if the statement returns none.
    pub fn count(&self) -> usize {
        self.count
    }

    pub fn iter(&self) -> impl Iterator<Item = Row<'_>> {
        let count = if self.table.is_null() { 0 } else { self.count };
        // SAFETY: the table has that many rows, and lives until `drop`.
        (0..count).map(|n| unsafe { Row::borrowed(*(*self.table).vals.add(n), (*self.table).tupdesc) })
    }

    pub fn first(&self) -> Option<Row<'_>> {
        self.iter().next()
    }

    /// The row of a statement that always returns one.
    pub fn one(&self) -> Row<'_> {
        self.first().expect("the statement returns a row")
    }
}

impl Drop for Rows<'_> {
    fn drop(&mut self) {
        if !self.table.is_null() && !std::thread::panicking() {
            // SAFETY: the rows own it.
            unsafe { guard::SPI_freetuptable(self.table) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn parameters_are_numbered_by_name() {
        let parsed = parse("SELECT ':no', a::text, :b FROM {s}.t WHERE c = :c_d AND e = :b -- '{x}'", "\"S\"");
        assert_eq!(parsed.sql, "SELECT ':no', a::text, $1 FROM \"S\".t WHERE c = $2 AND e = $1 -- '{x}'");
        assert_eq!(parsed.parameters, ["b", "c_d"]);
        assert_eq!(parse("SELECT 1", "s").sql, "SELECT 1");
        assert_eq!(parse("SELECT :a", "s").sql, "SELECT $1");
        assert_eq!(parse("SELECT x[1:2], y : z", "s").sql, "SELECT x[1:2], y : z");
    }
}
