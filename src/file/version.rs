//! A version of a file as returned by functions and the view.

use std::borrow::Cow;

use pgrx::Uuid;

use crate::backend::{Row, Timestamp, Value};
use crate::content::Hash;
use crate::hex;

/// A version as shown by the view `project_files`.
pub struct FileVersion<'a> {
    pub id: Uuid,
    pub path: Cow<'a, str>,
    /// `None` for a deletion.
    pub content: Option<Cow<'a, str>>,
    pub hash: Option<Hash>,
    pub file_type: Cow<'a, str>,
    pub version: i32,
    pub is_current: bool,
    pub created_by: Option<Uuid>,
    pub created_at: Timestamp,
}

impl<'a> FileVersion<'a> {
    /// A version from its row, without its content, under the requested path.
    pub fn of_row(row: &Row, path: &'a str, is_current: bool) -> Self {
        FileVersion {
            id: row.value("id"),
            path: Cow::Borrowed(path),
            content: None,
            hash: row.get::<Vec<u8>>("content_hash").and_then(|hash| hash.try_into().ok()),
            file_type: Cow::Owned(row.value("file_type")),
            version: row.value("version"),
            is_current,
            created_by: row.get("created_by"),
            created_at: row.value("created_at"),
        }
    }

    /// Its columns in the view `project_files`. `content` is the content as a value, if it already exists.
    pub fn columns<'v>(&'v self, project: Uuid, content: Option<Value<'v>>) -> [Value<'v>; 14] {
        let hash = self.hash.map(|hash| hex::encode(&hash));
        [
            self.id.into(),
            project.into(),
            (&*self.path).into(),
            content.filter(|_| self.content.is_some()).unwrap_or_else(|| self.content.as_deref().into()),
            (&*self.file_type).into(),
            self.version.into(),
            hash.as_deref().into(),
            (self.content.as_ref().map_or(0, |content| content.len()) as i32).into(),
            self.is_current.into(),
            self.content.is_none().into(),
            self.created_by.into(),
            self.created_by.into(),
            self.created_at.into(),
            self.created_at.into(),
        ]
    }
}
