//! How much a version differs from its parent: files, and lines as counted by `git diff --numstat`.

use std::collections::HashMap;

use pgrx::Uuid;

use crate::args;
use crate::backend::{self, Db, Statement};
use crate::content;
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

/// Results of earlier comparisons: lines added and removed between two versions of a file.
#[derive(Default)]
pub struct Compared(HashMap<(Uuid, i32, i32), LineCount>);

/// Compares the current files with those at snapshot `parent` (0: no files). Whatever is in `compared` is not compared
/// again, so that calling this before the project is locked leaves little to do afterwards.
pub fn since(db: &Db, project: Uuid, parent: i32, compared: &mut Compared) -> Result<Stats, Error> {
    // A changed file has a head stamped after the parent; its old state is its newest version before that.
    static CHANGED: Statement = Statement::new(
        "SELECT h.file_id, h.version AS new_version, coalesce(o.version, 0) AS old_version,
                n.is_deleted AND coalesce(o.is_deleted, true) AS never_there,
                n.content_hash IS DISTINCT FROM o.content_hash AS differs
           FROM {s}.project_file_heads h
           JOIN {s}.project_file_versions n
             ON n.project_id = h.project_id AND n.file_id = h.file_id AND n.version = h.version
           LEFT JOIN LATERAL (
                SELECT v.version, v.is_deleted, v.content_hash, v.file_path, v.file_type
                  FROM {s}.project_file_versions v
                 WHERE v.project_id = h.project_id AND v.file_id = h.file_id AND v.snapshot_seq <= :parent
                 ORDER BY v.version DESC
                 LIMIT 1) o ON true
          WHERE h.project_id = :project AND h.snapshot_seq > :parent
            AND (n.content_hash, n.file_path, n.file_type) IS DISTINCT FROM (o.content_hash, o.file_path, o.file_type)",
    );
    let _now = backend::FreshSnapshot::take();
    let mut stats = Stats::default();
    for row in db.run(&CHANGED, &args! { project, parent }).iter().filter(|row| !row.value::<bool>("never_there")) {
        stats.files += 1;
        if !row.value::<bool>("differs") {
            continue;
        }
        let key @ (file_id, old, new) = (row.value("file_id"), row.value("old_version"), row.value("new_version"));
        let lines = match compared.0.get(&key) {
            Some(lines) => *lines,
            None => {
                backend::check_for_interrupts();
                let limit = MAX_COMPARED_LINES.get() as usize;
                let lines = backend::in_own_memory(|| {
                    let [old, new] = [text_of(db, project, file_id, old)?, text_of(db, project, file_id, new)?];
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

/// Text of a version; empty for version 0 (none) and for deletions.
fn text_of(db: &Db, project: Uuid, file_id: Uuid, version: i32) -> Result<String, Error> {
    let Some(row) = content::version_row(db, project, file_id, version)? else { return Ok(String::new()) };
    Ok(content::read_text(db, project, &row)?.unwrap_or_default())
}
