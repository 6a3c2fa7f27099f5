//! What keeps a table from being renumbered.

use super::equality::equality;
use super::table::{Column, Counted};
use crate::args;
use crate::backend::{Db, Statement, Value};
use crate::error::Error;

/// Refuses a table that cannot be renumbered, or not so that doing it again would change nothing: 22023 for arguments
/// that do not fit together, 55000 for what the table is like. `order` are the columns that its rows are ordered by.
pub fn refuse_obstacles(db: &Db, counted: &Counted, order: &[Column]) -> Result<(), Error> {
    let Counted { table, parents, version, current } = counted;
    let key = table.primary_key();
    let refuse = |what: String, detail: Option<String>, hint: &'static str| {
        Err(Error::OwnTable { table: table.name.clone(), what, detail, hint })
    };
    if key.is_empty() {
        return refuse(
            "has no primary key, by which its rows could be found again".to_owned(),
            Some(format!("ALTER TABLE {} ADD COLUMN id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY", table.name)),
            "Add a primary key first, for example the one in DETAIL.",
        );
    }
    for (columns, argument) in [(parents.as_slice(), "p_parent_columns"), (order, "p_order_columns")] {
        for column in columns {
            equality(db, column, argument)?;
        }
    }
    let orders = key.into_iter().chain(parents).chain(order);
    if let Some(current) = current
        && orders.clone().any(|column| column.number == current.number)
    {
        let name = &current.name;
        return Err(Error::Invalid(format!(
            "p_current_column: column \"{name}\" is one of the parent columns, of the order columns or of the primary key"
        )));
    }
    for changed in [Some(version), current.as_ref()].into_iter().flatten() {
        if changed.is_generated || is_always_identity(db, counted, changed) {
            let what = format!("generates the values of column \"{}\" itself", changed.name);
            return refuse(what, None, "Make it an ordinary column first.");
        }
        let computed = computed_from(db, counted, changed);
        if let Some(column) = orders.clone().find(|column| computed.contains(&column.number)) {
            let what = format!("computes column \"{}\", which orders its rows, from \"{}\"", column.name, changed.name);
            return refuse(what, None, "Order by other columns, and have another primary key.");
        }
    }
    if is_partition_key(db, counted) {
        let what = format!("is partitioned by \"{}\"", version.name);
        return refuse(what, None, "Rows would change their partition. Partition by the parent's columns.");
    }
    let keys = foreign_keys(db, counted);
    if !keys.is_empty() {
        let what = format!("has column \"{}\" in a foreign key", version.name);
        let hint = "Drop the foreign key, renumber, change the rows on its other side alike, and add it again.";
        return refuse(what, Some(keys.join(", ")), hint);
    }
    Ok(())
}

/// Whether a column can only be set to its identity sequence's next value.
fn is_always_identity(db: &Db, counted: &Counted, column: &Column) -> bool {
    static IDENTITY: Statement = Statement::new(
        "SELECT FROM pg_attribute WHERE attrelid = :table AND attname = :name::name AND attidentity = 'a'",
    );
    let table = Value::oid_of(counted.table.oid);
    column.is_identity && !db.read(&IDENTITY, &args! { table, name: column.name.as_str() }).is_empty()
}

/// Numbers of the generated columns that are computed from a column.
fn computed_from(db: &Db, counted: &Counted, column: &Column) -> Vec<i16> {
    static COMPUTED: Statement = Statement::new(
        "SELECT DISTINCT a.attnum AS number
           FROM pg_attribute a
           JOIN pg_attrdef f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
           JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = a.attrelid
                           AND (d.classid = 'pg_attrdef'::regclass AND d.objid = f.oid
                                OR d.classid = 'pg_class'::regclass AND d.objid = a.attrelid AND d.objsubid = a.attnum)
          WHERE a.attrelid = :table AND a.attgenerated <> '' AND d.refobjsubid = :number",
    );
    let (table, number) = (Value::oid_of(counted.table.oid), i32::from(column.number));
    db.read(&COMPUTED, &args! { table, number }).iter().map(|row| row.value("number")).collect()
}

/// Whether the number says in which partition a row is.
fn is_partition_key(db: &Db, counted: &Counted) -> bool {
    static KEY: Statement = Statement::new(
        "SELECT FROM pg_partitioned_table p
           JOIN pg_attribute a ON a.attrelid = p.partrelid AND a.attnum = ANY (p.partattrs::int2[])
          WHERE a.attname = :name::name
            AND (p.partrelid = :table OR p.partrelid IN (SELECT relid FROM pg_partition_tree(:table::oid::regclass)))",
    );
    let table = Value::oid_of(counted.table.oid);
    !db.read(&KEY, &args! { table, name: counted.version.name.as_str() }).is_empty()
}

/// Foreign keys on either side of which the number is.
fn foreign_keys(db: &Db, counted: &Counted) -> Vec<String> {
    static KEYS: Statement = Statement::new(
        "WITH tree AS (SELECT :table::oid AS oid UNION SELECT relid FROM pg_partition_tree(:table::oid::regclass))
         SELECT format('foreign key %I of table %I.%I', c.conname, n.nspname, r.relname) AS name
           FROM pg_constraint c
           JOIN pg_class r ON r.oid = c.conrelid
           JOIN pg_namespace n ON n.oid = r.relnamespace
          WHERE c.contype = 'f' AND c.conparentid = 0
            AND EXISTS (SELECT FROM pg_attribute a
                         WHERE a.attname = :name::name
                           AND (a.attrelid = c.confrelid AND a.attnum = ANY (c.confkey)
                                OR a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey))
                           AND a.attrelid IN (SELECT oid FROM tree))
          ORDER BY 1",
    );
    let table = Value::oid_of(counted.table.oid);
    let rows = db.read(&KEYS, &args! { table, name: counted.version.name.as_str() });
    rows.iter().map(|row| row.value("name")).collect()
}
