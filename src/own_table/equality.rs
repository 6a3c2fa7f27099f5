//! Whether values of a user's columns are equal, in statements that find no operator by its name: types of other schemas,
//! such as citext, have their own.

use super::table::{Column, Counted};
use crate::args;
use crate::backend::{Db, Statement, Value, equality_operator};
use crate::error::Error;

/// The operator by which a column's values are equal, for SQL. 22023 if its type has no order.
pub fn equality(db: &Db, column: &Column, argument: &str) -> Result<String, Error> {
    static NAME: Statement = Statement::new(
        "SELECT format('OPERATOR(%I.%s)', n.nspname, o.oprname) AS name
           FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace WHERE o.oid = :operator",
    );
    let Some(operator) = equality_operator(column.type_oid) else {
        let (name, is) = (&column.name, &column.type_name);
        return Err(Error::Invalid(format!("{argument}: column \"{name}\" is of type {is}, which has no order")));
    };
    Ok(db.read(&NAME, &args! { operator: Value::oid_of(operator) }).one().value("name"))
}

/// A condition: `columns` are the same in rows `one` and `other`.
pub fn same(db: &Db, columns: &[Column], one: &str, other: &str) -> Result<String, Error> {
    let equal = |column: &Column| {
        let (operator, name) = (equality(db, column, "p_parent_columns")?, &column.quoted);
        Ok(format!("{one}.{name} {operator} {other}.{name}"))
    };
    Ok(columns.iter().map(equal).collect::<Result<Vec<_>, Error>>()?.join(" AND "))
}

/// A condition: row `b` of the backup is about row `t` of the table. If the number is part of the primary key, the row is
/// found by the one it has at the time, `number`.
pub fn same_key(db: &Db, counted: &Counted, number: &str) -> Result<String, Error> {
    let is_number = |column: &&&Column| column.number == counted.version.number;
    let key = counted.table.primary_key();
    let others: Vec<Column> = key.iter().filter(|column| !is_number(column)).map(|&column| column.clone()).collect();
    let mut conditions: Vec<String> = Vec::new();
    if !others.is_empty() {
        conditions.push(same(db, &others, "t", "b")?);
    }
    if others.len() < key.len() {
        conditions.push(format!("t.{} = {number}", counted.version.quoted));
    }
    Ok(conditions.join(" AND "))
}
