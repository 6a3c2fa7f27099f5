//! Saving, deleting and moving files: lock, read what is there now, decide, write the next version.

use std::cell::Cell;

use pgrx::Uuid;
use sha2::{Digest, Sha256};

use super::link;
use super::store::{self, Content, Existing, Head, NewVersion, State};
use crate::backend::{self, Answer, Call, Db, Owner, Timestamp, Value, as_owner, connect};
use crate::caller::{Caller, Role};
use crate::content::Hash;
use crate::error::{Conflict, Error};
use crate::events::{self, FileChanged};
use crate::{id, limit, locks};

/// Tries against writers that ignore the locks, each of which had to commit in between.
const MAX_ATTEMPTS: usize = 100;

/// A path, and the version that its client believes is current there: none (`None`), no file (0), or that version.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    pub path: &'a str,
    pub expected: Option<i32>,
}

/// A change under its locks.
pub struct Change<'a> {
    call: &'a Call,
    caller: Caller,
    pub db: &'a Db<'a>,
    owner: &'a Owner,
    pub project: Uuid,
    /// Whether the call has been counted against its actor's rate.
    counted: Cell<bool>,
}

/// A version as the view `project_files` shows it.
pub struct Version<'a> {
    pub id: Uuid,
    pub path: &'a str,
    pub content: Option<Content<'a>>,
    pub file_type: &'a str,
    pub version: i32,
    pub current: bool,
    pub created_by: Option<Uuid>,
    pub created_at: Timestamp,
}

impl<'a> Content<'a> {
    /// `value` is the text as a parameter, where there is one already.
    pub fn new(text: &'a str, value: Option<Value>) -> Self {
        Content { text, hash: Sha256::digest(text).into(), value: value.unwrap_or_else(|| text.into()) }
    }
}

/// Checks rights, takes the locks of `paths` and runs `body` under them.
pub fn change<T>(
    call: &Call,
    project: Uuid,
    paths: &[&str],
    body: impl FnOnce(&Change) -> Result<T, Error>,
) -> Result<T, Error> {
    let caller = Caller::identify(call)?;
    as_owner(call, |owner| {
        connect(call, |db| {
            locks::files(project, paths, || caller.check(db, project, Role::Editor, owner))?;
            if backend::fixed_snapshot() {
                for path in paths {
                    store::refuse_stale(db, project, path)?;
                }
            }
            body(&Change { call, caller, db, owner, project, counted: Cell::new(false) })
        })
    })
}

/// The same for one file: the first of `paths`, with where it goes to. See [`Change::until_written`].
pub fn change_file<T>(
    call: &Call,
    project: Uuid,
    paths: &[&str],
    attempt: impl Fn(&Change) -> Result<Option<T>, Error>,
) -> Result<T, Error> {
    change(call, project, paths, |change| change.until_written(paths[0], || attempt(change)))
}

impl Change<'_> {
    /// Runs `attempt` on the file at `path` until it has an answer: it answers `None` when the state it read was gone
    /// before it could write.
    pub fn until_written<T>(&self, path: &str, attempt: impl Fn() -> Result<Option<T>, Error>) -> Result<T, Error> {
        for _ in 0..MAX_ATTEMPTS {
            if let Some(answer) = attempt()? {
                return Ok(answer);
            }
            if backend::fixed_snapshot() {
                break;
            }
        }
        Err(Error::LostRace(format!("file \"{path}\"")))
    }

    /// The project's state and the live file at a path.
    pub fn state(&self, path: &str) -> Result<State, Error> {
        store::state(self.db, self.caller, self.project, path, self.owner)
    }

    /// Refuses who may no longer save.
    pub fn check_rights(&self) -> Result<(), Error> {
        self.caller.check(self.db, self.project, Role::Editor, self.owner)
    }

    pub fn tombstone(&self, path: &str) -> Option<Head> {
        store::tombstone(self.db, self.project, path)
    }

    /// The version that an earlier try of the same request made: the one after the expected version, with
    /// this content and author. Where no file was expected, the first one since the file was deleted last.
    fn earlier_try(
        &self,
        expected: Option<i32>,
        head: &Head,
        hash: Option<&Hash>,
        file_type: Option<&str>,
    ) -> Option<(i32, Existing)> {
        let before = match expected? {
            0 => store::last_deletion(self.db, self.project, head.file_id)?,
            n => n,
        };
        let version = before.checked_add(1)?;
        let stored = store::matching(self.db, self.project, head.file_id, version, hash, file_type)?;
        (stored.created_by == self.caller.actor).then_some((version, stored))
    }

    /// The row to add after `previous`. Its time never precedes the previous version's, though a clock may.
    fn next<'v>(
        &self,
        path: &'v str,
        file_type: &'v str,
        content: Option<Content<'v>>,
        previous: Option<&Head>,
        snapshot_seq: i32,
    ) -> Result<NewVersion<'v>, Error> {
        if !self.counted.replace(true) {
            limit::count(self.caller, self.db, self.project)?;
        }
        let now = backend::clock();
        Ok(NewVersion {
            project: self.project,
            file_id: previous.map_or_else(id::next_uuid, |head| head.file_id),
            id: id::next_uuid(),
            path,
            file_type,
            content,
            link: content.map(|content| link::next(self.db, self.project, previous, content.text)),
            chain: previous.map(|head| head.chain).unwrap_or_default(),
            snapshot_seq,
            actor: self.caller.actor,
            at: previous.map_or(now, |head| now.max(head.updated_at)),
        })
    }

    /// Announces a version just written.
    fn written<'v>(
        &self,
        kind: &'static str,
        new: NewVersion<'v>,
        version: i32,
        from_path: Option<&str>,
    ) -> Version<'v> {
        if events::wanted() {
            let hash = new.content.map(|content| store::hex(&content.hash));
            let mut event = FileChanged::new(new.path, version, hash.as_deref(), new.actor, new.at);
            event.from_path = from_path;
            events::file_changed(self.project, kind, event);
        }
        Version {
            id: new.id,
            path: new.path,
            content: new.content,
            file_type: new.file_type,
            version,
            current: new.content.is_some(),
            created_by: new.actor,
            created_at: new.at,
        }
    }

    /// Saves content at a path.
    pub fn save<T>(
        &self,
        Target { path, expected }: Target,
        content: Content,
        file_type: &str,
        answer: impl FnOnce(Version) -> T,
    ) -> Result<Option<T>, Error> {
        let State { snapshot_seq, live } = self.state(path)?;
        let hash = content.hash;
        let existing = |version, Existing { id, created_by, created_at }, current| {
            let content = Some(content);
            Version { id, path, content, file_type, version, current, created_by, created_at }
        };

        if let Some(head) = live.as_ref().filter(|head| head.hash == Some(hash) && head.file_type == file_type) {
            // Equal to what is there: nothing to save, whatever was expected.
            let stored = store::matching(self.db, self.project, head.file_id, head.version, Some(&hash), None);
            return Ok(stored.map(|stored| answer(existing(head.version, stored, true))));
        }
        let tombstone = if live.is_none() { self.tombstone(path) } else { None };
        if !is_expected(expected, live.as_ref(), tombstone.as_ref()) {
            let head = live.as_ref().or(tombstone.as_ref());
            let earlier = head.and_then(|head| self.earlier_try(expected, head, Some(&hash), Some(file_type)));
            return match earlier {
                Some((version, stored)) => Ok(Some(answer(existing(version, stored, false)))),
                None => Err(conflict(path, expected, head)),
            };
        }

        let previous = live.as_ref().or(tombstone.as_ref());
        let new = self.next(path, file_type, Some(content), previous, snapshot_seq)?;
        let version = match (&live, &tombstone) {
            (Some(head), _) => store::write_next(self.db, &new, head.version),
            (None, Some(tombstone)) => store::write_moved(self.db, &new, tombstone.version),
            (None, None) => store::write_first(self.db, &new),
        };
        let kind = if live.is_some() { "file:updated" } else { "file:created" };
        Ok(version.map(|version| answer(self.written(kind, new, version, None))))
    }

    /// Deletes the file at a path.
    pub fn delete<T>(
        &self,
        Target { path, expected }: Target,
        answer: impl FnOnce(Version) -> T,
    ) -> Result<Option<T>, Error> {
        let State { snapshot_seq, live } = self.state(path)?;
        let Some(head) = live else {
            let tombstone = self.tombstone(path);
            let earlier = tombstone.and_then(|head| {
                let earlier = self.earlier_try(expected, &head, None, None)?;
                Some((head, earlier))
            });
            let Some((head, (version, Existing { id, created_by, created_at }))) = earlier else {
                return Err(Error::FileNotFound { project: self.project, path: path.to_owned() });
            };
            let (content, file_type, current) = (None, &*head.file_type, false);
            return Ok(Some(answer(Version {
                id,
                path,
                content,
                file_type,
                version,
                current,
                created_by,
                created_at,
            })));
        };
        if !is_expected(expected, Some(&head), None) {
            return Err(conflict(path, expected, Some(&head)));
        }
        let new = self.next(path, &head.file_type, None, Some(&head), snapshot_seq)?;
        let version = store::write_moved(self.db, &new, head.version);
        Ok(version.map(|version| answer(self.written("file:deleted", new, version, None))))
    }

    /// Moves the file at a path to `to`, with new content and type if `edit` has them.
    pub fn rename<T>(
        &self,
        Target { path: from, expected }: Target,
        to: &str,
        edit: Option<(Content, &str)>,
        answer: impl FnOnce(Version) -> T,
    ) -> Result<Option<T>, Error> {
        let State { snapshot_seq, live } = self.state(from)?;
        let Some(head) = live else {
            return Err(Error::FileNotFound { project: self.project, path: from.to_owned() });
        };
        if !is_expected(expected, Some(&head), None) {
            return Err(conflict(from, expected, Some(&head)));
        }
        let stored;
        let (content, file_type) = match edit {
            Some(edit) => edit,
            None => {
                stored = store::content(self.db, self.project, head.file_id, head.version);
                let Some((text, hash)) = stored.as_deref().zip(head.hash) else { return Ok(None) };
                (Content { text, hash, value: text.into() }, &*head.file_type)
            }
        };
        if from == to {
            let hash = Some(&content.hash);
            let stored = store::matching(self.db, self.project, head.file_id, head.version, hash, None);
            return Ok(stored.map(|Existing { id, created_by, created_at }| {
                let (path, content, version) = (from, Some(content), head.version);
                answer(Version { id, path, content, file_type, version, current: true, created_by, created_at })
            }));
        }
        if let Some(taken) = store::live(self.db, self.project, to) {
            return Err(Error::PathTaken { path: to.to_owned(), expected, current: taken.state() });
        }
        let new = self.next(to, file_type, Some(content), Some(&head), snapshot_seq)?;
        let version = store::write_moved(self.db, &new, head.version);
        Ok(version.map(|version| answer(self.written("file:moved", new, version, Some(from)))))
    }

    /// Saves the content and type of version `to` as the next version of the file that is, or was last, at a path.
    pub fn revert<T>(&self, target: Target, to: i32, answer: impl FnOnce(Version) -> T) -> Result<Option<T>, Error> {
        let path = || target.path.to_owned();
        let live = self.state(target.path)?.live;
        let head = live.or_else(|| self.tombstone(target.path));
        let head = head.ok_or_else(|| Error::FileNotFound { project: self.project, path: path() })?;
        let version = store::version(self.db, self.project, head.file_id, to);
        let version =
            version.ok_or_else(|| Error::FileVersionNotFound { project: self.project, path: path(), version: to })?;
        let Some(text) = &version.content else {
            return Err(Error::Invalid(format!("p_to_version {to} of file \"{}\" is its deletion", target.path)));
        };
        self.save(target, Content::new(text, None), &version.file_type, answer)
    }

    /// A version as a row of the view `project_files`.
    pub fn row(&self, version: Version) -> Answer {
        self.call.row(&version.columns(self.project))
    }
}

impl Version<'_> {
    /// Its columns in the view `project_files`.
    pub fn columns(&self, project: Uuid) -> [Value; 14] {
        let hash = self.hash();
        [
            self.id.into(),
            project.into(),
            self.path.into(),
            self.content.map_or(None::<&str>.into(), |content| content.value),
            self.file_type.into(),
            self.version.into(),
            hash.as_deref().into(),
            (self.content.map_or(0, |content| content.text.len()) as i32).into(),
            self.current.into(),
            self.content.is_none().into(),
            self.created_by.into(),
            self.created_by.into(),
            self.created_at.into(),
            self.created_at.into(),
        ]
    }

    /// The content's hash in hexadecimal; `None` for a deletion.
    pub fn hash(&self) -> Option<String> {
        self.content.map(|content| store::hex(&content.hash))
    }
}

/// Whether the file's state is the one the client expects.
fn is_expected(expected: Option<i32>, live: Option<&Head>, tombstone: Option<&Head>) -> bool {
    match expected {
        None => true,
        Some(0) => live.is_none(),
        Some(n) => live.or(tombstone).is_some_and(|head| head.version == n),
    }
}

pub fn conflict(path: &str, expected: Option<i32>, head: Option<&Head>) -> Error {
    Error::VersionConflict(Conflict {
        path: path.to_owned(),
        expected: expected.unwrap_or_default(),
        current: head.map(Head::state),
    })
}
