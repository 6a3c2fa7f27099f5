//! What the error messages of Postgres 15 to 18 name.
//!
//! Names stand in messages as they are, with one pair of quotes around them or none, and may hold anything, also what looks
//! like the rest of the message. So a message can have several readings.

/// What a message says of the object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Matter {
    Exists,
    Missing,
    /// It is of another kind than the statement takes it for.
    OtherKind,
    /// The second type does not fit the first.
    Type,
    /// Rows violate a constraint.
    Rows,
    /// Others depend on it.
    Needed,
    /// It can only be replaced by something alike.
    Replaced,
    /// A value of an enum type cannot be used yet.
    NewValue,
    /// A table has no unique constraint that a statement refers to.
    NoKey,
}

impl Matter {
    /// The SQLSTATEs that Postgres reports it with.
    fn has(self, sqlstate: &str) -> bool {
        let sqlstates: &[&str] = match self {
            Matter::Exists => &["42P07", "42701", "42710", "42723", "42P06", "42P16", "23505"],
            Matter::Missing => &["42P01", "42703", "42704", "42883", "3F000", "22P02", "22023"],
            Matter::OtherKind => &["42809"],
            Matter::Type => &["42804", "42883", "22P02", "42846"],
            Matter::Rows => &["23502", "23503", "23505", "23514", "23P01"],
            Matter::Needed => &["2BP01", "0A000"],
            Matter::Replaced => &["42P13", "42P16"],
            Matter::NewValue => &["55P04"],
            Matter::NoKey => &["42830", "42P10"],
        };
        sqlstates.contains(&sqlstate)
    }
}

/// One way to read a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reading {
    pub matter: Matter,
    /// What it calls the object: a kind, or a [`space`](crate::migration::history::space).
    pub kind: &'static str,
    pub schema: Option<String>,
    /// Empty if the message does not name it.
    pub name: String,
    /// For a column, it may also be an alias.
    pub table: Option<String>,
    /// The column that a foreign key's column refers to.
    pub referenced: Option<String>,
    /// The types of a function's arguments.
    pub arguments: Option<String>,
    /// Two types, or the one that is named.
    pub types: Vec<String>,
    /// The value of an enum type.
    pub value: Option<String>,
}

/// In which text of an error a form is found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Part {
    Message,
    Detail,
    Hint,
}

use Matter::*;
use Part::*;

/// A message. In braces: `name`, `schema` and `table` are names; `path` is a name that may be qualified, `quoted` the same
/// with quotes where SQL needs them, `owner` likewise for the table that the object belongs to; `alias` is a table's name or
/// alias, `key` the column that a foreign key refers to; `arguments` and `a` and `b` are types, `op` an operator, `value` is
/// a value, and `_` is of no interest.
type Form = (Matter, &'static str, Part, &'static str);

const FORMS: &[Form] = &[
    (Exists, "relation", Message, "relation \"{name}\" already exists"),
    (Exists, "relation", Message, "relation \"{name}\" already exists in schema \"{schema}\""),
    (Exists, "column", Message, "column \"{name}\" of relation \"{table}\" already exists"),
    (Exists, "type", Message, "type \"{name}\" already exists"),
    (Exists, "type", Message, "type \"{name}\" already exists in schema \"{schema}\""),
    (Exists, "schema", Message, "schema \"{name}\" already exists"),
    (Exists, "role", Message, "role \"{name}\" already exists"),
    (Exists, "extension", Message, "extension \"{name}\" already exists"),
    (Exists, "function", Message, "function \"{name}\" already exists with same argument types"),
    (Exists, "function", Message, "function {quoted}({arguments}) already exists in schema \"{schema}\""),
    (Exists, "function", Message, "function {quoted}() already exists in schema \"{schema}\""),
    (Exists, "constraint", Message, "constraint \"{name}\" for relation \"{table}\" already exists"),
    (Exists, "constraint", Message, "constraint \"{name}\" for domain \"{table}\" already exists"),
    (Exists, "constraint", Message, "constraint \"{name}\" for domain {table} already exists"),
    (Exists, "primary key", Message, "multiple primary keys for table \"{table}\" are not allowed"),
    (Exists, "trigger", Message, "trigger \"{name}\" for relation \"{table}\" already exists"),
    (Exists, "policy", Message, "policy \"{name}\" for table \"{table}\" already exists"),
    (Exists, "rule", Message, "rule \"{name}\" for relation \"{table}\" already exists"),
    (Exists, "statistics object", Message, "statistics object \"{name}\" already exists"),
    (Exists, "statistics object", Message, "statistics object \"{name}\" already exists in schema \"{schema}\""),
    (Exists, "collation", Message, "collation \"{name}\" already exists"),
    (Exists, "collation", Message, "collation \"{name}\" for encoding \"{_}\" already exists"),
    (Exists, "publication", Message, "publication \"{name}\" already exists"),
    (Exists, "event trigger", Message, "event trigger \"{name}\" already exists"),
    (Exists, "server", Message, "server \"{name}\" already exists"),
    (Exists, "foreign-data wrapper", Message, "foreign-data wrapper \"{name}\" already exists"),
    (Exists, "language", Message, "language \"{name}\" already exists"),
    (Exists, "enum value", Message, "enum label \"{value}\" already exists"),
    (Exists, "relation", Detail, "Key (relname, relnamespace)=({name}, {_}) already exists."),
    (Exists, "type", Detail, "Key (typname, typnamespace)=({name}, {_}) already exists."),
    (Exists, "schema", Detail, "Key (nspname)=({name}) already exists."),
    (Exists, "function", Detail, "Key (proname, proargtypes, pronamespace)=({name}, {_}, {_}) already exists."),
    (Missing, "relation", Message, "relation \"{path}\" does not exist"),
    (Missing, "table", Message, "table \"{name}\" does not exist"),
    (Missing, "view", Message, "view \"{name}\" does not exist"),
    (Missing, "materialized view", Message, "materialized view \"{name}\" does not exist"),
    (Missing, "foreign table", Message, "foreign table \"{name}\" does not exist"),
    (Missing, "index", Message, "index \"{name}\" does not exist"),
    (Missing, "index", Message, "index \"{name}\" for table \"{_}\" does not exist"),
    (Missing, "sequence", Message, "sequence \"{name}\" does not exist"),
    (Missing, "column", Message, "column \"{name}\" of relation \"{table}\" does not exist"),
    (Missing, "column", Message, "column \"{name}\" does not exist"),
    (Missing, "column", Message, "column {alias}.{name} does not exist"),
    (Missing, "column", Message, "column \"{name}\" referenced in foreign key constraint does not exist"),
    (Missing, "column", Message, "column \"{name}\" named in key does not exist"),
    (Missing, "column", Message, "column \"{name}\" named in partition key does not exist"),
    (Missing, "column", Message, "column \"{name}\" specified in USING clause does not exist in {_} table"),
    (Missing, "type", Message, "type \"{path}\" does not exist"),
    (Missing, "function", Message, "function {path}({_}) does not exist"),
    (Missing, "function", Message, "function {path}() does not exist"),
    (Missing, "procedure", Message, "procedure {path}({_}) does not exist"),
    (Missing, "procedure", Message, "procedure {path}() does not exist"),
    (Missing, "aggregate", Message, "aggregate {path}({_}) does not exist"),
    (Missing, "function", Message, "could not find a function named \"{path}\""),
    (Missing, "procedure", Message, "could not find a procedure named \"{path}\""),
    (Missing, "aggregate", Message, "could not find an aggregate named \"{path}\""),
    (Missing, "schema", Message, "schema \"{name}\" does not exist"),
    (Missing, "role", Message, "role \"{name}\" does not exist"),
    (Missing, "extension", Message, "extension \"{name}\" does not exist"),
    (Missing, "constraint", Message, "constraint \"{name}\" of relation \"{table}\" does not exist"),
    (Missing, "constraint", Message, "constraint \"{name}\" for table \"{table}\" does not exist"),
    (Missing, "constraint", Message, "constraint \"{name}\" of domain \"{table}\" does not exist"),
    (Missing, "constraint", Message, "constraint \"{path}\" does not exist"),
    (Missing, "trigger", Message, "trigger \"{name}\" for table \"{table}\" does not exist"),
    (Missing, "policy", Message, "policy \"{name}\" for table \"{table}\" does not exist"),
    (Missing, "rule", Message, "rule \"{name}\" for relation \"{table}\" does not exist"),
    (Missing, "statistics object", Message, "statistics object \"{path}\" does not exist"),
    (Missing, "collation", Message, "collation \"{path}\" for encoding \"{_}\" does not exist"),
    (Missing, "operator class", Message, "operator class \"{path}\" does not exist for access method \"{_}\""),
    (Missing, "access method", Message, "access method \"{name}\" does not exist"),
    (Missing, "language", Message, "language \"{name}\" does not exist"),
    (Missing, "publication", Message, "publication \"{name}\" does not exist"),
    (Missing, "event trigger", Message, "event trigger \"{name}\" does not exist"),
    (Missing, "server", Message, "server \"{name}\" does not exist"),
    (Missing, "enum value", Message, "\"{value}\" is not an existing enum label"),
    (Missing, "enum value", Message, "invalid input value for enum {quoted}: \"{value}\""),
    (OtherKind, "relation", Message, "\"{name}\" is not a table"),
    (OtherKind, "relation", Message, "\"{name}\" is not a table or materialized view"),
    (OtherKind, "relation", Message, "\"{name}\" is not a view"),
    (OtherKind, "relation", Message, "\"{name}\" is not a materialized view"),
    (OtherKind, "relation", Message, "\"{name}\" is not an index"),
    (OtherKind, "relation", Message, "\"{name}\" is not a sequence"),
    (OtherKind, "relation", Message, "ALTER action {_} cannot be performed on relation \"{name}\""),
    (OtherKind, "relation", Message, "cannot create index on relation \"{name}\""),
    (OtherKind, "function", Detail, "\"{name}\" is a function."),
    (OtherKind, "function", Detail, "\"{name}\" is a procedure."),
    (OtherKind, "function", Detail, "\"{name}\" is an aggregate function."),
    (Type, "column", Message, "column \"{name}\" is of type {a} but expression is of type {b}"),
    (Type, "column", Message, "column \"{name}\" is of type {a} but default expression is of type {b}"),
    (Type, "column", Message, "column \"{name}\" cannot be cast automatically to type {_}"),
    (Type, "column", Message, "result of USING clause for column \"{name}\" cannot be cast automatically to type {_}"),
    (Type, "column", Message, "default for column \"{name}\" cannot be cast automatically to type {_}"),
    (Type, "column", Message, "generation expression for column \"{name}\" cannot be cast automatically to type {_}"),
    (Type, "key", Detail, "Key columns \"{name}\" and \"{key}\" are of incompatible types: {a} and {b}."),
    (
        Type,
        "key",
        Detail,
        "Key columns \"{name}\" of the referencing table and \"{key}\" of the referenced table are of incompatible types: {a} and {b}.",
    ),
    (Type, "expression", Message, "operator does not exist: {a} {op} {b}"),
    (Type, "expression", Message, "operator does not exist: {op} {a}"),
    (Type, "expression", Message, "cannot cast type {a} to {b}"),
    (Type, "expression", Message, "{_} types {a} and {b} cannot be matched"),
    (Type, "expression", Message, "argument of {_} must be type {b}, not type {a}"),
    (Type, "expression", Message, "invalid input syntax for type {a}: \"{value}\""),
    (Rows, "column", Message, "null value in column \"{name}\" of relation \"{table}\" violates not-null constraint"),
    (Rows, "column", Message, "column \"{name}\" of relation \"{table}\" contains null values"),
    (Rows, "constraint", Message, "insert or update on table \"{table}\" violates foreign key constraint \"{name}\""),
    (
        Rows,
        "constraint",
        Message,
        "update or delete on table \"{_}\" violates foreign key constraint \"{name}\" on table \"{table}\"",
    ),
    (
        Rows,
        "constraint",
        Message,
        "update or delete on table \"{_}\" violates RESTRICT setting of foreign key constraint \"{name}\" on table \"{table}\"",
    ),
    (Rows, "constraint", Message, "duplicate key value violates unique constraint \"{name}\""),
    (Rows, "constraint", Message, "conflicting key value violates exclusion constraint \"{name}\""),
    (Rows, "constraint", Message, "could not create unique index \"{name}\""),
    (Rows, "constraint", Message, "could not create exclusion constraint \"{name}\""),
    (Rows, "constraint", Message, "new row for relation \"{table}\" violates check constraint \"{name}\""),
    (Rows, "constraint", Message, "check constraint \"{name}\" of relation \"{table}\" is violated by some row"),
    (Rows, "constraint", Message, "value for domain {quoted} violates check constraint \"{name}\""),
    (Rows, "partition", Message, "no partition of relation \"{table}\" found for row"),
    (Needed, "", Message, "cannot drop {_} because other objects depend on it"),
    (Needed, "", Message, "cannot drop desired object(s) because other objects depend on them"),
    (Needed, "", Message, "cannot drop {_} because {_} requires it"),
    (Needed, "", Message, "cannot alter type of a column used {_}"),
    (Needed, "", Message, "cannot alter type \"{_}\" because column \"{_}\" uses it"),
    (Replaced, "function", Hint, "Use DROP FUNCTION {quoted}({arguments}) first."),
    (Replaced, "function", Hint, "Use DROP FUNCTION {quoted}() first."),
    (Replaced, "procedure", Hint, "Use DROP PROCEDURE {quoted}({arguments}) first."),
    (Replaced, "view", Message, "cannot drop columns from view"),
    (Replaced, "view", Message, "cannot change name of view column \"{_}\" to \"{_}\""),
    (Replaced, "view", Message, "cannot change data type of view column \"{_}\" from {_} to {_}"),
    (Replaced, "view", Message, "cannot change collation of view column \"{_}\" from \"{_}\" to \"{_}\""),
    (NewValue, "enum value", Message, "unsafe use of new value \"{value}\" of enum type {quoted}"),
    (NoKey, "table", Message, "there is no unique constraint matching given keys for referenced table \"{table}\""),
    (NoKey, "table", Message, "there is no unique or exclusion constraint matching the ON CONFLICT specification"),
];

/// What depends on something, as in DETAIL of `2BP01` and of `0A000`.
const DEPENDENTS: &[(&str, &str)] = &[
    ("view", "view {quoted} depends on {_}"),
    ("materialized view", "materialized view {quoted} depends on {_}"),
    ("table", "table {quoted} depends on {_}"),
    ("index", "index {quoted} depends on {_}"),
    ("sequence", "sequence {quoted} depends on {_}"),
    ("type", "type {quoted} depends on {_}"),
    ("function", "function {quoted}({arguments}) depends on {_}"),
    ("function", "function {quoted}() depends on {_}"),
    ("column", "default value for column {name} of table {owner} depends on {_}"),
    ("column", "column {name} of table {owner} depends on {_}"),
    ("constraint", "constraint {name} on table {owner} depends on {_}"),
    ("trigger", "trigger {name} on table {owner} depends on {_}"),
    ("policy", "policy {name} on table {owner} depends on {_}"),
    ("view", "rule _RETURN on view {quoted} depends on {_}"),
    ("materialized view", "rule _RETURN on materialized view {quoted} depends on {_}"),
    ("rule", "rule {name} on table {owner} depends on {_}"),
    ("column", "Column \"{_}\" is used by generated column \"{name}\"."),
];

/// What requires the object that is to be dropped, as in the message of `2BP01`.
const REQUIRING: &[(&str, &str)] = &[
    ("constraint", "cannot drop {_} because constraint {name} on table {owner} requires it"),
    ("table", "cannot drop {_} because table {quoted} requires it"),
    ("extension", "cannot drop {_} because extension {name} requires it"),
    ("column", "cannot alter type \"{_}\" because column \"{alias}.{name}\" uses it"),
];

/// Longer texts name nothing: they can only have been made to.
const MAX_BYTES: usize = 16 * 1024;

/// A name is not longer, even if it is qualified and all of it is quotes.
const MAX_NAME_BYTES: usize = 400;

/// A message has at most this many readings; one that has more, and can only have been made to, has none.
const MAX_READINGS: usize = 64;

/// Everything that an error may name.
pub fn names_in(sqlstate: &str, message: &str, detail: &str, hint: &str) -> Vec<Reading> {
    let mut readings = Vec::new();
    for &(matter, kind, part, form) in FORMS {
        if !matter.has(sqlstate) {
            continue;
        }
        let text = match part {
            Message => message,
            Detail => detail,
            Hint => hint,
        };
        readings.extend(read(matter, kind, form, text));
    }
    if readings.len() > MAX_READINGS { Vec::new() } else { readings }
}

/// What stands in the way of a statement because it depends on what is to be changed; every entry with its readings.
pub fn dependents(message: &str, detail: &str) -> Vec<Vec<Reading>> {
    let lines = detail.lines().map(|line| read_all(DEPENDENTS, line));
    lines.chain([read_all(REQUIRING, message)]).filter(|readings| !readings.is_empty()).collect()
}

fn read_all(forms: &[(&'static str, &str)], text: &str) -> Vec<Reading> {
    forms.iter().flat_map(|&(kind, form)| read(Needed, kind, form, text)).collect()
}

fn read(matter: Matter, kind: &'static str, form: &str, text: &str) -> Vec<Reading> {
    let mut bindings = Vec::new();
    bind(form, text, &mut Vec::new(), &mut bindings);
    if bindings.len() > MAX_READINGS {
        return Vec::new();
    }
    bindings.iter().flat_map(|binding| readings(matter, kind, binding)).collect()
}

/// A placeholder and what stands in its place.
type Bound<'f, 't> = (&'f str, &'t str);

/// All ways in which a text has a form.
fn bind<'f, 't>(form: &'f str, text: &'t str, so_far: &mut Vec<Bound<'f, 't>>, found: &mut Vec<Vec<Bound<'f, 't>>>) {
    if found.len() > MAX_READINGS || text.len() > MAX_BYTES {
        return;
    }
    let Some((literal, rest)) = form.split_once('{') else {
        if form == text {
            found.push(so_far.clone());
        }
        return;
    };
    let (Some(text), Some((placeholder, rest))) = (text.strip_prefix(literal), rest.split_once('}')) else { return };
    let until = rest.split('{').next().unwrap_or_default();
    let ends: Box<dyn Iterator<Item = usize>> = if rest.is_empty() {
        Box::new(std::iter::once(text.len()))
    } else if until.len() == rest.len() {
        Box::new(text.strip_suffix(until).map(str::len).into_iter())
    } else {
        Box::new(overlapping(text, until))
    };
    let before = found.len();
    for end in ends.filter(|&end| end > 0) {
        if fits(placeholder, &text[..end]) {
            so_far.push((placeholder, &text[..end]));
            bind(rest, &text[end..], so_far, found);
            so_far.pop();
        }
        // Of what is of no interest, the first end that fits is as good as any.
        if placeholder == "_" && found.len() > before {
            return;
        }
    }
}

/// Where `needle` begins in a text, also where it overlaps itself.
fn overlapping<'t>(text: &'t str, needle: &'t str) -> impl Iterator<Item = usize> + 't {
    text.char_indices().map(|(at, _)| at).filter(move |&at| text[at..].starts_with(needle))
}

fn fits(placeholder: &str, text: &str) -> bool {
    match placeholder {
        "op" => text.bytes().all(|c| b"+-*/<>=~!@#%^&|`?".contains(&c)),
        "quoted" | "owner" => text.len() <= MAX_NAME_BYTES && unquoted(text).is_some(),
        "_" | "value" | "arguments" => true,
        _ => text.len() <= MAX_NAME_BYTES,
    }
}

fn readings(matter: Matter, kind: &'static str, binding: &[Bound]) -> Vec<Reading> {
    let of = |wanted: &str| binding.iter().find(|(placeholder, _)| *placeholder == wanted).map(|&(_, text)| text);
    let owned = |wanted: &str| of(wanted).map(str::to_owned);
    let mut reading = Reading {
        matter,
        kind,
        schema: owned("schema"),
        name: owned("name").unwrap_or_default(),
        table: owned("table").or_else(|| owned("alias")),
        referenced: owned("key"),
        arguments: owned("arguments"),
        types: [of("a"), of("b")].into_iter().flatten().map(str::to_owned).collect(),
        value: owned("value"),
    };
    if let Some(owner) = of("owner").and_then(unquoted) {
        reading.table = owner.last().cloned();
        reading.schema = owner.into_iter().rev().nth(1);
    }
    if let Some(path) = of("quoted").and_then(unquoted) {
        let (name, schema) = (path.last().cloned(), path.into_iter().rev().nth(1));
        // A domain's name stands before that of its constraint.
        if reading.name.is_empty() {
            reading.name = name.unwrap_or_default()
        } else {
            reading.table = name
        }
        // That schema is where a function is to go, not where it is.
        reading.schema = reading.schema.or(schema);
    }
    let Some(path) = of("path") else { return vec![reading] };
    // A type may be that of an array.
    let path = if kind == "type" { path.trim_end_matches("[]") } else { path };
    let mut readings = vec![Reading { name: path.to_owned(), ..reading.clone() }];
    readings.extend(path.match_indices('.').filter(|&(at, _)| at > 0 && at + 1 < path.len()).map(|(at, _)| Reading {
        schema: Some(path[..at].to_owned()),
        name: path[at + 1..].to_owned(),
        ..reading.clone()
    }));
    readings
}

/// The parts of a name that has quotes where SQL needs them; `None` if it is not one.
fn unquoted(text: &str) -> Option<Vec<String>> {
    let mut parts = Vec::new();
    let mut rest = text;
    loop {
        let part = if let Some(quoted) = rest.strip_prefix('"') {
            let mut name = String::new();
            let mut chars = quoted.char_indices().peekable();
            let end = loop {
                let (at, c) = chars.next()?;
                if c != '"' {
                    name.push(c);
                } else if chars.next_if(|&(_, next)| next == '"').is_some() {
                    name.push('"');
                } else {
                    break at + 1;
                }
            };
            rest = &quoted[end..];
            name
        } else {
            let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$')).unwrap_or(rest.len());
            let name = &rest[..end];
            rest = &rest[end..];
            name.to_owned()
        };
        if part.is_empty() {
            return None;
        }
        parts.push(part);
        match rest.strip_prefix('.') {
            Some(after) => rest = after,
            None => return rest.is_empty().then_some(parts),
        }
    }
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
