//! Who is calling, and what they may do.
//!
//! The roles and claims of a session come from `SET` commands that any SQL client can send, and Postgres itself runs
//! index expressions, cascades and `SECURITY DEFINER` code under roles other than that of the session. So a role counts
//! as privileged only if both the role running the code and the one chosen by `SET ROLE` are, and an identity counts
//! only for the session's own code (the two are the same) and for code of trusted roles.

use pgrx::Uuid;
use serde::Deserialize;

use crate::args;
use crate::backend::{self, Call, Db, FreshSnapshot, Lookup, Owner, RoleId, Row, as_owner, connect};
use crate::error::Error;
use crate::input;
use crate::settings;

/// What a member may do; each role may do everything that the roles before it may do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Viewer,
    Editor,
    Owner,
}

impl Role {
    pub fn parse(name: &str) -> Option<Role> {
        Some(match name {
            "viewer" => Role::Viewer,
            "editor" => Role::Editor,
            "owner" => Role::Owner,
            _ => return None,
        })
    }

    pub fn name(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Editor => "editor",
            Role::Owner => "owner",
        }
    }
}

/// The caller of a function, as determined on entry.
#[derive(Clone, Copy)]
pub struct Caller {
    /// The user on whose behalf the call runs, recorded as the author of everything it writes.
    pub actor: Option<Uuid>,
    /// Superuser, owner of the extension or BYPASSRLS: may act in every project and on behalf of everybody.
    pub privileged: bool,
}

impl Caller {
    /// Reads roles and claims; must be called before switching to the extension's owner. 42501 if the caller is neither
    /// privileged nor signed in.
    pub fn identify(call: &Call) -> Result<Caller, Error> {
        let caller = Caller { actor: actor(call.owner), privileged: is_privileged_call(call.owner) };
        if caller.privileged || caller.actor.is_some() { Ok(caller) } else { Err(Error::NotSignedIn) }
    }

    /// Runs `body` as the owner, on behalf of a caller who may read the project. 42501 and PT404.
    pub fn reading<T>(call: &Call, project: Uuid, body: impl FnOnce(&Db) -> Result<T, Error>) -> Result<T, Error> {
        Self::reading_as(call, project, |db, _| body(db))
    }

    /// The same; `body` is told the caller's role.
    pub fn reading_as<T>(
        call: &Call,
        project: Uuid,
        body: impl FnOnce(&Db, Role) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let caller = Caller::identify(call)?;
        as_owner(call, |owner| {
            connect(call, |db| {
                let role = caller.check(db, project, Role::Viewer, owner)?;
                body(db, role)
            })
        })
    }

    /// Checks that the caller may act in a project as `needed`, using a fresh snapshot. PT404 if the project does not
    /// exist or the caller is not a member, so that a stranger cannot tell the difference; 42501 if the role is
    /// insufficient. The role that the caller has; privileged callers are owners everywhere.
    pub fn check(self, db: &Db, project: Uuid, needed: Role, owner: &Owner) -> Result<Role, Error> {
        let _now = FreshSnapshot::take();
        self.found(db, project, needed, owner).map(|(_, role)| role)
    }

    /// The project's row, if the caller may act in it as `needed`; otherwise fails like [`Caller::check`]. Read with
    /// the active snapshot.
    pub fn allowed<'d>(self, db: &'d Db, project: Uuid, needed: Role, owner: &Owner) -> Result<Row<'d>, Error> {
        self.found(db, project, needed, owner).map(|(row, _)| row)
    }

    fn found<'d>(self, db: &'d Db, project: Uuid, needed: Role, _owner: &Owner) -> Result<(Row<'d>, Role), Error> {
        static PROJECT: Lookup =
            Lookup::new(c"projects", c"projects_pkey", &["id"], "SELECT * FROM {s}.projects WHERE id = :id");
        static MEMBER: Lookup = Lookup::new(
            c"project_members",
            c"project_members_pkey",
            &["project_id", "user_id"],
            "SELECT * FROM {s}.project_members WHERE project_id = :project_id AND user_id = :user_id",
        );
        let row = db.look_up_root(&PROJECT, &args! { id: project })?.ok_or(Error::ProjectNotFound(project))?;
        if self.privileged {
            return Ok((row, Role::Owner));
        }
        let actor = self.actor.ok_or(Error::NotSignedIn)?;
        let role = if row.value::<Uuid>("owner_id") == actor {
            Some(Role::Owner)
        } else {
            let member = db.look_up(&MEMBER, &args! { project_id: project, user_id: actor })?;
            member.and_then(|member| Role::parse(&member.value::<String>("role")))
        };
        match role {
            None => Err(Error::ProjectNotFound(project)),
            Some(role) if role < needed => Err(Error::Forbidden { project, needed: needed.name() }),
            Some(role) => Ok((row, role)),
        }
    }
}

fn is_privileged(role: RoleId, extension_owner: RoleId) -> bool {
    role == extension_owner || backend::bypasses_rls(role)
}

fn is_privileged_call(extension_owner: RoleId) -> bool {
    let roles = backend::roles();
    is_privileged(roles.current, extension_owner) && is_privileged(roles.outer, extension_owner)
}

/// The actor of the currently running code, if it has one.
pub fn actor(extension_owner: RoleId) -> Option<Uuid> {
    let roles = backend::roles();
    let own_code = roles.current == roles.outer;
    if !(own_code || is_privileged(roles.current, extension_owner) || is_claim_role(roles.current)) {
        return None;
    }
    claimed_actor(roles.session).or_else(|| input::uuid(&settings::actor_id()?))
}

/// `sub` of the JWT claims passed on by PostgREST, if the login role is trusted to pass on genuine ones.
fn claimed_actor(login: RoleId) -> Option<Uuid> {
    #[derive(Deserialize)]
    struct Claims {
        sub: Option<String>,
    }
    if !(backend::is_superuser(login) || is_claim_role(login)) {
        return None;
    }
    match backend::setting(c"request.jwt.claims") {
        // serde would accept an array as the struct's fields.
        Some(claims) if !claims.trim_start().starts_with('{') => None,
        Some(claims) => input::uuid(&serde_json::from_str::<Claims>(&claims).ok()?.sub?),
        None => input::uuid(&backend::setting(c"request.jwt.claim.sub")?),
    }
}

fn is_claim_role(role: RoleId) -> bool {
    backend::role_name(role).is_some_and(|name| settings::is_claim_role(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_ordered() {
        assert!(Role::Viewer < Role::Editor && Role::Editor < Role::Owner);
    }
}
