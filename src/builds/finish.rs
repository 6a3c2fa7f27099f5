//! Ending builds.

use pgrx::prelude::*;
use pgrx::{Uuid, pg_sys};

use super::{Build, id_argument};
use crate::backend::{Answer, Call, Rows, Statement};
use crate::caller::Role;
use crate::held::Held;
use crate::input;

const MAX_ERROR_BYTES: usize = 64 * 1024;

/// How a build ended.
pub struct Ended<'a> {
    /// `deployed`, `failed` or `abandoned`.
    pub status: &'a str,
    pub error: Option<&'a str>,
    /// Milliseconds of build, install and deploy, as far as the worker measured them.
    pub durations: Option<[Option<i64>; 3]>,
}

/// Closes a build and its open AI-time sessions; the build's row, as a composite in column 1.
pub fn end(held: &Held, build_id: &str, ended: &Ended) -> Rows {
    static END: Statement = Statement::new(
        "WITH sessions AS (
            UPDATE {s}.project_ai_time_sessions
               SET ended_at = $4,
                   duration_ms = greatest(0, (extract(epoch FROM $4 - started_at) * 1000)::bigint)
             WHERE project_id = $1 AND build_id = $2 AND ended_at IS NULL
         )
         UPDATE {s}.project_build_metrics b
            SET status = $3, completed_at = $4, error = $5,
                total_duration_ms = greatest(0, (extract(epoch FROM $4 - started_at) * 1000)::bigint),
                build_duration_ms = $6, install_duration_ms = $7, deploy_duration_ms = $8
          WHERE project_id = $1 AND build_id = $2
         RETURNING b",
    );
    let [build, install, deploy] = ended.durations.unwrap_or_default();
    held.db.run(
        &END,
        &[
            held.id(),
            build_id.into(),
            ended.status.into(),
            held.now.into(),
            ended.error.into(),
            build.into(),
            install.into(),
            deploy.into(),
        ],
    )
}

/// See the COMMENT in `sql/builds.sql`.
#[pg_extern(sql = false)]
fn fail_project_build(
    project: Option<Uuid>,
    build_id: Option<&str>,
    error: Option<&str>,
    fcinfo: pg_sys::FunctionCallInfo,
) -> Answer {
    static PROJECT: Statement = Statement::new(
        "UPDATE {s}.projects
            SET build_status = 'failed', last_build_completed = $2, updated_at = $2
          WHERE id = $1",
    );
    static ROW: Statement =
        Statement::new("SELECT b FROM {s}.project_build_metrics b WHERE b.project_id = $1 AND b.build_id = $2");
    Call::answer(fcinfo, |call| {
        let project = input::project(project, "p_project_id")?;
        let build_id = id_argument(build_id, "p_build_id")?;
        let error = input::prose(error, "p_error", MAX_ERROR_BYTES)?;
        Held::run(call, project, Role::Editor, |held| {
            let build = Build::find(held, &build_id)?;
            match build.status.as_str() {
                "started" => {
                    held.db.run(&PROJECT, &[held.id(), held.now.into()]);
                    Ok(end(held, &build_id, &Ended { status: "failed", error, durations: None }).composite(1))
                }
                "deployed" => Err(build.ended(project)),
                // Failed already, or abandoned for a newer build: there is nothing left to fail.
                _ => Ok(held.db.run(&ROW, &[held.id(), build_id.as_str().into()]).composite(1)),
            }
        })
    })
}
