//! sqlx's `_sqlx_migrations`.
//!
//! Facts from sqlx 0.9: files are `<version>_<description>.sql`, `.up.sql` or `.down.sql`, the version is an integer and gives
//! the order (sqlx-core/src/migrate/source.rs, migration_type.rs); the checksum is the SHA-384 of the text, without the
//! characters that the setting `ignored-chars` names (migration.rs, source.rs), and `-- no-transaction` is a part of it like
//! any other text. A row with `success = false` was left by a migration that did not finish (sqlx-postgres/src/migrate.rs);
//! undoing one deletes its row.

use std::collections::{HashMap, HashSet};

use sha2::{Digest, Sha384};

use super::super::list::Migration;
use super::choice::{Chosen, Tool};
use super::judge::{Entry, Report, State, Stranger};
use super::names::{self, Listed, Named};
use super::table::{Column, INTEGER, TEXT, TIME, column, read};
use crate::backend::Db;
use crate::error::Error;
use crate::hex;

static COLUMNS: [Column; 5] = [
    column("version", INTEGER),
    column("description", TEXT),
    column("installed_on", TIME),
    column("success", &["boolean"]),
    column("checksum", &["bytea"]),
];

/// A migration that was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub version: i64,
    pub description: String,
    pub is_success: bool,
    pub checksum: Vec<u8>,
}

/// All rows, in the order of application.
pub fn rows(db: &Db, table: &Chosen) -> Result<Vec<Row>, Error> {
    let rows = read(db, table, &COLUMNS, "t.installed_on, t.version", |row| {
        Some(Row {
            version: row.get::<String>("version")?.parse().ok()?,
            description: row.get("description").unwrap_or_default(),
            is_success: row.get("success").unwrap_or_default(),
            checksum: row.get("checksum").unwrap_or_default(),
        })
    })?;
    Ok(rows.into_iter().flatten().collect())
}

/// The migrations of the list by their versions, in the order of these.
pub fn listed(migrations: &[Migration]) -> Result<Vec<Listed<'_, i64>>, Error> {
    let mut listed = names::listed(migrations, Tool::Sqlx, "20240101120000_init.sql", key)?;
    listed.sort_by_key(|one| one.key);
    Ok(listed)
}

fn key(name: &str) -> Option<Named<i64>> {
    let stem = names::stem(names::file_name(name));
    let (version, _) = names::version_and_rest(stem.strip_suffix(".up").unwrap_or(stem))?;
    let version = version.parse().ok()?;
    Some(if stem.ends_with(".down") { Named::Other } else { Named::Migration(version) })
}

/// What the table says of the list.
pub fn report(listed: &[Listed<i64>], rows: &[Row]) -> Report {
    let applied: HashMap<i64, (usize, &Row)> =
        rows.iter().enumerate().map(|(place, row)| (row.version, (place, row))).collect();
    let entry = |one: &Listed<i64>| {
        let state = match applied.get(&one.key) {
            None => State::Missing(None),
            Some((_, row)) if !row.is_success => State::HalfApplied(
                "says that it did not finish (success is false); sqlx applies none until that row is gone".to_owned(),
            ),
            Some((place, row)) => {
                State::Applied { place: Some(*place), edited: edited(&one.migration.sql, &row.checksum) }
            }
        };
        Entry { name: one.migration.name.clone(), state }
    };
    let known: HashSet<i64> = listed.iter().map(|one| one.key).collect();
    let strangers = rows.iter().filter(|row| !known.contains(&row.version));
    let name = |row: &Row| format!("{}_{}", row.version, row.description.replace(' ', "_"));
    Report {
        entries: listed.iter().map(entry).collect(),
        strangers: strangers.map(|row| Stranger::applied(name(row))).collect(),
        unordered: Vec::new(),
    }
}

/// The characters that sqlx's documentation proposes to ignore, as the settings for it that are likely.
const IGNORED: [&[char]; 3] = [&['\r'], &[' ', '\t', '\r', '\n'], &[' ', '\t', '\r', '\n', '\u{feff}']];

/// How the text is seen to have changed.
fn edited(sql: &str, checksum: &[u8]) -> Option<String> {
    let has = |text: &str| Sha384::digest(text).as_slice() == checksum;
    if has(sql) || IGNORED.iter().any(|ignored| has(&sql.replace(*ignored, ""))) {
        return None;
    }
    // sqlx itself refuses to go on if they differ.
    let unix = sql.replace("\r\n", "\n");
    let only_ends = has(&unix) || has(&unix.replace('\n', "\r\n"));
    Some(format!(
        "says that another text was applied{}: SHA-384 {}, now {}",
        if only_ends { ", of which only the line ends have changed" } else { "" },
        hex::encode(checksum),
        hex::encode(&Sha384::digest(sql))
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(version: i64, sql: &str) -> Row {
        let checksum = Sha384::digest(sql).to_vec();
        Row { version, description: "add users".to_owned(), is_success: true, checksum }
    }

    fn findings(list: &[(&str, &str)], rows: &[Row]) -> Vec<(String, &'static str, String)> {
        let migrations = Migration::list(list);
        let listed = listed(&migrations).unwrap();
        report(&listed, rows).findings("t").into_iter().map(|found| (found.name, found.kind, found.detail)).collect()
    }

    fn kinds(list: &[(&str, &str)], rows: &[Row]) -> Vec<(String, &'static str)> {
        findings(list, rows).into_iter().map(|(name, kind, _)| (name, kind)).collect()
    }

    #[test]
    fn versions_are_numbers() {
        let list = [("10_b.up.sql", "b"), ("10_b.down.sql", "no b"), ("migrations/2_a.sql", "a")];
        assert_eq!(kinds(&list, &[row(2, "a"), row(10, "b")]), []);
        assert_eq!(kinds(&list, &[row(10, "b"), row(2, "a")]), [("migrations/2_a.sql".to_owned(), "out of order")]);
    }

    #[test]
    fn what_is_ignored_does_not_count() {
        let (stripped, sql) = ("createtablea();", "\u{feff}create table\ta ();\r\n");
        assert_eq!(kinds(&[("1_a.sql", sql)], &[row(1, stripped)]), []);
        assert_eq!(kinds(&[("1_a.sql", "a\r\n")], &[row(1, "a\n")]), []);
        let found = findings(&[("1_a.sql", "a\n")], &[row(1, "a\r\n")]);
        assert_eq!(found[0].1, "edited");
        assert!(found[0].2.contains("only the line ends"), "{found:?}");
        let found = findings(&[("1_a.sql", "b")], &[row(1, "a")]);
        assert!(found[0].1 == "edited" && !found[0].2.contains("only"), "{found:?}");
    }

    #[test]
    fn a_dirty_one_is_half_applied() {
        let dirty = Row { is_success: false, ..row(1, "x") };
        assert_eq!(kinds(&[("1_a.sql", "a")], &[dirty]), [("1_a.sql".to_owned(), "half-applied")]);
    }

    #[test]
    fn names_of_what_is_gone() {
        assert_eq!(kinds(&[], &[row(7, "")]), [("7_add_users".to_owned(), "not in the list")]);
    }

    #[test]
    fn other_names_are_refused() {
        for name in ["init.sql", "_1.sql", "99999999999999999999_a.sql"] {
            let migrations = [Migration { name: name.to_owned(), sql: String::new() }];
            assert!(listed(&migrations).is_err(), "{name}");
        }
    }
}
