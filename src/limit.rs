//! How often an actor may save in a project: the generic cell rate algorithm (GCRA, ITU-T I.371).
//!
//! Its state is one moment, when the saves made so far will have been paid off at the allowed rate. It is kept in
//! slots, of which a save uses any that is free, so that two saves never wait for each other or fail because of it.

use core::ffi::CStr;

use pgrx::Uuid;

use crate::backend::{self, Db, Timestamp, Use};
use crate::caller::Caller;
use crate::error::Error;
use crate::settings::{SAVE_BURST, SAVE_RATE};

/// The actor whose saves are counted, and how many are allowed per second; `None` if there is no limit.
fn limited(caller: Caller) -> Option<(Uuid, i32)> {
    match (caller.actor, SAVE_RATE.get(), caller.privileged) {
        (Some(actor), rate @ 1.., false) => Some((actor, rate)),
        _ => None,
    }
}

/// The tables that [`count`] will use, to be locked before a call waits for anything else.
pub fn tables(caller: Caller) -> &'static [(&'static CStr, Use)] {
    if limited(caller).is_some() { &[(c"rate_limits", Use::Write)] } else { &[] }
}

/// Counts a save that is about to be written toward its actor's rate; PT429 if it comes too early. A transaction that
/// rolls back has counted nothing.
pub fn count(caller: Caller, db: &Db, project: Uuid) -> Result<(), Error> {
    let Some((actor, rate)) = limited(caller) else { return Ok(()) };
    backend::in_free_slot(db, project, actor, |paid_off| {
        admit(backend::clock(), paid_off, rate, SAVE_BURST.get()).map_err(|wait| {
            let retry_after_ms = (wait + 999) / 1000;
            Error::RateLimited { project, retry_after_ms }
        })
    })
}

/// When everything will be paid off after one more save, or else the number of microseconds to wait.
fn admit(now: Timestamp, paid_off: Option<Timestamp>, rate: i32, burst: i32) -> Result<Timestamp, i64> {
    let interval = 1_000_000 / i64::from(rate);
    let most = interval * i64::from(burst);
    // A moment further ahead results from a clock that was set back or a limit that was lowered, which must not lock
    // anybody out.
    let furthest = now.0 + 2 * most + 1_000_000;
    let paid_off = paid_off.filter(|moment| moment.0 <= furthest).map_or(now.0, |moment| moment.0.max(now.0));
    let next = paid_off + interval;
    if next - now.0 <= most { Ok(Timestamp(next)) } else { Err(next - now.0 - most) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_burst_then_the_rate() {
        let mut paid_off = None;
        for _ in 0..5 {
            paid_off = Some(admit(Timestamp(0), paid_off, 10, 5).expect("within the burst"));
        }
        assert_eq!(admit(Timestamp(0), paid_off, 10, 5), Err(100_000));
        assert_eq!(admit(Timestamp(99_999), paid_off, 10, 5), Err(1));
        let next = admit(Timestamp(100_000), paid_off, 10, 5).expect("one interval later");
        assert_eq!(admit(Timestamp(100_000), Some(next), 10, 5), Err(100_000));
    }

    #[test]
    fn after_a_pause_the_burst_is_full_again_and_no_fuller() {
        let later = Timestamp(3_600_000_000);
        let mut paid_off = admit(Timestamp(0), None, 20, 3).ok();
        for _ in 0..3 {
            paid_off = Some(admit(later, paid_off, 20, 3).expect("within the burst"));
        }
        assert!(admit(later, paid_off, 20, 3).is_err());
    }

    #[test]
    fn a_clock_set_back_locks_nobody_out() {
        let hour = Timestamp(3_600_000_000);
        let paid_off = admit(hour, None, 20, 3).expect("the first");
        assert!(admit(Timestamp(0), Some(paid_off), 20, 3).is_ok());
    }

    proptest! {
        /// No period of time ever has more saves than the burst plus what the rate allows, and a caller who waits as
        /// told is let in.
        #[test]
        fn no_stretch_has_more(rate in 1..2_000, burst in 1..50, pauses in prop::collection::vec(0_i64..200_000, 1..200)) {
            let (mut now, mut paid_off, mut admitted) = (0, None, Vec::new());
            for pause in pauses {
                now += pause;
                match admit(Timestamp(now), paid_off, rate, burst) {
                    Ok(next) => {
                        paid_off = Some(next);
                        admitted.push(now);
                    }
                    Err(wait) => prop_assert!(admit(Timestamp(now + wait), paid_off, rate, burst).is_ok()),
                }
            }
            let interval = 1_000_000 / i64::from(rate);
            for (i, from) in admitted.iter().enumerate() {
                for (j, to) in admitted.iter().enumerate().skip(i) {
                    prop_assert!(((j - i) as i64) < i64::from(burst) + (to - from) / interval + 1);
                }
            }
        }
    }
}
