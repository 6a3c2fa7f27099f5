//! `INSERT`, `UPDATE` and `DELETE` on the view `project_files`: the same changes as by the functions.

use core::ffi::CStr;

use pgrx::prelude::*;
use pgrx::{Uuid, pg_sys};

use super::change::{Change, Target, Version, change_file, conflict};
use super::store::{Content, hex};
use crate::backend::{Answer, Call, Row, Trigger, stamp_inserted_row};
use crate::error::Error;
use crate::input;

/// What a statement wants saved.
struct NewRow {
    project: Uuid,
    path: String,
    content: String,
    file_type: String,
}

impl NewRow {
    fn read(row: &Row) -> Result<Self, Error> {
        let text = |column: &CStr| row.get::<String>(column);
        Ok(NewRow {
            project: input::project(row.get(c"project_id"), "project_id")?,
            path: input::file_path(text(c"file_path").as_deref(), "file_path")?.to_owned(),
            content: input::content(text(c"content").as_deref(), "content")?.to_owned(),
            file_type: input::file_type(text(c"file_type").as_deref(), "file_type")?.to_owned(),
        })
    }

    /// What a client may say of the row besides must be right. All other columns are the extension's to fill.
    fn check(row: &Row, hash: Option<String>, content: &Content) -> Result<(), Error> {
        if hash.is_some_and(|hash| !hash.eq_ignore_ascii_case(&hex(&content.hash))) {
            return Err(Error::Invalid("content_hash is not the SHA-256 of content".to_owned()));
        }
        if row.get(c"is_deleted") == Some(true) {
            return Err(Error::Invalid("is_deleted cannot be set: DELETE the file".to_owned()));
        }
        if row.get(c"is_current_version") == Some(false) {
            return Err(Error::Invalid(
                "is_current_version cannot be unset: saving the next version does it".to_owned(),
            ));
        }
        Ok(())
    }
}

/// See the COMMENT in `sql/files.sql`.
#[pg_extern(sql = false)]
fn insert_project_file(fcinfo: pg_sys::FunctionCallInfo) -> Answer {
    Call::answer(fcinfo, |call| {
        let trigger = Trigger::of(call)?;
        let row = trigger.row();
        let new = NewRow::read(&row)?;
        let content = Content::new(&new.content, None);
        NewRow::check(&row, row.get(c"content_hash"), &content)?;
        let expected = match row.get::<i32>(c"version") {
            Some(n @ ..1) => return Err(Error::Invalid(format!("version must be 1 or more, not {n}"))),
            version => version.map(|n| n - 1),
        };
        let target = Target { path: &new.path, expected };
        change_file(call, new.project, &[&new.path], |change| {
            change.save(target, content, &new.file_type, |version| trigger.answer(&version.columns(new.project)))
        })
    })
}

/// The row that a statement found, as it was when the statement began.
struct Old {
    id: Uuid,
    project: Uuid,
    path: String,
    version: i32,
    hash: Option<String>,
    is_current: bool,
}

impl Old {
    fn read(row: &Row) -> Self {
        Old {
            id: row.value(c"id"),
            project: row.value(c"project_id"),
            path: row.value(c"file_path"),
            version: row.value(c"version"),
            hash: row.get(c"content_hash"),
            is_current: row.value(c"is_current_version"),
        }
    }

    fn target(&self) -> Target<'_> {
        Target { path: &self.path, expected: Some(self.version) }
    }

    /// Runs `attempt` under the locks of `paths`. A row that is not current any more is a conflict, whether it was not
    /// when the statement began or stopped being so while it waited.
    fn change(
        &self,
        call: &Call,
        paths: &[&str],
        attempt: impl Fn(&Change) -> Result<Option<Answer>, Error>,
    ) -> Result<Answer, Error> {
        change_file(call, self.project, paths, |change| {
            let head = change.state(&self.path)?.live;
            if !self.is_current || head.is_none() {
                let head = head.or_else(|| change.tombstone(&self.path));
                return Err(conflict(&self.path, Some(self.version), head.as_ref()));
            }
            attempt(change)
        })
    }
}

/// See the COMMENT in `sql/files.sql`.
#[pg_extern(sql = false)]
fn update_project_file(fcinfo: pg_sys::FunctionCallInfo) -> Answer {
    Call::answer(fcinfo, |call| {
        let trigger = Trigger::of(call)?;
        let (old, row) = (Old::read(&trigger.row()), trigger.updated_row());
        if !old.is_current {
            return old.change(call, &[&old.path], |_| Ok(None));
        }
        let new = NewRow::read(&row)?;
        let content = Content::new(&new.content, None);
        let hash: Option<String> = row.get(c"content_hash");
        NewRow::check(&row, if hash == old.hash { None } else { hash }, &content)?;
        if (row.get(c"id"), new.project) != (Some(old.id), old.project) {
            return Err(Error::Invalid("id and project_id of a file cannot be changed".to_owned()));
        }
        let version = row.get(c"version");
        if version != Some(old.version) && version != old.version.checked_add(1) {
            return Err(Error::Invalid(format!("version can only be left at {} or become the next", old.version)));
        }
        let answer = |version: Version| trigger.answer(&version.columns(old.project));
        if new.path == old.path {
            old.change(call, &[&old.path], |change| change.save(old.target(), content, &new.file_type, answer))
        } else {
            old.change(call, &[&old.path, &new.path], |change| {
                change.rename(old.target(), &new.path, Some((content, &new.file_type)), answer)
            })
        }
    })
}

/// See the COMMENT in `sql/files.sql`.
#[pg_extern(sql = false)]
fn remove_project_file(fcinfo: pg_sys::FunctionCallInfo) -> Answer {
    Call::answer(fcinfo, |call| {
        let trigger = Trigger::of(call)?;
        let old = Old::read(&trigger.row());
        old.change(call, &[&old.path], |change| change.delete(old.target(), |_| trigger.same_row()))
    })
}

/// See the COMMENT in `sql/files.sql`.
#[pg_extern(sql = false)]
fn stamp_file_change(fcinfo: pg_sys::FunctionCallInfo) -> Answer {
    match stamp_inserted_row(fcinfo, c"change_xid") {
        Some(row) => row,
        None => Call::answer(fcinfo, |call| Trigger::of(call).map(|trigger| trigger.same_row())),
    }
}
