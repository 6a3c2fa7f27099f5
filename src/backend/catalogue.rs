//! Reading the system catalogues: printed alike for everybody, and while others drop what is being read.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use super::fresh_session::set;
use super::guard::PostgresError;
use super::session::{Printing, check_for_interrupts, setting};
use super::snapshot::{FreshSnapshot, LatestSnapshot};
use super::statement::Db;
use super::subtransaction::attempt;

/// How often a catalogue is read again when something was dropped meanwhile.
const MOST_TRIES: u32 = 100;

/// How long a try waits for one lock: less than `deadlock_timeout`, so that nobody else is the victim of a deadlock.
const LONGEST_WAIT: Duration = Duration::from_millis(100);

/// Runs `body`, in which definitions and values are printed in one way, whatever the caller's settings.
pub fn printing_alike<R>(db: &Db, body: impl FnOnce() -> R) -> R {
    // What is pinned last must end first, so the connection with its search_path comes before.
    let _memory = db.spi();
    let _printing = Printing::begin();
    body()
}

/// Runs `body`, which only reads, with the newest snapshot, and gives back all locks that it took. It runs again if it fails
/// because the functions that print definitions look for something that has been dropped since the snapshot, and if it has
/// to wait: what it has locked by then, somebody else may need to go on.
pub fn despite_drops<R>(body: impl Fn() -> R) -> R {
    let most_wait = lock_timeout();
    let begun = Instant::now();
    let mut lost_lookups = 0;
    loop {
        let panic = match catch_unwind(AssertUnwindSafe(|| once(&body, most_wait))) {
            Ok(result) => return result,
            Err(panic) => panic,
        };
        let sqlstate = panic.downcast_ref::<PostgresError>().map(|error| error.raised().sqlstate);
        match sqlstate.as_deref() {
            // Postgres gives its internal errors ("cache lookup failed", "could not open relation with OID") no code of
            // their own.
            Some("XX000") if lost_lookups < MOST_TRIES => lost_lookups += 1,
            Some("55P03" | "40P01") if most_wait.is_none_or(|most| begun.elapsed() < most) => (),
            _ => resume_unwind(panic),
        }
        check_for_interrupts();
    }
}

fn once<R>(body: impl Fn() -> R, most_wait: Option<Duration>) -> R {
    let read = || {
        let wait = most_wait.map_or(LONGEST_WAIT, |most| most.min(LONGEST_WAIT));
        set(c"lock_timeout", Some(&wait.as_millis().to_string()));
        // The first one also shows what this transaction did; under REPEATABLE READ it may be old.
        let _own_changes = FreshSnapshot::take();
        let _newest = LatestSnapshot::take();
        body()
    };
    // Never kept, so that locks and the setting go.
    attempt(read, |_| false)
}

/// The caller's `lock_timeout`; `None` if there is none.
fn lock_timeout() -> Option<Duration> {
    let milliseconds = setting(c"lock_timeout").and_then(|value| value.parse().ok()).filter(|&value| value > 0);
    milliseconds.map(Duration::from_millis)
}
