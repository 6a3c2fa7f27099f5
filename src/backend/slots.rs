//! State that savers share without interfering: each takes a row that nobody else holds, or adds one.
//!
//! No query can do this. With a fixed snapshot it would fail on rows that have changed since; under SERIALIZABLE the
//! reads themselves would make transactions fail; and locking a row that another saver holds would wait.

use core::ffi::CStr;

use pgrx::{Uuid, pg_sys};

use super::row::begins_with;
use super::statement::{Arg, Db, Statement};
use super::table::{begin_scan, equal_to, open_index};
use super::value::{Timestamp, column_type};
use super::writer::{Allowed, Writer};
use crate::args;
use crate::error::Error;

const TABLE: &CStr = c"rate_limits";
const INDEX: &CStr = c"rate_limits_project_id_actor";
const KEY: [&str; 2] = ["project_id", "actor"];
/// The columns of the table; a later version may have appended others.
const COLUMNS: [(&str, pg_sys::Oid); 3] =
    [("project_id", column_type::<Uuid>()), ("actor", column_type::<Uuid>()), ("paid_off", column_type::<Timestamp>())];

const ALLOWED: Allowed = Allowed { trigger: None, foreign_key: None, indexes: &[INDEX] };

/// Calls `decide` with the latest moment in any slot of an actor in a project, including slots of transactions that
/// have not ended, and stores the moment it returns in a free slot. Other free slots are removed.
pub fn in_free_slot(
    db: &Db,
    project: Uuid,
    actor: Uuid,
    decide: impl FnOnce(Option<Timestamp>) -> Result<Timestamp, Error>,
) -> Result<(), Error> {
    let oid = db.lock_table(TABLE, pg_sys::RowExclusiveLock as _)?;
    // SAFETY: the table is locked before it and its index are opened, and both are closed below; after an error, they
    // are closed at the end of the transaction.
    unsafe {
        let table = pg_sys::table_open(oid, pg_sys::NoLock as _);
        let key: [Arg; 2] = [(KEY[0], project.into()), (KEY[1], actor.into())];
        let result = if begins_with((*table).rd_att, &COLUMNS) { Ok(()) } else { Err(other_columns()) };
        let result = result.and_then(|()| open_index(db.namespace(), table, INDEX, &KEY, &key)).and_then(|index| {
            // Earlier work of this transaction must be visible, and may be undone.
            pg_sys::CommandCounterIncrement();
            let slots = Slots::read(table, index, &key);
            pg_sys::index_close(index, pg_sys::AccessShareLock as _);
            let moment = decide(slots.latest)?;
            slots.free.iter().for_each(|&slot| remove(table, slot));
            match Writer::open(db, TABLE, pg_sys::CmdType::CMD_INSERT, &COLUMNS, &ALLOWED)? {
                Some(writer) => writer.insert(&[project.into(), actor.into(), moment.into()]),
                None => drop(db.run(&INSERT, &args! { project, actor, moment })),
            }
            Ok(())
        });
        pg_sys::table_close(table, pg_sys::NoLock as _);
        result
    }
}

/// For a table to which columns, triggers and the like have been added.
static INSERT: Statement =
    Statement::new("INSERT INTO {s}.rate_limits (project_id, actor, paid_off) VALUES (:project, :actor, :moment)");

fn other_columns() -> Error {
    let names = COLUMNS.map(|(name, _)| name).join(", ");
    Error::Mismatch(format!("table \"rate_limits\" does not begin with the columns {names} as they were"))
}

struct Slots {
    latest: Option<Timestamp>,
    free: Vec<pg_sys::ItemPointerData>,
}

impl Slots {
    unsafe fn read(table: pg_sys::Relation, index: pg_sys::Relation, key: &[Arg]) -> Slots {
        // SAFETY: ensured by the caller, whose table and index are open and belong together.
        unsafe {
            // It shows uncommitted rows and marks them as such; it is not a transaction's snapshot, so it is never
            // fixed.
            let mut dirty: pg_sys::SnapshotData = core::mem::zeroed();
            dirty.snapshot_type = pg_sys::SnapshotType::SNAPSHOT_DIRTY;
            let mut conditions = equal_to::<2>(&KEY, key);
            let scan = begin_scan(table, index, &mut dirty, &mut conditions);
            let row = pg_sys::table_slot_create(table, core::ptr::null_mut());
            let mut slots = Slots { latest: None, free: Vec::new() };
            while pg_sys::index_getnext_slot(scan, pg_sys::ScanDirection::ForwardScanDirection, row) {
                let mut is_null = false;
                let moment = pg_sys::slot_getattr(row, COLUMNS.len() as _, &mut is_null);
                slots.latest = slots.latest.max(Some(Timestamp(moment.value() as i64)));
                let held = |xid| xid != pg_sys::InvalidTransactionId;
                if !(held(dirty.xmin) || held(dirty.xmax)) {
                    slots.free.push((*row).tts_tid);
                }
            }
            pg_sys::ExecDropSingleTupleTableSlot(row);
            pg_sys::index_endscan(scan);
            slots
        }
    }
}

/// Removes a slot unless another transaction has taken it in the meantime.
unsafe fn remove(table: pg_sys::Relation, mut slot: pg_sys::ItemPointerData) {
    // SAFETY: ensured by the caller; the row's location has just been read.
    unsafe {
        let command = pg_sys::GetCurrentCommandId(true);
        let mut failure: pg_sys::TM_FailureData = core::mem::zeroed();
        pg_sys::heap_delete(table, &mut slot, command, core::ptr::null_mut(), false, &mut failure, false);
    }
}
