//! Differences between versions of a file.

use pgrx::prelude::*;
use pgrx::{Uuid, pg_sys};

use super::read::file_at_path;
use crate::backend::{Call, Db, Statement, connect};
use crate::caller::Caller;
use crate::content::{content_of, join_bases};
use crate::error::Error;
use crate::input;
use crate::text::{self, Side};

/// A version: where the file was, and what it held; no content where it was deleted.
struct Version {
    path: String,
    content: Option<String>,
}

impl Version {
    fn side(&self) -> Option<Side<'_>> {
        self.content.as_deref().map(|content| Side { path: &self.path, content })
    }
}

/// Version `number` of the file at a path, or its newest.
fn version(db: &Db, project: Uuid, path: &str, number: Option<i32>) -> Result<Version, Error> {
    static VERSION: Statement = Statement::new(concat!(
        "SELECT v.file_path, ",
        content_of!("v"),
        " FROM ",
        file_at_path!(),
        " h JOIN {s}.project_file_versions v
             ON v.project_id = h.project_id AND v.file_id = h.file_id AND v.version = coalesce($3, h.version)",
        join_bases!("v"),
    ));
    let rows = db.read(&VERSION, &[project.into(), path.into(), number.into()]);
    if rows.is_empty() {
        let path = path.to_owned();
        return Err(match number {
            Some(version) => Error::FileVersionNotFound { project, path, version },
            None => Error::FileNotFound { project, path },
        });
    }
    Ok(Version { path: rows.value(0, 1), content: rows.get(0, 2) })
}

/// See the COMMENT in `sql/files.sql`.
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
        Caller::reading(call, project)?;
        let (old, new) =
            connect(call, |db| Ok((version(db, project, path, Some(from))?, version(db, project, path, to)?)))?;
        Ok(text::unified_diff(old.side(), new.side()))
    })
}
