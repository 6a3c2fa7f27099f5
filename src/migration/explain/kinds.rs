//! The kinds of objects in words, and the values of enum types.

use crate::migration::history::{COLUMN, CONSTRAINT, RELATION, TYPE, space};
use crate::tokens::{Token, tokens};

/// What an object that a message calls by a kind may be, the likeliest first, and whether it then belongs to the table that
/// the message names. Unique constraints have indexes, and tables have types, of the same name.
pub fn likely(kind: &'static str) -> &'static [(&'static str, bool)] {
    match kind {
        "relation" | "index" => &[(RELATION, false), (CONSTRAINT, false)],
        "constraint" => &[(CONSTRAINT, true), (RELATION, false)],
        "type" | "enum value" => &[(TYPE, false), (RELATION, false)],
        "column" => &[(COLUMN, true)],
        "trigger" => &[("trigger", true)],
        "policy" => &[("policy", true)],
        "rule" => &[("rule", true)],
        "table" | "view" | "materialized view" | "foreign table" | "sequence" => &[(RELATION, false)],
        "function" | "procedure" | "aggregate" => &[("function", false)],
        "schema" => &[("schema", false)],
        "role" => &[("role", false)],
        "extension" => &[("extension", false)],
        "statistics object" => &[("statistics object", false)],
        "collation" => &[("collation", false)],
        "publication" => &[("publication", false)],
        "event trigger" => &[("event trigger", false)],
        "server" => &[("server", false)],
        "foreign-data wrapper" => &[("foreign-data wrapper", false)],
        "language" => &[("language", false)],
        "operator class" => &[("operator class", false)],
        "access method" => &[("access method", false)],
        _ => &[],
    }
}

/// What a kind is called beside the table that the object belongs to.
pub fn word(kind: &str) -> &str {
    match space(kind) {
        COLUMN => COLUMN,
        CONSTRAINT => CONSTRAINT,
        _ if kind == "composite type" => TYPE,
        _ => kind,
    }
}

/// What an object of a kind belongs to.
pub fn owner(kind: &str) -> &'static str {
    match kind {
        "domain constraint" => "domain",
        "view column" => "view",
        "materialized view column" => "materialized view",
        "foreign table column" => "foreign table",
        "composite type column" => "type",
        _ => "table",
    }
}

/// The texts in a list of literals, as an enum type's values are given.
pub fn literals(list: &str) -> impl Iterator<Item = String> {
    tokens(list).into_iter().filter_map(|token| match token {
        Token::Text(text) => Some(text),
        _ => None,
    })
}

/// A type without what is in parentheses, as messages have it.
pub fn base_type(name: &str) -> String {
    let mut depth = 0_i32;
    let mut is_quoted = false;
    let kept = |c: &char| {
        match c {
            '"' => is_quoted = !is_quoted,
            '(' if !is_quoted => depth += 1,
            ')' if !is_quoted => {
                depth -= 1;
                return false;
            }
            _ => (),
        }
        depth == 0
    };
    name.chars().filter(kept).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_without_modifiers() {
        assert_eq!(base_type("character varying(255)"), "character varying");
        assert_eq!(base_type("timestamp(3) without time zone"), "timestamp without time zone");
        assert_eq!(base_type("numeric(10,2)[]"), "numeric[]");
        assert_eq!(base_type("\"a(b\""), "\"a(b\"");
    }

    #[test]
    fn values_of_enum_types() {
        assert_eq!(literals("'sad', 'it''s', 'a, b'").collect::<Vec<_>>(), ["sad", "it's", "a, b"]);
        assert_eq!(literals("integer").count(), 0);
    }
}
