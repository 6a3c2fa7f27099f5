//! Users' triggers, which do not fire while rows are renumbered: what they would do is about changes of their users.

use std::collections::BTreeSet;

use pgrx::pg_sys::Oid;

use super::table::Table;
use crate::args;
use crate::backend::{Db, Statement, Value, has_pending_triggers};
use crate::error::Error;

/// Triggers of a table that are disabled, and the statements that make them as they were.
pub struct Silenced {
    table: Oid,
    restore: Vec<String>,
}

/// Disables the triggers that updates of a table would fire, on it and on its partitions. 55000 if some have been
/// deferred and are yet to run.
pub fn silence(db: &Db, table: &Table) -> Result<Silenced, Error> {
    // Without ONLY, a partitioned table's statement would also change those of its partitions that are in another state.
    static TRIGGERS: Statement = Statement::new(
        "WITH tree AS (SELECT :table::oid AS oid UNION SELECT relid FROM pg_partition_tree(:table::oid::regclass))
         SELECT c.oid::bigint AS oid, format('ALTER TABLE ONLY %I.%I', n.nspname, c.relname) AS alter,
                CASE t.tgenabled WHEN 'A' THEN 'ENABLE ALWAYS' WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'ENABLE' END AS state,
                quote_ident(t.tgname) AS name
           FROM tree
           JOIN pg_class c USING (oid)
           JOIN pg_namespace n ON n.oid = c.relnamespace
           JOIN pg_trigger t ON t.tgrelid = c.oid
          WHERE NOT t.tgisinternal AND t.tgenabled <> 'D' AND t.tgtype & 16 <> 0
          ORDER BY c.oid, t.tgname",
    );
    let mut restore = Vec::new();
    for row in db.run(&TRIGGERS, &args! { table: Value::oid_of(table.oid) }).iter() {
        if has_pending_triggers((row.value::<i64>("oid") as u32).into()) {
            return Err(Error::OwnTable {
                table: table.name.clone(),
                what: "has triggers that were deferred and are yet to run".to_owned(),
                detail: None,
                hint: "Run SET CONSTRAINTS ALL IMMEDIATE first, or call it in a transaction of its own.",
            });
        }
        let [alter, state, name] = ["alter", "state", "name"].map(|column| row.value::<String>(column));
        db.dynamic(&format!("{alter} DISABLE TRIGGER {name}"), &[]);
        restore.push(format!("{alter} {state} TRIGGER {name}"));
    }
    Ok(Silenced { table: table.oid, restore })
}

impl Silenced {
    /// Makes the triggers as they were.
    pub fn restore(self, db: &Db) {
        if self.restore.is_empty() {
            return;
        }
        // Rows that were written twice are checked again, and a trigger cannot be enabled while checks are yet to come.
        let mut deferred = Vec::new();
        for is_initially in [true, false] {
            let constraints = deferred_constraints(db, self.table, is_initially);
            if !constraints.is_empty() {
                let names = constraints.join(", ");
                db.dynamic(&format!("SET CONSTRAINTS {names} IMMEDIATE"), &[]);
                deferred.push(format!("SET CONSTRAINTS {names} DEFERRED"));
            }
        }
        for statement in self.restore.into_iter().chain(deferred) {
            db.dynamic(&statement, &[]);
        }
    }
}

/// The deferrable constraints of a table and its partitions that are deferred initially, or those that are not, if checks are
/// yet to come.
fn deferred_constraints(db: &Db, table: Oid, is_initially: bool) -> Vec<String> {
    static CONSTRAINTS: Statement = Statement::new(
        "WITH tree AS (SELECT :table::oid AS oid UNION SELECT relid FROM pg_partition_tree(:table::oid::regclass))
         SELECT tree.oid::bigint AS oid, CASE WHEN c.oid IS NOT NULL THEN format('%I.%I', n.nspname, c.conname) END AS name
           FROM tree
           LEFT JOIN pg_constraint c ON c.conrelid = tree.oid AND c.condeferrable AND c.condeferred = :is_initially
           LEFT JOIN pg_namespace n ON n.oid = c.connamespace",
    );
    let rows = db.run(&CONSTRAINTS, &args! { table: Value::oid_of(table), is_initially });
    let is_pending = rows.iter().any(|row| has_pending_triggers((row.value::<i64>("oid") as u32).into()));
    let names: BTreeSet<String> = rows.iter().filter(|_| is_pending).filter_map(|row| row.get("name")).collect();
    names.into_iter().collect()
}
