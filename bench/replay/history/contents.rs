//! Contents, and which of them a project can hold.

use std::fmt;
use std::io::{self, BufRead, Read, Write};

use super::error::{Result, io_error, unexpected};
use super::git::{Conversation, Git};
use super::object::{Kind, Object, Oid};

/// The largest content a project file may have: `pg_versioned.max_file_size` as it comes.
pub const MAX_FILE_SIZE: u64 = 10 * 1024 * 1024;
/// The longest path a project file may have.
pub const MAX_PATH_BYTES: usize = 1024;

/// Why something in a git tree cannot be a project file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Skip {
    /// Content with a NUL byte.
    Binary,
    /// Content that is no UTF-8.
    NotUtf8,
    /// Content over [`MAX_FILE_SIZE`].
    TooLarge,
    /// A symbolic link.
    Symlink,
    /// A submodule.
    Submodule,
    /// A path with a backslash or a control character, over [`MAX_PATH_BYTES`], or no UTF-8.
    Path,
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Binary => "binary",
            Self::NotUtf8 => "not UTF-8",
            Self::TooLarge => "over 10 MB",
            Self::Symlink => "symbolic link",
            Self::Submodule => "submodule",
            Self::Path => "path refused by the extension",
        })
    }
}

/// A content that a project file can have, or why it cannot.
#[derive(Debug, PartialEq, Eq)]
pub enum Content {
    /// UTF-8 without NUL.
    Text(String),
    /// Not for a project.
    Skipped(Skip),
}

/// The path as a project takes it, by the extension's rules.
pub fn project_path(path: &[u8]) -> std::result::Result<&str, Skip> {
    let text = std::str::from_utf8(path).map_err(|_| Skip::Path)?;
    let refused = |segment: &str| matches!(segment, "" | "." | "..");
    if path.len() > MAX_PATH_BYTES || text.split('/').any(refused) || text.chars().any(|c| c == '\\' || c.is_control())
    {
        return Err(Skip::Path);
    }
    Ok(text)
}

/// Serves the contents of one repository, one at a time.
pub struct Contents {
    git: Conversation,
}

impl Contents {
    pub(super) fn start(git: &Git) -> Result<Self> {
        Ok(Self { git: git.converse(&["cat-file", "--batch"])? })
    }

    /// The content of an object of a tree, unless a project file cannot have it.
    pub fn read(&mut self, object: Object) -> Result<Content> {
        match object.kind {
            Kind::Symlink => return Ok(Content::Skipped(Skip::Symlink)),
            Kind::Submodule => return Ok(Content::Skipped(Skip::Submodule)),
            Kind::File => {}
        }
        let size = self.ask(object.oid)?;
        if size > MAX_FILE_SIZE {
            let copied =
                io::copy(&mut (&mut self.git.answers).take(size), &mut io::sink()).map_err(io_error("cat-file"))?;
            if copied < size {
                return Err(unexpected("cat-file", b"a content cut short"));
            }
            self.end_of_content()?;
            return Ok(Content::Skipped(Skip::TooLarge));
        }
        let mut bytes = vec![0; size as usize];
        self.git.answers.read_exact(&mut bytes).map_err(io_error("cat-file"))?;
        self.end_of_content()?;
        Ok(classify(bytes))
    }

    /// Asks for an object and reads its size; the content follows.
    fn ask(&mut self, oid: Oid) -> Result<u64> {
        let questions = self.git.questions.as_mut().ok_or_else(|| unexpected("cat-file", b"no pipe"))?;
        questions.write_all(format!("{oid}\n").as_bytes()).map_err(io_error("cat-file"))?;
        let mut header = Vec::new();
        self.git.answers.read_until(b'\n', &mut header).map_err(io_error("cat-file"))?;
        parse_blob_size(&header, oid).ok_or_else(|| unexpected("cat-file", header.trim_ascii()))
    }

    fn end_of_content(&mut self) -> Result<()> {
        let mut end = [0];
        self.git.answers.read_exact(&mut end).map_err(io_error("cat-file"))?;
        if end == *b"\n" { Ok(()) } else { Err(unexpected("cat-file", &end)) }
    }
}

fn classify(bytes: Vec<u8>) -> Content {
    if bytes.contains(&0) {
        return Content::Skipped(Skip::Binary);
    }
    match String::from_utf8(bytes) {
        Ok(text) => Content::Text(text),
        Err(_) => Content::Skipped(Skip::NotUtf8),
    }
}

/// `<oid> blob <size>`, of the object asked for and of no other.
fn parse_blob_size(header: &[u8], asked: Oid) -> Option<u64> {
    let header = std::str::from_utf8(header).ok()?;
    let mut fields = header.trim_end().split(' ');
    let (oid, kind, size) = (fields.next()?, fields.next()?, fields.next()?);
    (Oid::parse(oid.as_bytes())? == asked && kind == "blob").then(|| size.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    const OID: &str = "78981922613b2afb6025042ff6bd878ac1994e85";

    fn oid() -> Oid {
        Oid::parse(OID.as_bytes()).expect("a valid object name")
    }

    #[test]
    fn paths_follow_the_contract() {
        assert_eq!(project_path("src/Grüße/名.rs".as_bytes()), Ok("src/Grüße/名.rs"));
        for refused in [&b"a\\b"[..], b"a\nb", b"\xff", b"", b"/a", b"a/", b"a//b", b"a/../b", b"./a"] {
            assert_eq!(project_path(refused), Err(Skip::Path), "{refused:?}");
        }
        assert!(project_path(&[b'a'; MAX_PATH_BYTES]).is_ok());
        assert!(project_path(&[b'a'; MAX_PATH_BYTES + 1]).is_err());
    }

    #[test]
    fn contents_are_texts_or_skipped() {
        assert_eq!(classify(b"a\r\n\\".to_vec()), Content::Text("a\r\n\\".to_owned()));
        assert_eq!(classify(b"a\0\xff".to_vec()), Content::Skipped(Skip::Binary));
        assert_eq!(classify(b"\xff".to_vec()), Content::Skipped(Skip::NotUtf8));
        assert_eq!(parse_blob_size(format!("{OID} blob 12\n").as_bytes(), oid()), Some(12));
        assert_eq!(parse_blob_size(format!("{OID} missing\n").as_bytes(), oid()), None);
    }
}
