//! Adding many versions of the past to one file, for imports. Its head is written once, after them: a head that one
//! transaction changes many times leaves as many dead rows behind, which every look-up then passes.

use pgrx::Uuid;

use super::decide::{Body, Head};
use super::write::{self, NewVersion};
use crate::backend::{Db, Timestamp};
use crate::content;
use crate::content::Hash;
use crate::content::chain::Chain;
use crate::error::Error;
use crate::id;

/// A file that versions are being added to. The caller holds the lock of the project.
pub struct Appending<'d> {
    db: &'d Db<'d>,
    project: Uuid,
    path: String,
    snapshot_seq: i32,
    pub file_id: Uuid,
    /// What its head was before; `None` for a new file.
    before: Option<Head>,
    chain: Chain,
    newest: Newest,
}

/// What the head will say about the newest version.
struct Newest {
    version: i32,
    at: Timestamp,
    file_type: String,
    hash: Option<Hash>,
}

/// A version that has been added.
pub struct Added {
    pub version: i32,
    pub id: Uuid,
}

impl<'d> Appending<'d> {
    /// After `head`, or to a new file.
    pub fn begin(db: &'d Db<'d>, project: Uuid, path: String, snapshot_seq: i32, head: Option<Head>) -> Self {
        Appending {
            db,
            project,
            path,
            snapshot_seq,
            file_id: head.as_ref().map_or_else(id::next_uuid, |head| head.file_id),
            chain: head.as_ref().map(|head| head.chain).unwrap_or_default(),
            newest: Newest {
                version: head.as_ref().map_or(0, |head| head.version),
                at: Timestamp(0),
                file_type: head.as_ref().map(|head| head.file_type.clone()).unwrap_or_default(),
                hash: head.as_ref().and_then(|head| head.hash),
            },
            before: head,
        }
    }

    /// Adds a version, a deletion if it has no body. `at` must not be earlier than the version before.
    pub fn add(&mut self, body: Option<Body>, actor: Option<Uuid>, at: Timestamp) -> Result<Added, Error> {
        let last = self.newest.version;
        let on = (last > 0).then_some((self.file_id, last, self.chain));
        let form = body.map(|body| content::next_form(self.db, self.project, on, body.text)).transpose()?;
        let version = last.checked_add(1).ok_or_else(|| {
            Error::Invalid(format!("file \"{}\" has reached the last version number, {last}", self.path))
        })?;
        let new = NewVersion {
            project: self.project,
            file_id: self.file_id,
            version,
            id: id::next_uuid(),
            path: &self.path,
            file_type: body.map_or(&*self.newest.file_type, |body| body.file_type),
            body,
            form,
            chain: self.chain,
            snapshot_seq: self.snapshot_seq,
            actor,
            at,
        };
        write::write_version(self.db, &new)?;
        let added = Added { version, id: new.id };
        let chain = new.form.as_ref().map_or(new.chain, |form| form.chain);
        let file_type = new.file_type.to_owned();
        self.chain = chain;
        self.newest = Newest { version, at, file_type, hash: body.map(|body| body.hash) };
        Ok(added)
    }

    /// Writes the head. 40001 if somebody who takes no locks has changed it meanwhile, or taken the path.
    pub fn finish(self) -> Result<(), Error> {
        let Newest { version, at, file_type, hash } = &self.newest;
        let newest = NewVersion {
            project: self.project,
            file_id: self.file_id,
            version: *version,
            id: self.file_id,
            path: &self.path,
            file_type,
            body: hash.map(|hash| Body { text: "", hash, file_type }),
            form: None,
            chain: self.chain,
            snapshot_seq: self.snapshot_seq,
            actor: None,
            at: *at,
        };
        let is_written = match &self.before {
            None => write::create_head(self.db, &newest),
            Some(before) if before.version == *version => true,
            Some(before) => write::advance_head(self.db, before, &newest),
        };
        if is_written { Ok(()) } else { Err(Error::LostRace(format!("file \"{}\"", self.path))) }
    }
}
