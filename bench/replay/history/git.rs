//! The git program: commands that run to their end, and processes that stay.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::error::{HistoryError, Result, io_error, unexpected};

/// Git, run in a folder.
pub(super) struct Git {
    pub(super) folder: PathBuf,
    /// Whether it goes by its own settings alone, and not by the user's.
    pub(super) own_settings: bool,
}

impl Git {
    fn command(&self) -> Command {
        let mut git = Command::new("git");
        // A hook's environment would point git at another repository than the one asked for.
        git.arg("-C").arg(&self.folder).env_remove("GIT_DIR").env_remove("GIT_WORK_TREE");
        if self.own_settings {
            for variable in ["GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES"] {
                git.env_remove(variable);
            }
            git.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
        }
        git
    }

    /// Runs a command to its end and returns what it printed.
    pub(super) fn run<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(&self, args: I) -> Result<Vec<u8>> {
        let mut git = self.command();
        git.args(args).stdin(Stdio::null());
        let command = git.get_args().nth(2).unwrap_or_default().to_string_lossy().into_owned();
        let output = git.output().map_err(io_error(&command))?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let reason = String::from_utf8_lossy(output.stderr.trim_ascii()).replace('\n', " ");
        Err(HistoryError::Failed { command, reason })
    }

    /// Starts a command and leaves it running.
    pub(super) fn converse(&self, args: &[&str]) -> Result<Conversation> {
        let command = args[0].to_owned();
        let mut child = self
            .command()
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(io_error(&command))?;
        match (child.stdin.take(), child.stdout.take()) {
            (questions @ Some(_), Some(answers)) => {
                Ok(Conversation { command, child, questions, answers: BufReader::with_capacity(1 << 16, answers) })
            }
            _ => Err(unexpected(&command, b"no pipes")),
        }
    }
}

/// A running git command that is asked on its standard input and answers on its standard output.
pub(super) struct Conversation {
    command: String,
    child: Child,
    pub(super) questions: Option<ChildStdin>,
    pub(super) answers: BufReader<ChildStdout>,
}

impl Conversation {
    /// Reads up to a NUL and drops it; `None` at the end.
    pub(super) fn next_token(&mut self) -> Result<Option<Vec<u8>>> {
        let mut token = Vec::new();
        let read = self.answers.read_until(0, &mut token).map_err(io_error(&self.command))?;
        if token.last() == Some(&0) {
            token.pop();
        }
        Ok((read > 0).then_some(token))
    }

    /// At the end of the answers: whether git came to it in order.
    pub(super) fn finish(&mut self) -> Result<()> {
        let status = self.child.wait().map_err(io_error(&self.command))?;
        if status.success() {
            return Ok(());
        }
        // What git had to say went to the terminal.
        Err(HistoryError::Failed { command: self.command.clone(), reason: String::new() })
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        // Nothing is owed to a process whose answers nobody reads any more; an error means it is gone.
        self.questions = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
