//! Publishing and deleting versions, and taking either back.

use pgrx::prelude::*;
use pgrx::{Uuid, pg_sys};

use super::snapshot::Snapshot;
use super::state::{self, State};
use crate::args;
use crate::backend::{Answer, Call, FreshSnapshot, Statement};
use crate::builds::id_argument;
use crate::caller::Role;
use crate::error::{Error, VersionState};
use crate::exclusive::Exclusive;
use crate::{input, versions_of_project};

const MAX_COMMENT_BYTES: usize = 1024 * 1024;

/// A version of a project that is locked exclusively.
pub struct Version<'a> {
    pub exclusive: &'a Exclusive<'a>,
    pub id: &'a str,
    pub state: State,
    pub snapshot: Snapshot,
}

impl<'a> Version<'a> {
    /// PT404 if there is none with that id.
    pub fn find(exclusive: &'a Exclusive, id: &'a str) -> Result<Self, Error> {
        let _now = FreshSnapshot::take();
        let row = state::find(exclusive.db, exclusive.project, id)?;
        Ok(Version { exclusive, id, state: State::of(&row), snapshot: Snapshot::of(&row) })
    }

    /// The error that says what state is in the way.
    pub fn refused(&self, state: VersionState) -> Error {
        Error::VersionRefused { project: self.exclusive.project, version: self.id.to_owned(), state }
    }

    /// Its row.
    pub fn row(&self) -> Answer {
        static ROW: Statement =
            Statement::new("SELECT v FROM {s}.project_versions v WHERE v.project_id = :project AND v.version_id = :id");
        let Exclusive { db, project, .. } = *self.exclusive;
        db.run(&ROW, &args! { project, id: self.id }).one().composite(db, "v")
    }

    fn publish(&self, comment: Option<&str>) -> Result<(), Error> {
        // First: the index on published versions is checked row by row.
        static RETIRE: Statement = Statement::new(
            "UPDATE {s}.project_versions SET is_published = false, updated_at = :now
              WHERE project_id = :project AND is_published",
        );
        static PUBLISH: Statement = Statement::new(
            "UPDATE {s}.project_versions
                SET is_published = true, published_at = :now, published_by_user_id = :actor,
                    user_comment = coalesce(:comment, user_comment), updated_at = :now
              WHERE project_id = :project AND version_id = :id",
        );
        if self.state.is_published {
            return Ok(());
        }
        self.state.publish().map_err(|state| self.refused(state))?;
        let Exclusive { db, project, now, caller, .. } = *self.exclusive;
        db.run(&RETIRE, &args! { project, now });
        db.run(&PUBLISH, &args! { project, id: self.id, now, actor: caller.actor, comment });
        self.exclusive.touch();
        Ok(())
    }

    fn unpublish(&self) {
        static UNPUBLISH: Statement = Statement::new(
            "UPDATE {s}.project_versions SET is_published = false, updated_at = :now
              WHERE project_id = :project AND version_id = :id",
        );
        if self.state.is_published {
            let Exclusive { db, project, now, .. } = *self.exclusive;
            db.run(&UNPUBLISH, &args! { project, id: self.id, now });
            self.exclusive.touch();
        }
    }

    fn set_deleted(&self, is_deleted: bool) -> Result<(), Error> {
        static MARK: Statement = Statement::new(
            "UPDATE {s}.project_versions
                SET soft_deleted_at = CASE WHEN :is_deleted THEN :now END, updated_at = :now
              WHERE project_id = :project AND version_id = :id",
        );
        if self.state.is_deleted == is_deleted {
            return Ok(());
        }
        if is_deleted {
            self.state.delete().map_err(|state| self.refused(state))?;
        }
        let Exclusive { db, project, now, .. } = *self.exclusive;
        db.run(&MARK, &args! { project, id: self.id, now, is_deleted });
        settle_current(self.exclusive);
        Ok(())
    }
}

/// Makes the newest version that can be the project's current one. Not one whose files were pruned while it was deleted;
/// but one that was imported, whose files were never known.
pub fn settle_current(exclusive: &Exclusive) {
    static CURRENT: Statement = Statement::new(concat!(
        "UPDATE {s}.projects
            SET updated_at = :now,
                current_version_id = (SELECT v.version_id
                                        FROM {s}.project_versions v
                                       WHERE v.soft_deleted_at IS NULL AND v.status = 'deployed'
                                         AND (v.pruned_at IS NULL OR v.pruned_at = v.created_at) AND ",
        versions_of_project!("v"),
        "                              ORDER BY v.created_at DESC, v.version_id DESC
                                       LIMIT 1)
          WHERE id = :project",
    ));
    let Exclusive { db, project, now, .. } = *exclusive;
    db.run(&CURRENT, &args! { project, now });
}

/// Runs `body` for a version of a project that an editor has to themselves, and returns the version's row.
pub fn change_version(
    call: &Call,
    project: Option<Uuid>,
    version_id: Option<&str>,
    body: impl FnOnce(&Version) -> Result<(), Error>,
) -> Result<Answer, Error> {
    let project = input::project(project, "p_project_id")?;
    let id = id_argument(version_id, "p_version_id")?;
    Exclusive::run(call, project, Role::Editor, |exclusive| {
        let version = Version::find(exclusive, &id)?;
        body(&version)?;
        Ok(version.row())
    })
}

/// See the COMMENT in `sql/versions.sql`.
#[pg_extern(sql = false)]
fn publish_project_version(
    project: Option<Uuid>,
    version_id: Option<&str>,
    comment: Option<&str>,
    fcinfo: pg_sys::FunctionCallInfo,
) -> Answer {
    Call::answer(fcinfo, |call| {
        let comment = input::prose(comment, "p_comment", MAX_COMMENT_BYTES)?;
        change_version(call, project, version_id, |version| version.publish(comment))
    })
}

/// See the COMMENT in `sql/versions.sql`.
#[pg_extern(sql = false)]
fn unpublish_project_version(
    project: Option<Uuid>,
    version_id: Option<&str>,
    fcinfo: pg_sys::FunctionCallInfo,
) -> Answer {
    Call::answer(fcinfo, |call| {
        change_version(call, project, version_id, |version| {
            version.unpublish();
            Ok(())
        })
    })
}

/// See the COMMENT in `sql/versions.sql`.
#[pg_extern(sql = false)]
fn delete_project_version(project: Option<Uuid>, version_id: Option<&str>, fcinfo: pg_sys::FunctionCallInfo) -> Answer {
    Call::answer(fcinfo, |call| change_version(call, project, version_id, |version| version.set_deleted(true)))
}

/// See the COMMENT in `sql/versions.sql`.
#[pg_extern(sql = false)]
fn undelete_project_version(
    project: Option<Uuid>,
    version_id: Option<&str>,
    fcinfo: pg_sys::FunctionCallInfo,
) -> Answer {
    Call::answer(fcinfo, |call| change_version(call, project, version_id, |version| version.set_deleted(false)))
}
