//! A table that is imported: SQL for its columns, by term and by what they must hold.

use std::collections::HashMap;

use serde_json::{Map, Value as Json};

use super::mapping::{Mapping, Term};
use crate::args;
use crate::backend::{Call, Db, Statement, Value};
use crate::error::Error;
use crate::own_table::{Column, Table};

/// A table, and which columns of it hold what.
pub struct Source {
    pub table: Table,
    /// Under which name it is recorded where its rows went.
    pub name: String,
    mapping: Mapping,
    /// How messages call the mapping.
    what: &'static str,
    /// The alias of the table in statements.
    alias: &'static str,
    /// The categories of the columns' types, by number (`pg_type.typcategory`).
    categories: HashMap<i16, String>,
}

/// What a column holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Number,
    Time,
    Flag,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Text => "text",
            Kind::Number => "a number",
            Kind::Time => "a timestamp",
            Kind::Flag => "a boolean",
        }
    }

    /// Whether columns of a type of this category can hold it.
    fn takes(self, category: &str, type_name: &str) -> bool {
        match self {
            // The text of a bytea is not what its bytes say.
            Kind::Text => type_name != "bytea" && category != "A",
            Kind::Number => category == "N",
            Kind::Time => category == "D" && !type_name.starts_with("time ") && type_name != "time",
            Kind::Flag => category == "B",
        }
    }
}

impl Source {
    /// The table that argument number `index` names. 22023.
    pub fn read(
        call: &Call,
        db: &Db,
        (index, argument): (usize, &str),
        (json, what, terms): (&Map<String, Json>, &'static str, &[Term]),
        alias: &'static str,
    ) -> Result<Source, Error> {
        static CATEGORIES: Statement = Statement::new(
            "SELECT a.attnum AS number, t.typcategory::text AS category
               FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
              WHERE a.attrelid = :table AND a.attnum > 0 AND NOT a.attisdropped",
        );
        let table = Table::named(call, db, index, argument)?;
        let mapping = Mapping::parse(json, what, terms)?;
        let rows = db.read(&CATEGORIES, &args! { table: Value::oid_of(table.oid) });
        let categories = rows.iter().map(|row| (row.value("number"), row.value("category"))).collect();
        // Every session has another schema for its temporary tables.
        let name = match table.name.split_once('.') {
            Some((schema, name)) if schema.starts_with("pg_temp_") => format!("pg_temp.{name}"),
            _ => table.name.clone(),
        };
        let source = Source { table, name, mapping, what, alias, categories };
        // A column that was named must exist even if nothing is made of it.
        terms.iter().try_for_each(|term| source.column(term).map(|_| ()))?;
        Ok(source)
    }

    /// The table and its alias for FROM.
    pub fn from(&self) -> String {
        format!("{} AS {}", self.table.name, self.alias)
    }

    /// The column that holds a term.
    pub fn column(&self, term: &Term) -> Result<Option<&Column>, Error> {
        let names: Vec<&str> = self.table.columns.iter().map(|column| column.name.as_str()).collect();
        let name = self.mapping.column(term, &names, self.what, &self.table.name)?;
        Ok(name.and_then(|name| self.table.columns.iter().find(|column| column.name == name)))
    }

    /// A column in SQL.
    pub fn quoted(&self, column: &Column) -> String {
        format!("{}.{}", self.alias, column.quoted)
    }

    /// The column of a term that every table must have. 22023.
    pub fn required(&self, term: &Term) -> Result<&Column, Error> {
        self.column(term)?.ok_or_else(|| {
            Error::Invalid(format!(
                "table {} has no column for \"{}\": name one in {}",
                self.table.name, term.name, self.what
            ))
        })
    }

    fn of_kind(&self, term: &Term, kind: Kind) -> Result<Option<String>, Error> {
        let Some(column) = self.column(term)? else { return Ok(None) };
        let category = self.categories.get(&column.number).map_or("", String::as_str);
        if kind.takes(category, &column.type_name) {
            return Ok(Some(self.quoted(column)));
        }
        Err(Error::Invalid(format!(
            "{} key \"{}\": column \"{}\" is of type {}, not {}",
            self.what,
            term.name,
            column.name,
            column.type_name,
            kind.name()
        )))
    }

    /// SQL for a term as text that is compared byte by byte; NULL if the table does not have it.
    pub fn text(&self, term: &Term) -> Result<String, Error> {
        Ok(self.of_kind(term, Kind::Text)?.map_or("NULL::text".to_owned(), |column| as_text(&column)))
    }

    /// SQL for the text of a number.
    pub fn number(&self, term: &Term) -> Result<String, Error> {
        Ok(self.of_kind(term, Kind::Number)?.map_or("NULL::text".to_owned(), |column| as_text(&column)))
    }

    /// SQL for a timestamp. The one before all others is none: first in order, it would be in the way of all of them.
    pub fn time(&self, term: &Term) -> Result<String, Error> {
        let time = self.of_kind(term, Kind::Time)?;
        let sql = |column| format!("nullif(({column})::timestamptz, '-infinity')");
        Ok(time.map_or("NULL::timestamptz".to_owned(), sql))
    }

    /// SQL for a boolean; false if there is none.
    pub fn flag(&self, term: &Term) -> Result<String, Error> {
        let flag = self.of_kind(term, Kind::Flag)?;
        Ok(flag.map_or("false".to_owned(), |column| format!("coalesce(({column})::boolean, false)")))
    }

    /// SQL for a term as JSON. What is to be a text is one even if the column has numbers, such as ids.
    pub fn json(&self, term: &Term, is_text: bool) -> Result<String, Error> {
        let Some(column) = self.column(term)? else { return Ok("NULL::jsonb".to_owned()) };
        let (quoted, category) = (self.quoted(column), self.categories.get(&column.number));
        let is_number = category.is_some_and(|category| category == "N");
        Ok(if is_text && is_number { format!("to_jsonb(({quoted})::text)") } else { format!("to_jsonb({quoted})") })
    }

    /// SQL for the digits of a hash, which is a text or a bytea.
    pub fn hash(&self, term: &Term) -> Result<String, Error> {
        match self.column(term)? {
            Some(column) if column.type_oid == pgrx::pg_sys::BYTEAOID => {
                Ok(format!("encode({}, 'hex')", self.quoted(column)))
            }
            _ => self.text(term),
        }
    }

    /// SQL for what identifies a row, as text, and to sort by it: the column of a term, or the primary key. 22023 if there is
    /// neither, or if it does not identify rows.
    pub fn identity(&self, db: &Db, term: &Term) -> Result<(String, String), Error> {
        let key = self.table.primary_key();
        let quoted = |column: &&Column| self.quoted(column);
        let in_order = key.iter().map(quoted).collect::<Vec<_>>().join(", ");
        match (self.column(term)?, key.as_slice()) {
            (Some(column), [only]) if only.number == column.number => Ok((as_text(&self.quoted(column)), in_order)),
            (None, [only]) => Ok((as_text(&self.quoted(only)), in_order)),
            (None, [_, _, ..]) => Ok((as_text(&format!("jsonb_build_array({in_order})")), in_order)),
            (None, []) => Err(Error::Invalid(format!(
                "table {} has no primary key: name a column that identifies its rows in {} key \"{}\"",
                self.table.name, self.what, term.name
            ))),
            (Some(column), _) => {
                let text = self.text(term)?;
                self.refuse_ambiguous(db, column, &text)?;
                Ok((text.clone(), if in_order.is_empty() { text } else { in_order }))
            }
        }
    }

    fn refuse_ambiguous(&self, db: &Db, column: &Column, id: &str) -> Result<(), Error> {
        let sql = format!(
            "SELECT {id} AS id, count(*) AS rows FROM {} GROUP BY 1
             HAVING count(*) > 1 OR {id} IS NULL ORDER BY 1 LIMIT 1",
            self.from()
        );
        let mut found = None;
        db.dynamic_each_of_all(&sql, &[], |row| {
            found = Some((row.get::<String>("id"), row.value::<i64>("rows")));
            Ok(())
        })?;
        let why = match found {
            None => return Ok(()),
            Some((None, rows)) => format!("it is NULL in {rows} rows"),
            Some((Some(id), rows)) => format!("{rows} rows have \"{}\"", crate::input::abridged(&id)),
        };
        let (name, table) = (&column.name, &self.table.name);
        Err(Error::Invalid(format!("column \"{name}\" of table {table} does not identify rows: {why}")))
    }
}

fn as_text(expression: &str) -> String {
    format!("({expression})::text COLLATE \"C\"")
}
