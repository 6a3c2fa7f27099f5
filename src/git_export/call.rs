//! The function `get_project_fast_export`.

use pgrx::prelude::*;
use pgrx::{Uuid, pg_sys};

use super::authors::Authors;
use super::history::{self, Step};
use super::lines::{self, Lines};
use super::tree::Tree;
use crate::backend::{self, Answer, Call, Db, KeptRows, Stream, as_owner, connect, stream};
use crate::caller::Caller;
use crate::error::Error;
use crate::input;

/// An export between two of its rows.
struct Export {
    project: Uuid,
    steps: KeptRows,
    lines: Lines,
    part: Part,
}

/// What comes next.
enum Part {
    First,
    Steps,
    Nothing,
}

impl Stream for Export {
    fn open(call: &Call) -> Result<Self, Error> {
        let project = input::project(call.argument(0), "p_project_id")?;
        let authors = input::required(call.jsonb_argument(1), "p_authors")?;
        let authors = Authors::parse(authors.as_str().unwrap_or_default())?;
        Caller::reading(call, project, |db| {
            let directories = history::directories(db, project)?;
            // A part of a transaction may have a file and a directory of the same name that were never seen together.
            let steps = history::steps(call, db, project, !directories.is_empty())?;
            Ok(Export { project, steps, lines: Lines::new(authors, Tree::new(directories)), part: Part::First })
        })
    }

    fn next(&mut self, call: &Call) -> Result<Option<String>, Error> {
        match self.part {
            Part::First => {
                self.part = Part::Steps;
                Ok(Some(lines::FIRST.to_owned()))
            }
            Part::Steps => as_owner(call, |_| connect(call, |db| self.step(call, db))).map(Some),
            Part::Nothing => Ok(None),
        }
    }
}

impl Export {
    /// The lines of the next step that has any.
    fn step(&mut self, call: &Call, db: &Db) -> Result<String, Error> {
        loop {
            backend::check_for_interrupts();
            let lines = match self.steps.next(call, Step::of) {
                Some(Step::Leave(change)) => self.lines.leave(&change)?,
                Some(Step::Change(change, _)) if change.is_deleted => self.lines.change(&change, None)?,
                Some(Step::Change(change, key)) => {
                    let content = history::content(db, self.project, &change.path, &key)?;
                    self.lines.change(&change, Some(&content))?
                }
                Some(Step::Version(version)) => Some(self.lines.tag(&history::version(db, self.project, &version)?)?),
                None => {
                    self.part = Part::Nothing;
                    Some(self.lines.end()?.to_owned())
                }
            };
            if let Some(lines) = lines {
                return Ok(lines);
            }
        }
    }
}

/// See the COMMENT in `sql/git_export.sql`.
#[pg_extern(sql = false)]
fn get_project_fast_export(fcinfo: pg_sys::FunctionCallInfo) -> Option<Answer> {
    stream::<Export>(fcinfo)
}
