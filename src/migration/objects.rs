//! Names of the objects that statements touch.

use std::collections::HashSet;

use pgrx::pg_sys::Oid;

use super::address::Address;
use crate::args;
use crate::backend::{Call, Row, Statement, Touch, Touched, Value, connect};

/// An object as it is called after a statement, as `pg_identify_object` has it.
#[derive(Debug)]
pub struct Named {
    pub address: Address,
    /// Such as `table` or `table column`.
    pub kind: String,
    /// The parts of its name, not quoted; the first one is its schema if it is in one.
    pub parts: Vec<String>,
    pub is_in_schema: bool,
    pub identity: String,
    /// The type of a column, the definition of a constraint, the labels of an enum.
    pub what: Option<String>,
}

/// What a statement did to one object.
pub enum Deed {
    Made(Named),
    Changed(Named),
    Dropped(Address),
}

// A table's columns are made with it, without being mentioned.
static NAMES: Statement = Statement::new(
    "WITH touched AS (
         SELECT t.class, t.object, t.sub
           FROM ROWS FROM (unnest(:classes), unnest(:objects), unnest(:subs)) AS t (class, object, sub)
          WHERE t.class IN ('pg_class'::regclass, 'pg_type'::regclass, 'pg_proc'::regclass, 'pg_constraint'::regclass,
                            'pg_trigger'::regclass, 'pg_policy'::regclass, 'pg_rewrite'::regclass,
                            'pg_namespace'::regclass, 'pg_extension'::regclass, 'pg_authid'::regclass,
                            'pg_operator'::regclass, 'pg_opclass'::regclass, 'pg_opfamily'::regclass,
                            'pg_collation'::regclass, 'pg_statistic_ext'::regclass, 'pg_publication'::regclass,
                            'pg_event_trigger'::regclass, 'pg_foreign_server'::regclass,
                            'pg_foreign_data_wrapper'::regclass, 'pg_language'::regclass, 'pg_cast'::regclass,
                            'pg_ts_config'::regclass, 'pg_ts_dict'::regclass)
          UNION
         SELECT 'pg_class'::regclass, r.oid, a.attnum
           FROM pg_class r
           JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
          WHERE r.oid = ANY (:made) AND r.relkind IN ('r', 'p', 'f', 'v', 'm', 'c'))
     SELECT t.class, t.object, t.sub, i.type AS kind,
            CASE WHEN t.class = 'pg_type'::regclass THEN
                     (SELECT ARRAY[n.nspname::text, y.typname::text]
                        FROM pg_type y JOIN pg_namespace n ON n.oid = y.typnamespace WHERE y.oid = t.object)
                 WHEN i.type = 'domain constraint' THEN
                     (SELECT ARRAY[n.nspname::text, y.typname::text, c.conname::text]
                        FROM pg_constraint c JOIN pg_type y ON y.oid = c.contypid
                        JOIN pg_namespace n ON n.oid = y.typnamespace WHERE c.oid = t.object)
                 -- Their access method comes first.
                 WHEN i.type LIKE 'operator %' THEN a.object_names[2 : 3]
                 ELSE a.object_names
            END AS parts,
            -- What belongs to a table is not said to be in a schema, but its name begins with one.
            i.schema IS NOT NULL OR i.type IN ('trigger', 'policy', 'rule') AS is_in_schema, i.identity,
            CASE WHEN t.class = 'pg_class'::regclass AND t.sub > 0 THEN
                     (SELECT format_type(c.atttypid, c.atttypmod) FROM pg_attribute c
                       WHERE c.attrelid = t.object AND c.attnum = t.sub)
                 WHEN t.class = 'pg_constraint'::regclass THEN pg_get_constraintdef(t.object)
                 WHEN t.class = 'pg_type'::regclass THEN
                     (SELECT string_agg(quote_literal(l.enumlabel), ', ' ORDER BY l.enumsortorder) FROM pg_enum l
                       WHERE l.enumtypid = t.object)
            END AS what
       FROM touched t
      CROSS JOIN LATERAL pg_identify_object(t.class, t.object, t.sub) AS i
      CROSS JOIN LATERAL pg_identify_object_as_address(t.class, t.object, t.sub) AS a
      WHERE i.identity IS NOT NULL
        AND NOT EXISTS (SELECT FROM pg_attribute c WHERE t.class = 'pg_class'::regclass AND t.sub > 0
                                                     AND c.attrelid = t.object AND c.attnum = t.sub AND c.attisdropped)
        AND i.schema IS DISTINCT FROM 'pg_toast'",
);

static IDENTITY: Statement = Statement::new("SELECT type, identity FROM pg_identify_object(:class, :object, 0)");

/// What an object that was there before is, and its name.
pub fn identity(call: &Call, touched: Touched) -> (String, String) {
    connect(call, |db| {
        let args = args! { class: Value::oid_of(touched.class), object: Value::oid_of(touched.object) };
        let rows = db.run(&IDENTITY, &args);
        let row = rows.one();
        (row.get("type").unwrap_or_default(), row.get("identity").unwrap_or_default())
    })
}

/// What the touches of a statement come to, each object once. What was made and dropped again in it is left out.
pub fn deeds(call: &Call, touched: &[Touched]) -> Vec<Deed> {
    if touched.is_empty() {
        return Vec::new();
    }
    let mut made: HashSet<Address> = HashSet::new();
    let mut seen: HashSet<Address> = HashSet::new();
    for one in touched {
        if seen.insert(address(one)) && one.touch == Touch::Made {
            made.insert(address(one));
        }
    }
    let named = connect(call, |db| {
        let made_relations = made.iter().filter(|one| one.class == RELATION && one.sub == 0);
        let made: Vec<Oid> = made_relations.map(|one| Oid::from(one.object)).collect();
        let classes: Vec<Oid> = touched.iter().map(|one| one.class).collect();
        let objects: Vec<Oid> = touched.iter().map(|one| one.object).collect();
        let subs: Vec<i32> = touched.iter().map(|one| one.sub).collect();
        let rows = db.run(&NAMES, &args! { classes, objects, subs: subs.as_slice(), made });
        rows.iter().map(|row| named(&row)).collect::<Vec<_>>()
    });
    for one in &named {
        seen.remove(&one.address);
    }
    let dropped = touched.iter().filter(|one| one.touch == Touch::Dropped).map(address);
    let dropped = dropped.filter(|one| !made.contains(one) && seen.remove(one)).map(Deed::Dropped).collect::<Vec<_>>();
    let is_new = |one: &Named| made.contains(&one.address) || made.contains(&Address { sub: 0, ..one.address });
    let others = named.into_iter().map(|one| if is_new(&one) { Deed::Made(one) } else { Deed::Changed(one) });
    dropped.into_iter().chain(others).collect()
}

/// The catalog of relations.
const RELATION: u32 = pgrx::pg_sys::RelationRelationId.to_u32();

fn address(touched: &Touched) -> Address {
    Address { class: touched.class.into(), object: touched.object.into(), sub: touched.sub }
}

fn named(row: &Row) -> Named {
    let address = Address {
        class: row.value::<Oid>("class").into(),
        object: row.value::<Oid>("object").into(),
        sub: row.value("sub"),
    };
    let (kind, parts, is_in_schema) = (row.value("kind"), row.value("parts"), row.value("is_in_schema"));
    Named { address, kind, parts, is_in_schema, identity: row.value("identity"), what: row.get("what") }
}
