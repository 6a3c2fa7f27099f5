//! Snapshots: the files of a project as they were when a version or a build was cut.
//!
//! Every file version is stamped with the number of the snapshot that it will be part of. A snapshot ends by listing the
//! files that changed since the last one, and incrementing that number. So it writes what has changed, reading the heads of
//! all files, and reading it takes one look-up per file, whatever was saved later.

use pgrx::Uuid;

use super::state::{self, State};
use crate::args;
use crate::backend::{Db, Row, Statement, Use};
use crate::error::Error;
use crate::exclusive::Exclusive;

/// A state of all files of a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Files are as of their newest version with no greater stamp.
    pub seq: i32,
    /// Whether the files are listed in `project_file_snapshots`.
    pub is_listed: bool,
}

impl Snapshot {
    /// Before the first file.
    pub const EMPTY: Snapshot = Snapshot { seq: 0, is_listed: true };
    /// The files as they are now.
    pub const NOW: Snapshot = Snapshot { seq: i32::MAX, is_listed: true };

    /// The snapshot in a row of `project_versions`.
    pub fn of(version: &Row) -> Self {
        Snapshot { seq: version.value("snapshot_seq"), is_listed: version.value("snapshot_listed") }
    }
}

/// SQL for the version that a file `h` (a row of `project_file_heads`) has in a snapshot, whose number and whether it is
/// listed are the two parameters; NULL if the file is newer.
#[macro_export]
macro_rules! version_in_snapshot {
    ($seq:literal, $is_listed:literal) => {
        concat!(
            "CASE WHEN h.snapshot_seq <= ",
            $seq,
            " THEN h.version
                  WHEN ",
            $is_listed,
            " THEN (SELECT s.version
                      FROM {s}.project_file_snapshots s
                     WHERE s.project_id = h.project_id AND s.file_id = h.file_id AND s.snapshot_seq <= ",
            $seq,
            " ORDER BY s.snapshot_seq DESC LIMIT 1)
                  ELSE (SELECT v.version
                      FROM {s}.project_file_versions v
                     WHERE v.project_id = h.project_id AND v.file_id = h.file_id AND v.snapshot_seq <= ",
            $seq,
            " ORDER BY v.version DESC LIMIT 1) END"
        )
    };
}

/// Locks the list of snapshots for a call that will end one, before it waits for anything else. Not among the tables of
/// [`Exclusive`]: the schema of 0.1.0 does not have it.
pub fn lock_list(db: &Db) -> Result<(), Error> {
    db.lock_tables(&[(c"project_file_snapshots", Use::Write)], || Ok(()))
}

/// Ends the snapshot that files are saved into; returns it. The caller has refused unseen saves. 09000 if a trigger keeps
/// files from being listed.
pub fn cut(exclusive: &Exclusive) -> Result<Snapshot, Error> {
    static LIST: Statement = Statement::new(
        "WITH changed AS (
            SELECT h.project_id, h.file_id, p.snapshot_seq, h.version
              FROM {s}.projects p
              JOIN {s}.project_file_heads h ON h.project_id = p.id AND h.snapshot_seq > p.listed_snapshot_seq
             WHERE p.id = :project
         ), listed AS (
            INSERT INTO {s}.project_file_snapshots (project_id, file_id, snapshot_seq, version)
            SELECT project_id, file_id, snapshot_seq, version FROM changed
            RETURNING version
         )
         SELECT (SELECT count(*) FROM changed) = (SELECT count(*) FROM listed) AS is_complete",
    );
    static NEXT: Statement = Statement::new(
        "UPDATE {s}.projects
            SET listed_snapshot_seq = snapshot_seq, snapshot_seq = snapshot_seq + 1, updated_at = :now
          WHERE id = :project",
    );
    let project = exclusive.project;
    if !exclusive.db.run(&LIST, &args! { project }).one().value::<bool>("is_complete") {
        return Err(Error::SuppressedSnapshot(project));
    }
    exclusive.db.run(&NEXT, &args! { project, now: exclusive.now });
    Ok(Snapshot { seq: exclusive.snapshot_seq, is_listed: true })
}

/// The snapshot of a version, found with the active snapshot of the database. PT404; PT409 if its files were pruned,
/// or never known.
pub fn of_version(db: &Db, project: Uuid, version_id: &str) -> Result<Snapshot, Error> {
    let row = state::find(db, project, version_id)?;
    if let Some(state) = State::of(&row).without_files {
        return Err(Error::VersionRefused { project, version: version_id.to_owned(), state });
    }
    Ok(Snapshot::of(&row))
}

/// The snapshot that a build was cut at; `None` if it was not, or does not exist.
pub fn of_build(db: &Db, project: Uuid, build_id: &str) -> Option<Snapshot> {
    static BUILD: Statement = Statement::new(
        "SELECT cut_snapshot_seq
           FROM {s}.project_build_metrics
          WHERE project_id = :project AND build_id = :build_id",
    );
    let rows = db.run(&BUILD, &args! { project, build_id });
    let seq = rows.first().and_then(|row| row.get("cut_snapshot_seq"));
    seq.map(|seq| Snapshot { seq, is_listed: true })
}
