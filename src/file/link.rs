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
            let key = base.key.map(|key| self.keyframe(key)).transpose()?;
            let rows = self.row(base.version);
            stored(&rows).ok_or(Flaw::BaseMissing)?.decode(key.as_ref().map(|(content, _)| content.as_slice()))
        })
    }

    /// Content and stored length.
    fn keyframe(&self, version: i32) -> Result<(Rc<Vec<u8>>, i32), Flaw> {
        let rows = self.row(version);
        let stored = stored(&rows).ok_or(Flaw::BaseMissing)?;
        let hash: Option<Hash> = rows.get::<Vec<u8>>(0, 4).and_then(|hash| hash.try_into().ok());
        let content = base_content(self.id, version, hash.ok_or(Flaw::HashMismatch)?, || stored.decode(None))?;
        Ok((content, stored.bytes.len() as i32))
    }

    fn row(&self, version: i32) -> Rows {
        static VERSION: Statement = Statement::new(
            "SELECT size_bytes, encoding, stored, content_hash
               FROM {s}.project_file_versions
              WHERE project_id = $1 AND file_id = $2 AND version = $3",
        );
        self.db.run(&VERSION, &[self.project.into(), self.id.into(), version.into()])
    }
}

fn stored(rows: &Rows) -> Option<Stored<'_>> {
    if rows.is_empty() { None } else { Stored::new(rows.get(0, 1), rows.get(0, 2), rows.bytes(0, 3)) }
}
