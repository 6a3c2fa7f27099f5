//! Notifications of committed changes, for editors that watch a project.

use pgrx::Uuid;
use serde::Serialize;

use crate::backend::{self, Timestamp};
use crate::settings::{NOTIFY, Notify};

#[derive(Serialize)]
struct Event<'a> {
    r#type: &'static str,
    payload: FileChanged<'a>,
}

/// What listeners are told about a change to a file.
#[derive(Serialize)]
pub struct FileChanged<'a> {
    pub file_path: &'a str,
    /// Where a moved file was before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_path: Option<&'a str>,
    pub version: i32,
    pub content_hash: Option<&'a str>,
    pub user_id: Option<String>,
    pub timestamp: String,
}

impl<'a> FileChanged<'a> {
    pub fn new(
        file_path: &'a str,
        version: i32,
        content_hash: Option<&'a str>,
        actor: Option<Uuid>,
        at: Timestamp,
    ) -> Self {
        FileChanged {
            file_path,
            from_path: None,
            version,
            content_hash,
            user_id: actor.map(|id| id.to_string()),
            timestamp: backend::json_time(at),
        }
    }
}

/// Whether changes are announced at all.
pub fn wanted() -> bool {
    NOTIFY.get() != Notify::off
}

/// Announces a change to those who listen to the project, when and if the transaction commits.
///
/// The message fits in a notification (8000 bytes) whatever the path is: at most 1024 bytes of it, doubled by JSON
/// escapes.
pub fn file_changed(project: Uuid, kind: &'static str, payload: FileChanged) {
    let channel = format!("realtime:project:{project}");
    let message = serde_json::to_string(&Event { r#type: kind, payload }).expect("plain strings and numbers");
    match NOTIFY.get() {
        Notify::notify => backend::notify(&channel, &message),
        Notify::logical => backend::log_logical_message(&channel, &message),
        Notify::off => {}
    }
}
