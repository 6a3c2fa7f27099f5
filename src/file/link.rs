//! The stored form of a file's next version, from what its last one may stand on.

use std::rc::Rc;

use pgrx::Uuid;

use super::store::Head;
use crate::backend::{self, Db, Lookup, Row};
use crate::content::chain::{self, Base, Chain, Ground, Link};
use crate::content::{Ancestor, Flaw, Stored};

/// Encodes `content` as the version after `previous`.
pub fn next(db: &Db, project: Uuid, previous: Option<&Head>, content: &str) -> Link {
    let content = content.as_bytes();
    let Some(head) = previous else { return chain::link(1, content, Chain::default(), Ground::Nothing) };
    // A new version needs no damaged one: it is saved as a keyframe.
    let log = |flaw: &Flaw| backend::log(&format!("project {project}, file {}: {flaw}", head.file_id));
    let rows = head.chain.base.map(|base| Rows::read(db, project, head.file_id, base));
    let contents = rows.as_ref().and_then(|rows| Contents::of(rows, head.file_id).inspect_err(log).ok());
    let ground = contents.as_ref().map_or(Ground::Nothing, Contents::ground);
    chain::link(head.version + 1, content, head.chain, ground)
}

/// A base, and the keyframe it stands on if it is none itself.
struct Rows {
    base: Option<Row>,
    key: Option<Row>,
}

impl Rows {
    fn read(db: &Db, project: Uuid, file_id: Uuid, version: i32) -> Self {
        static VERSION: Lookup = Lookup::new(
            c"project_file_versions_pkey",
            "SELECT * FROM {s}.project_file_versions WHERE file_id = $1 AND version = $2 AND project_id = $3",
        );
        let read = |version: i32| db.look_up(&VERSION, &[file_id.into(), version.into(), project.into()]);
        let base = read(version);
        let key = base.as_ref().and_then(|base| base.get(c"base_version")).and_then(read);
        Rows { base, key }
    }
}

fn ancestor(row: &Row, file_id: Uuid) -> Result<Ancestor<'_>, Flaw> {
    let stored = Stored::new(row.get(c"size_bytes"), row.get(c"encoding"), row.bytes(c"stored"));
    let hash = row.bytes(c"content_hash").and_then(|hash| hash.fetch().try_into().ok());
    Ok(Ancestor {
        file_id,
        version: row.value(c"version"),
        hash: hash.ok_or(Flaw::HashMismatch)?,
        stored: stored.ok_or(Flaw::Undecodable)?,
    })
}

/// The contents of a base and of its keyframe.
struct Contents<'r> {
    base: (Ancestor<'r>, Rc<Vec<u8>>),
    key: Option<(Ancestor<'r>, Rc<Vec<u8>>)>,
}

impl<'r> Contents<'r> {
    fn of(rows: &'r Rows, file_id: Uuid) -> Result<Self, Flaw> {
        let base = ancestor(rows.base.as_ref().ok_or(Flaw::BaseMissing)?, file_id)?;
        let key = rows.key.as_ref().map(|key| ancestor(key, file_id)).transpose()?;
        let key = key.map(|key| key.content(None).map(|content| (key, content))).transpose()?;
        let content = base.content(key.as_ref().map(|(key, content)| (key, content.as_slice())))?;
        Ok(Contents { base: (base, content), key })
    }

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
