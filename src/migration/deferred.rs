//! Constraints that are checked when a transaction commits.

use crate::backend::{self, Call, Statement, connect};

use pgrx::pg_sys::Oid;

static TABLES: Statement = Statement::new("SELECT DISTINCT tgrelid AS oid FROM pg_trigger WHERE tgdeferrable");

static IMMEDIATE: Statement = Statement::new(
    "SELECT DISTINCT format('%I.%I', n.nspname, c.conname) AS name
       FROM pg_constraint c JOIN pg_namespace n ON n.oid = c.connamespace
      WHERE c.condeferrable AND NOT c.condeferred",
);

/// Checks what a commit would check. An error of Postgres is what the commit would fail with.
pub fn check(call: &Call) {
    let tables: Vec<Oid> = connect(call, |db| db.run(&TABLES, &[]).iter().map(|row| row.value("oid")).collect());
    if !tables.into_iter().any(backend::has_pending_triggers) {
        return;
    }
    backend::run_script("SET CONSTRAINTS ALL IMMEDIATE");
    // There is no way back to what each constraint is at first. A later one that is made INITIALLY IMMEDIATE is deferred until
    // the next check.
    backend::run_script("SET CONSTRAINTS ALL DEFERRED");
    let immediate: Vec<String> =
        connect(call, |db| db.run(&IMMEDIATE, &[]).iter().map(|row| row.value("name")).collect());
    if !immediate.is_empty() {
        backend::run_script(&format!("SET CONSTRAINTS {} IMMEDIATE", immediate.join(", ")));
    }
}
