//! A git repository's history along its first-parent line, read through the git program.
//!
//! One `git diff-tree` streams what every commit changed and one `git cat-file` serves contents, so a
//! history of thousands of commits costs two processes, and no more than one commit's list of changes
//! and one file's content in memory. Commands and options are chosen so that what git answers does not
//! depend on the reader's git configuration.

mod commits;
mod contents;
mod error;
mod git;
mod mirror;
mod object;
mod scratch;

use std::collections::HashMap;
use std::path::Path;

pub use commits::{Change, Commits};
pub use contents::{Content, Contents, Skip, project_path};
pub use error::HistoryError;
pub use mirror::{Difference, Mirror};
pub use object::{Kind, Object, Oid};
pub use scratch::Scratch;

use error::{Result, unexpected};
use git::Git;

/// A git repository with at least one commit.
pub struct Repository {
    git: Git,
    name: String,
    head: Oid,
}

impl Repository {
    /// Opens the repository that the folder belongs to.
    pub fn open(folder: &Path) -> Result<Self> {
        let git = Git { folder: folder.to_owned(), own_settings: false };
        let git_dir = git.run(["rev-parse", "--absolute-git-dir"]).map_err(|error| match error {
            HistoryError::Failed { reason, .. } => HistoryError::NotARepository { path: folder.to_owned(), reason },
            other => other,
        })?;
        let head = git
            .run(["rev-parse", "--verify", "--quiet", "HEAD^{commit}"])
            .map_err(|_| HistoryError::NoCommits { path: folder.to_owned() })?;
        let head = Oid::parse(head.trim_ascii()).ok_or_else(|| unexpected("rev-parse", &head))?;
        // A bare repository has no top folder: there the name is the repository's own.
        let top = git.run(["rev-parse", "--show-toplevel"]).unwrap_or_default();
        let name = repository_name(if top.trim_ascii().is_empty() { &git_dir } else { &top });
        Ok(Self { git, name, head })
    }

    /// The name of the repository's folder, without `.git`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The commit that HEAD names.
    pub fn head(&self) -> Oid {
        self.head
    }

    /// The commits of HEAD's first-parent line, from the root, or where a shallow clone begins.
    pub fn line(&self) -> Result<Vec<Oid>> {
        let head = self.head.to_string();
        let out = self.git.run(["rev-list", "--first-parent", "--reverse", &head])?;
        out.split(|&byte| byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| Oid::parse(line).ok_or_else(|| unexpected("rev-list", line)))
            .collect()
    }

    /// The tags of each tagged commit, in the order of their versions.
    pub fn tags(&self) -> Result<HashMap<Oid, Vec<String>>> {
        let out = self.git.run([
            "for-each-ref",
            "--sort=version:refname",
            "--format=%(objectname) %(*objectname) %(refname:strip=2)",
            "refs/tags",
        ])?;
        let mut tags: HashMap<Oid, Vec<String>> = HashMap::new();
        for line in out.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            let (commit, name) = parse_tag(line).ok_or_else(|| unexpected("for-each-ref", line))?;
            tags.entry(commit).or_default().push(name);
        }
        Ok(tags)
    }

    /// The first line of a commit's message.
    pub fn subject(&self, commit: Oid) -> Result<String> {
        let commit = commit.to_string();
        let out = self.git.run(["log", "-1", "--no-patch", "--no-show-signature", "--format=%s", &commit])?;
        Ok(String::from_utf8_lossy(out.trim_ascii()).into_owned())
    }

    /// Streams the commits of a line, each with its changes since the one before it.
    pub fn commits(&self, line: &[Oid]) -> Result<Commits> {
        Commits::start(&self.git, line)
    }

    /// Starts serving contents.
    pub fn contents(&self) -> Result<Contents> {
        Contents::start(&self.git)
    }

    /// All that a commit's tree holds, folders resolved.
    pub fn tree(&self, commit: Oid) -> Result<Vec<(Vec<u8>, Object)>> {
        let out = self.git.run(["ls-tree", "-r", "-z", "--full-tree", &commit.to_string()])?;
        out.split(|&byte| byte == 0)
            .filter(|entry| !entry.is_empty())
            .map(|entry| parse_tree_entry(entry).ok_or_else(|| unexpected("ls-tree", entry)))
            .collect()
    }
}

fn repository_name(folder: &[u8]) -> String {
    let folder = String::from_utf8_lossy(folder.trim_ascii()).into_owned();
    let folder = folder.strip_suffix("/.git").unwrap_or(&folder);
    let name = folder.rsplit('/').next().unwrap_or(folder);
    name.strip_suffix(".git").unwrap_or(name).to_owned()
}

/// `<mode> <type> <oid>\t<path>`.
fn parse_tree_entry(entry: &[u8]) -> Option<(Vec<u8>, Object)> {
    let tab = entry.iter().position(|&byte| byte == b'\t')?;
    let mut fields = entry[..tab].split(|&byte| byte == b' ');
    let (mode, _, oid) = (fields.next()?, fields.next()?, fields.next()?);
    Some((entry[tab + 1..].to_vec(), Object { kind: Kind::of_mode(mode)?, oid: Oid::parse(oid)? }))
}

/// `<oid> <peeled oid, of an annotated tag> <name>`.
fn parse_tag(line: &[u8]) -> Option<(Oid, String)> {
    let mut fields = line.splitn(3, |&byte| byte == b' ');
    let (object, peeled, name) = (fields.next()?, fields.next()?, fields.next()?);
    let commit = if peeled.is_empty() { object } else { peeled };
    Some((Oid::parse(commit)?, String::from_utf8_lossy(name).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OID: &str = "78981922613b2afb6025042ff6bd878ac1994e85";

    fn oid() -> Oid {
        Oid::parse(OID.as_bytes()).expect("a valid object name")
    }

    #[test]
    fn tree_entries_keep_odd_paths() {
        let entry = format!("100644 blob {OID}\ttab\there\n.txt");
        let expected = (b"tab\there\n.txt".to_vec(), Object { kind: Kind::File, oid: oid() });
        assert_eq!(parse_tree_entry(entry.as_bytes()), Some(expected));
    }

    #[test]
    fn tags_are_those_of_their_commit() {
        let zeros = "0".repeat(40);
        let light = format!("{OID}  v1.0");
        let annotated = format!("{zeros} {OID} release 2");
        assert_eq!(parse_tag(light.as_bytes()), Some((oid(), "v1.0".to_owned())));
        assert_eq!(parse_tag(annotated.as_bytes()), Some((oid(), "release 2".to_owned())));
    }
}
