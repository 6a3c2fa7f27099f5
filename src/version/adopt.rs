//! Versions that were made elsewhere, and are imported.
//!
//! What their files were is not known: `pruned_at` is their time of creation, so that nothing is ever shown for them. They refer
//! to the snapshot that ends with the import, which is what later versions are compared with.

use pgrx::Uuid;

use super::semver::{ChangeType, Number};
use super::snapshot::Snapshot;
use super::state;
use crate::args;
use crate::backend::{Db, FreshSnapshot, Statement, Timestamp};
use crate::error::Error;
use crate::exclusive::Exclusive;
use crate::{build_result_columns, build_result_names, build_result_values};

/// A version as it is to be.
pub struct Adopted<'a> {
    pub version_id: &'a str,
    pub user: Option<Uuid>,
    pub prompt: Option<&'a str>,
    pub framework: &'a str,
    pub parent: Option<&'a str>,
    /// `building`, `deployed` or `failed`.
    pub status: &'a str,
    pub change: ChangeType,
    /// Whether nobody has said what kind of change it is.
    pub is_defaulted: bool,
    pub number: Number,
    /// Files changed, lines added and removed.
    pub stats: (i32, i64, i64),
    pub ai_session: (Option<&'a str>, Option<Timestamp>, Option<Timestamp>),
    pub published: (Option<Timestamp>, Option<Uuid>),
    pub deleted_at: Option<Timestamp>,
    pub at: Timestamp,
    pub updated_at: Timestamp,
    /// Everything else, as the JSON of a [`BuildResult`](super::result::BuildResult).
    pub result: &'a str,
}

/// Adds a version, which is not published. Returns whether no trigger has kept it from being written.
pub fn adopt(exclusive: &Exclusive, snapshot: Snapshot, new: &Adopted) -> bool {
    static INSERT: Statement = Statement::new(concat!(
        "INSERT INTO {s}.project_versions
                (project_id, version_id, user_id, prompt, framework, parent_version_id, status,
                 change_type, change_type_defaulted, major_version, minor_version, patch_version,
                 files_changed, lines_added, lines_removed, snapshot_seq, snapshot_listed, created_at, updated_at,
                 ai_session_id, ai_session_created_at, ai_session_last_used_at,
                 published_at, published_by_user_id, soft_deleted_at, pruned_at,
                 ",
        build_result_names!(),
        ")
         SELECT :project, :version_id, :user, :prompt, :framework, :parent, :status,
                :change_type, :is_defaulted, :major, :minor, :patch,
                :files, :added, :removed, :snapshot_seq, :snapshot_listed, :at, :updated_at,
                :session_id, :session_created_at, :session_last_used_at,
                :published_at, :published_by, :deleted_at, :at,
                ",
        build_result_values!(),
        "
           FROM jsonb_to_record(:result::jsonb) AS r (",
        build_result_columns!(),
        ")
         RETURNING version_id",
    ));
    let Number { major, minor, patch } = new.number;
    let (files, added, removed) = new.stats;
    let (session_id, session_created_at, session_last_used_at) = new.ai_session;
    let (published_at, published_by) = new.published;
    let time = |at: Option<Timestamp>| -> crate::backend::Value<'static> { at.into() };
    let args = args! {
        project: exclusive.project,
        version_id: new.version_id,
        user: new.user,
        prompt: new.prompt,
        framework: new.framework,
        parent: new.parent,
        status: new.status,
        change_type: new.change.name(),
        is_defaulted: new.is_defaulted,
        major,
        minor,
        patch,
        files,
        added,
        removed,
        snapshot_seq: snapshot.seq,
        snapshot_listed: snapshot.is_listed,
        at: new.at,
        updated_at: new.updated_at,
        session_id,
        session_created_at: time(session_created_at),
        session_last_used_at: time(session_last_used_at),
        published_at: time(published_at),
        published_by,
        deleted_at: time(new.deleted_at),
        result: new.result,
    };
    !exclusive.db.run(&INSERT, &args).is_empty()
}

/// Sets what could not be said before all versions of a project were there.
pub fn set_parent(exclusive: &Exclusive, version_id: &str, parent: &str) {
    static PARENT: Statement = Statement::new(
        "UPDATE {s}.project_versions SET parent_version_id = :parent
          WHERE project_id = :project AND version_id = :version_id",
    );
    exclusive.db.run(&PARENT, &args! { project: exclusive.project, version_id, parent });
}

/// Marks a version as published; no other one is.
pub fn set_published(exclusive: &Exclusive, version_id: &str) {
    static PUBLISHED: Statement = Statement::new(
        "UPDATE {s}.project_versions SET is_published = true
          WHERE project_id = :project AND version_id = :version_id",
    );
    exclusive.db.run(&PUBLISHED, &args! { project: exclusive.project, version_id });
}

/// Whether a project has a published version.
pub fn has_published(db: &Db, project: Uuid) -> bool {
    static PUBLISHED: Statement =
        Statement::new("SELECT FROM {s}.project_versions WHERE project_id = :project AND is_published LIMIT 1");
    !db.read(&PUBLISHED, &args! { project }).is_empty()
}

/// The numbers that a project's versions have, read with the active snapshot.
pub fn numbers(db: &Db, project: Uuid) -> Result<Vec<Number>, Error> {
    static NUMBERS: Statement = Statement::new(
        "SELECT major_version, minor_version, patch_version FROM {s}.project_versions WHERE project_id = :project",
    );
    let mut numbers = Vec::new();
    db.each(&NUMBERS, &args! { project }, |row| {
        numbers.push(Number::of(row));
        Ok(())
    })?;
    Ok(numbers)
}

/// Whether a project has a version with this id, or a build that may get one.
pub fn is_taken(db: &Db, project: Uuid, version_id: &str) -> Result<bool, Error> {
    static RESERVED: Statement = Statement::new(
        "SELECT FROM {s}.project_build_metrics WHERE project_id = :project AND version_id = :version_id LIMIT 1",
    );
    let _now = FreshSnapshot::take();
    Ok(state::look_up(db, project, version_id)?.is_some()
        || !db.read(&RESERVED, &args! { project, version_id }).is_empty())
}

/// When a version was created.
pub fn created_at(db: &Db, project: Uuid, version_id: &str) -> Result<Option<Timestamp>, Error> {
    let _now = FreshSnapshot::take();
    Ok(state::look_up(db, project, version_id)?.map(|row| row.value("created_at")))
}
