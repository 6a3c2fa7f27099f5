//! Saving, deleting and moving files: lock, read what is there now, decide, write the next version.

use pgrx::prelude::*;
use pgrx::{Uuid, pg_sys};
use sha2::{Digest, Sha256};

use super::link;
use super::store::{self, Content, Existing, Head, NewVersion, State};
use crate::backend::{self, Answer, Call, Db, Owner, Timestamp, as_owner, connect};
use crate::caller::{Caller, Role};
use crate::content::Hash;
use crate::error::Error;
use crate::events::{self, FileChanged};
use crate::{id, input, locks};

/// Tries against writers that ignore the locks, each of which had to commit in between.
const MAX_ATTEMPTS: usize = 100;

/// A change under its locks.
struct Change<'a> {
    call: &'a Call,
    caller: Caller,
    db: &'a Db<'a>,
    owner: &'a Owner,
    project: Uuid,
    expected: Option<i32>,
}

/// A version as the view `project_files` shows it.
struct Version<'a> {
    id: Uuid,
    path: &'a str,
    content: Option<Content<'a>>,
    file_type: &'a str,
    version: i32,
    current: bool,
    created_by: Option<Uuid>,
    created_at: Timestamp,
}

/// Checks rights, takes the locks of `paths` and runs `attempt` until it has an answer: it answers `None`
/// when the state it read was gone before it could write.
fn change(
    call: &Call,
    project: Uuid,
    paths: &[&str],
    expected: Option<i32>,
    attempt: impl Fn(&Change) -> Result<Option<Answer>, Error>,
) -> Result<Answer, Error> {
    let caller = Caller::identify(call)?;
    as_owner(call, |owner| {
        connect(call, |db| {
            locks::files(project, paths, || caller.check(db, project, Role::Editor, owner))?;
            if backend::fixed_snapshot() {
                for path in paths {
                    store::refuse_stale(db, project, path)?;
                }
            }
            let change = Change { call, caller, db, owner, project, expected };
            for _ in 0..MAX_ATTEMPTS {
                if let Some(answer) = attempt(&change)? {
                    return Ok(answer);
                }
                if backend::fixed_snapshot() {
                    break;
                }
            }
            Err(Error::LostRace(format!("file \"{}\"", paths[0])))
        })
    })
}

impl Change<'_> {
    fn state(&self, path: &str) -> Result<State, Error> {
        store::state(self.db, self.caller, self.project, path, self.owner)
    }

    fn tombstone(&self, path: &str) -> Option<Head> {
        store::tombstone(self.db, self.project, path)
    }

    /// Whether the file's state is the one the client expects.
    fn is_expected(&self, live: Option<&Head>, tombstone: Option<&Head>) -> bool {
        match self.expected {
            None => true,
            Some(0) => live.is_none(),
            Some(n) => live.or(tombstone).is_some_and(|head| head.version == n),
        }
    }

    fn conflict(&self, path: &str, head: Option<&Head>) -> Error {
        Error::VersionConflict {
            path: path.to_owned(),
            expected: self.expected.unwrap_or_default(),
            current: head.map(Head::state),
        }
    }

    /// The version that an earlier try of the same request made: the one after the expected version, with
    /// this content and author. Where no file was expected, the first one since the file was deleted last.
    fn earlier_try(&self, head: &Head, hash: Option<&Hash>, file_type: Option<&str>) -> Option<(i32, Existing)> {
        let before = match self.expected? {
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
    ) -> NewVersion<'v> {
        let now = backend::clock();
        NewVersion {
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
        }
    }

    /// Announces a version just written and answers with it.
    fn written(&self, kind: &'static str, new: &NewVersion, version: i32, from_path: Option<&str>) -> Answer {
        if events::wanted() {
            let hash = new.content.map(|content| store::hex(&content.hash));
            let mut event = FileChanged::new(new.path, version, hash.as_deref(), new.actor, new.at);
            event.from_path = from_path;
            events::file_changed(self.project, kind, event);
        }
        self.answer(Version {
            id: new.id,
            path: new.path,
            content: new.content,
            file_type: new.file_type,
            version,
            current: new.content.is_some(),
            created_by: new.actor,
            created_at: new.at,
        })
    }

    fn answer(&self, version: Version) -> Answer {
        let hash = version.content.map(|content| store::hex(&content.hash));
        self.call.row(&[
            version.id.into(),
            self.project.into(),
            version.path.into(),
            version.content.map_or(None::<&str>.into(), |content| content.value),
            version.file_type.into(),
            version.version.into(),
            hash.as_deref().into(),
            (version.content.map_or(0, |content| content.text.len()) as i32).into(),
            version.current.into(),
            version.content.is_none().into(),
            version.created_by.into(),
            version.created_by.into(),
            version.created_at.into(),
            version.created_at.into(),
        ])
    }
}

/// Saves content at a path.
fn save(change: &Change, path: &str, content: Content, file_type: &str) -> Result<Option<Answer>, Error> {
    let State { snapshot_seq, live } = change.state(path)?;
    let hash = content.hash;
    let existing = |version, stored: Existing, current| {
        let Existing { id, created_by, created_at } = stored;
        let content = Some(content);
        change.answer(Version { id, path, content, file_type, version, current, created_by, created_at })
    };

    if let Some(head) = live.as_ref().filter(|head| head.hash == Some(hash) && head.file_type == file_type) {
        // Equal to what is there: nothing to save, whatever was expected.
        let stored = store::matching(change.db, change.project, head.file_id, head.version, Some(&hash), None);
        return Ok(stored.map(|stored| existing(head.version, stored, true)));
    }
    let tombstone = if live.is_none() { change.tombstone(path) } else { None };
    if !change.is_expected(live.as_ref(), tombstone.as_ref()) {
        let head = live.as_ref().or(tombstone.as_ref());
        let earlier = head.and_then(|head| change.earlier_try(head, Some(&hash), Some(file_type)));
        return match earlier {
            Some((version, stored)) => Ok(Some(existing(version, stored, false))),
            None => Err(change.conflict(path, head)),
        };
    }

    let previous = live.as_ref().or(tombstone.as_ref());
    let new = change.next(path, file_type, Some(content), previous, snapshot_seq);
    let version = match (&live, &tombstone) {
        (Some(head), _) => store::write_next(change.db, &new, head.version),
        (None, Some(tombstone)) => store::write_moved(change.db, &new, tombstone.version),
        (None, None) => store::write_first(change.db, &new),
    };
    let kind = if live.is_some() { "file:updated" } else { "file:created" };
    Ok(version.map(|version| change.written(kind, &new, version, None)))
}

/// Deletes the file at a path.
fn delete(change: &Change, path: &str) -> Result<Option<Answer>, Error> {
    let State { snapshot_seq, live } = change.state(path)?;
    let Some(head) = live else {
        let tombstone = change.tombstone(path);
        let earlier = tombstone.as_ref().and_then(|head| Some((head, change.earlier_try(head, None, None)?)));
        let Some((head, (version, Existing { id, created_by, created_at }))) = earlier else {
            let path = path.to_owned();
            return Err(Error::FileNotFound { project: change.project, path });
        };
        let file_type = &head.file_type;
        let (content, current) = (None, false);
        return Ok(Some(change.answer(Version {
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
    if !change.is_expected(Some(&head), None) {
        return Err(change.conflict(path, Some(&head)));
    }
    let new = change.next(path, &head.file_type, None, Some(&head), snapshot_seq);
    let version = store::write_moved(change.db, &new, head.version);
    Ok(version.map(|version| change.written("file:deleted", &new, version, None)))
}

/// Moves the file at `from` to `to`.
fn rename(change: &Change, from: &str, to: &str) -> Result<Option<Answer>, Error> {
    let State { snapshot_seq, live } = change.state(from)?;
    let Some(head) = live else {
        return Err(Error::FileNotFound { project: change.project, path: from.to_owned() });
    };
    if !change.is_expected(Some(&head), None) {
        return Err(change.conflict(from, Some(&head)));
    }
    let text = store::content(change.db, change.project, head.file_id, head.version);
    let Some((text, hash)) = text.as_deref().zip(head.hash) else { return Ok(None) };
    let content = Content { text, hash, value: text.into() };
    if from == to {
        let stored = store::matching(change.db, change.project, head.file_id, head.version, Some(&hash), None);
        return Ok(stored.map(|Existing { id, created_by, created_at }| {
            let (path, content, file_type, version) = (from, Some(content), &*head.file_type, head.version);
            change.answer(Version { id, path, content, file_type, version, current: true, created_by, created_at })
        }));
    }
    if let Some(taken) = store::live(change.db, change.project, to) {
        return Err(Error::PathTaken { path: to.to_owned(), expected: change.expected, current: taken.state() });
    }
    let new = change.next(to, &head.file_type, Some(content), Some(&head), snapshot_seq);
    let version = store::write_moved(change.db, &new, head.version);
    Ok(version.map(|version| change.written("file:moved", &new, version, Some(from))))
}

/// See the COMMENT in `sql/files.sql`.
#[pg_extern(sql = false)]
fn atomic_upsert_project_file(
    project: Option<Uuid>,
    path: Option<&str>,
    content: Option<&str>,
    file_type: Option<&str>,
    expected: Option<i32>,
    fcinfo: pg_sys::FunctionCallInfo,
) -> Answer {
    Call::answer(fcinfo, |call| {
        let project = input::project(project, "project_uuid")?;
        let path = input::file_path(path, "p_file_path")?;
        let content = input::content(content, "p_content")?;
        let file_type = input::file_type(file_type, "p_file_type")?;
        let expected = input::expected_version(expected, "expected_version")?;
        let content = Content { text: content, hash: Sha256::digest(content).into(), value: call.text_argument(2) };
        change(call, project, &[path], expected, |change| save(change, path, content, file_type))
    })
}

/// See the COMMENT in `sql/files.sql`.
#[pg_extern(sql = false)]
fn delete_project_file(
    project: Option<Uuid>,
    path: Option<&str>,
    expected: Option<i32>,
    fcinfo: pg_sys::FunctionCallInfo,
) -> Answer {
    Call::answer(fcinfo, |call| {
        let project = input::project(project, "p_project_id")?;
        let path = input::file_path(path, "p_file_path")?;
        let expected = input::expected_version(expected, "p_expected_version")?;
        change(call, project, &[path], expected, |change| delete(change, path))
    })
}

/// See the COMMENT in `sql/files.sql`.
#[pg_extern(sql = false)]
fn move_project_file(
    project: Option<Uuid>,
    from: Option<&str>,
    to: Option<&str>,
    expected: Option<i32>,
    fcinfo: pg_sys::FunctionCallInfo,
) -> Answer {
    Call::answer(fcinfo, |call| {
        let project = input::project(project, "p_project_id")?;
        let from = input::file_path(from, "p_from_path")?;
        let to = input::file_path(to, "p_to_path")?;
        let expected = input::expected_version(expected, "p_expected_version")?;
        change(call, project, &[from, to], expected, |change| rename(change, from, to))
    })
}
