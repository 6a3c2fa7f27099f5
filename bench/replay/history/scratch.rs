//! A temporary git repository, removed at the end: what the demo gives git to keep never reaches the user's own.

use std::collections::HashMap;
use std::env;
use std::fs::{self, DirBuilder};
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::error::{Result, io_error, unexpected};
use super::git::{Conversation, Git};
use super::object::{Object, Oid};
use super::{Repository, parse_tree_entry};

/// Up to so many bytes are kept as they are: compressing them would take most of the time.
const UNCOMPRESSED: u64 = 1 << 30;

/// A bare repository in a folder of its own.
pub struct Scratch {
    pub(super) git: Git,
}

impl Scratch {
    /// An empty repository with the same kind of object names as another one.
    pub fn create(like: &Repository) -> Result<Self> {
        let folder = env::temp_dir().join(format!("pg_versioned-replay-{}", Uuid::new_v4()));
        DirBuilder::new().mode(0o700).create(&folder).map_err(io_error("init"))?;
        let scratch = Self { git: Git { folder, own_settings: true } };
        let format = like.git.run(["rev-parse", "--show-object-format"])?;
        let format = format!("--object-format={}", String::from_utf8_lossy(format.trim_ascii()));
        scratch.git.run(["init", "--quiet", "--bare", "--template=", "--initial-branch=main", &format])?;
        Ok(scratch)
    }

    /// Lets it read another repository's objects where they are.
    pub(super) fn borrow_objects(&self, from: &Repository) -> Result<()> {
        let mut objects = from.git.run(["rev-parse", "--path-format=absolute", "--git-path", "objects"])?;
        objects.truncate(objects.trim_ascii_end().len());
        objects.push(b'\n');
        fs::write(self.file("objects/info/alternates"), objects).map_err(io_error("init"))
    }

    /// A file inside.
    pub fn file(&self, name: impl AsRef<Path>) -> PathBuf {
        self.git.folder.join(name)
    }

    pub(super) fn start_import(&self) -> Result<Conversation> {
        self.git.converse(&["fast-import", "--quiet"])
    }

    /// Gives a stream of about so many bytes to `git fast-import`, which refuses one that breaks off; `read` is told how many
    /// went there.
    pub fn import(&self, stream: &mut impl Read, bytes: u64, mut read: impl FnMut(u64)) -> Result<()> {
        if bytes <= UNCOMPRESSED {
            self.git.run(["config", "core.compression", "0"])?;
        }
        let mut git = self.start_import()?;
        let mut questions = git.questions.take().ok_or_else(|| unexpected("fast-import", b"no pipe"))?;
        let (mut buffer, mut total) = (vec![0; 1 << 16], 0);
        loop {
            let length = stream.read(&mut buffer).map_err(io_error("fast-import"))?;
            if length == 0 {
                break;
            }
            match questions.write_all(&buffer[..length]) {
                Ok(()) => {}
                // Git has ended, and told why.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break,
                Err(error) => return Err(io_error("fast-import")(error)),
            }
            total += length as u64;
            read(total);
        }
        drop(questions);
        git.finish()
    }

    /// Checks all objects and references.
    pub fn check(&self) -> Result<()> {
        self.git.run(["fsck", "--strict", "--no-progress", "--no-dangling"]).map(drop)
    }

    /// The tree of every branch and tag, by the reference's full name.
    pub fn trees(&self) -> Result<HashMap<String, Oid>> {
        let out = self.git.run(["for-each-ref", "--format=%(refname) %(tree)%(*tree)"])?;
        let lines = out.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| parse_reference(line).ok_or_else(|| unexpected("for-each-ref", line))).collect()
    }

    /// How many commits a branch has, and who wrote them: each author once.
    pub fn authors(&self, branch: &str) -> Result<(usize, Vec<String>)> {
        let out = self.git.run(["log", "--format=%an <%ae>", branch])?;
        let mut authors: Vec<_> =
            out.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).map(String::from_utf8_lossy).collect();
        let commits = authors.len();
        authors.sort_unstable();
        authors.dedup();
        Ok((commits, authors.into_iter().map(std::borrow::Cow::into_owned).collect()))
    }

    /// All that a tree holds, folders resolved.
    pub fn tree(&self, tree: Oid) -> Result<Vec<(Vec<u8>, Object)>> {
        let out = self.git.run(["ls-tree", "-r", "-z", "--full-tree", &tree.to_string()])?;
        out.split(|&byte| byte == 0)
            .filter(|entry| !entry.is_empty())
            .map(|entry| parse_tree_entry(entry).ok_or_else(|| unexpected("ls-tree", entry)))
            .collect()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nobody is left to tell; what remains is in the folder for temporary files.
        let _ = fs::remove_dir_all(&self.git.folder);
    }
}

/// `<reference> <tree>`.
fn parse_reference(line: &[u8]) -> Option<(String, Oid)> {
    let space = line.iter().position(|&byte| byte == b' ')?;
    let name = std::str::from_utf8(&line[..space]).ok()?;
    Some((name.to_owned(), Oid::parse(&line[space + 1..])?))
}
