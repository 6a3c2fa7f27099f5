//! Compares files that the database returns with git's trees.
//!
//! Git is asked again for everything, by a reader of its own: nothing the import noted down is trusted.

use std::collections::HashMap;

use postgres::fallible_iterator::FallibleIterator;
use postgres::types::ToSql;
use postgres::{Client, Row};
use sha2::{Digest, Sha256};

use crate::failure::{Doing, Failure};
use crate::history::{self, Content, Contents, Object, Oid, Repository};
use crate::progress::Progress;

/// So many faults of one thing are named; of the others there is only the number.
const NAMED_FAULTS: usize = 100;

type Hash = [u8; 32];

/// A content that a project can have.
#[derive(Clone, Copy)]
pub struct Text {
    hash: Hash,
    /// How many lines it has.
    pub lines: usize,
}

/// The files of a project that git is asked for.
pub struct Comparer<'a> {
    /// Where they come from.
    pub repository: &'a Repository,
    contents: Contents,
    /// Each content by git's name of it; none where a project cannot have it.
    texts: HashMap<Oid, Option<Text>>,
    /// Bytes of content compared.
    pub bytes: u64,
}

impl<'a> Comparer<'a> {
    /// A comparer that knows nothing yet.
    pub fn start(repository: &'a Repository) -> Result<Self, Failure> {
        Ok(Self { repository, contents: repository.contents()?, texts: HashMap::new(), bytes: 0 })
    }

    /// Compares the rows of a query (path, content, `content_hash`) with the tree of a commit; returns how many files there
    /// were, and what was wrong with them.
    pub fn snapshot(
        &mut self,
        client: &mut Client,
        (sql, args): (&str, &[&(dyn ToSql + Sync)]),
        name: &str,
        commit: Oid,
        mut compared: impl FnMut(usize),
    ) -> Result<(usize, Vec<String>), Failure> {
        let mut expected: HashMap<String, Text> =
            self.files(commit)?.into_iter().map(|(path, _, text)| (path, text)).collect();
        let doing = || format!("reading the files of {name}");
        // A stream: a snapshot's contents need not fit into memory.
        let mut rows = client.query_raw(sql, args.iter().copied()).doing(doing())?;
        let mut files = 0;
        let mut faults = Vec::new();
        while let Some(row) = rows.next().doing(doing())? {
            files += 1;
            let path: &str = row.try_get(0).doing(doing())?;
            let expected = expected.remove(path);
            if let Some(wrong) = self.compare(&row, expected).doing(doing())? {
                faults.push(format!("{path} {wrong}"));
            }
            compared(files);
        }
        faults.extend(expected.into_keys().map(|path| format!("{path} is missing")));
        Ok((files, faults))
    }

    /// What is wrong with one returned file, if anything is.
    fn compare(&mut self, row: &Row, expected: Option<Text>) -> Result<Option<&'static str>, postgres::Error> {
        let Some(expected) = expected else {
            return Ok(Some("is not in git's tree"));
        };
        let Some(content) = row.try_get::<_, Option<&str>>(1)? else {
            return Ok(Some("has no content"));
        };
        self.bytes += content.len() as u64;
        let hash = sha256(content);
        let claimed: Option<&str> = row.try_get(2)?;
        Ok(if hash != expected.hash {
            Some("differs from git's content")
        } else if claimed != Some(hex(&hash).as_str()) {
            Some("has a content_hash that is not its content's")
        } else {
            None
        })
    }

    /// The files of a commit's tree that a project can have.
    pub fn files(&mut self, commit: Oid) -> Result<Vec<(String, Oid, Text)>, Failure> {
        let mut files = Vec::new();
        for (path, object) in self.repository.tree(commit)? {
            if let (Ok(path), Some(text)) = (history::project_path(&path), self.text(object)?) {
                files.push((path.to_owned(), object.oid, text));
            }
        }
        Ok(files)
    }

    /// How many lines a content of a tree that was looked at has.
    pub fn lines(&self, oid: Option<Oid>) -> usize {
        oid.and_then(|oid| *self.texts.get(&oid)?).map_or(0, |text| text.lines)
    }

    fn text(&mut self, object: Object) -> Result<Option<Text>, Failure> {
        // A link's target may be some file's content too.
        if object.kind != history::Kind::File {
            return Ok(None);
        }
        if let Some(&known) = self.texts.get(&object.oid) {
            return Ok(known);
        }
        let text = match self.contents.read(object)? {
            Content::Text(text) => Some(Text { hash: sha256(&text), lines: text.lines().count() }),
            Content::Skipped(_) => None,
        };
        self.texts.insert(object.oid, text);
        Ok(text)
    }
}

/// Names faults; returns how many there are.
pub fn name_faults(progress: &Progress, name: &str, mut faults: Vec<String>) -> usize {
    faults.sort();
    for fault in faults.iter().take(NAMED_FAULTS) {
        progress.say(&format!("WRONG in {name}: {fault}"));
    }
    if let Some(more) = faults.len().checked_sub(NAMED_FAULTS + 1) {
        progress.say(&format!("WRONG in {name}: and {} more", more + 1));
    }
    faults.len()
}

fn sha256(content: &str) -> Hash {
    Sha256::digest(content.as_bytes()).into()
}

fn hex(hash: &Hash) -> String {
    let mut digits = String::with_capacity(2 * hash.len());
    for byte in hash {
        for half in [byte >> 4, byte & 15] {
            digits.push(char::from(b"0123456789abcdef"[usize::from(half)]));
        }
    }
    digits
}
