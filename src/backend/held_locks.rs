//! The locks that this session holds, read from the lock manager's own lists (lock.c, proc.h), which cost the same however
//! many locks others hold.

use std::collections::HashMap;

use pgrx::PgLogLevel;
use pgrx::pg_sys::{self, LOCKMODE, LOCKTAG, Oid};

use super::session::{setting, warning};
use super::touched;

/// Modes that catalogs are locked in by statements that change the schema.
const MOST_ON_CATALOGS: LOCKMODE = pg_sys::RowExclusiveLock as _;
/// CREATE COLLATION locks it so until the transaction ends, only against others who create collations.
const MOST_ON_COLLATIONS: LOCKMODE = pg_sys::ShareRowExclusiveLock as _;
const MOST_ON_OTHERS: LOCKMODE = pg_sys::AccessShareLock as _;

/// The strongest mode in which a relation of others may be locked by a statement.
fn most_on(relation: Oid) -> LOCKMODE {
    match relation {
        pg_sys::CollationRelationId => MOST_ON_COLLATIONS,
        _ if u32::from(relation) < pg_sys::FirstNormalObjectId => MOST_ON_CATALOGS,
        _ => MOST_ON_OTHERS,
    }
}

/// The modes in a mask.
fn modes_in(mask: i32) -> impl Iterator<Item = LOCKMODE> {
    (1..=pg_sys::AccessExclusiveLock as LOCKMODE).filter(move |mode| mask & (1 << mode) != 0)
}

/// What is locked and in which modes, as a mask.
#[derive(Clone, Copy)]
pub struct HeldLock {
    tag: LOCKTAG,
    modes: i32,
}

impl HeldLock {
    fn is(&self, tag: u32) -> bool {
        u32::from(self.tag.locktag_type) == tag
    }

    fn is_advisory(&self) -> bool {
        self.is(pg_sys::LockTagType::LOCKTAG_ADVISORY)
    }

    fn is_share(&self) -> bool {
        self.is_advisory() && u32::from(self.tag.locktag_lockmethodid) == pg_sys::DEFAULT_LOCKMETHOD
    }

    fn relation(&self) -> Option<Oid> {
        self.is(pg_sys::LockTagType::LOCKTAG_RELATION).then(|| Oid::from(self.tag.locktag_field2))
    }

    fn key(&self) -> [u32; 6] {
        let tag = &self.tag;
        let (d, e) = (u32::from(tag.locktag_field4), u32::from(tag.locktag_type));
        [tag.locktag_field1, tag.locktag_field2, tag.locktag_field3, d, e, tag.locktag_lockmethodid.into()]
    }
}

/// All locks of this session.
pub fn held_locks() -> Vec<HeldLock> {
    let mut locks = Vec::new();
    // SAFETY: as GetLockStatusData does for all sessions: each list is read under its lock, in shared mode.
    unsafe {
        for partition in 0..pg_sys::NUM_LOCK_PARTITIONS as usize {
            let guard =
                &raw mut (*pg_sys::MainLWLockArray.add(pg_sys::LOCK_MANAGER_LWLOCK_OFFSET as usize + partition)).lock;
            pg_sys::LWLockAcquire(guard, pg_sys::LWLockMode::LW_SHARED);
            each_in_partition(partition, |lock| locks.push(lock));
            pg_sys::LWLockRelease(guard);
        }
        let guard = &raw mut (*pg_sys::MyProc).fpInfoLock;
        pg_sys::LWLockAcquire(guard, pg_sys::LWLockMode::LW_SHARED);
        each_on_fast_path(|lock| locks.push(lock));
        pg_sys::LWLockRelease(guard);
    }
    locks
}

/// # Safety
/// The partition's lock must be held. `each` must not raise errors.
unsafe fn each_in_partition(partition: usize, mut each: impl FnMut(HeldLock)) {
    let link = core::mem::offset_of!(pg_sys::PROCLOCK, procLink);
    // SAFETY: see above. The list is circular, and its head is no element.
    unsafe {
        let list = &raw mut (*pg_sys::MyProc).myProcLocks[partition];
        #[cfg(feature = "pg15")]
        let (head, mut at) = (list, (*list).next);
        #[cfg(not(feature = "pg15"))]
        let (head, mut at) = (&raw mut (*list).head, (*list).head.next);
        // A list that was never used may be null.
        while !at.is_null() && at != head {
            let lock = &*at.byte_sub(link).cast::<pg_sys::PROCLOCK>();
            each(HeldLock { tag: (*lock.tag.myLock).tag, modes: lock.holdMask });
            at = (*at).next;
        }
    }
}

/// Weak locks on relations are kept apart from all others.
///
/// # Safety
/// The session's `fpInfoLock` must be held. `each` must not raise errors.
unsafe fn each_on_fast_path(mut each: impl FnMut(HeldLock)) {
    const BITS: usize = 3;
    // SAFETY: see above; the arrays have these lengths.
    unsafe {
        let proc = &*pg_sys::MyProc;
        #[cfg(not(feature = "pg18"))]
        let (groups, per_group) = (1, pg_sys::FP_LOCK_SLOTS_PER_BACKEND as usize);
        #[cfg(feature = "pg18")]
        let (groups, per_group) =
            (pg_sys::FastPathLockGroupsPerBackend as usize, pg_sys::FP_LOCK_SLOTS_PER_GROUP as usize);
        for slot in 0..groups * per_group {
            #[cfg(not(feature = "pg18"))]
            let (bits, relation) = (proc.fpLockBits, proc.fpRelId[slot]);
            #[cfg(feature = "pg18")]
            let (bits, relation) = (*proc.fpLockBits.add(slot / per_group), *proc.fpRelId.add(slot));
            let modes = (bits >> (BITS * (slot % per_group))) & 7;
            if modes != 0 {
                let tag = LOCKTAG {
                    locktag_field1: pg_sys::MyDatabaseId.into(),
                    locktag_field2: relation.into(),
                    locktag_field3: 0,
                    locktag_field4: 0,
                    locktag_type: pg_sys::LockTagType::LOCKTAG_RELATION as _,
                    locktag_lockmethodid: pg_sys::DEFAULT_LOCKMETHOD as _,
                };
                // The lowest bit is AccessShareLock, mode 1.
                each(HeldLock { tag, modes: (modes as i32) << 1 });
            }
        }
    }
}

/// The locks held before something that must not take others of some kinds.
pub struct LocksBefore(HashMap<[u32; 6], HeldLock>);

impl LocksBefore {
    pub fn take() -> Self {
        LocksBefore(held_locks().into_iter().map(|lock| (lock.key(), lock)).collect())
    }

    /// The modes of a lock that were not held before.
    fn new_modes(&self, lock: &HeldLock) -> i32 {
        lock.modes & !self.0.get(&lock.key()).map_or(0, |before| before.modes)
    }

    /// A relation that is not one's own, and on which a lock has been taken that others may have to wait for; the oldest.
    pub fn foreign_relation(&self) -> Option<Oid> {
        let foreign = held_locks().into_iter().filter_map(|lock| {
            let relation = lock.relation()?;
            let is_too_strong = self.new_modes(&lock) >> (most_on(relation) + 1) != 0;
            (is_too_strong && !touched::is_own(relation)).then_some(relation)
        });
        foreign.min_by_key(|&relation| u32::from(relation))
    }

    /// Gives back the locks on one's own relations, which nobody else can see until the transaction ends, and the one that
    /// keeps others from creating collations. Returns how many other locks have been taken.
    pub fn give_back_own(&self) -> usize {
        let mut others = 0;
        for lock in held_locks() {
            match lock.relation().filter(|&relation| touched::is_own(relation)) {
                Some(relation) => {
                    // SAFETY: a look-up by OID; 0 if it has been dropped.
                    let kind = unsafe { pg_sys::get_rel_relkind(relation) } as u8;
                    let of_sequence = if kind == b'S' { lock.modes & OF_SEQUENCES } else { 0 };
                    release(&lock, of_sequence, Holder::Transaction);
                    // Whose this is cannot be known of a relation that is gone.
                    let unknown = if kind == 0 { OF_SEQUENCES } else { 0 };
                    release(&lock, lock.modes & !of_sequence & !unknown, Holder::Current);
                }
                None => {
                    let modes = self.new_modes(&lock);
                    if lock.relation() == Some(pg_sys::CollationRelationId) {
                        release(&lock, modes & (1 << MOST_ON_COLLATIONS), Holder::Current);
                    }
                    others += usize::from(modes != 0);
                }
            }
        }
        others
    }

    /// Undoes what outlives a subtransaction, which must be over: advisory locks of the session are released if they have
    /// been taken since, and taken again if they have been released; locks on sequences are released.
    pub fn restore_lasting(&self) {
        let held = held_locks();
        for before in self.0.values().filter(|lock| lock.is_advisory() && !lock.is_share()) {
            let now = held.iter().find(|lock| lock.key() == before.key()).map_or(0, |lock| lock.modes);
            for mode in modes_in(before.modes & !now) {
                // SAFETY: an advisory lock. Whoever has it now is not waited for.
                let taken = unsafe { pg_sys::LockAcquire(&before.tag, mode, true, true) };
                if taken == pg_sys::LockAcquireResult::LOCKACQUIRE_NOT_AVAIL {
                    warning(
                        "an advisory lock of this session was released by a migration, and is held by another session now",
                    );
                }
            }
        }
        for lock in held {
            let modes = self.new_modes(&lock);
            if lock.is_share() {
                release(&lock, modes, Holder::Transaction);
            } else if lock.is_advisory() {
                release(&lock, modes, Holder::Session);
            } else if lock.relation().is_some_and(|relation| !is_catalog(relation)) {
                release(&lock, modes & OF_SEQUENCES, Holder::Transaction);
            }
        }
    }
}

fn is_catalog(relation: Oid) -> bool {
    u32::from(relation) < pg_sys::FirstNormalObjectId
}

/// What nextval locks a sequence with, for the entire transaction (lock_and_open_sequence in sequence.c). In this mode and as
/// long, pg_largeobject is locked by what has it open until then (open_lo_relation in inv_api.c).
const OF_SEQUENCES: i32 = 1 << pg_sys::RowExclusiveLock;

const ERROR: core::ffi::c_int = PgLogLevel::ERROR as _;

/// Who holds a lock within the session.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holder {
    /// The current subtransaction.
    Current,
    Transaction,
    Session,
}

/// Releases a lock as often as it was taken by `holder`.
fn release(lock: &HeldLock, modes: i32, holder: Holder) {
    // SAFETY: the session's own locks. Releasing what another one holds, such as an open cursor, fails, which ends the loop;
    // the warning of that is nobody's business. The levels are plain settings of this process.
    unsafe {
        let before = pg_sys::CurrentResourceOwner;
        let levels = (pg_sys::client_min_messages, pg_sys::log_min_messages);
        (pg_sys::client_min_messages, pg_sys::log_min_messages) = (ERROR, ERROR);
        if holder == Holder::Transaction {
            pg_sys::CurrentResourceOwner = pg_sys::TopTransactionResourceOwner;
        }
        for mode in modes_in(modes) {
            while is_held(lock, mode) && pg_sys::LockRelease(&lock.tag, mode, holder == Holder::Session) {}
        }
        (pg_sys::client_min_messages, pg_sys::log_min_messages) = levels;
        pg_sys::CurrentResourceOwner = before;
    }
}

fn is_held(lock: &HeldLock, mode: LOCKMODE) -> bool {
    // SAFETY: reads the session's own table of locks.
    unsafe {
        #[cfg(any(feature = "pg15", feature = "pg16"))]
        return pg_sys::LockHeldByMe(&lock.tag, mode);
        #[cfg(not(any(feature = "pg15", feature = "pg16")))]
        return pg_sys::LockHeldByMe(&lock.tag, mode, false);
    }
}

/// Into how many shares the locks are divided that all replays on the server may have together.
pub const SHARES: usize = 64;

/// Takes one more share until the transaction or the replay ends; false if others have the rest.
///
/// What a replay makes is locked on standbys until it ends, even after the locks have been given back here. A standby whose
/// lock table is full shuts down, so it is not enough that each replay by itself leaves room.
pub fn take_share() -> bool {
    const MODE: LOCKMODE = pg_sys::ExclusiveLock as _;
    (0..SHARES as u32).any(|number| {
        // The lock method keeps it apart from the advisory locks of users, and no database makes it one for all.
        let tag = LOCKTAG {
            locktag_field1: 0,
            locktag_field2: 0,
            locktag_field3: number,
            locktag_field4: 0,
            locktag_type: pg_sys::LockTagType::LOCKTAG_ADVISORY as _,
            locktag_lockmethodid: pg_sys::DEFAULT_LOCKMETHOD as _,
        };
        // SAFETY: a lock that nobody waits for. The abort that an error leads to restores the resource owner.
        unsafe {
            let is_mine = is_held(&HeldLock { tag, modes: 0 }, MODE);
            let before = pg_sys::CurrentResourceOwner;
            pg_sys::CurrentResourceOwner = pg_sys::TopTransactionResourceOwner;
            let taken =
                !is_mine && pg_sys::LockAcquire(&tag, MODE, false, true) == pg_sys::LockAcquireResult::LOCKACQUIRE_OK;
            pg_sys::CurrentResourceOwner = before;
            taken
        }
    })
}

/// How many locks the server's lock table is made for.
pub fn lock_table_size() -> usize {
    let prepared = setting(c"max_prepared_transactions").and_then(|value| value.parse().ok()).unwrap_or(0);
    // SAFETY: plain reads of what was set when the server started.
    let (per_session, sessions) = unsafe { (pg_sys::max_locks_per_xact, pg_sys::MaxBackends) };
    per_session as usize * (sessions as usize + prepared)
}
