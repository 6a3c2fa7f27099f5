//! `record_migration`: the ledger of migrations that were applied.

use pgrx::pg_sys;
use pgrx::prelude::*;
use sha2::{Digest, Sha256};

use super::list::MAX_NAME_BYTES;
use crate::args;
use crate::backend::{self, Call, Db, Statement, Timestamp, as_owner, connect};
use crate::error::Error;
use crate::{hex, input, locks};

/// What a migration is recorded with.
struct Entry<'a> {
    name: &'a str,
    checksum: [u8; 32],
    applied_by: &'a str,
}

/// Whether the ledger has the migration already. PT409 if it has it with another text.
fn is_recorded(db: &Db, entry: &Entry) -> Result<bool, Error> {
    static RECORDED: Statement =
        Statement::new("SELECT checksum, applied_at FROM {s}.recorded_migrations WHERE name = :name");
    // Others may have recorded it after the transaction's snapshot was taken.
    let rows = db.read_latest(&RECORDED, &args! { name: entry.name });
    let Some(row) = rows.first() else { return Ok(false) };
    let recorded: Vec<u8> = row.value("checksum");
    if recorded == entry.checksum {
        return Ok(true);
    }
    Err(Error::MigrationRecorded {
        name: entry.name.to_owned(),
        applied_at: backend::json_time(row.value("applied_at")),
        recorded: hex::encode(&recorded),
        given: hex::encode(&entry.checksum),
    })
}

/// Adds a migration; returns whether it was not there.
fn record(db: &Db, entry: &Entry, now: Timestamp) -> Result<bool, Error> {
    static RECORD: Statement = Statement::new(
        "INSERT INTO {s}.recorded_migrations (name, checksum, applied_at, applied_by)
         VALUES (:name, :checksum, :now, :applied_by) ON CONFLICT DO NOTHING RETURNING true AS is_new",
    );
    locks::migrations();
    if is_recorded(db, entry)? {
        return Ok(false);
    }
    let Entry { name, checksum, applied_by } = entry;
    let rows = db.run(&RECORD, &args! { name: *name, checksum: checksum.as_slice(), now, applied_by: *applied_by });
    // Only somebody who writes into the table without the lock can have been faster.
    if rows.is_empty() {
        Err(Error::LostRace(format!("migration \"{name}\" is being recorded by another transaction")))
    } else {
        Ok(true)
    }
}

/// See the COMMENT in `sql/migration_ledger.sql`.
#[pg_extern(sql = false)]
fn record_migration(fcinfo: pg_sys::FunctionCallInfo) -> bool {
    Call::run(fcinfo, |call| {
        let name: Option<String> = call.argument(0);
        let name = input::line(name.as_deref(), "p_name", MAX_NAME_BYTES)?;
        let sql: String = input::required(call.argument(1), "p_sql")?;
        call.refuse_read_only();
        let applied_by = backend::role_name(backend::roles().current).ok_or(Error::Internal)?;
        let entry = Entry { name, checksum: Sha256::digest(&sql).into(), applied_by: &applied_by };
        as_owner(call, |_| connect(call, |db| record(db, &entry, backend::clock())))
    })
}
