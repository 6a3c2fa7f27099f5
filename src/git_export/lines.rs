//! The lines of the stream; see `git help fast-import`. Knows nothing about Postgres.
//!
//! Every text here is one or more lines without the last line feed. After a file's content, git does not mind one.

use std::fmt::Write;

use pgrx::Uuid;

use super::authors::Authors;
use super::tree::Tree;
use crate::error::Error;
use crate::path::quoted;

/// The first line: git then refuses a stream that is cut off before [`LAST`].
pub const FIRST: &str = "feature done";
pub const LAST: &str = "done";

/// A file's version in the history.
pub struct Change {
    pub commit: Commit,
    pub path: String,
    pub is_deleted: bool,
    /// The file's next versions have been pruned: it is not known how long it stayed at this path.
    pub has_gap: bool,
    /// The path of the version before, unless that is a deletion or there is none.
    pub old_path: Option<String>,
}

/// What the changes of a commit have in common.
pub struct Commit {
    pub number: i64,
    pub author: Option<Uuid>,
    /// Unix time in seconds.
    pub at: i64,
    /// How many files it changes.
    pub files: i64,
}

/// A version of the project.
pub struct Tag {
    /// `1.2.0` or `1.2.0-beta.1`.
    pub number: String,
    pub author: Option<Uuid>,
    /// Unix time in seconds.
    pub at: i64,
    pub name: Option<String>,
    pub description: Option<String>,
}

/// Turns a history into lines. Within a commit, files leave their old paths before others take them.
pub struct Lines {
    authors: Authors,
    tree: Tree,
    /// The number of the commit that the last change belongs to.
    commit: Option<i64>,
    /// The last commit's mark; 0 if there was none.
    mark: u64,
}

impl Lines {
    pub fn new(authors: Authors, tree: Tree) -> Self {
        Lines { authors, tree, commit: None, mark: 0 }
    }

    /// The change's file leaves its old path. There may be nothing left to say about that.
    pub fn leave(&mut self, change: &Change) -> Result<Option<String>, Error> {
        let mut lines = self.begin(change)?;
        let path = change.old_path.as_ref().unwrap_or(&change.path);
        // A path that was dropped may be a directory now.
        if !self.tree.remove(path) {
            push_deletion(&mut lines, path);
        }
        Ok(row(lines))
    }

    /// The change itself, with the content unless it is a deletion. There may be nothing left to say about that.
    pub fn change(&mut self, change: &Change, content: Option<&str>) -> Result<Option<String>, Error> {
        let mut lines = self.begin(change)?;
        let Some(content) = content else { return Ok(row(lines)) };
        for path in self.tree.add(&change.path, change.has_gap) {
            push_deletion(&mut lines, &path);
        }
        let _ = writeln!(lines, "M 100644 inline {}", quoted(&change.path));
        push_data(&mut lines, content);
        Ok(Some(lines))
    }

    /// An annotated tag on the last commit.
    pub fn tag(&mut self, tag: &Tag) -> Result<String, Error> {
        self.tree.commit()?;
        self.tree.tag()?;
        let mut lines = String::new();
        if self.mark == 0 {
            self.push_commit(&mut lines, tag.author, tag.at, "Empty project");
        }
        let name = tag_name(&tag.number);
        let mut message = tag.name.clone().unwrap_or_else(|| name.clone());
        if let Some(description) = &tag.description {
            message.push_str("\n\n");
            message.push_str(description);
        }
        message.push('\n');
        let _ = writeln!(lines, "tag {name}\nfrom :{}\ntagger {}", self.mark, self.who(tag.author, tag.at));
        push_data(&mut lines, &message);
        lines.pop();
        Ok(lines)
    }

    /// The end of the stream.
    pub fn end(&mut self) -> Result<&'static str, Error> {
        self.tree.commit()?;
        Ok(LAST)
    }

    /// The lines before the first change of a commit.
    fn begin(&mut self, change: &Change) -> Result<String, Error> {
        let mut lines = String::new();
        if self.commit != Some(change.commit.number) {
            self.tree.commit()?;
            self.commit = Some(change.commit.number);
            self.push_commit(&mut lines, change.commit.author, change.commit.at, &summary(change));
        }
        Ok(lines)
    }

    fn push_commit(&mut self, lines: &mut String, author: Option<Uuid>, at: i64, summary: &str) {
        self.mark += 1;
        let (mark, who) = (self.mark, self.who(author, at));
        let _ = writeln!(lines, "commit refs/heads/main\nmark :{mark}\nauthor {who}\ncommitter {who}");
        push_data(lines, &format!("{summary}\n"));
    }

    /// Git has no times before 1970.
    fn who(&self, author: Option<Uuid>, at: i64) -> String {
        format!("{} {} +0000", self.authors.ident(author), at.max(0))
    }
}

fn summary(change: &Change) -> String {
    let path = &change.path;
    match (change.commit.files, change.is_deleted, &change.old_path) {
        (2.., ..) => format!("Change {} files", change.commit.files),
        (_, true, _) => format!("Delete {path}"),
        (_, _, Some(old)) if old != path => format!("Move {old} to {path}"),
        _ => format!("Save {path}"),
    }
}

/// Lines without the last line feed; None if there are none.
fn row(mut lines: String) -> Option<String> {
    // Whoever reads the row adds it again.
    lines.pop().map(|_| lines)
}

/// Git refuses names that end in `.lock`, which a prerelease may.
fn tag_name(number: &str) -> String {
    match number.strip_suffix(".lock") {
        Some(number) => format!("v{number}-lock"),
        None => format!("v{number}"),
    }
}

fn push_deletion(lines: &mut String, path: &str) {
    let _ = writeln!(lines, "D {}", quoted(path));
}

fn push_data(lines: &mut String, data: &str) {
    lines.reserve(data.len() + 32);
    let _ = writeln!(lines, "data {}", data.len());
    lines.push_str(data);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn lines() -> Lines {
        Lines::new(Authors::default(), Tree::new(BTreeSet::from(["a".to_owned()])))
    }

    fn change(number: i64, files: i64, old_path: Option<&str>, path: Option<&str>) -> Change {
        Change {
            commit: Commit { number, author: None, at: 1_700_000_000 + number, files },
            path: path.or(old_path).unwrap_or_default().to_owned(),
            is_deleted: path.is_none(),
            has_gap: false,
            old_path: old_path.map(str::to_owned),
        }
    }

    fn tag(number: &str, name: Option<&str>, description: Option<&str>) -> Tag {
        let [name, description] = [name, description].map(|text| text.map(str::to_owned));
        Tag { number: number.to_owned(), author: None, at: -1, name, description }
    }

    fn header(mark: u64, number: i64, summary: &str) -> String {
        let who = format!("unknown <> {} +0000", 1_700_000_000 + number);
        let length = summary.len() + 1;
        format!("commit refs/heads/main\nmark :{mark}\nauthor {who}\ncommitter {who}\ndata {length}\n{summary}\n")
    }

    #[test]
    fn a_commit_begins_with_its_first_change() {
        let mut lines = lines();
        let [leaves, takes] = [change(7, 2, Some("x \"y\""), Some("é z")), change(7, 2, None, Some("b"))];
        assert_eq!(lines.leave(&leaves).unwrap(), Some(header(1, 7, "Change 2 files") + "D \"x \\\"y\\\"\""));
        let saved = lines.change(&leaves, Some("é\r\n")).unwrap();
        assert_eq!(saved.as_deref(), Some("M 100644 inline é z\ndata 4\né\r\n"));
        assert_eq!(lines.change(&takes, Some("")).unwrap().as_deref(), Some("M 100644 inline b\ndata 0\n"));
        let next = change(8, 1, None, Some("b"));
        assert_eq!(
            lines.change(&next, Some("x")).unwrap(),
            Some(header(2, 8, "Save b") + "M 100644 inline b\ndata 1\nx")
        );
        assert_eq!(lines.end().unwrap(), "done");
    }

    #[test]
    fn a_deletion_is_its_old_path() {
        let mut lines = lines();
        let deleted = change(1, 1, Some("b"), None);
        assert_eq!(lines.leave(&deleted).unwrap(), Some(header(1, 1, "Delete b") + "D b"));
        assert_eq!(lines.change(&deleted, None).unwrap(), None);
        // Nothing is known of the versions before.
        let pruned = Change { old_path: None, ..change(2, 1, Some("c"), None) };
        let begun = lines.change(&pruned, None).unwrap();
        assert_eq!(begun.map(|begun| begun + "\n"), Some(header(2, 2, "Delete c")));
    }

    #[test]
    fn one_change_is_the_summary() {
        for (change, due) in [
            (change(1, 1, None, Some("a")), "Save a"),
            (change(1, 1, Some("a"), Some("a")), "Save a"),
            (change(1, 1, Some("a"), Some("b \"c\"")), "Move a to b \"c\""),
            (change(1, 1, Some("a"), None), "Delete a"),
            (change(1, 3, Some("a"), None), "Change 3 files"),
        ] {
            assert_eq!(summary(&change), due);
        }
    }

    #[test]
    fn tags_are_on_the_last_commit() {
        let mut lines = lines();
        let first = lines.tag(&tag("1.0.0", None, None)).unwrap();
        let who = "unknown <> 0 +0000";
        let empty = format!("commit refs/heads/main\nmark :1\nauthor {who}\ncommitter {who}\ndata 14\nEmpty project\n");
        assert_eq!(first, format!("{empty}tag v1.0.0\nfrom :1\ntagger {who}\ndata 7\nv1.0.0"));
        lines.change(&change(1, 1, None, Some("a")), Some("")).unwrap();
        assert_eq!(
            lines.tag(&tag("1.1.0-x.lock", Some("É"), Some("b\n\nc\n"))).unwrap(),
            format!("tag v1.1.0-x-lock\nfrom :2\ntagger {who}\ndata 10\nÉ\n\nb\n\nc\n")
        );
    }

    #[test]
    fn a_file_with_a_gap_makes_room() {
        let gap = Change { has_gap: true, ..change(1, 1, None, Some("a")) };
        let below = change(2, 1, None, Some("a/b"));
        let mut lines = lines();
        lines.change(&gap, Some("")).unwrap();
        let row = lines.change(&below, Some("x")).unwrap();
        assert_eq!(row, Some(header(2, 2, "Save a/b") + "D a\nM 100644 inline a/b\ndata 1\nx"));
        // It has left its path already, which is a directory now.
        let moved = change(3, 1, Some("a"), Some("b"));
        let begun = lines.leave(&moved).unwrap();
        assert_eq!(begun.map(|begun| begun + "\n"), Some(header(3, 3, "Move a to b")));
        let moved = lines.change(&moved, Some("")).unwrap();
        assert_eq!(moved.as_deref(), Some("M 100644 inline b\ndata 0\n"));
        assert!(lines.tag(&tag("1.0.0", None, None)).is_ok());
    }

    #[test]
    fn a_tag_needs_the_files_that_made_room() {
        let gap = Change { has_gap: true, ..change(1, 1, None, Some("a")) };
        let mut lines = lines();
        lines.change(&gap, Some("")).unwrap();
        lines.change(&change(2, 1, None, Some("a/b")), Some("")).unwrap();
        assert!(matches!(lines.tag(&tag("1.0.0", None, None)), Err(Error::FileIsDirectory { .. })));
    }

    #[test]
    fn what_git_cannot_hold_ends_the_stream() {
        let (file, below) = (change(1, 1, None, Some("a")), change(2, 1, None, Some("a/b")));
        let conflict = || {
            let mut lines = lines();
            lines.change(&file, Some("")).unwrap();
            lines.change(&below, Some("")).unwrap();
            lines
        };
        let is_refused = |result: Result<(), Error>| matches!(result, Err(Error::FileIsDirectory { .. }));
        assert!(is_refused(conflict().end().map(drop)));
        assert!(is_refused(conflict().tag(&tag("1.0.0", None, None)).map(drop)));
        assert!(is_refused(conflict().leave(&change(3, 1, Some("a"), None)).map(drop)));
    }
}
