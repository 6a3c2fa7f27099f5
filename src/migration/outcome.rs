//! What became of a migration.

use crate::backend::Raised;

/// Notes of one kind that a row lists; of more, it gives the number.
const LISTED_NOTES: usize = 10;

/// Something to know about a statement that was not run as it is.
#[derive(Debug, PartialEq, Eq)]
pub enum Note {
    NotChecked(String),
    Assumed(String),
}

/// What became of a migration.
#[derive(Debug, Default)]
pub struct Outcome {
    pub name: String,
    /// How many statements it has; 0 if it cannot be parsed.
    pub statements: usize,
    /// The first statement that failed.
    pub failure: Option<Failure>,
    /// How many more have failed.
    pub more_failures: usize,
    notes: Vec<Note>,
}

/// A statement that failed.
#[derive(Debug)]
pub struct Failure {
    pub sqlstate: String,
    pub message: String,
    /// Both counted from 1.
    pub line: usize,
    pub column: usize,
    /// Its text, or the line that cannot be parsed.
    pub statement: Option<String>,
    /// Why, where that is known.
    pub cause: Option<String>,
}

impl Outcome {
    pub fn new(name: &str) -> Self {
        Outcome { name: name.to_owned(), ..Outcome::default() }
    }

    /// The first failure counts.
    pub fn fail(&mut self, failure: Failure) {
        match self.failure {
            None => self.failure = Some(failure),
            Some(_) => self.more_failures += 1,
        }
    }

    pub fn note(&mut self, note: Note) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// Whether something was not run as it is.
    pub fn has_unchecked(&self) -> bool {
        self.notes.iter().any(|note| matches!(note, Note::NotChecked(_)))
    }

    /// Lines, counted from 1, that are not SQL.
    pub fn note_lines_left_out(&mut self, lines: &[usize]) {
        if !lines.is_empty() {
            self.note(Note::NotChecked(format!(
                "{}, which only psql understands, or which {} data for COPY",
                ranges(lines),
                if lines.len() == 1 { "is" } else { "are" }
            )));
        }
    }

    /// The column `explanation`, one line per thing to know; `None` if there is nothing.
    pub fn explanation(&self) -> Option<String> {
        let mut lines: Vec<String> = self.failure.iter().filter_map(|failure| failure.cause.clone()).collect();
        match self.more_failures {
            0 => (),
            1 => lines.push("One more of its statements fails.".to_owned()),
            more => lines.push(format!("{more} more of its statements fail.")),
        }
        lines.extend(listed(
            "assumed",
            self.notes.iter().filter_map(|note| match note {
                Note::Assumed(what) => Some(what),
                Note::NotChecked(_) => None,
            }),
        ));
        lines.extend(listed(
            "not checked",
            self.notes.iter().filter_map(|note| match note {
                Note::NotChecked(what) => Some(what),
                Note::Assumed(_) => None,
            }),
        ));
        (!lines.is_empty()).then(|| lines.join("\n"))
    }
}

fn listed<'n>(word: &str, notes: impl Iterator<Item = &'n String>) -> Vec<String> {
    let notes: Vec<_> = notes.collect();
    let mut lines: Vec<String> = notes.iter().take(LISTED_NOTES).map(|note| format!("{word}: {note}")).collect();
    if notes.len() > LISTED_NOTES {
        lines.push(format!("{word}: {} more statements", notes.len() - LISTED_NOTES));
    }
    lines
}

/// Numbers in ascending order as text: `line 3`, or `lines 3, 5 to 9`.
fn ranges(lines: &[usize]) -> String {
    let mut parts: Vec<(usize, usize)> = Vec::new();
    for &line in lines {
        match parts.last_mut() {
            Some((_, last)) if *last + 1 == line => *last = line,
            _ => parts.push((line, line)),
        }
    }
    let text = parts.iter().map(|(first, last)| match last - first {
        0 => first.to_string(),
        _ => format!("{first} to {last}"),
    });
    format!("{} {}", if lines.len() == 1 { "line" } else { "lines" }, text.collect::<Vec<_>>().join(", "))
}

impl Failure {
    pub fn new((line, column): (usize, usize), statement: Option<&str>, raised: &Raised) -> Self {
        let message = match &raised.detail {
            Some(detail) => format!("{}\n{detail}", raised.message),
            None => raised.message.clone(),
        };
        let (sqlstate, statement) = (raised.sqlstate.clone(), statement.map(str::to_owned));
        Failure { sqlstate, message, line, column, statement, cause: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_ranges() {
        assert_eq!(ranges(&[7]), "line 7");
        assert_eq!(ranges(&[3, 5, 6, 7, 9]), "lines 3, 5 to 7, 9");
    }

    #[test]
    fn an_explanation_says_all_once() {
        let mut outcome = Outcome::new("a");
        assert_eq!(outcome.explanation(), None);
        outcome.note(Note::NotChecked("VACUUM in line 1".to_owned()));
        outcome.note(Note::Assumed("the role r".to_owned()));
        outcome.note(Note::Assumed("the role r".to_owned()));
        let failure = |cause: &str| {
            let raised = Raised { sqlstate: "42701".to_owned(), ..Raised::default() };
            Failure { cause: Some(cause.to_owned()), ..Failure::new((1, 2), Some("x"), &raised) }
        };
        outcome.fail(failure("first"));
        outcome.fail(failure("second"));
        let all = "first\nOne more of its statements fails.\nassumed: the role r\nnot checked: VACUUM in line 1";
        assert_eq!(outcome.explanation().unwrap(), all);
    }

    #[test]
    fn of_many_notes_some_are_listed() {
        let mut outcome = Outcome::new("a");
        for line in 0..LISTED_NOTES + 3 {
            outcome.note(Note::NotChecked(format!("line {line}")));
        }
        let explanation = outcome.explanation().unwrap();
        assert_eq!(explanation.lines().count(), LISTED_NOTES + 1);
        assert!(explanation.ends_with("not checked: 3 more statements"));
    }
}
