//! What schemas hold, as facts that can be compared: one for each object, and for some aspects of objects.
//!
//! [`tables`], [`objects`] and [`aspects`] have the queries, [`tools`] knows which tables do not count, [`canonical`] sees to
//! it that equal definitions are spelled alike.

mod aspects;
mod canonical;
mod include;
mod objects;
mod tables;
mod tools;

use std::collections::{HashMap, HashSet};

use pgrx::pg_sys::{self, Oid};

use self::canonical::canonical;
pub use self::include::Include;
pub use self::tools::is_named_in as names_tools_table;
use super::address::Address;
use crate::args;
use crate::backend::{Arg, Db, Row, Statement, despite_drops, printing_alike};

/// The kind of the facts about columns, whose order there is a fact about, too.
pub const COLUMN: &str = "column";
/// The kind of the facts about columns that a table has from its parents only.
pub const INHERITED_COLUMN: &str = "inherited column";
/// The definition of such a column that is as in the parents.
pub const AS_INHERITED: &str = "as inherited";
/// The kind of the facts about constraints.
pub const CONSTRAINT: &str = "constraint";
/// The kind of the facts about the order in which a table has its columns.
pub const COLUMN_ORDER: &str = "column order";

/// Something that is so in a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    pub kind: String,
    /// Name of the object, with its schema, quoted where SQL needs it. Together with the kind, it occurs only once.
    pub object: String,
    /// What the object is, as a person would read it.
    pub definition: String,
    /// What it belongs to; the object itself, if the fact is about an aspect of it, such as its owner.
    pub parent: Option<Address>,
    pub address: Address,
}

impl Fact {
    fn about(object: &Fact, kind: &str, definition: String) -> Fact {
        Fact {
            kind: kind.to_owned(),
            object: object.object.clone(),
            definition,
            parent: Some(object.address),
            address: object.address,
        }
    }

    /// Whether it is about an aspect of an object, not the object.
    pub fn is_aspect(&self) -> bool {
        self.parent == Some(self.address)
    }
}

/// The facts about the schemas with these OIDs. Members of extensions and the tables of migration tools do not count.
pub fn read(db: &Db, schemas: &[Oid], include: Include) -> Vec<Fact> {
    let schemas = as_integers(schemas.iter().copied());
    printing_alike(db, || {
        let ignored = ignored(db, &schemas);
        let relations = as_integers(despite_drops(|| {
            let rows = db.read(&tables::RELATIONS, &args! { schemas: &*schemas, ignored: &*ignored });
            rows.iter().map(|row| oid(&row, "oid")).collect::<Vec<_>>()
        }));
        let mut facts = relation_facts(db, &relations);
        for statement in [&objects::FUNCTIONS, &objects::TYPES, &objects::OTHERS] {
            facts.extend(collect(db, statement, &args! { schemas: &*schemas }, fact));
        }
        facts.extend(collect(db, &objects::STATISTICS, &args! { schemas: &*schemas, ignored: &*ignored }, fact));
        facts.extend(aspects_of(db, &schemas, &facts, include));
        facts
    })
}

/// The tables of migration tools.
fn ignored(db: &Db, schemas: &[i32]) -> Vec<i32> {
    as_integers(despite_drops(|| {
        let rows = db.read(&tables::CANDIDATES, &args! { names: tools::names(), schemas });
        let own = |row: &Row| tools::is_tools_own(&row.value::<String>("name"), &row.value::<Vec<String>>("columns"));
        rows.iter().filter(own).map(|row| oid(&row, "oid")).collect::<Vec<_>>()
    }))
}

fn relation_facts(db: &Db, relations: &[i32]) -> Vec<Fact> {
    let mut facts = Vec::new();
    for (table, row_level_security) in collect(db, &tables::TABLES, &args! { relations }, |row| {
        fact(row).map(|table| (table, row.get::<String>("row_level_security")))
    }) {
        facts.extend(row_level_security.map(|state| Fact::about(&table, "row level security", state)));
        facts.push(table);
    }
    let columns = collect(db, &tables::COLUMNS, &args! { relations }, |row| {
        fact(row).map(|column| (column, row.value::<String>("name")))
    });
    facts.extend(column_orders(&columns));
    facts.extend(columns.into_iter().map(|(column, _)| column));
    for statement in [
        &tables::CONSTRAINTS,
        &tables::INDEXES,
        &tables::SEQUENCES,
        &tables::VIEWS,
        &tables::TRIGGERS,
        &tables::RULES,
        &tables::POLICIES,
    ] {
        facts.extend(collect(db, statement, &args! { relations }, fact));
    }
    facts
}

/// The order of each table's columns, which come in that order, with their names. Where the inherited ones are among them
/// does not count: a dump puts them first.
fn column_orders(columns: &[(Fact, String)]) -> Vec<Fact> {
    let own: Vec<&(Fact, String)> = columns.iter().filter(|(column, _)| column.kind == COLUMN).collect();
    let of_one_table = own.chunk_by(|(a, _), (b, _)| a.parent == b.parent);
    of_one_table
        .filter_map(|columns| {
            let (first, name) = columns.first()?;
            let table = first.parent?;
            let names: Vec<&str> = columns.iter().map(|(_, name)| name.as_str()).collect();
            Some(Fact {
                kind: COLUMN_ORDER.to_owned(),
                object: first.object.strip_suffix(name.as_str())?.strip_suffix('.')?.to_owned(),
                definition: names.join(", "),
                parent: Some(table),
                address: table,
            })
        })
        .collect()
}

/// Owners, privileges and comments of the objects that facts are about, and of the schemas, as far as they are wanted.
fn aspects_of(db: &Db, schemas: &[i32], facts: &[Fact], include: Include) -> Vec<Fact> {
    let mut found = Vec::new();
    if include == Include::default() {
        return found;
    }
    // Kind and name of each.
    let named = facts.iter().filter(|fact| !fact.is_aspect() && fact.kind != INHERITED_COLUMN);
    let mut objects: HashMap<Address, (&str, String)> =
        named.map(|fact| (fact.address, (&*fact.kind, fact.object.clone()))).collect();
    objects.extend(collect(db, &aspects::SCHEMAS, &args! { schemas }, |row| {
        Some((address(row), ("schema", row.value("name"))))
    }));
    let mut read = |kind: &str, statement: &'static Statement, args: &[Arg]| {
        found.extend(collect(db, statement, args, |row| {
            let address = address(row);
            let (address, object) = match objects.get(&address) {
                Some((kind, object)) => (address, format!("{kind} {object}")),
                None => {
                    // A column that is no fact of its own, such as those of views.
                    let relation = Address { sub: 0, ..address };
                    let (_, object) = objects.get(&relation)?;
                    (relation, format!("column {object}.{}", row.get::<String>("name")?))
                }
            };
            let definition = row.get("definition")?;
            Some(Fact { kind: kind.to_owned(), object, definition, parent: Some(address), address })
        }));
    };
    if include.owners {
        read("owner", &aspects::OWNERS, &args! { schemas });
    }
    if include.grants {
        read("privileges", &aspects::PRIVILEGES, &args! { schemas });
    }
    if include.comments {
        read("comment", &aspects::COMMENTS, &[]);
    }
    if include.grants {
        found.extend(collect(db, &objects::DEFAULT_PRIVILEGES, &args! { schemas }, fact));
    }
    found
}

/// What `of_row` makes of a query's rows.
fn collect<T>(db: &Db, statement: &'static Statement, args: &[Arg], of_row: impl Fn(&Row) -> Option<T>) -> Vec<T> {
    despite_drops(|| {
        let mut found = Vec::new();
        // It ends only with an error that `of_row` has.
        let _ = db.each(statement, args, |row| {
            found.extend(of_row(row));
            Ok(())
        });
        found
    })
}

/// A row's fact; none if the object has been dropped.
fn fact(row: &Row) -> Option<Fact> {
    let definition: String = row.get("definition")?;
    let parent = row.get::<i64>("parent").map(|table| Address {
        class: pg_sys::RelationRelationId.to_u32(),
        object: table as u32,
        sub: row.get("parent_sub").unwrap_or_default(),
    });
    Some(Fact {
        kind: row.get("kind")?,
        object: row.get("object")?,
        definition: canonical(&definition),
        parent,
        address: address(row),
    })
}

fn address(row: &Row) -> Address {
    Address { class: row.value::<i64>("class") as u32, object: row.value::<i64>("oid") as u32, sub: row.value("sub") }
}

fn oid(row: &Row, column: &str) -> Oid {
    Oid::from_u32(row.value::<i64>(column) as u32)
}

/// OIDs as integers of the same bits, which a cast makes OIDs of again; each one once.
fn as_integers(oids: impl IntoIterator<Item = Oid>) -> Vec<i32> {
    let mut seen = HashSet::new();
    oids.into_iter().filter(|oid| seen.insert(*oid)).map(|oid| oid.to_u32() as i32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_order_for_each_table() {
        let column = |object: u32, sub: i32, table: &str, name: &str| {
            let address = Address { class: 1259, object, sub };
            let parent = Some(Address { sub: 0, ..address });
            let object = format!("{table}.{name}");
            (Fact { kind: COLUMN.to_owned(), object, definition: "text".to_owned(), parent, address }, name.to_owned())
        };
        let orders =
            column_orders(&[column(1, 1, "s.a", "x"), column(1, 3, "s.a", "\"y.z\""), column(2, 1, "s.\"b.\"", "x")]);
        let orders: Vec<(&str, &str)> = orders.iter().map(|fact| (&*fact.object, &*fact.definition)).collect();
        assert_eq!(orders, [("s.a", "x, \"y.z\""), ("s.\"b.\"", "x")]);
        assert!(column_orders(&[]).is_empty());
    }

    #[test]
    fn integers_with_the_bits_of_oids() {
        let oids = [1, 4_294_967_295, 1].map(Oid::from_u32);
        assert_eq!(as_integers(oids), [1, -1]);
    }
}
