//! Random statements on a table with versioning enabled: of one session beside a model, and of several at once.

use std::collections::BTreeMap;
use std::env;

use crate::own_tables::{is_sound, protected};
use crate::support::{Database, Random, Session, race, sessions};

/// A row as the model has it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    id: i64,
    is_current: bool,
    previous: Option<i64>,
}

/// What the table must hold: rows by document and number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Model {
    rows: BTreeMap<(i32, i32), Row>,
    next_id: i64,
    has_flag: bool,
    has_link: bool,
}

impl Model {
    fn versions(&self, doc: i32) -> Vec<i32> {
        self.rows.range((doc, i32::MIN)..=(doc, i32::MAX)).map(|((_, version), _)| *version).collect()
    }

    fn take(&mut self, doc: i32, version: i32) {
        for other in self.versions(doc) {
            self.rows.get_mut(&(doc, other)).expect("a row").is_current = other == version;
        }
    }

    fn insert(&mut self, doc: i32, flag: Option<bool>) -> i32 {
        let before = self.versions(doc).last().copied();
        let version = before.unwrap_or(0) + 1;
        self.next_id += 1;
        let previous = before.map(|before| self.rows[&(doc, before)].id).filter(|_| self.has_link);
        let takes = self.has_flag && (flag != Some(false) || before.is_none());
        let is_current = if self.has_flag { takes } else { flag == Some(true) };
        self.rows.insert((doc, version), Row { id: self.next_id, is_current, previous });
        if takes {
            self.take(doc, version);
        }
        version
    }

    fn delete(&mut self, doc: i32, from: i32, to: i32) {
        let versions: Vec<i32> = self.versions(doc).into_iter().filter(|v| (from..=to).contains(v)).collect();
        let mut was_current = false;
        for &version in &versions {
            was_current |= self.rows.remove(&(doc, version)).expect("a row").is_current;
        }
        if versions.is_empty() {
            return;
        }
        let left = self.versions(doc);
        if self.has_flag
            && was_current
            && let Some(&newest) = left.last()
        {
            self.take(doc, newest);
        }
        if self.has_link
            && let Some(next) = left.iter().position(|&version| version > to)
        {
            let before = next.checked_sub(1).map(|before| self.rows[&(doc, left[before])].id);
            self.rows.get_mut(&(doc, left[next])).expect("a row").previous = before;
        }
    }

    fn set_flag(&mut self, doc: i32, version: i32, flag: bool) {
        let Some(row) = self.rows.get_mut(&(doc, version)) else { return };
        let takes = self.has_flag && flag && !row.is_current;
        row.is_current = flag;
        if takes {
            self.take(doc, version);
        }
    }
}

fn rows(session: &mut Session) -> BTreeMap<(i32, i32), Row> {
    session
        .rows("SELECT doc, version, id, is_current, previous FROM doc_versions", &[])
        .iter()
        .map(|row| {
            let value = Row { id: row.get(2), is_current: row.get(3), previous: row.get(4) };
            ((row.get(0), row.get(1)), value)
        })
        .collect()
}

/// A statement, with what it makes of the model.
fn step(random: &mut Random, model: &mut Model) -> String {
    let doc = 1 + random.below(3) as i32;
    let version = 1 + random.below(8) as i32;
    let flag = [None, Some(true), Some(false)][random.below(3)].filter(|_| model.has_flag);
    let written = |flag: Option<bool>| flag.map_or("NULL".to_owned(), |flag| flag.to_string());
    let column = if model.has_flag { written } else { |_| "false".to_owned() };
    match random.below(9) {
        0..3 => {
            // Of several documents, in one statement.
            let values: Vec<String> = (0..=random.below(4))
                .map(|_| {
                    let doc = 1 + random.below(3) as i32;
                    model.insert(doc, flag);
                    format!("({doc}, {version}, {})", column(flag))
                })
                .collect();
            format!("INSERT INTO doc_versions (doc, version, is_current) VALUES {}", values.join(", "))
        }
        3 => {
            // Nothing comes of it: the ids exist. The number of its id is used up in the sequence all the same.
            let Some(row) = model.rows.values().next() else { return "SELECT".to_owned() };
            format!(
                "INSERT INTO doc_versions (id, doc, is_current) OVERRIDING SYSTEM VALUE VALUES ({}, {doc}, {})
                 ON CONFLICT DO NOTHING",
                row.id,
                column(flag)
            )
        }
        4 => {
            let to = version + random.below(3) as i32;
            model.delete(doc, version, to);
            format!("DELETE FROM doc_versions WHERE doc = {doc} AND version BETWEEN {version} AND {to}")
        }
        5 => {
            let newest = model.versions(doc).last().copied().unwrap_or(0);
            model.delete(doc, newest, newest);
            format!("DELETE FROM doc_versions WHERE doc = {doc} AND version = {newest}")
        }
        6 => {
            model.set_flag(doc, version, true);
            format!("UPDATE doc_versions SET is_current = true WHERE doc = {doc} AND version = {version}")
        }
        7 => {
            model.set_flag(doc, version, false);
            format!("UPDATE doc_versions SET is_current = false WHERE doc = {doc} AND version = {version}")
        }
        _ => {
            // One statement that moves it.
            for other in model.versions(doc) {
                if other != version {
                    model.set_flag(doc, other, false);
                }
            }
            model.set_flag(doc, version, true);
            format!("UPDATE doc_versions SET is_current = (version = {version}) WHERE doc = {doc}")
        }
    }
}

fn lives(test: &str, has_flag: bool, has_link: bool) {
    let db = protected(test);
    let mut session = db.connect();
    let column = |given: bool, name: &str| if given { format!("'{name}'") } else { "NULL".to_owned() };
    session.run(&format!(
        "SELECT versioned.enable_versioning('doc_versions', '{{doc}}', 'version', {}, {});
         ALTER TABLE doc_versions ALTER is_current DROP NOT NULL",
        column(has_flag, "is_current"),
        column(has_link, "previous")
    ));
    let seed = env::var("LIFE_SEED").ok().and_then(|seed| seed.parse().ok());
    for seed in seed.map_or_else(|| (1..=12).collect::<Vec<u64>>(), |seed| vec![seed]) {
        session.run("TRUNCATE doc_versions RESTART IDENTITY");
        let (mut random, mut model) = (Random(seed), Model { has_flag, has_link, ..Model::default() });
        let mut saved: Vec<Model> = Vec::new();
        session.run("BEGIN");
        for n in 0..60 {
            let sql = match random.below(12) {
                0 => {
                    saved.push(model.clone());
                    format!("SAVEPOINT s{}", saved.len())
                }
                1 if !saved.is_empty() => {
                    let at = random.below(saved.len());
                    let sql = format!("ROLLBACK TO s{}", at + 1);
                    saved.truncate(at + 1);
                    // Ids are not given back.
                    model = Model { next_id: model.next_id, ..saved[at].clone() };
                    sql
                }
                2 => {
                    saved.clear();
                    "COMMIT; BEGIN".to_owned()
                }
                _ => step(&mut random, &mut model),
            };
            session.try_run(&sql).unwrap_or_else(|e| panic!("LIFE_SEED={seed}, step {n}: {e:?}: {sql}"));
            assert_eq!(rows(&mut session), model.rows, "LIFE_SEED={seed}, step {n}: {sql}");
        }
        session.run("COMMIT");
    }
}

#[test]
fn random_lives_with_flag_and_link() {
    lives("own_life", true, true);
}

#[test]
fn random_lives_with_a_flag() {
    lives("own_life_flag", true, false);
}

#[test]
fn random_lives_with_a_link() {
    lives("own_life_link", false, true);
}

/// Several sessions insert, delete, move flags and roll back on few documents: whatever order they come in, what
/// `is_sound` asserts holds, and nobody sees another error than the expected ones.
fn storm(db: &Database, expected: &[&str], body: impl Fn(&mut Random, usize) -> String + Sync) {
    race(sessions(8, || db.connect()), |n, session| {
        session.run("SET deadlock_timeout = '50ms'");
        let mut random = Random(n as u64 + 1);
        for k in 0..80 {
            let sql = body(&mut random, k);
            if let Err(refusal) = session.try_run(&sql) {
                session.run("ROLLBACK");
                assert!(expected.contains(&&*refusal.code), "{refusal:?}: {sql}");
                assert!(!refusal.message.contains("doc_versions_doc_version_key"), "{refusal:?}: {sql}");
            }
        }
    });
}

/// A row of one of three documents, one of the newest.
fn any_row(random: &mut Random) -> String {
    let (doc, nth) = (1 + random.below(3), random.below(4));
    format!("(SELECT id FROM doc_versions WHERE doc = {doc} ORDER BY version DESC OFFSET {nth} LIMIT 1)")
}

#[test]
fn a_storm_of_inserts_and_flags_has_no_errors() {
    let db = protected("own_storm");
    storm(&db, &[], |random, _| {
        let doc = 1 + random.below(3);
        match random.below(6) {
            0..3 => format!("INSERT INTO doc_versions (doc) VALUES ({doc})"),
            3 => format!("INSERT INTO doc_versions (doc, is_current) VALUES ({doc}, false), ({doc}, true)"),
            _ => format!("UPDATE doc_versions SET is_current = true WHERE id = {}", any_row(random)),
        }
    });
    is_sound(&mut db.connect());
}

/// Rows are deleted one by one. Of neighbours that are deleted at once, each must know what becomes of the other.
#[test]
fn a_storm_with_deletions() {
    let db = protected("own_storm_deletions");
    storm(&db, &["40P01"], |random, _| {
        let doc = 1 + random.below(3);
        match random.below(5) {
            0..3 => format!("INSERT INTO doc_versions (doc) VALUES ({doc})"),
            3 => format!("DELETE FROM doc_versions WHERE id = {}", any_row(random)),
            _ => format!("UPDATE doc_versions SET is_current = true WHERE id = {}", any_row(random)),
        }
    });
    is_sound(&mut db.connect());
}

#[test]
fn a_storm_of_transactions_at_every_level() {
    let db = protected("own_storm_levels");
    storm(&db, &["40P01", "40001"], |random, k| {
        let level = ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"][k % 3];
        let end = ["COMMIT", "COMMIT", "ROLLBACK"][random.below(3)];
        let mut statements = String::new();
        for n in 0..=random.below(3) {
            let doc = 1 + random.below(2);
            statements += &match random.below(5) {
                0..3 => format!("INSERT INTO doc_versions (doc) VALUES ({doc}), ({doc});"),
                3 => format!(
                    "SAVEPOINT s{n}; DELETE FROM doc_versions WHERE doc = {doc} AND is_current; ROLLBACK TO s{n};"
                ),
                _ => format!("DELETE FROM doc_versions WHERE doc = {doc} AND is_current;"),
            };
        }
        format!("BEGIN ISOLATION LEVEL {level}; {statements} {end}")
    });
    is_sound(&mut db.connect());
}

/// Parents come and go with all of their rows, and get other keys, which the rows follow.
#[test]
fn a_storm_with_parents_that_come_and_go() {
    let db = protected("own_storm_parents");
    // A key that is gone, or there already, is an error of the constraints.
    storm(&db, &["40P01", "23503", "23505"], |random, _| {
        let (doc, other) = (1 + random.below(4), 1 + random.below(4));
        match random.below(10) {
            0..5 => format!("INSERT INTO doc_versions (doc) VALUES ({doc})"),
            5 => format!("INSERT INTO doc_versions (doc, is_current) VALUES ({doc}, false)"),
            6 => format!("DELETE FROM docs WHERE id = {doc}"),
            7 | 8 => format!("INSERT INTO docs VALUES ({doc}) ON CONFLICT DO NOTHING"),
            _ => format!("UPDATE docs SET id = {other} WHERE id = {doc}"),
        }
    });
    is_sound(&mut db.connect());
}
