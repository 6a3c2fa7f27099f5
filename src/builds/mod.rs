//! Builds: attempts that become a version only by succeeding.

mod ai_time;
mod finish;
mod start;

pub use finish::{Ended, end};
pub use start::{MAX_FRAMEWORK_BYTES, MAX_PROMPT_BYTES, NewBuild, Started, begin};

use pgrx::Uuid;

use crate::args;
use crate::backend::Statement;
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
    /// The build of a project held still; PT404 when there is none with that id.
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

    /// The conflict of asking something of a build that is over.
    pub fn ended(&self, project: Uuid) -> Error {
        Error::BuildEnded { project, build: self.build_id.clone(), status: self.status.clone() }
    }
}

/// The id of a build, session or version as it is stored: upper case. What is no ULID is not refused here, it
/// will not be found.
pub fn id_argument(value: Option<&str>, name: &str) -> Result<String, Error> {
    let text = input::required(value, name)?;
    Ok(id::ulid::parse(text).map_or_else(|| abridged(text), |ulid| ulid.to_string()))
}
