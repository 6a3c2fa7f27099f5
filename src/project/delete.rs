//! Deleting a project with everything in it.

use pgrx::prelude::*;
use pgrx::{Uuid, pg_sys};

use crate::args;
use crate::backend::{self, Call, Statement};
use crate::caller::Role;
use crate::exclusive::Exclusive;
use crate::file::RewritingHistory;
use crate::input;

/// Everything that belongs to a project, children first. `project_file_snapshots` goes with the project's row: the schema of
/// 0.1.0 does not have it.
static DELETIONS: [Statement; 9] = [
    Statement::new(
        "DELETE FROM {s}.project_file_versions v
          USING {s}.project_file_heads h
          WHERE h.project_id = :project AND v.project_id = :project AND v.file_id = h.file_id",
    ),
    Statement::new("DELETE FROM {s}.project_file_heads WHERE project_id = :project"),
    Statement::new("DELETE FROM {s}.project_versions WHERE project_id = :project"),
    Statement::new("DELETE FROM {s}.project_ai_time_sessions WHERE project_id = :project"),
    Statement::new("DELETE FROM {s}.project_build_metrics WHERE project_id = :project"),
    Statement::new("DELETE FROM {s}.project_members WHERE project_id = :project"),
    Statement::new("DELETE FROM {s}.project_idempotency_keys WHERE project_id = :project"),
    Statement::new("DELETE FROM {s}.rate_limits WHERE project_id = :project"),
    Statement::new("DELETE FROM {s}.projects WHERE id = :project"),
];

/// See the COMMENT in `sql/projects.sql`.
#[pg_extern(sql = false)]
fn delete_project(project: Option<Uuid>, fcinfo: pg_sys::FunctionCallInfo) -> bool {
    Call::run(fcinfo, |call| {
        let project = input::project(project, "p_project_id")?;
        Exclusive::run(call, project, Role::Owner, |exclusive| {
            exclusive.refuse_unseen_saves()?;
            let _removing = RewritingHistory::begin();
            for deletion in &DELETIONS {
                exclusive.db.run(deletion, &args! { project });
                backend::check_for_interrupts();
            }
            Ok(true)
        })
    })
}
