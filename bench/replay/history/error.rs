//! What can go wrong between this reader and git.

use std::fmt;
use std::io;
use std::path::PathBuf;

pub(super) type Result<T> = std::result::Result<T, HistoryError>;

/// Why a history could not be read.
#[derive(Debug)]
pub enum HistoryError {
    /// Git does not take the folder for a repository; with git's own words.
    NotARepository { path: PathBuf, reason: String },
    /// HEAD names no commit.
    NoCommits { path: PathBuf },
    /// A git command failed; with git's own words, where they did not go to the terminal.
    Failed { command: String, reason: String },
    /// Git could not be run, or stopped talking.
    Io { command: String, source: io::Error },
    /// Git said something this reader does not understand.
    Unexpected { command: String, said: String },
}

impl fmt::Display for HistoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotARepository { path, reason } => {
                write!(f, "{} is not a git repository ({reason})", path.display())
            }
            Self::NoCommits { path } => {
                write!(f, "the git repository {} has no commits", path.display())
            }
            Self::Failed { command, reason } if reason.is_empty() => {
                write!(f, "git {command} failed")
            }
            Self::Failed { command, reason } => write!(f, "git {command} failed: {reason}"),
            Self::Io { command, source } if source.kind() == io::ErrorKind::NotFound => {
                write!(f, "git {command} could not be run: is git installed?")
            }
            Self::Io { command, source } => write!(f, "git {command}: {source}"),
            Self::Unexpected { command, said } => {
                write!(f, "git {command} answered something unexpected: {said}")
            }
        }
    }
}

impl std::error::Error for HistoryError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// For `map_err`: git could not be run, or stopped talking.
pub(super) fn io_error(command: &str) -> impl FnOnce(io::Error) -> HistoryError {
    move |source| HistoryError::Io { command: command.to_owned(), source }
}

/// Git said something else than it should.
pub(super) fn unexpected(command: &str, said: &[u8]) -> HistoryError {
    HistoryError::Unexpected { command: command.to_owned(), said: String::from_utf8_lossy(said).into_owned() }
}
