//! The trees of some commits as a project can hold them, for git to compare: without what no project can hold, and with
//! all files of one mode. They are in a temporary repository, which reads the contents from the user's.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use super::Repository;
use super::error::{HistoryError, Result, io_error, unexpected};
use super::object::Oid;
use super::scratch::Scratch;

/// The trees, in the order in which they were added.
pub struct Mirror {
    scratch: Scratch,
    trees: Vec<Oid>,
    empty: Oid,
}

/// A path at which two trees differ.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// The content before; `None` if there was none.
    pub from: Option<Oid>,
    /// The content after.
    pub to: Option<Oid>,
    /// Lines added, as git counts them.
    pub added: i64,
    /// Lines removed.
    pub removed: i64,
}

impl Mirror {
    /// Builds the trees of so many commits; `files` tells the files of each.
    pub fn build<E: From<HistoryError>>(
        repository: &Repository,
        commits: usize,
        mut files: impl FnMut(usize) -> std::result::Result<Vec<(String, Oid)>, E>,
    ) -> std::result::Result<Self, E> {
        let scratch = Scratch::create(repository)?;
        scratch.borrow_objects(repository)?;
        let empty = scratch.git.run(["hash-object", "-t", "tree", "--stdin"])?;
        let empty = Oid::parse(empty.trim_ascii()).ok_or_else(|| unexpected("hash-object", &empty))?;
        let mut git = scratch.start_import()?;
        for commit in 0..commits {
            let stream = commit_of(&files(commit)?);
            let questions = git.questions.as_mut().ok_or_else(|| unexpected("fast-import", b"no pipe"))?;
            questions.write_all(stream.as_bytes()).map_err(io_error("fast-import"))?;
        }
        git.questions = None;
        git.finish()?;
        let out =
            if commits == 0 { Vec::new() } else { scratch.git.run(["log", "--reverse", "--format=%T", "main"])? };
        let lines = out.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
        let trees: Vec<Oid> =
            lines.map(|line| Oid::parse(line).ok_or_else(|| unexpected("log", line))).collect::<Result<_>>()?;
        if trees.len() != commits {
            return Err(unexpected("log", format!("{} commits of {commits}", trees.len()).as_bytes()).into());
        }
        Ok(Self { scratch, trees, empty })
    }

    /// The tree of a commit.
    pub fn tree(&self, commit: usize) -> Oid {
        self.trees[commit]
    }

    /// Where it keeps files.
    pub fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// What differs between two commits, or an empty tree and one, by path: `git diff --numstat --no-renames`.
    pub fn differences(&self, from: Option<usize>, to: usize) -> Result<BTreeMap<String, Difference>> {
        let [from, to] =
            [from.map_or(self.empty, |from| self.trees[from]), self.trees[to]].map(|tree| tree.to_string());
        let options = ["--raw", "--numstat", "--no-renames", "--no-abbrev", "--text", "--no-ext-diff", "--no-textconv"];
        let out = self.scratch.git.run(["diff-tree", "-r", "-z"].into_iter().chain(options).chain([&*from, &*to]))?;
        parse_differences(&out).ok_or_else(|| unexpected("diff-tree", &out[..out.len().min(200)]))
    }

    /// The tree that a patch makes of a commit's, by `git apply`.
    pub fn apply(&self, commit: usize, patch: &Path) -> Result<Oid> {
        let git = &self.scratch.git;
        git.run(["read-tree", &self.trees[commit].to_string()])?;
        let is_empty = patch.metadata().map_err(io_error("apply"))?.len() == 0;
        if !is_empty {
            git.run(["apply".as_ref(), "--cached".as_ref(), "--whitespace=nowarn".as_ref(), patch.as_os_str()])?;
        }
        let out = git.run(["write-tree"])?;
        Oid::parse(out.trim_ascii()).ok_or_else(|| unexpected("write-tree", &out))
    }
}

/// For `git fast-import`.
fn commit_of(files: &[(String, Oid)]) -> String {
    let mut stream = "commit refs/heads/main\ncommitter demo <> 0 +0000\ndata 0\ndeleteall\n".to_owned();
    for (path, oid) in files {
        // A project's paths have no backslash and no control character.
        let path = if path.starts_with('"') { format!("\"{}\"", path.replace('"', "\\\"")) } else { path.clone() };
        let _ = writeln!(stream, "M 100644 {oid} {path}");
    }
    stream
}

/// `:<old mode> <new mode> <old oid> <new oid> <status>`, NUL, path, NUL of all files, then
/// `<added>\t<removed>\t<path>`, NUL of all.
fn parse_differences(out: &[u8]) -> Option<BTreeMap<String, Difference>> {
    let mut differences: BTreeMap<String, Difference> = BTreeMap::new();
    let mut tokens = out.split(|&byte| byte == 0).map(std::str::from_utf8);
    while let Some(token) = tokens.next() {
        let token = token.ok()?;
        if let Some(record) = token.strip_prefix(':') {
            let mut fields = record.split(' ').skip(2).map(|oid| Oid::parse(oid.as_bytes()));
            let (from, to) = (fields.next()??, fields.next()??);
            let real = |oid: Oid| (!oid.is_null()).then_some(oid);
            let path = tokens.next()?.ok()?.to_owned();
            differences.insert(path, Difference { from: real(from), to: real(to), ..Difference::default() });
        } else if !token.is_empty() {
            let mut fields = token.splitn(3, '\t');
            let (added, removed, path) = (fields.next()?, fields.next()?, fields.next()?);
            let difference = differences.get_mut(path)?;
            (difference.added, difference.removed) = (added.parse().ok()?, removed.parse().ok()?);
        }
    }
    Some(differences)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OID: &str = "78981922613b2afb6025042ff6bd878ac1994e85";

    #[test]
    fn differences_have_contents_and_lines() {
        let oid = Oid::parse(OID.as_bytes());
        let zeros = "0".repeat(40);
        let raw = format!(":100644 100644 {OID} {OID} M\0a\tb\0:100644 000000 {OID} {zeros} D\0:c\0");
        let parsed = parse_differences(format!("{raw}1\t2\ta\tb\00\t3\t:c\0").as_bytes()).expect("it is well formed");
        let expected = [
            ("a\tb".to_owned(), Difference { from: oid, to: oid, added: 1, removed: 2 }),
            (":c".to_owned(), Difference { from: oid, to: None, added: 0, removed: 3 }),
        ];
        assert_eq!(parsed, BTreeMap::from(expected));
        assert_eq!(parse_differences(b""), Some(BTreeMap::new()));
        assert_eq!(parse_differences(b"1\t2\tnever named\0"), None);
    }

    #[test]
    fn paths_that_begin_with_a_quotation_mark_are_quoted() {
        let oid = Oid::parse(OID.as_bytes()).expect("a valid object name");
        let stream = commit_of(&[("\"a\" b".to_owned(), oid), ("c d".to_owned(), oid)]);
        assert!(stream.ends_with(&format!("M 100644 {OID} \"\\\"a\\\" b\"\nM 100644 {OID} c d\n")), "{stream}");
    }
}
