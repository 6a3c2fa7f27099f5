//! The files of a version or a build, as they were at the time.

use pgrx::prelude::*;
use pgrx::{Uuid, pg_sys};

use super::snapshot::{self, Snapshot};
use crate::args;
use crate::backend::{Answer, Call, Db, Statement, query_into_result};
use crate::builds::id_argument;
use crate::caller::Caller;
use crate::error::Error;
use crate::{input, version_in_snapshot};

fn files(call: &Call, db: &Db, project: Uuid, snapshot: Snapshot) -> Answer {
    static FILES: Statement = Statement::new(concat!(
        "SELECT v.file_path, v.content, v.file_type, v.version, encode(v.content_hash, 'hex'), v.created_at
           FROM {s}.project_file_heads h
          CROSS JOIN LATERAL (SELECT ",
        version_in_snapshot!(":snapshot", ":is_listed"),
        " AS version OFFSET 0) a
          CROSS JOIN LATERAL (
                SELECT *
                  FROM versioned_internal.file_contents w
                 WHERE w.project_id = h.project_id AND w.file_id = h.file_id AND w.version = a.version
                 LIMIT 1) v
          WHERE h.project_id = :project AND NOT v.is_deleted
          ORDER BY v.file_path",
    ));
    query_into_result(call, db, &FILES, &args! { project, snapshot: snapshot.seq, is_listed: snapshot.is_listed })
}

/// See the COMMENT in `sql/versions.sql`.
#[pg_extern(sql = false)]
fn get_project_version_files(
    project: Option<Uuid>,
    version_id: Option<&str>,
    fcinfo: pg_sys::FunctionCallInfo,
) -> Answer {
    Call::answer(fcinfo, |call| {
        let project = input::project(project, "p_project_id")?;
        let version = id_argument(version_id, "p_version_id")?;
        Caller::reading(call, project, |db| Ok(files(call, db, project, snapshot::of_version(db, project, &version)?)))
    })
}

/// The snapshot of a build: its version's if it has one, else the one it was cut at. Only active builds keep that.
fn of_build(db: &Db, project: Uuid, build: &str) -> Result<Snapshot, Error> {
    static BUILD: Statement = Statement::new(
        "SELECT status, version_id, cut_snapshot_seq
           FROM {s}.project_build_metrics
          WHERE project_id = :project AND build_id = :build",
    );
    let rows = db.read(&BUILD, &args! { project, build });
    let row = rows.first().ok_or_else(|| Error::BuildNotFound { project, build: build.to_owned() })?;
    let (status, cut): (String, Option<i32>) = (row.value("status"), row.get("cut_snapshot_seq"));
    match (status.as_str(), cut) {
        ("deployed", _) => snapshot::of_version(db, project, &row.value::<String>("version_id")),
        ("started", Some(seq)) => Ok(Snapshot { seq, is_listed: true }),
        ("started", None) => Err(Error::BuildNotCut { project, build: build.to_owned() }),
        _ => Err(Error::BuildEnded { project, build: build.to_owned(), status }),
    }
}

/// See the COMMENT in `sql/versions.sql`.
#[pg_extern(sql = false)]
fn get_project_build_files(project: Option<Uuid>, build_id: Option<&str>, fcinfo: pg_sys::FunctionCallInfo) -> Answer {
    Call::answer(fcinfo, |call| {
        let project = input::project(project, "p_project_id")?;
        let build = id_argument(build_id, "p_build_id")?;
        Caller::reading(call, project, |db| Ok(files(call, db, project, of_build(db, project, &build)?)))
    })
}
