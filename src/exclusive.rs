//! A project under its exclusive lock: first the lock, then the row lock, then the contents of the row.

use pgrx::Uuid;

use crate::args;
use crate::backend::{self, Call, Db, Owner, Rows, Statement, Timestamp, Use, as_owner, connect};
use crate::caller::{Caller, Role};
use crate::error::Error;
use crate::locks;

/// A project that nobody else can change until the transaction ends.
pub struct Exclusive<'a> {
    pub caller: Caller,
    pub db: &'a Db<'a>,
    pub project: Uuid,
    pub owner_id: Uuid,
    pub framework: String,
    pub snapshot_seq: i32,
    pub current_version: Option<String>,
    /// The time of this change: taken after locking, and never earlier than the project's last change.
    pub now: Timestamp,
}

impl Exclusive<'_> {
    /// Checks that the caller may act as `needed`, locks the project and runs `body`. 25006, 42501, PT404, 40001.
    pub fn run<R>(
        call: &Call,
        project: Uuid,
        needed: Role,
        body: impl FnOnce(&Exclusive) -> Result<R, Error>,
    ) -> Result<R, Error> {
        Self::run_prepared(call, project, needed, |_| Ok(()), |exclusive, ()| body(exclusive))
    }

    /// The same; `prepare` runs before waiting, for work that need not be done while others queue.
    pub fn run_prepared<P, R>(
        call: &Call,
        project: Uuid,
        needed: Role,
        prepare: impl FnOnce(&Db) -> Result<P, Error>,
        body: impl FnOnce(&Exclusive, P) -> Result<R, Error>,
    ) -> Result<R, Error> {
        call.refuse_read_only();
        let caller = Caller::identify(call)?;
        as_owner(call, |owner| {
            connect(call, |db| {
                caller.check(db, project, needed, owner)?;
                db.lock_tables(&TABLES, || Ok(()))?;
                let prepared = prepare(db)?;
                locks::project(project);
                let exclusive = lock_row(caller, db, project, needed, owner)?;
                body(&exclusive, prepared)
            })
        })
    }

    /// Locks the tables for a privileged call that locks many projects, each with [`Exclusive::lock`]. Returns whether that
    /// has locked all projects already, because locks on so many would exhaust the lock table.
    pub fn lock_tables_for(db: &Db, projects: usize) -> Result<bool, Error> {
        let all = projects > MAX_PROJECT_LOCKS;
        for (name, how) in TABLES {
            // Nobody saves without writing a head, nor has a project to themselves without writing to projects.
            let keeps_out = name == c"projects" || name == c"project_file_heads";
            db.lock_tables(&[(name, if all && keeps_out { Use::Alone } else { how })], || Ok(()))?;
        }
        Ok(all)
    }

    /// One of several projects that a privileged call locks, in the order of their ids, unless all are locked. PT404, 40001.
    pub fn lock<'a>(
        caller: Caller,
        db: &'a Db<'a>,
        project: Uuid,
        all_are_locked: bool,
        owner: &Owner,
    ) -> Result<Exclusive<'a>, Error> {
        if !all_are_locked {
            locks::project(project);
        }
        lock_row(caller, db, project, Role::Owner, owner)
    }

    /// Sets the project's `updated_at`, as does every change that a saver must not miss, because that makes a saver
    /// with an older fixed snapshot fail instead of acting on it.
    pub fn touch(&self) {
        static TOUCH: Statement = Statement::new("UPDATE {s}.projects SET updated_at = :now WHERE id = :project");
        self.db.run(&TOUCH, &args! { project: self.project, now: self.now });
    }

    /// Fails with 40001 if files were saved that the transaction's fixed snapshot does not show.
    pub fn refuse_unseen_saves(&self) -> Result<(), Error> {
        // Every change of a file inserts a head or increments a head's version.
        static CHANGES: Statement = Statement::new(
            "SELECT count(*) AS heads, sum(version)::bigint AS versions
               FROM {s}.project_file_heads
              WHERE project_id = :project",
        );
        if !backend::fixed_snapshot() {
            return Ok(());
        }
        let changes = |rows: Rows| {
            let row = rows.one();
            (row.value::<i64>("heads"), row.get::<i64>("versions"))
        };
        let args = args! { project: self.project };
        let seen = changes(self.db.run(&CHANGES, &args));
        let actual = changes(self.db.read_latest(&CHANGES, &args));
        if seen == actual { Ok(()) } else { Err(Error::LostRace(format!("project {}", self.project))) }
    }
}

/// Most projects that one call locks one by one; beyond that, it locks all.
const MAX_PROJECT_LOCKS: usize = 1_000;

/// Every table that may be used by a call that locks a project exclusively.
const TABLES: [(&core::ffi::CStr, Use); 9] = [
    (c"projects", Use::Write),
    (c"project_members", Use::Write),
    (c"project_idempotency_keys", Use::Write),
    (c"project_build_metrics", Use::Write),
    (c"project_ai_time_sessions", Use::Write),
    (c"project_versions", Use::Write),
    (c"project_file_heads", Use::Write),
    (c"project_file_versions", Use::Write),
    (c"rate_limits", Use::Write),
];

/// Locks the project's row and checks the caller's permissions again: the caller may have been removed as a member
/// while waiting.
fn lock_row<'a>(
    caller: Caller,
    db: &'a Db<'a>,
    project: Uuid,
    needed: Role,
    owner: &Owner,
) -> Result<Exclusive<'a>, Error> {
    // The row lock makes a transaction with an older fixed snapshot fail with 40001.
    static LOCK: Statement = Statement::new("SELECT FROM {s}.projects WHERE id = :project FOR NO KEY UPDATE");
    db.run(&LOCK, &args! { project });
    let _now = backend::FreshSnapshot::take();
    let row = caller.allowed(db, project, needed, owner)?;
    Ok(Exclusive {
        caller,
        db,
        project,
        owner_id: row.value("owner_id"),
        framework: row.value("framework"),
        snapshot_seq: row.value("snapshot_seq"),
        current_version: row.get("current_version_id"),
        now: backend::clock().max(row.value("updated_at")),
    })
}
