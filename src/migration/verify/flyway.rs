//! Flyway's `flyway_schema_history`.
//!
//! Facts from Flyway 13: `V<version>__<description>.sql` is applied once, in the order of the versions, whose parts are
//! numbers (MigrationVersion.java); `R__<description>.sql` again whenever it has changed; `U` undoes, `B` is a baseline for
//! new databases, and names of callbacks begin with what they come before or after (ResourceNameParser.java). The checksum is
//! the CRC-32, as a signed number, of the lines without their ends and without a byte order mark (ChecksumCalculator.java);
//! those of repeatable ones are taken after placeholders have been replaced. Rows of the type BASELINE, or of a B, excuse all
//! versions up to theirs, DELETE and UNDO_… rows take back others, and `success` is false if a migration has failed outside of
//! a transaction (MigrationInfoServiceImpl.java, MigrationInfoImpl.java).

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::super::list::Migration;
use super::choice::{Chosen, Tool};
use super::judge::{Entry, Report, State, Stranger};
use super::names::{self, Listed, Named};
use super::table::{Column, INTEGER, TEXT, column, read};
use crate::backend::Db;
use crate::error::Error;

static COLUMNS: [Column; 7] = [
    column("installed_rank", INTEGER),
    column("version", TEXT),
    column("description", TEXT),
    column("type", TEXT),
    column("script", TEXT),
    column("checksum", INTEGER),
    column("success", &["boolean"]),
];

/// What happened to the schema, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// None for repeatable migrations.
    pub version: Option<String>,
    pub description: String,
    pub kind: String,
    pub script: String,
    pub checksum: Option<i32>,
    pub is_success: bool,
}

/// All rows, in the order of application.
pub fn rows(db: &Db, table: &Chosen) -> Result<Vec<Row>, Error> {
    read(db, table, &COLUMNS, "t.installed_rank", |row| {
        let text = |name| row.get::<String>(name).unwrap_or_default();
        Row {
            version: row.get("version"),
            description: text("description"),
            kind: text("type"),
            script: text("script"),
            checksum: text("checksum").parse().ok(),
            is_success: row.get("success").unwrap_or_default(),
        }
    })
}

/// A version: its numbers without leading zeros, by length and digits, without zeros at the end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(Vec<(usize, String)>);

impl Version {
    /// `1.2`, `1_2` or `20240101`.
    fn parse(text: &str) -> Option<Version> {
        let part = |part: &str| {
            let digits = part.trim_start_matches('0');
            let is_number = !part.is_empty() && part.chars().all(|c| c.is_ascii_digit());
            is_number.then(|| (digits.len(), digits.to_owned()))
        };
        let mut parts: Vec<_> = text.split(['.', '_']).map(part).collect::<Option<_>>()?;
        while parts.len() > 1 && parts.last().is_some_and(|(length, _)| *length == 0) {
            parts.pop();
        }
        Some(Version(parts))
    }
}

/// What Flyway knows a migration by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    Versioned(Version),
    /// By its description.
    Repeatable(String),
}

/// The migrations of the list.
pub fn listed(migrations: &[Migration]) -> Result<Vec<Listed<'_, Key>>, Error> {
    names::listed(migrations, Tool::Flyway, "V1__init.sql", key)
}

fn key(name: &str) -> Option<Named<Key>> {
    let stem = names::stem(names::file_name(name));
    let (version, description) = stem.split_once("__").unwrap_or((stem, ""));
    if ["before", "after", "createSchema"].iter().any(|event| stem.starts_with(event)) {
        return Some(Named::Other);
    }
    let prefix = version.chars().next()?;
    let version = Version::parse(&version[prefix.len_utf8()..]);
    Some(match (prefix, version) {
        ('V', Some(version)) => Named::Migration(Key::Versioned(version)),
        ('U' | 'B', Some(_)) => Named::Other,
        ('R', None) if stem.starts_with("R__") => {
            Named::Migration(Key::Repeatable(abbreviated(&description.replace('_', " "))))
        }
        _ => return None,
    })
}

/// A description as the table has it (AbbreviationUtils.java).
fn abbreviated(description: &str) -> String {
    const LONGEST: usize = 200;
    if description.chars().count() <= LONGEST {
        return description.to_owned();
    }
    description.chars().take(LONGEST - 3).chain("...".chars()).collect()
}

/// What the rows come to.
#[derive(Default)]
struct History<'r> {
    versioned: BTreeMap<Version, (usize, &'r Row)>,
    repeatable: HashMap<&'r str, &'r Row>,
    /// What was applied and then undone or deleted.
    taken_back: BTreeSet<Version>,
    /// Scripts that undo, and have failed.
    failed: Vec<&'r Row>,
    baseline: Option<Version>,
}

impl<'r> History<'r> {
    fn of(rows: &'r [Row]) -> Self {
        let mut history = History::default();
        for (place, row) in rows.iter().enumerate() {
            match (row.version.as_deref().and_then(Version::parse), row.kind.as_str()) {
                (_, "SCHEMA") => {}
                (Some(version), "DELETE") => history.take_back(version),
                (None, "DELETE") => {
                    history.repeatable.remove(row.description.as_str());
                }
                (Some(version), kind) if kind.starts_with("UNDO_") => {
                    if row.is_success {
                        history.take_back(version)
                    } else {
                        history.failed.push(row)
                    }
                }
                (Some(version), kind) if kind.ends_with("BASELINE") => {
                    history.baseline = history.baseline.take().max(Some(version));
                }
                (Some(version), _) => {
                    history.versioned.insert(version, (place, row));
                }
                (None, _) => {
                    history.repeatable.insert(&row.description, row);
                }
            }
        }
        history
    }

    fn take_back(&mut self, version: Version) {
        self.versioned.remove(&version);
        self.taken_back.insert(version);
    }

    fn versioned(&self, version: &Version, sql: &str) -> State {
        if self.baseline.as_ref().is_some_and(|baseline| version <= baseline) {
            return State::NotDue;
        }
        let Some((place, row)) = self.versioned.get(version) else {
            let is_taken_back = self.taken_back.contains(version);
            return State::Missing(is_taken_back.then(|| "says that it was undone or deleted".to_owned()));
        };
        if !row.is_success {
            return failed();
        }
        let now = checksum(sql);
        let edited = row.checksum.filter(|applied| is_sql(row) && *applied != now);
        let edited = edited.map(|applied| format!("says that another text was applied: CRC-32 {applied}, now {now}"));
        State::Applied { place: Some(*place), edited }
    }

    fn repeatable(&self, description: &str, sql: &str) -> State {
        let Some(row) = self.repeatable.get(description) else { return State::Missing(None) };
        if !row.is_success {
            return failed();
        }
        let now = checksum(sql);
        // What placeholders stood for is not known.
        match row.checksum.filter(|applied| is_sql(row) && *applied != now && !sql.contains("${")) {
            None => State::Applied { place: None, edited: None },
            Some(applied) => State::Outdated(format!(
                "has the checksum of another text, and Flyway will apply it again: CRC-32 {applied}, now {now}"
            )),
        }
    }
}

fn failed() -> State {
    State::Failed("says that it has failed (success is false), and a part of it may have been applied".to_owned())
}

/// Whether it was a file of SQL, which can be in the list.
fn is_sql(row: &Row) -> bool {
    row.kind == "SQL"
}

/// What the table says of the list.
pub fn report(listed: &[Listed<Key>], rows: &[Row]) -> Report {
    let history = History::of(rows);
    let mut report = Report::default();
    let mut versioned: Vec<(&Version, &Migration)> = Vec::new();
    let mut known: HashSet<&Key> = HashSet::new();
    for one in listed {
        known.insert(&one.key);
        match &one.key {
            Key::Versioned(version) => versioned.push((version, one.migration)),
            Key::Repeatable(description) => report.unordered.push(Entry {
                name: one.migration.name.clone(),
                state: history.repeatable(description, &one.migration.sql),
            }),
        }
    }
    versioned.sort_by_key(|(version, _)| *version);
    report.entries = versioned
        .into_iter()
        .map(|(version, migration)| Entry {
            name: migration.name.clone(),
            state: history.versioned(version, &migration.sql),
        })
        .collect();
    let gone = history.versioned.iter().filter(|(version, _)| !known.contains(&Key::Versioned((*version).clone())));
    let mut gone: Vec<(usize, &Row)> = gone.map(|(_, found)| *found).collect();
    gone.sort_by_key(|(place, _)| *place);
    let gone = gone.into_iter().map(|(_, row)| row);
    let mut again: Vec<&Row> = history
        .repeatable
        .values()
        .filter(|row| !known.contains(&Key::Repeatable(row.description.clone())))
        .copied()
        .collect();
    again.sort_by_key(|row| &row.script);
    report.strangers = gone
        .chain(again)
        .filter(|row| is_sql(row))
        .map(|row| Stranger::applied(row.script.clone()))
        .chain(history.failed.iter().map(|row| Stranger {
            name: row.script.clone(),
            kind: "failed",
            what: "says that it has failed (success is false), and a part of it may have been applied".to_owned(),
        }))
        .collect();
    report
}

/// The checksum of a text: lines end with a line feed, a carriage return, or both.
fn checksum(sql: &str) -> i32 {
    let text = sql.strip_prefix('\u{feff}').unwrap_or(sql);
    let mut hasher = crc32fast::Hasher::new();
    text.split(['\r', '\n']).for_each(|line| hasher.update(line.as_bytes()));
    hasher.finalize().cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(version: &str, sql: &str) -> Row {
        Row {
            version: (!version.is_empty()).then(|| version.to_owned()),
            description: "init".to_owned(),
            kind: "SQL".to_owned(),
            script: format!("V{version}__init.sql"),
            checksum: Some(checksum(sql)),
            is_success: true,
        }
    }

    fn of_kind(kind: &str, row: Row) -> Row {
        Row { kind: kind.to_owned(), checksum: None, ..row }
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
    fn checksums() {
        // The check value of CRC-32 is cbf43926.
        assert_eq!(checksum("123456789"), 0xcbf4_3926_u32.cast_signed());
        assert_eq!(checksum("\u{feff}1234\r\n567\r89\n"), 0xcbf4_3926_u32.cast_signed());
        assert_eq!(checksum(""), 0);
        assert_ne!(checksum("a \nb"), checksum("a\nb"));
    }

    #[test]
    fn versions_are_numbers_in_parts() {
        let version = |text| Version::parse(text).unwrap();
        assert!(version("1.10") > version("1.9"));
        assert!(version("10") > version("9.9"));
        assert!(version("1.0.1") > version("1"));
        assert_eq!(version("1.0"), version("1"));
        assert_eq!(version("001_020"), version("1.20"));
        assert_eq!(version("0"), version("0.0"));
        assert!(version("99999999999999999999") > version("9999999999999999999"));
        for text in ["", "a", "1.", ".1", "1..2", "1-2"] {
            assert_eq!(Version::parse(text), None, "{text}");
        }
    }

    #[test]
    fn names() {
        for name in ["db/V1.1__a.sql", "V1_1__a.sql", "V01.1.0__other__name.sql", "V1.1.sql"] {
            assert_eq!(findings(&[(name, "x")], &[row("1.1", "x")]), [], "{name}");
        }
        let others = ["U1__a.sql", "B1__a.sql", "beforeMigrate.sql", "afterMigrate__a.sql"];
        assert_eq!(findings(&others.map(|name| (name, "")), &[]), []);
        for name in ["1__a.sql", "v1__a.sql", "Va__a.sql", "R1__a.sql", "__a", "é", "V__a.sql"] {
            let migrations = [Migration { name: name.to_owned(), sql: String::new() }];
            assert!(listed(&migrations).is_err(), "{name}");
        }
    }

    #[test]
    fn the_order_is_that_of_the_versions() {
        let list = [("V1.10__b.sql", "b"), ("V1.9__a.sql", "a")];
        assert_eq!(findings(&list, &[row("1.9", "a"), row("1.10", "b")]), []);
        assert_eq!(findings(&list, &[row("1.10", "b")]), one("V1.9__a.sql", "out of order"));
        assert_eq!(findings(&list, &[row("1.10", "b"), row("1.9", "a")]), one("V1.9__a.sql", "out of order"));
        assert_eq!(findings(&list, &[row("1.9", "a")]), one("V1.10__b.sql", "missing"));
        assert_eq!(findings(&list, &[row("1.9", "b"), row("1.10", "b")]), one("V1.9__a.sql", "edited"));
    }

    #[test]
    fn baselines_deletions_and_undoing() {
        let list = [("V1__a.sql", "a"), ("V2__b.sql", "b")];
        assert_eq!(findings(&list, &[of_kind("BASELINE", row("1", "")), row("2", "b")]), []);
        assert_eq!(findings(&list, &[of_kind("SQL_BASELINE", row("2", ""))]), []);
        assert_eq!(findings(&list, &[of_kind("SCHEMA", row("", "")), row("1", "a"), row("2", "b")]), []);
        let undone = [row("1", "a"), row("2", "b"), of_kind("UNDO_SQL", row("2", ""))];
        assert_eq!(findings(&list, &undone), one("V2__b.sql", "missing"));
        let deleted = [row("1", "a"), row("2", "b"), row("3", "c"), of_kind("DELETE", row("3", ""))];
        assert_eq!(findings(&list, &deleted), []);
        assert_eq!(findings(&list, &deleted[..3]), one("V3__init.sql", "not in the list"));
        // Programs are not in the list.
        assert_eq!(findings(&list, &[row("1", "a"), row("2", "b"), of_kind("JDBC", row("3", ""))]), []);
        let failed = Row { is_success: false, ..row("2", "b") };
        assert_eq!(findings(&list, &[row("1", "a"), failed.clone()]), one("V2__b.sql", "failed"));
        let failed = of_kind("UNDO_SQL", failed);
        assert_eq!(findings(&list, &[row("1", "a"), row("2", "b"), failed]), one("V2__init.sql", "failed"));
    }

    #[test]
    fn repeatable_ones_are_applied_again() {
        let list = [("R__init.sql", "new")];
        assert_eq!(findings(&list, &[row("", "old")]), one("R__init.sql", "missing"));
        assert_eq!(findings(&list, &[row("", "old"), row("", "new")]), []);
        assert_eq!(findings(&list, &[]), one("R__init.sql", "missing"));
        assert_eq!(findings(&[("R__init.sql", "a ${x}")], &[row("", "a b")]), []);
        assert_eq!(findings(&[], &[row("", "x")]), one("V__init.sql", "not in the list"));
        assert_eq!(abbreviated(&"é".repeat(200)).chars().count(), 200);
        assert!(abbreviated(&"é".repeat(201)).ends_with("é..."));
    }
}
