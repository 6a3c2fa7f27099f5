//! The files of a version, as they were at the time.

use pgrx::prelude::*;
use pgrx::{Uuid, pg_sys};

use crate::args;
use crate::backend::{Answer, Call, Statement, connect, query_into_result};
use crate::builds::id_argument;
use crate::caller::Caller;
use crate::error::Error;
use crate::input;

/// See the COMMENT in `sql/versions.sql`.
#[pg_extern(sql = false)]
fn get_project_version_files(
    project: Option<Uuid>,
    version_id: Option<&str>,
    fcinfo: pg_sys::FunctionCallInfo,
) -> Answer {
    static SNAPSHOT: Statement = Statement::new(
        "SELECT snapshot_seq FROM {s}.project_versions WHERE project_id = :project AND version_id = :version",
    );
    static FILES: Statement = Statement::new(
        "SELECT v.file_path, v.content, v.file_type, v.version, encode(v.content_hash, 'hex'), v.created_at
           FROM {s}.project_file_heads h
          CROSS JOIN LATERAL (
                SELECT *
                  FROM versioned_internal.file_contents w
                 WHERE w.project_id = h.project_id AND w.file_id = h.file_id AND w.snapshot_seq <= :snapshot
                 ORDER BY w.version DESC
                 LIMIT 1) v
          WHERE h.project_id = :project AND NOT v.is_deleted
          ORDER BY v.file_path",
    );
    Call::answer(fcinfo, |call| {
        let project = input::project(project, "p_project_id")?;
        let version = id_argument(version_id, "p_version_id")?;
        Caller::reading(call, project, |_| Ok(()))?;
        connect(call, |db| {
            let rows = db.read(&SNAPSHOT, &args! { project, version: version.as_str() });
            let snapshot: Option<i32> = rows.first().map(|row| row.value("snapshot_seq"));
            let snapshot = snapshot.ok_or(Error::VersionNotFound { project, version })?;
            Ok(query_into_result(call, db, &FILES, &args! { project, snapshot }))
        })
    })
}
