//! What becomes of a row that comes into a protected table; pure.

use serde::{Deserialize, Serialize};

/// What happens to a row that comes with another number than the next one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnExplicit {
    /// It gets the next number.
    Renumber,
    /// It is refused.
    Error,
}

impl OnExplicit {
    pub fn parse(name: &str) -> Option<OnExplicit> {
        match name {
            "renumber" => Some(OnExplicit::Renumber),
            "error" => Some(OnExplicit::Error),
            _ => None,
        }
    }
}

/// How a table's versions are counted: the argument of its triggers, as JSON.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub parent_columns: Vec<String>,
    pub version_column: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_column: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_id_column: Option<String>,
    /// The column that `previous_id_column` refers to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_column: Option<String>,
    pub on_explicit: OnExplicit,
}

/// The number of a new row, whose parent's highest number is `newest`, if it has rows. The error is the highest number,
/// if the one given is refused.
pub fn number(given: Option<i64>, newest: Option<i64>, on_explicit: OnExplicit) -> Result<i64, i64> {
    let current = newest.unwrap_or(0).max(0);
    // Of the highest number there is, which only somebody can have set, it is no next one; the caller refuses it.
    let next = current.saturating_add(1);
    match given {
        Some(given) if given != next && on_explicit == OnExplicit::Error => Err(current),
        _ => Ok(next),
    }
}

/// Whether a new row becomes its parent's current one. `given` is its flag.
pub fn takes_flag(given: Option<bool>, is_first: bool) -> bool {
    is_first || given != Some(false)
}

/// Where a statement has deleted versions of a parent, and the link over them has been settled. Their index entries are
/// still there: without this, each deleted row would find its way over those of all others.
pub struct Gap {
    /// The values of the parent's columns, as texts.
    pub parent: Vec<String>,
    /// It lies above this version and below that one, the nearest that are left.
    pub above: Option<i64>,
    pub below: Option<i64>,
}

impl Gap {
    pub fn has(&self, parent: &[String], version: i64) -> bool {
        self.parent == parent
            && self.above.is_none_or(|above| above < version)
            && self.below.is_none_or(|below| version < below)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_numbered_from_1() {
        for on_explicit in [OnExplicit::Renumber, OnExplicit::Error] {
            assert_eq!(number(None, None, on_explicit), Ok(1));
            assert_eq!(number(None, Some(7), on_explicit), Ok(8));
            assert_eq!(number(None, Some(-7), on_explicit), Ok(1));
            assert_eq!(number(Some(8), Some(7), on_explicit), Ok(8));
            assert_eq!(number(Some(1), None, on_explicit), Ok(1));
        }
    }

    #[test]
    fn other_numbers_are_replaced_or_refused() {
        for given in [i64::MIN, -1, 0, 7, 9, i64::MAX] {
            assert_eq!(number(Some(given), Some(7), OnExplicit::Renumber), Ok(8));
            assert_eq!(number(Some(given), Some(7), OnExplicit::Error), Err(7));
        }
        assert_eq!(number(Some(2), None, OnExplicit::Error), Err(0));
    }

    #[test]
    fn the_flag_is_taken_unless_it_is_declined() {
        assert!(takes_flag(None, false) && takes_flag(Some(true), false) && !takes_flag(Some(false), false));
        assert!(takes_flag(Some(false), true));
    }

    #[test]
    fn a_gap_is_between_versions_of_one_parent() {
        let gap = |above, below| Gap { parent: vec!["a".to_owned(), "b".to_owned()], above, below };
        let has = |gap: Gap, version| gap.has(&["a".to_owned(), "b".to_owned()], version);
        assert!(has(gap(Some(2), Some(5)), 3) && has(gap(Some(2), Some(5)), 4));
        assert!(!has(gap(Some(2), Some(5)), 2) && !has(gap(Some(2), Some(5)), 5) && !has(gap(Some(2), Some(5)), 6));
        assert!(has(gap(None, Some(5)), 1) && has(gap(Some(2), None), i64::MAX) && has(gap(None, None), 1));
        assert!(!gap(None, None).has(&["a".to_owned(), "c".to_owned()], 1));
    }

    #[test]
    fn the_argument_of_a_trigger_is_json() {
        let config = Config {
            parent_columns: vec!["fileId".to_owned(), "a \"b\"".to_owned()],
            version_column: "version".to_owned(),
            current_column: None,
            previous_id_column: None,
            id_column: None,
            on_explicit: OnExplicit::Renumber,
        };
        let json = serde_json::to_string(&config).unwrap();
        assert_eq!(
            json,
            r#"{"parent_columns":["fileId","a \"b\""],"version_column":"version","on_explicit":"renumber"}"#
        );
        assert_eq!(serde_json::from_str::<Config>(&json).unwrap(), config);
    }
}
