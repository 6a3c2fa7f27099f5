//! A project held still: its exclusive lock, then its row's, then what the row says.

use pgrx::Uuid;

use crate::backend::{self, Call, Db, Owner, Rows, Statement, Timestamp, Value, as_owner, connect};
use crate::caller::{Caller, Role};
use crate::error::Error;
use crate::locks;

/// A project nobody else can change until the transaction ends.
pub struct Held<'a> {
    pub caller: Caller,
    pub db: &'a Db<'a>,
    pub project: Uuid,
    pub owner_id: Uuid,
    pub framework: String,
    pub snapshot_seq: i32,
    pub current_version: Option<String>,
    /// The time of this change, after the lock and never before the project's last one.
    pub now: Timestamp,
}

impl Held<'_> {
    /// Checks that the caller may act as `needed`, holds the project and runs `body`.
    pub fn run<R>(
        call: &Call,
        project: Uuid,
        needed: Role,
        body: impl FnOnce(&Held) -> Result<R, Error>,
    ) -> Result<R, Error> {
        Self::run_prepared(call, project, needed, |_| (), |held, ()| body(held))
    }

    /// The same; `prepare` runs before the wait, for work that need not be done while others queue.
    pub fn run_prepared<P, R>(
        call: &Call,
        project: Uuid,
        needed: Role,
        prepare: impl FnOnce(&Db) -> P,
        body: impl FnOnce(&Held, P) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let caller = Caller::identify(call)?;
        as_owner(call, |owner| {
            connect(call, |db| {
                caller.check(db, project, needed, owner)?;
                let prepared = prepare(db);
                locks::project(project);
                let held = hold(caller, db, project, needed, owner)?;
                body(&held, prepared)
            })
        })
    }

    /// Sets the project's `updated_at`: every change of what a saver must not miss does, because that makes
    /// a saver with an older fixed snapshot fail instead of acting on it.
    pub fn touch(&self) {
        static TOUCH: Statement = Statement::new("UPDATE {s}.projects SET updated_at = $2 WHERE id = $1");
        self.db.run(&TOUCH, &[self.project.into(), self.now.into()]);
    }

    /// Fails with 40001 where files were saved that the transaction's fixed snapshot does not show.
    pub fn refuse_unseen_saves(&self) -> Result<(), Error> {
        // Every change of a file adds a head or adds one to a head's version.
        static CHANGES: Statement =
            Statement::new("SELECT count(*), sum(version)::bigint FROM {s}.project_file_heads WHERE project_id = $1");
        if !backend::fixed_snapshot() {
            return Ok(());
        }
        let changes = |rows: Rows| (rows.value::<i64>(0, 1), rows.get::<i64>(0, 2));
        let seen = changes(self.db.run(&CHANGES, &[self.id()]));
        let actual = changes(self.db.read_latest(&CHANGES, &[self.id()]));
        if seen == actual { Ok(()) } else { Err(Error::LostRace(format!("project {}", self.project))) }
    }

    pub fn id(&self) -> Value {
        self.project.into()
    }
}

fn hold<'a>(caller: Caller, db: &'a Db<'a>, project: Uuid, needed: Role, _owner: &Owner) -> Result<Held<'a>, Error> {
    // The row lock makes a transaction with an older fixed snapshot fail with 40001.
    static PROJECT: Statement = Statement::new(
        "SELECT p.owner_id, m.role, p.framework, p.snapshot_seq, p.current_version_id, p.updated_at
           FROM {s}.projects p
           LEFT JOIN {s}.project_members m ON m.project_id = p.id AND m.user_id = $2
          WHERE p.id = $1
            FOR NO KEY UPDATE OF p",
    );
    let rows = db.run(&PROJECT, &[project.into(), caller.actor.into()]);
    if rows.is_empty() {
        return Err(Error::ProjectNotFound(project));
    }
    let owner_id = rows.value(0, 1);
    caller.allow(project, needed, owner_id, rows.get(0, 2))?;
    let updated_at = rows.time(0, 6).expect("updated_at is not null");
    Ok(Held {
        caller,
        db,
        project,
        owner_id,
        framework: rows.value(0, 3),
        snapshot_seq: rows.value(0, 4),
        current_version: rows.get(0, 5),
        now: backend::clock().max(updated_at),
    })
}
