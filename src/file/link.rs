//! The stored form of a file's next version, from what its head says it may stand on.

use std::cell::OnceCell;
use std::rc::Rc;

use pgrx::Uuid;

use super::store::{Content, Head};
use crate::backend::{self, Db, Rows, Statement};
use crate::content::chain::{self, Base, Chain, Link, Next};
use crate::content::{Flaw, Hash, Stored, base_content};

/// Encodes `content` as the version after `previous`.
pub fn next(db: &Db, project: Uuid, previous: Option<&Head>, content: Content) -> Link {
    let next = |version| Next { version, content: content.text.as_bytes(), hash: content.hash };
    let Some(head) = previous else { return chain::link(next(1), Chain::default(), None, || None) };
    let file = File { db, project, id: head.file_id };
    // A new version needs no damaged one: it is saved as a keyframe.
    let log = |flaw: &Flaw| backend::log(&format!("project {project}, file {}: {flaw}", head.file_id));
    let base = head.chain.base.and_then(|base| file.base(base).inspect_err(log).ok());
    let key = OnceCell::new();
    chain::link(next(head.version + 1), head.chain, base.as_ref().map(|content| content.as_slice()), || {
        let row = key.get_or_init(|| file.keyframe(head.chain.base?.key?).inspect_err(log).ok()).as_ref();
        row.map(|(content, stored)| (content.as_slice(), *stored))
    })
}

/// A file whose versions others stand on.
struct File<'a> {
    db: &'a Db<'a>,
    project: Uuid,
    id: Uuid,
}

impl File<'_> {
    fn base(&self, base: Base) -> Result<Rc<Vec<u8>>, Flaw> {
        base_content(self.id, base.version, base.hash, || {
            let rows = self.rows(base.version, base.key);
            let key = base.key.map(|key| self.keyframe_of(&rows, key)).transpose()?;
            let stored = rows.find(base.version).ok_or(Flaw::BaseMissing)?;
            stored.decode(key.as_ref().map(|(content, _)| content.as_slice()))
        })
    }

    /// Content and stored length.
    fn keyframe(&self, version: i32) -> Result<(Rc<Vec<u8>>, i32), Flaw> {
        self.keyframe_of(&self.rows(version, None), version)
    }

    fn keyframe_of(&self, rows: &VersionRows, version: i32) -> Result<(Rc<Vec<u8>>, i32), Flaw> {
        let stored = rows.find(version).ok_or(Flaw::BaseMissing)?;
        let hash = rows.hash(version).ok_or(Flaw::HashMismatch)?;
        let content = base_content(self.id, version, hash, || stored.decode(None))?;
        Ok((content, stored.bytes.len() as i32))
    }

    fn rows(&self, version: i32, and: Option<i32>) -> VersionRows {
        // Not one look-up with IN: that is planned as a condition on all versions of the file.
        static VERSIONS: Statement = Statement::new(
            "SELECT version, content_hash, size_bytes, encoding, stored
               FROM {s}.project_file_versions
              WHERE project_id = $1 AND file_id = $2 AND version = $3
             UNION ALL
             SELECT version, content_hash, size_bytes, encoding, stored
               FROM {s}.project_file_versions
              WHERE project_id = $1 AND file_id = $2 AND version = $4",
        );
        VersionRows(self.db.run(&VERSIONS, &[self.project.into(), self.id.into(), version.into(), and.into()]))
    }
}

struct VersionRows(Rows);

impl VersionRows {
    fn row(&self, version: i32) -> Option<usize> {
        (0..self.0.len()).find(|&row| self.0.get(row, 1) == Some(version))
    }

    fn hash(&self, version: i32) -> Option<Hash> {
        self.0.bytes(self.row(version)?, 2)?.fetch().try_into().ok()
    }

    fn find(&self, version: i32) -> Option<Stored<'_>> {
        let row = self.row(version)?;
        Stored::new(self.0.get(row, 3), self.0.get(row, 4), self.0.bytes(row, 5))
    }
}
