//! What the row level security policies ask.

use std::collections::{HashMap, HashSet};

use pgrx::prelude::*;
use pgrx::{Uuid, pg_sys};

use crate::backend::{Call, Statement, as_owner, connect};
use crate::caller;

/// Projects looked up one by one in one query before all of the actor's are read at once.
const SINGLE_LOOKUPS: usize = 8;

/// What a query has learned about projects: rows of one project follow each other, listings meet many.
#[derive(Default)]
struct Seen {
    known: HashMap<Uuid, bool>,
    all: Option<HashSet<Uuid>>,
}

fn is_member(call: &Call, actor: Uuid, project: Uuid) -> bool {
    static MEMBER: Statement = Statement::new(
        "SELECT FROM {s}.projects p
          WHERE p.id = $1
            AND (p.owner_id = $2
                 OR EXISTS (SELECT FROM {s}.project_members m WHERE m.project_id = $1 AND m.user_id = $2))",
    );
    as_owner(call, |_| connect(call, |db| !db.read(&MEMBER, &[project.into(), actor.into()]).is_empty()))
}

fn projects_of(call: &Call, actor: Uuid) -> Vec<Uuid> {
    static PROJECTS: Statement = Statement::new(
        "SELECT id FROM {s}.projects WHERE owner_id = $1
         UNION
         SELECT project_id FROM {s}.project_members WHERE user_id = $1",
    );
    as_owner(call, |_| {
        connect(call, |db| {
            let rows = db.read(&PROJECTS, &[actor.into()]);
            (0..rows.len()).map(|row| rows.value(row, 1)).collect()
        })
    })
}

/// See the COMMENT in `sql/access.sql`.
#[pg_extern(sql = false)]
fn current_actor(fcinfo: pg_sys::FunctionCallInfo) -> Option<Uuid> {
    caller::actor(Call::new(fcinfo).owner)
}

/// See the COMMENT in `sql/access.sql`.
#[pg_extern(sql = false)]
fn can_read_project(project: Option<Uuid>, fcinfo: pg_sys::FunctionCallInfo) -> bool {
    let call = Call::new(fcinfo);
    let (Some(project), Some(actor)) = (project, caller::actor(call.owner)) else {
        return false;
    };
    let seen = call.query_cache(Seen::default);
    if let Some(answer) = seen.known.get(&project) {
        return *answer;
    }
    if seen.known.len() < SINGLE_LOOKUPS {
        let answer = is_member(&call, actor, project);
        seen.known.insert(project, answer);
        return answer;
    }
    seen.all.get_or_insert_with(|| projects_of(&call, actor).into_iter().collect()).contains(&project)
}

/// See the COMMENT in `sql/access.sql`.
#[pg_extern(sql = false)]
fn readable_project_ids(fcinfo: pg_sys::FunctionCallInfo) -> Vec<Uuid> {
    let call = Call::new(fcinfo);
    caller::actor(call.owner).map(|actor| projects_of(&call, actor)).unwrap_or_default()
}
