//! AI time billed to builds.

use pgrx::prelude::*;
use pgrx::{Uuid, pg_sys};

use super::{Build, id_argument};
use crate::args;
use crate::backend::{Call, Statement};
use crate::caller::Role;
use crate::error::Error;
use crate::exclusive::Exclusive;
use crate::{id, input};

const MAX_OPERATION_BYTES: usize = 100;

/// See the COMMENT in `sql/builds.sql`.
#[pg_extern(sql = false)]
fn start_ai_time_tracking(
    project: Option<Uuid>,
    build_id: Option<&str>,
    operation: Option<&str>,
    fcinfo: pg_sys::FunctionCallInfo,
) -> String {
    static START: Statement = Statement::new(
        "INSERT INTO {s}.project_ai_time_sessions (project_id, session_id, build_id, user_id, operation, started_at)
         VALUES (:project, :session, :build_id, :user, :operation, :now)",
    );
    Call::run(fcinfo, |call| {
        let project = input::project(project, "p_project_id")?;
        let build_id = id_argument(build_id, "p_build_id")?;
        let operation = input::line(operation, "p_operation", MAX_OPERATION_BYTES)?;
        Exclusive::run(call, project, Role::Editor, |exclusive| {
            let build = Build::find(exclusive, &build_id)?;
            if build.status != "started" {
                return Err(build.ended(project));
            }
            let session = id::next().to_string();
            let user = exclusive.caller.actor.or(build.user);
            let (session_id, build_id) = (session.as_str(), build_id.as_str());
            let args = args! { project, session: session_id, build_id, user, operation, now: exclusive.now };
            exclusive.db.run(&START, &args);
            exclusive.touch();
            Ok(session)
        })
    })
}

/// See the COMMENT in `sql/builds.sql`.
#[pg_extern(sql = false)]
fn stop_ai_time_tracking(project: Option<Uuid>, session: Option<&str>, fcinfo: pg_sys::FunctionCallInfo) -> i64 {
    static STOP: Statement = Statement::new(
        "UPDATE {s}.project_ai_time_sessions
            SET ended_at = coalesce(ended_at, :now),
                duration_ms = coalesce(duration_ms, greatest(0, (extract(epoch FROM :now - started_at) * 1000)::bigint))
          WHERE project_id = :project AND session_id = :session
         RETURNING duration_ms",
    );
    Call::run(fcinfo, |call| {
        let project = input::project(project, "p_project_id")?;
        let session = id_argument(session, "p_session_id")?;
        Exclusive::run(call, project, Role::Editor, |exclusive| {
            let args = args! { project, session: session.as_str(), now: exclusive.now };
            let rows = exclusive.db.run(&STOP, &args);
            let duration = rows.first().map(|row| row.value("duration_ms"));
            let duration = duration.ok_or_else(|| Error::SessionNotFound { project, session: session.clone() })?;
            exclusive.touch();
            Ok(duration)
        })
    })
}
