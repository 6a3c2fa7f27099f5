//! Differences between versions of a file.

use pgrx::prelude::*;
use pgrx::{Uuid, pg_sys};

use super::read::{ReadVersion, version};
use crate::backend::{self, Call};
use crate::caller::Caller;
use crate::error::Error;
use crate::input;
use crate::settings::MAX_COMPARED_LINES;
use crate::text::{self, Side};

/// One side of a comparison; `None` if the file was deleted.
fn side<'v>(version: &'v ReadVersion) -> Option<Side<'v>> {
    version.shown.content.as_deref().map(|content| Side { path: &version.path_then, content })
}

/// See the COMMENT in `sql/file_functions.sql`.
#[pg_extern(sql = false)]
fn diff_project_file(
    project: Option<Uuid>,
    path: Option<&str>,
    from: Option<i32>,
    to: Option<i32>,
    fcinfo: pg_sys::FunctionCallInfo,
) -> String {
    Call::run(fcinfo, |call| {
        let project = input::project(project, "p_project_id")?;
        let path = input::file_path(path, "p_file_path")?;
        let from = input::within(from, "p_from_version", 1, i32::MAX)?;
        let to = to.map(|to| input::within(Some(to), "p_to_version", 1, i32::MAX)).transpose()?;
        let (old, new) = Caller::reading(call, project, |db| {
            Ok((version(db, project, path, Some(from))?, version(db, project, path, to)?))
        })?;
        backend::check_for_interrupts();
        let diff = text::unified_diff(side(&old), side(&new), MAX_COMPARED_LINES.get() as usize);
        backend::check_for_interrupts();
        diff.map_err(|text::TooManyLines { lines, limit }| Error::TooManyLines { path: path.to_owned(), lines, limit })
    })
}
