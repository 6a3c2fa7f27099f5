//! Starting builds.

use pgrx::prelude::*;
use pgrx::{Uuid, pg_sys};

use super::finish::{Ended, end};
use crate::args;
use crate::backend::{self, Answer, Call, Db, Statement, Timestamp, one_row};
use crate::caller::Role;
use crate::error::Error;
use crate::exclusive::Exclusive;
use crate::settings::BUILD_TIMEOUT;
use crate::{id, input};

pub const MAX_FRAMEWORK_BYTES: usize = 100;
pub const MAX_PROMPT_BYTES: usize = 1024 * 1024;

/// Purpose of the first AI-time session of every build.
pub const MAIN_BUILD: &str = "main_build";

pub struct NewBuild<'a> {
    pub project: Uuid,
    pub user: Option<Uuid>,
    pub prompt: Option<&'a str>,
    pub framework: &'a str,
    pub is_initial: bool,
    pub now: Timestamp,
}

/// The IDs of a build, as returned by `create_complete_project` and `start_project_build`.
pub struct Started {
    pub project: Uuid,
    pub version_id: String,
    pub build_id: String,
    pub metrics_id: i64,
    pub session_id: String,
    /// False if the IDs are those of an earlier call.
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

/// Records a build, its AI-time session and the state of the project. It creates no version, but reserves the version's
/// id.
pub fn begin(db: &Db, new: &NewBuild) -> Started {
    static BEGIN: Statement = Statement::new(
        "WITH build AS (
            INSERT INTO {s}.project_build_metrics
                   (project_id, build_id, version_id, user_id, is_initial_build, status, prompt, framework, started_at)
            VALUES (:project, :build_id, :version_id, :user, :is_initial, 'started', :prompt, :framework, :now)
            RETURNING id
         ), session AS (
            INSERT INTO {s}.project_ai_time_sessions
                   (project_id, session_id, build_id, user_id, operation, started_at)
            VALUES (:project, :session_id, :build_id, :user, :operation, :now)
         )
         SELECT id FROM build",
    );
    static PROJECT: Statement = Statement::new(
        "UPDATE {s}.projects
            SET build_status = 'building', current_build_id = :build_id, last_build_started = :now, updated_at = :now
          WHERE id = :project",
    );
    let [build_id, version_id, session_id] = std::array::from_fn(|_| id::next().to_string());
    let (project, now) = (new.project, new.now);
    let args = args! {
        project,
        build_id: build_id.as_str(),
        version_id: version_id.as_str(),
        session_id: session_id.as_str(),
        user: new.user,
        is_initial: new.is_initial,
        prompt: new.prompt,
        framework: new.framework,
        operation: MAIN_BUILD,
        now,
    };
    let metrics_id = db.run(&BEGIN, &args).one().value("id");
    db.run(&PROJECT, &args! { project, build_id: build_id.as_str(), now });
    Started { project, metrics_id, version_id, build_id, session_id, created: true }
}

/// Makes way for a new build: abandons the active one if that is allowed.
fn abandon_active(exclusive: &Exclusive, supersede: bool) -> Result<(), Error> {
    static ACTIVE: Statement = Statement::new(
        "SELECT build_id, started_at
           FROM {s}.project_build_metrics
          WHERE project_id = :project AND status = 'started'",
    );
    let project = exclusive.project;
    let rows = exclusive.db.run(&ACTIVE, &args! { project });
    let Some(active) = rows.first() else { return Ok(()) };
    let build: String = active.value("build_id");
    let started_at: Timestamp = active.value("started_at");
    let timeout = i64::from(BUILD_TIMEOUT.get()) * 1_000_000;
    if !supersede && exclusive.now.0 - started_at.0 <= timeout {
        return Err(Error::BuildActive { project, build, started_at: backend::json_time(started_at) });
    }
    end(exclusive, &build, &Ended { status: "abandoned", error: None, durations: None });
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
    static IS_FIRST: Statement =
        Statement::new("SELECT FROM {s}.project_build_metrics WHERE project_id = :project LIMIT 1");
    Call::answer(fcinfo, |call| {
        let project = input::project(project, "p_project_id")?;
        let prompt = input::prose(prompt, "p_prompt", MAX_PROMPT_BYTES)?;
        let framework = framework.map(|f| input::line(Some(f), "p_framework", MAX_FRAMEWORK_BYTES)).transpose()?;
        let supersede = input::required(supersede, "p_supersede")?;
        let started = Exclusive::run(call, project, Role::Editor, |exclusive| {
            abandon_active(exclusive, supersede)?;
            let is_initial = exclusive.db.run(&IS_FIRST, &args! { project }).is_empty();
            let framework = framework.unwrap_or(&exclusive.framework);
            let user = exclusive.caller.actor;
            Ok(begin(exclusive.db, &NewBuild { project, user, prompt, framework, is_initial, now: exclusive.now }))
        })?;
        Ok(started.answer(call))
    })
}
