//! How much a version differs from its parent: files, and lines as counted by `git diff --numstat`.

use std::collections::HashMap;

use pgrx::Uuid;

use super::changes::{self, LiveFile, text_of};
use super::snapshot::Snapshot;
use crate::backend::{self, Db};
use crate::error::Error;
use crate::settings::MAX_COMPARED_LINES;
use crate::text::{self, LineCount};

/// Totals over all changed files.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct Stats {
    pub files: i32,
    pub added: i64,
    pub removed: i64,
    /// Files too long to be compared: all lines between their equal beginnings and ends count as replaced.
    pub not_compared: i32,
}

impl Stats {
    /// Tells the client about files that were not compared.
    pub fn notice(&self) {
        if self.not_compared > 0 {
            backend::notice(&format!(
                "changed files with more lines to compare than pg_versioned.max_compared_lines: {}; lines_added and \
                 lines_removed count all of those lines as replaced",
                self.not_compared
            ));
        }
    }
}

/// A file and its version.
type Key = (Uuid, i32);

/// Results of earlier comparisons.
#[derive(Default)]
pub struct Compared(HashMap<(Option<Key>, Option<Key>), LineCount>);

/// Compares two snapshots. Whatever is in `compared` is not compared again, so that calling this before the project is
/// locked leaves little to do afterwards.
pub fn between(
    db: &Db,
    project: Uuid,
    (from, to): (Snapshot, Snapshot),
    compared: &mut Compared,
) -> Result<Stats, Error> {
    let _now = backend::FreshSnapshot::take();
    let mut stats = Stats::default();
    for change in changes::by_path(changes::changed(db, project, from, to)?) {
        stats.files += 1;
        let (old, new) = change.sides();
        if old.map(|file| file.hash) == new.map(|file| file.hash) {
            continue;
        }
        let of = |file: &LiveFile| (file.file_id, file.version);
        let key = (old.map(of), new.map(of));
        let lines = match compared.0.get(&key) {
            Some(lines) => *lines,
            None => {
                backend::check_for_interrupts();
                let limit = MAX_COMPARED_LINES.get() as usize;
                let lines = backend::in_own_memory(|| {
                    let [old, new] = [text_of(db, project, old)?, text_of(db, project, new)?];
                    Ok(text::count_lines(&old, &new, limit))
                })?;
                compared.0.insert(key, lines);
                lines
            }
        };
        stats.added += lines.added;
        stats.removed += lines.removed;
        stats.not_compared += i32::from(!lines.is_exact);
    }
    Ok(stats)
}
