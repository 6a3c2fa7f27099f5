//! The differences between two versions, as a patch.

use pgrx::prelude::*;
use pgrx::{Uuid, pg_sys};

use super::changes::{self, Change, LiveFile, text_of};
use super::snapshot::{self, Snapshot};
use crate::backend::{self, Answer, Call, Db, ResultSet};
use crate::builds::id_argument;
use crate::caller::Caller;
use crate::error::Error;
use crate::input;
use crate::progress::Progress;
use crate::settings::MAX_COMPARED_LINES;
use crate::text::{self, FileDiff, Side};

/// Most lines around a change.
const MAX_CONTEXT: i32 = 1_000;

/// The differences of one file.
fn diff(db: &Db, project: Uuid, change: &Change, context: u32) -> Result<FileDiff, Error> {
    let (old, new) = change.sides();
    let text_of = |file: Option<&LiveFile>| text_of(db, project, file);
    // A file that was only moved, or got another type, is not decoded.
    let is_same = old.map(|file| file.hash) == new.map(|file| file.hash);
    let texts = if is_same { [String::new(), String::new()] } else { [text_of(old)?, text_of(new)?] };
    let [old, new] =
        [(old, &texts[0]), (new, &texts[1])].map(|(file, content)| file.map(|file| Side { path: &file.path, content }));
    Ok(text::diff_or_replace(old, new, context, MAX_COMPARED_LINES.get() as usize))
}

/// See the COMMENT in `sql/versions.sql`.
#[pg_extern(sql = false)]
fn diff_project_versions(
    project: Option<Uuid>,
    from: Option<&str>,
    to: Option<&str>,
    context: Option<i32>,
    fcinfo: pg_sys::FunctionCallInfo,
) -> Answer {
    Call::answer(fcinfo, |call| {
        let project = input::project(project, "p_project_id")?;
        let from = id_argument(from, "p_from_version_id")?;
        let to = to.map(|to| id_argument(Some(to), "p_to_version_id")).transpose()?;
        let context = input::within(context, "p_context", 0, MAX_CONTEXT)? as u32;
        Caller::reading(call, project, |db| {
            let from = snapshot::of_version(db, project, &from)?;
            let to = to.map_or(Ok(Snapshot::NOW), |to| snapshot::of_version(db, project, &to))?;
            let rows = ResultSet::begin(call);
            let mut progress = Progress::begin("files compared");
            for change in changes::by_path(changes::changed(db, project, from, to)?) {
                backend::check_for_interrupts();
                backend::in_own_memory(|| {
                    let diff = diff(db, project, &change, context)?;
                    rows.push(&[
                        change.path().into(),
                        change.moved_from().into(),
                        change.name().into(),
                        diff.lines.added.into(),
                        diff.lines.removed.into(),
                        diff.text.as_str().into(),
                    ]);
                    Ok(())
                })?;
                progress.step();
            }
            Ok(rows.done())
        })
    })
}
