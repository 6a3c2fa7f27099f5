//! What becomes of a project's versions, one after another: which number, status and time. Knows nothing about Postgres.

use std::collections::{BTreeMap, HashSet};

use pgrx::Uuid;
use serde_json::value::RawValue;

use super::history;
use crate::backend::Timestamp;
use crate::builds::{MAX_FRAMEWORK_BYTES, MAX_PROMPT_BYTES};
use crate::error::Error;
use crate::input::{self, abridged};
use crate::version::{self, BuildResult, ChangeType, Number};

/// A row as it was read, with its metadata.
#[derive(Debug, Default)]
pub struct Legacy {
    /// What a build's result could have, as JSON.
    pub facts: String,
    pub status: Option<String>,
    pub at: Option<Timestamp>,
    /// The time of its id.
    pub of_id: Option<Timestamp>,
    pub updated_at: Option<Timestamp>,
    pub change_type: Option<String>,
    /// The texts of the three parts of its number.
    pub number: [Option<String>; 3],
    pub semver: Option<String>,
    pub user: Option<String>,
    pub prompt: Option<String>,
    pub framework: Option<String>,
    /// Files changed, lines added and removed.
    pub stats: [Option<String>; 3],
    pub is_published: bool,
    pub published_at: Option<Timestamp>,
    pub published_by: Option<String>,
    pub deleted_at: Option<Timestamp>,
}

/// What there are columns for: what is missing in all rows is nothing to report.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    pub status: bool,
    pub number: bool,
    pub at: bool,
}

/// The version that a row becomes.
#[derive(Debug)]
pub struct Planned {
    pub facts: BuildResult,
    pub status: &'static str,
    pub at: Timestamp,
    pub updated_at: Timestamp,
    /// `None` if nobody has said, or not intelligibly.
    pub change: Option<ChangeType>,
    pub number: Number,
    pub user: Option<Uuid>,
    pub prompt: Option<String>,
    /// `None` if it is the project's.
    pub framework: Option<String>,
    pub stats: (i32, i64, i64),
    /// Whether it is published, as far as that is up to the version itself.
    pub is_published: bool,
    pub published_at: Option<Timestamp>,
    pub published_by: Option<Uuid>,
    pub deleted_at: Option<Timestamp>,
    /// What is not as it was.
    pub repairs: Vec<String>,
}

impl Planned {
    /// The kind of change that it counts as.
    pub fn counts_as(&self) -> ChangeType {
        self.change.unwrap_or(ChangeType::Minor)
    }

    /// Its number and label as text.
    pub fn semver(&self) -> String {
        match &self.facts.prerelease {
            Some(label) => format!("{}-{label}", self.number),
            None => self.number.to_string(),
        }
    }
}

/// What a row becomes after a version of the time `last`, at the latest `now`; otherwise why it is skipped.
pub fn plan(
    row: Legacy,
    known: Known,
    numbers: &mut Numbers,
    last: Option<Timestamp>,
    now: Timestamp,
) -> Result<Planned, &'static str> {
    let (mut facts, mut repairs) = facts(&row.facts);
    let (status, why) = status(row.status.as_deref(), known.status);
    repairs.extend(why);
    let (at, why) = time(row.at, row.of_id, last, now);
    repairs.extend(why.filter(|_| known.at || row.of_id.is_none()).map(str::to_owned));

    let change = row.change_type.as_deref().and_then(ChangeType::parse);
    if let (Some(given), None) = (&row.change_type, change) {
        repairs.push(format!("change_type \"{}\" becomes minor", abridged(given)));
    }
    let given = number(row.number.each_ref().map(Option::as_deref), row.semver.as_deref());
    let number = numbers.take(given.as_ref().map(|(number, _)| *number), change.unwrap_or(ChangeType::Minor));
    let number = number.ok_or("there is no number left for it")?;
    repairs.extend(renumbered(given.as_ref().map(|(given, _)| *given), row.semver.as_deref(), known.number, number));
    facts.prerelease = facts.prerelease.or(given.and_then(|(_, label)| label));

    let user = history::user(row.user.as_deref(), "user_id", &mut repairs);
    let published_by = history::user(row.published_by.as_deref(), "published_by_user_id", &mut repairs);
    let mut unless_unfit = |text: Option<String>, check: &dyn Fn(&str) -> Result<(), Error>, instead: &str| {
        text.filter(|text| match check(text) {
            Ok(()) => true,
            Err(why) => {
                repairs.push(format!("{why}: it becomes {instead}"));
                false
            }
        })
    };
    let is_prompt = |text: &str| input::prose(Some(text), "prompt", MAX_PROMPT_BYTES).map(|_| ());
    let prompt = unless_unfit(row.prompt, &is_prompt, "NULL");
    let is_framework = |text: &str| input::line(Some(text), "framework", MAX_FRAMEWORK_BYTES).map(|_| ());
    let framework = unless_unfit(row.framework, &is_framework, "that of the project");
    let mut amount = |n: usize, what, most| amount(row.stats[n].as_deref(), what, most, &mut repairs);
    let files = amount(0, "files_changed", i32::MAX.into()) as i32;
    let stats = (files, amount(1, "lines_added", i64::MAX), amount(2, "lines_removed", i64::MAX));

    let is_published = row.is_published && status == "deployed" && row.deleted_at.is_none();
    if row.is_published && !is_published {
        let state = if row.deleted_at.is_some() { "deleted" } else { status };
        repairs.push(format!("it is published and {state}: it is not published any more"));
    }
    Ok(Planned {
        facts,
        status,
        at,
        updated_at: row.updated_at.filter(|updated| *updated > at && *updated <= now).unwrap_or(at),
        change,
        number,
        user,
        prompt,
        framework,
        stats,
        is_published,
        published_at: row.published_at.or(row.is_published.then_some(at)),
        published_by,
        deleted_at: row.deleted_at,
        repairs,
    })
}

fn renumbered(given: Option<Number>, text: Option<&str>, is_known: bool, number: Number) -> Option<String> {
    match (given, text) {
        (Some(given), _) if given == number => None,
        (Some(given), _) => Some(format!("number {given} is taken: it becomes {number}")),
        _ if !is_known => None,
        (None, Some(text)) => Some(format!("number \"{}\" becomes {number}", abridged(text))),
        (None, None) => Some(format!("its number is missing: it becomes {number}")),
    }
}

/// What tables call the states of a version that are not called `building`, `deployed` or `failed`.
const SYNONYMS: [(&str, &str); 14] = [
    ("ready", "deployed"),
    ("success", "deployed"),
    ("succeeded", "deployed"),
    ("complete", "deployed"),
    ("completed", "deployed"),
    ("published", "deployed"),
    ("live", "deployed"),
    ("pending", "building"),
    ("queued", "building"),
    ("running", "building"),
    ("started", "building"),
    ("error", "failed"),
    ("cancelled", "failed"),
    ("canceled", "failed"),
];

/// The status of a version, and what was repaired for that. Tables without a column for it (`is_known` false) have only
/// versions that exist; what a column says counts only if it is understood.
fn status(text: Option<&str>, is_known: bool) -> (&'static str, Option<String>) {
    let Some(text) = text else {
        return if is_known {
            ("failed", Some("status is missing: it becomes failed".to_owned()))
        } else {
            ("deployed", None)
        };
    };
    if let Some(same) = ["building", "deployed", "failed"].into_iter().find(|name| *name == text) {
        return (same, None);
    }
    let lower = text.to_lowercase();
    let names = SYNONYMS.iter().copied().chain([("building", "building"), ("deployed", "deployed")]);
    let meant = names.into_iter().find(|(name, _)| *name == lower).map_or("failed", |(_, meant)| meant);
    (meant, Some(format!("status \"{}\" becomes {meant}", abridged(text))))
}

/// A number as a table gives it: in three columns, or as a text like `v1.2.3-beta.1`. The label after it is there only if it is
/// valid.
pub fn number(columns: [Option<&str>; 3], text: Option<&str>) -> Option<(Number, Option<String>)> {
    let part = |text: &str| text.parse::<i32>().ok().filter(|n| *n >= 0 && !text.starts_with('+'));
    let of = |[major, minor, patch]: [Option<i32>; 3]| Some(Number { major: major?, minor: minor?, patch: patch? });
    if let Some(number) = of(columns.map(|text| text.and_then(part))) {
        return Some((number, None));
    }
    let text = text?.trim();
    let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
    let text = text.split_once('+').map_or(text, |(number, _)| number);
    let (digits, label) = text.split_once('-').map_or((text, None), |(digits, label)| (digits, Some(label)));
    let mut parts = digits.split('.');
    let first = part(parts.next()?);
    let mut next = || parts.next().map_or(Some(0), part);
    let number = of([first, next(), next()])?;
    let label = label.filter(|label| version::is_prerelease(label)).map(str::to_owned);
    parts.next().is_none().then_some((number, label))
}

/// The numbers of a project's versions.
#[derive(Default)]
pub struct Numbers {
    taken: HashSet<Number>,
    /// Those that rows which are still to come have.
    reserved: HashSet<Number>,
    last: Option<Number>,
}

impl Numbers {
    /// With the numbers that the project's versions have, and those that the table gives.
    pub fn new(taken: Vec<Number>, reserved: HashSet<Number>) -> Self {
        Numbers { last: taken.iter().max().copied(), taken: taken.into_iter().collect(), reserved }
    }

    /// The number of the next version: the one that it was given if that is free, otherwise the next free one after the last
    /// version's. `None` if there is none.
    pub fn take(&mut self, given: Option<Number>, change: ChangeType) -> Option<Number> {
        let free = given.filter(|number| !self.taken.contains(number));
        let number = match free {
            Some(number) => number,
            None => {
                let mut number = self.last.map_or(Some(Number::FIRST), |last| last.next(change))?;
                while self.taken.contains(&number) || self.reserved.contains(&number) {
                    number = number.next(change)?;
                }
                number
            }
        };
        self.taken.insert(number);
        self.last = Some(number);
        Some(number)
    }
}

/// When a version was created, and what was repaired for that: later than the version before, because this is their order.
/// `of_id` is the time of its id.
fn time(
    given: Option<Timestamp>,
    of_id: Option<Timestamp>,
    before: Option<Timestamp>,
    now: Timestamp,
) -> (Timestamp, Option<&'static str>) {
    let is_past = |time: &Timestamp| time.0 > i64::MIN && *time <= now;
    let next = before.map(|before| Timestamp(before.0.saturating_add(1)));
    let (time, why) = match (given, of_id.filter(is_past), next) {
        (Some(given), ..) if is_past(&given) => (given, None),
        (Some(given), ..) if given > now => (now, Some("created_at is yet to come: it becomes now")),
        (_, Some(of_id), _) => (of_id, Some("created_at is missing: it becomes the time of the id")),
        (_, None, Some(next)) => (next, Some("created_at is missing: it becomes that after the version before")),
        (_, None, None) => (now, Some("created_at is missing: it becomes now")),
    };
    match next.filter(|next| *next > time) {
        Some(next) => (next, why.or(Some("created_at is not later than that of the version before: it becomes that"))),
        None => (time, why),
    }
}

/// What is known about a version besides: the values that a build's result could have, and what could not.
fn facts(json: &str) -> (BuildResult, Vec<String>) {
    if let Ok(parsed) = version::parse_result(json, "") {
        return (parsed.values, Vec::new());
    }
    let keys: BTreeMap<String, &RawValue> = serde_json::from_str(json).unwrap_or_default();
    let mut good = BTreeMap::new();
    let mut repairs = Vec::new();
    for (key, value) in keys {
        let alone = serde_json::to_string(&BTreeMap::from([(&key, value)])).unwrap_or_default();
        match version::parse_result(&alone, "") {
            Ok(_) => {
                good.insert(key, value);
            }
            Err(why) => {
                let why = why.trim().strip_prefix("key ").unwrap_or(&why).to_owned();
                repairs.push(format!("{why}: it becomes NULL"));
            }
        }
    }
    let good = serde_json::to_string(&good).unwrap_or_default();
    (version::parse_result(&good, "").map(|parsed| parsed.values).unwrap_or_default(), repairs)
}

/// An amount that is not negative; anything else counts as 0, which is a repair.
fn amount(text: Option<&str>, what: &str, most: i64, repairs: &mut Vec<String>) -> i64 {
    let Some(text) = text else { return 0 };
    match text.parse::<i64>() {
        Ok(n) if (0..=most).contains(&n) => n,
        _ => {
            repairs.push(format!("{what} {} is not from 0 to {most}: it becomes 0", abridged(text)));
            0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn n(major: i32, minor: i32, patch: i32) -> Number {
        Number { major, minor, patch }
    }

    #[test]
    fn states_are_kept_or_translated() {
        for name in ["building", "deployed", "failed"] {
            assert_eq!(status(Some(name), true), (name, None));
        }
        let of = |text| status(text, true).0;
        assert_eq!([of(Some("READY")), of(Some("Deployed")), of(Some("queued"))], ["deployed", "deployed", "building"]);
        assert_eq!([of(Some("?")), of(None)], ["failed", "failed"]);
        assert!(status(Some("ready"), true).1.is_some() && status(None, true).1.is_some());
        assert_eq!(status(None, false), ("deployed", None));
    }

    #[test]
    fn numbers_are_read_from_columns_or_text() {
        let text = |text| number([None; 3], Some(text));
        assert_eq!(number([Some("1"), Some("2"), Some("3")], Some("9.9.9")), Some((n(1, 2, 3), None)));
        assert_eq!(number([Some("1"), None, Some("3")], None), None);
        assert_eq!(number([Some("1"), Some("-2"), Some("3")], Some("2.0.0")), Some((n(2, 0, 0), None)));
        assert_eq!(text("v1.2.3-beta.1+build"), Some((n(1, 2, 3), Some("beta.1".to_owned()))));
        assert_eq!(text(" 1.2 "), Some((n(1, 2, 0), None)));
        assert_eq!(text("7"), Some((n(7, 0, 0), None)));
        assert_eq!(text("1.2.3-01"), Some((n(1, 2, 3), None)));
        for bad in ["", "v", "1.2.3.4", "1..2", "a.b.c", "1.2.x", "-1.0.0", "+1.0.0", "99999999999.0.0"] {
            assert_eq!(text(bad), None, "{bad}");
        }
    }

    #[test]
    fn missing_and_repeated_numbers_take_the_next_free_one() {
        let reserved = HashSet::from([n(1, 0, 0), n(1, 2, 0)]);
        let mut numbers = Numbers::new(Vec::new(), reserved);
        let mut take = |given| numbers.take(given, ChangeType::Minor).unwrap();
        assert_eq!(take(Some(n(1, 0, 0))), n(1, 0, 0));
        assert_eq!(take(None), n(1, 1, 0));
        // 1.2.0 is that of a row to come.
        assert_eq!(take(Some(n(1, 0, 0))), n(1, 3, 0));
        assert_eq!(take(Some(n(1, 2, 0))), n(1, 2, 0));
        assert_eq!(take(None), n(1, 4, 0));
        let mut first = Numbers::new(Vec::new(), HashSet::new());
        assert_eq!(first.take(None, ChangeType::Minor), Some(Number::FIRST));
        let mut after = Numbers::new(vec![n(3, 1, 0), n(2, 0, 0)], HashSet::new());
        assert_eq!(after.take(Some(n(2, 0, 0)), ChangeType::Minor), Some(n(3, 2, 0)));
        let mut full = Numbers::new(vec![n(1, i32::MAX, 0)], HashSet::new());
        assert_eq!(full.take(None, ChangeType::Minor), None);
    }

    #[test]
    fn times_are_in_order() {
        let at = |given: Option<i64>, of_id: Option<i64>, before: Option<i64>| {
            let time = time(given.map(Timestamp), of_id.map(Timestamp), before.map(Timestamp), Timestamp(100));
            (time.0.0, time.1.is_some())
        };
        assert_eq!(at(Some(5), Some(1), None), (5, false));
        assert_eq!(at(Some(5), None, Some(4)), (5, false));
        assert_eq!(at(Some(5), None, Some(5)), (6, true));
        assert_eq!(at(None, Some(7), Some(5)), (7, true));
        assert_eq!(at(None, Some(2), Some(5)), (6, true));
        assert_eq!(at(None, None, Some(5)), (6, true));
        assert_eq!(at(None, None, None), (100, true));
        assert_eq!(at(Some(i64::MAX), None, Some(100)), (101, true));
    }

    #[test]
    fn a_row_is_taken_as_it_is_or_repaired() {
        const ALL: Known = Known { status: true, number: true, at: true };
        let text = |text: &str| Some(text.to_owned());
        let sound = || Legacy {
            facts: "{}".to_owned(),
            status: text("deployed"),
            at: Some(Timestamp(5)),
            change_type: text("major"),
            semver: text("2.0.0-rc.1"),
            framework: text("vue"),
            is_published: true,
            ..Legacy::default()
        };
        let plan = |row| super::plan(row, ALL, &mut Numbers::default(), Some(Timestamp(1)), Timestamp(100)).unwrap();
        let planned = plan(sound());
        assert_eq!(planned.repairs, Vec::<String>::new());
        assert_eq!((planned.semver().as_str(), planned.status, planned.at), ("2.0.0-rc.1", "deployed", Timestamp(5)));
        assert!(planned.is_published && planned.published_at == Some(Timestamp(5)));
        assert_eq!((planned.counts_as(), planned.framework.as_deref()), (ChangeType::Major, Some("vue")));
        let failed = plan(Legacy { status: text("failed"), ..sound() });
        assert!(!failed.is_published && failed.repairs.len() == 1);
        let deleted = plan(Legacy { deleted_at: Some(Timestamp(9)), ..sound() });
        assert!(!deleted.is_published && deleted.repairs.len() == 1);
        let odd = plan(Legacy {
            change_type: text("huge"),
            semver: text("?"),
            user: text("bob"),
            framework: text("a\nb"),
            stats: [text("-1"), None, None],
            updated_at: Some(Timestamp(3)),
            ..sound()
        });
        assert_eq!((odd.number, odd.updated_at, odd.framework.is_none()), (Number::FIRST, Timestamp(5), true));
        assert_eq!((odd.change, odd.counts_as(), odd.stats.0), (None, ChangeType::Minor, 0));
        assert_eq!(odd.repairs.len(), 5, "{:?}", odd.repairs);
    }

    #[test]
    fn what_does_not_fit_is_left_out_and_named() {
        let (all, none) = facts(r#"{"preview_url": "https://x", "needs_rebuild": null}"#);
        assert_eq!((all.preview_url.as_deref(), none.len()), (Some("https://x"), 0));
        let (some, repairs) =
            facts(r#"{"preview_url": "https://x", "artifact_size": -1, "breaking_risk": "huge", "git_tag": null}"#);
        assert_eq!((some.preview_url.as_deref(), some.artifact_size), (Some("https://x"), None));
        assert_eq!(repairs.len(), 2, "{repairs:?}");
        assert!(repairs.iter().any(|why| why.starts_with("\"artifact_size\"")), "{repairs:?}");
        let mut repairs = Vec::new();
        assert_eq!([amount(Some("3"), "x", 9, &mut repairs), amount(Some("-3"), "x", 9, &mut repairs)], [3, 0]);
        assert_eq!((amount(None, "x", 9, &mut repairs), repairs.len()), (0, 1));
    }
}
