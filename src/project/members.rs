//! Who may work on a project.

use pgrx::prelude::*;
use pgrx::{Uuid, pg_sys};

use crate::backend::{Answer, Call, Statement};
use crate::caller::Role;
use crate::error::Error;
use crate::held::Held;
use crate::id::abridged;
use crate::input;

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
         VALUES ($1, $2, $3, $4)
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
        Held::run(call, project, Role::Owner, |held| {
            if user == held.owner_id && role != "owner" {
                return Err(Error::Invalid(format!("user {user} owns the project and cannot be a mere {role}")));
            }
            held.touch();
            Ok(held.db.run(&ADD, &[held.id(), user.into(), role.into(), held.now.into()]).composite(1))
        })
    })
}

/// See the COMMENT in `sql/projects.sql`.
#[pg_extern(sql = false)]
fn remove_project_member(project: Option<Uuid>, user: Option<Uuid>, fcinfo: pg_sys::FunctionCallInfo) -> bool {
    static REMOVE: Statement = Statement::new("DELETE FROM {s}.project_members WHERE project_id = $1 AND user_id = $2");
    Call::run(fcinfo, |call| {
        let project = input::project(project, "p_project_id")?;
        let user = input::required(user, "p_user_id")?;
        Held::run(call, project, Role::Owner, |held| {
            if user == held.owner_id {
                return Err(Error::Invalid(format!("user {user} owns the project and cannot be removed")));
            }
            held.touch();
            Ok(!held.db.run(&REMOVE, &[held.id(), user.into()]).is_empty())
        })
    })
}
