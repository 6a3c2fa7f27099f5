//! The advisory locks of the protocol: their keys, order and number.
//!
//! Order within one call: owner, project, files by ascending key. A save locks its project in shared mode and its file
//! in exclusive mode; a call that must keep the project from changing locks it in exclusive mode.
//!
//! In the tables of users whose versions are numbered by triggers: the table in shared mode, then the parent.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::iter;

use pgrx::Uuid;
use pgrx::prelude::*;

use crate::backend::{self, Lock, ReturnableLock};
use crate::error::Error;
use crate::hex;

/// Maximum number of file locks that a transaction may hold in one project before it locks the project instead, and of
/// parents' locks in a table of a user: the lock table of Postgres is finite and shared by all sessions.
const MAX_LOCKS: usize = 200;

#[derive(Default)]
struct Taken {
    transaction: u32,
    by_project: HashMap<Uuid, HashSet<i64>>,
    by_table: HashMap<u32, HashSet<i64>>,
}

thread_local! {
    static TAKEN: RefCell<Taken> = RefCell::default();
}

fn owner_key(owner: Uuid) -> i64 {
    key("owner:", owner, None)
}

fn project_key(project: Uuid) -> i64 {
    key("project:", project, None)
}

fn file_key(project: Uuid, path: &str) -> i64 {
    key("file:", project, Some(path))
}

/// The key for a kind of lock, an id, and a path. Every save computes two, so that formatting would be noticeable.
fn key(kind: &str, id: Uuid, path: Option<&str>) -> i64 {
    let digits = hex::encode(id.as_bytes());
    let mut text = String::with_capacity(kind.len() + 37 + path.map_or(0, str::len));
    text.push_str(kind);
    for (n, group) in [0..8, 8..12, 12..16, 16..20, 20..32].into_iter().enumerate() {
        text.push_str(if n == 0 { "" } else { "-" });
        text.push_str(&digits[group]);
    }
    if let Some(path) = path {
        text.push(':');
        text.push_str(path);
    }
    backend::hash_key(&text)
}

/// Serializes the creation of projects with the same owner.
pub fn owner(owner: Uuid) {
    backend::advisory_lock(owner_key(owner), Lock::Exclusive);
}

/// Keeps everybody else out of a project, including savers.
pub fn project(project: Uuid) {
    backend::advisory_lock(project_key(project), Lock::Exclusive);
}

/// Serializes what is added to the ledger of migrations. No other lock of the protocol is taken after it.
pub fn migrations() {
    backend::advisory_lock(backend::hash_key("migrations:"), Lock::Exclusive);
}

/// The locks that a call has taken on the files it changes. They are held until the transaction ends, unless the call
/// is refused.
pub struct FileLocks(Vec<(i64, Lock)>);

impl FileLocks {
    /// Locks the files at `paths` under their project's shared lock, or the entire project if the transaction would
    /// otherwise hold too many locks. `before_waiting` is called once if a lock is not immediately available, so that
    /// unauthorized callers never queue.
    pub fn take(
        project: Uuid,
        paths: &[&str],
        before_waiting: impl FnOnce() -> Result<(), Error>,
    ) -> Result<FileLocks, Error> {
        let mut keys: Vec<i64> = paths.iter().map(|path| file_key(project, path)).collect();
        keys.sort_unstable();
        keys.dedup();
        let wanted: Vec<(i64, Lock)> = if count(project, &keys) > MAX_LOCKS {
            vec![(project_key(project), Lock::Exclusive)]
        } else {
            let files = keys.into_iter().map(|key| (key, Lock::Exclusive));
            iter::once((project_key(project), Lock::Shared)).chain(files).collect()
        };
        let mut taken = FileLocks(Vec::with_capacity(wanted.len()));
        let mut before_waiting = Some(before_waiting);
        for &(key, lock) in &wanted {
            if !backend::advisory_try_lock(key, lock) {
                if let Some(Err(refused)) = before_waiting.take().map(|ask| ask()) {
                    taken.release();
                    return Err(refused);
                }
                backend::advisory_lock(key, lock);
            }
            taken.0.push((key, lock));
        }
        Ok(taken)
    }

    /// Releases the locks, because a refused call must not hold any.
    pub fn release(self) {
        for (key, lock) in self.0.into_iter().rev() {
            backend::advisory_unlock(key, lock);
        }
    }
}

/// Number of the project's file locks that this transaction has requested, including `keys`.
fn count(project: Uuid, keys: &[i64]) -> usize {
    counted(|taken| taken.by_project.entry(project).or_default(), keys)
}

/// Adds `keys` to those that this transaction has requested, and returns their number. Locks released by rolling back to a
/// savepoint still count: the only effect of too high a number is that everything is locked a little early.
fn counted(known: impl FnOnce(&mut Taken) -> &mut HashSet<i64>, keys: &[i64]) -> usize {
    let transaction = backend::local_transaction_id();
    TAKEN.with_borrow_mut(|taken| {
        if taken.transaction != transaction {
            *taken = Taken { transaction, ..Taken::default() };
        }
        let known = known(taken);
        if known.len() <= MAX_LOCKS {
            known.extend(keys);
        }
        known.len()
    })
}

/// A parent in a table of a user. Whoever assigns numbers below it holds its lock, under the table's shared lock; or the
/// entire table's, if the transaction would otherwise hold too many.
pub struct Parent {
    table: u32,
    shared: (i64, Lock),
    own: (i64, Lock),
    entire: (i64, Lock),
}

impl Parent {
    /// The parent whose columns have this hash.
    pub fn new(table: u32, hash: i64) -> Self {
        let table_key = backend::hash_key(&format!("table:{table}"));
        // The hash is as good as one of a text; the rotation keeps what a hash of 0 leaves apart from the table's own key.
        let own_key = table_key.rotate_left(32) ^ hash;
        let (shared, entire) = ((table_key, Lock::Shared), (table_key, Lock::Exclusive));
        Parent { table, shared, own: (own_key, Lock::Exclusive), entire }
    }

    /// Whether the transaction holds the lock.
    pub fn is_locked(&self) -> bool {
        is_held(&self.own) || is_held(&self.entire)
    }

    /// What must be locked, in order, and is not yet.
    fn missing(&self) -> impl Iterator<Item = (i64, Lock)> {
        let is_many = counted(|taken| taken.by_table.entry(self.table).or_default(), &[self.own.0]) > MAX_LOCKS;
        let wanted = if is_many { [Some(self.entire), None] } else { [Some(self.shared), Some(self.own)] };
        wanted.into_iter().flatten().filter(|wanted| !is_held(wanted))
    }

    /// Waits for the lock, and holds it until the transaction ends.
    pub fn lock(&self) -> ParentLock {
        self.missing().for_each(|(key, lock)| backend::advisory_lock(key, lock));
        ParentLock(Vec::new())
    }

    /// Waits for the lock.
    ///
    /// Others may hold a row that the holder must wait for, and wait for this lock: they lock rows first. So it can be given
    /// back until it is kept, if it was not held before.
    pub fn lock_returnably(&self) -> ParentLock {
        ParentLock(self.missing().map(|(key, lock)| ReturnableLock::take(key, lock)).collect())
    }
}

fn is_held((key, lock): &(i64, Lock)) -> bool {
    backend::holds_advisory_lock(*key, *lock)
}

/// The lock of a [`Parent`]. Unless it is kept, it is given back when this is dropped.
pub struct ParentLock(Vec<ReturnableLock>);

impl ParentLock {
    /// Whether the transaction held the lock before, so that it cannot be given back.
    pub fn was_held(&self) -> bool {
        self.0.is_empty()
    }

    /// Holds the lock until the transaction ends.
    pub fn keep(self) {
        self.0.into_iter().for_each(ReturnableLock::keep);
    }
}

/// See the COMMENT in `sql/locks.sql`.
#[pg_extern(sql = false)]
fn owner_lock_key(owner: Uuid) -> i64 {
    owner_key(owner)
}

/// See the COMMENT in `sql/locks.sql`.
#[pg_extern(sql = false)]
fn project_lock_key(project: Uuid) -> i64 {
    project_key(project)
}

/// See the COMMENT in `sql/locks.sql`.
#[pg_extern(sql = false)]
fn file_lock_key(project: Uuid, path: &str) -> i64 {
    file_key(project, path)
}
