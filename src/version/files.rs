//! The files of a version or a build, as they were at the time.

use pgrx::prelude::*;
use pgrx::{Uuid, pg_sys};

use super::snapshot::{self, Snapshot};
use crate::args;
use crate::backend::{Answer, Bytes, Call, Db, ResultSet, Statement};
use crate::builds::id_argument;
use crate::caller::Caller;
use crate::content;
use crate::error::{Error, Flaw};
use crate::{hex, input, version_in_snapshot};

/// Lists the files of a snapshot, then reads each by its key: as one query, an early plan reads all versions of a file.
fn files(call: &Call, db: &Db, project: Uuid, snapshot: Snapshot) -> Result<Answer, Error> {
    static FILES: Statement = Statement::new(concat!(
        "SELECT h.file_id, h.file_path, a.version
           FROM {s}.project_file_heads h
          CROSS JOIN LATERAL (SELECT ",
        version_in_snapshot!(":snapshot", ":is_listed"),
        " AS version OFFSET 0) a
           LEFT JOIN LATERAL (
                SELECT w.version, w.file_path, w.is_deleted
                  FROM {s}.project_file_versions w
                 WHERE w.project_id = h.project_id AND w.file_id = h.file_id AND w.version = a.version
                 LIMIT 1) v ON true
          WHERE h.project_id = :project AND a.version IS NOT NULL AND v.is_deleted IS NOT TRUE
          ORDER BY v.file_path",
    ));
    let rows = ResultSet::begin(call);
    let args = args! { project, snapshot: snapshot.seq, is_listed: snapshot.is_listed };
    db.each(&FILES, &args, |file| {
        let version = file.value("version");
        let row = content::version_row(db, project, file.value("file_id"), version)?;
        let flaw = Flaw::Missing;
        let row = row.ok_or_else(|| Error::Damaged { project, path: file.value("file_path"), version, flaw })?;
        let text = content::read_text(db, project, &row)?;
        let hash = row.get::<Bytes>("content_hash").map(|hash| hex::encode(hash.fetch()));
        rows.push(&[
            row.column("file_path"),
            text.as_deref().into(),
            row.column("file_type"),
            version.into(),
            hash.as_deref().into(),
            row.column("created_at"),
        ]);
        Ok(())
    })?;
    Ok(rows.done())
}

/// See the COMMENT in `sql/versions.sql`. Version 0.1.0 of the schema declares it with this symbol.
#[pg_extern(sql = false)]
fn get_project_version_files(
    project: Option<Uuid>,
    version_id: Option<&str>,
    fcinfo: pg_sys::FunctionCallInfo,
) -> Answer {
    of_version(project, version_id, fcinfo)
}

/// The same. An older library does not have this symbol: it would not know that files of a version can be pruned.
#[pg_extern(sql = false)]
fn get_snapshot_files(project: Option<Uuid>, version_id: Option<&str>, fcinfo: pg_sys::FunctionCallInfo) -> Answer {
    of_version(project, version_id, fcinfo)
}

fn of_version(project: Option<Uuid>, version_id: Option<&str>, fcinfo: pg_sys::FunctionCallInfo) -> Answer {
    Call::answer(fcinfo, |call| {
        let project = input::project(project, "p_project_id")?;
        let version = id_argument(version_id, "p_version_id")?;
        Caller::reading(call, project, |db| files(call, db, project, snapshot::of_version(db, project, &version)?))
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
        Caller::reading(call, project, |db| files(call, db, project, of_build(db, project, &build)?))
    })
}
