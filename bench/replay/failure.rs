//! What can stop the demo, in words for the person at the terminal.

use std::fmt;

use crate::history::HistoryError;

/// Why the demo could not go on.
#[derive(Debug)]
pub enum Failure {
    /// The git repository could not be read.
    History(HistoryError),
    /// Postgres could not be reached, or refused something.
    Database { doing: String, source: postgres::Error },
    /// The server lacks what the demo needs.
    Server(String),
    /// The extension answered what its contract rules out.
    Broken(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::History(error) => write!(f, "{error}"),
            Self::Database { doing, source } => {
                write!(f, "{doing}: ")?;
                describe(source, f)
            }
            Self::Server(what) | Self::Broken(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::History(error) => Some(error),
            Self::Database { source, .. } => Some(source),
            Self::Server(_) | Self::Broken(_) => None,
        }
    }
}

impl From<HistoryError> for Failure {
    fn from(error: HistoryError) -> Self {
        Self::History(error)
    }
}

/// Says what the demo was doing when Postgres failed.
pub trait Doing<T> {
    /// `what` reads like "saving src/main.rs".
    fn doing(self, what: impl fmt::Display) -> Result<T, Failure>;
}

impl<T> Doing<T> for Result<T, postgres::Error> {
    fn doing(self, what: impl fmt::Display) -> Result<T, Failure> {
        self.map_err(|source| Failure::Database { doing: what.to_string(), source })
    }
}

/// The driver's own text of a server error is just "db error"; of others it leaves the cause out.
fn describe(error: &postgres::Error, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if let Some(db) = error.as_db_error() {
        write!(f, "{} (SQLSTATE {})", db.message(), db.code().code())?;
        if let Some(detail) = db.detail() {
            write!(f, "\n  detail: {detail}")?;
        }
        if let Some(hint) = db.hint() {
            write!(f, "\n  hint: {hint}")?;
        }
        return Ok(());
    }
    write!(f, "{error}")?;
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let text = error.to_string();
        write!(f, ": {text}")?;
        cause = error.source();
    }
    Ok(())
}
