//! AI time billed to builds.

use pgrx::prelude::*;
use pgrx::{Uuid, pg_sys};

use super::{Build, id_argument};
use crate::backend::{Call, Statement};
use crate::caller::Role;
use crate::error::Error;
use crate::held::Held;
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
         VALUES ($1, $2, $3, $4, $5, $6)",
    );
    Call::run(fcinfo, |call| {
        let project = input::project(project, "p_project_id")?;
        let build_id = id_argument(build_id, "p_build_id")?;
        let operation = input::line(operation, "p_operation", MAX_OPERATION_BYTES)?;
        Held::run(call, project, Role::Editor, |held| {
            let build = Build::find(held, &build_id)?;
            if build.status != "started" {
                return Err(build.ended(project));
            }
            let session = id::next().to_string();
            let user = held.caller.actor.or(build.user);
            held.db.run(
                &START,
                &[
                    held.id(),
                    session.as_str().into(),
                    build_id.as_str().into(),
                    user.into(),
                    operation.into(),
                    held.now.into(),
                ],
            );
            held.touch();
            Ok(session)
        })
    })
}

/// See the COMMENT in `sql/builds.sql`.
#[pg_extern(sql = false)]
fn stop_ai_time_tracking(project: Option<Uuid>, session: Option<&str>, fcinfo: pg_sys::FunctionCallInfo) -> i64 {
    static STOP: Statement = Statement::new(
        "UPDATE {s}.project_ai_time_sessions
            SET ended_at = coalesce(ended_at, $3),
                duration_ms = coalesce(duration_ms, greatest(0, (extract(epoch FROM $3 - started_at) * 1000)::bigint))
          WHERE project_id = $1 AND session_id = $2
         RETURNING duration_ms",
    );
    Call::run(fcinfo, |call| {
        let project = input::project(project, "p_project_id")?;
        let session = id_argument(session, "p_session_id")?;
        Held::run(call, project, Role::Editor, |held| {
            let rows = held.db.run(&STOP, &[held.id(), session.as_str().into(), held.now.into()]);
            if rows.is_empty() {
                return Err(Error::SessionNotFound { project, session });
            }
            held.touch();
            Ok(rows.value(0, 1))
        })
    })
}
