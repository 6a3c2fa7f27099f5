//! Builds: attempts that become a version only when they succeed.

mod ai_time;
mod finish;
mod start;

pub use finish::{Ended, end};
pub use start::{MAX_FRAMEWORK_BYTES, MAX_PROMPT_BYTES, NewBuild, Started, begin};

use pgrx::Uuid;

use crate::args;
use crate::backend::{Answer, Statement};
use crate::error::Error;
use crate::exclusive::Exclusive;
use crate::id;
use crate::input::{self, abridged};

/// A build's row.
pub struct Build {
    pub build_id: String,
    pub version_id: String,
    /// `started`, `deployed`, `failed` or `abandoned`.
    pub status: String,
    pub user: Option<Uuid>,
    pub prompt: Option<String>,
    pub framework: String,
}

impl Build {
    /// A build of a project that is locked exclusively; PT404 if there is none with that id.
    pub fn find(exclusive: &Exclusive, build_id: &str) -> Result<Build, Error> {
        static BUILD: Statement = Statement::new(
            "SELECT build_id, version_id, status, user_id, prompt, framework
               FROM {s}.project_build_metrics
              WHERE project_id = :project AND build_id = :build_id",
        );
        let project = exclusive.project;
        let rows = exclusive.db.run(&BUILD, &args! { project, build_id });
        let row = rows.first().ok_or_else(|| Error::BuildNotFound { project, build: build_id.to_owned() })?;
        Ok(Build {
            build_id: row.value("build_id"),
            version_id: row.value("version_id"),
            status: row.value("status"),
            user: row.get("user_id"),
            prompt: row.get("prompt"),
            framework: row.value("framework"),
        })
    }

    /// Its row as it is now.
    pub fn row(&self, exclusive: &Exclusive) -> Answer {
        static ROW: Statement = Statement::new(
            "SELECT b FROM {s}.project_build_metrics b WHERE b.project_id = :project AND b.build_id = :build_id",
        );
        let args = args! { project: exclusive.project, build_id: self.build_id.as_str() };
        exclusive.db.run(&ROW, &args).one().composite(exclusive.db, "b")
    }

    /// The conflict reported when a call requires an active build but the build has ended.
    pub fn ended(&self, project: Uuid) -> Error {
        Error::BuildEnded { project, build: self.build_id.clone(), status: self.status.clone() }
    }
}

/// The id of a build, session or version as stored, in upper case. A value that is not a ULID is not rejected here; it
/// simply will not be found.
pub fn id_argument(value: Option<&str>, name: &str) -> Result<String, Error> {
    let text = input::required(value, name)?;
    Ok(id::ulid::parse(text).map_or_else(|| abridged(text), |ulid| ulid.to_string()))
}
