//! The stored form of a file's next version, from what its head says it may stand on.

use std::cell::{LazyCell, OnceCell};
use std::rc::Rc;

use pgrx::Uuid;

use super::store::Head;
use crate::backend::{self, Db, Rows, Statement};
use crate::content::chain::{self, Base, Chain, Link};
use crate::content::{Ancestor, Flaw, Stored};

/// Encodes `content` as the version after `previous`.
pub fn next(db: &Db, project: Uuid, previous: Option<&Head>, content: &str) -> Link {
    let content = content.as_bytes();
    let Some(head) = previous else { return chain::link(1, content, Chain::default(), None, || None) };
    let read = |version| StoredVersion::read(db, project, head.file_id, version);

    let base = head.chain.base.map(read);
    let key = LazyCell::new(|| base.as_ref().and_then(StoredVersion::stands_on).map(read));
    let key_content = || key.as_ref().map(|key| key.content(|| Ok(None))).transpose();
    let usable = |found: Result<Option<Rc<Vec<u8>>>, Flaw>| {
        // A new version needs no damaged one: it is saved as a keyframe.
        found.unwrap_or_else(|flaw| {
            backend::log(&format!(
                "file {} in project {project} cannot stand on an earlier version: {flaw}",
                head.file_id
            ));
            None
        })
    };

    let base_content = usable(base.as_ref().map(|base| base.content(key_content)).transpose());
    let key_kept = OnceCell::new();
    chain::link(
        head.version + 1,
        content,
        head.chain,
        base.as_ref().zip(base_content.as_ref()).map(|(row, content)| row.base(content)),
        || {
            let content = key_kept.get_or_init(|| usable(key_content()));
            key.as_ref().zip(content.as_ref()).map(|(row, content)| row.base(content))
        },
    )
}

/// A version that others stand on, as its row has it.
struct StoredVersion {
    file_id: Uuid,
    version: i32,
    rows: Rows,
}

impl StoredVersion {
    fn read(db: &Db, project: Uuid, file_id: Uuid, version: i32) -> Self {
        static VERSION: Statement = Statement::new(
            "SELECT content_hash, size_bytes, encoding, stored, base_version
               FROM {s}.project_file_versions
              WHERE project_id = $1 AND file_id = $2 AND version = $3",
        );
        StoredVersion { file_id, version, rows: db.run(&VERSION, &[project.into(), file_id.into(), version.into()]) }
    }

    fn stands_on(&self) -> Option<i32> {
        if self.rows.is_empty() { None } else { self.rows.get(0, 5) }
    }

    fn stored(&self) -> Option<Stored<'_>> {
        if self.rows.is_empty() {
            return None;
        }
        Stored::new(self.rows.get(0, 2), self.rows.get(0, 3), self.rows.bytes(0, 4))
    }

    fn content(&self, base: impl FnOnce() -> Result<Option<Rc<Vec<u8>>>, Flaw>) -> Result<Rc<Vec<u8>>, Flaw> {
        let stored = self.stored().ok_or(Flaw::BaseMissing)?;
        let hash: Option<Vec<u8>> = self.rows.get(0, 1);
        let hash = hash.and_then(|hash| hash.try_into().ok()).ok_or(Flaw::HashMismatch)?;
        Ancestor { file_id: self.file_id, version: self.version, hash, stored }.content(base)
    }

    fn base<'c>(&self, content: &'c [u8]) -> Base<'c> {
        let stored = self.stored().map_or(0, |stored| stored.bytes.len());
        Base { version: self.version, content, stored, is_key: self.stands_on().is_none() }
    }
}
