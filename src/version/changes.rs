//! What differs between two snapshots of a project.

use std::collections::{HashMap, VecDeque};

use pgrx::Uuid;

use super::snapshot::Snapshot;
use crate::args;
use crate::backend::{Db, Row, Statement};
use crate::content::{self, Hash};
use crate::error::{Error, Flaw};
use crate::version_in_snapshot;

/// A file that is not the same in two snapshots; `None` where it is not live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    pub file_id: Uuid,
    pub from: Option<LiveFile>,
    pub to: Option<LiveFile>,
}

/// A live file in a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveFile {
    pub file_id: Uuid,
    pub version: i32,
    pub path: String,
    pub hash: Hash,
    pub file_type: String,
}

/// What happened at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Added(LiveFile),
    Modified { from: LiveFile, to: LiveFile },
    Deleted(LiveFile),
    Moved { from: LiveFile, to: LiveFile },
}

impl Change {
    pub fn name(&self) -> &'static str {
        match self {
            Change::Added(_) => "added",
            Change::Modified { .. } => "modified",
            Change::Deleted(_) => "deleted",
            Change::Moved { .. } => "moved",
        }
    }

    /// The file before and after.
    pub fn sides(&self) -> (Option<&LiveFile>, Option<&LiveFile>) {
        match self {
            Change::Added(to) => (None, Some(to)),
            Change::Modified { from, to } | Change::Moved { from, to } => (Some(from), Some(to)),
            Change::Deleted(from) => (Some(from), None),
        }
    }

    /// Where the file is; where it was, if it was deleted.
    pub fn path(&self) -> &str {
        let (from, to) = self.sides();
        to.or(from).map_or("", |file| &file.path)
    }

    /// Where a moved file was.
    pub fn moved_from(&self) -> Option<&str> {
        if let Change::Moved { from, .. } = self { Some(&from.path) } else { None }
    }
}

/// The files that differ between two snapshots, read with the active snapshot of the database. Of files that have not
/// changed since, only the heads are read. XX001 if a version is missing.
pub fn changed(db: &Db, project: Uuid, from: Snapshot, to: Snapshot) -> Result<Vec<Changed>, Error> {
    static CHANGED: Statement = Statement::new(concat!(
        "SELECT h.file_id, h.file_path, a.version AS from_version, b.version AS to_version,
                f.version AS found_from, f.is_deleted AS from_deleted, f.file_path AS from_path,
                f.content_hash AS from_hash, f.file_type AS from_type,
                t.version AS found_to, t.is_deleted AS to_deleted, t.file_path AS to_path,
                t.content_hash AS to_hash, t.file_type AS to_type
           FROM {s}.project_file_heads h
          CROSS JOIN LATERAL (SELECT ",
        version_in_snapshot!(":from", ":from_listed"),
        " AS version OFFSET 0) a
          CROSS JOIN LATERAL (SELECT ",
        version_in_snapshot!(":to", ":to_listed"),
        " AS version OFFSET 0) b
           LEFT JOIN LATERAL (
                SELECT v.version, v.is_deleted, v.file_path, v.content_hash, v.file_type
                  FROM {s}.project_file_versions v
                 WHERE v.project_id = h.project_id AND v.file_id = h.file_id AND v.version = a.version
                 LIMIT 1) f ON true
           LEFT JOIN LATERAL (
                SELECT v.version, v.is_deleted, v.file_path, v.content_hash, v.file_type
                  FROM {s}.project_file_versions v
                 WHERE v.project_id = h.project_id AND v.file_id = h.file_id AND v.version = b.version
                 LIMIT 1) t ON true
          WHERE h.project_id = :project AND h.snapshot_seq > least(:from, :to)
            AND a.version IS DISTINCT FROM b.version",
    ));
    let args = args! {
        project,
        from: from.seq,
        from_listed: from.is_listed,
        to: to.seq,
        to_listed: to.is_listed,
    };
    let mut changed = Vec::new();
    for row in db.read(&CHANGED, &args).iter() {
        let from = live_file(
            &row,
            project,
            ["from_version", "found_from", "from_deleted", "from_path", "from_hash", "from_type"],
        )?;
        let to = live_file(&row, project, ["to_version", "found_to", "to_deleted", "to_path", "to_hash", "to_type"])?;
        let is_same = match (&from, &to) {
            (None, None) => true,
            (Some(from), Some(to)) => (&from.path, from.hash, &from.file_type) == (&to.path, to.hash, &to.file_type),
            _ => false,
        };
        if !is_same {
            changed.push(Changed { file_id: row.value("file_id"), from, to });
        }
    }
    Ok(changed)
}

fn live_file(row: &Row, project: Uuid, columns: [&str; 6]) -> Result<Option<LiveFile>, Error> {
    let [due, found, deleted, path, hash, file_type] = columns;
    let Some(version) = row.get::<i32>(due) else { return Ok(None) };
    let damaged = |flaw| Error::Damaged { project, path: row.value("file_path"), version, flaw };
    if row.get::<i32>(found).is_none() {
        return Err(damaged(Flaw::Missing));
    }
    if row.value(deleted) {
        return Ok(None);
    }
    let hash = row.get::<Vec<u8>>(hash).and_then(|hash| hash.try_into().ok());
    Ok(Some(LiveFile {
        file_id: row.value("file_id"),
        version,
        path: row.value(path),
        hash: hash.ok_or_else(|| damaged(Flaw::HashMismatch))?,
        file_type: row.value(file_type),
    }))
}

/// The text of a file; empty where there is none.
pub fn text_of(db: &Db, project: Uuid, file: Option<&LiveFile>) -> Result<String, Error> {
    let Some(file) = file else { return Ok(String::new()) };
    let row = content::version_row(db, project, file.file_id, file.version)?.ok_or(Error::Internal)?;
    Ok(content::read_text(db, project, &row)?.unwrap_or_default())
}

/// The changes by path, in order, each path once: as git sees them, except that moves are known.
///
/// A path at which a file was deleted and another one created is modified. So is one at which a file was deleted and another
/// one moved there, which is then deleted where it was; a patch could not do both at one path.
pub fn by_path(changed: Vec<Changed>) -> Vec<Change> {
    let mut deleted = VecDeque::new();
    let mut live: HashMap<String, Changed> = HashMap::new();
    for file in changed {
        match (&file.from, &file.to) {
            (_, Some(to)) => drop(live.insert(to.path.clone(), file)),
            (Some(_), None) => deleted.extend(file.from),
            (None, None) => {}
        }
    }
    let mut changes = Vec::new();
    while let Some(from) = deleted.pop_front() {
        match live.remove(&from.path) {
            None => changes.push(Change::Deleted(from)),
            Some(Changed { from: elsewhere, to: Some(to), .. }) => {
                deleted.extend(elsewhere);
                changes.push(Change::Modified { from, to });
            }
            Some(_) => {}
        }
    }
    changes.extend(live.into_values().filter_map(|file| match (file.from, file.to) {
        (Some(from), Some(to)) if from.path == to.path => Some(Change::Modified { from, to }),
        (Some(from), Some(to)) => Some(Change::Moved { from, to }),
        (None, Some(to)) => Some(Change::Added(to)),
        (_, None) => None,
    }));
    // Equal contents at one path are no change, whichever files they belong to.
    changes.retain(|change| match change {
        Change::Modified { from, to } => (from.hash, &from.file_type) != (to.hash, &to.file_type),
        _ => true,
    });
    changes.sort_by(|a, b| a.path().cmp(b.path()));
    changes
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn file(id: u8, path: &str, content: u8) -> LiveFile {
        LiveFile {
            file_id: Uuid::from_bytes([id; 16]),
            version: 1,
            path: path.to_owned(),
            hash: [content; 32],
            file_type: "text".to_owned(),
        }
    }

    fn changed(from: &[LiveFile], to: &[LiveFile]) -> Vec<Changed> {
        let find = |files: &[LiveFile], id| files.iter().find(|file| file.file_id == id).cloned();
        let mut ids: Vec<Uuid> = from.iter().chain(to).map(|file| file.file_id).collect();
        ids.sort_by_key(|id| *id.as_bytes());
        ids.dedup();
        ids.into_iter()
            .map(|file_id| Changed { file_id, from: find(from, file_id), to: find(to, file_id) })
            .filter(|file| file.from != file.to)
            .collect()
    }

    fn told(from: &[LiveFile], to: &[LiveFile]) -> Vec<String> {
        by_path(changed(from, to))
            .iter()
            .map(|change| match change.moved_from() {
                Some(from) => format!("{} {from} {}", change.name(), change.path()),
                None => format!("{} {}", change.name(), change.path()),
            })
            .collect()
    }

    #[test]
    fn each_kind() {
        let from = [file(1, "a", 1), file(2, "b", 2), file(3, "c", 3), file(4, "same", 4)];
        let to = [file(1, "a", 9), file(3, "d", 3), file(4, "same", 4), file(5, "e", 5)];
        assert_eq!(told(&from, &to), ["modified a", "deleted b", "moved c d", "added e"]);
    }

    #[test]
    fn files_that_swap_their_paths_are_moved() {
        let (from, to) = ([file(1, "a", 1), file(2, "b", 2)], [file(1, "b", 1), file(2, "a", 2)]);
        assert_eq!(told(&from, &to), ["moved b a", "moved a b"]);
    }

    #[test]
    fn another_file_at_the_path_of_a_deleted_one_modifies_it() {
        assert_eq!(told(&[file(1, "a", 1)], &[file(2, "a", 2)]), ["modified a"]);
        assert!(told(&[file(1, "a", 1)], &[file(2, "a", 1)]).is_empty());
        let from = [file(1, "a", 1), file(2, "b", 2), file(3, "c", 3)];
        assert_eq!(told(&from, &[file(2, "a", 2), file(3, "b", 3)]), ["modified a", "modified b", "deleted c"]);
    }

    fn files() -> impl Strategy<Value = Vec<LiveFile>> {
        let one = (0..6_u8, 0..6_usize, 0..3_u8);
        prop::collection::vec(one, 0..8).prop_map(|all| {
            let mut files: Vec<LiveFile> = Vec::new();
            for (id, path, content) in all {
                let new = file(id, &"abcdef"[path..=path], content);
                if files.iter().all(|file| file.file_id != new.file_id && file.path != new.path) {
                    files.push(new);
                }
            }
            files
        })
    }

    proptest! {
        /// Carried out, the changes turn one snapshot into the other, and none is of a path that another is of.
        #[test]
        fn changes_are_exact(from in files(), to in files()) {
            let contents = |files: &[LiveFile]| -> BTreeMap<String, Hash> {
                files.iter().map(|file| (file.path.clone(), file.hash)).collect()
            };
            let changes = by_path(changed(&from, &to));
            let paths: Vec<&str> = changes.iter().map(Change::path).collect();
            prop_assert!(paths.windows(2).all(|pair| pair[0] < pair[1]), "{paths:?}");
            let before_all = contents(&from);
            let mut tree = before_all.clone();
            for change in &changes {
                if let (Some(before), _) = change.sides() {
                    prop_assert_eq!(before_all.get(&before.path), Some(&before.hash));
                    if !matches!(change, Change::Modified { .. }) {
                        tree.remove(&before.path);
                    }
                }
            }
            for change in &changes {
                if let (_, Some(after)) = change.sides() {
                    tree.insert(after.path.clone(), after.hash);
                }
            }
            prop_assert_eq!(tree, contents(&to));
        }
    }
}
