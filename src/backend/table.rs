//! Rows found and written without a query, by the whole key of a unique index.
//!
//! A save finds three to five rows and writes two. As queries they took half of its time, most of it for starting and
//! ending the executor. Foreign keys' own checks are moving to such look-ups in Postgres for the same reason.
//!
//! A table is locked before its name is taken for granted, and before any of its indexes is looked at: maintenance
//! locks in that order too. Locks of tables stay until the transaction ends, those of indexes go with their use.

use core::ffi::CStr;
use core::mem::MaybeUninit;

use pgrx::pg_sys;

use super::guard;
use super::row::{Row, attribute, is_named};
use super::session::PinnedSearchPath;
use super::statement::{Arg, Db, Statement};
use super::value::Value;
use crate::error::Error;

/// How a call will use a table.
#[derive(Clone, Copy)]
pub enum Use {
    Read,
    Write,
}

impl Use {
    fn lock_mode(self) -> pg_sys::LOCKMODE {
        match self {
            Use::Read => pg_sys::AccessShareLock as _,
            Use::Write => pg_sys::RowExclusiveLock as _,
        }
    }
}

/// An index with the query that finds the same row.
pub struct Lookup {
    table: &'static CStr,
    index: &'static CStr,
    /// The index's columns in their order, as the query names them.
    key: &'static [&'static str],
    query: Statement,
}

impl Lookup {
    /// `index` is the name of a unique btree index of `table`; `query` selects `*` of the table by `key`, the index's
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
    /// Locks tables as a call will use them. To be done before advisory locks are waited for: who waits for a table
    /// then holds nothing that others of its kind wait for, so that maintenance in between cannot make them deadlock.
    pub fn lock_tables(&self, tables: &[(&'static CStr, Use)]) -> Result<(), Error> {
        for &(name, how) in tables {
            let oid = self.lock_table(name, how.lock_mode())?;
            self.locked.borrow_mut().push((name, oid));
        }
        Ok(())
    }

    /// A table that is, or will be, locked until the transaction ends.
    fn table(&self, name: &CStr, how: Use) -> Result<pg_sys::Oid, Error> {
        let locked = self.locked.borrow().iter().find(|(known, _)| *known == name).map(|(_, oid)| *oid);
        locked.map_or_else(|| self.lock_table(name, how.lock_mode()), Ok)
    }

    /// Finds a row with the active snapshot.
    pub fn look_up(&self, lookup: &'static Lookup, key: &[Arg]) -> Result<Option<Row<'_>>, Error> {
        if self.is_distributed.get() { Ok(self.query_row(lookup, key)) } else { self.probe(lookup, key) }
    }

    /// Finds the row that all others belong to. Where the table on this server does not have it but a query does, the
    /// tables are distributed over other servers, and this connection finds and writes by queries from now on.
    pub fn look_up_root(&self, lookup: &'static Lookup, key: &[Arg]) -> Result<Option<Row<'_>>, Error> {
        if let Some(row) = self.probe(lookup, key)? {
            return Ok(Some(row));
        }
        let row = self.query_row(lookup, key);
        self.is_distributed.set(row.is_some());
        Ok(row)
    }

    fn query_row(&self, lookup: &'static Lookup, key: &[Arg]) -> Option<Row<'_>> {
        let rows = self.read(&lookup.query, key);
        // The row outlives the query's answer.
        rows.first().map(|row| row.copied())
    }

    fn probe(&self, lookup: &'static Lookup, key: &[Arg]) -> Result<Option<Row<'_>>, Error> {
        let oid = self.table(lookup.table, Use::Read)?;
        // SAFETY: the table is locked, so it stays what it is, and so does an index of its that was found valid: also
        // REINDEX CONCURRENTLY waits for the users of the table before it drops one.
        unsafe {
            let table = pg_sys::table_open(oid, pg_sys::NoLock as _);
            match index_named(self.namespace(), table, lookup.index) {
                Some(index) if (*(*index).rd_index).indcheckxmin => {
                    // It is too new for some snapshots; the planner knows for which.
                    pg_sys::index_close(index, pg_sys::AccessShareLock as _);
                    pg_sys::table_close(table, pg_sys::NoLock as _);
                    Ok(self.query_row(lookup, key))
                }
                Some(index) => {
                    let found = probe_index(table, index, lookup.key, key);
                    if found.is_none() {
                        pg_sys::table_close(table, pg_sys::NoLock as _);
                    }
                    Ok(found.map(|tuple| Row::of_table(tuple, table)))
                }
                None => {
                    pg_sys::table_close(table, pg_sys::NoLock as _);
                    Err(missing_index(lookup.index))
                }
            }
        }
    }

    /// Locks a table by its name, until the transaction ends; its oid.
    pub(super) fn lock_table(&self, name: &CStr, mode: pg_sys::LOCKMODE) -> Result<pg_sys::Oid, Error> {
        // SAFETY: a name and an oid, whatever they are of.
        let named = || unsafe { pg_sys::get_relname_relid(name.as_ptr(), self.namespace()) };
        // SAFETY: a plain read of a global.
        let messages = || unsafe { pg_sys::SharedInvalidMessageCounter };
        loop {
            let before = messages();
            let oid = named();
            if oid == pg_sys::InvalidOid {
                return Err(Error::Missing { kind: "table", name: name.to_string_lossy().into_owned() });
            }
            // SAFETY: locking an oid is safe even where no such table is any more.
            unsafe { pg_sys::LockRelationOid(oid, mode) };
            // Waiting for the lock may have shown that the name is another table's by now.
            if messages() == before || named() == oid {
                return Ok(oid);
            }
            // SAFETY: taken above.
            unsafe { pg_sys::UnlockRelationOid(oid, mode) };
        }
    }
}

pub(super) fn missing_index(name: &CStr) -> Error {
    Error::Missing { kind: "valid index", name: name.to_string_lossy().into_owned() }
}

/// The index of an open table that has this name and may be read.
///
/// # Safety
/// The table must be open and locked.
pub(super) unsafe fn index_named(
    namespace: pg_sys::Oid,
    table: pg_sys::Relation,
    name: &CStr,
) -> Option<pg_sys::Relation> {
    // SAFETY: see above; what is opened here is closed by the caller, or here.
    unsafe {
        loop {
            let before = pg_sys::SharedInvalidMessageCounter;
            let oid = pg_sys::get_relname_relid(name.as_ptr(), namespace);
            if oid == pg_sys::InvalidOid {
                return None;
            }
            let index = pg_sys::try_relation_open(oid, pg_sys::AccessShareLock as _);
            // Locking it may have shown that another has the name by now.
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

/// A copy of the row whose index columns are equal to `key`.
unsafe fn probe_index(
    table: pg_sys::Relation,
    index: pg_sys::Relation,
    columns: &[&str],
    key: &[Arg],
) -> Option<pg_sys::HeapTuple> {
    const MOST_COLUMNS: usize = 3;
    assert!(columns.len() <= MOST_COLUMNS, "{} columns", columns.len());
    // SAFETY: table and index are open and belong together; conditions and slot live as long as the scan.
    unsafe {
        let mut conditions = equal_to::<MOST_COLUMNS>(columns, key);
        let snapshot = pg_sys::GetActiveSnapshot();
        let row = guard::first_row(table, index, snapshot, conditions.as_mut_ptr(), columns.len() as _);
        pg_sys::index_close(index, pg_sys::AccessShareLock as _);
        (!row.is_null()).then_some(row)
    }
}

/// Conditions of a scan: the index's first columns are equal to those of `key` with the names of `columns`.
pub(super) unsafe fn equal_to<const COLUMNS: usize>(columns: &[&str], key: &[Arg]) -> [pg_sys::ScanKeyData; COLUMNS] {
    // SAFETY: a zeroed key is what ScanKeyEntryInitialize starts from; the functions compare values of these types.
    unsafe {
        let mut conditions: [pg_sys::ScanKeyData; COLUMNS] = core::mem::zeroed();
        for (i, (condition, column)) in conditions.iter_mut().zip(columns).enumerate() {
            let value = key.iter().find(|(name, _)| name == column).unwrap_or_else(|| panic!("no key {column}")).1;
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

/// `conditions` must live as long as the scan does.
pub(super) unsafe fn begin_scan(
    table: pg_sys::Relation,
    index: pg_sys::Relation,
    snapshot: pg_sys::Snapshot,
    conditions: &mut [pg_sys::ScanKeyData],
) -> pg_sys::IndexScanDesc {
    let count = conditions.len() as _;
    // SAFETY: by the caller.
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

/// A table whose rows are written directly.
///
/// That leaves out what the executor does besides: it fires no triggers, applies no rules and no row level security,
/// fills no generated columns. A table that has any of these but our own gets no writer.
pub struct Writer {
    table: pg_sys::Relation,
    indexes: [&'static CStr; 3],
}

/// What may be attached to a table that is written directly, because the writer does it itself or need not.
pub struct Allowed {
    /// Name of the trigger whose work the writer does itself.
    pub trigger: Option<&'static CStr>,
    /// The column whose foreign key need not be checked because an update leaves it alone.
    pub foreign_key: Option<&'static str>,
    /// The extension's own indexes. Others may run code of users, which must not find what a caller put into its path.
    pub indexes: [&'static CStr; 3],
}

impl Writer {
    /// For rows that are added, with values for all of `columns`, names and types in the table's order. `None` where only
    /// the executor can write as the table's owner wants.
    pub fn of_inserts(
        db: &Db,
        name: &CStr,
        columns: &[(&str, pg_sys::Oid)],
        allowed: &Allowed,
    ) -> Result<Option<Writer>, Error> {
        Self::open(db, name, pg_sys::CmdType::CMD_INSERT, columns, allowed)
    }

    /// The same for rows that are updated.
    pub fn of_updates(
        db: &Db,
        name: &CStr,
        columns: &[(&str, pg_sys::Oid)],
        allowed: &Allowed,
    ) -> Result<Option<Writer>, Error> {
        Self::open(db, name, pg_sys::CmdType::CMD_UPDATE, columns, allowed)
    }

    fn open(
        db: &Db,
        name: &CStr,
        command: pg_sys::CmdType::Type,
        columns: &[(&str, pg_sys::Oid)],
        allowed: &Allowed,
    ) -> Result<Option<Writer>, Error> {
        if db.is_distributed.get() {
            return Ok(None);
        }
        let oid = db.table(name, Use::Write)?;
        // SAFETY: the table is locked until the transaction ends; the reference goes with the writer.
        unsafe {
            let writer = Writer { table: pg_sys::table_open(oid, pg_sys::NoLock as _), indexes: allowed.indexes };
            let can_write = is_plain(writer.table, db.owner())
                && has_columns(writer.table, columns)
                && has_only_triggers(writer.table, command, allowed);
            if can_write {
                // 55000 where a publication cannot tell which row it was.
                pg_sys::CheckCmdReplicaIdentity(writer.table, command);
            }
            Ok(can_write.then_some(writer))
        }
    }

    /// Writes a row with values in the order of the table's columns.
    pub fn insert(&self, values: &[Value]) {
        let (mut datums, mut nulls): (Vec<_>, Vec<_>) = values.iter().map(|value| value.parts()).unzip();
        // SAFETY: `open` compared the columns' number and types; the tuple lives until the indexes have it.
        unsafe {
            let tuple = pg_sys::heap_form_tuple((*self.table).rd_att, datums.as_mut_ptr(), nulls.as_mut_ptr());
            let executor = Executor::begin(self.table, tuple);
            if needs_check(self.table, tuple) {
                executor.check_constraints();
            }
            pg_sys::heap_insert(self.table, tuple, pg_sys::GetCurrentCommandId(true), 0, core::ptr::null_mut());
            executor.insert_index_entries(IndexEntries::New, &self.indexes);
            executor.end();
        }
    }

    /// Writes a new version of `row` with some columns changed. Waits for a transaction that is changing it; whether it
    /// was still the row that was read. `row` must be a row of this table, [`Row::is_in_table`].
    pub fn update(&self, row: &Row, columns: &[Arg]) -> bool {
        let (old, table) = row.in_table().expect("the row was read from its table");
        // SAFETY: `open` compared the columns; old and new tuple live until the indexes have the new one.
        unsafe {
            assert_eq!((*table).rd_id, (*self.table).rd_id, "the row's table");
            let desc = (*self.table).rd_att;
            let (mut numbers, mut datums, mut nulls) = (Vec::new(), Vec::new(), Vec::new());
            for (name, value) in columns {
                let is_it = |&number: &i32| is_named(desc, number, name);
                numbers.push((1..=(*desc).natts).find(is_it).unwrap_or_else(|| panic!("no column {name}")));
                let (datum, is_null) = value.parts();
                datums.push(datum);
                nulls.push(is_null);
            }
            let new = pg_sys::heap_modify_tuple_by_cols(
                old,
                desc,
                columns.len() as _,
                numbers.as_mut_ptr(),
                datums.as_mut_ptr(),
                nulls.as_mut_ptr(),
            );
            if needs_check(self.table, new) {
                let executor = Executor::begin(self.table, new);
                executor.check_constraints();
                executor.end();
            }
            let (result, entries) = heap_update(self.table, &mut (*old).t_self, new);
            let is_updated = result == pg_sys::TM_Result::TM_Ok;
            if is_updated && entries != IndexEntries::None {
                let executor = Executor::begin(self.table, new);
                executor.insert_index_entries(entries, &self.indexes);
                executor.end();
            }
            is_updated
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // SAFETY: opened by `open`. The lock stays until the transaction ends.
            unsafe { pg_sys::table_close(self.table, pg_sys::NoLock as _) };
        }
    }
}

/// Which indexes need an entry for a new row version.
#[derive(Clone, Copy, PartialEq, Eq)]
enum IndexEntries {
    /// All, for a row that is new.
    New,
    /// All, for a row version that could not stay on its page or changed what is indexed.
    Moved,
    /// Those alone that sum up pages (BRIN), from Postgres 16 on.
    #[cfg_attr(feature = "pg15", allow(dead_code))]
    Summarizing,
    None,
}

/// Updates the row at `old` if it is as it was read, waiting for a transaction that has it in hand.
unsafe fn heap_update(
    table: pg_sys::Relation,
    old: pg_sys::ItemPointer,
    new: pg_sys::HeapTuple,
) -> (pg_sys::TM_Result::Type, IndexEntries) {
    // SAFETY: by the caller: an open table, the place of one of its rows, and a tuple of its form.
    unsafe {
        let command = pg_sys::GetCurrentCommandId(true);
        let mut failure = MaybeUninit::<pg_sys::TM_FailureData>::zeroed();
        let mut lock_mode = 0;
        let no_crosscheck = core::ptr::null_mut();
        #[cfg(feature = "pg15")]
        {
            let result = pg_sys::heap_update(
                table,
                old,
                new,
                command,
                no_crosscheck,
                true,
                failure.as_mut_ptr(),
                &mut lock_mode,
            );
            let is_heap_only = u32::from((*(*new).t_data).t_infomask2) & pg_sys::HEAP_ONLY_TUPLE != 0;
            (result, if is_heap_only { IndexEntries::None } else { IndexEntries::Moved })
        }
        #[cfg(not(feature = "pg15"))]
        {
            let mut entries = pg_sys::TU_UpdateIndexes::TU_None;
            let result = pg_sys::heap_update(
                table,
                old,
                new,
                command,
                no_crosscheck,
                true,
                failure.as_mut_ptr(),
                &mut lock_mode,
                &mut entries,
            );
            let entries = match entries {
                pg_sys::TU_UpdateIndexes::TU_None => IndexEntries::None,
                pg_sys::TU_UpdateIndexes::TU_Summarizing => IndexEntries::Summarizing,
                _ => IndexEntries::Moved,
            };
            (result, entries)
        }
    }
}

/// What the executor's functions want to be given a row with.
struct Executor {
    state: *mut pg_sys::EState,
    relation: *mut pg_sys::ResultRelInfo,
    slot: *mut pg_sys::TupleTableSlot,
}

impl Executor {
    unsafe fn begin(table: pg_sys::Relation, tuple: pg_sys::HeapTuple) -> Self {
        // SAFETY: all of it lives in the state's memory, and goes with `end` or with the transaction.
        unsafe {
            let state = pg_sys::CreateExecutorState();
            let before = pg_sys::MemoryContextSwitchTo((*state).es_query_cxt);
            let relation = pg_sys::palloc0(size_of::<pg_sys::ResultRelInfo>()).cast();
            pg_sys::InitResultRelInfo(relation, table, 0, core::ptr::null_mut(), 0);
            let slot = pg_sys::MakeSingleTupleTableSlot((*table).rd_att, &raw const pg_sys::TTSOpsHeapTuple);
            pg_sys::ExecStoreHeapTuple(tuple, slot, false);
            pg_sys::MemoryContextSwitchTo(before);
            Executor { state, relation, slot }
        }
    }

    /// Raises an error where a NOT NULL or CHECK constraint does not hold.
    unsafe fn check_constraints(&self) {
        let _search_path = PinnedSearchPath::begin();
        // SAFETY: as begun.
        unsafe { guard::ExecConstraints(self.relation, self.slot, self.state) };
    }

    unsafe fn insert_index_entries(&self, entries: IndexEntries, own: &[&CStr]) {
        // SAFETY: as begun; the heap has the tuple, and wrote into it where it lies.
        unsafe {
            (*self.slot).tts_tid = (*(*self.slot.cast::<pg_sys::HeapTupleTableSlot>()).tuple).t_self;
            pg_sys::ExecOpenIndices(self.relation, false);
            let indexes = core::slice::from_raw_parts(
                (*self.relation).ri_IndexRelationDescs,
                (*self.relation).ri_NumIndices as _,
            );
            let name = |index: pg_sys::Relation| CStr::from_ptr((*(*index).rd_rel).relname.data.as_ptr());
            let has_others = indexes.iter().any(|&index| !own.contains(&name(index)));
            let _search_path = has_others.then(PinnedSearchPath::begin);
            let is_update = entries != IndexEntries::New;
            let (no_conflict, no_arbiters) = (core::ptr::null_mut(), core::ptr::null_mut());
            let (relation, slot, state) = (self.relation, self.slot, self.state);
            #[cfg(feature = "pg15")]
            guard::ExecInsertIndexTuples(relation, slot, state, is_update, false, no_conflict, no_arbiters);
            #[cfg(not(feature = "pg15"))]
            guard::ExecInsertIndexTuples(
                relation,
                slot,
                state,
                is_update,
                false,
                no_conflict,
                no_arbiters,
                entries == IndexEntries::Summarizing,
            );
            pg_sys::ExecCloseIndices(self.relation);
        }
    }

    unsafe fn end(self) {
        // SAFETY: begun here.
        unsafe {
            pg_sys::ExecDropSingleTupleTableSlot(self.slot);
            pg_sys::FreeExecutorState(self.state);
        }
    }
}

/// Whether a row may break a constraint: there is a CHECK, or a column that must not be NULL is.
unsafe fn needs_check(table: pg_sys::Relation, tuple: pg_sys::HeapTuple) -> bool {
    // SAFETY: the table is open, and the tuple of its form.
    unsafe {
        let desc = (*table).rd_att;
        let constraints = (*desc).constr;
        !constraints.is_null()
            && ((*constraints).num_check > 0
                || (1..=(*desc).natts)
                    .any(|number| (*attribute(desc, number)).attnotnull && pg_sys::heap_attisnull(tuple, number, desc)))
    }
}

/// An ordinary table of the extension's owner, without rules, policies that bind the owner, or generated columns.
unsafe fn is_plain(table: pg_sys::Relation, owner: pg_sys::Oid) -> bool {
    // SAFETY: the table is open.
    unsafe {
        let entry = &*(*table).rd_rel;
        let constraints = (*(*table).rd_att).constr;
        entry.relkind == pg_sys::RELKIND_RELATION as core::ffi::c_char
            && entry.relam == pg_sys::HEAP_TABLE_AM_OID
            && entry.relowner == owner
            && !entry.relforcerowsecurity
            && !entry.relhasrules
            && !entry.relispartition
            && (constraints.is_null() || !has_generated(&*constraints))
    }
}

fn has_generated(constraints: &pg_sys::TupleConstr) -> bool {
    #[cfg(feature = "pg18")]
    if constraints.has_generated_virtual {
        return true;
    }
    constraints.has_generated_stored
}

/// Whether the table has these very columns. Between an upgrade of the library and one of the schema it may not.
unsafe fn has_columns(table: pg_sys::Relation, columns: &[(&str, pg_sys::Oid)]) -> bool {
    // SAFETY: the table is open.
    unsafe {
        let desc = (*table).rd_att;
        (*desc).natts as usize == columns.len()
            && columns.iter().zip(1..).all(|((name, type_id), number)| {
                is_named(desc, number, name) && (*attribute(desc, number)).atttypid == *type_id
            })
    }
}

/// Whether no trigger would fire but those that are allowed.
unsafe fn has_only_triggers(table: pg_sys::Relation, command: pg_sys::CmdType::Type, allowed: &Allowed) -> bool {
    let is_insert = command == pg_sys::CmdType::CMD_INSERT;
    let event = if is_insert { pg_sys::TRIGGER_TYPE_INSERT } else { pg_sys::TRIGGER_TYPE_UPDATE } as i16;
    // SAFETY: the table is open, and with it its triggers' description.
    unsafe {
        let description = (*table).trigdesc;
        if description.is_null() {
            return true;
        }
        let triggers = core::slice::from_raw_parts((*description).triggers, (*description).numtriggers as usize);
        triggers.iter().filter(|trigger| trigger.tgtype & event != 0).all(|trigger| {
            if trigger.tgisinternal {
                let check = pg_sys::Oid::from(pg_sys::F_RI_FKEY_CHECK_UPD);
                return trigger.tgfoid == check
                    && allowed.foreign_key.is_some_and(|column| is_foreign_key_of(table, trigger, column));
            }
            allowed.trigger.is_some_and(|name| CStr::from_ptr(trigger.tgname) == name)
        })
    }
}

/// Whether a trigger belongs to a foreign key of this one column.
unsafe fn is_foreign_key_of(table: pg_sys::Relation, trigger: &pg_sys::Trigger, column: &str) -> bool {
    // SAFETY: the list is the relation cache's own, of nodes of this kind.
    unsafe {
        let keys = pgrx::PgList::<pg_sys::ForeignKeyCacheInfo>::from_pg(pg_sys::RelationGetFKeyList(table));
        keys.iter_ptr().any(|key| {
            (*key).conoid == trigger.tgconstraint
                && (*key).nkeys == 1
                && is_named((*table).rd_att, (*key).conkey[0].into(), column)
        })
    }
}
