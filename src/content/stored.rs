//! Stored bytes of rows, decoded and verified against the content's hash.

use pgrx::prelude::*;
use pgrx::{Uuid, pg_sys};
use sha2::{Digest, Sha256};

use super::codec::{self, Encoding};
use crate::backend::{Bytes, Call, Row, with_query_cache};
use crate::error::{Error, Flaw};
use crate::settings::LARGEST_FILE;

/// SHA-256 of a content's UTF-8 bytes.
pub type Hash = [u8; 32];

/// The stored form of a version, from its row.
#[derive(Clone, Copy)]
pub struct Stored<'r> {
    pub size: i32,
    pub encoding: i16,
    pub bytes: Bytes<'r>,
}

impl<'r> Stored<'r> {
    /// `None` for a tombstone and for a missing row.
    pub fn new(size: Option<i32>, encoding: Option<i16>, bytes: Option<Bytes<'r>>) -> Option<Self> {
        Some(Stored { size: size?, encoding: encoding?, bytes: bytes? })
    }

    /// Its content, not yet verified against any hash. `base` is the content it stands on.
    pub(super) fn decode(self, base: Option<&[u8]>) -> Result<Vec<u8>, Flaw> {
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

    /// Identifies the row's contents; every other stored form has a different identity.
    pub(super) fn identity(self) -> Identity {
        Identity { size: self.size, encoding: self.encoding, image: self.bytes.image().into() }
    }

    /// Whether this is the identity of what the row contained.
    pub(super) fn is(self, identity: &Identity) -> bool {
        (self.size, self.encoding, self.bytes.image()) == (identity.size, identity.encoding, &*identity.image)
    }

    /// The stored form in a row of `project_file_versions`.
    pub fn of(row: &'r Row) -> Option<Self> {
        Stored::new(row.get("size_bytes"), row.get("encoding"), row.get("stored"))
    }
}

/// What a row contained.
pub struct Identity {
    size: i32,
    encoding: i16,
    image: Box<[u8]>,
}

impl Identity {
    /// Its size in bytes.
    pub fn len(&self) -> usize {
        size_of::<Self>() + self.image.len()
    }
}

/// Checks that bytes are those of the content that was saved.
pub(super) fn check(content: &[u8], hash: &[u8]) -> Result<(), Flaw> {
    if Sha256::digest(content).as_slice() == hash { Ok(()) } else { Err(Flaw::HashMismatch) }
}

/// The text of a version, from its row and the content it stands on.
pub(super) fn text(version: Stored, base: Option<&[u8]>, hash: &[u8]) -> Result<String, Flaw> {
    let content = version.decode(base)?;
    check(&content, hash)?;
    // Any bytes have a hash, but not all of them are valid text in Postgres.
    if content.contains(&0) {
        return Err(Flaw::Undecodable);
    }
    String::from_utf8(content).map_err(|_| Flaw::Undecodable)
}

/// A decoded content, and the row it came from.
struct Decoded {
    identity: Identity,
    content: Vec<u8>,
}

impl Decoded {
    fn is_of(&self, stored: Stored) -> bool {
        stored.is(&self.identity)
    }

    fn of(stored: Stored, base: Option<&[u8]>) -> Result<Self, Flaw> {
        Ok(Decoded { identity: stored.identity(), content: stored.decode(base)? })
    }
}

/// Decodes the versions of a query, and keeps what they stand on, because neighboring versions share it.
///
/// Rows that a caller can make up are decoded with a separate decoder per query, so that no caller learns what others
/// have read in the same session.
#[derive(Default)]
pub struct Decoder {
    keyframe: Option<Decoded>,
    middle: Option<Decoded>,
}

impl Decoder {
    /// The text of a version, from its row, the row it stands on, and the row that one stands on.
    pub fn text(
        &mut self,
        version: Stored,
        stands_on: (Option<Stored>, Option<Stored>),
        hash: &[u8],
    ) -> Result<String, Flaw> {
        let base = match stands_on {
            (None, _) => None,
            (Some(keyframe), None) => Some(self.keyframe(keyframe)?),
            (Some(middle), Some(keyframe)) => Some(self.middle(middle, keyframe)?),
        };
        text(version, base, hash)
    }

    /// Total size in bytes of the contents that are kept.
    pub fn bytes(&self) -> usize {
        [&self.keyframe, &self.middle].into_iter().flatten().map(|kept| kept.content.len()).sum()
    }

    fn keyframe(&mut self, stored: Stored) -> Result<&[u8], Flaw> {
        if !self.keyframe.as_ref().is_some_and(|kept| kept.is_of(stored)) {
            self.middle = None;
            self.keyframe = Some(Decoded::of(stored, None)?);
        }
        Ok(self.keyframe.as_ref().map_or(&[], |kept| &kept.content))
    }

    fn middle(&mut self, stored: Stored, keyframe: Stored) -> Result<&[u8], Flaw> {
        self.keyframe(keyframe)?;
        if !self.middle.as_ref().is_some_and(|kept| kept.is_of(stored)) {
            self.middle = None;
            self.middle = Some(Decoded::of(stored, self.keyframe.as_ref().map(|kept| kept.content.as_slice()))?);
        }
        Ok(self.middle.as_ref().map_or(&[], |kept| &kept.content))
    }
}

/// See the COMMENT in `sql/file_view.sql`.
///
/// Takes its arguments one by one: pgrx would fetch every `bytea` first.
#[pg_extern(sql = false)]
fn stored_content(fcinfo: pg_sys::FunctionCallInfo) -> Option<String> {
    Call::run(fcinfo, |call| {
        let stored =
            |first| Stored::new(call.argument(first), call.argument(first + 1), call.bytes_argument(first + 2));
        let (Some(version), Some(hash)) = (stored(4), call.bytes_argument(3)) else { return Ok(None) };
        let bases = (stored(7), stored(10));
        let text = with_query_cache(fcinfo, |decoder: &mut Decoder| decoder.text(version, bases, hash.fetch()));
        text.map(Some).map_err(|flaw| Error::Damaged {
            project: call.argument(0).unwrap_or(Uuid::from_bytes([0; 16])),
            path: call.argument(1).unwrap_or_default(),
            version: call.argument(2).unwrap_or_default(),
            flaw,
        })
    })
}
