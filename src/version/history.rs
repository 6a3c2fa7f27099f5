//! The list of a project's versions, in pages.

use pgrx::prelude::*;
use pgrx::{Uuid, pg_sys};

use super::state::{self, State};
use crate::args;
use crate::backend::{self, Answer, Call, Db, ResultSet, Row, Statement, Timestamp, Value};
use crate::builds::id_argument;
use crate::caller::{Caller, Role};
use crate::error::Error;
use crate::{input, versions_of_project};

/// Most versions of a page.
const MAX_PAGE: i32 = 1_000;

/// The columns of the result that are those of the version's row.
const COLUMNS: [&str; 38] = [
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

/// What a list has: how to find a page of it, and how to count it. An index has all that either needs.
struct List {
    page: Statement,
    count: Statement,
}

/// The list of the versions `k` that meet conditions.
macro_rules! list {
    (of_project: $of_project:expr, $($condition:literal),*) => {
        List {
            page: Statement::new(concat!(
                "SELECT k.version_id FROM {s}.project_versions k WHERE ",
                $of_project,
                $(" AND ", $condition,)*
                " AND (k.created_at, k.version_id) < (:before_at, :before_id)
                  ORDER BY k.created_at DESC, k.version_id DESC
                  LIMIT :limit OFFSET :offset"
            )),
            count: Statement::new(concat!(
                "SELECT count(*) AS total_count FROM {s}.project_versions k WHERE ",
                $of_project,
                $(" AND ", $condition),*
            )),
        }
    };
}

impl Filter {
    /// One list for each index that can answer it: a condition that depends on a parameter could use none.
    fn list(self) -> &'static List {
        static SHOWN: List = list!(
            of_project: versions_of_project!("k"),
            "k.change_type <> 'patch'",
            "k.soft_deleted_at IS NULL",
            "NOT (k.is_published AND :unpublished)"
        );
        static ANY: List = list!(
            of_project: versions_of_project!("k"),
            "(:checkpoints OR k.change_type <> 'patch')",
            "(:deleted OR k.soft_deleted_at IS NULL)",
            "NOT (k.is_published AND :unpublished)"
        );
        static PUBLISHED: List = list!(
            of_project: "k.project_id = :project",
            "k.is_published",
            "(:checkpoints OR k.change_type <> 'patch')"
        );
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
    /// Before the newest version: later than any time, with an id greater than any.
    fn first() -> Self {
        Before { at: Timestamp::INFINITY, id: "~".to_owned() }
    }

    fn version(db: &Db, project: Uuid, id: String) -> Result<Self, Error> {
        let at = state::find(db, project, &id)?.value("created_at");
        Ok(Before { at, id })
    }
}

/// What is the same for all rows of a page.
struct Page {
    current_version: Option<String>,
    is_editor: bool,
    total_count: Option<i64>,
}

impl Page {
    fn push(&self, rows: &ResultSet, version: &Row) {
        let may = State::of(version);
        let semver = state::semver(version);
        let id: String = version.value("version_id");
        let mut columns: Vec<Value> =
            vec![id.as_str().into(), semver.as_str().into(), (self.current_version.as_ref() == Some(&id)).into()];
        columns.extend(COLUMNS.iter().map(|name| version.column(name)));
        columns.extend([
            Value::from(may.can_preview()),
            (self.is_editor && may.can_publish()).into(),
            (self.is_editor && may.can_unpublish()).into(),
            (self.is_editor && may.can_restore()).into(),
            self.total_count.into(),
        ]);
        rows.push(&columns);
    }
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
            };
            let list = filter.list();
            let page = Page {
                current_version: state::current_id(db, project),
                is_editor: role >= Role::Editor,
                total_count: is_first.then(|| db.read(&list.count, &args).one().value("total_count")),
            };
            let rows = ResultSet::begin(call);
            for key in db.read(&list.page, &args).iter() {
                let id: String = key.value("version_id");
                backend::in_own_memory(|| {
                    page.push(&rows, &state::find(db, project, &id)?);
                    Ok(())
                })?;
            }
            Ok(rows.done())
        })
    })
}
