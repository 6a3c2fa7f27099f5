//! What is wrong with the numbers and flags themselves. One pass over the table finds all of it: a query makes a row for
//! each parent, and these are added up here.

use serde_json::value::RawValue;
use serde_json::{Value as Json, json};

use super::finding::{Finding, Severity, statements};
use crate::backend::{Db, Row, quoted_literal};
use crate::error::Error;
use crate::own_table::table::{Column, Counted};
use crate::progress::Progress;

/// What the query says of a parent.
#[derive(Debug, Default)]
struct Parent {
    /// Whether one of its columns is NULL.
    is_null: bool,
    rows: i64,
    /// Rows whose version is NULL or below 1; all others are in the following numbers.
    invalid: i64,
    nulls: i64,
    invalid_version: Option<i64>,
    /// Rows that share their version.
    duplicates: i64,
    duplicate: Option<i64>,
    /// Rows before which a version is missing.
    gaps: i64,
    missing: i64,
    first_missing: Option<i64>,
    /// Rows that are older than those of lower versions.
    misplaced: i64,
    first_misplaced: Option<i64>,
    newest: Option<i64>,
    /// Rows with the flag, and the lowest and the highest of their versions.
    current: i64,
    current_low: Option<i64>,
    current_high: Option<i64>,
    /// Its columns as a JSON object, if something is wrong.
    json: Option<String>,
}

impl Parent {
    fn read(row: &Row) -> Parent {
        Parent {
            is_null: row.value("is_null"),
            rows: row.value("rows"),
            invalid: row.value("invalid"),
            nulls: row.value("nulls"),
            invalid_version: row.get("invalid_version"),
            duplicates: row.value("duplicates"),
            duplicate: row.get("duplicate"),
            gaps: row.value("gaps"),
            missing: row.value("missing"),
            first_missing: row.get("first_missing"),
            misplaced: row.value("misplaced"),
            first_misplaced: row.get("first_misplaced"),
            newest: row.get("newest"),
            current: row.value("current"),
            current_low: row.get("current_low"),
            current_high: row.get("current_high"),
            json: row.get("json"),
        }
    }
}

/// Rows and parents that something is wrong with, and the first of them.
#[derive(Debug, Default)]
struct Count {
    rows: i64,
    parents: i64,
    example: Option<(String, Json)>,
}

impl Count {
    fn add(&mut self, rows: i64, parent: &Parent, version: impl Into<Json>) {
        if rows > 0 {
            self.rows += rows;
            self.parents += 1;
            self.example.get_or_insert_with(|| (parent.json.clone().unwrap_or_default(), version.into()));
        }
    }
}

/// What is wrong with all parents together.
#[derive(Debug, Default)]
pub struct Tally {
    without_parent: Count,
    invalid: Count,
    /// Versions that are NULL.
    pub nulls: i64,
    duplicates: Count,
    gaps: Count,
    missing: i128,
    misplaced: Count,
    several_current: Count,
    no_current: Count,
    not_newest: Count,
}

impl Tally {
    fn add(&mut self, parent: &Parent, has_current: bool) {
        self.nulls += parent.nulls;
        if parent.is_null {
            self.without_parent.add(parent.rows, parent, parent.newest);
            return;
        }
        self.invalid.add(parent.invalid, parent, parent.invalid_version);
        self.duplicates.add(parent.duplicates, parent, parent.duplicate);
        self.gaps.add(parent.gaps, parent, parent.first_missing);
        self.missing += i128::from(parent.missing);
        self.misplaced.add(parent.misplaced, parent, parent.first_misplaced);
        match parent.current {
            _ if !has_current => {}
            0 => self.no_current.add(1, parent, parent.newest),
            1 if parent.current_high < parent.newest => self.not_newest.add(1, parent, parent.current_high),
            1 => {}
            several => self.several_current.add(several, parent, json!([parent.current_low, parent.current_high])),
        }
    }

    /// Rows that belong to no parent.
    pub fn without_parent(&self) -> i64 {
        self.without_parent.rows
    }

    /// A finding about the rows without a parent, with an example.
    pub fn about_missing_parents(self: &Tally, finding: Finding, version: &Column) -> Finding {
        with_example(finding, &self.without_parent, version)
    }

    /// The findings. `repair` renumbers the table, `move_flags` makes the newest rows the current ones.
    pub fn findings(&self, version: &Column, repair: &str, move_flags: &str) -> Vec<Finding> {
        use Severity::{Error, Info, Warning};
        let missing = match self.missing {
            1 => "1 version is missing".to_owned(),
            many => format!("{many} versions are missing"),
        };
        let all: [(&'static str, Severity, &Count, &str, &str); 7] = [
            ("invalid_versions", Error, &self.invalid, "versions are below 1 or NULL", repair),
            ("duplicate_versions", Error, &self.duplicates, "rows of the same parent have the same version", repair),
            ("version_gaps", Warning, &self.gaps, &missing, repair),
            ("order_mismatch", Warning, &self.misplaced, "rows are older than rows of lower versions", repair),
            ("several_current", Error, &self.several_current, "several rows of the same parent are current", repair),
            ("no_current", Error, &self.no_current, "no row is current", repair),
            ("current_not_newest", Info, &self.not_newest, "the current row is not the newest", move_flags),
        ];
        let found = all.into_iter().filter(|(_, _, count, ..)| count.rows > 0);
        found
            .map(|(code, severity, count, what, fix)| {
                let description = format!("{what} ({})", parents(count.parents));
                with_example(
                    Finding::new(code, severity, description, fix.to_owned()).about(count.rows),
                    count,
                    version,
                )
            })
            .collect()
    }
}

fn parents(number: i64) -> String {
    if number == 1 { "1 parent".to_owned() } else { format!("{number} parents") }
}

fn with_example(finding: Finding, count: &Count, version: &Column) -> Finding {
    let Some((parent, number)) = &count.example else { return finding };
    let parent = RawValue::from_string(parent.clone()).ok();
    Finding { parent, version: Some(json!({ version.name.as_str(): number })), ..finding }
}

/// Reads the table, with the calling statement's snapshot.
pub fn examine(db: &Db, counted: &Counted, order: &[Column]) -> Result<Tally, Error> {
    let has_current = counted.current.is_some();
    let (mut tally, mut progress) = (Tally::default(), Progress::begin("parents examined"));
    db.dynamic_each(&query(counted, order), &[], |row| {
        tally.add(&Parent::read(row), has_current);
        progress.step();
        Ok(())
    })?;
    Ok(tally)
}

/// `'name', "name", …`: the arguments that make an object of columns.
pub fn json_pairs(columns: &[Column], alias: &str) -> String {
    let pair = |column: &Column| format!("{}, {alias}.{}", quoted_literal(&column.name), column.quoted);
    columns.iter().map(pair).collect::<Vec<_>>().join(", ")
}

/// Parents and orders are compared as GROUP BY and ORDER BY do, which find the operators by the columns' types.
fn query(counted: &Counted, order: &[Column]) -> String {
    let (table, version) = (&counted.table.name, &counted.version.quoted);
    let parents = counted.parent_list();
    let current =
        counted.current.as_ref().map_or("false".to_owned(), |flag| format!("coalesce({}, false)", flag.quoted));
    let orders: Vec<_> = order.iter().map(|column| column.quoted.as_str()).collect();
    let place = match orders.is_empty() {
        true => "0::bigint".to_owned(),
        false => format!("rank() OVER (PARTITION BY {parents} ORDER BY {})", orders.join(", ")),
    };
    // The columns of the parents keep their names; what is computed is in a row of its own, so that names cannot collide.
    let aliases: Vec<String> = (1..=counted.parents.len()).map(|n| format!("p{n}")).collect();
    let named = |prefix: &str| {
        let pairs =
            counted.parents.iter().zip(&aliases).map(|(column, alias)| format!("{prefix}{} AS {alias}", column.quoted));
        pairs.collect::<Vec<_>>().join(", ")
    };
    let keys = aliases.join(", ");
    let is_null = aliases.iter().map(|alias| format!("{alias} IS NULL")).collect::<Vec<_>>().join(" OR ");
    let pairs = counted
        .parents
        .iter()
        .zip(&aliases)
        .map(|(column, alias)| format!("{}, {alias}", quoted_literal(&column.name)));
    let json = pairs.collect::<Vec<_>>().join(", ");
    let is_broken_flag = match counted.current {
        Some(_) => "current <> 1 OR current_high IS DISTINCT FROM newest",
        None => "false",
    };
    format!(
        "SELECT g.*,
                CASE WHEN is_null OR invalid > 0 OR duplicates > 0 OR gaps > 0 OR misplaced > 0 OR {is_broken_flag}
                     THEN jsonb_build_object({json})::text END AS json
           FROM (SELECT {keys}, {is_null} AS is_null,
                        count(*) AS rows,
                        count(*) FILTER (WHERE number IS NULL) AS invalid,
                        count(*) FILTER (WHERE given IS NULL) AS nulls,
                        min(given) FILTER (WHERE number IS NULL) AS invalid_version,
                        count(*) FILTER (WHERE number = before OR number = after) AS duplicates,
                        min(number) FILTER (WHERE number = before) AS duplicate,
                        count(*) FILTER (WHERE number - 1 > coalesce(before, 0)) AS gaps,
                        coalesce(sum(number - 1 - coalesce(before, 0))
                                 FILTER (WHERE number - 1 > coalesce(before, 0)), 0)::bigint AS missing,
                        min(coalesce(before, 0) + 1)
                            FILTER (WHERE number - 1 > coalesce(before, 0)) AS first_missing,
                        count(*) FILTER (WHERE place < place_before) AS misplaced,
                        min(number) FILTER (WHERE place < place_before) AS first_misplaced,
                        max(number) AS newest,
                        count(*) FILTER (WHERE is_current) AS current,
                        min(number) FILTER (WHERE is_current) AS current_low,
                        max(number) FILTER (WHERE is_current) AS current_high
                   FROM (SELECT {keys}, given, number, is_current, place,
                                lag(number) OVER by_number AS before,
                                lead(number) OVER by_number AS after,
                                CASE WHEN lag(number) OVER by_number IS NOT NULL
                                     THEN lag(place) OVER by_number END AS place_before
                           FROM (SELECT {columns}, {version}::bigint AS given,
                                        CASE WHEN {version} >= 1 THEN {version}::bigint END AS number,
                                        {current} AS is_current, {place} AS place
                                   FROM {table}) v
                         WINDOW by_number AS (PARTITION BY {keys} ORDER BY number NULLS FIRST, place)) w
                  GROUP BY {keys}) g
          ORDER BY {keys}",
        columns = named(""),
    )
}

/// Statements that make the row with the highest version of each parent the current one, and no other.
pub fn move_flags(counted: &Counted) -> String {
    let Some(current) = &counted.current else { return String::new() };
    let (table, flag, version) = (&counted.table.name, &current.quoted, &counted.version.quoted);
    let parents = counted.parent_list();
    let places = format!(
        "(SELECT tableoid AS part, ctid AS place, row_number() OVER (PARTITION BY {parents} ORDER BY {version} DESC) AS nth FROM {table}) AS n WHERE n.part = v.tableoid AND n.place = v.ctid"
    );
    statements([
        format!("-- Unless it is meant to be an older one.\nUPDATE {table} AS v SET {flag} = false FROM {places} AND n.nth > 1 AND v.{flag}").as_str(),
        format!("UPDATE {table} AS v SET {flag} = true FROM {places} AND n.nth = 1 AND v.{flag} IS NOT TRUE").as_str(),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sound one with a current row.
    fn parent(name: &str) -> Parent {
        Parent {
            rows: 3,
            newest: Some(3),
            current: 1,
            current_low: Some(3),
            current_high: Some(3),
            json: Some(format!("{{\"file\": \"{name}\"}}")),
            ..Parent::default()
        }
    }

    fn version() -> Column {
        Column {
            number: 2,
            name: "version".to_owned(),
            quoted: "version".to_owned(),
            type_oid: pgrx::pg_sys::INT4OID,
            type_name: "integer".to_owned(),
            is_not_null: true,
            default: None,
            is_identity: false,
            is_generated: false,
        }
    }

    /// The findings as `code: rows parent version`.
    fn found(parents: &[Parent], has_current: bool) -> Vec<String> {
        let mut tally = Tally::default();
        parents.iter().for_each(|parent| tally.add(parent, has_current));
        let brief = |finding: Finding| {
            let parent = finding.parent.map(|parent| parent.get().to_owned()).unwrap_or_default();
            let version = finding.version.unwrap_or_default();
            format!("{}: {} {parent} {version}", finding.code, finding.rows.unwrap_or_default())
        };
        tally.findings(&version(), "repair", "move").into_iter().map(brief).collect()
    }

    #[test]
    fn sound_parents_give_nothing() {
        assert!(found(&[parent("a"), parent("b")], true).is_empty());
        assert!(found(&[Parent { current: 0, ..parent("a") }], false).is_empty());
        assert!(found(&[], true).is_empty());
    }

    #[test]
    fn rows_are_added_up_and_the_first_parent_is_the_example() {
        let twice = |name, rows| Parent { duplicates: rows, duplicate: Some(2), ..parent(name) };
        assert_eq!(
            found(&[parent("a"), twice("b", 3), twice("c", 2)], true),
            [r#"duplicate_versions: 5 {"file": "b"} {"version":2}"#]
        );
    }

    #[test]
    fn flags_are_none_several_or_not_on_the_newest() {
        let none = Parent { current: 0, current_low: None, current_high: None, ..parent("a") };
        let several = Parent { current: 3, current_low: Some(1), ..parent("b") };
        let older = Parent { current_low: Some(2), current_high: Some(2), ..parent("c") };
        assert_eq!(
            found(&[none, several, older], true),
            [
                r#"several_current: 3 {"file": "b"} {"version":[1,3]}"#,
                r#"no_current: 1 {"file": "a"} {"version":3}"#,
                r#"current_not_newest: 1 {"file": "c"} {"version":2}"#
            ]
        );
    }

    #[test]
    fn rows_without_a_parent_are_nothing_else() {
        let mut tally = Tally::default();
        tally.add(&Parent { is_null: true, duplicates: 3, current: 0, ..parent("a") }, true);
        assert_eq!(tally.without_parent(), 3);
        assert!(tally.findings(&version(), "repair", "move").is_empty());
    }

    #[test]
    fn missing_versions_are_more_than_fit_into_a_number() {
        let wide = |name| Parent { gaps: 1, missing: i64::MAX, first_missing: Some(1), ..parent(name) };
        let mut tally = Tally::default();
        [wide("a"), wide("b")].iter().for_each(|parent| tally.add(parent, true));
        let finding = tally.findings(&version(), "repair", "move").remove(0);
        assert_eq!(finding.description, "18446744073709551614 versions are missing (2 parents)");
    }
}
