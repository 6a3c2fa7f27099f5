//! A project's config: an object of the application's, which editors change key by key.

use pgrx::prelude::*;
use pgrx::{Uuid, pg_sys};
use serde_json::value::RawValue;

use super::merge_patch::Patch;
use crate::args;
use crate::backend::{self, Answer, Call, Statement, Timestamp};
use crate::caller::Role;
use crate::error::Error;
use crate::exclusive::Exclusive;
use crate::input;

/// Of a patch, and of the config that it makes, as text.
const MAX_CONFIG_BYTES: usize = 1024 * 1024;

fn update(exclusive: &Exclusive, patch: &Patch, expected: Option<Timestamp>) -> Result<Answer, Error> {
    static PRESENT: Statement = Statement::new(
        "SELECT p, p.config::text AS config, coalesce(p.config_updated_at, p.created_at) AS changed_at, p.updated_at
           FROM {s}.projects p
          WHERE p.id = :project",
    );
    static UPDATE: Statement = Statement::new(
        "UPDATE {s}.projects p
            SET config = :config::jsonb, config_updated_at = :now, updated_at = :now
          WHERE p.id = :project
         RETURNING p",
    );
    let (db, project) = (exclusive.db, exclusive.project);
    let rows = db.run(&PRESENT, &args! { project });
    let present = rows.one();
    let (config, changed_at) = (present.value::<String>("config"), present.value::<Timestamp>("changed_at"));
    // Before looking at what is expected: a call that is sent again finds its own change, which is no conflict.
    let Some(merged) = patch.apply(&config) else { return Ok(present.composite(db, "p")) };
    if let Some(expected) = expected
        && expected != changed_at
    {
        return Err(Error::ConfigConflict {
            project,
            expected: backend::json_time(expected),
            current: backend::json_time(changed_at),
            config: RawValue::from_string(config).map_err(|_| Error::Internal)?,
        });
    }
    if merged.len() > MAX_CONFIG_BYTES {
        return Err(Error::Invalid(format!(
            "config would have {} bytes with p_config merged in, the limit is {MAX_CONFIG_BYTES}",
            merged.len()
        )));
    }
    // No two states of a config have one timestamp.
    let last = changed_at.max(present.value("updated_at"));
    let now = exclusive.now.max(Timestamp(last.0.saturating_add(1)));
    let rows = db.run(&UPDATE, &args! { project, config: merged.as_str(), now });
    Ok(rows.one().composite(db, "p"))
}

/// See the COMMENT in `sql/projects.sql`.
#[pg_extern(sql = false)]
fn update_project_config(project: Option<Uuid>, fcinfo: pg_sys::FunctionCallInfo) -> Answer {
    Call::answer(fcinfo, |call| {
        let project = input::project(project, "p_project_id")?;
        let json = input::required(call.jsonb_argument(1), "p_config")?;
        let json = input::prose(json.as_str(), "p_config", MAX_CONFIG_BYTES)?.ok_or(Error::Internal)?;
        let patch = Patch::parse(json, "p_config").map_err(Error::Invalid)?;
        let expected = call.timestamp_argument(2);
        Exclusive::run(call, project, Role::Editor, |exclusive| update(exclusive, &patch, expected))
    })
}
