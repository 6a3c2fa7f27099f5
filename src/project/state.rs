//! What a page about a project needs, in one row.

use pgrx::prelude::*;
use pgrx::{Uuid, pg_sys};

use crate::args;
use crate::backend::{Answer, Call, Statement, one_row};
use crate::caller::Caller;
use crate::error::Error;
use crate::{input, version};

/// See the COMMENT in `sql/projects.sql`.
#[pg_extern(sql = false)]
fn get_project_state(project: Option<Uuid>, fcinfo: pg_sys::FunctionCallInfo) -> Answer {
    static STATE: Statement = Statement::new(
        "SELECT p.*, coalesce(p.config_updated_at, p.created_at) AS config_as_of,
                b.build_id, b.started_at, u.version_id AS published_version_id, u.published_at
           FROM {s}.projects p
           LEFT JOIN {s}.project_build_metrics b ON b.project_id = p.id AND b.status = 'started'
           LEFT JOIN {s}.project_versions u ON u.project_id = p.id AND u.is_published
          WHERE p.id = :project",
    );
    Call::answer(fcinfo, |call| {
        let project = input::project(project, "p_project_id")?;
        Caller::reading_as(call, project, |db, role| {
            let rows = db.read(&STATE, &args! { project });
            // None if the calling statement began before the project was there.
            let row = rows.first().ok_or(Error::ProjectNotFound(project))?;
            let semver = |column: &str| {
                let id: Option<String> = row.get(column);
                id.map(|id| Ok(version::semver(&version::find(db, project, &id)?))).transpose()
            };
            let (current, published) = (semver("current_version_id")?, semver("published_version_id")?);
            let columns = |names: &[&'static str]| names.iter().map(|name| row.column(name)).collect::<Vec<_>>();
            Ok(one_row(
                call,
                &[
                    columns(&["id", "name", "framework", "owner_id"]),
                    vec![role.name().into()],
                    columns(&["config", "config_as_of", "build_status", "build_id", "started_at"]),
                    columns(&["last_build_started", "last_build_completed", "current_version_id"]),
                    vec![current.as_deref().into()],
                    columns(&["published_version_id"]),
                    vec![published.as_deref().into()],
                    columns(&["published_at", "created_at", "updated_at"]),
                ]
                .concat(),
            ))
        })
    })
}
