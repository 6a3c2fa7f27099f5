//! Who may work on a project.

use pgrx::prelude::*;
use pgrx::{Uuid, pg_sys};

use crate::args;
use crate::backend::{Answer, Call, Statement};
use crate::caller::Role;
use crate::error::Error;
use crate::exclusive::Exclusive;
use crate::input::{self, abridged};

/// See the COMMENT in `sql/projects.sql`.
#[pg_extern(sql = false)]
fn add_project_member(
    project: Option<Uuid>,
    user: Option<Uuid>,
    role: Option<&str>,
    fcinfo: pg_sys::FunctionCallInfo,
) -> Answer {
    static ADD: Statement = Statement::new(
        "INSERT INTO {s}.project_members AS m (project_id, user_id, role, created_at)
         VALUES (:project, :user, :role, :now)
         ON CONFLICT (project_id, user_id) DO UPDATE SET role = excluded.role
         RETURNING m",
    );
    Call::answer(fcinfo, |call| {
        let project = input::project(project, "p_project_id")?;
        let user = input::required(user, "p_user_id")?;
        let role = input::required(role, "p_role")?;
        if Role::parse(role).is_none() {
            let role = abridged(role);
            return Err(Error::Invalid(format!("p_role must be viewer, editor or owner, not \"{role}\"")));
        }
        Exclusive::run(call, project, Role::Owner, |exclusive| {
            if user == exclusive.owner_id && role != "owner" {
                return Err(Error::Invalid(format!("user {user} owns the project and cannot be only {role}")));
            }
            exclusive.touch();
            let rows = exclusive.db.run(&ADD, &args! { project, user, role, now: exclusive.now });
            Ok(rows.one().composite(exclusive.db, "m"))
        })
    })
}

/// See the COMMENT in `sql/projects.sql`.
#[pg_extern(sql = false)]
fn remove_project_member(project: Option<Uuid>, user: Option<Uuid>, fcinfo: pg_sys::FunctionCallInfo) -> bool {
    static REMOVE: Statement =
        Statement::new("DELETE FROM {s}.project_members WHERE project_id = :project AND user_id = :user");
    Call::run(fcinfo, |call| {
        let project = input::project(project, "p_project_id")?;
        let user = input::required(user, "p_user_id")?;
        Exclusive::run(call, project, Role::Owner, |exclusive| {
            if user == exclusive.owner_id {
                return Err(Error::Invalid(format!("user {user} owns the project and cannot be removed")));
            }
            exclusive.touch();
            Ok(!exclusive.db.run(&REMOVE, &args! { project, user }).is_empty())
        })
    })
}
