//! How much a version changes against its parent: files, and lines as `git diff --numstat` counts them.

use std::collections::HashMap;

use pgrx::Uuid;

use crate::backend::{Db, Statement};
use crate::text;

/// Totals over all changed files.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct Stats {
    pub files: i32,
    pub added: i64,
    pub removed: i64,
}

/// Lines added and removed between two file versions that were compared already.
#[derive(Default)]
pub struct Compared(HashMap<(Uuid, i32, i32), (i64, i64)>);

/// Lines added and removed to make `new` of `old`.
pub fn lines(old: &str, new: &str) -> (i64, i64) {
    text::count_lines(old, new)
}

/// Compares the files as they are now with those at snapshot `parent` (0: no files). What `compared` knows is
/// not compared again, so that a call before the project is locked leaves little to do after it.
pub fn since(db: &Db, project: Uuid, parent: i32, compared: &mut Compared) -> Stats {
    // A file that changed has a head stamped after the parent; its old state is its newest version before.
    static CHANGED: Statement = Statement::new(
        "SELECT h.file_id, h.version, coalesce(o.version, 0),
                n.is_deleted, coalesce(o.is_deleted, true),
                n.content_hash IS DISTINCT FROM o.content_hash
           FROM {s}.project_file_heads h
           JOIN {s}.project_file_versions n
             ON n.project_id = h.project_id AND n.file_id = h.file_id AND n.version = h.version
           LEFT JOIN LATERAL (
                SELECT v.version, v.is_deleted, v.content_hash, v.file_path, v.file_type
                  FROM {s}.project_file_versions v
                 WHERE v.project_id = h.project_id AND v.file_id = h.file_id AND v.snapshot_seq <= $2
                 ORDER BY v.version DESC
                 LIMIT 1) o ON true
          WHERE h.project_id = $1 AND h.snapshot_seq > $2
            AND (n.content_hash, n.file_path, n.file_type) IS DISTINCT FROM (o.content_hash, o.file_path, o.file_type)",
    );
    let rows = db.run(&CHANGED, &[project.into(), parent.into()]);
    let mut stats = Stats::default();
    for row in 0..rows.len() {
        let (is_gone, was_absent): (bool, bool) = (rows.value(row, 4), rows.value(row, 5));
        if is_gone && was_absent {
            continue;
        }
        stats.files += 1;
        if rows.value::<bool>(row, 6) {
            let key = (rows.value(row, 1), rows.value(row, 3), rows.value(row, 2));
            let (added, removed) = *compared.0.entry(key).or_insert_with(|| {
                let (file_id, old, new) = key;
                lines(&content(db, project, file_id, old), &content(db, project, file_id, new))
            });
            stats.added += added;
            stats.removed += removed;
        }
    }
    stats
}

/// Text of a version; empty for version 0 (none) and for tombstones.
fn content(db: &Db, project: Uuid, file_id: Uuid, version: i32) -> String {
    crate::file::content(db, project, file_id, version).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::lines;

    #[test]
    fn counts_as_git_does() {
        assert_eq!(lines("", ""), (0, 0));
        assert_eq!(lines("", "a\nb\n"), (2, 0));
        assert_eq!(lines("a\nb\nc\n", "a\nc\n"), (0, 1));
        assert_eq!(lines("a\n", "a"), (1, 1));
        assert_eq!(lines("a\r\n", "a\n"), (1, 1));
    }

    proptest! {
        #[test]
        fn lengths_agree(old in "[ab\n]{0,40}", new in "[ab\n]{0,40}") {
            let (added, removed) = lines(&old, &new);
            let count = |text: &str| text.split_inclusive('\n').count() as i64;
            prop_assert_eq!(count(&old) - removed + added, count(&new));
            prop_assert_eq!((added, removed) == (0, 0), old == new);
        }
    }
}
