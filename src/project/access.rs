//! The checks behind the row-level security policies.

use std::collections::{HashMap, HashSet};

use pgrx::prelude::*;
use pgrx::{Uuid, pg_sys};

use crate::args;
use crate::backend::{self, Call, Statement, Visibility, as_owner, connect, with_query_cache};
use crate::caller::{self, Caller, Role};
use crate::error::Error;

/// Number of projects looked up individually in one query before all of the actor's projects are read at once.
const SINGLE_LOOKUPS: usize = 8;

/// The user whose query it is, and what the query sees.
#[derive(PartialEq, Eq)]
struct Asking {
    actor: Uuid,
    sees: Visibility,
}

/// What a query has learned so far: rows of the same project follow each other, while listings involve many projects.
struct Seen {
    asking: Asking,
    known: HashMap<Uuid, bool>,
    all: Option<HashSet<Uuid>>,
}

impl Seen {
    fn by(asking: Asking) -> Self {
        Seen { asking, known: HashMap::new(), all: None }
    }

    fn is_member(&mut self, call: &Call, project: Uuid) -> Result<bool, Error> {
        if let Some(answer) = self.known.get(&project) {
            return Ok(*answer);
        }
        let actor = self.asking.actor;
        if self.known.len() < SINGLE_LOOKUPS {
            let answer = is_member(call, actor, project)?;
            self.known.insert(project, answer);
            return Ok(answer);
        }
        let all = self.all.get_or_insert_with(|| projects_of(call, actor).into_iter().collect());
        Ok(all.contains(&project))
    }
}

fn is_member(call: &Call, actor: Uuid, project: Uuid) -> Result<bool, Error> {
    let caller = Caller { actor: Some(actor), privileged: false };
    as_owner(call, |owner| {
        connect(call, |db| {
            backend::in_own_memory(|| match caller.allowed(db, project, Role::Viewer, owner) {
                Ok(_) => Ok(true),
                Err(Error::ProjectNotFound(_)) => Ok(false),
                Err(error) => Err(error),
            })
        })
    })
}

fn projects_of(call: &Call, actor: Uuid) -> Vec<Uuid> {
    static PROJECTS: Statement = Statement::new(
        "SELECT id FROM {s}.projects WHERE owner_id = :actor
         UNION
         SELECT project_id FROM {s}.project_members WHERE user_id = :actor",
    );
    as_owner(call, |_| {
        connect(call, |db| db.read(&PROJECTS, &args! { actor }).iter().map(|row| row.value("id")).collect())
    })
}

/// See the COMMENT in `sql/access.sql`.
#[pg_extern(sql = false)]
fn current_actor(fcinfo: pg_sys::FunctionCallInfo) -> Option<Uuid> {
    Call::run(fcinfo, |call| Ok(caller::actor(call.owner)))
}

/// See the COMMENT in `sql/access.sql`.
#[pg_extern(sql = false)]
fn can_read_project(project: Option<Uuid>, fcinfo: pg_sys::FunctionCallInfo) -> bool {
    Call::run_internal(fcinfo, |call| {
        let (Some(project), Some(actor)) = (project, caller::actor(call.owner)) else { return Ok(false) };
        // PL/pgSQL keeps the cache of an expression for an entire transaction, so its contents may be outdated.
        let asking = Asking { actor, sees: backend::visibility() };
        with_query_cache(fcinfo, |cache: &mut Option<Seen>| {
            let seen = match cache {
                Some(seen) if seen.asking == asking => seen,
                _ => cache.insert(Seen::by(asking)),
            };
            seen.is_member(call, project)
        })
    })
}

/// See the COMMENT in `sql/access.sql`.
#[pg_extern(sql = false)]
fn readable_project_ids(fcinfo: pg_sys::FunctionCallInfo) -> Vec<Uuid> {
    Call::run_internal(fcinfo, |call| {
        Ok(caller::actor(call.owner).map(|actor| projects_of(call, actor)).unwrap_or_default())
    })
}
