//! Merging a client's edit into what others saved meanwhile.

use pgrx::prelude::*;
use pgrx::{Uuid, pg_sys};

use super::change::{Change, Target, change_file, conflict};
use super::store::{self, Content, Head};
use crate::backend::{Answer, Call, one_row};
use crate::error::Error;
use crate::input;
use crate::text::{self, Labels, Merge};

/// A client's edit, and the version it was made from (0: no file).
struct Edit<'a> {
    path: &'a str,
    content: &'a str,
    base: i32,
    /// `None` keeps the file's type.
    file_type: Option<&'a str>,
}

/// What became of it.
struct Merged {
    version: i32,
    /// Whether changes of others are in `content`.
    merged: bool,
    has_conflicts: bool,
    content: String,
}

/// Type of a file that a merge creates without being told.
const DEFAULT_TYPE: &str = "text";

impl Edit<'_> {
    /// Merges and saves; `None` when the file changed before it could be saved.
    fn merge(&self, change: &Change) -> Result<Option<Merged>, Error> {
        let Some(head) = change.state(self.path)?.live else {
            // Nothing to merge with: a new file, or one that others deleted.
            let tombstone = change.tombstone(self.path);
            if self.base == 0 {
                return self.save(change, 0, self.content.to_owned(), self.file_type.unwrap_or(DEFAULT_TYPE), false);
            }
            return Err(match tombstone {
                Some(head) => conflict(self.path, Some(self.base), Some(&head)),
                None => self.no_base(change),
            });
        };
        let base = self.base_content(change, &head)?;
        let file_type = self.file_type.unwrap_or(&head.file_type);
        if head.version == self.base {
            return self.save(change, head.version, self.content.to_owned(), file_type, false);
        }
        let Some(current) = store::content(change.db, change.project, head.file_id, head.version) else {
            return Ok(None);
        };
        let [current_label, base_label] = [("current", head.version), ("base", self.base)]
            .map(|(name, version)| format!("{name} (version {version})"));
        let labels = Labels { base: &base_label, ours: &current_label, theirs: "yours" };
        match text::merge(&base, &current, self.content, &labels) {
            Merge::Clean(content) => {
                input::content(Some(&content), "the merged content")?;
                self.save(change, head.version, content, file_type, true)
            }
            Merge::Conflicts(content) => {
                Ok(Some(Merged { version: head.version, merged: false, has_conflicts: true, content }))
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
        let base = store::version(change.db, change.project, head.file_id, self.base);
        base.ok_or_else(|| self.no_base(change))?.content.ok_or_else(|| {
            let path = self.path;
            Error::Invalid(format!("p_base_version {} of file \"{path}\" is its deletion", self.base))
        })
    }

    fn save(
        &self,
        change: &Change,
        onto: i32,
        content: String,
        file_type: &str,
        merged: bool,
    ) -> Result<Option<Merged>, Error> {
        let target = Target { path: self.path, expected: Some(onto) };
        let version = change.save(target, Content::new(&content, None), file_type, |version| version.version)?;
        Ok(version.map(|version| Merged { version, merged, has_conflicts: false, content }))
    }
}

/// See the COMMENT in `sql/files.sql`.
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
            change_file(call, project, &[edit.path], |change| edit.merge(change))?;
        Ok(one_row(call, &[version.into(), merged.into(), has_conflicts.into(), content.as_str().into()]))
    })
}
