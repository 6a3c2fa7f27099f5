//! The argument `p_migrations`: an array of `{"name", "sql"}`, in the order in which they run. Other keys are ignored.

use std::collections::HashSet;

use serde::Deserialize;

use crate::backend::Call;
use crate::error::Error;
use crate::input;

/// Maximum length of a migration's name, in bytes.
pub const MAX_NAME_BYTES: usize = 1024;

/// A migration as it is in its file.
#[derive(Debug, Deserialize, PartialEq, Eq)]
pub struct Migration {
    pub name: String,
    pub sql: String,
}

impl Migration {
    /// Its SQL as psql and the tools send it: without the byte order mark that some editors put at the beginning of a file.
    pub fn text(&self) -> &str {
        self.sql.strip_prefix('\u{feff}').unwrap_or(&self.sql)
    }
}

#[cfg(test)]
impl Migration {
    /// Migrations by name and text.
    pub fn list(list: &[(&str, &str)]) -> Vec<Migration> {
        list.iter().map(|&(name, sql)| Migration { name: name.to_owned(), sql: sql.to_owned() }).collect()
    }
}

/// Reads `p_migrations`, argument number `index` of the call. 22023 if it is not what it must be.
pub fn migrations(call: &Call, index: usize) -> Result<Vec<Migration>, Error> {
    let json = input::required(call.jsonb_argument(index), "p_migrations")?;
    parse(json.as_str().ok_or(Error::Internal)?)
}

/// The migrations of a JSON text.
fn parse(json: &str) -> Result<Vec<Migration>, Error> {
    let migrations: Vec<Migration> = serde_json::from_str(json).map_err(|problem| {
        Error::Invalid(format!(
            "p_migrations must be an array of objects with the texts \"name\" and \"sql\": {}",
            // Its position is one in jsonb's own spelling, which nobody has before them.
            problem.to_string().split(" at line ").next().unwrap_or_default()
        ))
    })?;
    let mut names = HashSet::new();
    for migration in &migrations {
        input::line(Some(&migration.name), "p_migrations: a name", MAX_NAME_BYTES)?;
        if !names.insert(migration.name.as_str()) {
            let name = input::abridged(&migration.name);
            return Err(Error::Invalid(format!("p_migrations: the name \"{name}\" is there more than once")));
        }
    }
    Ok(migrations)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts_in_order() {
        let list = parse(r#"[{"name": "b", "sql": "SELECT 1"}, {"sql": "", "name": "a", "id": 7}]"#).unwrap();
        assert_eq!(list, Migration::list(&[("b", "SELECT 1"), ("a", "")]));
        assert_eq!(parse("[]").unwrap(), []);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (json, problem) in [
            (r#"{"a": "b"}"#, "expected a sequence"),
            (r#"[{"name": "a"}]"#, "missing field `sql`"),
            (r#"[{"name": "a", "sql": 1}]"#, "expected a string"),
            (r#"[{"name": " ", "sql": ""}]"#, "must not be blank"),
            (r#"[{"name": "a", "sql": ""}, {"name": "a", "sql": ""}]"#, "\"a\" is there more than once"),
        ] {
            let error = parse(json).unwrap_err().to_string();
            assert!(error.contains(problem) && !error.contains(" line "), "{error}");
        }
    }
}
