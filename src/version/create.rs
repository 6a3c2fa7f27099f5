//! Making the version of a successful build.

use pgrx::prelude::*;
use pgrx::{Uuid, pg_sys};

use super::line_stats::{self, Compared, Stats};
use super::result::{self, BuildResult};
use super::semver::{ChangeType, Number};
use crate::backend::{Answer, Call, Db, Statement};
use crate::builds::{self, Build, Ended, id_argument};
use crate::caller::Role;
use crate::error::Error;
use crate::held::Held;
use crate::input;

/// The next version's number and what kind of change it is.
fn number(held: &Held, asked: Option<ChangeType>) -> Result<(Number, ChangeType), Error> {
    // Numbers of deleted versions count: they are never used again.
    static LAST: Statement = Statement::new(
        "SELECT major_version, minor_version, patch_version
           FROM {s}.project_versions
          WHERE project_id = $1
          ORDER BY major_version DESC, minor_version DESC, patch_version DESC
          LIMIT 1",
    );
    let rows = held.db.run(&LAST, &[held.id()]);
    if rows.is_empty() {
        return Ok((Number::FIRST, ChangeType::Major));
    }
    let last = Number { major: rows.value(0, 1), minor: rows.value(0, 2), patch: rows.value(0, 3) };
    let change = asked.unwrap_or(ChangeType::Minor);
    let next = last.next(change).ok_or_else(|| {
        let Number { major, minor, patch } = last;
        Error::Invalid(format!("version numbers end here: no {} after {major}.{minor}.{patch}", change.name()))
    })?;
    Ok((next, change))
}

/// Snapshot of the project's current version; 0 when it has none.
fn parent_snapshot(db: &Db, project: Uuid) -> i32 {
    static PARENT: Statement = Statement::new(
        "SELECT v.snapshot_seq
           FROM {s}.projects p
           JOIN {s}.project_versions v ON v.project_id = p.id AND v.version_id = p.current_version_id
          WHERE p.id = $1",
    );
    let rows = db.run(&PARENT, &[project.into()]);
    if rows.is_empty() { 0 } else { rows.value(0, 1) }
}

fn insert(
    held: &Held,
    build: &Build,
    result: &BuildResult,
    (number, change): (Number, ChangeType),
    stats: Stats,
) -> Answer {
    static INSERT: Statement = Statement::new(
        "INSERT INTO {s}.project_versions AS v
                (project_id, version_id, user_id, prompt, framework, parent_version_id, status,
                 change_type, major_version, minor_version, patch_version,
                 files_changed, lines_added, lines_removed, snapshot_seq, created_at, updated_at,
                 ai_session_id, ai_session_created_at, ai_session_last_used_at,
                 enhanced_prompt, prompt_metadata, base_version_id, needs_rebuild, preview_url, artifact_url,
                 artifact_size, artifact_checksum, output_size_bytes, build_duration_ms, install_duration_ms,
                 deploy_duration_ms, node_version, pnpm_version, cf_deployment_id, base_snapshot_id, ai_json,
                 version_name, version_description, prerelease, breaking_risk, auto_classified,
                 classification_confidence, classification_reasoning, from_recommendation_id,
                 git_commit_sha, git_tag, user_comment)
         SELECT $1, $2, $3, $4, $5, $6, 'deployed',
                $7, $8, $9, $10,
                $11, $12, $13, $14, $15, $15,
                s.session_id, s.started_at, s.last_used_at,
                r.enhanced_prompt, r.prompt_metadata, r.base_version_id, coalesce(r.needs_rebuild, false),
                r.preview_url, r.artifact_url,
                r.artifact_size, r.artifact_checksum, r.output_size_bytes, r.build_duration_ms, r.install_duration_ms,
                r.deploy_duration_ms, r.node_version, r.pnpm_version, r.cf_deployment_id, r.base_snapshot_id, r.ai_json,
                r.version_name, r.version_description, r.prerelease, r.breaking_risk,
                coalesce(r.auto_classified, false),
                r.classification_confidence, r.classification_reasoning, r.from_recommendation_id,
                r.git_commit_sha, r.git_tag, r.user_comment
           FROM jsonb_to_record($16::jsonb) AS r (
                enhanced_prompt text, prompt_metadata jsonb, base_version_id text, needs_rebuild boolean,
                preview_url text, artifact_url text, artifact_size bigint, artifact_checksum text,
                output_size_bytes bigint, build_duration_ms bigint, install_duration_ms bigint,
                deploy_duration_ms bigint, node_version text, pnpm_version text, cf_deployment_id text,
                base_snapshot_id text, ai_json jsonb, version_name text, version_description text, prerelease text,
                breaking_risk text, auto_classified boolean, classification_confidence numeric,
                classification_reasoning text, from_recommendation_id text, git_commit_sha text, git_tag text,
                user_comment text)
           LEFT JOIN LATERAL (
                SELECT a.session_id, a.started_at, max(coalesce(a.ended_at, $15)) OVER () AS last_used_at
                  FROM {s}.project_ai_time_sessions a
                 WHERE a.project_id = $1 AND a.build_id = $17
                 ORDER BY a.started_at, a.session_id
                 LIMIT 1) s ON true
         RETURNING v",
    );
    let json = serde_json::to_string(result).expect("strings, numbers and JSON");
    let rows = held.db.run(
        &INSERT,
        &[
            held.id(),
            build.version_id.as_str().into(),
            build.user.into(),
            build.prompt.as_deref().into(),
            build.framework.as_str().into(),
            held.current_version.as_deref().into(),
            change.name().into(),
            number.major.into(),
            number.minor.into(),
            number.patch.into(),
            stats.files.into(),
            stats.added.into(),
            stats.removed.into(),
            held.snapshot_seq.into(),
            held.now.into(),
            json.as_str().into(),
            build.build_id.as_str().into(),
        ],
    );
    rows.composite(1)
}

fn succeed(held: &Held, build_id: &str, result: &BuildResult, mut compared: Compared) -> Result<Answer, Error> {
    static ROW: Statement =
        Statement::new("SELECT v FROM {s}.project_versions v WHERE v.project_id = $1 AND v.version_id = $2");
    static PROJECT: Statement = Statement::new(
        "UPDATE {s}.projects
            SET build_status = 'deployed', current_version_id = $2, last_build_completed = $3,
                snapshot_seq = snapshot_seq + 1, updated_at = $3
          WHERE id = $1",
    );
    let build = Build::find(held, build_id)?;
    match build.status.as_str() {
        "started" => {}
        "deployed" => {
            let rows = held.db.run(&ROW, &[held.id(), build.version_id.as_str().into()]);
            if rows.is_empty() {
                return Err(Error::VersionNotFound { project: held.project, version: build.version_id });
            }
            return Ok(rows.composite(1));
        }
        _ => return Err(build.ended(held.project)),
    }
    held.refuse_unseen_saves()?;
    let number = number(held, result.change_type)?;
    let parent = parent_snapshot(held.db, held.project);
    let stats = line_stats::since(held.db, held.project, parent, &mut compared);
    let version = insert(held, &build, result, number, stats);
    let durations = Some([result.build_duration_ms, result.install_duration_ms, result.deploy_duration_ms]);
    builds::end(held, build_id, &Ended { status: "deployed", error: None, durations });
    held.db.run(&PROJECT, &[held.id(), build.version_id.as_str().into(), held.now.into()]);
    Ok(version)
}

/// See the COMMENT in `sql/versions.sql`.
#[pg_extern(sql = false)]
fn create_version_on_success(
    project: Option<Uuid>,
    build_id: Option<&str>,
    fcinfo: pg_sys::FunctionCallInfo,
) -> Answer {
    Call::answer(fcinfo, |call| {
        let project = input::project(project, "p_project_id")?;
        let build_id = id_argument(build_id, "p_build_id")?;
        let result = result::parse(&input::required(call.jsonb_argument(2), "p_result")?).map_err(Error::Invalid)?;
        // Most of the comparing is done before savers have to wait for it.
        let compare = |db: &Db| {
            let mut compared = Compared::default();
            line_stats::since(db, project, parent_snapshot(db, project), &mut compared);
            compared
        };
        Held::run_prepared(call, project, Role::Editor, compare, |held, compared| {
            succeed(held, &build_id, &result, compared)
        })
    })
}
