//! The list of a project's versions, in pages.

use pgrx::prelude::*;
use pgrx::{Uuid, pg_sys};

use super::state::State;
use crate::args;
use crate::backend::{Answer, Call, Db, ResultSet, Row, Statement, Timestamp, Value};
use crate::builds::id_argument;
use crate::caller::{Caller, Role};
use crate::error::Error;
use crate::{input, version_state_columns};

/// Most versions of a page.
const MAX_PAGE: i32 = 1_000;

/// The columns of the result, without those that depend on the caller.
const COLUMNS: [&str; 41] = [
    "version_id",
    "semver",
    "is_current",
    "version_name",
    "version_description",
    "prompt",
    "framework",
    "status",
    "needs_rebuild",
    "change_type",
    "change_type_defaulted",
    "major_version",
    "minor_version",
    "patch_version",
    "prerelease",
    "breaking_risk",
    "auto_classified",
    "classification_confidence",
    "classification_reasoning",
    "parent_version_id",
    "base_version_id",
    "files_changed",
    "lines_added",
    "lines_removed",
    "preview_url",
    "artifact_url",
    "artifact_size",
    "artifact_checksum",
    "build_duration_ms",
    "install_duration_ms",
    "deploy_duration_ms",
    "git_commit_sha",
    "git_tag",
    "is_published",
    "published_at",
    "published_by_user_id",
    "user_comment",
    "user_id",
    "soft_deleted_at",
    "created_at",
    "updated_at",
];

/// Which versions are listed.
#[derive(Clone, Copy)]
struct Filter {
    checkpoints: bool,
    deleted: bool,
    state: Publication,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Publication {
    All,
    Published,
    Unpublished,
}

impl Publication {
    fn parse(text: &str) -> Result<Self, Error> {
        match text {
            "all" => Ok(Publication::All),
            "published" => Ok(Publication::Published),
            "unpublished" => Ok(Publication::Unpublished),
            _ => {
                let text = input::abridged(text);
                Err(Error::Invalid(format!("p_state must be all, published or unpublished, not \"{text}\"")))
            }
        }
    }
}

/// A page of the versions `k` that meet a condition. The page is chosen in an index, which has all that conditions need;
/// only its versions are read.
macro_rules! page {
    ($($condition:literal),*) => {
        Statement::new(concat!(
            "SELECT v.*, coalesce(v.version_id = p.current_version_id, false) AS is_current,
                    versioned_internal.semver(v.major_version, v.minor_version, v.patch_version, v.prerelease) AS semver,
                    CASE WHEN :is_first THEN (
                        SELECT count(*) FROM {s}.project_versions k WHERE k.project_id = :project", $($condition,)*
            "       ) END AS total_count, ",
            version_state_columns!(),
            " FROM (SELECT k.created_at, k.version_id
                      FROM {s}.project_versions k
                     WHERE k.project_id = :project AND (k.created_at, k.version_id) < (:before_at, :before_id)", $($condition,)*
            "        ORDER BY k.created_at DESC, k.version_id DESC
                     LIMIT :limit OFFSET :offset) page
              JOIN {s}.project_versions v ON v.project_id = :project AND v.version_id = page.version_id
              JOIN {s}.projects p ON p.id = :project
             ORDER BY v.created_at DESC, v.version_id DESC"
        ))
    };
}

impl Filter {
    /// One statement for each index that can answer it: a condition that depends on a parameter could use none.
    fn page(self) -> &'static Statement {
        static SHOWN: Statement = page!(
            " AND k.change_type <> 'patch' AND k.soft_deleted_at IS NULL AND NOT (k.is_published AND :unpublished)"
        );
        static ANY: Statement = page!(
            " AND (:checkpoints OR k.change_type <> 'patch') AND (:deleted OR k.soft_deleted_at IS NULL)",
            " AND NOT (k.is_published AND :unpublished)"
        );
        static PUBLISHED: Statement = page!(" AND k.is_published AND (:checkpoints OR k.change_type <> 'patch')");
        match self {
            Filter { state: Publication::Published, .. } => &PUBLISHED,
            Filter { checkpoints: false, deleted: false, .. } => &SHOWN,
            _ => &ANY,
        }
    }
}

/// Where a page begins: after the version with this time and id.
struct Before {
    at: Timestamp,
    id: String,
}

impl Before {
    /// Before the newest version.
    fn first() -> Self {
        Before { at: Timestamp::INFINITY, id: String::new() }
    }

    fn version(db: &Db, project: Uuid, id: String) -> Result<Self, Error> {
        static AT: Statement = Statement::new(
            "SELECT created_at FROM {s}.project_versions WHERE project_id = :project AND version_id = :id",
        );
        let rows = db.read(&AT, &args! { project, id: id.as_str() });
        let row = rows.first().ok_or_else(|| Error::VersionNotFound { project, version: id.clone() })?;
        Ok(Before { at: row.value("created_at"), id })
    }
}

fn columns<'r>(row: &'r Row, is_editor: bool) -> Vec<Value<'r>> {
    let state = State::of(row);
    let mut columns: Vec<Value> = COLUMNS.iter().map(|name| row.column(name)).collect();
    columns.extend([
        Value::from(state.can_preview()),
        (is_editor && state.can_publish()).into(),
        (is_editor && state.can_unpublish()).into(),
        (is_editor && state.can_restore()).into(),
        row.column("total_count"),
    ]);
    columns
}

/// See the COMMENT in `sql/versions.sql`.
#[pg_extern(sql = false)]
#[allow(clippy::too_many_arguments)]
fn get_project_version_history(
    project: Option<Uuid>,
    limit: Option<i32>,
    offset: Option<i32>,
    checkpoints: Option<bool>,
    state: Option<&str>,
    deleted: Option<bool>,
    before: Option<&str>,
    fcinfo: pg_sys::FunctionCallInfo,
) -> Answer {
    Call::answer(fcinfo, |call| {
        let project = input::project(project, "p_project_id")?;
        let limit = input::within(limit, "p_limit", 1, MAX_PAGE)?;
        let offset = input::within(offset, "p_offset", 0, i32::MAX)?;
        let filter = Filter {
            checkpoints: input::required(checkpoints, "p_include_checkpoints")?,
            deleted: input::required(deleted, "p_show_deleted")?,
            state: Publication::parse(input::required(state, "p_state")?)?,
        };
        let before = before.map(|id| id_argument(Some(id), "p_before_version_id")).transpose()?;
        Caller::reading_as(call, project, |db, role| {
            let is_first = before.is_none();
            let before = before.map_or(Ok(Before::first()), |id| Before::version(db, project, id))?;
            let args = args! {
                project,
                limit: i64::from(limit),
                offset: i64::from(offset),
                checkpoints: filter.checkpoints,
                deleted: filter.deleted,
                unpublished: filter.state == Publication::Unpublished,
                before_at: before.at,
                before_id: before.id.as_str(),
                is_first,
            };
            let rows = ResultSet::begin(call);
            for row in db.read(filter.page(), &args).iter() {
                rows.push(&columns(&row, role >= Role::Editor));
            }
            Ok(rows.done())
        })
    })
}
