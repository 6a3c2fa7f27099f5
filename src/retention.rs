//! Removing old file versions, and re-basing the versions that stood on them.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::ops::Range;
use std::rc::Rc;

use pgrx::prelude::*;
use pgrx::{Uuid, pg_sys};

use crate::args;
use crate::backend::{self, Answer, Call, FreshSnapshot, ResultSet, Row, Statement, Timestamp, Value};
use crate::caller::Role;
use crate::content;
use crate::content::codec::{self, Encoded};
use crate::error::Error;
use crate::exclusive::Exclusive;
use crate::file::RewritingHistory;
use crate::progress::Progress;
use crate::{input, version};

/// What is kept in addition to current versions and those that snapshots need.
struct Policy {
    keep_last: usize,
    newer_than: Option<Timestamp>,
    /// Snapshots whose files are kept, ascending.
    snapshots: Vec<i32>,
}

/// A file with its versions, oldest first.
struct File {
    id: Uuid,
    path: String,
    current: i32,
    base: Option<i32>,
    versions: Vec<Version>,
}

struct Version {
    number: i32,
    base: Option<i32>,
    stored: i64,
    snapshot_seq: i32,
    at: Timestamp,
}

impl Policy {
    /// Which versions to remove.
    fn removes(&self, file: &File) -> Vec<bool> {
        let count = file.versions.len();
        file.versions
            .iter()
            .zip(file.shown_in())
            .enumerate()
            .map(|(i, (version, shown_in))| {
                let in_snapshot = !within(&self.snapshots, &shown_in).is_empty();
                let is_recent = self.newer_than.is_some_and(|time| version.at > time) || i + self.keep_last >= count;
                !(version.number == file.current || in_snapshot || is_recent)
            })
            .collect()
    }
}

impl File {
    /// The snapshots that show each version, even a deletion; otherwise an older file would reappear.
    fn shown_in(&self) -> impl Iterator<Item = Range<i32>> {
        let next = self.versions.iter().skip(1).map(|next| next.snapshot_seq).chain([i32::MAX]);
        self.versions.iter().zip(next).map(|(version, next)| version.snapshot_seq..next)
    }
}

/// Those of some snapshots, ascending, that are in a range.
fn within<'s>(snapshots: &'s [i32], range: &Range<i32>) -> &'s [i32] {
    let first = snapshots.partition_point(|&snapshot| snapshot < range.start);
    let end = snapshots.partition_point(|&snapshot| snapshot < range.end);
    &snapshots[first..end.max(first)]
}

/// Makes the remaining versions independent of those to be removed.
///
/// Versions that stand on a removed version are encoded again: the first of them on what the removed version stood on,
/// the others on the first. So a keyframe is still followed by middle versions and those by deltas, and no chain
/// becomes deeper.
struct Rebasing<'a> {
    exclusive: &'a Exclusive<'a>,
    file: &'a File,
    /// What each removed version stood on.
    gone: HashMap<i32, Option<i32>>,
    /// The version that replaces a removed base.
    instead: HashMap<i32, i32>,
    /// The most recently read contents: a version's base is usually nearby.
    contents: VecDeque<(i32, Rc<str>)>,
}

impl<'a> Rebasing<'a> {
    fn new(exclusive: &'a Exclusive, file: &'a File, removes: &[bool]) -> Self {
        let gone = file.versions.iter().zip(removes).filter(|(_, removed)| **removed);
        let gone = gone.map(|(version, _)| (version.number, version.base)).collect();
        Rebasing { exclusive, file, gone, instead: HashMap::new(), contents: VecDeque::new() }
    }

    /// The replacement for `base`: itself, the version that replaced it, or none yet.
    fn place(&self, base: i32) -> Option<i32> {
        if self.gone.contains_key(&base) { self.instead.get(&base).copied() } else { Some(base) }
    }

    /// The new form of a remaining version, and what it stands on; `None` if it can stay unchanged.
    fn rebase(&mut self, version: &Version) -> Result<Option<(Encoded, Option<i32>)>, Error> {
        let Some(lost) = version.base.filter(|base| self.gone.contains_key(base)) else { return Ok(None) };
        let mut base = self.place(lost);
        if base.is_none() {
            self.instead.insert(lost, version.number);
            let key = self.gone[&lost];
            base = key.and_then(|key| self.place(key));
            if let (Some(key), None) = (key, base) {
                self.instead.insert(key, version.number);
            }
        }
        let content = self.content(version.number)?;
        let encoded = match base {
            Some(base) => codec::delta(self.content(base)?.as_bytes(), content.as_bytes()),
            None => codec::keyframe(content.as_bytes()),
        };
        Ok(Some((encoded, base)))
    }

    fn content(&mut self, version: i32) -> Result<Rc<str>, Error> {
        const KEPT: usize = 3;
        if let Some((_, content)) = self.contents.iter().find(|(known, _)| *known == version) {
            return Ok(content.clone());
        }
        let Exclusive { db, project, .. } = self.exclusive;
        let row = content::version_row(db, *project, self.file.id, version)?;
        let text = row.map(|row| content::read_text(db, *project, &row)).transpose()?.flatten();
        let text: Rc<str> = text.unwrap_or_default().into();
        self.contents.truncate(KEPT - 1);
        self.contents.push_front((version, text.clone()));
        Ok(text)
    }
}

/// Removes the versions of a file that are marked in `removes`; returns their numbers and the number of bytes freed.
fn prune(exclusive: &Exclusive, file: &File, removes: &[bool], dry_run: bool) -> Result<(Vec<i32>, i64), Error> {
    static REBASE: Statement = Statement::new(
        "UPDATE {s}.project_file_versions SET encoding = :encoding, base_version = :base, stored = :stored
          WHERE project_id = :project AND file_id = :file_id AND version = :version",
    );
    static REMOVE: Statement = Statement::new(
        "DELETE FROM {s}.project_file_versions
          WHERE project_id = :project AND file_id = :file_id AND version = ANY (:versions)",
    );
    static UNLIST: Statement = Statement::new(
        "DELETE FROM {s}.project_file_snapshots
          WHERE project_id = :project AND file_id = :file_id AND version = ANY (:versions)",
    );
    // Also done if the base remains: a saver with a fixed snapshot must fail rather than stand on a removed version.
    static HEAD: Statement = Statement::new(
        "UPDATE {s}.project_file_heads
            SET base_version = :base,
                pruned_versions = coalesce(pruned_versions, '{}')
                                  + (SELECT range_agg(int4range(v, v, '[]')) FROM unnest(:versions) v)
          WHERE project_id = :project AND file_id = :file_id",
    );
    let (db, project, file_id) = (exclusive.db, exclusive.project, file.id);
    let mut rebasing = Rebasing::new(exclusive, file, removes);
    let (mut removed, mut freed) = (Vec::new(), 0);
    for (version, &goes) in file.versions.iter().zip(removes) {
        backend::check_for_interrupts();
        if goes {
            removed.push(version.number);
            freed += version.stored;
        } else if let Some((Encoded { encoding, bytes }, base)) = backend::in_own_memory(|| rebasing.rebase(version))? {
            freed += version.stored - bytes.len() as i64;
            if !dry_run {
                let (encoding, stored, version) = (encoding as i16, bytes.as_slice(), version.number);
                db.run(&REBASE, &args! { project, file_id, version, encoding, base, stored });
            }
        }
    }
    if !(removed.is_empty() || dry_run) {
        let versions = removed.as_slice();
        db.run(&REMOVE, &args! { project, file_id, versions });
        db.run(&UNLIST, &args! { project, file_id, versions });
        let base = file.base.and_then(|base| rebasing.place(base));
        db.run(&HEAD, &args! { project, file_id, versions, base });
    }
    Ok((removed, freed))
}

/// The project's files, or those at a path, without their versions. PT404 if there is none at the path.
fn files(exclusive: &Exclusive, path: Option<&str>) -> Result<Vec<File>, Error> {
    static FILES: Statement = Statement::new(
        "SELECT file_id, file_path, version, base_version
           FROM {s}.project_file_heads
          WHERE project_id = :project AND (:path IS NULL OR file_path = :path)
          ORDER BY file_path, file_id",
    );
    let project = exclusive.project;
    let heads = exclusive.db.run(&FILES, &args! { project, path });
    if let (Some(path), true) = (path, heads.is_empty()) {
        return Err(Error::FileNotFound { project, path: path.to_owned() });
    }
    let file = |row: Row| File {
        id: row.value("file_id"),
        path: row.value("file_path"),
        current: row.value("version"),
        base: row.get("base_version"),
        versions: Vec::new(),
    };
    Ok(heads.iter().map(file).collect())
}

fn versions(exclusive: &Exclusive, file_id: Uuid) -> Vec<Version> {
    static VERSIONS: Statement = Statement::new(
        "SELECT version, base_version, coalesce(octet_length(stored), 0)::bigint AS stored, snapshot_seq, created_at
           FROM {s}.project_file_versions
          WHERE project_id = :project AND file_id = :file_id
          ORDER BY version",
    );
    let version = |row: Row| Version {
        number: row.value("version"),
        base: row.get("base_version"),
        stored: row.value("stored"),
        snapshot_seq: row.value("snapshot_seq"),
        at: row.value("created_at"),
    };
    exclusive.db.run(&VERSIONS, &args! { project: exclusive.project, file_id }).iter().map(version).collect()
}

/// The snapshots of versions and active builds, ascending: those whose files are kept, and those of deleted versions whose
/// files are not.
fn snapshots(exclusive: &Exclusive, newer_than: Option<Timestamp>) -> (Vec<i32>, Vec<i32>) {
    static SNAPSHOTS: Statement = Statement::new(
        "SELECT snapshot_seq, soft_deleted_at IS NULL OR coalesce(soft_deleted_at > :newer_than, false) AS is_kept
           FROM {s}.project_versions
          WHERE project_id = :project AND pruned_at IS NULL
         UNION ALL
         SELECT cut_snapshot_seq, true
           FROM {s}.project_build_metrics
          WHERE project_id = :project AND status = 'started' AND cut_snapshot_seq IS NOT NULL
          ORDER BY snapshot_seq",
    );
    let rows = exclusive.db.run(&SNAPSHOTS, &args! { project: exclusive.project, newer_than });
    let (mut kept, mut given_up) = (Vec::new(), Vec::new());
    for row in rows.iter() {
        if row.value("is_kept") { &mut kept } else { &mut given_up }.push(row.value("snapshot_seq"));
    }
    (kept, given_up)
}

/// Marks the deleted versions that have lost files.
fn mark_pruned(exclusive: &Exclusive, snapshots: &BTreeSet<i32>) {
    static MARK: Statement = Statement::new(
        "UPDATE {s}.project_versions SET pruned_at = :now, updated_at = :now
          WHERE project_id = :project AND soft_deleted_at IS NOT NULL AND pruned_at IS NULL
            AND snapshot_seq = ANY (:snapshots)",
    );
    let snapshots: Vec<i32> = snapshots.iter().copied().collect();
    let args = args! { project: exclusive.project, now: exclusive.now, snapshots: snapshots.as_slice() };
    exclusive.db.run(&MARK, &args);
    exclusive.touch();
}

/// The moment that lies an interval before now; an age beyond all history means any time.
fn cutoff(exclusive: &Exclusive, age: Value) -> Result<Timestamp, Error> {
    static CUTOFF: Statement = Statement::new(
        "SELECT CASE WHEN :age < interval '0' THEN NULL
                     WHEN :age > interval '1000 years' THEN timestamptz '-infinity'
                     ELSE :now - :age END AS cutoff",
    );
    let rows = exclusive.db.run(&CUTOFF, &args! { now: backend::clock(), age });
    rows.one().get("cutoff").ok_or_else(|| Error::Invalid("p_keep_newer_than must not be negative".to_owned()))
}

/// See the COMMENT in `sql/retention.sql`. Version 0.1.0 of the schema declares it with this symbol.
#[pg_extern(sql = false)]
fn prune_project_history(
    project: Option<Uuid>,
    path: Option<&str>,
    keep_last: Option<i32>,
    keep_newer_than: Option<Interval>,
    dry_run: Option<bool>,
    fcinfo: pg_sys::FunctionCallInfo,
) -> Answer {
    prune_history(project, path, keep_last, keep_newer_than, dry_run, fcinfo)
}

/// The same. An older library does not have this symbol: it would remove what cuts need.
#[pg_extern(sql = false)]
fn prune_between_cuts(
    project: Option<Uuid>,
    path: Option<&str>,
    keep_last: Option<i32>,
    keep_newer_than: Option<Interval>,
    dry_run: Option<bool>,
    fcinfo: pg_sys::FunctionCallInfo,
) -> Answer {
    prune_history(project, path, keep_last, keep_newer_than, dry_run, fcinfo)
}

fn prune_history(
    project: Option<Uuid>,
    path: Option<&str>,
    keep_last: Option<i32>,
    keep_newer_than: Option<Interval>,
    dry_run: Option<bool>,
    fcinfo: pg_sys::FunctionCallInfo,
) -> Answer {
    Call::answer(fcinfo, |call| {
        let project = input::project(project, "p_project_id")?;
        let path = path.map(|path| input::file_path(Some(path), "p_file_path")).transpose()?;
        let keep_last = input::within(keep_last.or(Some(0)), "p_keep_last", 0, i32::MAX)? as usize;
        let dry_run = input::required(dry_run, "p_dry_run")?;
        Exclusive::run_prepared(call, project, Role::Owner, version::lock_list, |exclusive, ()| {
            exclusive.refuse_unseen_saves()?;
            let newer_than = keep_newer_than.map(|age| cutoff(exclusive, age.into())).transpose()?;
            let (snapshots, given_up) = snapshots(exclusive, newer_than);
            let policy = Policy { keep_last, newer_than, snapshots };
            let mut incomplete = BTreeSet::new();
            let _rewriting = RewritingHistory::begin();
            let mut progress = Progress::begin("files pruned");
            let answer = ResultSet::begin(call);
            for mut file in files(exclusive, path)? {
                let _now = FreshSnapshot::take();
                file.versions = versions(exclusive, file.id);
                let removes = policy.removes(&file);
                for (shown_in, _) in file.shown_in().zip(&removes).filter(|(_, goes)| **goes) {
                    incomplete.extend(within(&given_up, &shown_in));
                }
                let (removed, freed) = prune(exclusive, &file, &removes, dry_run)?;
                if !removed.is_empty() {
                    answer.push(&[file.path.as_str().into(), removed.as_slice().into(), freed.into()]);
                }
                progress.step();
            }
            if !(incomplete.is_empty() || dry_run) {
                mark_pruned(exclusive, &incomplete);
            }
            Ok(answer.done())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn removed(policy: Policy, seqs: &[i32]) -> Vec<i32> {
        let version = |(i, &snapshot_seq)| Version {
            number: i as i32 + 1,
            base: None,
            stored: 0,
            snapshot_seq,
            at: Timestamp(i as i64 + 1),
        };
        let versions: Vec<_> = seqs.iter().enumerate().map(version).collect();
        let id = Uuid::from_bytes([0; 16]);
        let file = File { id, path: String::new(), current: seqs.len() as i32, base: None, versions };
        let removes = policy.removes(&file);
        file.versions.iter().zip(removes).filter(|(_, goes)| *goes).map(|(version, _)| version.number).collect()
    }

    #[test]
    fn the_current_version_and_those_of_snapshots_stay() {
        let only = |snapshots: &[i32]| Policy { keep_last: 0, newer_than: None, snapshots: snapshots.to_vec() };
        assert_eq!(removed(only(&[]), &[1, 1, 1, 1]), [1, 2, 3]);
        assert_eq!(removed(only(&[1, 2, 3]), &[1, 1, 2, 2, 4]), [1, 3]);
        // Snapshots before the file was created, and after its last change.
        assert_eq!(removed(only(&[1, 2, 9]), &[3, 3, 5]), [1, 2]);
    }

    #[test]
    fn the_last_and_the_young_stay() {
        let policy = |keep_last, newer_than: Option<i64>| Policy {
            keep_last,
            newer_than: newer_than.map(Timestamp),
            snapshots: Vec::new(),
        };
        assert_eq!(removed(policy(2, None), &[1, 1, 1, 1]), [1, 2]);
        assert!(removed(policy(9, None), &[1, 1, 1, 1]).is_empty());
        assert_eq!(removed(policy(0, Some(2)), &[1, 1, 1, 1]), [1, 2]);
        assert_eq!(removed(policy(3, Some(3)), &[1, 1, 1, 1]), [1]);
    }
}
