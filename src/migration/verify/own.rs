//! The ledger, `recorded_migrations`. Names are what `record_migration` was given, to the letter.

use std::collections::{HashMap, HashSet};

use sha2::{Digest, Sha256};

use super::super::list::Migration;
use super::choice::Tool;
use super::judge::{Entry, Report, State, Stranger};
use crate::args;
use crate::backend::{Call, Statement, as_owner, connect};
use crate::error::Error;
use crate::hex;

/// A recorded migration.
#[derive(Debug, PartialEq, Eq)]
pub struct Row {
    pub name: String,
    pub checksum: Vec<u8>,
}

/// The table's name, quoted.
pub fn name(call: &Call) -> String {
    format!("{}.{}", call.schema(), Tool::Own.table())
}

/// Whether anything has been recorded. The table is the owner's; who may call this function may know it.
pub fn has_rows(call: &Call) -> bool {
    static ANY: Statement = Statement::new("SELECT EXISTS (SELECT FROM {s}.recorded_migrations) AS has_rows");
    as_owner(call, |_| connect(call, |db| db.read(&ANY, &args! {}).one().value("has_rows")))
}

/// All rows, in the order in which they were recorded.
pub fn rows(call: &Call) -> Result<Vec<Row>, Error> {
    static ROWS: Statement =
        Statement::new("SELECT name, checksum FROM {s}.recorded_migrations ORDER BY position, name");
    let mut rows = Vec::new();
    as_owner(call, |_| {
        connect(call, |db| {
            db.each(&ROWS, &args! {}, |row| {
                rows.push(Row { name: row.value("name"), checksum: row.value("checksum") });
                Ok(())
            })
        })
    })?;
    Ok(rows)
}

/// What the ledger says of the list.
pub fn report(migrations: &[Migration], rows: &[Row]) -> Report {
    let recorded: HashMap<&str, (usize, &Row)> =
        rows.iter().enumerate().map(|(place, row)| (row.name.as_str(), (place, row))).collect();
    let entry = |migration: &Migration| {
        let state = recorded.get(migration.name.as_str()).map_or(State::Missing(None), |(place, row)| {
            let checksum = Sha256::digest(&migration.sql);
            let edited = (row.checksum != checksum.as_slice()).then(|| edited(&row.checksum, &checksum));
            State::Applied { place: Some(*place), edited }
        });
        Entry { name: migration.name.clone(), state }
    };
    let listed: HashSet<&str> = migrations.iter().map(|migration| migration.name.as_str()).collect();
    let strangers = rows.iter().filter(|row| !listed.contains(row.name.as_str()));
    Report {
        entries: migrations.iter().map(entry).collect(),
        strangers: strangers.map(|row| Stranger::applied(row.name.clone())).collect(),
        unordered: Vec::new(),
    }
}

fn edited(recorded: &[u8], given: &[u8]) -> String {
    format!("says that another text was applied: SHA-256 {}, now {}", hex::encode(recorded), hex::encode(given))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn migration(name: &str, sql: &str) -> Migration {
        Migration { name: name.to_owned(), sql: sql.to_owned() }
    }

    fn row(name: &str, sql: &str) -> Row {
        Row { name: name.to_owned(), checksum: Sha256::digest(sql).to_vec() }
    }

    #[test]
    fn every_finding() {
        let list = [migration("a", "1"), migration("b", "2 edited"), migration("c", "3"), migration("d", "4")];
        let rows = [row("a", "1"), row("d", "4"), row("b", "2"), row("gone", "")];
        let findings = report(&list, &rows).findings("v.recorded_migrations");
        let brief: Vec<(&str, &str)> = findings.iter().map(|found| (found.name.as_str(), found.kind)).collect();
        assert_eq!(brief, [("b", "edited"), ("b", "out of order"), ("c", "out of order"), ("gone", "not in the list")]);
    }

    #[test]
    fn names_count_to_the_letter() {
        let list = [migration("x/1.sql", "")];
        assert_eq!(report(&list, &[row("x/1.sql", "")]).findings("t"), []);
        assert_eq!(report(&list, &[row("1.sql", "")]).findings("t").len(), 2);
    }
}
