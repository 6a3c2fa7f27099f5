//! What is said about a version after it was created.

use pgrx::prelude::*;
use pgrx::{Uuid, pg_sys};

use super::create::next_number;
use super::lifecycle::{Version, change_version};
use super::result::{self, Parsed};
use super::semver::{ChangeType, Number};
use crate::backend::{Answer, Call, Statement};
use crate::error::{Error, VersionState};
use crate::{args, build_result_columns, input};

const ARGUMENT: &str = "p_metadata";

/// What setting a version's kind of change does.
#[derive(Debug, PartialEq, Eq)]
enum Classification {
    /// It is what was assumed: the number stays.
    Confirmed,
    /// The version takes the next number of that kind.
    Renumbered,
}

/// Decides what `asked` does to a version that counts as `current`, by default (`is_default`) or because somebody said so.
fn classify(
    current: ChangeType,
    is_default: bool,
    is_published: bool,
    asked: ChangeType,
) -> Result<Classification, VersionState> {
    if asked == current {
        Ok(Classification::Confirmed)
    } else if !is_default {
        Err(VersionState::Classified)
    } else if is_published {
        Err(VersionState::Published)
    } else {
        Ok(Classification::Renumbered)
    }
}

/// Sets the kind of change, and the number if need be.
fn set_change_type(version: &Version, asked: ChangeType) -> Result<(), Error> {
    static CURRENT: Statement = Statement::new(
        "SELECT change_type, change_type_defaulted
           FROM {s}.project_versions
          WHERE project_id = :project AND version_id = :id",
    );
    static CLASSIFY: Statement = Statement::new(
        "UPDATE {s}.project_versions
            SET change_type = :change_type, change_type_defaulted = false,
                major_version = coalesce(:major, major_version),
                minor_version = coalesce(:minor, minor_version),
                patch_version = coalesce(:patch, patch_version)
          WHERE project_id = :project AND version_id = :id",
    );
    let (db, project, id) = (version.exclusive.db, version.exclusive.project, version.id);
    let rows = db.run(&CURRENT, &args! { project, id });
    let row = rows.one();
    let current = ChangeType::parse(&row.value::<String>("change_type")).ok_or(Error::Internal)?;
    let is_default = row.value("change_type_defaulted");
    let decision = classify(current, is_default, version.state.is_published, asked);
    let number = match decision.map_err(|state| version.refused(state))? {
        Classification::Confirmed => None,
        Classification::Renumbered => next_number(version.exclusive, asked)?,
    };
    let args = args! {
        project,
        id,
        change_type: asked.name(),
        major: number.map(|Number { major, .. }| major),
        minor: number.map(|Number { minor, .. }| minor),
        patch: number.map(|Number { patch, .. }| patch),
    };
    db.run(&CLASSIFY, &args);
    Ok(())
}

fn update(version: &Version, metadata: &Parsed) -> Result<(), Error> {
    // What is not given stays as it is in the row `v`.
    static UPDATE: Statement = Statement::new(concat!(
        "UPDATE {s}.project_versions v
            SET (enhanced_prompt, prompt_metadata, base_version_id, needs_rebuild, preview_url, artifact_url,
                 artifact_size, artifact_checksum, output_size_bytes, build_duration_ms, install_duration_ms,
                 deploy_duration_ms, node_version, pnpm_version, cf_deployment_id, base_snapshot_id, ai_json,
                 version_name, version_description, prerelease, breaking_risk, auto_classified,
                 classification_confidence, classification_reasoning, from_recommendation_id,
                 git_commit_sha, git_tag, user_comment, updated_at)
              = (SELECT r.enhanced_prompt, r.prompt_metadata, r.base_version_id, r.needs_rebuild, r.preview_url,
                        r.artifact_url, r.artifact_size, r.artifact_checksum, r.output_size_bytes,
                        r.build_duration_ms, r.install_duration_ms, r.deploy_duration_ms, r.node_version,
                        r.pnpm_version, r.cf_deployment_id, r.base_snapshot_id, r.ai_json, r.version_name,
                        r.version_description, r.prerelease, r.breaking_risk, r.auto_classified,
                        r.classification_confidence, r.classification_reasoning, r.from_recommendation_id,
                        r.git_commit_sha, r.git_tag, r.user_comment, :now
                   FROM jsonb_to_record(to_jsonb(v) || :given::jsonb) AS r (",
        build_result_columns!(),
        "))
          WHERE v.project_id = :project AND v.version_id = :id",
    ));
    if let Some(asked) = metadata.values.change_type {
        set_change_type(version, asked)?;
    }
    let exclusive = version.exclusive;
    let given = metadata.given();
    let args = args! { project: exclusive.project, id: version.id, now: exclusive.now, given: given.as_str() };
    exclusive.db.run(&UPDATE, &args);
    exclusive.touch();
    Ok(())
}

/// See the COMMENT in `sql/versions.sql`.
#[pg_extern(sql = false)]
fn update_version_metadata(
    project: Option<Uuid>,
    version_id: Option<&str>,
    fcinfo: pg_sys::FunctionCallInfo,
) -> Answer {
    Call::answer(fcinfo, |call| {
        let json = input::required(call.jsonb_argument(2), ARGUMENT)?;
        let metadata = result::parse(json.as_str().ok_or(Error::Internal)?, ARGUMENT)
            .and_then(|metadata| metadata.refuse_nulls(ARGUMENT).map(|()| metadata))
            .map_err(Error::Invalid)?;
        change_version(call, project, version_id, |version| update(version, &metadata))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_of_change_is_said_once_and_not_of_what_is_published() {
        use ChangeType::{Major, Minor, Patch};
        assert_eq!(classify(Minor, true, false, Major), Ok(Classification::Renumbered));
        assert_eq!(classify(Minor, true, false, Minor), Ok(Classification::Confirmed));
        assert_eq!(classify(Minor, false, true, Minor), Ok(Classification::Confirmed));
        assert_eq!(classify(Minor, false, false, Patch), Err(VersionState::Classified));
        assert_eq!(classify(Minor, true, true, Patch), Err(VersionState::Published));
    }
}
