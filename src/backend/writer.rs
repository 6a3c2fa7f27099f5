//! Rows written without a query: what the executor does for them, as far as it is needed.

use core::ffi::CStr;
use core::mem::MaybeUninit;

use pgrx::pg_sys;

use super::guard;
use super::row::{Row, attribute, begins_with, column_number, is_named};
use super::session::PinnedSearchPath;
use super::statement::{Arg, Db};
use super::table::Use;
use super::value::Value;
use crate::error::Error;

/// A table whose rows are written directly.
///
/// This skips the other work of the executor: it fires no triggers, applies no rules and no row-level security, and
/// computes no generated columns. A table that has any of these apart from the extension's own gets no writer.
pub struct Writer {
    table: pg_sys::Relation,
    indexes: &'static [&'static CStr],
}

/// What may be attached to a table that is written directly, because the writer does its work or need not.
pub struct Allowed {
    /// Name of the trigger whose work is done by the writer.
    pub trigger: Option<&'static CStr>,
    /// The column whose foreign key need not be checked because updates leave it unchanged.
    pub foreign_key: Option<&'static str>,
    /// The extension's own indexes. Others may run users' code, which must not see what a caller has put into its
    /// search path.
    pub indexes: &'static [&'static CStr],
}

impl Writer {
    /// For rows to be inserted, with values for all `columns`, whose names and types are in the table's order. `None`
    /// if only the executor can write as the table's owner intends.
    pub fn of_inserts(
        db: &Db,
        name: &CStr,
        columns: &[(&str, pg_sys::Oid)],
        allowed: &Allowed,
    ) -> Result<Option<Writer>, Error> {
        Self::of_local(db, name, pg_sys::CmdType::CMD_INSERT, columns, allowed)
    }

    /// The same for rows to be updated.
    pub fn of_updates(
        db: &Db,
        name: &CStr,
        columns: &[(&str, pg_sys::Oid)],
        allowed: &Allowed,
    ) -> Result<Option<Writer>, Error> {
        Self::of_local(db, name, pg_sys::CmdType::CMD_UPDATE, columns, allowed)
    }

    fn of_local(
        db: &Db,
        name: &CStr,
        command: pg_sys::CmdType::Type,
        columns: &[(&str, pg_sys::Oid)],
        allowed: &Allowed,
    ) -> Result<Option<Writer>, Error> {
        if db.is_distributed.get() { Ok(None) } else { Self::open(db, name, command, columns, allowed) }
    }

    /// The same for a table that is written on this server even if others are distributed.
    pub(super) fn open(
        db: &Db,
        name: &CStr,
        command: pg_sys::CmdType::Type,
        columns: &[(&str, pg_sys::Oid)],
        allowed: &Allowed,
    ) -> Result<Option<Writer>, Error> {
        let oid = db.table(name, Use::Write)?;
        // SAFETY: the table is locked until the transaction ends; the reference is released with the writer.
        unsafe {
            let writer = Writer { table: pg_sys::table_open(oid, pg_sys::NoLock as _), indexes: allowed.indexes };
            let can_write = is_plain(writer.table, db.owner())
                && has_columns(writer.table, columns)
                && has_only_triggers(writer.table, command, allowed);
            if can_write {
                // 55000 if a publication could not identify the row.
                pg_sys::CheckCmdReplicaIdentity(writer.table, command);
            }
            Ok(can_write.then_some(writer))
        }
    }

    /// Inserts a row with values in the order of the table's columns.
    pub fn insert(&self, values: &[Value]) {
        let (mut datums, mut nulls): (Vec<_>, Vec<_>) = values.iter().map(|value| value.parts()).unzip();
        // SAFETY: `open` checked the number and types of the columns; the tuple lives until it is in the indexes.
        unsafe {
            let tuple = pg_sys::heap_form_tuple((*self.table).rd_att, datums.as_mut_ptr(), nulls.as_mut_ptr());
            let executor = Executor::begin(self.table, tuple);
            if needs_check(self.table, tuple) {
                executor.check_constraints();
            }
            pg_sys::heap_insert(self.table, tuple, pg_sys::GetCurrentCommandId(true), 0, core::ptr::null_mut());
            executor.insert_index_entries(IndexEntries::New, self.indexes);
            executor.end();
        }
    }

    /// Writes a new version of `row` with some columns changed. Waits for a transaction that is changing it; returns
    /// whether it was still the row that was read. `row` must be a row of this table, [`Row::is_in_table`].
    pub fn update(&self, row: &Row, columns: &[Arg]) -> bool {
        let (old, table) = row.in_table().expect("the row was read from its table");
        // SAFETY: `open` checked the columns; the old and the new tuple live until the new one is in the indexes.
        unsafe {
            assert_eq!((*table).rd_id, (*self.table).rd_id, "the row's table");
            let desc = (*self.table).rd_att;
            let (mut numbers, mut datums, mut nulls) = (Vec::new(), Vec::new(), Vec::new());
            for (name, value) in columns {
                numbers.push(column_number(desc, name));
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
                executor.insert_index_entries(entries, self.indexes);
                executor.end();
            }
            is_updated
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // SAFETY: opened by `open`. The lock remains until the transaction ends.
            unsafe { pg_sys::table_close(self.table, pg_sys::NoLock as _) };
        }
    }
}

/// Which indexes need an entry for a new row version.
#[derive(Clone, Copy, PartialEq, Eq)]
enum IndexEntries {
    /// All, for a new row.
    New,
    /// All, for a row version that did not fit on its page or changed an indexed column.
    Moved,
    /// Only summarizing indexes (BRIN), as of Postgres 16.
    #[cfg_attr(feature = "pg15", allow(dead_code))]
    Summarizing,
    None,
}

/// Updates the row at `old` if it has not changed since it was read, waiting for any transaction that is changing it.
unsafe fn heap_update(
    table: pg_sys::Relation,
    old: pg_sys::ItemPointer,
    new: pg_sys::HeapTuple,
) -> (pg_sys::TM_Result::Type, IndexEntries) {
    // SAFETY: ensured by the caller: an open table, the location of one of its rows, and a tuple with its descriptor.
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

/// The structures in which the executor's functions expect to receive a row.
struct Executor {
    state: *mut pg_sys::EState,
    relation: *mut pg_sys::ResultRelInfo,
    slot: *mut pg_sys::TupleTableSlot,
}

impl Executor {
    unsafe fn begin(table: pg_sys::Relation, tuple: pg_sys::HeapTuple) -> Self {
        // SAFETY: everything lives in the state's memory context, and is freed by `end` or at the end of the
        // transaction.
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

    /// Raises an error if a NOT NULL or CHECK constraint is violated.
    unsafe fn check_constraints(&self) {
        let _search_path = PinnedSearchPath::begin();
        // SAFETY: set up by `begin`.
        unsafe { guard::ExecConstraints(self.relation, self.slot, self.state) };
    }

    unsafe fn insert_index_entries(&self, entries: IndexEntries, own: &[&CStr]) {
        // SAFETY: set up by `begin`; the tuple is in the heap, which set its location.
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
        // SAFETY: set up by `begin`.
        unsafe {
            pg_sys::ExecDropSingleTupleTableSlot(self.slot);
            pg_sys::FreeExecutorState(self.state);
        }
    }
}

/// Whether a row may violate a constraint: there is a CHECK constraint, or a NOT NULL column is null.
unsafe fn needs_check(table: pg_sys::Relation, tuple: pg_sys::HeapTuple) -> bool {
    // SAFETY: the table is open, and the tuple has its descriptor.
    unsafe {
        let desc = (*table).rd_att;
        let constraints = (*desc).constr;
        !constraints.is_null()
            && ((*constraints).num_check > 0
                || (1..=(*desc).natts)
                    .any(|number| (*attribute(desc, number)).attnotnull && pg_sys::heap_attisnull(tuple, number, desc)))
    }
}

/// Whether it is an ordinary table of the extension's owner, without rules, policies that apply to the owner, or
/// generated columns.
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

/// Whether the table has exactly these columns. Between upgrades of the library and of the schema it may not.
unsafe fn has_columns(table: pg_sys::Relation, columns: &[(&str, pg_sys::Oid)]) -> bool {
    // SAFETY: the table is open.
    unsafe {
        let desc = (*table).rd_att;
        (*desc).natts as usize == columns.len() && begins_with(desc, columns)
    }
}

/// Whether only the allowed triggers would fire.
unsafe fn has_only_triggers(table: pg_sys::Relation, command: pg_sys::CmdType::Type, allowed: &Allowed) -> bool {
    let is_insert = command == pg_sys::CmdType::CMD_INSERT;
    let event = if is_insert { pg_sys::TRIGGER_TYPE_INSERT } else { pg_sys::TRIGGER_TYPE_UPDATE } as i16;
    // SAFETY: the table is open, and so is its trigger descriptor. Looking up the foreign key may read the catalogue,
    // which may replace the descriptor, so that is done first; nothing below reads the catalogue.
    unsafe {
        let foreign_key = allowed.foreign_key.and_then(|column| foreign_key_of(table, column));
        let description = (*table).trigdesc;
        if description.is_null() {
            return true;
        }
        let triggers = core::slice::from_raw_parts((*description).triggers, (*description).numtriggers as usize);
        triggers.iter().filter(|trigger| trigger.tgtype & event != 0).all(|trigger| {
            if trigger.tgisinternal {
                let check = pg_sys::Oid::from(pg_sys::F_RI_FKEY_CHECK_UPD);
                return trigger.tgfoid == check && foreign_key == Some(trigger.tgconstraint);
            }
            allowed.trigger.is_some_and(|name| CStr::from_ptr(trigger.tgname) == name)
        })
    }
}

/// The constraint that is a foreign key on just this column.
unsafe fn foreign_key_of(table: pg_sys::Relation, column: &str) -> Option<pg_sys::Oid> {
    // SAFETY: the list belongs to the relation cache, has nodes of this kind, and is read at once.
    unsafe {
        let keys = pgrx::PgList::<pg_sys::ForeignKeyCacheInfo>::from_pg(pg_sys::RelationGetFKeyList(table));
        let is_it = |key: &*mut pg_sys::ForeignKeyCacheInfo| {
            (**key).nkeys == 1 && is_named((*table).rd_att, (**key).conkey[0].into(), column)
        };
        keys.iter_ptr().find(is_it).map(|key| (*key).conoid)
    }
}
