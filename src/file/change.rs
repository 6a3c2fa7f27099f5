//! Changing files: lock, check permissions, find, decide, add a version.

use std::borrow::Cow;
use std::cell::Cell;

use pgrx::Uuid;
use sha2::{Digest, Sha256};

use super::add::{Adding, Addition};
use super::decide::{self, Action, Body, Decision, Head, Wanted, Write};
use super::find::{self, State};
use super::version::FileVersion;
use super::write::NewVersion;
use crate::backend::{self, Call, Db, FreshSnapshot, Owner, as_owner, connect};
use crate::caller::{Caller, Role};
use crate::content::{self, Hash};
use crate::error::Error;
use crate::limit;
use crate::locks::FileLocks;

/// Number of attempts against writers that ignore the locks, each of which had to commit in between.
const MAX_ATTEMPTS: usize = 100;

impl<'a> Body<'a> {
    pub fn new(text: &'a str, file_type: &'a str) -> Self {
        Body { text, hash: Sha256::digest(text).into(), file_type }
    }
}

impl<'a> Wanted<'a> {
    /// Where the file will be, and the body that the request brings.
    fn brings(&self) -> (&'a str, Option<Body<'a>>) {
        match self.action {
            Action::Save(body) => (self.path, Some(body)),
            Action::Delete => (self.path, None),
            Action::Move { to, body } => (to, body),
        }
    }

    /// The paths that must be locked for it.
    fn paths(&self) -> impl Iterator<Item = &'a str> {
        let to = if let Action::Move { to, .. } = self.action { Some(to) } else { None };
        [self.path].into_iter().chain(to)
    }
}

/// A project whose files may be changed: the caller has permission and holds the locks.
pub struct Change<'c> {
    caller: Caller,
    pub db: &'c Db<'c>,
    owner: &'c Owner,
    pub project: Uuid,
    /// Whether the call has been counted toward its actor's rate.
    counted: Cell<bool>,
}

/// Changes one file. 22023, 25006, 42501, PT404, PT409, PT429, 40001.
pub fn change_file<'a>(call: &Call, project: Uuid, wanted: &Wanted<'a>) -> Result<FileVersion<'a>, Error> {
    let paths: Vec<&str> = wanted.paths().collect();
    change(call, project, &paths, |change| change.apply(wanted))
}

/// Locks the files at `paths` and runs `body`, which may change them; releases the locks if it fails.
pub fn change<T>(
    call: &Call,
    project: Uuid,
    paths: &[&str],
    body: impl FnOnce(&Change) -> Result<T, Error>,
) -> Result<T, Error> {
    saving(call, project, |change| change.locked(paths, || body(change)))
}

/// Runs `body` for a caller who may save in the project, without locking any files.
pub fn saving<T>(call: &Call, project: Uuid, body: impl FnOnce(&Change) -> Result<T, Error>) -> Result<T, Error> {
    call.refuse_read_only();
    let caller = Caller::identify(call)?;
    as_owner(call, |owner| {
        connect(call, |db| {
            let change = Change { caller, db, owner, project, counted: Cell::new(false) };
            db.lock_tables(&find::TABLES, || change.check_rights())?;
            db.lock_tables(limit::tables(caller), || change.check_rights())?;
            body(&change)
        })
    })
}

impl Change<'_> {
    /// Refuses callers who may not save, or no longer may. PT404, 42501.
    pub fn check_rights(&self) -> Result<(), Error> {
        self.caller.check(self.db, self.project, Role::Editor, self.owner).map(|_| ())
    }

    /// Runs `body` under the locks of the files at `paths`.
    pub fn locked<T>(&self, paths: &[&str], body: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        let locks = FileLocks::take(self.project, paths, || self.check_rights())?;
        let result = self.refuse_stale(paths).and_then(|()| body());
        if result.is_err() {
            locks.release();
        }
        result
    }

    /// With a fixed snapshot, tells callers who may know it that the snapshot does not show the current state.
    fn refuse_stale(&self, paths: &[&str]) -> Result<(), Error> {
        if !backend::fixed_snapshot() {
            return Ok(());
        }
        self.check_rights()?;
        paths.iter().try_for_each(|path| find::refuse_stale(self.db, self.project, path))
    }

    /// Runs `attempt`, which prepares a request without locks and then executes it, until the file at `path` does not
    /// change in between. After too many disturbances, it continues while holding the lock.
    pub fn until_undisturbed<T>(&self, path: &str, attempt: impl Fn(&Self) -> Result<T, Error>) -> Result<T, Error> {
        const WITHOUT_LOCK: usize = 3;
        for _ in 0..WITHOUT_LOCK {
            match attempt(self) {
                Err(Error::LostRace(_)) if !backend::fixed_snapshot() => backend::check_for_interrupts(),
                result => return result,
            }
        }
        self.locked(&[path], || attempt(self))
    }

    /// Executes a request whose paths are locked.
    pub fn apply<'a>(&self, wanted: &Wanted<'a>) -> Result<FileVersion<'a>, Error> {
        for _ in 0..MAX_ATTEMPTS {
            backend::check_for_interrupts();
            if let Some(version) = backend::in_own_memory(|| self.attempt(wanted))? {
                return Ok(version);
            }
            if backend::fixed_snapshot() {
                break;
            }
        }
        Err(Error::LostRace(format!("file \"{}\"", wanted.path)))
    }

    /// `None` if the state it read had changed before it could write.
    fn attempt<'a>(&self, wanted: &Wanted<'a>) -> Result<Option<FileVersion<'a>>, Error> {
        let _now = FreshSnapshot::take();
        let project = self.caller.allowed(self.db, self.project, Role::Editor, self.owner)?;
        let state = find::find(self.db, self.project, wanted)?;
        match decide::decide(&state.found, wanted, self.caller.actor, self.project)? {
            Decision::Write(write) => self.write(wanted, &state, write, project.value("snapshot_seq")),
            Decision::Unchanged => match &state.found.head {
                Some(head) => self.existing(wanted, head.file_id, head.version, true),
                None => Ok(None),
            },
            Decision::EarlierTry { is_current } => match &state.found.earlier {
                Some(made) => self.existing(wanted, made.file_id, made.version, is_current),
                None => Ok(None),
            },
        }
    }

    /// Adds a version.
    fn write<'a>(
        &self,
        wanted: &Wanted<'a>,
        state: &State,
        write: Write,
        snapshot_seq: i32,
    ) -> Result<Option<FileVersion<'a>>, Error> {
        let previous = state.found.head.as_ref();
        let (path, brought) = wanted.brings();
        let kept = match (wanted.action, brought, previous) {
            (Action::Move { .. }, None, Some(head)) => match self.content_of(head)? {
                Some(text) => Some(text),
                None => return Ok(None),
            },
            _ => None,
        };
        let body = match (&kept, previous) {
            (Some((text, hash)), Some(head)) => Some(Body { text, hash: *hash, file_type: &head.file_type }),
            _ => brought,
        };
        if !self.counted.replace(true) {
            limit::count(self.caller, self.db, self.project)?;
        }
        let adding = Adding { db: self.db, project: self.project, actor: self.caller.actor, snapshot_seq };
        let from_path = (write == Write::Move).then_some(wanted.path);
        let new = adding.add(previous.zip(state.head.as_ref()), Addition { write, path, from_path, body })?;
        Ok(new.map(|new| written(wanted, &new)))
    }

    /// Text and hash of a live file.
    fn content_of(&self, head: &Head) -> Result<Option<(String, Hash)>, Error> {
        let Some(row) = content::version_row(self.db, self.project, head.file_id, head.version)? else {
            return Ok(None);
        };
        Ok(content::read_text(self.db, self.project, &row)?.zip(head.hash))
    }

    /// A version that already exists.
    fn existing<'a>(
        &self,
        wanted: &Wanted<'a>,
        file_id: Uuid,
        version: i32,
        is_current: bool,
    ) -> Result<Option<FileVersion<'a>>, Error> {
        let Some(row) = content::version_row(self.db, self.project, file_id, version)? else { return Ok(None) };
        let (path, body) = wanted.brings();
        let content = match body {
            Some(body) => Some(Cow::Borrowed(body.text)),
            None => content::read_text(self.db, self.project, &row)?.map(Cow::Owned),
        };
        Ok(Some(FileVersion { content, ..FileVersion::of_row(&row, path, is_current) }))
    }
}

/// The version that was just written. Data it shares with the request is not copied.
fn written<'a>(wanted: &Wanted<'a>, new: &NewVersion) -> FileVersion<'a> {
    let (path, body) = wanted.brings();
    FileVersion {
        id: new.id,
        path: Cow::Borrowed(path),
        content: match body {
            Some(body) => Some(Cow::Borrowed(body.text)),
            None => new.body.map(|body| Cow::Owned(body.text.to_owned())),
        },
        hash: new.body.map(|body| body.hash),
        file_type: match body {
            Some(body) => Cow::Borrowed(body.file_type),
            None => Cow::Owned(new.file_type.to_owned()),
        },
        version: new.version,
        is_current: new.body.is_some(),
        created_by: new.actor,
        created_at: new.at,
    }
}
