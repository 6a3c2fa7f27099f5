//! The SQL functions that change files.

use std::collections::HashSet;

use pgrx::prelude::*;
use pgrx::{Uuid, pg_sys};
use serde::{Deserialize, Serialize};

use super::change::{Change, Target, Version, change, change_file};
use super::store::Content;
use crate::backend::{self, Answer, Call, ResultSet};
use crate::error::{Conflict, Error};
use crate::{id, input};

/// Most files of one batch.
const MAX_BATCH: usize = 10_000;

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
        save(call, project, path, content, file_type, expected, |change, version| change.row(version))
    })
}

fn save<T>(
    call: &Call,
    project: Option<Uuid>,
    path: Option<&str>,
    content: Option<&str>,
    file_type: Option<&str>,
    expected: Option<i32>,
    answer: impl Fn(&Change, Version) -> T,
) -> Result<T, Error> {
    let project = input::project(project, "project_uuid")?;
    let path = input::file_path(path, "p_file_path")?;
    let content = input::content(content, "p_content")?;
    let file_type = input::file_type(file_type, "p_file_type")?;
    let expected = input::expected_version(expected, "expected_version")?;
    let content = Content::new(content, Some(call.text_argument(2)));
    let target = Target { path, expected };
    change_file(call, project, &[path], |change| {
        change.save(target, content, file_type, |version| answer(change, version))
    })
}

/// What `upsert_project_file` answers.
#[derive(Serialize)]
#[serde(untagged)]
enum Json {
    Saved { success: bool, data: Data },
    Refused { success: bool, error: Refusal },
}

#[derive(Serialize)]
struct Data {
    id: String,
    file_path: String,
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

impl Refusal {
    /// `None` for what is raised rather than answered.
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

/// See the COMMENT in `sql/files.sql`.
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
        let data = |_: &Change, version: Version| Data {
            id: version.id.to_string(),
            file_path: version.path.to_owned(),
            version: version.version,
            content_hash: version.hash(),
            updated_at: backend::json_time(version.created_at),
            is_current_version: version.current,
        };
        let json = match save(call, project, path, content, file_type, expected, data) {
            Ok(data) => Json::Saved { success: true, data },
            Err(error) => match Refusal::of(&error) {
                Some(error) => Json::Refused { success: false, error },
                None => return Err(error),
            },
        };
        Ok(serde_json::to_string(&json).expect("plain strings and numbers"))
    })
}

/// An element of a batch as it comes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Element {
    file_path: Option<String>,
    content: Option<String>,
    file_type: Option<String>,
    expected_version: Option<i32>,
    #[serde(default)]
    delete: bool,
}

/// A checked element.
struct Item<'a> {
    target: Target<'a>,
    /// Content and type; `None` deletes.
    save: Option<(Content<'a>, &'a str)>,
}

impl Element {
    fn check(&self, n: usize) -> Result<Item<'_>, Error> {
        let name = |key: &str| format!("p_files[{n}].{key}");
        let path = input::file_path(self.file_path.as_deref(), &name("file_path"))?;
        let expected = input::expected_version(self.expected_version, &name("expected_version"))?;
        let save = if self.delete {
            if self.content.is_some() {
                return Err(Error::Invalid(format!("{} must not be given with delete", name("content"))));
            }
            None
        } else {
            let content = input::content(self.content.as_deref(), &name("content"))?;
            let file_type = input::file_type(self.file_type.as_deref(), &name("file_type"))?;
            Some((Content::new(content, None), file_type))
        };
        Ok(Item { target: Target { path, expected }, save })
    }
}

/// The elements of a batch, from JSON.
fn elements(json: &str) -> Result<Vec<Element>, Error> {
    let elements: Vec<&serde_json::value::RawValue> =
        serde_json::from_str(json).map_err(|_| Error::Invalid("p_files must be a JSON array of objects".to_owned()))?;
    if elements.len() > MAX_BATCH {
        return Err(Error::Invalid(format!("p_files has {} elements, the limit is {MAX_BATCH}", elements.len())));
    }
    let parse = |(n, element): (usize, &&serde_json::value::RawValue)| {
        serde_json::from_str(element.get()).map_err(|error| {
            let problem = error.to_string();
            let problem = problem.split(" at line ").next().map(id::abridged).unwrap_or_default();
            Error::Invalid(format!(
                "p_files[{n}] is not {{file_path, content, file_type, expected_version?, delete?}}: {problem}"
            ))
        })
    };
    elements.iter().enumerate().map(parse).collect()
}

/// See the COMMENT in `sql/files.sql`.
#[pg_extern(sql = false)]
fn atomic_upsert_project_files(project: Option<Uuid>, fcinfo: pg_sys::FunctionCallInfo) -> Answer {
    Call::answer(fcinfo, |call| {
        let project = input::project(project, "p_project_id")?;
        let json = input::required(call.jsonb_argument(1), "p_files")?;
        let elements = elements(&json)?;
        let items: Vec<Item> =
            elements.iter().enumerate().map(|(n, element)| element.check(n)).collect::<Result<_, _>>()?;
        let mut seen = HashSet::new();
        if let Some(item) = items.iter().find(|item| !seen.insert(item.target.path)) {
            return Err(Error::Invalid(format!("p_files has \"{}\" more than once", item.target.path)));
        }
        let paths: Vec<&str> = items.iter().map(|item| item.target.path).collect();
        change(call, project, &paths, |change| {
            if items.is_empty() {
                change.check_rights()?;
            }
            let rows = ResultSet::begin(call);
            let push = |version: Version| rows.push(&version.columns(project));
            // What was written before a conflict goes with the error.
            let mut conflicts = Vec::new();
            for item in &items {
                let result = change.until_written(item.target.path, || match item.save {
                    Some((content, file_type)) => change.save(item.target, content, file_type, push),
                    None => change.delete(item.target, push),
                });
                match result {
                    Ok(()) => {}
                    Err(Error::VersionConflict(conflict)) => conflicts.push(conflict),
                    Err(error) => return Err(error),
                }
            }
            if conflicts.is_empty() { Ok(rows.done()) } else { Err(Error::VersionConflicts(conflicts)) }
        })
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
        let target = Target { path, expected };
        change_file(call, project, &[path], |change| change.delete(target, |version| change.row(version)))
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
        let target = Target { path: from, expected };
        change_file(call, project, &[from, to], |change| change.rename(target, to, None, |version| change.row(version)))
    })
}

/// See the COMMENT in `sql/files.sql`.
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
        let expected = input::expected_version(expected, "p_expected_version")?;
        let target = Target { path, expected };
        change_file(call, project, &[path], |change| change.revert(target, to, |version| change.row(version)))
    })
}
