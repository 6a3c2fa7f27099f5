//! The tables of other tools: finding them, and reading them without running anybody's code.

use pgrx::pg_sys::Oid;

use super::choice::{Candidate, Chosen, OTHERS, Tool};
use crate::args;
use crate::backend::{self, Db, Row, Statement, Value, quoted_identifier};
use crate::error::Error;

/// A column that is read.
pub struct Column {
    pub name: &'static str,
    /// The types that it may have, as Postgres writes them.
    pub types: &'static [&'static str],
    /// Whether older or newer versions of the tool lack it.
    pub is_optional: bool,
}

/// Types of texts.
pub const TEXT: &[&str] = &["text", "character varying"];
/// Types of whole numbers.
pub const INTEGER: &[&str] = &["integer", "bigint", "smallint"];
/// Types of times.
pub const TIME: &[&str] = &["timestamp with time zone", "timestamp without time zone"];

/// A column that the table must have.
pub const fn column(name: &'static str, types: &'static [&'static str]) -> Column {
    Column { name, types, is_optional: false }
}

/// A column that the table may have.
pub const fn optional(name: &'static str, types: &'static [&'static str]) -> Column {
    Column { name, types, is_optional: true }
}

/// The relations that have the names of tools' tables. `path` is the caller's search path.
pub fn candidates(db: &Db, path: &[String]) -> Vec<Candidate> {
    static RELATIONS: Statement = Statement::new(
        "SELECT c.oid::bigint AS oid, n.nspname::text AS schema, c.relname::text AS table_name,
                format('%I.%I', n.nspname, c.relname) AS name, array_position(:path, n.nspname::text) AS place
           FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
          WHERE c.relname = ANY (:names::name[]) AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relpersistence <> 't'
          ORDER BY n.nspname",
    );
    let names: Vec<String> = OTHERS.iter().map(|tool| tool.table().to_owned()).collect();
    let rows = db.read(&RELATIONS, &args! { path: path.to_vec(), names: names });
    let candidate = |row: Row| {
        let (schema, table): (String, String) = (row.value("schema"), row.value("table_name"));
        let tool = Tool::of_table(&schema, &table)?;
        let oid = row.value::<i64>("oid") as u32;
        Some(Candidate { tool, oid, name: row.value("name"), place: row.get("place") })
    };
    rows.iter().filter_map(candidate).collect()
}

/// 55000: the table is not what the tool makes.
fn strange(table: &Chosen, what: String) -> Error {
    Error::OwnTable {
        table: table.name.clone(),
        what: format!("is not as {} makes it: {what}", table.tool.title()),
        detail: None,
        hint: "Name another tool in p_tool, or set search_path to the schema of the tool's table.",
    }
}

/// 55000 if reading the table could run code that somebody has put there, whose right to do so the caller would lend them.
fn require_plain(db: &Db, table: &Chosen) -> Result<(), Error> {
    static KIND: Statement = Statement::new(
        "SELECT c.relkind = 'r' AS is_table,
                EXISTS (SELECT FROM pg_index i
                         WHERE i.indrelid = c.oid AND (i.indexprs IS NOT NULL OR i.indpred IS NOT NULL))
                OR EXISTS (SELECT FROM pg_statistic_ext s WHERE s.stxrelid = c.oid AND s.stxexprs IS NOT NULL)
                    AS has_expressions
           FROM pg_class c WHERE c.oid = :table::oid",
    );
    let rows = db.read(&KIND, &args! { table: Value::oid_of(Oid::from(table.oid)) });
    let Some(row) = rows.first() else {
        return Err(strange(table, "it has just been dropped".to_owned()));
    };
    if !row.value::<bool>("is_table") {
        return Err(strange(table, "it is not an ordinary table".to_owned()));
    }
    // The planner computes what is constant in them.
    if row.value("has_expressions") {
        return Err(strange(table, "it has an index or statistics on expressions".to_owned()));
    }
    Ok(())
}

/// The names of the columns that there are, which must be of the right types. 55000.
fn require_columns(db: &Db, table: &Chosen, columns: &'static [Column]) -> Result<Vec<&'static str>, Error> {
    static COLUMNS: Statement = Statement::new(
        "SELECT attname::text AS name, format_type(atttypid, NULL) AS type_name
           FROM pg_attribute WHERE attrelid = :table::oid AND attnum > 0 AND NOT attisdropped",
    );
    let rows = db.read(&COLUMNS, &args! { table: Value::oid_of(Oid::from(table.oid)) });
    let there: Vec<(String, String)> = rows.iter().map(|row| (row.value("name"), row.value("type_name"))).collect();
    let mut names = Vec::new();
    for column in columns {
        match there.iter().find(|(name, _)| name == column.name) {
            None if column.is_optional => {}
            None => return Err(strange(table, format!("it has no column \"{}\"", column.name))),
            Some((_, type_name)) if column.types.contains(&type_name.as_str()) => names.push(column.name),
            Some((name, type_name)) => {
                return Err(strange(table, format!("column \"{name}\" is of type {type_name}")));
            }
        }
    }
    Ok(names)
}

/// SQL for a column as it is read, NULL if the table does not have it.
fn selected(column: &Column, there: &[&str]) -> String {
    let name = quoted_identifier(column.name);
    let (type_name, value) = match column.types {
        ["text[]"] => ("text", format!("array_to_string(t.{name}, {STATEMENT_END})")),
        ["bytea"] => ("bytea", format!("t.{name}")),
        ["boolean"] => ("boolean", format!("t.{name}")),
        _ => ("text", format!("t.{name}::text")),
    };
    let value = if there.contains(&column.name) { value } else { format!("NULL::{type_name}") };
    format!("{value} AS {name}")
}

/// What texts of an array of statements are joined by. The end of the line ends a comment, too.
const STATEMENT_END: &str = "E'\n;\n'";

/// Reads `columns` of all rows in an order, with the rights of the caller: 42501 if they do not suffice, or if a policy would
/// hide rows. All but bytes and booleans come as text.
pub fn read<T>(
    db: &Db,
    table: &Chosen,
    columns: &'static [Column],
    order: &str,
    row: impl Fn(&Row) -> T,
) -> Result<Vec<T>, Error> {
    backend::keep_as_it_is(Oid::from(table.oid));
    require_plain(db, table)?;
    let there = require_columns(db, table, columns)?;
    let columns: Vec<String> = columns.iter().map(|column| selected(column, &there)).collect();
    let sql = format!("SELECT {} FROM ONLY {} AS t ORDER BY {order}", columns.join(", "), table.name);
    let mut rows = Vec::new();
    db.dynamic_each_of_all(&sql, &[], |found| {
        rows.push(row(found));
        Ok(())
    })?;
    Ok(rows)
}
