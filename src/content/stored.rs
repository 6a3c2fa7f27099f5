//! Contents read from rows, each checked against its hash.

use core::fmt;
use std::rc::Rc;

use pgrx::prelude::*;
use pgrx::{Uuid, pg_sys};
use sha2::{Digest, Sha256};

use super::cache;
use super::codec::{self, Encoding};
use crate::backend::{Bytes, Call, with_query_cache};
use crate::error::Error;
use crate::settings::LARGEST_FILE;

/// SHA-256 of a content's UTF-8 bytes.
pub type Hash = [u8; 32];

/// Why a version's content cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// The version it stands on is not there.
    BaseMissing,
    /// The stored bytes are not those of a content of its size.
    Undecodable,
    /// The content is another than the one saved.
    HashMismatch,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Flaw::BaseMissing => "the version it stands on is missing",
            Flaw::Undecodable => "its stored content does not decode",
            Flaw::HashMismatch => "its content does not match its hash",
        })
    }
}

/// The stored form of a version in its row.
#[derive(Clone, Copy)]
pub struct Stored<'r> {
    pub size: i32,
    pub encoding: i16,
    pub bytes: Bytes<'r>,
}

impl<'r> Stored<'r> {
    /// `None` for a tombstone and for a row that is not there.
    pub fn new(size: Option<i32>, encoding: Option<i16>, bytes: Option<Bytes<'r>>) -> Option<Self> {
        Some(Stored { size: size?, encoding: encoding?, bytes: bytes? })
    }

    /// Its content, not yet checked against any hash. `base` is the content it stands on.
    fn decode(self, base: Option<&[u8]>) -> Result<Vec<u8>, Flaw> {
        let encoding = Encoding::from_number(self.encoding).ok_or(Flaw::Undecodable)?;
        let size = usize::try_from(self.size).map_err(|_| Flaw::Undecodable)?;
        if size > LARGEST_FILE as usize {
            return Err(Flaw::Undecodable);
        }
        if encoding.needs_base() && base.is_none() {
            return Err(Flaw::BaseMissing);
        }
        codec::decode(encoding, self.bytes.fetch(), base, size).map_err(|_| Flaw::Undecodable)
    }

    /// What stands in the row; another stored form has another.
    fn identity(self) -> Vec<u8> {
        [&self.size.to_ne_bytes()[..], &self.encoding.to_ne_bytes(), self.bytes.image()].concat()
    }

    fn is(self, other: &Kept) -> bool {
        other.identity == self.identity()
    }
}

/// A version that others stand on, as its row has it.
pub struct Ancestor<'r> {
    pub file_id: Uuid,
    pub version: i32,
    pub hash: Hash,
    pub stored: Stored<'r>,
}

impl Ancestor<'_> {
    /// Its content: kept from an earlier call, or decoded. `key` is what it stands on, and that one's content.
    pub fn content(&self, key: Option<(&Ancestor, &[u8])>) -> Result<Rc<Vec<u8>>, Flaw> {
        let name = (*self.file_id.as_bytes(), self.version, self.hash);
        let mut rows = self.stored.identity();
        if let Some((key, _)) = key {
            rows.extend(key.stored.identity());
        }
        if let Some(content) = cache::get(&name, &rows) {
            return Ok(content);
        }
        let content = self.stored.decode(key.map(|(_, content)| content))?;
        check(&content, &self.hash)?;
        let content = Rc::new(content);
        cache::put(name, rows, content.clone());
        Ok(content)
    }
}

fn check(content: &[u8], hash: &[u8]) -> Result<(), Flaw> {
    if Sha256::digest(content).as_slice() == hash { Ok(()) } else { Err(Flaw::HashMismatch) }
}

/// A decoded base, and the row it is of.
struct Kept {
    identity: Vec<u8>,
    content: Vec<u8>,
}

/// The bases that a query decoded last. Neighbouring versions share them.
///
/// Only a query's own: whoever can call `stored_content` can name any hash, and must not learn by it what others
/// have read in the same session.
#[derive(Default)]
pub struct Bases {
    key: Option<Kept>,
    middle: Option<Kept>,
}

impl Bases {
    /// The text of a version, from its row, the one it stands on, and the one that stands on.
    pub fn text(
        &mut self,
        version: Stored,
        stands_on: (Option<Stored>, Option<Stored>),
        hash: &[u8],
    ) -> Result<String, Flaw> {
        let base = match stands_on {
            (None, _) => None,
            (Some(key), None) => Some(self.key(key)?),
            (Some(middle), Some(key)) => Some(self.middle(middle, key)?),
        };
        let content = version.decode(base)?;
        check(&content, hash)?;
        // Any bytes have a hash; not all of them are a text of Postgres'.
        if content.contains(&0) {
            return Err(Flaw::Undecodable);
        }
        String::from_utf8(content).map_err(|_| Flaw::Undecodable)
    }

    fn key(&mut self, stored: Stored) -> Result<&[u8], Flaw> {
        if !self.key.as_ref().is_some_and(|kept| stored.is(kept)) {
            self.middle = None;
            self.key = Some(Kept::of(stored, None)?);
        }
        Ok(self.key.as_ref().map_or(&[], |kept| &kept.content))
    }

    fn middle(&mut self, stored: Stored, key: Stored) -> Result<&[u8], Flaw> {
        self.key(key)?;
        if !self.middle.as_ref().is_some_and(|kept| stored.is(kept)) {
            self.middle = None;
            self.middle = Some(Kept::of(stored, self.key.as_ref().map(|kept| kept.content.as_slice()))?);
        }
        Ok(self.middle.as_ref().map_or(&[], |kept| &kept.content))
    }
}

impl Kept {
    fn of(stored: Stored, base: Option<&[u8]>) -> Result<Kept, Flaw> {
        Ok(Kept { identity: stored.identity(), content: stored.decode(base)? })
    }
}

/// See the COMMENT in `sql/files.sql`.
///
/// Takes its arguments one by one: pgrx would fetch every `bytea` first.
#[pg_extern(sql = false)]
fn stored_content(fcinfo: pg_sys::FunctionCallInfo) -> Option<String> {
    Call::run(fcinfo, |call| {
        let stored =
            |first| Stored::new(call.argument(first), call.argument(first + 1), call.bytes_argument(first + 2));
        let (Some(version), Some(hash)) = (stored(4), call.bytes_argument(3)) else { return Ok(None) };
        let bases = (stored(7), stored(10));
        let text = with_query_cache(fcinfo, |kept: &mut Bases| kept.text(version, bases, hash.fetch()));
        text.map(Some).map_err(|flaw| Error::Damaged {
            project: call.argument(0).unwrap_or(Uuid::from_bytes([0; 16])),
            path: call.argument(1).unwrap_or_default(),
            version: call.argument(2).unwrap_or_default(),
            flaw,
        })
    })
}
