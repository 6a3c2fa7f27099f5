//! Notices that report the progress of a long call.

use std::time::{Duration, Instant};

use crate::backend;

const EVERY: Duration = Duration::from_secs(5);

/// Counts completed items and reports to the client every few seconds.
pub struct Progress {
    doing: &'static str,
    done: u64,
    told: Instant,
}

impl Progress {
    /// `doing` follows the number, for example `file versions checked`.
    pub fn begin(doing: &'static str) -> Self {
        Progress { doing, done: 0, told: Instant::now() }
    }

    pub fn step(&mut self) {
        self.done += 1;
        if self.told.elapsed() >= EVERY {
            self.told = Instant::now();
            backend::notice(&format!("{} {}", self.done, self.doing));
        }
    }
}
