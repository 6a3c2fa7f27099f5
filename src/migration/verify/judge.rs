//! Findings, from what a tool's table says of each migration.

/// What differs between the list and what was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// As the list has it; for one that is not in the list, as the table has it.
    pub name: String,
    pub kind: &'static str,
    pub detail: String,
}

/// What the table says of a migration of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It was applied. `place` is its place in the order of application, if the table has one; `edited` says how its text
    /// is seen to have changed.
    Applied { place: Option<usize>, edited: Option<String> },
    /// It was not applied, or is no longer; the text goes on after "the table …", if there is more to say than that it has
    /// no row.
    Missing(Option<String>),
    /// It has failed; the text goes on after "the table …".
    Failed(String),
    /// It was begun and not finished; the text goes on after "the table …".
    HalfApplied(String),
    /// It is to be applied again because it has changed; the text goes on after "the table …".
    Outdated(String),
    /// It does not have to be applied.
    NotDue,
}

/// A migration of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub name: String,
    pub state: State,
}

/// A migration that was applied and is not in the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stranger {
    pub name: String,
    pub kind: &'static str,
    /// Goes on after "the table …".
    pub what: String,
}

impl Stranger {
    /// One that was applied.
    pub fn applied(name: String) -> Self {
        Stranger {
            name,
            kind: "not in the list",
            what: "says that it was applied, but it is not in p_migrations".to_owned(),
        }
    }
}

/// All that is known.
#[derive(Debug, Default)]
pub struct Report {
    /// In the order in which the tool applies them.
    pub entries: Vec<Entry>,
    /// In the order in which they were applied.
    pub strangers: Vec<Stranger>,
    /// Entries whose order does not matter, after all others.
    pub unordered: Vec<Entry>,
}

impl Report {
    /// The findings, in the order of the list. `table` is the table's name, quoted.
    pub fn findings(&self, table: &str) -> Vec<Finding> {
        let mut findings = Vec::new();
        let overtaken = overtaken(&self.entries);
        let next_applied = next_applied(&self.entries);
        for (n, entry) in self.entries.iter().enumerate() {
            findings.extend(state_finding(
                entry,
                next_applied[n].map(|later| self.entries[later].name.as_str()),
                table,
            ));
            if let Some(later) = overtaken[n] {
                let later = &self.entries[later].name;
                let detail =
                    format!("{table} says that it was applied after \"{later}\", which comes later in the list");
                findings.push(Finding { name: entry.name.clone(), kind: "out of order", detail });
            }
        }
        findings.extend(self.unordered.iter().filter_map(|entry| state_finding(entry, None, table)));
        findings.extend(self.strangers.iter().map(|Stranger { name, kind, what }| Finding {
            name: name.clone(),
            kind,
            detail: format!("{table} {what}"),
        }));
        findings
    }
}

/// `later` is the next migration of the list that was applied.
fn state_finding(entry: &Entry, later: Option<&str>, table: &str) -> Option<Finding> {
    let (kind, what) = match (&entry.state, later) {
        (State::Applied { edited: Some(how), .. }, _) => ("edited", how.clone()),
        (State::Applied { edited: None, .. } | State::NotDue, _) => return None,
        (State::Failed(what), _) => ("failed", what.clone()),
        (State::HalfApplied(what), _) => ("half-applied", what.clone()),
        (State::Outdated(what), _) => ("missing", what.clone()),
        (State::Missing(why), later) => {
            let why = why.as_deref().unwrap_or("has no row for it");
            match later {
                Some(later) => ("out of order", format!("{why}, although \"{later}\", which comes later, was applied")),
                None => ("missing", why.to_owned()),
            }
        }
    };
    Some(Finding { name: entry.name.clone(), kind, detail: format!("{table} {what}") })
}

/// For each entry that was applied after one that comes later, the first such one in the order of application.
fn overtaken(entries: &[Entry]) -> Vec<Option<usize>> {
    let mut overtaken = vec![None; entries.len()];
    let mut earliest: Option<(usize, usize)> = None;
    for (n, entry) in entries.iter().enumerate().rev() {
        if let State::Applied { place: Some(place), .. } = entry.state {
            overtaken[n] = earliest.filter(|(first, _)| *first < place).map(|(_, later)| later);
            earliest = Some(earliest.map_or((place, n), |known| known.min((place, n))));
        }
    }
    overtaken
}

/// For each entry, the next one that was applied.
fn next_applied(entries: &[Entry]) -> Vec<Option<usize>> {
    let mut next = vec![None; entries.len()];
    let mut applied = None;
    for (n, entry) in entries.iter().enumerate().rev() {
        next[n] = applied;
        if matches!(entry.state, State::Applied { .. }) {
            applied = Some(n);
        }
    }
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(name: &str, place: usize) -> Entry {
        Entry { name: name.to_owned(), state: State::Applied { place: Some(place), edited: None } }
    }

    fn missing(name: &str) -> Entry {
        Entry { name: name.to_owned(), state: State::Missing(None) }
    }

    fn kinds(entries: Vec<Entry>) -> Vec<(String, &'static str)> {
        let report = Report { entries, ..Report::default() };
        report.findings("t").into_iter().map(|finding| (finding.name, finding.kind)).collect()
    }

    fn due(findings: &[(&str, &'static str)]) -> Vec<(String, &'static str)> {
        findings.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect()
    }

    #[test]
    fn all_is_well() {
        assert_eq!(kinds(vec![applied("a", 1), applied("b", 2)]), []);
        assert_eq!(kinds(Vec::new()), []);
    }

    #[test]
    fn what_is_yet_to_come_is_missing_and_what_was_passed_over_is_out_of_order() {
        assert_eq!(
            kinds(vec![missing("a"), applied("b", 1), missing("c")]),
            due(&[("a", "out of order"), ("c", "missing")])
        );
    }

    #[test]
    fn who_comes_late_is_out_of_order_and_not_the_others() {
        let entries = vec![applied("a", 1), applied("b", 4), applied("c", 2), applied("d", 3)];
        assert_eq!(kinds(entries.clone()), due(&[("b", "out of order")]));
        let report = Report { entries, ..Report::default() };
        assert_eq!(
            report.findings("s.t")[0].detail,
            "s.t says that it was applied after \"c\", which comes later in the list"
        );
    }

    #[test]
    fn without_an_order_nothing_is_out_of_it() {
        let state = State::Applied { place: None, edited: None };
        let entry = |name: &str| Entry { name: name.to_owned(), state: state.clone() };
        assert_eq!(kinds(vec![entry("a"), entry("b")]), []);
    }

    #[test]
    fn every_state_has_its_finding() {
        let states = [
            State::Applied { place: None, edited: Some("has another checksum".to_owned()) },
            State::Failed("f".to_owned()),
            State::HalfApplied("h".to_owned()),
            State::Outdated("o".to_owned()),
            State::NotDue,
            State::Missing(Some("says it was rolled back".to_owned())),
        ];
        let entries = states.into_iter().map(|state| Entry { name: "m".to_owned(), state }).collect();
        let strangers = vec![Stranger::applied("s".to_owned())];
        let findings = Report { entries, strangers, unordered: vec![missing("r")] }.findings("t");
        let kinds: Vec<&str> = findings.iter().map(|finding| finding.kind).collect();
        assert_eq!(kinds, ["edited", "failed", "half-applied", "missing", "missing", "missing", "not in the list"]);
        assert_eq!(findings[0].detail, "t has another checksum");
        assert_eq!(findings[4].detail, "t says it was rolled back");
        assert!(findings.iter().all(|finding| finding.detail.starts_with("t ")), "{findings:?}");
    }
}
