//! What the row level security policies ask.
//!
//! Policies run these once a row, so they do without a pinned `search_path`; their statements, which run as the
//! extension's owner, name every operator's schema instead.

use std::collections::{HashMap, HashSet};

use pgrx::prelude::*;
use pgrx::{Uuid, pg_sys};

use crate::backend::{self, Call, SnapshotVersion, Statement, as_owner, connect, with_query_cache};
use crate::caller;

/// Projects looked up one by one in one query before all of the actor's are read at once.
const SINGLE_LOOKUPS: usize = 8;

/// Whose query it is, and of when.
#[derive(PartialEq, Eq)]
struct Asking {
    actor: Uuid,
    snapshot: SnapshotVersion,
}

/// What a query has learned: rows of one project follow each other, listings meet many projects.
struct Seen {
    asking: Asking,
    known: HashMap<Uuid, bool>,
    all: Option<HashSet<Uuid>>,
}

impl Seen {
    fn by(asking: Asking) -> Self {
        Seen { asking, known: HashMap::new(), all: None }
    }
}

fn is_member(call: &Call, actor: Uuid, project: Uuid) -> bool {
    static MEMBER: Statement = Statement::new(
        "SELECT FROM {s}.projects p
          WHERE p.id OPERATOR(pg_catalog.=) $1
            AND (p.owner_id OPERATOR(pg_catalog.=) $2
                 OR EXISTS (SELECT FROM {s}.project_members m
                             WHERE m.project_id OPERATOR(pg_catalog.=) $1 AND m.user_id OPERATOR(pg_catalog.=) $2))",
    );
    as_owner(call, |_| connect(call, |db| !db.read(&MEMBER, &[project.into(), actor.into()]).is_empty()))
}

fn projects_of(call: &Call, actor: Uuid) -> Vec<Uuid> {
    static PROJECTS: Statement = Statement::new(
        "SELECT id FROM {s}.projects WHERE owner_id OPERATOR(pg_catalog.=) $1
         UNION
         SELECT project_id FROM {s}.project_members WHERE user_id OPERATOR(pg_catalog.=) $1",
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
    // PL/pgSQL keeps the cache of an expression for a whole transaction, so what it holds may be old.
    let asking = Asking { actor, snapshot: backend::snapshot_version() };
    with_query_cache(fcinfo, |cache: &mut Option<Seen>| {
        let seen = match cache {
            Some(seen) if seen.asking == asking => seen,
            _ => cache.insert(Seen::by(asking)),
        };
        if let Some(answer) = seen.known.get(&project) {
            return *answer;
        }
        if seen.known.len() < SINGLE_LOOKUPS {
            let answer = is_member(&call, actor, project);
            seen.known.insert(project, answer);
            return answer;
        }
        let all = seen.all.get_or_insert_with(|| projects_of(&call, actor).into_iter().collect());
        all.contains(&project)
    })
}

/// See the COMMENT in `sql/access.sql`.
#[pg_extern(sql = false)]
fn readable_project_ids(fcinfo: pg_sys::FunctionCallInfo) -> Vec<Uuid> {
    let call = Call::new(fcinfo);
    caller::actor(call.owner).map(|actor| projects_of(&call, actor)).unwrap_or_default()
}
