//! Deleting a project with everything in it.

use std::cell::Cell;

use pgrx::prelude::*;
use pgrx::{Uuid, pg_sys};

use super::Held;
use crate::backend::{Call, Statement};
use crate::caller::Role;
use crate::input;

thread_local! {
    static DELETING_HISTORY: Cell<bool> = const { Cell::new(false) };
}

/// Whether the extension itself is deleting file versions right now; its trigger refuses everybody else.
pub fn is_deleting_history() -> bool {
    DELETING_HISTORY.get()
}

/// Lifts the refusal for as long as it lives; an error on the way drops it too.
struct DeletingHistory;

impl DeletingHistory {
    fn begin() -> Self {
        DELETING_HISTORY.set(true);
        DeletingHistory
    }
}

impl Drop for DeletingHistory {
    fn drop(&mut self) {
        DELETING_HISTORY.set(false);
    }
}

/// Everything of a project, children first.
static DELETIONS: [Statement; 8] = [
    Statement::new("DELETE FROM {s}.project_file_versions WHERE project_id = $1"),
    Statement::new("DELETE FROM {s}.project_file_heads WHERE project_id = $1"),
    Statement::new("DELETE FROM {s}.project_versions WHERE project_id = $1"),
    Statement::new("DELETE FROM {s}.project_ai_time_sessions WHERE project_id = $1"),
    Statement::new("DELETE FROM {s}.project_build_metrics WHERE project_id = $1"),
    Statement::new("DELETE FROM {s}.project_members WHERE project_id = $1"),
    Statement::new("DELETE FROM {s}.project_idempotency_keys WHERE project_id = $1"),
    Statement::new("DELETE FROM {s}.projects WHERE id = $1"),
];

/// See the COMMENT in `sql/projects.sql`.
#[pg_extern(sql = false)]
fn delete_project(project: Option<Uuid>, fcinfo: pg_sys::FunctionCallInfo) -> bool {
    Call::run(fcinfo, |call| {
        let project = input::project(project, "p_project_id")?;
        Held::run(
            call,
            project,
            Role::Owner,
            |_| (),
            |held, ()| {
                let _deleting = DeletingHistory::begin();
                for deletion in &DELETIONS {
                    held.db.run(deletion, &[held.id()]);
                }
                Ok(true)
            },
        )
    })
}
