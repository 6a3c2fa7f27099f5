//! Merging a client's edit with what others have saved meanwhile. Time-consuming work is done before any lock is taken,
//! and repeated if the file changed in between.

use pgrx::prelude::*;
use pgrx::{Uuid, pg_sys};

use super::change::{Change, saving};
use super::decide::{Action, Body, Expected, Head, Wanted};
use super::find;
use crate::backend::{self, Answer, Call, FreshSnapshot, one_row};
use crate::error::{Conflict, Error};
use crate::settings::MAX_COMPARED_LINES;
use crate::text::{self, Labels, Merge};
use crate::{content, input};

/// A client's edit, and the version it was based on (0: no file).
struct Edit<'a> {
    path: &'a str,
    content: &'a str,
    base: i32,
    /// `None` keeps the file's type.
    file_type: Option<&'a str>,
}

/// The outcome of an edit.
struct Merged {
    version: i32,
    /// Whether `content` includes changes made by others.
    merged: bool,
    has_conflicts: bool,
    content: String,
}

/// An edit adapted to the current state of the file.
enum Prepared {
    /// To be saved as the version after the head, either merged with changes made by others or as received.
    Save {
        head: Option<Head>,
        content: String,
        merged: bool,
    },
    Conflicts(Merged),
}

/// Type of a file created by a merge that does not specify one.
const DEFAULT_TYPE: &str = "text";

impl Edit<'_> {
    fn merge(&self, change: &Change) -> Result<Merged, Error> {
        let (head, content, merged) = match self.prepare(change)? {
            Prepared::Conflicts(conflicts) => return Ok(conflicts),
            Prepared::Save { head, content, merged } => (head, content, merged),
        };
        let file_type = self.file_type.or(head.as_ref().map(|head| &*head.file_type)).unwrap_or(DEFAULT_TYPE);
        let wanted = Wanted {
            path: self.path,
            expected: head.as_ref().map_or(Expected::Nothing, |head| Expected::Version(head.version)),
            action: Action::Save(Body::new(&content, file_type)),
            file: head.as_ref().map(|head| head.file_id),
        };
        let saved = change.locked(&[self.path], || change.apply(&wanted));
        match saved {
            Ok(version) => Ok(Merged { version: version.version, merged, has_conflicts: false, content }),
            // The file changed after it was read, so the content was merged with the wrong version.
            Err(Error::VersionConflict(_)) => Err(Error::LostRace(format!("file \"{}\"", self.path))),
            Err(error) => Err(error),
        }
    }

    fn prepare(&self, change: &Change) -> Result<Prepared, Error> {
        change.check_rights()?;
        let _now = FreshSnapshot::take();
        let head = find::head_at(change.db, change.project, self.path)?;
        let as_it_came = |head| Prepared::Save { head, content: self.content.to_owned(), merged: false };
        let Some(head) = head.filter(|head| !head.is_deleted || self.base != 0) else {
            // Nothing to merge with, because the file is new.
            return if self.base == 0 { Ok(as_it_came(None)) } else { Err(self.no_base(change)) };
        };
        if head.is_deleted {
            return Err(Error::VersionConflict(Conflict {
                path: self.path.to_owned(),
                expected: self.base,
                current: Some(head.state()),
            }));
        }
        let base = self.base_content(change, &head)?;
        if head.version == self.base {
            return Ok(as_it_came(Some(head)));
        }
        let current = self.content_of(change, &head, head.version)?.ok_or(Error::Internal)?;
        backend::check_for_interrupts();
        let [current_label, base_label] = [("current", head.version), ("base", self.base)]
            .map(|(name, version)| format!("{name} (version {version})"));
        let labels = Labels { base: &base_label, ours: &current_label, theirs: "yours" };
        let limit = MAX_COMPARED_LINES.get() as usize;
        let merged = text::merge(&base, &current, self.content, &labels, limit);
        backend::check_for_interrupts();
        let too_many = |text::TooManyLines { lines, limit }| {
            let path = self.path.to_owned();
            Error::TooManyLines { path, lines, limit }
        };
        match merged.map_err(too_many)? {
            Merge::Clean(content) => {
                input::content(Some(&content), "the merged content")?;
                Ok(Prepared::Save { head: Some(head), content, merged: true })
            }
            Merge::Conflicts(content) => {
                let version = head.version;
                Ok(Prepared::Conflicts(Merged { version, merged: false, has_conflicts: true, content }))
            }
        }
    }

    fn no_base(&self, change: &Change) -> Error {
        Error::FileVersionNotFound { project: change.project, path: self.path.to_owned(), version: self.base }
    }

    fn base_content(&self, change: &Change, head: &Head) -> Result<String, Error> {
        if self.base == 0 {
            return Ok(String::new());
        }
        self.content_of(change, head, self.base)?.ok_or_else(|| {
            let path = self.path;
            Error::Invalid(format!("p_base_version {} of file \"{path}\" is its deletion", self.base))
        })
    }

    /// `None` for a deletion.
    fn content_of(&self, change: &Change, head: &Head, version: i32) -> Result<Option<String>, Error> {
        let row = content::version_row(change.db, change.project, head.file_id, version)?;
        content::read_text(change.db, change.project, &row.ok_or_else(|| self.no_base(change))?)
    }
}

/// See the COMMENT in `sql/file_functions.sql`.
#[pg_extern(sql = false)]
fn merge_project_file(
    project: Option<Uuid>,
    path: Option<&str>,
    content: Option<&str>,
    base: Option<i32>,
    file_type: Option<&str>,
    fcinfo: pg_sys::FunctionCallInfo,
) -> Answer {
    Call::answer(fcinfo, |call| {
        let project = input::project(project, "p_project_id")?;
        let edit = Edit {
            path: input::file_path(path, "p_file_path")?,
            content: input::content(content, "p_content")?,
            base: input::within(base, "p_base_version", 0, i32::MAX)?,
            file_type: file_type.map(|file_type| input::file_type(Some(file_type), "p_file_type")).transpose()?,
        };
        let Merged { version, merged, has_conflicts, content } =
            saving(call, project, |change| change.until_undisturbed(edit.path, |change| edit.merge(change)))?;
        Ok(one_row(call, &[version.into(), merged.into(), has_conflicts.into(), content.as_str().into()]))
    })
}
