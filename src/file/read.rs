//! Reading files. Everything here runs in read-only transactions and on standbys, and reads as the caller,
//! through row level security.

use pgrx::prelude::*;
use pgrx::{Uuid, pg_sys};

use crate::backend::{Answer, Call, Db, Statement, connect, query_into_result};
use crate::caller::Caller;
use crate::content::{content_of, join_bases};
use crate::error::Error;
use crate::input;

/// Most rows of one page of a history.
const MAX_PAGE: i32 = 1_000;

/// The file a path means: the live one, else the one deleted last.
macro_rules! file_at_path {
    () => {
        "(SELECT l.project_id, l.file_id, l.file_path, l.version, l.is_deleted
            FROM {s}.project_file_heads l
           WHERE l.project_id = $1 AND l.file_path = $2 AND NOT l.is_deleted
          UNION ALL
          (SELECT d.project_id, d.file_id, d.file_path, d.version, d.is_deleted
             FROM {s}.project_file_heads d
            WHERE d.project_id = $1 AND d.file_path = $2 AND d.is_deleted
            ORDER BY d.updated_at DESC, d.file_id DESC
            LIMIT 1)
          ORDER BY is_deleted
          LIMIT 1)"
    };
}

pub(super) use file_at_path;

fn current(db: &Db, project: Uuid, path: &str) -> Result<Answer, Error> {
    static CURRENT: Statement = Statement::new(
        "SELECT f FROM {s}.project_files f
          WHERE f.project_id = $1 AND f.file_path = $2 AND f.is_current_version",
    );
    let rows = db.read(&CURRENT, &[project.into(), path.into()]);
    if rows.is_empty() {
        return Err(Error::FileNotFound { project, path: path.to_owned() });
    }
    Ok(rows.composite(1))
}

fn at_version(db: &Db, project: Uuid, path: &str, version: i32) -> Result<Answer, Error> {
    static AT_VERSION: Statement = Statement::new(concat!(
        "SELECT ROW(v.id, h.project_id, h.file_path, ",
        content_of!("v"),
        ", v.file_type, v.version,
                    pg_catalog.encode(v.content_hash, 'hex'), v.size_bytes,
                    NOT h.is_deleted AND v.version = h.version, v.is_deleted,
                    v.created_by, v.created_by, v.created_at, v.created_at)::{s}.project_files
           FROM ",
        file_at_path!(),
        " h JOIN {s}.project_file_versions v
             ON v.project_id = h.project_id AND v.file_id = h.file_id AND v.version = $3",
        join_bases!("v"),
    ));
    let rows = db.read(&AT_VERSION, &[project.into(), path.into(), version.into()]);
    if rows.is_empty() {
        return Err(Error::FileVersionNotFound { project, path: path.to_owned(), version });
    }
    Ok(rows.composite(1))
}

/// See the COMMENT in `sql/files.sql`.
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
        let version = version.map(|n| input::within(Some(n), "p_version", 1, i32::MAX)).transpose()?;
        Caller::reading(call, project)?;
        connect(call, |db| match version {
            None => current(db, project, path),
            Some(version) => at_version(db, project, path, version),
        })
    })
}

/// See the COMMENT in `sql/files.sql`.
#[pg_extern(sql = false)]
fn get_current_project_files(project: Option<Uuid>, fcinfo: pg_sys::FunctionCallInfo) -> Answer {
    static FILES: Statement = Statement::new(
        "SELECT file_path, content, file_type, version, content_hash, updated_at
           FROM {s}.project_files
          WHERE project_id = $1 AND is_current_version
          ORDER BY file_path",
    );
    Call::answer(fcinfo, |call| {
        let project = input::project(project, "project_uuid")?;
        Caller::reading(call, project)?;
        connect(call, |db| Ok(query_into_result(call, db, &FILES, &[project.into()])))
    })
}

/// See the COMMENT in `sql/files.sql`.
#[pg_extern(sql = false)]
fn get_project_file_history(
    project: Option<Uuid>,
    path: Option<&str>,
    limit: Option<i32>,
    before_version: Option<i32>,
    fcinfo: pg_sys::FunctionCallInfo,
) -> Answer {
    static FILE: Statement = Statement::new(concat!("SELECT h.file_id FROM ", file_at_path!(), " h"));
    static HISTORY: Statement = Statement::new(
        "SELECT v.version, v.file_path, v.file_type, pg_catalog.encode(v.content_hash, 'hex'), v.size_bytes,
                NOT h.is_deleted AND v.version = h.version, v.is_deleted, v.created_by, v.created_at
           FROM {s}.project_file_heads h
           JOIN {s}.project_file_versions v ON v.project_id = h.project_id AND v.file_id = h.file_id
          WHERE h.project_id = $1 AND h.file_id = $2 AND v.version < $3
          ORDER BY v.version DESC
          LIMIT $4",
    );
    Call::answer(fcinfo, |call| {
        let project = input::project(project, "p_project_id")?;
        let path = input::file_path(path, "p_file_path")?;
        let limit = input::within(limit, "p_limit", 1, MAX_PAGE)?;
        let before = input::within(before_version.or(Some(i32::MAX)), "p_before_version", 1, i32::MAX)?;
        Caller::reading(call, project)?;
        connect(call, |db| {
            let file = db.read(&FILE, &[project.into(), path.into()]);
            if file.is_empty() {
                return Err(Error::FileNotFound { project, path: path.to_owned() });
            }
            let file_id: Uuid = file.value(0, 1);
            let args = [project.into(), file_id.into(), before.into(), i64::from(limit).into()];
            Ok(query_into_result(call, db, &HISTORY, &args))
        })
    })
}
