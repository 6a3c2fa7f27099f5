//! The SQL functions that change one file.

use pgrx::prelude::*;
use pgrx::{Uuid, pg_sys};
use serde::Serialize;

use super::change::{Change, change_file, saving};
use super::decide::{Action, Body, Expected, Wanted};
use super::find;
use super::version::FileVersion;
use crate::backend::{self, Answer, Call, FreshSnapshot};
use crate::error::{Conflict, Error};
use crate::{content, hex, input};

/// See the COMMENT in `sql/file_functions.sql`.
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
        let (project, wanted) = save(project, path, content, file_type, expected)?;
        let version = change_file(call, project, &wanted)?;
        Ok(call.row(&version.columns(project, Some(call.text_argument(2)))))
    })
}

fn save<'a>(
    project: Option<Uuid>,
    path: Option<&'a str>,
    content: Option<&'a str>,
    file_type: Option<&'a str>,
    expected: Option<i32>,
) -> Result<(Uuid, Wanted<'a>), Error> {
    let project = input::project(project, "project_uuid")?;
    let path = input::file_path(path, "p_file_path")?;
    let content = input::content(content, "p_content")?;
    let file_type = input::file_type(file_type, "p_file_type")?;
    let expected = Expected::from_argument(input::expected_version(expected, "expected_version")?);
    Ok((project, Wanted { path, expected, action: Action::Save(Body::new(content, file_type)), file: None }))
}

/// The result of `upsert_project_file`.
#[derive(Serialize)]
#[serde(untagged)]
enum Json<'a> {
    Saved { success: bool, data: Data<'a> },
    Refused { success: bool, error: Refusal },
}

#[derive(Serialize)]
struct Data<'a> {
    id: String,
    file_path: &'a str,
    version: i32,
    content_hash: Option<String>,
    updated_at: String,
    is_current_version: bool,
}

#[derive(Serialize)]
struct Refusal {
    code: &'static str,
    message: String,
    retry_suggested: bool,
    current_version: Option<i32>,
}

impl<'a> Data<'a> {
    fn of(version: &'a FileVersion) -> Self {
        Data {
            id: version.id.to_string(),
            file_path: &version.path,
            version: version.version,
            content_hash: version.hash.map(|hash| hex::encode(&hash)),
            updated_at: backend::json_time(version.created_at),
            is_current_version: version.is_current,
        }
    }
}

impl Refusal {
    /// `None` for errors that are raised rather than returned.
    fn of(error: &Error) -> Option<Self> {
        let (code, retry_suggested) = match error.sqlstate() {
            "PT409" => ("VERSION_CONFLICT", true),
            "PT429" => ("RATE_LIMIT_EXCEEDED", true),
            "PT404" => ("NOT_FOUND", false),
            "22023" => ("INVALID_INPUT", false),
            "40001" => ("RETRY", true),
            "42501" if matches!(error, Error::NotSignedIn) => ("AUTHENTICATION_REQUIRED", false),
            "42501" => ("FORBIDDEN", false),
            _ => return None,
        };
        let current_version = match error {
            Error::VersionConflict(Conflict { current, .. }) => current.as_ref().map(|state| state.version),
            _ => None,
        };
        Some(Refusal { code, message: error.to_string(), retry_suggested, current_version })
    }
}

/// See the COMMENT in `sql/file_functions.sql`.
#[pg_extern(sql = false)]
fn upsert_project_file(
    project: Option<Uuid>,
    path: Option<&str>,
    content: Option<&str>,
    file_type: Option<&str>,
    expected: Option<i32>,
    fcinfo: pg_sys::FunctionCallInfo,
) -> String {
    Call::run(fcinfo, |call| {
        let saved = save(project, path, content, file_type, expected)
            .and_then(|(project, wanted)| change_file(call, project, &wanted));
        let json = match &saved {
            Ok(version) => Json::Saved { success: true, data: Data::of(version) },
            Err(error) => match Refusal::of(error) {
                Some(error) => Json::Refused { success: false, error },
                None => return saved.map(|_| String::new()),
            },
        };
        Ok(serde_json::to_string(&json).expect("plain strings and numbers"))
    })
}

/// See the COMMENT in `sql/file_functions.sql`.
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
        let expected = Expected::from_argument(input::expected_version(expected, "p_expected_version")?);
        let version = change_file(call, project, &Wanted { path, expected, action: Action::Delete, file: None })?;
        Ok(call.row(&version.columns(project, None)))
    })
}

/// See the COMMENT in `sql/file_functions.sql`.
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
        let path = input::file_path(from, "p_from_path")?;
        let to = input::file_path(to, "p_to_path")?;
        let expected = Expected::from_argument(input::expected_version(expected, "p_expected_version")?);
        let action = Action::Move { to, body: None };
        let version = change_file(call, project, &Wanted { path, expected, action, file: None })?;
        Ok(call.row(&version.columns(project, None)))
    })
}

/// See the COMMENT in `sql/file_functions.sql`.
#[pg_extern(sql = false)]
fn revert_project_file(
    project: Option<Uuid>,
    path: Option<&str>,
    to: Option<i32>,
    expected: Option<i32>,
    fcinfo: pg_sys::FunctionCallInfo,
) -> Answer {
    Call::answer(fcinfo, |call| {
        let project = input::project(project, "p_project_id")?;
        let path = input::file_path(path, "p_file_path")?;
        let to = input::within(to, "p_to_version", 1, i32::MAX)?;
        let expected = Expected::from_argument(input::expected_version(expected, "p_expected_version")?);
        saving(call, project, |change| {
            change.until_undisturbed(path, |change| {
                let old = old_version(change, path, to)?;
                let action = Action::Save(Body::new(&old.text, &old.file_type));
                let wanted = Wanted { path, expected, action, file: Some(old.file_id) };
                let version = change.locked(&[path], || change.apply(&wanted))?;
                Ok(call.row(&version.columns(project, None)))
            })
        })
    })
}

/// A version to go back to.
struct OldVersion {
    file_id: Uuid,
    text: String,
    file_type: String,
}

/// Version `number` of the file that is at a path, or was the last one there.
fn old_version(change: &Change, path: &str, number: i32) -> Result<OldVersion, Error> {
    let project = change.project;
    change.check_rights()?;
    let _now = FreshSnapshot::take();
    let head = find::head_at(change.db, project, path)?;
    let head = head.ok_or_else(|| Error::FileNotFound { project, path: path.to_owned() })?;
    let row = content::version_row(change.db, project, head.file_id, number)?;
    let row = row.ok_or_else(|| Error::FileVersionNotFound { project, path: path.to_owned(), version: number })?;
    let text = content::read_text(change.db, project, &row)?
        .ok_or_else(|| Error::Invalid(format!("p_to_version {number} of file \"{path}\" is its deletion")))?;
    Ok(OldVersion { file_id: head.file_id, text, file_type: row.value("file_type") })
}
