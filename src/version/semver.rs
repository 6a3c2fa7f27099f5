//! Version numbers of a project, according to <https://semver.org>. Knows nothing about Postgres.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How much a version changes.
///
/// Read from a text alone: serde would take an object with the name as its key, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase", try_from = "String")]
pub enum ChangeType {
    /// A checkpoint.
    Patch,
    Minor,
    Major,
}

impl ChangeType {
    pub fn parse(name: &str) -> Option<ChangeType> {
        [ChangeType::Patch, ChangeType::Minor, ChangeType::Major].into_iter().find(|change| change.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            ChangeType::Patch => "patch",
            ChangeType::Minor => "minor",
            ChangeType::Major => "major",
        }
    }
}

impl TryFrom<String> for ChangeType {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let unknown = || format!("unknown value `{name}`, expected one of `patch`, `minor`, `major`");
        ChangeType::parse(&name).ok_or_else(unknown)
    }
}

/// MAJOR.MINOR.PATCH; a prerelease label is stored separately and does not affect numbering.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Number {
    pub major: i32,
    pub minor: i32,
    pub patch: i32,
}

impl Number {
    pub const FIRST: Number = Number { major: 1, minor: 0, patch: 0 };

    /// The number after the highest one that a project has ever used; `None` if it does not fit in an `integer`.
    pub fn next(self, change: ChangeType) -> Option<Number> {
        let Number { major, minor, patch } = self;
        Some(match change {
            ChangeType::Major => Number { major: major.checked_add(1)?, minor: 0, patch: 0 },
            ChangeType::Minor => Number { major, minor: minor.checked_add(1)?, patch: 0 },
            ChangeType::Patch => Number { major, minor, patch: patch.checked_add(1)? },
        })
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Number { major, minor, patch } = self;
        write!(f, "{major}.{minor}.{patch}")
    }
}

/// Whether a text is a prerelease label: dot-separated identifiers consisting of ASCII letters, digits and hyphens,
/// none of them empty, and numbers without leading zeros (SemVer 2.0.0, item 9).
pub fn is_prerelease(text: &str) -> bool {
    text.split('.').all(|part| {
        let number = part.bytes().all(|c| c.is_ascii_digit());
        !part.is_empty()
            && part.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
            && !(number && part.len() > 1 && part.starts_with('0'))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn prerelease_labels() {
        for good in ["alpha", "alpha.1", "0.3.7", "x.7.z.92", "x-y-z.--", "0", "0a"] {
            assert!(is_prerelease(good), "{good}");
        }
        for bad in ["", ".", "a..b", "01", "a.00", "ä", "a b", "a+b"] {
            assert!(!is_prerelease(bad), "{bad}");
        }
    }

    #[test]
    fn ends_at_the_largest_integer() {
        let last = Number { major: i32::MAX, minor: 0, patch: 0 };
        assert_eq!(last.next(ChangeType::Major), None);
    }

    fn change() -> impl Strategy<Value = ChangeType> {
        prop_oneof![Just(ChangeType::Patch), Just(ChangeType::Minor), Just(ChangeType::Major)]
    }

    proptest! {
        #[test]
        fn numbers_only_grow(changes in prop::collection::vec(change(), 0..50)) {
            let mut last = Number::FIRST;
            for change in changes {
                let next = last.next(change).unwrap();
                prop_assert!(next > last);
                let kept = match change {
                    ChangeType::Major => (next.minor, next.patch) == (0, 0),
                    ChangeType::Minor => next.major == last.major && next.patch == 0,
                    ChangeType::Patch => (next.major, next.minor) == (last.major, last.minor),
                };
                prop_assert!(kept);
                last = next;
            }
        }
    }
}
