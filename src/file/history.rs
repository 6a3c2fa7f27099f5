//! Protection of the history: only the extension itself can update or delete file versions.

use std::cell::Cell;

use pgrx::pg_sys;
use pgrx::prelude::*;

use crate::backend::{Answer, Call};
use crate::error::Error;

thread_local! {
    static REWRITING: Cell<bool> = const { Cell::new(false) };
}

/// While it exists, statements that rewrite or remove history are allowed; an error drops it, too.
pub struct RewritingHistory(());

impl RewritingHistory {
    pub fn begin() -> Self {
        REWRITING.set(true);
        RewritingHistory(())
    }
}

impl Drop for RewritingHistory {
    fn drop(&mut self) {
        REWRITING.set(false);
    }
}

/// See the COMMENT in `sql/file_tables.sql`.
#[pg_extern(sql = false)]
fn refuse_history_rewrite(fcinfo: pg_sys::FunctionCallInfo) -> Answer {
    Call::answer(fcinfo, |call| {
        call.as_trigger()?;
        if REWRITING.get() { Ok(Answer::DONE) } else { Err(Error::HistoryIsImmutable) }
    })
}
