//! What may be done with a version, by the state it is in. Knows nothing about Postgres but how to read a row.

use crate::backend::Row;
use crate::error::VersionState;

/// The state of a version.
#[derive(Clone, Copy, Debug, Default)]
pub struct State {
    pub is_deployed: bool,
    pub is_deleted: bool,
    pub is_published: bool,
    pub needs_rebuild: bool,
    /// Whether files of its snapshot have been pruned.
    pub is_pruned: bool,
    /// Whether there is something to look at: a preview or an artifact.
    pub has_preview: bool,
}

impl State {
    /// From the row `v` of a version, selected with [`STATE_COLUMNS`](crate::version_state_columns).
    pub fn of(row: &Row) -> Self {
        State {
            is_deployed: row.value("is_deployed"),
            is_deleted: row.value("is_deleted"),
            is_published: row.value("is_published"),
            needs_rebuild: row.value("needs_rebuild"),
            is_pruned: row.value("is_pruned"),
            has_preview: row.value("has_preview"),
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
        if self.is_deleted {
            Err(VersionState::Deleted)
        } else if self.is_pruned {
            Err(VersionState::Pruned)
        } else {
            Ok(())
        }
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

/// SQL for the columns that [`State::of`] reads, of a row `v` of `project_versions`.
#[macro_export]
macro_rules! version_state_columns {
    () => {
        "v.status = 'deployed' AS is_deployed, v.soft_deleted_at IS NOT NULL AS is_deleted, v.is_published,
         v.needs_rebuild, v.pruned_at IS NOT NULL AS is_pruned,
         v.preview_url IS NOT NULL OR v.artifact_url IS NOT NULL AS has_preview"
    };
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
            (State { is_pruned: true, ..fine }, [true, true, false, false]),
        ];
        for (state, expected) in cases {
            let can = [state.can_preview(), state.can_publish(), state.can_unpublish(), state.can_restore()];
            assert_eq!(can, expected, "{state:?}");
        }
        assert_eq!(State { is_published: true, ..fine }.delete(), Err(VersionState::Published));
        assert_eq!(State { is_deleted: true, needs_rebuild: true, ..fine }.publish(), Err(VersionState::Deleted));
    }
}
