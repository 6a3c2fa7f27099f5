//! Users' triggers, which do not fire while rows are renumbered: what they would do is about changes of their users.

use super::table::Table;
use crate::args;
use crate::backend::{Db, Statement, Value, has_pending_triggers};
use crate::error::Error;

/// Triggers that are disabled, and the statements that make them as they were.
pub struct Silenced(Vec<String>);

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
    Ok(Silenced(restore))
}

impl Silenced {
    /// Makes the triggers as they were.
    pub fn restore(self, db: &Db) {
        for statement in self.0 {
            db.dynamic(&statement, &[]);
        }
    }
}
