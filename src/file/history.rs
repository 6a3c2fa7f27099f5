//! The history's protection: nobody updates or deletes file versions but the extension itself.

use std::cell::Cell;

use pgrx::pg_sys;
use pgrx::prelude::*;

use crate::backend::{Answer, Call};
use crate::error::Error;

thread_local! {
    static REMOVING: Cell<bool> = const { Cell::new(false) };
}

/// Lets the statements run that remove history, for as long as it lives; an error on the way drops it too.
pub struct RemovingHistory(());

impl RemovingHistory {
    pub fn begin() -> Self {
        REMOVING.set(true);
        RemovingHistory(())
    }
}

impl Drop for RemovingHistory {
    fn drop(&mut self) {
        REMOVING.set(false);
    }
}

/// See the COMMENT in `sql/files.sql`.
#[pg_extern(sql = false)]
fn refuse_history_rewrite(fcinfo: pg_sys::FunctionCallInfo) -> Answer {
    Call::answer(fcinfo, |_| if REMOVING.get() { Ok(Answer::DONE) } else { Err(Error::HistoryIsImmutable) })
}
