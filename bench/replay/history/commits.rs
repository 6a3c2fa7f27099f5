//! The stream of commits and what each changed.

use std::io::Write;
use std::thread;

use super::error::{Result, unexpected};
use super::git::{Conversation, Git};
use super::object::{Kind, Object, Oid};

/// One path that a commit touched.
#[derive(Debug, PartialEq, Eq)]
pub struct Change {
    /// The path as git has it: any bytes but NUL.
    pub path: Vec<u8>,
    /// What stands there after the commit; `None` when it was deleted.
    pub now: Option<Object>,
}

/// A commit of the line and what it changed since its first parent.
#[derive(Debug)]
pub struct Commit {
    /// The commit's name.
    pub id: Oid,
    /// Its changes in order of path; a rename is a deletion and an addition.
    pub changes: Vec<Change>,
}

/// The commits of a line, oldest first, one at a time.
pub struct Commits {
    git: Conversation,
    next: Option<Oid>,
    done: bool,
}

impl Commits {
    pub(super) fn start(git: &Git, line: &[Oid]) -> Result<Self> {
        let mut git = git.converse(&[
            "diff-tree",
            "--stdin",
            "--root",
            "--always",
            "-r",
            "-z",
            "--raw",
            "--no-renames",
            "--no-abbrev",
            "--no-relative",
            "--ignore-submodules=none",
        ])?;
        let mut questions = git.questions.take().ok_or_else(|| unexpected("diff-tree", b"no pipe"))?;
        let lines = diff_tree_questions(line);
        // Both pipes are finite: whoever writes all questions before reading an answer stands still.
        // A write fails only when git has ended, and then the reader says so.
        thread::spawn(move || questions.write_all(lines.as_bytes()));
        Ok(Self { git, next: None, done: false })
    }

    fn read_commit(&mut self) -> Result<Option<Commit>> {
        let mut commit = self.next.take().map(|id| Commit { id, changes: Vec::new() });
        while let Some(token) = self.git.next_token()? {
            match (&mut commit, token.strip_prefix(b":")) {
                (Some(commit), Some(record)) => {
                    let now = parse_raw_record(record).ok_or_else(|| unexpected("diff-tree", &token))?;
                    let path = self.git.next_token()?.ok_or_else(|| unexpected("diff-tree", &token))?;
                    commit.changes.push(Change { path, now });
                }
                (_, None) => {
                    let id = Oid::parse(&token).ok_or_else(|| unexpected("diff-tree", &token))?;
                    if commit.is_some() {
                        self.next = Some(id);
                        return Ok(commit);
                    }
                    commit = Some(Commit { id, changes: Vec::new() });
                }
                (None, Some(_)) => return Err(unexpected("diff-tree", &token)),
            }
        }
        if !self.done {
            self.done = true;
            self.git.finish()?;
        }
        Ok(commit)
    }
}

impl Iterator for Commits {
    type Item = Result<Commit>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read_commit().transpose()
    }
}

/// Each commit with its predecessor named as the only parent: a merge's other parents do not count.
fn diff_tree_questions(line: &[Oid]) -> String {
    let mut questions = String::with_capacity(line.len() * 82);
    for (index, commit) in line.iter().enumerate() {
        questions.push_str(&commit.to_string());
        if let Some(parent) = index.checked_sub(1).and_then(|before| line.get(before)) {
            questions.push(' ');
            questions.push_str(&parent.to_string());
        }
        questions.push('\n');
    }
    questions
}

/// `<old mode> <new mode> <old oid> <new oid> <status>`, without the colon.
fn parse_raw_record(record: &[u8]) -> Option<Option<Object>> {
    let mut fields = record.split(|&byte| byte == b' ');
    let (_, mode, _, oid, status) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    match status {
        b"D" => Some(None),
        b"A" | b"M" | b"T" => Some(Some(Object { kind: Kind::of_mode(mode)?, oid: Oid::parse(oid)? })),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OID: &str = "78981922613b2afb6025042ff6bd878ac1994e85";

    fn oid() -> Oid {
        Oid::parse(OID.as_bytes()).expect("a valid object name")
    }

    #[test]
    fn raw_records_tell_saves_deletions_and_kinds() {
        let zeros = "0".repeat(40);
        let saved = |kind| Some(Some(Object { kind, oid: oid() }));
        let parse = |record: String| parse_raw_record(record.as_bytes());
        assert_eq!(parse(format!("000000 100755 {zeros} {OID} A")), saved(Kind::File));
        assert_eq!(parse(format!("100644 120000 {zeros} {OID} T")), saved(Kind::Symlink));
        assert_eq!(parse(format!("160000 160000 {zeros} {OID} M")), saved(Kind::Submodule));
        assert_eq!(parse(format!("100644 000000 {OID} {zeros} D")), Some(None));
        assert_eq!(parse(format!("100644 100644 {zeros} {OID} X")), None);
    }
}
