//! Adding a version to a file: encode it, write it, announce it.

use pgrx::Uuid;

use super::decide::{Body, Head, Write};
use super::write::{self, NewVersion};
use crate::backend::{self, Db, Row, Timestamp};
use crate::content;
use crate::error::Error;
use crate::events::{self, FileChanged};
use crate::{hex, id};

/// Where and on whose behalf versions are added. The caller has permission and holds the locks.
pub struct Adding<'a> {
    pub db: &'a Db<'a>,
    pub project: Uuid,
    pub actor: Option<Uuid>,
    pub snapshot_seq: i32,
}

/// A version to be added.
#[derive(Clone, Copy)]
pub struct Addition<'a> {
    pub write: Write,
    pub path: &'a str,
    /// Where a moved file was before.
    pub from_path: Option<&'a str>,
    /// `None` for a deletion.
    pub body: Option<Body<'a>>,
}

impl Adding<'_> {
    /// Adds a version after `head`, which is the file's newest version and its row, or `None` for a new file. The result
    /// is `None` if the file's newest version has become another one.
    pub fn add<'v>(
        &self,
        head: Option<(&'v Head, &Row)>,
        addition: Addition<'v>,
    ) -> Result<Option<NewVersion<'v>>, Error> {
        let Addition { write, path, from_path, body } = addition;
        let previous = head.map(|(head, _)| head);
        let chain = previous.map(|head| head.chain).unwrap_or_default();
        let on = previous.map(|head| (head.file_id, head.version, head.chain));
        let form = body.map(|body| content::next_form(self.db, self.project, on, body.text)).transpose()?;
        let now = backend::clock();
        let new = NewVersion {
            project: self.project,
            file_id: previous.map_or_else(id::next_uuid, |head| head.file_id),
            version: next_version(previous)?,
            id: id::next_uuid(),
            path,
            file_type: body.map(|body| body.file_type).or(previous.map(|head| &*head.file_type)).unwrap_or_default(),
            body,
            form,
            chain,
            snapshot_seq: self.snapshot_seq,
            actor: self.actor,
            // Never earlier than the version it follows, even if the clock was set back.
            at: head.map_or(now, |(_, row)| now.max(row.value::<Timestamp>("updated_at"))),
        };
        if !write::write(self.db, write, head.map(|(_, row)| row), &new)? {
            return Ok(None);
        }
        self.announce(write, from_path, &new);
        Ok(Some(new))
    }

    fn announce(&self, write: Write, from_path: Option<&str>, new: &NewVersion) {
        if !events::wanted() {
            return;
        }
        let kind = match write {
            Write::Create | Write::Revive => "file:created",
            Write::Update => "file:updated",
            Write::Delete => "file:deleted",
            Write::Move => "file:moved",
        };
        let hash = new.body.map(|body| hex::encode(&body.hash));
        let mut event = FileChanged::new(new.path, new.version, hash.as_deref(), new.actor, new.at);
        event.from_path = from_path;
        events::file_changed(self.project, kind, event);
    }
}

/// The number after a file's newest version.
pub fn next_version(previous: Option<&Head>) -> Result<i32, Error> {
    let last = previous.map_or(0, |head| head.version);
    last.checked_add(1).ok_or_else(|| Error::Invalid(format!("this file has reached the last version number, {last}")))
}
