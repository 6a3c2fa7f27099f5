//! Builds: those that succeed become versions of the project, and one that fails, to show what it leaves.

use postgres::Client;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::failure::{Doing, Failure};
use crate::history::Oid;
use crate::plan::Milestone;

/// A version that a build made.
pub struct Version {
    /// Its ULID.
    pub id: String,
    /// Its number, like 1.4.0.
    pub number: String,
    /// The commit whose files it holds.
    pub commit: Oid,
    /// A tag, or the commit's short name.
    pub name: String,
}

/// The build that failed on purpose.
pub struct FailedBuild {
    /// Its ULID.
    pub id: String,
    /// What is wrong with what it left behind; nothing, when all is well.
    pub faults: Vec<String>,
}

/// The builds of one project, one at a time.
pub struct Builds {
    project: Uuid,
    active: Option<String>,
    /// Versions made so far, oldest first.
    pub published: Vec<Version>,
    /// The build that failed, once it has.
    pub failed: Option<FailedBuild>,
}

/// Makes a project for the user, with its first build already active.
pub fn create_project(
    client: &mut Client,
    owner: Uuid,
    name: &str,
    prompt: Option<&str>,
) -> Result<(Uuid, Builds), Failure> {
    let row = client
        .query_one(
            "SELECT project_id, build_id
               FROM create_complete_project(p_user_id => $1, p_framework => 'git',
                                            p_prompt => $2, p_name => $3)",
            &[&owner, &prompt, &name],
        )
        .doing(format!("creating the project {name}"))?;
    let project = row.get(0);
    let active = Some(row.get(1));
    Ok((project, Builds { project, active, published: Vec::new(), failed: None }))
}

impl Builds {
    /// Starts a build, unless one is active.
    pub fn begin(&mut self, client: &mut Client, prompt: &str) -> Result<(), Failure> {
        if self.active.is_none() {
            let row = client
                .query_one("SELECT build_id FROM start_project_build($1, $2)", &[&self.project, &prompt])
                .doing(format!("starting the build of {prompt:?}"))?;
            self.active = Some(row.get(0));
        }
        Ok(())
    }

    /// Lets the active build succeed: the project's files as they are become a version.
    pub fn succeed(&mut self, client: &mut Client, milestone: &Milestone, subject: &str) -> Result<(), Failure> {
        let name = version_name(milestone);
        let build = self
            .active
            .take()
            .ok_or_else(|| Failure::Broken(format!("no build is active that could make the version {name}")))?;
        let row = client
            .query_one(
                "SELECT version_id, concat_ws('.', major_version, minor_version, patch_version)
                   FROM create_version_on_success($1, $2, $3)",
                &[&self.project, &build, &build_result(milestone, &name, subject)],
            )
            .doing(format!("making the version {name}"))?;
        self.published.push(Version { id: row.get(0), number: row.get(1), commit: milestone.commit, name });
        Ok(())
    }

    /// Starts a build, fails it, and looks for what it may have left behind. No other is active.
    pub fn fail_one(&mut self, client: &mut Client) -> Result<(), Failure> {
        let row = client
            .query_one(
                "SELECT build_id, version_id FROM start_project_build($1, 'a build that fails')",
                &[&self.project],
            )
            .doing("starting the build that fails")?;
        let (id, reserved): (String, String) = (row.get(0), row.get(1));
        client
            .execute("SELECT 1 FROM fail_project_build($1, $2, 'failed on purpose')", &[&self.project, &id])
            .doing("failing a build")?;
        let faults = self.look_for_ghosts(client, &id, &reserved)?;
        self.failed = Some(FailedBuild { id, faults });
        Ok(())
    }

    fn look_for_ghosts(&self, client: &mut Client, build: &str, reserved: &str) -> Result<Vec<String>, Failure> {
        let row = client
            .query_one(
                "SELECT (SELECT count(*) FROM project_versions WHERE project_id = $1),
                        EXISTS (SELECT 1 FROM project_versions
                                 WHERE project_id = $1 AND version_id = $3),
                        (SELECT current_version_id FROM projects WHERE id = $1),
                        (SELECT status FROM project_build_metrics
                          WHERE project_id = $1 AND build_id = $2)",
                &[&self.project, &build, &reserved],
            )
            .doing("looking for what the failed build left behind")?;
        let (versions, ghost): (i64, bool) = (row.get(0), row.get(1));
        let (current, status): (Option<String>, Option<String>) = (row.get(2), row.get(3));
        let latest = self.published.last().map(|version| version.id.as_str());
        let mut faults = Vec::new();
        if ghost || versions != self.published.len() as i64 {
            faults.push(format!("the failed build {build} left a version behind"));
        }
        if current.as_deref() != latest {
            faults.push(format!("the failed build {build} changed the current version: {current:?}"));
        }
        if status.as_deref() != Some("failed") {
            faults.push(format!("the failed build {build} is {status:?}"));
        }
        Ok(faults)
    }
}

fn version_name(milestone: &Milestone) -> String {
    let commit = milestone.commit.to_string();
    milestone.tag.clone().unwrap_or_else(|| commit[..12].to_owned())
}

fn build_result(milestone: &Milestone, name: &str, subject: &str) -> Value {
    let mut result = Map::new();
    let mut set = |key: &str, value: &str| result.insert(key.to_owned(), Value::from(value));
    set("git_commit_sha", &milestone.commit.to_string());
    set("version_name", name);
    set("version_description", subject);
    if let Some(tag) = &milestone.tag {
        set("git_tag", tag);
    }
    if let Some(change_type) = milestone.change_type {
        set("change_type", change_type);
    }
    Value::Object(result)
}
