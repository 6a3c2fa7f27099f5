//! Starting builds.

use pgrx::prelude::*;
use pgrx::{Uuid, pg_sys};

use super::finish::{Ended, end};
use crate::backend::{self, Answer, Call, Db, Statement, Timestamp, one_row};
use crate::caller::Role;
use crate::error::Error;
use crate::held::Held;
use crate::settings::BUILD_TIMEOUT;
use crate::{id, input};

pub const MAX_FRAMEWORK_BYTES: usize = 100;
pub const MAX_PROMPT_BYTES: usize = 1024 * 1024;

/// What every build's first AI-time session is for.
pub const MAIN_BUILD: &str = "main_build";

pub struct NewBuild<'a> {
    pub project: Uuid,
    pub user: Option<Uuid>,
    pub prompt: Option<&'a str>,
    pub framework: &'a str,
    pub is_initial: bool,
    pub now: Timestamp,
}

/// The IDs of a build, as `create_complete_project` and `start_project_build` answer.
pub struct Started {
    pub project: Uuid,
    pub version_id: String,
    pub build_id: String,
    pub metrics_id: i64,
    pub session_id: String,
    /// False where an earlier call's IDs are given back.
    pub created: bool,
}

impl Started {
    pub fn answer(&self, call: &Call) -> Answer {
        one_row(
            call,
            &[
                self.project.into(),
                self.version_id.as_str().into(),
                self.build_id.as_str().into(),
                self.metrics_id.into(),
                self.created.into(),
                self.session_id.as_str().into(),
            ],
        )
    }
}

/// Records a build, its AI-time session and the project's state. It makes no version: that id is reserved.
pub fn begin(db: &Db, new: &NewBuild) -> Started {
    static BEGIN: Statement = Statement::new(
        "WITH build AS (
            INSERT INTO {s}.project_build_metrics
                   (project_id, build_id, version_id, user_id, is_initial_build, status, prompt, framework, started_at)
            VALUES ($1, $2, $3, $5, $6, 'started', $7, $8, $10)
            RETURNING id
         ), session AS (
            INSERT INTO {s}.project_ai_time_sessions
                   (project_id, session_id, build_id, user_id, operation, started_at)
            VALUES ($1, $4, $2, $5, $9, $10)
         )
         SELECT id FROM build",
    );
    static PROJECT: Statement = Statement::new(
        "UPDATE {s}.projects
            SET build_status = 'building', current_build_id = $2, last_build_started = $3, updated_at = $3
          WHERE id = $1",
    );
    let [build_id, version_id, session_id] = std::array::from_fn(|_| id::next().to_string());
    let rows = db.run(
        &BEGIN,
        &[
            new.project.into(),
            build_id.as_str().into(),
            version_id.as_str().into(),
            session_id.as_str().into(),
            new.user.into(),
            new.is_initial.into(),
            new.prompt.into(),
            new.framework.into(),
            MAIN_BUILD.into(),
            new.now.into(),
        ],
    );
    db.run(&PROJECT, &[new.project.into(), build_id.as_str().into(), new.now.into()]);
    Started { project: new.project, metrics_id: rows.value(0, 1), version_id, build_id, session_id, created: true }
}

/// Makes way for a new build: abandons the active one if that may be.
fn abandon_active(held: &Held, supersede: bool) -> Result<(), Error> {
    static ACTIVE: Statement = Statement::new(
        "SELECT build_id, started_at FROM {s}.project_build_metrics WHERE project_id = $1 AND status = 'started'",
    );
    let rows = held.db.run(&ACTIVE, &[held.id()]);
    if rows.is_empty() {
        return Ok(());
    }
    let build: String = rows.value(0, 1);
    let started_at = rows.time(0, 2).expect("started_at is not null");
    let timeout = i64::from(BUILD_TIMEOUT.get()) * 1_000_000;
    if !supersede && held.now.0 - started_at.0 <= timeout {
        let started_at = backend::json_time(started_at);
        return Err(Error::BuildActive { project: held.project, build, started_at });
    }
    end(held, &build, &Ended { status: "abandoned", error: None, durations: None });
    Ok(())
}

/// See the COMMENT in `sql/builds.sql`.
#[pg_extern(sql = false)]
fn start_project_build(
    project: Option<Uuid>,
    prompt: Option<&str>,
    framework: Option<&str>,
    supersede: Option<bool>,
    fcinfo: pg_sys::FunctionCallInfo,
) -> Answer {
    static IS_FIRST: Statement = Statement::new("SELECT FROM {s}.project_build_metrics WHERE project_id = $1 LIMIT 1");
    Call::answer(fcinfo, |call| {
        let project = input::project(project, "p_project_id")?;
        let prompt = input::prose(prompt, "p_prompt", MAX_PROMPT_BYTES)?;
        let framework = framework.map(|f| input::line(Some(f), "p_framework", MAX_FRAMEWORK_BYTES)).transpose()?;
        let supersede = input::required(supersede, "p_supersede")?;
        let started = Held::run(call, project, Role::Editor, |held| {
            abandon_active(held, supersede)?;
            let is_initial = held.db.run(&IS_FIRST, &[held.id()]).is_empty();
            let framework = framework.unwrap_or(&held.framework);
            let user = held.caller.actor;
            Ok(begin(held.db, &NewBuild { project, user, prompt, framework, is_initial, now: held.now }))
        })?;
        Ok(started.answer(call))
    })
}
