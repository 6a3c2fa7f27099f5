//! Ending builds.

use pgrx::prelude::*;
use pgrx::{Uuid, pg_sys};

use super::{Build, id_argument};
use crate::args;
use crate::backend::{Answer, Call, Rows, Statement};
use crate::caller::Role;
use crate::exclusive::Exclusive;
use crate::input;

const MAX_ERROR_BYTES: usize = 64 * 1024;

/// How a build ended.
pub struct Ended<'a> {
    /// `deployed`, `failed` or `abandoned`.
    pub status: &'a str,
    pub error: Option<&'a str>,
    /// Milliseconds of build, install and deploy, as far as measured by the worker.
    pub durations: Option<[Option<i64>; 3]>,
}

/// Closes a build and its open AI-time sessions; returns the build's row as `b`.
pub fn end<'d>(exclusive: &'d Exclusive, build_id: &str, ended: &Ended) -> Rows<'d> {
    static END: Statement = Statement::new(
        "WITH sessions AS (
            UPDATE {s}.project_ai_time_sessions
               SET ended_at = :now,
                   duration_ms = greatest(0, (extract(epoch FROM :now - started_at) * 1000)::bigint)
             WHERE project_id = :project AND build_id = :build_id AND ended_at IS NULL
         )
         UPDATE {s}.project_build_metrics b
            SET status = :status, completed_at = :now, error = :error,
                total_duration_ms = greatest(0, (extract(epoch FROM :now - started_at) * 1000)::bigint),
                build_duration_ms = :build, install_duration_ms = :install, deploy_duration_ms = :deploy
          WHERE project_id = :project AND build_id = :build_id
         RETURNING b",
    );
    let [build, install, deploy] = ended.durations.unwrap_or_default();
    let args = args! {
        project: exclusive.project,
        build_id,
        status: ended.status,
        now: exclusive.now,
        error: ended.error,
        build,
        install,
        deploy,
    };
    exclusive.db.run(&END, &args)
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
            SET build_status = 'failed', last_build_completed = :now, updated_at = :now
          WHERE id = :project",
    );
    Call::answer(fcinfo, |call| {
        let project = input::project(project, "p_project_id")?;
        let build_id = id_argument(build_id, "p_build_id")?;
        let error = input::prose(error, "p_error", MAX_ERROR_BYTES)?;
        Exclusive::run(call, project, Role::Editor, |exclusive| {
            let build = Build::find(exclusive, &build_id)?;
            match build.status.as_str() {
                "started" => {
                    exclusive.db.run(&PROJECT, &args! { project, now: exclusive.now });
                    let rows = end(exclusive, &build_id, &Ended { status: "failed", error, durations: None });
                    Ok(rows.one().composite(exclusive.db, "b"))
                }
                "deployed" => Err(build.ended(project)),
                // Already failed, or abandoned in favor of a newer build: there is nothing left to fail.
                _ => Ok(build.row(exclusive)),
            }
        })
    })
}
