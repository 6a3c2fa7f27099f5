//! What a transaction sees.

use core::ffi::c_int;

use pgrx::pg_sys;

/// REPEATABLE READ or above: the transaction's snapshot is fixed, and no lock makes it newer.
pub fn fixed_snapshot() -> bool {
    // SAFETY: a plain read of the session's state.
    unsafe { pg_sys::XactIsoLevel >= pg_sys::XACT_REPEATABLE_READ as c_int }
}

/// While it exists, this snapshot is used for reading: under READ COMMITTED it shows everything committed until now,
/// and always everything this transaction did before.
pub struct FreshSnapshot(());

impl FreshSnapshot {
    pub fn take() -> Self {
        // SAFETY: popped by `drop`, or at the end of the transaction after an error.
        unsafe {
            // In parallel mode nothing was written that would have to become visible.
            if !pg_sys::IsInParallelMode() {
                pg_sys::CommandCounterIncrement();
            }
            pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
        }
        FreshSnapshot(())
    }
}

impl Drop for FreshSnapshot {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // SAFETY: pushed by `take`.
            unsafe { pg_sys::PopActiveSnapshot() };
        }
    }
}

/// While it exists, the newest possible snapshot is used for reading, whatever the isolation level.
pub struct LatestSnapshot(());

impl LatestSnapshot {
    pub fn take() -> Self {
        // SAFETY: popped by `drop`, or at the end of the transaction after an error.
        unsafe { pg_sys::PushActiveSnapshot(pg_sys::GetLatestSnapshot()) };
        LatestSnapshot(())
    }
}

impl Drop for LatestSnapshot {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // SAFETY: pushed by `take`.
            unsafe { pg_sys::PopActiveSnapshot() };
        }
    }
}

/// What the active snapshot shows; equal only for identical views of the database.
pub type Visibility = Vec<u32>;

/// Compares what is preserved in a copied snapshot; its counter of commits is not.
pub fn visibility() -> Visibility {
    // SAFETY: there is an active snapshot, whose arrays have these lengths.
    unsafe {
        assert!(pg_sys::ActiveSnapshotSet(), "called without a snapshot");
        let snapshot = &*pg_sys::GetActiveSnapshot();
        let running = |ids: *mut pg_sys::TransactionId, count: usize| {
            let ids: &[pg_sys::TransactionId] = if count == 0 { &[] } else { core::slice::from_raw_parts(ids, count) };
            ids.iter().map(|&id| u32::from(id))
        };
        // Rolling back a savepoint changes what is visible, and nothing else here.
        let savepoint = pg_sys::GetCurrentSubTransactionId();
        let (transactions, subtransactions) = (snapshot.xcnt, snapshot.subxcnt.max(0) as u32);
        [snapshot.xmin.into(), snapshot.xmax.into(), snapshot.curcid, savepoint, transactions, subtransactions]
            .into_iter()
            .chain(running(snapshot.xip, transactions as usize))
            .chain(running(snapshot.subxip, subtransactions as usize))
            .collect()
    }
}
