//! The stored form of a file's next version, from what its last one may stand on.

use std::rc::Rc;

use pgrx::{FromDatum, Uuid};

use super::store::Head;
use crate::backend::{self, Db, Rows, Statement};
use crate::content::chain::{self, Base, Chain, Ground, Link};
use crate::content::{Ancestor, Flaw, Stored};

/// Columns of a file's base, and of the keyframe that the base stands on if it is none.
macro_rules! base_columns {
    () => {
        "b.version, b.content_hash, b.size_bytes, b.encoding, b.stored,
         k.version, k.content_hash, k.size_bytes, k.encoding, k.stored, b.base_version"
    };
}
pub(super) use base_columns;

/// Rows with [`base_columns`] from column `first` on.
pub struct BaseRows {
    pub rows: Rows,
    pub first: usize,
}

impl BaseRows {
    fn read(db: &Db, project: Uuid, file_id: Uuid, version: i32) -> Self {
        static BASES: Statement = Statement::new(concat!(
            "SELECT ",
            base_columns!(),
            " FROM {s}.project_file_versions b
               LEFT JOIN {s}.project_file_versions k
                 ON k.project_id = b.project_id AND k.file_id = b.file_id AND k.version = b.base_version
              WHERE b.project_id = $1 AND b.file_id = $2 AND b.version = $3"
        ));
        let rows = db.run(&BASES, &[project.into(), file_id.into(), version.into()]);
        BaseRows { rows, first: 1 }
    }

    fn get<T: FromDatum>(&self, column: usize) -> Option<T> {
        if self.rows.is_empty() { None } else { self.rows.get(0, self.first + column) }
    }

    fn ancestor(&self, file_id: Uuid, column: usize) -> Result<Ancestor<'_>, Flaw> {
        let version = self.get(column).ok_or(Flaw::BaseMissing)?;
        let hash = self.rows.bytes(0, self.first + column + 1).and_then(|hash| hash.fetch().try_into().ok());
        let bytes = self.rows.bytes(0, self.first + column + 4);
        let stored = Stored::new(self.get(column + 2), self.get(column + 3), bytes).ok_or(Flaw::Undecodable)?;
        Ok(Ancestor { file_id, version, hash: hash.ok_or(Flaw::HashMismatch)?, stored })
    }

    /// The contents of the base and of its keyframe.
    fn contents(&self, file_id: Uuid) -> Result<Contents<'_>, Flaw> {
        let base = self.ancestor(file_id, 0)?;
        let Some(_) = self.get::<i32>(10) else {
            let content = base.content(None)?;
            return Ok(Contents { key: None, base: (base, content) });
        };
        let key = self.ancestor(file_id, 5)?;
        let key_content = key.content(None)?;
        let content = base.content(Some((&key, &key_content)))?;
        Ok(Contents { base: (base, content), key: Some((key, key_content)) })
    }
}

struct Contents<'r> {
    base: (Ancestor<'r>, Rc<Vec<u8>>),
    key: Option<(Ancestor<'r>, Rc<Vec<u8>>)>,
}

impl Contents<'_> {
    fn ground(&self) -> Ground<'_> {
        match &self.key {
            None => Ground::Key(as_base(&self.base)),
            Some(key) => Ground::Middle { base: as_base(&self.base), key: as_base(key) },
        }
    }
}

fn as_base<'c>((row, content): &'c (Ancestor, Rc<Vec<u8>>)) -> Base<'c> {
    Base { version: row.version, content, stored: row.stored.bytes.len() as i32 }
}

/// Encodes `content` as the version after `previous`. `base` are the rows of its head's base, if they were read.
pub fn next(db: &Db, project: Uuid, previous: Option<&Head>, base: Option<BaseRows>, content: &str) -> Link {
    let content = content.as_bytes();
    let Some(head) = previous else { return chain::link(1, content, Chain::default(), Ground::Nothing) };
    let rows =
        head.chain.base.map(|version| base.unwrap_or_else(|| BaseRows::read(db, project, head.file_id, version)));
    // A new version needs no damaged one: it is saved as a keyframe.
    let log = |flaw: &Flaw| backend::log(&format!("project {project}, file {}: {flaw}", head.file_id));
    let contents = rows.as_ref().and_then(|rows| rows.contents(head.file_id).inspect_err(log).ok());
    let ground = contents.as_ref().map_or(Ground::Nothing, Contents::ground);
    chain::link(head.version + 1, content, head.chain, ground)
}
