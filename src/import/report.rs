//! What an import tells: row by row where it matters, and totals.

use pgrx::Uuid;

use crate::backend::{Answer, Call, ResultSet, Value};

/// What happened to what a row of the report is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A project.
    Created,
    Imported,
    Repaired,
    Skipped,
    Verified,
}

impl Action {
    fn name(self) -> &'static str {
        match self {
            Action::Created => "created",
            Action::Imported => "imported",
            Action::Repaired => "repaired",
            Action::Skipped => "skipped",
            Action::Verified => "verified",
        }
    }
}

/// Numbers of rows.
#[derive(Default)]
pub struct Totals {
    pub read: i64,
    pub imported: i64,
    pub repaired: i64,
    pub skipped: i64,
    /// Rows of metadata; `None` if there is no table of them.
    pub metadata_skipped: Option<i64>,
    /// Rows that an earlier import has taken.
    pub unchanged: i64,
    pub verified: i64,
}

/// The result of an import: six columns that say what, and how many rows.
pub struct Report {
    rows: ResultSet,
    pub totals: Totals,
}

impl Report {
    pub fn begin(call: &Call) -> Self {
        Report { rows: ResultSet::begin(call), totals: Totals::default() }
    }

    /// Adds a row. `place` is the columns between the project and the detail.
    pub fn push(
        &self,
        action: Action,
        source_id: Option<&str>,
        project: Option<Uuid>,
        place: [Value; 2],
        detail: Option<&str>,
        rows: i64,
    ) {
        let [first, second] = place;
        self.rows.push(&[
            action.name().into(),
            source_id.into(),
            project.into(),
            first,
            second,
            detail.into(),
            rows.into(),
        ]);
    }

    /// Adds the totals, with `nowhere` as their place. `verified` says what was verified; `None` in a dry run.
    pub fn done(self, nowhere: [Value; 2], verified_what: Option<&str>) -> Answer {
        let Totals { read, imported, repaired, skipped, metadata_skipped, unchanged, verified } = self.totals;
        let totals = [
            ("read", "rows", read),
            ("imported", "rows", imported),
            ("repaired", "rows that were imported", repaired),
            ("skipped", "rows", skipped),
            ("unchanged", "rows that were imported before", unchanged),
        ];
        let of_verified = verified_what.map(|what| ("verified", what, verified));
        let [first, second] = nowhere;
        let (none, no_project) = (Value::from(None::<&str>), Value::from(None::<Uuid>));
        let of_metadata = metadata_skipped.map(|rows| ("skipped", "rows of metadata", rows));
        for (action, detail, rows) in totals.into_iter().chain(of_metadata).chain(of_verified) {
            self.rows.push(&[action.into(), none, no_project, first, second, detail.into(), rows.into()]);
        }
        self.rows.done()
    }
}
