//! Every error the extension reports, with its SQLSTATE, message, DETAIL and HINT.
//!
//! `PTnnn` codes are turned into HTTP status nnn by PostgREST.

use std::fmt;

use pgrx::Uuid;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value as Json, json};

use crate::hex;

/// Why a call was refused. If one is returned, nothing is written.
#[derive(Debug)]
pub enum Error {
    /// An argument is missing, malformed or out of range. The text names it.
    Invalid(String),
    /// More lines differ than may be compared or merged.
    TooManyLines {
        path: String,
        lines: usize,
        limit: usize,
    },
    /// A cursor that does not belong to this cluster. The text says why.
    ForeignCursor(String),
    /// The caller is neither privileged nor signed in.
    NotSignedIn,
    /// The actor's role in a project is insufficient.
    Forbidden {
        project: Uuid,
        needed: &'static str,
    },
    /// `p_user_id` is a different user.
    NotYourself,
    /// Only privileged callers may do this.
    NotPrivileged(&'static str),
    /// File versions are history and cannot be changed.
    HistoryIsImmutable,
    /// The caller does not own a table of its own that is to be examined or changed.
    NotTableOwner(String),
    /// A function that locks a user's table was called under REPEATABLE READ or above, whose snapshot may be older than the
    /// lock.
    FixedSnapshot(&'static str),
    /// A replay was asked for in a transaction that has written.
    WrittenAlready,
    /// The caller may not do what a replay of a schema does. The text says what is missing.
    NoRightToReplay(String),
    /// A replay would take more locks than it may.
    TooManyLocks {
        locks: usize,
    },
    /// Something about a user's table is in the way.
    OwnTable {
        table: String,
        /// What it is; follows the table's name.
        what: String,
        /// What to do about it, for DETAIL: a statement, or what is in the way.
        detail: Option<String>,
        hint: &'static str,
    },
    /// A row of a user's table came with another number than the next one.
    NotNextVersion {
        table: String,
        /// The parent's columns and their values.
        parent: Json,
        given: i64,
        /// The highest number that the parent has; 0 if it has none.
        current: i64,
    },
    /// No such project, or not visible to the caller.
    ProjectNotFound(Uuid),
    FileNotFound {
        project: Uuid,
        path: String,
    },
    FileVersionNotFound {
        project: Uuid,
        path: String,
        version: i32,
    },
    BuildNotFound {
        project: Uuid,
        build: String,
    },
    SessionNotFound {
        project: Uuid,
        session: String,
    },
    VersionNotFound {
        project: Uuid,
        version: String,
    },
    VersionConflict(Conflict),
    /// Files of a batch that are not as expected; at least one.
    VersionConflicts(Vec<Conflict>),
    /// A project's config is not the one that was expected; times as in JSON.
    ConfigConflict {
        project: Uuid,
        expected: String,
        current: String,
        config: Box<RawValue>,
    },
    /// The path is already taken by a live file.
    PathTaken {
        path: String,
        expected: Option<i32>,
        current: FileState,
    },
    /// A live file has the path of a directory that another live file is in.
    FileIsDirectory {
        path: String,
        other_path: String,
    },
    /// The project has an active build.
    BuildActive {
        project: Uuid,
        build: String,
        started_at: String,
    },
    /// The build has ended, and not in the way that the call requires.
    BuildEnded {
        project: Uuid,
        build: String,
        status: String,
    },
    /// The build was not cut, so its files are not known.
    BuildNotCut {
        project: Uuid,
        build: String,
    },
    /// The state of a version does not allow what was asked for.
    VersionRefused {
        project: Uuid,
        version: String,
        state: VersionState,
    },
    /// A migration was recorded with another text. Checksums are in hexadecimal.
    MigrationRecorded {
        name: String,
        /// As in JSON.
        applied_at: String,
        recorded: String,
        given: String,
    },
    /// The actor saves more often than `pg_versioned.save_rate` and `save_burst` allow.
    RateLimited {
        project: Uuid,
        retry_after_ms: i64,
    },
    /// Another write came first, and this transaction's snapshot cannot show it.
    LostRace(String),
    /// The stored data of a version does not yield its content.
    Damaged {
        project: Uuid,
        path: String,
        version: i32,
        flaw: Flaw,
    },
    /// A trigger of the database's owner kept the version of a file from being written.
    Suppressed {
        path: String,
    },
    /// The same, for the list of the files of a snapshot.
    SuppressedSnapshot(Uuid),
    /// A trigger of a user kept a row of their table from being changed.
    SuppressedRow(String),
    /// The same, for the record of what was imported.
    SuppressedMap,
    /// A table or index of the extension does not exist under its name, or is not usable.
    Missing {
        kind: &'static str,
        name: String,
    },
    /// Library and schema are of different versions. The text says what does not fit.
    Mismatch(String),
    /// A bug in this extension.
    Internal,
}

/// What to do when library and schema are of different versions.
macro_rules! update {
    () => {
        "Run ALTER EXTENSION pg_versioned UPDATE; if that has been done, reconnect: this session has loaded another version of the library."
    };
}

/// What is in the way of changing or reading a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionState {
    Deleted,
    Published,
    NeedsRebuild,
    /// It is still being built, or its build failed: an imported version.
    NotDeployed,
    /// Its kind of change has been said already.
    Classified,
    /// Files of its snapshot were removed after it was deleted.
    Pruned,
    /// It was imported, and what its files were is not known.
    Imported,
}

impl VersionState {
    /// Its name in DETAIL.
    fn name(self) -> &'static str {
        match self {
            VersionState::Deleted => "deleted",
            VersionState::Published => "published",
            VersionState::NeedsRebuild => "needs_rebuild",
            VersionState::NotDeployed => "not_deployed",
            VersionState::Classified => "classified",
            VersionState::Pruned => "pruned",
            VersionState::Imported => "imported",
        }
    }
}

impl fmt::Display for VersionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            VersionState::Deleted => "is deleted",
            VersionState::Published => "is published",
            VersionState::NeedsRebuild => "needs a rebuild",
            VersionState::NotDeployed => "is not deployed",
            VersionState::Classified => "has its change_type already",
            VersionState::Pruned => "has lost files, which were pruned while it was deleted",
            VersionState::Imported => "was imported without its files",
        })
    }
}

/// Why a version's content cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// It is not there.
    Missing,
    /// The version it stands on is missing.
    BaseMissing,
    /// The stored bytes do not represent any content of its size.
    Undecodable,
    /// The content differs from the one that was saved.
    HashMismatch,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Flaw::Missing => "it is missing",
            Flaw::BaseMissing => "the version it stands on is missing",
            Flaw::Undecodable => "its stored content cannot be decoded",
            Flaw::HashMismatch => "its content does not match its hash",
        })
    }
}

/// Maximum number of conflicts of a batch listed in DETAIL; beyond that, it only gives their number.
const LISTED_CONFLICTS: usize = 50;

/// A file's current version is not the expected one.
#[derive(Debug)]
pub struct Conflict {
    pub path: String,
    pub expected: i32,
    pub current: Option<FileState>,
}

/// What a conflict reports about a file's current state; `hash` is `None` for a deleted file.
#[derive(Debug)]
pub struct FileState {
    pub version: i32,
    pub hash: Option<[u8; 32]>,
}

impl Error {
    pub fn sqlstate(&self) -> &'static str {
        use Error::*;
        match self {
            Invalid(_) | TooManyLines { .. } | ForeignCursor(_) => "22023",
            NotSignedIn
            | Forbidden { .. }
            | NotYourself
            | NotPrivileged(_)
            | HistoryIsImmutable
            | NotTableOwner(_)
            | NoRightToReplay(_) => "42501",
            ProjectNotFound(_)
            | FileNotFound { .. }
            | FileVersionNotFound { .. }
            | BuildNotFound { .. }
            | SessionNotFound { .. }
            | VersionNotFound { .. } => "PT404",
            VersionConflict(_)
            | VersionConflicts(_)
            | ConfigConflict { .. }
            | PathTaken { .. }
            | FileIsDirectory { .. }
            | BuildActive { .. }
            | BuildEnded { .. }
            | BuildNotCut { .. }
            | VersionRefused { .. }
            | NotNextVersion { .. }
            | MigrationRecorded { .. } => "PT409",
            RateLimited { .. } => "PT429",
            LostRace(_) => "40001",
            Damaged { .. } => "XX001",
            Suppressed { .. } | SuppressedSnapshot(_) | SuppressedRow(_) | SuppressedMap => "09000",
            Missing { .. } | Mismatch(_) | OwnTable { .. } => "55000",
            FixedSnapshot(_) | WrittenAlready => "25001",
            TooManyLocks { .. } => "53400",
            Internal => "XX000",
        }
    }

    /// JSON for conflicts and limits, text for a mismatch, otherwise none.
    pub fn detail(&self) -> Option<String> {
        let json = match self {
            Error::VersionConflict(conflict) => conflict.json(),
            Error::VersionConflicts(conflicts) => {
                let mut json = conflicts.first().map(Conflict::json).unwrap_or_default();
                json["conflicts"] = conflicts.iter().take(LISTED_CONFLICTS).map(Conflict::json).collect();
                json["conflict_count"] = conflicts.len().into();
                json
            }
            Error::ConfigConflict { project, expected, current, config } => {
                let project_id = project.to_string();
                let detail = ConfigDetail { project_id, expected, current, config };
                return Some(serde_json::to_string(&detail).expect("texts and JSON"));
            }
            Error::PathTaken { path, expected, current } => conflict(path, *expected, Some(current)),
            Error::FileIsDirectory { path, other_path } => json!({ "file_path": path, "other_path": other_path }),
            Error::RateLimited { retry_after_ms, .. } => json!({ "retry_after_ms": retry_after_ms }),
            Error::BuildActive { project, build, started_at } => {
                json!({ "project_id": project.to_string(), "build_id": build, "started_at": started_at })
            }
            Error::BuildEnded { project, build, status } => {
                json!({ "project_id": project.to_string(), "build_id": build, "status": status })
            }
            Error::BuildNotCut { project, build } => {
                json!({ "project_id": project.to_string(), "build_id": build })
            }
            Error::VersionRefused { project, version, state } => {
                json!({ "project_id": project.to_string(), "version_id": version, "state": state.name() })
            }
            Error::NotNextVersion { table, parent, given, current } => {
                json!({ "table": table, "parent": parent, "expected": given - 1, "current": current })
            }
            Error::MigrationRecorded { name, applied_at, recorded, given } => {
                json!({ "name": name, "applied_at": applied_at, "recorded_sha256": recorded, "given_sha256": given })
            }
            Error::OwnTable { detail, .. } => return detail.clone(),
            Error::Mismatch(what) => return Some(what.clone()),
            _ => return None,
        };
        Some(json.to_string())
    }

    pub fn hint(&self) -> Option<&'static str> {
        use Error::*;
        Some(match self {
            NotSignedIn => {
                "Sign in with a JWT whose sub is a uuid, log in as a role with pg_versioned.actor_id set, or call as a privileged role."
            }
            ForeignCursor(_) => "Start again without p_after: you will see earlier changes again, but miss none.",
            VersionConflict(Conflict { current: None | Some(FileState { hash: None, .. }), .. }) => {
                "To create the file, expect version 0."
            }
            TooManyLines { .. } => {
                "Equal lines at the beginning and the end do not count. A superuser can raise the limit."
            }
            VersionConflict(_) => "Read the current version, apply your change to it, and try again with its number.",
            VersionConflicts(_) => {
                "Read the current versions, apply your changes to them, and try the whole batch again."
            }
            ConfigConflict { .. } => {
                "Apply your change to the current config, and try again with its config_updated_at."
            }
            RateLimited { .. } => "Wait for retry_after_ms milliseconds, then try again; save less often.",
            PathTaken { .. } => "Choose another path, or delete the file that has it.",
            FileIsDirectory { .. } => {
                "Move one of them, and remove the versions from when both existed with prune_project_history."
            }
            BuildActive { .. } => "Wait for that build to end, or start with p_supersede => true.",
            BuildEnded { .. } => "Start a new build with start_project_build.",
            BuildNotCut { .. } => "Fix its files with cut_project_build, before building from them.",
            VersionRefused { state, .. } => match state {
                VersionState::Deleted => "Bring it back with undelete_project_version.",
                VersionState::Published => "Publish another version, or unpublish it with unpublish_project_version.",
                VersionState::NeedsRebuild => "Build it again, and clear needs_rebuild with update_version_metadata.",
                VersionState::NotDeployed => "Only what a build has deployed can be published.",
                VersionState::Classified => {
                    "A version's number is given at most twice: by default, and by its change_type."
                }
                VersionState::Pruned => "What it held is gone. Other versions are not affected.",
                VersionState::Imported => "Only versions that were made here have files.",
            },
            HistoryIsImmutable => {
                "Save a new version; prune_project_history removes old ones, delete_project removes the project."
            }
            LostRace(_) => "Retry the transaction.",
            Damaged { .. } => "check_project_integrity lists everything that is damaged in the project.",
            Missing { .. } => concat!(
                update!(),
                " Otherwise restore its name, REINDEX it, or restore it from another installation of the extension."
            ),
            Mismatch(_) => update!(),
            Internal => "See the server log for details.",
            OwnTable { hint, .. } => hint,
            WrittenAlready => "Call it in a transaction of its own, before anything is written.",
            TooManyLocks { .. } => "Raise max_locks_per_transaction, or replay fewer migrations at once.",
            FixedSnapshot(_) => {
                "Call it under READ COMMITTED: a fixed snapshot may lack rows that were committed before the table was locked."
            }
            MigrationRecorded { .. } => "Undo the change to its text, and make it in a new migration.",
            NotNextVersion { .. } => {
                "Read the current version, apply your change to it, and insert it with the next number, or without one."
            }
            _ => return None,
        })
    }
}

impl Conflict {
    fn json(&self) -> Json {
        conflict(&self.path, Some(self.expected), self.current.as_ref())
    }
}

/// DETAIL of a conflict about a config, which is kept to the letter.
#[derive(Serialize)]
struct ConfigDetail<'a> {
    project_id: String,
    expected: &'a str,
    current: &'a str,
    config: &'a RawValue,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "file \"{}\": ", self.path)?;
        match self.expected {
            0 => write!(f, "expected no such file, ")?,
            n => write!(f, "expected version {n}, ")?,
        }
        match self.current {
            None => write!(f, "there is none"),
            Some(FileState { version, hash: None }) => write!(f, "it was deleted as version {version}"),
            Some(FileState { version, .. }) => write!(f, "the current version is {version}"),
        }
    }
}

fn conflict(path: &str, expected: Option<i32>, current: Option<&FileState>) -> Json {
    json!({
        "file_path": path,
        "expected": expected,
        "current": current.map(|c| c.version),
        "current_hash": current.and_then(|c| c.hash).map(|hash| hex::encode(&hash)),
    })
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use Error::*;
        match self {
            Invalid(what) | ForeignCursor(what) => f.write_str(what),
            TooManyLines { path, lines, limit } => write!(
                f,
                "file \"{path}\" has {lines} lines to compare, the limit pg_versioned.max_compared_lines is {limit}"
            ),
            NotSignedIn => write!(f, "not signed in"),
            Forbidden { project, needed } => write!(f, "project {project}: this needs the role {needed}"),
            NotYourself => write!(f, "p_user_id must be the signed-in user"),
            NotPrivileged(what) => write!(f, "only a privileged role may {what}"),
            HistoryIsImmutable => {
                write!(f, "file versions can only be changed or removed by the functions of pg_versioned")
            }
            NotTableOwner(table) => write!(f, "must be owner of table {table}"),
            OwnTable { table, what, .. } => write!(f, "table {table} {what}"),
            WrittenAlready => write!(f, "migrations cannot be replayed in a transaction that has written already"),
            NoRightToReplay(what) => f.write_str(what),
            TooManyLocks { locks } => {
                write!(
                    f,
                    "the replay stopped after {locks} locks: all replays together take half of what max_locks_per_transaction provides for at most"
                )
            }
            FixedSnapshot(function) => write!(f, "{function} does not run under REPEATABLE READ or SERIALIZABLE"),
            NotNextVersion { table, parent, given, current } => {
                write!(
                    f,
                    "version conflict in table {table} on {parent}: version {given} is not the next one, the current version is {current}"
                )
            }
            MigrationRecorded { name, .. } => write!(f, "migration \"{name}\" has been recorded with another text"),
            ProjectNotFound(project) => write!(f, "project {project} not found"),
            FileNotFound { project, path } => write!(f, "file \"{path}\" not found in project {project}"),
            FileVersionNotFound { project, path, version } => {
                write!(f, "version {version} of file \"{path}\" not found in project {project}")
            }
            BuildNotFound { project, build } => write!(f, "build \"{build}\" not found in project {project}"),
            SessionNotFound { project, session } => {
                write!(f, "AI time session \"{session}\" not found in project {project}")
            }
            VersionNotFound { project, version } => {
                write!(f, "version \"{version}\" not found in project {project}")
            }
            VersionConflict(conflict) => write!(f, "version conflict on {conflict}"),
            VersionConflicts(conflicts) => {
                const SHOWN: usize = 5;
                write!(f, "version conflicts ({}) on ", conflicts.len())?;
                for (n, conflict) in conflicts.iter().take(SHOWN).enumerate() {
                    write!(f, "{}{conflict}", if n == 0 { "" } else { "; " })?;
                }
                if conflicts.len() > SHOWN { f.write_str("; ...") } else { Ok(()) }
            }
            ConfigConflict { project, expected, current, .. } => {
                write!(f, "config of project {project} is of {current}, not of {expected}")
            }
            RateLimited { project, retry_after_ms } => {
                write!(f, "too many saves in project {project}: try again in {retry_after_ms} ms")
            }
            PathTaken { path, .. } => write!(f, "path \"{path}\" is taken by another file"),
            FileIsDirectory { path, other_path } => {
                write!(f, "files \"{path}\" and \"{other_path}\" exist at the same time, which they cannot in git")
            }
            BuildActive { project, build, .. } => {
                write!(f, "project {project} has an active build already: {build}")
            }
            BuildEnded { build, status, .. } => write!(f, "build {build} has ended already: {status}"),
            BuildNotCut { build, .. } => write!(f, "build {build} has not been cut"),
            VersionRefused { version, state, .. } => write!(f, "version {version} {state}"),
            Damaged { project, path, version, flaw } => {
                write!(f, "version {version} of file \"{path}\" in project {project} is damaged: {flaw}")
            }
            Suppressed { path } => write!(f, "a trigger suppressed the new version of file \"{path}\""),
            SuppressedSnapshot(project) => {
                write!(f, "a trigger suppressed the list of the files that a snapshot of project {project} holds")
            }
            SuppressedRow(table) => {
                write!(f, "a trigger suppressed a change that follows from another one in table {table}")
            }
            SuppressedMap => write!(f, "a trigger suppressed the record of what was imported"),
            Missing { kind, name } => write!(f, "pg_versioned has no {kind} named \"{name}\""),
            Mismatch(_) => f.write_str(concat!(
                "the library of pg_versioned (version ",
                env!("CARGO_PKG_VERSION"),
                ") does not fit the extension's tables or functions"
            )),
            Internal => write!(f, "internal error in pg_versioned"),
            LostRace(what) => write!(f, "could not serialize access to {what} due to a concurrent change"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conflicts_carry_json() {
        let error = Error::VersionConflict(Conflict {
            path: "a \"b\".txt".into(),
            expected: 3,
            current: Some(FileState { version: 5, hash: Some([0xab; 32]) }),
        });
        let detail: Json = serde_json::from_str(&error.detail().unwrap()).unwrap();
        assert_eq!(
            detail,
            json!({"file_path": "a \"b\".txt", "expected": 3, "current": 5, "current_hash": "ab".repeat(32)})
        );
        assert!(error.hint().is_some());
    }

    #[test]
    fn every_sqlstate_has_five_characters() {
        let nobody = Uuid::from_bytes([0; 16]);
        for error in [Error::Invalid("x".into()), Error::NotSignedIn, Error::ProjectNotFound(nobody)] {
            assert_eq!(error.sqlstate().len(), 5);
        }
    }
}
