//! What the names of files say: names in the list may be paths, and tools call migrations by parts of them.

use std::collections::HashMap;
use std::hash::Hash;

use super::super::list::Migration;
use super::choice::Tool;
use crate::error::Error;
use crate::input;

/// A migration of the list, by the key that the tool's table has.
#[derive(Debug)]
pub struct Listed<'m, K> {
    pub key: K,
    pub migration: &'m Migration,
}

/// The parts of a path, on any system.
fn parts(path: &str) -> impl DoubleEndedIterator<Item = &str> {
    path.split(['/', '\\']).filter(|part| !part.is_empty())
}

/// The name of the file, without its folders.
pub fn file_name(path: &str) -> &str {
    parts(path).next_back().unwrap_or(path)
}

/// The name without its extension.
pub fn stem(file: &str) -> &str {
    file.strip_suffix(".sql").unwrap_or(file)
}

/// The name of the folder of a file `migration.sql`; otherwise that of the file, without its extension.
pub fn folder_or_stem(path: &str) -> Option<&str> {
    match file_name(path) {
        "migration.sql" => parts(path).rev().nth(1),
        file => Some(stem(file)),
    }
}

/// The digits that a name begins with, and what follows the underscore after them.
pub fn version_and_rest(stem: &str) -> Option<(&str, &str)> {
    let digits = stem.find(|c: char| !c.is_ascii_digit()).unwrap_or(stem.len());
    let (version, rest) = stem.split_at(digits);
    let rest = if rest.is_empty() { rest } else { rest.strip_prefix('_')? };
    (!version.is_empty()).then_some((version, rest))
}

/// What a name is to a tool.
pub enum Named<K> {
    /// A migration with this key.
    Migration(K),
    /// A file that is not applied, such as one that undoes a migration.
    Other,
}

/// The migrations of the list by their keys, in its order. 22023 if `key` finds none in a name, or the same in two names.
pub fn listed<'m, K: Clone + Eq + Hash>(
    migrations: &'m [Migration],
    tool: Tool,
    example: &str,
    key: impl Fn(&str) -> Option<Named<K>>,
) -> Result<Vec<Listed<'m, K>>, Error> {
    let mut known: HashMap<K, &str> = HashMap::new();
    let mut listed = Vec::with_capacity(migrations.len());
    for migration in migrations {
        let name = migration.name.as_str();
        let key = match key(name) {
            Some(Named::Migration(key)) => key,
            Some(Named::Other) => continue,
            None => {
                return Err(Error::Invalid(format!(
                    "p_migrations: \"{}\" is not the name of a migration of {}, such as {example}",
                    input::abridged(name),
                    tool.title()
                )));
            }
        };
        if let Some(other) = known.insert(key.clone(), name) {
            return Err(Error::Invalid(format!(
                "p_migrations: \"{}\" and \"{}\" are the same migration to {}",
                input::abridged(other),
                input::abridged(name),
                tool.title()
            )));
        }
        listed.push(Listed { key, migration });
    }
    Ok(listed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_folders() {
        assert_eq!(file_name("a/b/c.sql"), "c.sql");
        assert_eq!(file_name(r"a\b\c.sql"), "c.sql");
        assert_eq!(file_name("c.sql"), "c.sql");
        assert_eq!(file_name("a/b/"), "b");
        assert_eq!(file_name("/"), "/");
        for path in
            ["prisma/migrations/1_init/migration.sql", "1_init", "1_init/", "x/1_init", r"x\1_init\migration.sql"]
        {
            assert_eq!(folder_or_stem(path), Some("1_init"), "{path}");
        }
        assert_eq!(folder_or_stem("drizzle/0000_init.sql"), Some("0000_init"));
        assert_eq!(folder_or_stem("migration.sql"), None);
    }

    #[test]
    fn versions() {
        assert_eq!(version_and_rest("0001_a_b"), Some(("0001", "a_b")));
        assert_eq!(version_and_rest("2024"), Some(("2024", "")));
        assert_eq!(version_and_rest("1_"), Some(("1", "")));
        for name in ["", "a", "_a", "1a", "v1_a", "1-a"] {
            assert_eq!(version_and_rest(name), None, "{name}");
        }
    }

    #[test]
    fn names_must_be_known_and_differ() {
        let named = |names: &[&str]| -> Vec<Migration> {
            names.iter().map(|name| Migration { name: (*name).to_owned(), sql: String::new() }).collect()
        };
        let key = |name: &str| match name {
            "skip" => Some(Named::Other),
            "bad" => None,
            _ => Some(Named::Migration(name.len())),
        };
        let keys = |names: &[&str]| {
            let migrations = named(names);
            let listed = listed(&migrations, Tool::Sqlx, "1_init.sql", key);
            listed.map(|listed| listed.iter().map(|one| one.key).collect::<Vec<_>>()).map_err(|error| error.to_string())
        };
        assert_eq!(keys(&["a", "skip", "bb"]).unwrap(), [1, 2]);
        let error = keys(&["a", "b"]).unwrap_err();
        assert!(error.contains("\"a\" and \"b\" are the same migration to sqlx"), "{error}");
        let error = keys(&["bad"]).unwrap_err();
        assert!(error.contains("\"bad\" is not the name of a migration of sqlx, such as 1_init.sql"), "{error}");
    }
}
