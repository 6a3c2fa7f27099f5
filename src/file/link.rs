//! The stored form of a file's next version, from what its head says it may stand on.

use std::cell::{LazyCell, OnceCell};
use std::rc::Rc;

use pgrx::Uuid;

use super::store::{Head, StoredVersion};
use crate::backend::{self, Db};
use crate::content::chain::{self, Base, Chain, Link};
use crate::content::{Ancestor, Flaw};

type Content = Rc<Vec<u8>>;

/// Encodes `content` as the version after `previous`. `base` is the row of the head's base, if it was read already.
pub fn next(db: &Db, project: Uuid, previous: Option<&Head>, base: Option<StoredVersion>, content: &str) -> Link {
    let content = content.as_bytes();
    let Some(head) = previous else { return chain::link(1, content, Chain::default(), None, || None) };
    let read = |version| StoredVersion::read(db, project, head.file_id, version);

    let base = base.or_else(|| head.chain.base.map(read));
    let key = LazyCell::new(|| base.as_ref().and_then(StoredVersion::base).map(read));
    let key_content = || key.as_ref().map(|key| decode(key, head.file_id, || Ok(None))).transpose();
    let usable = |found: Result<Option<Content>, Flaw>| {
        // A new version needs no damaged one: it is saved as a keyframe.
        found.unwrap_or_else(|flaw| {
            let file = head.file_id;
            backend::log(&format!("project {project}, file {file}: no version can stand on its last one: {flaw}"));
            None
        })
    };

    let base_content = usable(base.as_ref().map(|base| decode(base, head.file_id, key_content)).transpose());
    let key_kept = OnceCell::new();
    chain::link(
        head.version + 1,
        content,
        head.chain,
        base.as_ref().zip(base_content.as_ref()).map(|(row, content)| as_base(row, content)),
        || {
            let content = key_kept.get_or_init(|| usable(key_content()));
            key.as_ref().zip(content.as_ref()).map(|(row, content)| as_base(row, content))
        },
    )
}

fn decode(
    row: &StoredVersion,
    file_id: Uuid,
    base: impl FnOnce() -> Result<Option<Content>, Flaw>,
) -> Result<Content, Flaw> {
    let stored = row.stored().ok_or(Flaw::BaseMissing)?;
    let hash = row.hash().ok_or(Flaw::HashMismatch)?;
    Ancestor { file_id, version: row.version, hash, stored }.content(base)
}

fn as_base<'c>(row: &StoredVersion, content: &'c [u8]) -> Base<'c> {
    let stored = row.stored().map_or(0, |stored| stored.bytes.len());
    Base { version: row.version, content, stored, is_key: row.base().is_none() }
}
