//! The files of a version, as they were.

use pgrx::prelude::*;
use pgrx::{Uuid, pg_sys};

use crate::backend::{Answer, Call, Statement, connect, query_into_result};
use crate::builds::id_argument;
use crate::caller::Caller;
use crate::content::{content_of, join_bases};
use crate::error::Error;
use crate::input;

/// See the COMMENT in `sql/versions.sql`.
#[pg_extern(sql = false)]
fn get_project_version_files(
    project: Option<Uuid>,
    version_id: Option<&str>,
    fcinfo: pg_sys::FunctionCallInfo,
) -> Answer {
    static SNAPSHOT: Statement =
        Statement::new("SELECT snapshot_seq FROM {s}.project_versions WHERE project_id = $1 AND version_id = $2");
    static FILES: Statement = Statement::new(concat!(
        "SELECT v.file_path, ",
        content_of!("v"),
        ", v.file_type, v.version, pg_catalog.encode(v.content_hash, 'hex'), v.created_at
           FROM {s}.project_file_heads h
          CROSS JOIN LATERAL (
                SELECT *
                  FROM {s}.project_file_versions w
                 WHERE w.project_id = h.project_id AND w.file_id = h.file_id AND w.snapshot_seq <= $2
                 ORDER BY w.version DESC
                 LIMIT 1) v",
        join_bases!("v"),
        "WHERE h.project_id = $1 AND NOT v.is_deleted
          ORDER BY v.file_path",
    ));
    Call::answer(fcinfo, |call| {
        let project = input::project(project, "p_project_id")?;
        let version = id_argument(version_id, "p_version_id")?;
        Caller::reading(call, project)?;
        connect(call, |db| {
            let snapshot = db.read(&SNAPSHOT, &[project.into(), version.as_str().into()]);
            if snapshot.is_empty() {
                return Err(Error::VersionNotFound { project, version });
            }
            let seq: i32 = snapshot.value(0, 1);
            Ok(query_into_result(call, db, &FILES, &[project.into(), seq.into()]))
        })
    })
}
