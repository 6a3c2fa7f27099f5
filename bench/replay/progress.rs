//! One line that says how far a step is: rewritten in place on a terminal, else a new one now and then.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

const REDRAW: Duration = Duration::from_millis(100);
const NEW_LINE: Duration = Duration::from_secs(5);

/// How far one step of the demo is. Goes to standard error: standard output is the report's.
pub struct Progress {
    label: &'static str,
    unit: &'static str,
    total: u64,
    started: Instant,
    shown: Option<Instant>,
    terminal: bool,
}

impl Progress {
    /// A step of `total` units, the unit named in the plural.
    pub fn start(label: &'static str, unit: &'static str, total: usize) -> Self {
        Self {
            label,
            unit,
            total: total as u64,
            started: Instant::now(),
            shown: None,
            terminal: io::stderr().is_terminal(),
        }
    }

    /// Tells how many units are done and what else there is to say; cheap to call often.
    pub fn show(&mut self, done: usize, note: impl FnOnce() -> String) {
        let wait = if self.terminal { REDRAW } else { NEW_LINE };
        if self.shown.unwrap_or(self.started).elapsed() >= wait {
            self.shown = Some(Instant::now());
            self.draw(done as u64, &note());
        }
    }

    /// Prints a line of its own, above the progress line.
    pub fn say(&self, line: &str) {
        let clear = if self.terminal { "\r\x1b[K" } else { "" };
        print(&format!("{clear}{line}\n"));
    }

    /// Draws the last line, and leaves it there.
    pub fn finish(self, note: &str) -> Duration {
        self.draw(self.total, note);
        if self.terminal {
            print("\n");
        }
        self.started.elapsed()
    }

    fn draw(&self, done: u64, note: &str) {
        let elapsed = self.started.elapsed();
        let rate = done as f64 / elapsed.as_secs_f64().max(1e-3);
        let percent = 100 * done / self.total.max(1);
        let clock = match remaining(elapsed, done, self.total) {
            Some(left) => format!("ETA {}", clock(left)),
            None => format!("in {}", clock(elapsed)),
        };
        let line = format!(
            "{:<8} {percent:>3} %  {done}/{} {}  {rate:.1}/s  {note}  {clock}",
            self.label, self.total, self.unit,
        );
        print(&if self.terminal { format!("\r\x1b[K{line}") } else { format!("{line}\n") });
    }
}

/// A closed standard error must not stop the work.
fn print(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}

fn remaining(elapsed: Duration, done: u64, total: u64) -> Option<Duration> {
    (done > 0 && done < total).then(|| elapsed.mul_f64((total - done) as f64 / done as f64))
}

/// Minutes and seconds, hours where there are any, and tenths of a second below a minute.
pub fn clock(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds < 60 {
        return format!("{:.1} s", duration.as_secs_f64());
    }
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}
