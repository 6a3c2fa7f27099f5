//! The extension's functions as these tests call them.

use std::time::SystemTime;

use postgres::Row;
use serde_json::Value as Json;
use uuid::Uuid;

use crate::support::{Params, Refusal, Session};

pub type Answer<T> = Result<T, Refusal>;

/// A row of `project_files`.
#[derive(Clone, Debug, PartialEq)]
pub struct File {
    pub id: Uuid,
    pub path: String,
    pub content: Option<String>,
    pub version: i32,
    pub hash: Option<String>,
    pub size: i32,
    pub is_current: bool,
    pub is_deleted: bool,
    pub created_by: Option<Uuid>,
    pub created_at: SystemTime,
}

impl From<Row> for File {
    fn from(row: Row) -> Self {
        File {
            id: row.get("id"),
            path: row.get("file_path"),
            content: row.get("content"),
            version: row.get("version"),
            hash: row.get("content_hash"),
            size: row.get("size_bytes"),
            is_current: row.get("is_current_version"),
            is_deleted: row.get("is_deleted"),
            created_by: row.get("created_by"),
            created_at: row.get("created_at"),
        }
    }
}

/// What creating a project and starting a build answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Build {
    pub project: Uuid,
    pub version: String,
    pub build: String,
    pub metrics: i64,
    pub created: bool,
    pub session: String,
}

impl From<Row> for Build {
    fn from(row: Row) -> Self {
        Build {
            project: row.get("project_id"),
            version: row.get("version_id"),
            build: row.get("build_id"),
            metrics: row.get("build_metrics_id"),
            created: row.get("created"),
            session: row.get("ai_session_id"),
        }
    }
}

/// What the tests read of a row of `project_versions`.
#[derive(Clone, Debug, PartialEq)]
pub struct Version {
    pub id: String,
    pub number: (i32, i32, i32),
    pub change: String,
    pub snapshot: i32,
    pub parent: Option<String>,
    pub files_changed: i32,
    pub created_at: SystemTime,
}

impl From<Row> for Version {
    fn from(row: Row) -> Self {
        Version {
            id: row.get("version_id"),
            number: (row.get("major_version"), row.get("minor_version"), row.get("patch_version")),
            change: row.get("change_type"),
            snapshot: row.get("snapshot_seq"),
            parent: row.get("parent_version_id"),
            files_changed: row.get("files_changed"),
            created_at: row.get("created_at"),
        }
    }
}

/// A live file as snapshots and listings show it: path, version and content.
pub type Listed = (String, i32, String);

impl Session {
    fn file(&mut self, sql: &str, params: Params) -> Answer<File> {
        self.try_row(sql, params).map(File::from)
    }

    /// A new project of `owner`, by a privileged caller or the owner.
    #[track_caller]
    pub fn project(&mut self, owner: Uuid) -> Build {
        self.row("SELECT * FROM versioned.create_complete_project($1)", &[&owner]).into()
    }

    pub fn create(&mut self, owner: Uuid, prompt: Option<&str>, name: &str, key: Option<&str>) -> Answer<Build> {
        let sql = "SELECT * FROM versioned.create_complete_project($1, 'react', $2, $3, $4)";
        self.try_row(sql, &[&owner, &prompt, &name, &key]).map(Build::from)
    }

    pub fn save(&mut self, project: Uuid, path: &str, content: &str, expected: Option<i32>) -> Answer<File> {
        let sql = "SELECT * FROM versioned.atomic_upsert_project_file($1, $2, $3, 'text', $4)";
        self.file(sql, &[&project, &path, &content, &expected])
    }

    /// A save that nothing can refuse; the version's number.
    #[track_caller]
    pub fn put(&mut self, project: Uuid, path: &str, content: &str) -> i32 {
        self.save(project, path, content, None).unwrap_or_else(|e| panic!("{e:?}")).version
    }

    pub fn delete(&mut self, project: Uuid, path: &str, expected: Option<i32>) -> Answer<File> {
        self.file("SELECT * FROM versioned.delete_project_file($1, $2, $3)", &[&project, &path, &expected])
    }

    pub fn rename(&mut self, project: Uuid, from: &str, to: &str, expected: Option<i32>) -> Answer<File> {
        self.file("SELECT * FROM versioned.move_project_file($1, $2, $3, $4)", &[&project, &from, &to, &expected])
    }

    pub fn get(&mut self, project: Uuid, path: &str, version: Option<i32>) -> Answer<File> {
        self.file("SELECT * FROM versioned.get_project_file($1, $2, $3)", &[&project, &path, &version])
    }

    /// All live files.
    #[track_caller]
    pub fn list(&mut self, project: Uuid) -> Vec<Listed> {
        let sql = "SELECT file_path, version, content FROM versioned.get_current_project_files($1)";
        self.rows(sql, &[&project]).iter().map(listed).collect()
    }

    /// All files of a version.
    #[track_caller]
    pub fn snapshot(&mut self, project: Uuid, version: &str) -> Vec<Listed> {
        let sql = "SELECT file_path, version, content FROM versioned.get_project_version_files($1, $2)";
        self.rows(sql, &[&project, &version]).iter().map(listed).collect()
    }

    pub fn start(&mut self, project: Uuid, supersede: bool) -> Answer<Build> {
        let sql = "SELECT * FROM versioned.start_project_build($1, 'again', NULL, $2)";
        self.try_row(sql, &[&project, &supersede]).map(Build::from)
    }

    pub fn succeed(&mut self, project: Uuid, build: &str, result: Json) -> Answer<Version> {
        let sql = "SELECT * FROM versioned.create_version_on_success($1, $2, $3)";
        self.try_row(sql, &[&project, &build, &result]).map(Version::from)
    }

    /// The status the build has then.
    pub fn fail(&mut self, project: Uuid, build: &str) -> Answer<String> {
        self.try_value("SELECT status FROM versioned.fail_project_build($1, $2, 'no space left')", &[&project, &build])
    }

    #[track_caller]
    pub fn add_member(&mut self, project: Uuid, user: Uuid, role: &str) {
        self.rows("SELECT * FROM versioned.add_project_member($1, $2, $3)", &[&project, &user, &role]);
    }
}

fn listed(row: &Row) -> Listed {
    (row.get("file_path"), row.get("version"), row.get("content"))
}
