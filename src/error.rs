//! Every error the extension reports, with its SQLSTATE, message, DETAIL and HINT.
//!
//! `PTnnn` codes are what PostgREST turns into HTTP status nnn.

use std::fmt;

use pgrx::Uuid;
use serde_json::{Value as Json, json};

use crate::content::Flaw;

/// Why a call was refused. Nothing is written when one is returned.
#[derive(Debug)]
pub enum Error {
    /// An argument is missing, malformed or out of its limits. The text names it.
    Invalid(String),
    /// The caller is neither privileged nor signed in.
    NotSignedIn,
    /// The actor's role in a project does not suffice.
    Forbidden {
        project: Uuid,
        needed: &'static str,
    },
    /// `p_user_id` is somebody else.
    NotYourself,
    /// Only privileged callers may do this.
    NotPrivileged(&'static str),
    /// File versions are history.
    HistoryIsImmutable,
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
    /// The file's current version is not the expected one.
    VersionConflict {
        path: String,
        expected: i32,
        current: Option<FileState>,
    },
    /// A live file has the path already.
    PathTaken {
        path: String,
        expected: Option<i32>,
        current: FileState,
    },
    /// The project has an active build.
    BuildActive {
        project: Uuid,
        build: String,
        started_at: String,
    },
    /// The build has ended, and not in the way the call needs.
    BuildEnded {
        project: Uuid,
        build: String,
        status: String,
    },
    /// Somebody else's write came first, and this transaction's snapshot cannot show it.
    LostRace(String),
    /// What is stored of a version does not give its content.
    Damaged {
        project: Uuid,
        path: String,
        version: i32,
        flaw: Flaw,
    },
    /// A defect of ours.
    Internal,
}

/// What a conflict tells about a file's present state; `hash` is `None` for a deleted file.
#[derive(Debug)]
pub struct FileState {
    pub version: i32,
    pub hash: Option<String>,
}

impl Error {
    pub fn sqlstate(&self) -> &'static str {
        use Error::*;
        match self {
            Invalid(_) => "22023",
            NotSignedIn | Forbidden { .. } | NotYourself | NotPrivileged(_) | HistoryIsImmutable => "42501",
            ProjectNotFound(_)
            | FileNotFound { .. }
            | FileVersionNotFound { .. }
            | BuildNotFound { .. }
            | SessionNotFound { .. }
            | VersionNotFound { .. } => "PT404",
            VersionConflict { .. } | PathTaken { .. } | BuildActive { .. } | BuildEnded { .. } => "PT409",
            LostRace(_) => "40001",
            Damaged { .. } => "XX001",
            Internal => "XX000",
        }
    }

    /// JSON for the conflicts, nothing otherwise.
    pub fn detail(&self) -> Option<String> {
        let json = match self {
            Error::VersionConflict { path, expected, current } => conflict(path, Some(*expected), current.as_ref()),
            Error::PathTaken { path, expected, current } => conflict(path, *expected, Some(current)),
            Error::BuildActive { project, build, started_at } => {
                json!({ "project_id": project.to_string(), "build_id": build, "started_at": started_at })
            }
            Error::BuildEnded { project, build, status } => {
                json!({ "project_id": project.to_string(), "build_id": build, "status": status })
            }
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
            VersionConflict { current: None | Some(FileState { hash: None, .. }), .. } => {
                "To create the file, expect version 0."
            }
            VersionConflict { .. } => {
                "Read the current version, bring your change up to it, and try again with its number."
            }
            PathTaken { .. } => "Choose another path, or delete the file that has it.",
            BuildActive { .. } => "Wait for that build to end, or start with p_supersede => true.",
            BuildEnded { .. } => "Start a new build with start_project_build.",
            HistoryIsImmutable => {
                "Save a new version; prune_project_history removes old ones, delete_project removes the project."
            }
            LostRace(_) => "Retry the transaction.",
            Damaged { .. } => "check_project_integrity lists everything that is damaged in the project.",
            Internal => "The server's log says more.",
            _ => return None,
        })
    }
}

fn conflict(path: &str, expected: Option<i32>, current: Option<&FileState>) -> Json {
    json!({
        "file_path": path,
        "expected": expected,
        "current": current.map(|c| c.version),
        "current_hash": current.and_then(|c| c.hash.as_deref()),
    })
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use Error::*;
        match self {
            Invalid(what) => f.write_str(what),
            NotSignedIn => write!(f, "not signed in"),
            Forbidden { project, needed } => write!(f, "project {project}: this needs the role {needed}"),
            NotYourself => write!(f, "p_user_id must be the signed-in user"),
            NotPrivileged(what) => write!(f, "only a privileged role may {what}"),
            HistoryIsImmutable => write!(f, "file versions are not changed or removed by statements of one's own"),
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
            VersionConflict { path, expected, current } => {
                write!(f, "version conflict on file \"{path}\": ")?;
                match expected {
                    0 => write!(f, "expected no such file, ")?,
                    n => write!(f, "expected version {n}, ")?,
                }
                match current {
                    None => write!(f, "there is none"),
                    Some(FileState { version, hash: None }) => write!(f, "it was deleted as version {version}"),
                    Some(FileState { version, .. }) => write!(f, "the current version is {version}"),
                }
            }
            PathTaken { path, .. } => write!(f, "path \"{path}\" is taken by another file"),
            BuildActive { project, build, .. } => {
                write!(f, "project {project} has an active build already: {build}")
            }
            BuildEnded { build, status, .. } => write!(f, "build {build} has ended already: {status}"),
            Damaged { project, path, version, flaw } => {
                write!(f, "version {version} of file \"{path}\" in project {project} is damaged: {flaw}")
            }
            Internal => write!(f, "internal error of pg_versioned"),
            LostRace(what) => write!(f, "could not serialize access to {what} due to a concurrent change"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conflicts_carry_json() {
        let error = Error::VersionConflict {
            path: "a \"b\".txt".into(),
            expected: 3,
            current: Some(FileState { version: 5, hash: Some("ab".into()) }),
        };
        let detail: Json = serde_json::from_str(&error.detail().unwrap()).unwrap();
        assert_eq!(detail, json!({"file_path": "a \"b\".txt", "expected": 3, "current": 5, "current_hash": "ab"}));
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
