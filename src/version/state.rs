//! A version's row, and what may be done with a version by the state it is in.

use pgrx::Uuid;

use super::semver::Number;
use crate::args;
use crate::backend::{Db, Lookup, Row, Statement, Timestamp};
use crate::error::{Error, VersionState};

/// SQL for the condition that a row of `project_versions`, whose alias is given, is of `:project`, for statements that need
/// the indexes made for lists. With `=` alone, the planner may take any index on the project and read all its versions.
#[macro_export]
macro_rules! versions_of_project {
    ($alias:literal) => {
        concat!(
            "uuid_hash_extended(",
            $alias,
            ".project_id, 0) = uuid_hash_extended(:project, 0) AND ",
            $alias,
            ".project_id IS NOT DISTINCT FROM :project"
        )
    };
}

/// The row of a version, found with the active snapshot. PT404.
pub fn find<'d>(db: &'d Db, project: Uuid, version_id: &str) -> Result<Row<'d>, Error> {
    let row = look_up(db, project, version_id)?;
    row.ok_or_else(|| Error::VersionNotFound { project, version: version_id.to_owned() })
}

/// The same; `None` if there is none.
pub fn look_up<'d>(db: &'d Db, project: Uuid, version_id: &str) -> Result<Option<Row<'d>>, Error> {
    static VERSION: Lookup = Lookup::new(
        c"project_versions",
        c"project_versions_pkey",
        &["project_id", "version_id"],
        "SELECT * FROM {s}.project_versions WHERE project_id = :project_id AND version_id = :version_id",
    );
    db.look_up(&VERSION, &args! { project_id: project, version_id })
}

/// The id of the project's current version, read with the active snapshot; `None` if it has none.
pub fn current_id(db: &Db, project: Uuid) -> Option<String> {
    static CURRENT: Statement = Statement::new("SELECT current_version_id FROM {s}.projects WHERE id = :project");
    db.read(&CURRENT, &args! { project }).first().and_then(|row| row.get("current_version_id"))
}

/// The state of a version.
#[derive(Clone, Copy, Debug, Default)]
pub struct State {
    pub is_deployed: bool,
    pub is_deleted: bool,
    pub is_published: bool,
    pub needs_rebuild: bool,
    /// Why its files cannot be shown: they were pruned, or never known.
    pub without_files: Option<VersionState>,
    /// Whether there is something to look at: a preview or an artifact.
    pub has_preview: bool,
}

/// The number of a version as text, from its row.
pub fn semver(row: &Row) -> String {
    let number = Number::of(row);
    match row.get::<String>("prerelease") {
        Some(label) => format!("{number}-{label}"),
        None => number.to_string(),
    }
}

impl Number {
    /// From the version's row.
    pub fn of(row: &Row) -> Self {
        let [major, minor, patch] = ["major_version", "minor_version", "patch_version"].map(|name| row.value(name));
        Number { major, minor, patch }
    }
}

impl State {
    /// From the version's row.
    pub fn of(row: &Row) -> Self {
        let is_given = |column| row.get::<String>(column).is_some();
        State {
            is_deployed: row.value::<String>("status") == "deployed",
            is_deleted: row.get::<Timestamp>("soft_deleted_at").is_some(),
            is_published: row.value("is_published"),
            needs_rebuild: row.value("needs_rebuild"),
            without_files: row.get::<Timestamp>("pruned_at").map(|pruned_at| {
                let is_imported = pruned_at == row.value("created_at");
                if is_imported { VersionState::Imported } else { VersionState::Pruned }
            }),
            has_preview: is_given("preview_url") || is_given("artifact_url"),
        }
    }

    /// What is in the way of publishing it.
    pub fn publish(self) -> Result<(), VersionState> {
        if self.is_deleted {
            Err(VersionState::Deleted)
        } else if !self.is_deployed {
            Err(VersionState::NotDeployed)
        } else if self.needs_rebuild {
            Err(VersionState::NeedsRebuild)
        } else {
            Ok(())
        }
    }

    /// What is in the way of deleting it.
    pub fn delete(self) -> Result<(), VersionState> {
        if self.is_published { Err(VersionState::Published) } else { Ok(()) }
    }

    /// What is in the way of restoring its files.
    pub fn restore(self) -> Result<(), VersionState> {
        if self.is_deleted { Err(VersionState::Deleted) } else { self.without_files.map_or(Ok(()), Err) }
    }

    pub fn can_preview(self) -> bool {
        self.is_deployed && !self.is_deleted && self.has_preview
    }

    pub fn can_publish(self) -> bool {
        !self.is_published && self.publish().is_ok()
    }

    pub fn can_unpublish(self) -> bool {
        self.is_published
    }

    pub fn can_restore(self) -> bool {
        self.restore().is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_done_in_which_state() {
        let fine = State { is_deployed: true, has_preview: true, ..State::default() };
        let cases = [
            (fine, [true, true, false, true]),
            (State { is_published: true, ..fine }, [true, false, true, true]),
            (State { is_deleted: true, ..fine }, [false; 4]),
            (State { needs_rebuild: true, ..fine }, [true, false, false, true]),
            (State { is_deployed: false, ..fine }, [false, false, false, true]),
            (State { has_preview: false, ..fine }, [false, true, false, true]),
            (State { without_files: Some(VersionState::Pruned), ..fine }, [true, true, false, false]),
            (State { without_files: Some(VersionState::Imported), ..fine }, [true, true, false, false]),
        ];
        for (state, expected) in cases {
            let can = [state.can_preview(), state.can_publish(), state.can_unpublish(), state.can_restore()];
            assert_eq!(can, expected, "{state:?}");
        }
        assert_eq!(State { is_published: true, ..fine }.delete(), Err(VersionState::Published));
        assert_eq!(State { is_deleted: true, needs_rebuild: true, ..fine }.publish(), Err(VersionState::Deleted));
    }
}
