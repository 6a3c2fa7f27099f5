//! Prisma's `_prisma_migrations`.
//!
//! Facts from prisma-engines: a migration is called by its folder; the checksum is the SHA-256 of the script in hexadecimal,
//! old rows have bytes below 16 with one digit only, and line ends of either kind are taken for the same
//! (schema-connector/src/checksum.rs). A row is added when a migration begins; `finished_at` is set when it has succeeded,
//! `logs` when it has failed, `rolled_back_at` by `migrate resolve`, after which the row counts no longer and another try
//! adds another row (sql-schema-connector/src/sql_migration_persistence.rs). Rows are in the order of `started_at`.

use std::collections::{HashMap, HashSet};

use sha2::{Digest, Sha256};

use super::super::list::Migration;
use super::choice::{Chosen, Tool};
use super::judge::{Entry, Report, State, Stranger};
use super::names::{self, Listed, Named};
use super::table::{Column, TEXT, TIME, column, read};
use crate::backend::Db;
use crate::error::Error;
use crate::hex;

static COLUMNS: [Column; 6] = [
    column("migration_name", TEXT),
    column("checksum", TEXT),
    column("started_at", TIME),
    column("finished_at", TIME),
    column("rolled_back_at", TIME),
    column("logs", TEXT),
];

/// One try to apply a migration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    pub name: String,
    pub checksum: String,
    pub is_finished: bool,
    pub is_rolled_back: bool,
    pub has_logs: bool,
}

/// All rows, in the order in which the tries began.
pub fn rows(db: &Db, table: &Chosen) -> Result<Vec<Row>, Error> {
    read(db, table, &COLUMNS, "t.started_at, t.migration_name COLLATE \"C\"", |row| {
        let text = |name| row.get::<String>(name).unwrap_or_default();
        Row {
            name: text("migration_name"),
            checksum: text("checksum"),
            is_finished: row.get::<String>("finished_at").is_some(),
            is_rolled_back: row.get::<String>("rolled_back_at").is_some(),
            has_logs: !text("logs").is_empty(),
        }
    })
}

/// The migrations of the list by their folders.
pub fn listed(migrations: &[Migration]) -> Result<Vec<Listed<'_, String>>, Error> {
    names::listed(migrations, Tool::Prisma, "20240101120000_init/migration.sql", |name| {
        names::folder_or_stem(name).map(|folder| Named::Migration(folder.to_owned()))
    })
}

/// What the table says of the list.
pub fn report(listed: &[Listed<String>], rows: &[Row]) -> Report {
    let mut tries: HashMap<&str, Vec<(usize, &Row)>> = HashMap::new();
    for (place, row) in rows.iter().enumerate() {
        tries.entry(&row.name).or_default().push((place, row));
    }
    let entry = |one: &Listed<String>| Entry {
        name: one.migration.name.clone(),
        state: state(&one.migration.sql, tries.get(one.key.as_str()).map_or(&[], Vec::as_slice)),
    };
    let known: HashSet<&str> = listed.iter().map(|one| one.key.as_str()).collect();
    let mut reported = HashSet::new();
    let strangers = rows
        .iter()
        .filter(|row| !row.is_rolled_back && !known.contains(row.name.as_str()) && reported.insert(row.name.as_str()));
    Report {
        entries: listed.iter().map(entry).collect(),
        strangers: strangers.map(|row| Stranger::applied(row.name.clone())).collect(),
        unordered: Vec::new(),
    }
}

/// What the tries of a migration have led to.
fn state(sql: &str, tries: &[(usize, &Row)]) -> State {
    let mut standing = tries.iter().filter(|(_, row)| !row.is_rolled_back).rev();
    if let Some((place, row)) = standing.clone().find(|(_, row)| row.is_finished) {
        let edited = (!matches(sql, &row.checksum)).then(|| {
            let now = hex::encode(&Sha256::digest(sql));
            format!("says that another text was applied: SHA-256 {}, now {now}", row.checksum)
        });
        return State::Applied { place: Some(*place), edited };
    }
    match standing.next() {
        Some((_, row)) if row.has_logs => {
            State::Failed("says that it has failed, and its column logs says why; until prisma migrate resolve settles it, none is applied".to_owned())
        }
        Some(_) => State::HalfApplied("says that it was begun, but neither that it has finished nor that it has failed".to_owned()),
        None if tries.is_empty() => State::Missing(None),
        None => State::Missing(Some("says that it was rolled back and not applied again".to_owned())),
    }
}

/// Whether a script has this checksum, with line ends of either kind.
fn matches(sql: &str, checksum: &str) -> bool {
    let with = |text: &str| {
        let hash = Sha256::digest(text);
        let old: String = hash.iter().map(|byte| format!("{byte:x}")).collect();
        checksum == hex::encode(&hash) || checksum == old
    };
    let unix = sql.replace("\r\n", "\n");
    with(sql) || with(&unix) || with(&sql.replace('\n', "\r\n")) || with(&unix.replace('\n', "\r\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, sql: &str) -> Row {
        Row { name: name.to_owned(), checksum: hex::encode(&Sha256::digest(sql)), is_finished: true, ..Row::default() }
    }

    fn findings(list: &[(&str, &str)], rows: &[Row]) -> Vec<(String, &'static str)> {
        let migrations = Migration::list(list);
        let listed = listed(&migrations).unwrap();
        report(&listed, rows).findings("t").into_iter().map(|found| (found.name, found.kind)).collect()
    }

    fn one(name: &str, kind: &'static str) -> Vec<(String, &'static str)> {
        vec![(name.to_owned(), kind)]
    }

    #[test]
    fn line_ends_do_not_count() {
        let (unix, windows) = ("a\nb\n", "a\r\nb\r\n");
        for applied in [unix, windows] {
            for now in [unix, windows] {
                assert_eq!(findings(&[("1_a/migration.sql", now)], &[row("1_a", applied)]), []);
            }
        }
        assert_eq!(findings(&[("1_a", "a\nb")], &[row("1_a", unix)]), one("1_a", "edited"));
    }

    #[test]
    fn old_checksums_without_zeros() {
        let sql = (0..).map(|n| n.to_string()).find(|sql| Sha256::digest(sql).iter().any(|byte| *byte < 16)).unwrap();
        let checksum: String = Sha256::digest(&sql).iter().map(|byte| format!("{byte:x}")).collect();
        assert!(checksum.len() < 64);
        assert_eq!(findings(&[("a", &sql)], &[Row { checksum, ..row("a", "") }]), []);
    }

    #[test]
    fn tries_that_did_not_succeed() {
        let begun = Row { is_finished: false, ..row("a", "x") };
        let failed = Row { has_logs: true, ..begun.clone() };
        let rolled_back = Row { is_rolled_back: true, ..failed.clone() };
        let list = [("a", "x")];
        assert_eq!(findings(&list, std::slice::from_ref(&begun)), one("a", "half-applied"));
        assert_eq!(findings(&list, std::slice::from_ref(&failed)), one("a", "failed"));
        assert_eq!(findings(&list, std::slice::from_ref(&rolled_back)), one("a", "missing"));
        assert_eq!(findings(&list, &[rolled_back.clone(), row("a", "x")]), []);
        // What was tried with another text before does not count.
        assert_eq!(findings(&list, &[Row { checksum: String::new(), ..rolled_back.clone() }, row("a", "x")]), []);
        assert_eq!(findings(&[], &[rolled_back, failed.clone(), row("b", ""), row("b", "")]).len(), 2);
        // A failed one is not one that was passed over, and does not make others so.
        assert_eq!(
            findings(&[("0", "")], &[failed]),
            [("0".to_owned(), "missing"), ("a".to_owned(), "not in the list")]
        );
    }

    #[test]
    fn the_story() {
        let list = [
            (
                "prisma/migrations/1_prompts/migration.sql",
                "CREATE TABLE \"SystemPrompt\" (id text, \"previousVersionId\" text)",
            ),
            (
                "prisma/migrations/2_versions/migration.sql",
                "ALTER TABLE \"SystemPrompt\" ADD \"previousVersionId\" text",
            ),
        ];
        let rows = [row("1_prompts", "CREATE TABLE \"SystemPrompt\" (id text)"), row("2_versions", list[1].1)];
        assert_eq!(findings(&list, &rows), one(list[0].0, "edited"));
    }
}
