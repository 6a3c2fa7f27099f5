//! Temporary relations, which end with the connection that made them.

use pgrx::pg_sys::Oid;

use crate::backend::{self, Call, Statement, connect};

static RELATIONS: Statement = Statement::new(
    "SELECT c.oid FROM pg_class c
      WHERE c.relnamespace = pg_my_temp_schema() AND c.relkind IN ('r', 'p', 'v', 'S') AND NOT c.relispartition
      ORDER BY c.oid",
);

/// Drops those that the migrations have made.
pub fn drop_relations(call: &Call) {
    let relations: Vec<Oid> = connect(call, |db| db.run(&RELATIONS, &[]).iter().map(|row| row.value("oid")).collect());
    relations.into_iter().filter(|&relation| backend::is_own(relation)).for_each(backend::drop_relation);
}
