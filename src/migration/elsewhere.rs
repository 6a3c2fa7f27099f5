//! Objects of the database that a replay did not make.

use pgrx::pg_sys::Oid;

use super::explain::Elsewhere;
use super::history::{Wanted, space};
use super::schemas::Schema;
use crate::args;
use crate::backend::{Call, Statement, Value, connect};

static FOUND: Statement = Statement::new(
    "SELECT n.oid, n.nspname::text AS schema, o.name::text AS name
       FROM (SELECT c.relnamespace, c.relname FROM pg_class c
              WHERE :space = 'relation' AND lower(c.relname) = lower(:name)
              UNION ALL
             SELECT t.typnamespace, t.typname FROM pg_type t
              WHERE :space = 'type' AND lower(t.typname) = lower(:name)
              UNION ALL
             SELECT f.pronamespace, f.proname FROM pg_proc f
              WHERE :space = 'function' AND lower(f.proname) = lower(:name)
              UNION ALL
             SELECT t.relnamespace, c.attname FROM pg_attribute c JOIN pg_class t ON t.oid = c.attrelid
              WHERE :space = 'column' AND lower(t.relname) = lower(:table) AND lower(c.attname) = lower(:name)
                AND NOT c.attisdropped
              UNION ALL
             SELECT c.connamespace, c.conname FROM pg_constraint c LEFT JOIN pg_class t ON t.oid = c.conrelid
              WHERE :space = 'constraint' AND lower(c.conname) = lower(:name)
                AND (:table IS NULL OR lower(t.relname) = lower(:table))
              UNION ALL
             SELECT n.oid, n.nspname FROM pg_namespace n
              WHERE :space = 'schema' AND (lower(n.nspname) = lower(:name) OR n.oid = :aside)
              UNION ALL
             SELECT NULL, e.extname FROM pg_extension e
              WHERE :space = 'extension' AND lower(e.extname) = lower(:name)
              UNION ALL
             SELECT NULL, r.rolname FROM pg_roles r
              WHERE :space = 'role' AND lower(r.rolname) = lower(:name)) AS o (namespace, name)
       LEFT JOIN pg_namespace n ON n.oid = o.namespace
      WHERE n.oid IS NULL OR n.oid <> ALL (:built)
      ORDER BY n.nspname, o.name
      LIMIT 100",
);

/// Those of a kind and name; upper and lower case do not count. `built` are the schemas of the replay, `aside` those in whose
/// place they are.
pub fn search(call: &Call, built: &[Oid], aside: &[Schema], wanted: Wanted) -> Vec<Elsewhere> {
    let aside_schema = aside.iter().find(|schema| schema.name.eq_ignore_ascii_case(wanted.name));
    connect(call, |db| {
        let args = args! {
            space: space(wanted.kind),
            name: wanted.name,
            table: wanted.table,
            aside: Value::oid_of(aside_schema.map_or(Oid::INVALID, |schema| schema.oid)),
            built: built.to_vec(),
        };
        let rows = db.run(&FOUND, &args);
        rows.iter()
            .map(|row| {
                let oid = row.get::<Oid>("oid");
                let live = aside.iter().find(|schema| Some(schema.oid) == oid);
                let is_schema = space(wanted.kind) == super::history::SCHEMA;
                let usual = live.map(|schema| schema.name.clone());
                let schema = usual.clone().or_else(|| row.get("schema"));
                let name = usual.filter(|_| is_schema).unwrap_or_else(|| row.value("name"));
                Elsewhere { schema, name, is_live: live.is_some() }
            })
            .collect()
    })
}
