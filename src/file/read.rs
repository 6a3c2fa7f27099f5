//! Reading files. Everything here also works in read-only transactions and on standbys, using the calling statement's
//! snapshot.

use std::borrow::Cow;

use pgrx::prelude::*;
use pgrx::{Uuid, pg_sys};

use super::find;
use super::version::FileVersion;
use crate::args;
use crate::backend::{Answer, Call, Db, Statement, connect, query_into_result};
use crate::caller::Caller;
use crate::content;
use crate::error::Error;
use crate::input;

/// Maximum number of rows per page of a history.
const MAX_PAGE: i32 = 1_000;

/// A version's row as shown by the view, and the path it was saved under.
pub struct ReadVersion<'a> {
    pub shown: FileVersion<'a>,
    pub path_then: String,
}

/// Version `number` of the file at a path; without a number, its newest version, which may be its deletion. PT404.
pub fn version<'a>(db: &Db, project: Uuid, path: &'a str, number: Option<i32>) -> Result<ReadVersion<'a>, Error> {
    let head = find::head_at(db, project, path)?;
    let row = match &head {
        Some(head) => content::version_row(db, project, head.file_id, number.unwrap_or(head.version))?,
        None => None,
    };
    let (Some(head), Some(row)) = (head, row) else {
        let path = path.to_owned();
        return Err(match number {
            Some(version) => Error::FileVersionNotFound { project, path, version },
            None => Error::FileNotFound { project, path },
        });
    };
    let content = content::read_text(db, project, &row)?.map(Cow::Owned);
    let is_current = !head.is_deleted && row.value::<i32>("version") == head.version;
    Ok(ReadVersion {
        path_then: row.value("file_path"),
        shown: FileVersion { content, ..FileVersion::of_row(&row, path, is_current) },
    })
}

/// See the COMMENT in `sql/file_functions.sql`.
#[pg_extern(sql = false)]
fn get_project_file(
    project: Option<Uuid>,
    path: Option<&str>,
    version: Option<i32>,
    fcinfo: pg_sys::FunctionCallInfo,
) -> Answer {
    Call::answer(fcinfo, |call| {
        let project = input::project(project, "p_project_id")?;
        let path = input::file_path(path, "p_file_path")?;
        let number = version.map(|n| input::within(Some(n), "p_version", 1, i32::MAX)).transpose()?;
        let version = Caller::reading(call, project, |db| self::version(db, project, path, number))?.shown;
        if number.is_none() && !version.is_current {
            return Err(Error::FileNotFound { project, path: path.to_owned() });
        }
        Ok(call.row(&version.columns(project, None)))
    })
}

/// See the COMMENT in `sql/file_functions.sql`.
#[pg_extern(sql = false)]
fn get_current_project_files(project: Option<Uuid>, fcinfo: pg_sys::FunctionCallInfo) -> Answer {
    static FILES: Statement = Statement::new(
        "SELECT file_path, content, file_type, version, content_hash, updated_at
           FROM {s}.project_files
          WHERE project_id = :project AND is_current_version
          ORDER BY file_path",
    );
    Call::answer(fcinfo, |call| {
        let project = input::project(project, "project_uuid")?;
        Caller::reading(call, project, |_| Ok(()))?;
        connect(call, |db| Ok(query_into_result(call, db, &FILES, &args! { project })))
    })
}

/// See the COMMENT in `sql/file_functions.sql`.
#[pg_extern(sql = false)]
fn get_project_file_history(
    project: Option<Uuid>,
    path: Option<&str>,
    limit: Option<i32>,
    before_version: Option<i32>,
    fcinfo: pg_sys::FunctionCallInfo,
) -> Answer {
    static HISTORY: Statement = Statement::new(
        "SELECT v.version, v.file_path, v.file_type, encode(v.content_hash, 'hex'), v.size_bytes,
                NOT h.is_deleted AND v.version = h.version, v.is_deleted, v.created_by, v.created_at
           FROM {s}.project_file_heads h
           JOIN {s}.project_file_versions v ON v.project_id = h.project_id AND v.file_id = h.file_id
          WHERE h.project_id = :project AND h.file_id = :file_id AND v.version < :before
          ORDER BY v.version DESC
          LIMIT :limit",
    );
    Call::answer(fcinfo, |call| {
        let project = input::project(project, "p_project_id")?;
        let path = input::file_path(path, "p_file_path")?;
        let limit = input::within(limit, "p_limit", 1, MAX_PAGE)?;
        let before = input::within(before_version.or(Some(i32::MAX)), "p_before_version", 1, i32::MAX)?;
        let head = Caller::reading(call, project, |db| find::head_at(db, project, path))?;
        let head = head.ok_or_else(|| Error::FileNotFound { project, path: path.to_owned() })?;
        let args = args! { project, file_id: head.file_id, before, limit: i64::from(limit) };
        connect(call, |db| Ok(query_into_result(call, db, &HISTORY, &args)))
    })
}
