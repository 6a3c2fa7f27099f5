//! What becomes of the rows of a file, one after another: which version, of what, by whom and when; or why none. Knows
//! nothing about Postgres.

use pgrx::Uuid;
use sha2::{Digest, Sha256};

use crate::backend::Timestamp;
use crate::content::Hash;
use crate::{hex, input};

/// The type of files whose rows have none.
pub const DEFAULT_FILE_TYPE: &str = "text";

/// A row as it was read.
#[derive(Debug, Default)]
pub struct Legacy<'r> {
    pub content: Option<&'r str>,
    pub file_type: Option<&'r str>,
    /// The text of its number.
    pub version: Option<&'r str>,
    pub is_deleted: bool,
    /// Hexadecimal digits.
    pub hash: Option<&'r str>,
    pub author: Option<&'r str>,
    pub at: Option<Timestamp>,
    /// The earliest time of any row of the file.
    pub earliest: Option<Timestamp>,
    /// What its place among the others is, if not the one that its number says.
    pub moved: Option<&'static str>,
}

/// Which columns the table has: what is missing in all rows is nothing to report.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    pub version: bool,
    pub file_type: bool,
    pub at: bool,
}

/// The newest version of a file so far.
#[derive(Clone, Debug)]
pub struct Last {
    pub version: i32,
    pub at: Timestamp,
    /// `None` for a deletion.
    pub hash: Option<Hash>,
}

/// The version that a row becomes.
#[derive(Debug, PartialEq, Eq)]
pub struct Planned {
    /// `None` for a deletion.
    pub hash: Option<Hash>,
    pub file_type: String,
    pub author: Option<Uuid>,
    pub at: Timestamp,
    /// Whether the file is to be deleted after this version, unless the next row is marked as deleted, too.
    pub is_deleted_after: bool,
    /// What is not as it was.
    pub repairs: Vec<String>,
}

/// What a row becomes after `last`, at the latest `now`; otherwise why it is skipped. Its content is not too large.
pub fn plan(row: &Legacy, known: Known, last: Option<&Last>, now: Timestamp) -> Result<Planned, String> {
    let mut repairs = Vec::new();
    let before = last.and_then(|last| last.hash);
    let content = match row.content {
        Some("") if row.is_deleted => None,
        content => content,
    };
    let (hash, is_deleted_after) = match (content, row.is_deleted) {
        (None, false) => return Err("its content is missing".to_owned()),
        (None, true) if before.is_none() => return Err("it deletes a file that is not there".to_owned()),
        (None, true) => (None, false),
        (Some(text), is_deleted) => {
            let hash: Hash = Sha256::digest(text).into();
            if is_deleted && before == Some(hash) { (None, false) } else { (Some(hash), is_deleted) }
        }
    };
    let version = last.map_or(1, |last| last.version.saturating_add(1));
    repairs.extend(row.moved.map(str::to_owned));
    repairs.extend(renumbered(row.version, known.version, version));
    if let (Some(given), Some(hash)) = (row.hash, hash)
        && !given.eq_ignore_ascii_case(&hex::encode(&hash))
    {
        repairs.push("content_hash is not the SHA-256 of the content".to_owned());
    }
    let file_type = match row.file_type {
        Some(text) => {
            input::file_type(Some(text), "file_type").map_err(|error| error.to_string())?;
            text
        }
        None => {
            repairs.extend(known.file_type.then(|| format!("file_type is missing: it becomes {DEFAULT_FILE_TYPE}")));
            DEFAULT_FILE_TYPE
        }
    };
    let author = user(row.author, "created_by", &mut repairs);
    let (at, why) = time(row.at, last.map(|last| last.at), row.earliest, now);
    repairs.extend(why.filter(|_| known.at).map(str::to_owned));
    Ok(Planned { hash, file_type: file_type.to_owned(), author, at, is_deleted_after, repairs })
}

fn renumbered(given: Option<&str>, is_known: bool, version: i32) -> Option<String> {
    match given {
        _ if !is_known => None,
        None => Some(format!("version is missing: it becomes {version}")),
        Some(given) if given == version.to_string() => None,
        Some(given) => Some(format!("version {} becomes {version}", input::abridged(given))),
    }
}

/// A user's id; a text that is none becomes no user, which is a repair.
pub fn user(text: Option<&str>, what: &str, repairs: &mut Vec<String>) -> Option<Uuid> {
    let text = text?;
    let id = input::uuid(text);
    if id.is_none() {
        repairs.push(format!("{what} \"{}\" is not a uuid: it becomes NULL", input::abridged(text)));
    }
    id
}

/// When a version was made, and what was repaired for that: never earlier than the version before, as a save would have it,
/// and not later than the import, because later saves could not be earlier either.
fn time(
    given: Option<Timestamp>,
    before: Option<Timestamp>,
    earliest: Option<Timestamp>,
    now: Timestamp,
) -> (Timestamp, Option<&'static str>) {
    let is_past = |time: &Timestamp| time.0 > i64::MIN && *time <= now;
    match (given.filter(is_past), before) {
        (Some(given), Some(before)) if given < before => {
            (before, Some("created_at is earlier than that of the version before: it becomes that"))
        }
        (Some(given), _) => (given, None),
        (None, _) if given.is_some_and(|given| given > now) => {
            (before.map_or(now, |before| now.max(before)), Some("created_at is yet to come: it becomes now"))
        }
        (None, Some(before)) => (before, Some("created_at is missing: it becomes that of the version before")),
        (None, None) => match earliest.filter(is_past) {
            Some(earliest) => (earliest, Some("created_at is missing: it becomes the earliest one of the file")),
            None => (now, Some("created_at is missing: it becomes now")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000);
    const ALL: Known = Known { version: true, file_type: true, at: true };

    fn hash(text: &str) -> Hash {
        Sha256::digest(text).into()
    }

    fn row(content: Option<&'static str>) -> Legacy<'static> {
        Legacy { content, file_type: Some("ts"), version: Some("1"), at: Some(Timestamp(10)), ..Legacy::default() }
    }

    fn last(version: i32, at: i64, content: Option<&str>) -> Last {
        Last { version, at: Timestamp(at), hash: content.map(hash) }
    }

    #[test]
    fn a_sound_row_is_taken_as_it_is() {
        let planned = plan(&row(Some("one")), ALL, None, NOW).unwrap();
        assert_eq!((planned.hash, planned.at), (Some(hash("one")), Timestamp(10)));
        assert_eq!((planned.file_type.as_str(), planned.repairs.len(), planned.is_deleted_after), ("ts", 0, false));
        // Equal successive contents stay versions of their own.
        let again = Legacy { version: Some("4"), ..row(Some("one")) };
        let planned = plan(&again, ALL, Some(&last(3, 10, Some("one"))), NOW).unwrap();
        assert_eq!((planned.hash, planned.repairs.len()), (Some(hash("one")), 0));
    }

    #[test]
    fn what_is_wrong_is_repaired_and_said() {
        let wrong = Legacy {
            version: Some("7"),
            file_type: None,
            hash: Some("abc"),
            author: Some("auth0|1"),
            at: Some(Timestamp(5)),
            moved: Some("moved"),
            ..row(Some("two"))
        };
        let planned = plan(&wrong, ALL, Some(&last(1, 10, Some("one"))), NOW).unwrap();
        assert_eq!(planned.repairs.len(), 6, "{planned:?}");
        assert!(planned.repairs.contains(&"version 7 becomes 2".to_owned()));
        assert_eq!((planned.author, planned.at), (None, Timestamp(10)));
        assert_eq!(planned.file_type, DEFAULT_FILE_TYPE);
        let none = Known { version: false, file_type: false, at: false };
        let bare = Legacy { content: Some("x"), ..Legacy::default() };
        assert_eq!(plan(&bare, none, None, NOW).unwrap().repairs, Vec::<String>::new());
        let digits = hex::encode(&hash("x")).to_uppercase();
        let right = Legacy { hash: Some(&digits), ..bare };
        assert_eq!(plan(&right, none, None, NOW).unwrap().repairs, Vec::<String>::new());
    }

    #[test]
    fn contents_and_types_are_checked() {
        assert_eq!(plan(&row(None), ALL, None, NOW).unwrap_err(), "its content is missing");
        assert!(plan(&row(Some("")), ALL, None, NOW).is_ok());
        let error = plan(&Legacy { file_type: Some("a\nb"), ..row(Some("x")) }, ALL, None, NOW).unwrap_err();
        assert!(error.starts_with("file_type"), "{error}");
    }

    #[test]
    fn deletions_keep_what_was_not_saved_before() {
        let deleted = |content| Legacy { is_deleted: true, ..row(content) };
        let of = |content, last: Option<&Last>| {
            plan(&deleted(content), ALL, last, NOW).map(|planned| (planned.hash, planned.is_deleted_after))
        };
        let alive = last(1, 1, Some("one"));
        let dead = last(2, 1, None);
        assert_eq!(of(None, Some(&alive)), Ok((None, false)));
        assert_eq!(of(Some(""), Some(&alive)), Ok((None, false)));
        assert_eq!(of(Some("one"), Some(&alive)), Ok((None, false)));
        assert_eq!(of(Some("two"), Some(&alive)), Ok((Some(hash("two")), true)));
        assert_eq!(of(Some("one"), None), Ok((Some(hash("one")), true)));
        for last in [None, Some(&dead)] {
            assert_eq!(of(None, last).unwrap_err(), "it deletes a file that is not there");
        }
    }

    #[test]
    fn times_never_go_back_nor_ahead() {
        let at = |given: Option<i64>, before: Option<i64>, earliest: Option<i64>| {
            let (Timestamp(at), why) = time(given.map(Timestamp), before.map(Timestamp), earliest.map(Timestamp), NOW);
            (at, why.is_some())
        };
        assert_eq!(at(Some(5), None, Some(5)), (5, false));
        assert_eq!(at(Some(5), Some(5), Some(5)), (5, false));
        assert_eq!(at(Some(5), Some(6), Some(5)), (6, true));
        assert_eq!(at(None, Some(6), Some(5)), (6, true));
        assert_eq!(at(None, None, Some(5)), (5, true));
        assert_eq!(at(None, None, None), (1_000, true));
        assert_eq!(at(Some(i64::MAX), None, Some(i64::MIN)), (1_000, true));
        assert_eq!(at(Some(i64::MIN), Some(6), Some(i64::MIN)), (6, true));
        assert_eq!(at(Some(2_000), Some(1_500), None), (1_500, true));
    }
}
