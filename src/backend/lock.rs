//! Advisory locks, the same as those of `pg_advisory_xact_lock`, acquired and released directly.

use pgrx::pg_sys;

/// The mode in which an advisory lock is held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lock {
    Shared,
    Exclusive,
}

impl Lock {
    fn mode(self) -> pg_sys::LOCKMODE {
        match self {
            Lock::Shared => pg_sys::ShareLock as _,
            Lock::Exclusive => pg_sys::ExclusiveLock as _,
        }
    }
}

/// The tag that `pg_advisory_xact_lock(bigint)` locks (lockfuncs.c).
fn tag(key: i64) -> pg_sys::LOCKTAG {
    const OF_ONE_KEY: u16 = 1;
    pg_sys::LOCKTAG {
        // SAFETY: a plain read of a global that never changes.
        locktag_field1: unsafe { pg_sys::MyDatabaseId }.to_u32(),
        locktag_field2: (key >> 32) as u32,
        locktag_field3: key as u32,
        locktag_field4: OF_ONE_KEY,
        locktag_type: pg_sys::LockTagType::LOCKTAG_ADVISORY as u8,
        locktag_lockmethodid: pg_sys::USER_LOCKMETHOD as u8,
    }
}

/// Waits for an advisory lock and holds it until the end of the transaction (or savepoint).
pub fn advisory_lock(key: i64, lock: Lock) {
    // SAFETY: any tag can be locked. Errors (timeouts, deadlocks, no room) are raised by Postgres.
    unsafe { pg_sys::LockAcquire(&tag(key), lock.mode(), false, false) };
}

/// Takes an advisory lock if that requires no waiting; returns whether it did.
pub fn advisory_try_lock(key: i64, lock: Lock) -> bool {
    // SAFETY: as above.
    let result = unsafe { pg_sys::LockAcquire(&tag(key), lock.mode(), false, true) };
    result != pg_sys::LockAcquireResult::LOCKACQUIRE_NOT_AVAIL
}

/// Releases an advisory lock that was taken in this (sub)transaction; one that was taken more than once remains held.
pub fn advisory_unlock(key: i64, lock: Lock) {
    // SAFETY: this releases a lock that was taken; releasing one that is not held only causes a warning.
    unsafe { pg_sys::LockRelease(&tag(key), lock.mode(), false) };
}

/// Whether this session holds the lock.
pub fn holds_advisory_lock(key: i64, lock: Lock) -> bool {
    // SAFETY: reads this session's own table of locks.
    unsafe {
        #[cfg(any(feature = "pg15", feature = "pg16"))]
        return pg_sys::LockHeldByMe(&tag(key), lock.mode());
        #[cfg(not(any(feature = "pg15", feature = "pg16")))]
        return pg_sys::LockHeldByMe(&tag(key), lock.mode(), false);
    }
}

/// An advisory lock that can be given back at any time: until it is kept it belongs to the session, because a lock of the
/// transaction would be released only at its end. An error gives it back, too.
pub struct ReturnableLock {
    key: i64,
    lock: Lock,
}

impl ReturnableLock {
    /// Waits for the lock.
    pub fn take(key: i64, lock: Lock) -> Self {
        // SAFETY: as in `advisory_lock`.
        unsafe { pg_sys::LockAcquire(&tag(key), lock.mode(), true, false) };
        ReturnableLock { key, lock }
    }

    /// Holds it until the end of the transaction (or savepoint).
    pub fn keep(self) {
        // At once, because it is held already.
        advisory_lock(self.key, self.lock);
    }
}

impl Drop for ReturnableLock {
    fn drop(&mut self) {
        // SAFETY: taken by `take`. This raises no error, so it may run while one is passed on.
        unsafe { pg_sys::LockRelease(&tag(self.key), self.lock.mode(), true) };
    }
}
