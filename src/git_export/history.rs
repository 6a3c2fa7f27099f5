//! What was saved in a project, in the order of the commits that it becomes.

use std::collections::BTreeSet;

use pgrx::Uuid;

use super::lines::{Change, Commit, Tag};
use crate::args;
use crate::backend::{Call, Db, KeptRows, Row, Statement, Timestamp};
use crate::content;
use crate::error::{Error, Flaw};
use crate::version;

/// Commits never span snapshots. One begins where the transaction or the author changes, after ten seconds without a
/// save, and with any further version of a file.
///
/// Transactions are in the order of their last saves, because whoever changes what another one has changed has waited for
/// its end; their ids may be in another order. A file's versions follow each other even if the clock was set back.
///
/// A file does not leave its old path if another one has taken it since: the version that left it may have been pruned.
///
/// With `:whole`, transactions are not divided, so that no commit shows what nobody but its transaction saw.
///
/// - `recorded`: when each version's transaction made its last change.
/// - `known`: what came next in the file, and whether versions between are missing.
/// - `followed`: what came before in the file; with `:whole`, only the last version of a file in each transaction.
/// - `placed`: the order of the history, and where commits begin.
/// - `numbered`: the commit of each version.
/// - `counted`: what the versions of a commit have in common, and the commit in which a path is next taken.
/// - `changes`: the commit in which the old path is next taken.
/// - `steps`: first what leaves an old path, then the changes, and the versions of the project.
static STEPS: Statement = Statement::new(
    "WITH recorded AS (
         SELECT v.file_id, v.version, v.file_path, v.is_deleted, v.created_by, v.created_at, v.snapshot_seq, v.change_xid,
                max(v.created_at) OVER (PARTITION BY v.snapshot_seq, v.change_xid) AS ended_at
           FROM {s}.project_file_versions v
          WHERE uuid_hash_extended(v.project_id, 0) = uuid_hash_extended(:project, 0) AND v.project_id = :project
     ), known AS (
         SELECT r.*,
                (lead(r.snapshot_seq) OVER file, lead(r.change_xid) OVER file) = (r.snapshot_seq, r.change_xid)
                AS is_replaced,
                lead(r.version) OVER file <> r.version + 1 AS has_gap
           FROM recorded r
         WINDOW file AS (PARTITION BY r.file_id ORDER BY r.version)
     ), followed AS (
         SELECT k.*,
                max(k.ended_at) OVER file AS settled_at,
                lag(CASE WHEN NOT k.is_deleted THEN k.file_path END) OVER file AS old_path,
                (lag(k.snapshot_seq) OVER file, lag(k.change_xid) OVER file) = (k.snapshot_seq, k.change_xid) AS is_again
           FROM known k
          WHERE NOT :whole OR k.is_replaced IS NOT TRUE
         WINDOW file AS (PARTITION BY k.file_id ORDER BY k.version)
     ), placed AS (
         SELECT f.*,
                row_number() OVER history AS place,
                f.is_again
                OR (lag(f.snapshot_seq) OVER history, lag(f.change_xid) OVER history)
                   IS DISTINCT FROM (f.snapshot_seq, f.change_xid)
                OR NOT :whole
                   AND (lag(f.created_by) OVER history IS DISTINCT FROM f.created_by
                        OR f.created_at - lag(f.created_at) OVER history > interval '10 s') AS begins
           FROM followed f
         WINDOW history AS (ORDER BY f.snapshot_seq, f.settled_at, f.created_at, f.version, f.file_id)
     ), numbered AS (
         SELECT p.*, count(*) FILTER (WHERE p.begins) OVER (ORDER BY p.place ROWS UNBOUNDED PRECEDING) AS number
           FROM placed p
     ), counted AS (
         SELECT n.*,
                count(*) OVER (PARTITION BY n.number) AS files,
                min(n.created_at) OVER (PARTITION BY n.number) AS began_at,
                first_value(n.created_by) OVER (PARTITION BY n.number ORDER BY n.place) AS author,
                lead(n.number) OVER (PARTITION BY n.file_path, n.is_deleted ORDER BY n.place) AS taken_in
           FROM numbered n
     ), changes AS (
         SELECT c.*, lag(c.taken_in) OVER (PARTITION BY c.file_id ORDER BY c.version) AS old_path_taken_in
           FROM counted c
     ), steps AS (
         SELECT s.step, c.snapshot_seq, c.number, c.place, c.files, c.author, c.began_at, c.file_id, c.version,
                c.file_path, c.is_deleted, c.has_gap, c.old_path, NULL::text AS version_id
           FROM changes c
          CROSS JOIN (VALUES (0), (1)) s (step)
          WHERE s.step = 1
             OR (c.is_deleted OR c.file_path <> c.old_path)
                AND c.old_path IS NOT NULL
                AND (c.old_path_taken_in >= c.number) IS NOT FALSE
         UNION ALL
         SELECT 2, v.snapshot_seq, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, v.version_id
           FROM {s}.project_versions v
          WHERE v.project_id = :project AND v.soft_deleted_at IS NULL AND v.pruned_at IS NULL
     )
     SELECT s.step, s.number, s.files, s.author, s.began_at, s.file_id, s.version, s.file_path, s.is_deleted,
            coalesce(s.has_gap, false) AS has_gap, s.old_path, s.version_id
       FROM steps s
      ORDER BY s.snapshot_seq, s.number NULLS LAST, s.step, s.place",
);

/// A step of the stream.
pub enum Step {
    /// A file leaves its old path. In a commit, this comes before all changes.
    Leave(Change),
    Change(Change, Key),
    /// A project version, by its id. These come after all commits of their snapshot.
    Version(String),
}

/// Where a file's version is stored.
pub struct Key {
    file_id: Uuid,
    version: i32,
}

/// Begins to read the steps of a project, with transactions as whole commits or not.
pub fn steps(call: &Call, db: &Db, project: Uuid, whole: bool) -> Result<KeptRows, Error> {
    KeptRows::read(call, db, &STEPS, &args! { project, whole })
}

impl Step {
    pub fn of(row: &Row) -> Self {
        let change = || Change {
            commit: Commit {
                number: row.value("number"),
                author: row.get("author"),
                at: unix_time(row.value("began_at")),
                files: row.value("files"),
            },
            path: row.value("file_path"),
            is_deleted: row.value("is_deleted"),
            has_gap: row.value("has_gap"),
            old_path: row.get("old_path"),
        };
        match row.value::<i32>("step") {
            0 => Step::Leave(change()),
            1 => Step::Change(change(), Key { file_id: row.value("file_id"), version: row.value("version") }),
            _ => Step::Version(row.value("version_id")),
        }
    }
}

/// The content of a version that is not a deletion. XX001 if it cannot be read.
pub fn content(db: &Db, project: Uuid, path: &str, key: &Key) -> Result<String, Error> {
    let row = content::version_row(db, project, key.file_id, key.version)?;
    let text = row.map(|row| content::read_text(db, project, &row)).transpose()?.flatten();
    let (version, flaw) = (key.version, Flaw::Undecodable);
    text.ok_or_else(|| Error::Damaged { project, path: path.to_owned(), version, flaw })
}

/// A version of the project, which the calling statement's snapshot shows.
pub fn version(db: &Db, project: Uuid, version_id: &str) -> Result<Tag, Error> {
    let row = version::find(db, project, version_id)?;
    Ok(Tag {
        number: version::semver(&row),
        author: row.get("user_id"),
        at: unix_time(row.value("created_at")),
        name: row.get("version_name"),
        description: row.get("version_description"),
    })
}

/// Paths of files that at some time are directories of others, usually none.
pub fn directories(db: &Db, project: Uuid) -> Result<BTreeSet<String>, Error> {
    // Sorted with a slash at the end, a directory is right before what is in it.
    static DIRECTORIES: Statement = Statement::new(
        "SELECT left(d.path, -1) AS path
           FROM (SELECT p.path, lead(p.path) OVER (ORDER BY p.path) AS next
                   FROM (SELECT DISTINCT v.file_path || '/' COLLATE \"C\" AS path
                           FROM {s}.project_file_versions v
                          WHERE uuid_hash_extended(v.project_id, 0) = uuid_hash_extended(:project, 0)
                            AND v.project_id = :project AND NOT v.is_deleted) p) d
          WHERE starts_with(d.next, d.path)",
    );
    let mut paths = BTreeSet::new();
    db.each(&DIRECTORIES, &args! { project }, |row| {
        paths.insert(row.value("path"));
        Ok(())
    })?;
    Ok(paths)
}

/// Seconds since 1970.
fn unix_time(Timestamp(microseconds): Timestamp) -> i64 {
    const YEAR_2000: i64 = 946_684_800;
    microseconds.div_euclid(1_000_000) + YEAR_2000
}
