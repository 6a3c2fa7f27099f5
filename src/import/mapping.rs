//! Which columns of a table hold what: what the caller says, and what goes without saying. Knows nothing about Postgres.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use crate::error::Error;
use crate::input::abridged;

/// Something that a table may have a column for.
#[derive(Debug)]
pub struct Term {
    /// Its name in a mapping, and that of the column that holds it by default; so does one of that name in camel case.
    pub name: &'static str,
    /// Other usual names of the column, the most usual one first.
    pub aliases: &'static [&'static str],
}

/// The names of a table's columns by term; `None` if the table is said to have none.
#[derive(Debug, Default)]
pub struct Mapping(BTreeMap<String, Option<String>>);

/// Names that an error shows.
const SHOWN: usize = 20;

impl Mapping {
    /// Reads a JSON object. `what` is how messages call it. 22023 if a key is not one of the terms, or a value neither a text
    /// nor null.
    pub fn parse(json: &Map<String, Json>, what: &str, terms: &[Term]) -> Result<Mapping, Error> {
        let is_term = |key: &str| terms.iter().any(|term| term.name == key);
        let unknown: Vec<String> =
            json.keys().filter(|key| !is_term(key)).map(|key| format!("\"{}\"", abridged(key))).collect();
        match unknown.len() {
            0 => {}
            1 => return Err(Error::Invalid(format!("{what} has an unknown key: {}", unknown[0]))),
            count => {
                let more = if count > SHOWN { format!(" and {} more", count - SHOWN) } else { String::new() };
                let named = unknown[..count.min(SHOWN)].join(", ");
                return Err(Error::Invalid(format!("{what} has unknown keys: {named}{more}")));
            }
        }
        let name = |(key, value): (&String, &Json)| match value {
            Json::Null => Ok((key.clone(), None)),
            Json::String(name) => Ok((key.clone(), Some(name.clone()))),
            _ => Err(Error::Invalid(format!("{what} key \"{key}\" must be the name of a column, or null"))),
        };
        json.iter().map(name).collect::<Result<_, _>>().map(Mapping)
    }

    /// The name of the column that holds a term, of a table called `table` with these columns; `None` if it has none. 22023 if
    /// a column that was named does not exist.
    pub fn column<'c>(
        &self,
        term: &Term,
        columns: &[&'c str],
        what: &str,
        table: &str,
    ) -> Result<Option<&'c str>, Error> {
        let find = |name: &str| columns.iter().copied().find(|column| *column == name);
        match self.0.get(term.name) {
            Some(None) => Ok(None),
            Some(Some(name)) => match find(name) {
                Some(column) => Ok(Some(column)),
                None => Err(Error::Invalid(format!(
                    "{what} key \"{}\": table {table} has no column \"{}\"",
                    term.name,
                    abridged(name)
                ))),
            },
            None => {
                let names = [term.name].into_iter().chain(term.aliases.iter().copied());
                Ok(names.flat_map(|name| [find(name), find(&camel_case(name))]).flatten().next())
            }
        }
    }
}

/// `created_at` as `createdAt`.
fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |text, word| {
        let mut letters = word.chars();
        let capital = letters.next().map(|letter| letter.to_ascii_uppercase());
        text + &capital.into_iter().chain(letters).collect::<String>()
    })
}

/// The text of a `jsonb` argument as an object. 22023 if it is anything else.
pub fn object(json: &str, argument: &str) -> Result<Map<String, Json>, Error> {
    match serde_json::from_str(json) {
        Ok(Json::Object(object)) => Ok(object),
        _ => Err(Error::Invalid(format!("{argument} must be a JSON object"))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TERMS: [Term; 3] = [
        Term { name: "file_path", aliases: &["path"] },
        Term { name: "created_at", aliases: &[] },
        Term { name: "content", aliases: &[] },
    ];

    fn mapping(json: Json) -> Result<Mapping, String> {
        let object = object(&json.to_string(), "p_mapping").map_err(|error| error.to_string())?;
        Mapping::parse(&object, "p_mapping", &TERMS).map_err(|error| error.to_string())
    }

    fn column<'c>(mapping: &Mapping, term: usize, columns: &[&'c str]) -> Result<Option<&'c str>, String> {
        mapping.column(&TERMS[term], columns, "p_mapping", "t").map_err(|error| error.to_string())
    }

    #[test]
    fn names_go_without_saying() {
        let none = mapping(json!({})).unwrap();
        assert_eq!(column(&none, 0, &["path", "file_path"]), Ok(Some("file_path")));
        assert_eq!(column(&none, 0, &["path", "filePath"]), Ok(Some("filePath")));
        assert_eq!(column(&none, 0, &["path"]), Ok(Some("path")));
        assert_eq!(column(&none, 1, &["createdAt"]), Ok(Some("createdAt")));
        assert_eq!(column(&none, 1, &["CREATED_AT", "path"]), Ok(None));
    }

    #[test]
    fn what_is_said_counts() {
        let some = mapping(json!({"file_path": "a \"b\"; drop", "content": null})).unwrap();
        assert_eq!(column(&some, 0, &["file_path", "a \"b\"; drop"]), Ok(Some("a \"b\"; drop")));
        assert_eq!(column(&some, 2, &["content"]), Ok(None));
        let error = column(&some, 0, &["file_path"]).unwrap_err();
        assert_eq!(error, "p_mapping key \"file_path\": table t has no column \"a \"b\"; drop\"");
    }

    #[test]
    fn unknown_keys_are_named() {
        assert_eq!(mapping(json!({"nope": "x"})).unwrap_err(), "p_mapping has an unknown key: \"nope\"");
        let error = mapping(json!({"b": "x", "a": 1, "content": "c"})).unwrap_err();
        assert_eq!(error, "p_mapping has unknown keys: \"a\", \"b\"");
        let many: Map<String, Json> = (0..100).map(|n| (format!("k{n}"), json!("x"))).collect();
        assert!(mapping(Json::Object(many)).unwrap_err().ends_with("and 80 more"));
        assert!(mapping(json!({"content": 1})).unwrap_err().contains("\"content\""));
        for whole in [json!([]), json!("x"), json!(null)] {
            assert_eq!(mapping(whole).unwrap_err(), "p_mapping must be a JSON object");
        }
    }

    #[test]
    fn camel_case_of_snake_case() {
        assert_eq!(camel_case("is_current_version"), "isCurrentVersion");
        assert_eq!(camel_case("content"), "content");
    }
}
