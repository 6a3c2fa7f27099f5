//! Saving and deleting many files, all or none.

use std::borrow::Cow;
use std::collections::HashSet;

use pgrx::prelude::*;
use pgrx::{Uuid, pg_sys};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::change::change;
use super::decide::{Action, Body, Expected, Wanted};
use crate::backend::{self, Answer, Call, ResultSet};
use crate::content;
use crate::error::Error;
use crate::input::{self, abridged};

/// Maximum number of files in one batch.
const MAX_FILES: usize = 10_000;

/// A call whose JSON text has at least this many bytes returns its memory to the operating system.
const LARGE: usize = 16 << 20;

/// An element of a batch as received. Its content, which may be large, is decoded only when it is saved.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Element<'j> {
    #[serde(borrow)]
    file_path: Option<Cow<'j, str>>,
    #[serde(borrow)]
    content: Option<&'j RawValue>,
    #[serde(borrow)]
    file_type: Option<Cow<'j, str>>,
    expected_version: Option<i32>,
    #[serde(default)]
    delete: bool,
}

impl<'j> Element<'j> {
    fn content(&self, n: usize) -> Result<Option<Cow<'j, str>>, Error> {
        #[derive(Deserialize)]
        struct Text<'t>(#[serde(borrow)] Cow<'t, str>);
        let text = self.content.map(|raw| serde_json::from_str::<Text>(raw.get())).transpose();
        text.map(|text| text.map(|text| text.0)).map_err(|problem| malformed(n, &problem))
    }

    /// The element as a checked request; `content` is its decoded content.
    fn wanted<'a>(&'a self, n: usize, content: Option<&'a str>) -> Result<Wanted<'a>, Error> {
        let name = |key: &str| format!("p_files[{n}].{key}");
        let path = input::file_path(self.file_path.as_deref(), &name("file_path"))?;
        let expected = input::expected_version(self.expected_version, &name("expected_version"))?;
        let action = if self.delete {
            if content.is_some() {
                return Err(Error::Invalid(format!("{} must not be given with delete", name("content"))));
            }
            Action::Delete
        } else {
            let content = input::content(content, &name("content"))?;
            Action::Save(Body::new(content, input::file_type(self.file_type.as_deref(), &name("file_type"))?))
        };
        Ok(Wanted { path, expected: Expected::from_argument(expected), action, file: None })
    }
}

fn malformed(n: usize, problem: &serde_json::Error) -> Error {
    let problem = problem.to_string();
    let problem = problem.split(" at line ").next().map(abridged).unwrap_or_default();
    Error::Invalid(format!(
        "p_files[{n}] is not {{file_path, content, file_type, expected_version?, delete?}}: {problem}"
    ))
}

/// The elements of a batch, each of them checked, with no path given twice.
fn elements(json: &str) -> Result<Vec<Element<'_>>, Error> {
    let raw: Vec<&RawValue> =
        serde_json::from_str(json).map_err(|_| Error::Invalid("p_files must be a JSON array of objects".to_owned()))?;
    if raw.len() > MAX_FILES {
        return Err(Error::Invalid(format!("p_files has {} elements, the limit is {MAX_FILES}", raw.len())));
    }
    let mut elements = Vec::with_capacity(raw.len());
    for (n, raw) in raw.into_iter().enumerate() {
        let element: Element = serde_json::from_str(raw.get()).map_err(|problem| malformed(n, &problem))?;
        element.wanted(n, element.content(n)?.as_deref())?;
        elements.push(element);
        backend::check_for_interrupts();
    }
    let mut seen = HashSet::new();
    if let Some(path) = paths(&elements).find(|path| !seen.insert(*path)) {
        return Err(Error::Invalid(format!("p_files has \"{path}\" more than once")));
    }
    Ok(elements)
}

fn paths<'e>(elements: &'e [Element]) -> impl Iterator<Item = &'e str> {
    elements.iter().filter_map(|element| element.file_path.as_deref())
}

fn save(call: &Call, project: Uuid, elements: &[Element]) -> Result<Answer, Error> {
    let paths: Vec<&str> = paths(elements).collect();
    change(call, project, &paths, |change| {
        if elements.is_empty() {
            change.check_rights()?;
        }
        let rows = ResultSet::begin(call);
        // The error also undoes what was written before a conflict.
        let mut conflicts = Vec::new();
        for (n, element) in elements.iter().enumerate() {
            let content = element.content(n)?;
            match change.apply(&element.wanted(n, content.as_deref())?) {
                Ok(version) => backend::in_own_memory(|| rows.push(&version.columns(project, None))),
                Err(Error::VersionConflict(conflict)) => conflicts.push(conflict),
                Err(error) => return Err(error),
            }
        }
        if conflicts.is_empty() { Ok(rows.done()) } else { Err(Error::VersionConflicts(conflicts)) }
    })
}

/// See the COMMENT in `sql/file_functions.sql`.
#[pg_extern(sql = false)]
fn atomic_upsert_project_files(project: Option<Uuid>, fcinfo: pg_sys::FunctionCallInfo) -> Answer {
    Call::answer(fcinfo, |call| {
        let project = input::project(project, "p_project_id")?;
        let json = input::required(call.jsonb_argument(1), "p_files")?;
        let text = json.as_str().ok_or(Error::Internal)?;
        let is_large = text.len() >= LARGE;
        let result = elements(text).and_then(|elements| save(call, project, &elements));
        drop(json);
        if is_large {
            content::give_memory_back();
        }
        result
    })
}
