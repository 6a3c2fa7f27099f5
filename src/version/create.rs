//! Creating the version for a successful build.

use pgrx::prelude::*;
use pgrx::{Uuid, pg_sys};

use super::lifecycle::Version;
use super::line_stats::{self, Compared, Stats};
use super::result::{self, BuildResult};
use super::semver::{ChangeType, Number};
use super::snapshot::{self, Snapshot};
use super::state;
use crate::backend::{Answer, Call, Db, FreshSnapshot, Statement, Timestamp};
use crate::builds::{self, Build, Ended, id_argument};
use crate::caller::Role;
use crate::error::Error;
use crate::exclusive::Exclusive;
use crate::input;
use crate::{args, build_result_columns, build_result_names, build_result_values, versions_of_project};

/// The number after the highest one that the project has ever used: every number ever given is still in the table or below
/// one that is.
pub fn next_number(exclusive: &Exclusive, change: ChangeType) -> Result<Option<Number>, Error> {
    // Numbers of deleted versions count: they are never used again.
    static LAST: Statement = Statement::new(
        "SELECT major_version, minor_version, patch_version
           FROM {s}.project_versions
          WHERE project_id = :project
          ORDER BY major_version DESC, minor_version DESC, patch_version DESC
          LIMIT 1",
    );
    let rows = exclusive.db.run(&LAST, &args! { project: exclusive.project });
    let Some(row) = rows.first() else { return Ok(None) };
    let last = Number::of(&row);
    let next = last.next(change).ok_or_else(|| {
        Error::Invalid(format!("version numbers are exhausted: no {} version after {last}", change.name()))
    })?;
    Ok(Some(next))
}

/// When the version is created: later than every other one, even if the clock was set back, because this is their order.
fn created_at(exclusive: &Exclusive) -> Timestamp {
    static NEWEST: Statement = Statement::new(concat!(
        "SELECT v.created_at FROM {s}.project_versions v WHERE ",
        versions_of_project!("v"),
        " ORDER BY v.created_at DESC LIMIT 1",
    ));
    let rows = exclusive.db.run(&NEWEST, &args! { project: exclusive.project });
    let newest: Option<Timestamp> = rows.first().map(|row| row.value("created_at"));
    newest.map_or(exclusive.now, |newest| exclusive.now.max(Timestamp(newest.0.saturating_add(1))))
}

/// The snapshot of the project's current version; an empty one if it has none.
fn parent_snapshot(db: &Db, project: Uuid) -> Result<Snapshot, Error> {
    let _now = FreshSnapshot::take();
    let current = state::current_id(db, project);
    let version = current.map(|id| state::look_up(db, project, &id)).transpose()?.flatten();
    Ok(version.map_or(Snapshot::EMPTY, |version| Snapshot::of(&version)))
}

fn insert(
    exclusive: &Exclusive,
    build: &Build,
    result: &BuildResult,
    (number, change): (Number, ChangeType),
    (snapshot, stats): (Snapshot, Stats),
) -> Answer {
    static INSERT: Statement = Statement::new(concat!(
        "INSERT INTO {s}.project_versions AS v
                (project_id, version_id, user_id, prompt, framework, parent_version_id, status,
                 change_type, change_type_defaulted, major_version, minor_version, patch_version,
                 files_changed, lines_added, lines_removed, snapshot_seq, snapshot_listed, created_at, updated_at,
                 ai_session_id, ai_session_created_at, ai_session_last_used_at,
                 ",
        build_result_names!(),
        ")
         SELECT :project, :version_id, :user, :prompt, :framework, :parent, 'deployed',
                :change_type, :is_default, :major, :minor, :patch,
                :files, :added, :removed, :snapshot_seq, :snapshot_listed, :at, :at,
                s.session_id, s.started_at, s.last_used_at,
                ",
        build_result_values!(),
        "
           FROM jsonb_to_record(:result::jsonb) AS r (",
        build_result_columns!(),
        ")
           LEFT JOIN LATERAL (
                SELECT a.session_id, a.started_at, max(coalesce(a.ended_at, :at)) OVER () AS last_used_at
                  FROM {s}.project_ai_time_sessions a
                 WHERE a.project_id = :project AND a.build_id = :build_id
                 ORDER BY a.started_at, a.session_id
                 LIMIT 1) s ON true
         RETURNING v",
    ));
    let json = serde_json::to_string(result).expect("strings, numbers and JSON");
    let args = args! {
        project: exclusive.project,
        version_id: build.version_id.as_str(),
        user: build.user,
        prompt: build.prompt.as_deref(),
        framework: build.framework.as_str(),
        parent: exclusive.current_version.as_deref(),
        change_type: change.name(),
        is_default: result.change_type.is_none(),
        major: number.major,
        minor: number.minor,
        patch: number.patch,
        files: stats.files,
        added: stats.added,
        removed: stats.removed,
        snapshot_seq: snapshot.seq,
        snapshot_listed: snapshot.is_listed,
        at: created_at(exclusive),
        result: json.as_str(),
        build_id: build.build_id.as_str(),
    };
    exclusive.db.run(&INSERT, &args).one().composite(exclusive.db, "v")
}

fn succeed(
    exclusive: &Exclusive,
    build_id: &str,
    result: &BuildResult,
    mut compared: Compared,
) -> Result<Answer, Error> {
    static PROJECT: Statement = Statement::new(
        "UPDATE {s}.projects
            SET build_status = 'deployed', current_version_id = :version_id, last_build_completed = :now, updated_at = :now
          WHERE id = :project",
    );
    let (db, project) = (exclusive.db, exclusive.project);
    let build = Build::find(exclusive, build_id)?;
    match build.status.as_str() {
        "started" => {}
        "deployed" => return Ok(Version::find(exclusive, &build.version_id)?.row()),
        _ => return Err(build.ended(project)),
    }
    exclusive.refuse_unseen_saves()?;
    let cut = snapshot::of_build(db, project, build_id);
    let compare = (parent_snapshot(db, project)?, cut.unwrap_or(Snapshot::NOW));
    let stats = line_stats::between(db, project, compare, &mut compared)?;
    stats.notice();
    let asked = result.change_type.unwrap_or(ChangeType::Minor);
    let number = match next_number(exclusive, asked)? {
        Some(number) => (number, asked),
        None => (Number::FIRST, ChangeType::Major),
    };
    let snapshot = cut.map_or_else(|| snapshot::cut(exclusive), Ok)?;
    let version = insert(exclusive, &build, result, number, (snapshot, stats));
    let durations = Some([result.build_duration_ms, result.install_duration_ms, result.deploy_duration_ms]);
    builds::end(exclusive, build_id, &Ended { status: "deployed", error: None, durations });
    db.run(&PROJECT, &args! { project, version_id: build.version_id.as_str(), now: exclusive.now });
    Ok(version)
}

/// See the COMMENT in `sql/versions.sql`. Version 0.1.0 of the schema declares it with this symbol.
#[pg_extern(sql = false)]
fn create_version_on_success(
    project: Option<Uuid>,
    build_id: Option<&str>,
    fcinfo: pg_sys::FunctionCallInfo,
) -> Answer {
    create(project, build_id, fcinfo)
}

/// The same. An older library does not have this symbol: it would not know of cuts.
#[pg_extern(sql = false)]
fn create_version_from_cut(project: Option<Uuid>, build_id: Option<&str>, fcinfo: pg_sys::FunctionCallInfo) -> Answer {
    create(project, build_id, fcinfo)
}

fn create(project: Option<Uuid>, build_id: Option<&str>, fcinfo: pg_sys::FunctionCallInfo) -> Answer {
    Call::answer(fcinfo, |call| {
        let project = input::project(project, "p_project_id")?;
        let build_id = id_argument(build_id, "p_build_id")?;
        let json = input::required(call.jsonb_argument(2), "p_result")?;
        let result = result::parse(json.as_str().ok_or(Error::Internal)?, "p_result").map_err(Error::Invalid)?;
        // Most of the comparison is done before savers have to wait for it.
        let compare = |db: &Db| {
            snapshot::lock_list(db)?;
            let mut compared = Compared::default();
            let cut = snapshot::of_build(db, project, &build_id);
            let snapshots = (parent_snapshot(db, project)?, cut.unwrap_or(Snapshot::NOW));
            line_stats::between(db, project, snapshots, &mut compared)?;
            Ok(compared)
        };
        Exclusive::run_prepared(call, project, Role::Editor, compare, |exclusive, compared| {
            succeed(exclusive, &build_id, &result.values, compared)
        })
    })
}
