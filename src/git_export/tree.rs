//! Paths that exist at the same time and cannot in git: one is a directory of the other. Knows nothing about Postgres.
//!
//! Git would drop one of the files without a word.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::Error;

/// The live files that could be in each other's way. These are few: the others are not kept.
#[derive(Default)]
pub struct Tree {
    /// Paths of files that at some time are directories of others.
    directories: BTreeSet<String>,
    /// Live files that have such a path, or one below it, and whether they have a gap: it is not known until when they
    /// are there.
    live: BTreeMap<String, bool>,
    /// Those of them that the current commit has added.
    added: Vec<String>,
    /// Files with a gap that have made room for another one, and that one.
    dropped: BTreeMap<String, String>,
}

impl Tree {
    pub fn new(directories: BTreeSet<String>) -> Self {
        Tree { directories, ..Tree::default() }
    }

    /// Adds a file, and returns the paths that it takes from files with a gap.
    pub fn add(&mut self, path: &str, has_gap: bool) -> Vec<String> {
        if !self.directories.contains(path) && !parents(path).any(|parent| self.directories.contains(parent)) {
            return Vec::new();
        }
        let makes_room = |path: &&String| self.live[path.as_str()];
        let dropped: Vec<String> = self.in_the_way(path).filter(makes_room).cloned().collect();
        for other in &dropped {
            self.live.remove(other);
            self.dropped.insert(other.clone(), path.to_owned());
        }
        self.dropped.remove(path);
        self.live.insert(path.to_owned(), has_gap);
        self.added.push(path.to_owned());
        dropped
    }

    /// Removes a file. True if it had made room before.
    pub fn remove(&mut self, path: &str) -> bool {
        self.live.remove(path);
        self.dropped.remove(path).is_some()
    }

    /// Ends a commit. PT409 if git cannot hold what is live now; before this commit, it could.
    pub fn commit(&mut self) -> Result<(), Error> {
        let added = std::mem::take(&mut self.added);
        for path in added.iter().filter(|path| self.live.contains_key(*path)) {
            if let Some(other) = self.in_the_way(path).next() {
                return Err(conflict(path, other));
            }
        }
        Ok(())
    }

    /// PT409 if a file has made room that a version of the project has: no version that it needs is ever pruned.
    pub fn tag(&self) -> Result<(), Error> {
        self.dropped.iter().next().map_or(Ok(()), |(path, other)| Err(conflict(path, other)))
    }

    /// Live files below a path, and those that have the path of a directory that it is in.
    fn in_the_way<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a String> {
        let as_directory = format!("{path}/");
        let from = self.live.range(as_directory.clone()..).map(|(below, _)| below);
        let below = from.take_while(move |below| below.starts_with(&as_directory));
        below.chain(parents(path).filter_map(|parent| self.live.get_key_value(parent)).map(|(parent, _)| parent))
    }
}

/// The error for two files, the shorter path first.
fn conflict(path: &str, other: &str) -> Error {
    let (path, other) = if path.len() < other.len() { (path, other) } else { (other, path) };
    Error::FileIsDirectory { path: path.to_owned(), other_path: other.to_owned() }
}

/// The directories that a path is in.
fn parents(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(end, _)| &path[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The paths in conflict after commits of additions (`+a`, or `?a` with a gap), removals (`-a`) and tags (`!`), if
    /// there are any.
    fn conflict(directories: &[&str], commits: &[&str]) -> Option<(String, String)> {
        let mut tree = Tree::new(directories.iter().map(|&path| path.to_owned()).collect());
        for commit in commits {
            let mut is_tagged = false;
            for change in commit.split(' ') {
                match change.split_at(1) {
                    ("!", _) => is_tagged = true,
                    ("-", path) => drop(tree.remove(path)),
                    (sign, path) => drop(tree.add(path, sign == "?")),
                }
            }
            match tree.commit().and_then(|()| if is_tagged { tree.tag() } else { Ok(()) }) {
                Ok(()) => {}
                Err(Error::FileIsDirectory { path, other_path }) => return Some((path, other_path)),
                Err(other) => panic!("{other}"),
            }
        }
        assert!(tree.added.is_empty());
        None
    }

    #[test]
    fn files_are_in_the_way_of_directories() {
        let found = |path: &str, other: &str| Some((path.to_owned(), other.to_owned()));
        assert_eq!(conflict(&["a"], &["+a", "+a/b/c"]), found("a", "a/b/c"));
        assert_eq!(conflict(&["a"], &["+a/b/c +x", "+a"]), found("a", "a/b/c"));
        assert_eq!(conflict(&["a/b"], &["+a/b +a/b/c"]), found("a/b", "a/b/c"));
        assert_eq!(conflict(&["a", "a/b"], &["+a", "-a +a/b", "+a/b/c"]), found("a/b", "a/b/c"));
    }

    #[test]
    fn one_may_follow_the_other() {
        assert_eq!(conflict(&["a"], &["+a", "-a +a/b", "-a/b +a", "-a", "+a/b", "+a/c", "-a/b -a/c +a"]), None);
        // Saved again, and added only to be removed.
        assert_eq!(conflict(&["a"], &["+a", "+a +a/b -a/b", "+a"]), None);
    }

    #[test]
    fn files_with_a_gap_make_room() {
        let found = |path: &str, other: &str| Some((path.to_owned(), other.to_owned()));
        assert_eq!(conflict(&["a"], &["?a !", "+a/b", "-a/b +a !"]), None);
        assert_eq!(conflict(&["a"], &["?a", "+a/b", "-a !"]), None);
        assert_eq!(conflict(&["a"], &["?a/b ?a/c/d", "+a", "-a/b -a/c/d !"]), None);
        assert_eq!(conflict(&["a"], &["?a", "+a/b", "!"]), found("a", "a/b"));
        // Its next version is at the same path.
        assert_eq!(conflict(&["a"], &["?a", "+a/b", "+a"]), found("a", "a/b"));
        // One of them has no gap.
        assert_eq!(conflict(&["a"], &["?a/b +a/c", "+a"]), found("a", "a/c"));

        let mut tree = Tree::new(BTreeSet::from(["a".to_owned()]));
        for path in ["a/b", "a/c/d", "a.b"] {
            assert!(tree.add(path, true).is_empty());
        }
        assert_eq!(tree.add("a", true), ["a/b", "a/c/d"]);
        assert_eq!(tree.add("a/b", false), ["a"]);
        assert!(tree.remove("a/c/d") && !tree.remove("a/c/d") && !tree.remove("a/b") && tree.remove("a"));
    }

    #[test]
    fn names_that_begin_alike_are_not_in_the_way() {
        assert_eq!(conflict(&["a"], &["+a", "+a.b +a-b/c +ab/c +b/a +b/a/c"]), None);
    }

    #[test]
    fn only_paths_that_could_conflict_are_kept() {
        let mut tree = Tree::new(BTreeSet::from(["a".to_owned()]));
        for path in ["b", "b/a", "ab/c", "a", "a/b"] {
            tree.add(path, false);
        }
        assert_eq!(tree.live.len(), 2);
    }
}
