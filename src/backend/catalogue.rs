//! Reading the system catalogues: printed alike for everybody, and while others drop what is being read.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::guard::PostgresError;
use super::session::{Printing, check_for_interrupts};
use super::snapshot::{FreshSnapshot, LatestSnapshot};
use super::statement::Db;
use super::subtransaction::attempt;

/// How often a catalogue is read again when something was dropped meanwhile.
const MOST_TRIES: u32 = 100;

/// Runs `body`, in which definitions and values are printed in one way, whatever the caller's settings.
pub fn printing_alike<R>(db: &Db, body: impl FnOnce() -> R) -> R {
    // What is pinned last must end first, so the connection with its search_path comes before.
    let _memory = db.spi();
    let _printing = Printing::begin();
    body()
}

/// Runs `body`, which only reads, with the newest snapshot, and gives back all locks that it took. It runs again if it fails
/// because the functions that print definitions look for something that has been dropped since the snapshot.
pub fn despite_drops<R>(body: impl Fn() -> R) -> R {
    for _ in 1..MOST_TRIES {
        match catch_unwind(AssertUnwindSafe(|| once(&body))) {
            Ok(result) => return result,
            Err(panic) if is_lost_lookup(&panic) => check_for_interrupts(),
            Err(panic) => resume_unwind(panic),
        }
    }
    once(&body)
}

fn once<R>(body: impl Fn() -> R) -> R {
    let read = || {
        // The first one also shows what this transaction did; under REPEATABLE READ it may be old.
        let _own_changes = FreshSnapshot::take();
        let _newest = LatestSnapshot::take();
        body()
    };
    attempt(read, |_| false)
}

/// Postgres gives its internal errors ("cache lookup failed", "could not open relation with OID") no code of their own.
fn is_lost_lookup(panic: &Box<dyn std::any::Any + Send>) -> bool {
    panic.downcast_ref::<PostgresError>().is_some_and(|error| error.raised().sqlstate == "XX000")
}
