//! Drizzle's `__drizzle_migrations`, in the schema `drizzle` by default.
//!
//! Facts from drizzle-orm 0.45: `hash` is the SHA-256 of the file in hexadecimal (migrator.js), `created_at` the time that the
//! journal has for the migration, and nothing says what it is called; only migrations with a later time than the newest row's
//! are applied (pg-core/dialect.js). In 1.0 there is a column `name` with the name of the migration's folder, which may be
//! NULL, and by it Drizzle knows what was applied (migrator.utils.js, up-migrations/pg.js). Some versions make all line ends
//! Unix ones before they hash a text.

use std::collections::{HashMap, HashSet, VecDeque};

use sha2::{Digest, Sha256};

use super::super::list::Migration;
use super::choice::{Chosen, Tool};
use super::judge::{Entry, Report, State, Stranger};
use super::names::{self, Listed, Named};
use super::table::{Column, INTEGER, TEXT, column, optional, read};
use crate::backend::Db;
use crate::error::Error;
use crate::hex;

static COLUMNS: [Column; 3] = [column("id", INTEGER), column("hash", TEXT), optional("name", TEXT)];

/// A migration that was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub id: String,
    pub hash: String,
    pub name: Option<String>,
}

/// All rows, in the order of application.
pub fn rows(db: &Db, table: &Chosen) -> Result<Vec<Row>, Error> {
    read(db, table, &COLUMNS, "t.id", |row| Row {
        id: row.get("id").unwrap_or_default(),
        hash: row.get("hash").unwrap_or_default(),
        name: row.get("name"),
    })
}

/// The migrations of the list by the names of their files or folders.
pub fn listed(migrations: &[Migration]) -> Result<Vec<Listed<'_, String>>, Error> {
    names::listed(migrations, Tool::Drizzle, "0000_init.sql", |name| {
        names::folder_or_stem(name).map(|name| Named::Migration(name.to_owned()))
    })
}

/// The hashes that a text may have been recorded with: with line ends of either kind.
fn hashes(sql: &str) -> [String; 3] {
    let unix = sql.replace("\r\n", "\n");
    let windows = unix.replace('\n', "\r\n");
    [sql, &unix, &windows].map(|text| hex::encode(&Sha256::digest(text)))
}

/// How a migration was found in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Name,
    Hash,
    Order,
}

/// The row of each migration of the list: by its name, else by its hash. What is left over between two such pairs is paired in
/// order: texts that were edited.
fn pairs(listed: &[Listed<String>], hashes: &[[String; 3]], rows: &[Row]) -> Vec<Option<(usize, By)>> {
    let mut pairs: Vec<Option<(usize, By)>> = vec![None; listed.len()];
    let mut is_taken = vec![false; rows.len()];
    let mut by_name: HashMap<&str, usize> = HashMap::new();
    for (place, row) in rows.iter().enumerate() {
        if let Some(name) = &row.name {
            by_name.insert(name, place);
        }
    }
    for (n, one) in listed.iter().enumerate() {
        if let Some(&place) = by_name.get(one.key.as_str()) {
            pairs[n] = Some((place, By::Name));
            is_taken[place] = true;
        }
    }
    let mut by_hash: HashMap<&str, VecDeque<usize>> = HashMap::new();
    for (place, row) in rows.iter().enumerate().filter(|(_, row)| row.name.is_none()) {
        by_hash.entry(&row.hash).or_default().push_back(place);
    }
    for (n, hashes) in hashes.iter().enumerate().filter(|(n, _)| pairs[*n].is_none()).collect::<Vec<_>>() {
        let found = hashes.iter().find_map(|hash| by_hash.get_mut(hash.as_str()).and_then(VecDeque::pop_front));
        if let Some(place) = found {
            pairs[n] = Some((place, By::Hash));
            is_taken[place] = true;
        }
    }
    let mut left_over: HashMap<Option<usize>, VecDeque<usize>> = HashMap::new();
    let mut last = None;
    for (place, row) in rows.iter().enumerate() {
        if is_taken[place] {
            last = Some(place);
        } else if row.name.is_none() {
            left_over.entry(last).or_default().push_back(place);
        }
    }
    let mut last = None;
    for pair in &mut pairs {
        match pair {
            Some((place, _)) => last = Some(*place),
            None => {
                let next = left_over.get_mut(&last).and_then(VecDeque::pop_front);
                *pair = next.map(|place| (place, By::Order));
            }
        }
    }
    pairs
}

/// What the table says of the list.
pub fn report(listed: &[Listed<String>], rows: &[Row]) -> Report {
    let hashes: Vec<[String; 3]> = listed.iter().map(|one| hashes(&one.migration.sql)).collect();
    let pairs = pairs(listed, &hashes, rows);
    let has_names = rows.iter().any(|row| row.name.is_some());
    let entry = |n: usize| {
        let state = match pairs[n] {
            None if !has_names => State::Missing(Some("has no row with its hash".to_owned())),
            None => State::Missing(None),
            Some((place, by)) => State::Applied { place: Some(place), edited: edited(&hashes[n], &rows[place], by) },
        };
        Entry { name: listed[n].migration.name.clone(), state }
    };
    let known: HashSet<usize> = pairs.iter().flatten().map(|(place, _)| *place).collect();
    let strangers = rows.iter().enumerate().filter(|(place, _)| !known.contains(place));
    Report {
        entries: (0..listed.len()).map(entry).collect(),
        strangers: strangers.map(|(_, row)| stranger(row)).collect(),
        unordered: Vec::new(),
    }
}

fn edited(hashes: &[String; 3], row: &Row, by: By) -> Option<String> {
    if hashes.contains(&row.hash) {
        return None;
    }
    let how = if by == By::Order { "the row in its place" } else { "its row" };
    Some(format!(
        "says that another text was applied (id {} is {how}): SHA-256 {}, now {}",
        row.id, row.hash, hashes[0]
    ))
}

fn stranger(row: &Row) -> Stranger {
    match &row.name {
        Some(name) => Stranger::applied(name.clone()),
        None => Stranger {
            what: format!("has a row with the hash {}, which no text in p_migrations has", row.hash),
            ..Stranger::applied(format!("id {}", row.id))
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: usize, sql: &str) -> Row {
        Row { id: id.to_string(), hash: hex::encode(&Sha256::digest(sql)), name: None }
    }

    fn named(id: usize, sql: &str, name: &str) -> Row {
        Row { name: Some(name.to_owned()), ..row(id, sql) }
    }

    fn findings(list: &[(&str, &str)], rows: &[Row]) -> Vec<(String, &'static str)> {
        let migrations = Migration::list(list);
        let listed = listed(&migrations).unwrap();
        report(&listed, rows).findings("t").into_iter().map(|found| (found.name, found.kind)).collect()
    }

    fn due(findings: &[(&str, &'static str)]) -> Vec<(String, &'static str)> {
        findings.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect()
    }

    const LIST: [(&str, &str); 3] = [("0000_a.sql", "a"), ("0001_b.sql", "b"), ("0002_c.sql", "c")];

    #[test]
    fn hashes_in_order() {
        assert_eq!(findings(&LIST, &[row(1, "a"), row(2, "b"), row(3, "c")]), []);
        assert_eq!(findings(&LIST, &[row(1, "a"), row(2, "b")]), due(&[("0002_c.sql", "missing")]));
        assert_eq!(findings(&LIST, &[row(1, "a"), row(2, "c")]), due(&[("0001_b.sql", "out of order")]));
        assert_eq!(findings(&LIST, &[row(1, "b"), row(2, "a"), row(3, "c")]), due(&[("0000_a.sql", "out of order")]));
        assert_eq!(findings(&[("a", "x\r\n")], &[row(1, "x\n")]), []);
        assert_eq!(findings(&[("a", "x\n")], &[row(1, "x\r\n")]), []);
    }

    #[test]
    fn what_was_edited_is_found_by_its_place() {
        for edited in 0..3 {
            let mut rows = [row(1, "a"), row(2, "b"), row(3, "c")];
            rows[edited] = row(edited + 1, "before");
            assert_eq!(findings(&LIST, &rows), due(&[(LIST[edited].0, "edited")]));
        }
        assert_eq!(
            findings(&LIST, &[row(1, "x"), row(2, "y")]),
            due(&[("0000_a.sql", "edited"), ("0001_b.sql", "edited"), ("0002_c.sql", "missing")])
        );
    }

    #[test]
    fn what_is_no_longer_there() {
        assert_eq!(findings(&LIST[1..], &[row(1, "a"), row(2, "b"), row(3, "c")]), due(&[("id 1", "not in the list")]));
        // Two texts that are the same are two migrations.
        assert_eq!(findings(&[("a", "x"), ("b", "x")], &[row(1, "x"), row(2, "x")]), []);
        assert_eq!(findings(&[("a", "x")], &[row(1, "x"), row(2, "x")]), due(&[("id 2", "not in the list")]));
    }

    #[test]
    fn names_come_first() {
        let list = [("1_a/migration.sql", "a"), ("2_b/migration.sql", "b")];
        assert_eq!(findings(&list, &[named(1, "a", "1_a"), named(2, "b", "2_b")]), []);
        assert_eq!(findings(&list, &[named(1, "b", "1_a")]), due(&[(list[0].0, "edited"), (list[1].0, "missing")]));
        assert_eq!(
            findings(&list, &[named(1, "a", "0_gone"), named(2, "b", "2_b")]),
            due(&[(list[0].0, "out of order"), ("0_gone", "not in the list")])
        );
        assert_eq!(findings(&list, &[row(1, "a"), named(2, "b", "2_b")]), []);
    }
}
