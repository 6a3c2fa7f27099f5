//! `INSERT`, `UPDATE` and `DELETE` on the view `project_files`: the same changes as made by the functions.

use pgrx::prelude::*;
use pgrx::{Uuid, pg_sys};

use super::change::change_file;
use super::decide::{Action, Body, Expected, Wanted};
use crate::backend::{Answer, Call, Event, Row, Trigger, stamp_inserted_row};
use crate::error::Error;
use crate::{hex, input};

const VIEW: &core::ffi::CStr = c"project_files";

/// The row that a statement wants to save.
struct NewRow {
    project: Uuid,
    path: String,
    content: String,
    file_type: String,
}

impl NewRow {
    fn read(row: &Row) -> Result<Self, Error> {
        let text = |column: &str| row.get::<String>(column);
        Ok(NewRow {
            project: input::project(row.get("project_id"), "project_id")?,
            path: input::file_path(text("file_path").as_deref(), "file_path")?.to_owned(),
            content: input::content(text("content").as_deref(), "content")?.to_owned(),
            file_type: input::file_type(text("file_type").as_deref(), "file_type")?.to_owned(),
        })
    }

    /// Other columns that a client may specify must be correct. All remaining columns are filled in by the extension.
    fn check(row: &Row, hash: Option<String>, body: &Body) -> Result<(), Error> {
        if hash.is_some_and(|hash| !hash.eq_ignore_ascii_case(&hex::encode(&body.hash))) {
            return Err(Error::Invalid("content_hash is not the SHA-256 of content".to_owned()));
        }
        if row.get("is_deleted") == Some(true) {
            return Err(Error::Invalid("is_deleted cannot be set: DELETE the file".to_owned()));
        }
        if row.get("is_current_version") == Some(false) {
            return Err(Error::Invalid(
                "is_current_version cannot be unset: saving the next version does it".to_owned(),
            ));
        }
        Ok(())
    }
}

/// See the COMMENT in `sql/file_view.sql`.
#[pg_extern(sql = false)]
fn insert_project_file(fcinfo: pg_sys::FunctionCallInfo) -> Answer {
    Call::answer(fcinfo, |call| {
        let trigger = Trigger::instead_of(call, Event::Insert, VIEW)?;
        let row = trigger.row();
        let new = NewRow::read(&row)?;
        let body = Body::new(&new.content, &new.file_type);
        NewRow::check(&row, row.get("content_hash"), &body)?;
        let expected = match row.get::<i32>("version") {
            Some(n @ ..1) => return Err(Error::Invalid(format!("version must be 1 or more, not {n}"))),
            version => Expected::from_argument(version.map(|n| n - 1)),
        };
        let wanted = Wanted { path: &new.path, expected, action: Action::Save(body), file: None };
        let version = change_file(call, new.project, &wanted)?;
        Ok(trigger.answer(&version.columns(new.project, None)))
    })
}

/// The row that a statement found, as it was when the statement began.
struct Old {
    id: Uuid,
    project: Uuid,
    path: String,
    version: i32,
    hash: Option<String>,
    was_current: bool,
}

impl Old {
    fn read(row: &Row) -> Self {
        Old {
            id: row.value("id"),
            project: row.value("project_id"),
            path: row.value("file_path"),
            version: row.value("version"),
            hash: row.get("content_hash"),
            was_current: row.value("is_current_version"),
        }
    }

    fn wanted<'a>(&'a self, action: Action<'a>) -> Wanted<'a> {
        let expected = Expected::Row { id: self.id, version: self.version, was_current: self.was_current };
        Wanted { path: &self.path, expected, action, file: None }
    }
}

/// See the COMMENT in `sql/file_view.sql`.
#[pg_extern(sql = false)]
fn update_project_file(fcinfo: pg_sys::FunctionCallInfo) -> Answer {
    Call::answer(fcinfo, |call| {
        let trigger = Trigger::instead_of(call, Event::Update, VIEW)?;
        let (old, row) = (Old::read(&trigger.row()), trigger.updated_row());
        let new;
        let action = if old.was_current {
            new = NewRow::read(&row)?;
            let body = Body::new(&new.content, &new.file_type);
            let hash: Option<String> = row.get("content_hash");
            NewRow::check(&row, if hash == old.hash { None } else { hash }, &body)?;
            if (row.get("id"), new.project) != (Some(old.id), old.project) {
                return Err(Error::Invalid("id and project_id of a file cannot be changed".to_owned()));
            }
            let version = row.get("version");
            if version != Some(old.version) && version != old.version.checked_add(1) {
                let version = old.version;
                return Err(Error::Invalid(format!("version can only stay at {version} or become the next one")));
            }
            if new.path == old.path { Action::Save(body) } else { Action::Move { to: &new.path, body: Some(body) } }
        } else {
            // A conflict, whatever the new row is.
            Action::Delete
        };
        let version = change_file(call, old.project, &old.wanted(action))?;
        Ok(trigger.answer(&version.columns(old.project, None)))
    })
}

/// See the COMMENT in `sql/file_view.sql`.
#[pg_extern(sql = false)]
fn remove_project_file(fcinfo: pg_sys::FunctionCallInfo) -> Answer {
    Call::answer(fcinfo, |call| {
        let trigger = Trigger::instead_of(call, Event::Delete, VIEW)?;
        let old = Old::read(&trigger.row());
        change_file(call, old.project, &old.wanted(Action::Delete))?;
        Ok(trigger.same_row())
    })
}

/// See the COMMENT in `sql/file_tables.sql`.
#[pg_extern(sql = false)]
fn stamp_file_change(fcinfo: pg_sys::FunctionCallInfo) -> Answer {
    Call::answer(fcinfo, |call| stamp_inserted_row(call, c"project_file_versions", c"change_xid"))
}
