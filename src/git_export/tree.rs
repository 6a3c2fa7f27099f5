//! Paths that exist at the same time and cannot in git: one is a directory of the other. Knows nothing about Postgres.
//!
//! Git would drop one of the files without a word.

use std::collections::BTreeSet;

use crate::error::Error;

/// The live files that could be in each other's way. These are few: the others are not kept.
#[derive(Default)]
pub struct Tree {
    /// Paths of files that at some time are directories of others.
    directories: BTreeSet<String>,
    /// Live files that have such a path, or one below it.
    live: BTreeSet<String>,
    /// Those of them that the current commit has added.
    added: Vec<String>,
}

impl Tree {
    pub fn new(directories: BTreeSet<String>) -> Self {
        Tree { directories, ..Tree::default() }
    }

    pub fn add(&mut self, path: &str) {
        if self.directories.contains(path) || parents(path).any(|parent| self.directories.contains(parent)) {
            self.live.insert(path.to_owned());
            self.added.push(path.to_owned());
        }
    }

    pub fn remove(&mut self, path: &str) {
        self.live.remove(path);
    }

    /// Ends a commit. PT409 if git cannot hold what is live now; before this commit, it could.
    pub fn commit(&mut self) -> Result<(), Error> {
        for path in self.added.drain(..).filter(|path| self.live.contains(path)) {
            let as_directory = format!("{path}/");
            let below = self.live.range(as_directory.clone()..).next().filter(|next| next.starts_with(&as_directory));
            if let Some(below) = below {
                return Err(Error::FileIsDirectory { path, other_path: below.clone() });
            }
            let parent = parents(&path).find(|&parent| self.live.contains(parent)).map(str::to_owned);
            if let Some(parent) = parent {
                return Err(Error::FileIsDirectory { path: parent, other_path: path });
            }
        }
        Ok(())
    }
}

/// The directories that a path is in.
fn parents(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(end, _)| &path[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The paths in conflict after commits of additions (`+a`) and removals (`-a`), if there are any.
    fn conflict(directories: &[&str], commits: &[&str]) -> Option<(String, String)> {
        let mut tree = Tree::new(directories.iter().map(|&path| path.to_owned()).collect());
        for commit in commits {
            for change in commit.split(' ') {
                match change.split_at(1) {
                    ("+", path) => tree.add(path),
                    (_, path) => tree.remove(path),
                }
            }
            match tree.commit() {
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
    fn names_that_begin_alike_are_not_in_the_way() {
        assert_eq!(conflict(&["a"], &["+a", "+a.b +a-b/c +ab/c +b/a +b/a/c"]), None);
    }

    #[test]
    fn only_paths_that_could_conflict_are_kept() {
        let mut tree = Tree::new(BTreeSet::from(["a".to_owned()]));
        for path in ["b", "b/a", "ab/c", "a", "a/b"] {
            tree.add(path);
        }
        assert_eq!(tree.live.len(), 2);
    }
}
