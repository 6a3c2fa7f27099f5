//! What a change or a reader finds out about a file: its head, and the versions that matter for the decision.

use core::ffi::CStr;

use pgrx::Uuid;

use super::decide::{self, After, Earlier, EarlierTry, Expected, Found, Head, Wanted};
use crate::args;
use crate::backend::{Bytes, Db, Lookup, Row, Rows, Statement, Timestamp, Use};
use crate::content::chain::Chain;
use crate::content::{self, Hash};
use crate::error::Error;

/// The tables that a change uses in addition to `rate_limits`, in the order in which they are locked.
pub const TABLES: [(&CStr, Use); 4] = [
    (c"projects", Use::Read),
    (c"project_members", Use::Read),
    (c"project_file_heads", Use::Write),
    (c"project_file_versions", Use::Write),
];

/// What a change found, and the row of the head itself.
pub struct State<'d> {
    pub found: Found,
    pub head: Option<Row<'d>>,
}

/// Reads what is needed to decide about a change, using the active snapshot.
pub fn find<'d>(db: &'d Db, project: Uuid, wanted: &Wanted) -> Result<State<'d>, Error> {
    let row = newest_at(db, project, wanted.path)?;
    let mut found = Found { head: row.as_ref().map(head), ..Found::default() };
    if let decide::Action::Move { to, .. } = wanted.action {
        found.destination = newest_at(db, project, to)?.as_ref().map(head);
    }
    if let (Expected::Row { .. }, Some(head)) = (wanted.expected, &found.head) {
        let version = content::version_row(db, project, head.file_id, head.version)?;
        found.row = version.map(|row| row.value("id"));
    }
    if let Some(asked) = decide::earlier_try(&found, wanted) {
        found.earlier = earlier(db, project, asked)?;
    }
    Ok(State { found, head: row })
}

/// The file that a path refers to: the live one, or else the one most recently deleted there.
pub fn head_at(db: &Db, project: Uuid, path: &str) -> Result<Option<Head>, Error> {
    Ok(newest_at(db, project, path)?.as_ref().map(head))
}

/// A file's newest version, and the row of its head.
pub fn head_of<'d>(db: &'d Db, project: Uuid, file_id: Uuid) -> Result<Option<(Head, Row<'d>)>, Error> {
    static BY_ID: Lookup = Lookup::new(
        c"project_file_heads",
        c"project_file_heads_pkey",
        &["file_id", "project_id"],
        "SELECT * FROM {s}.project_file_heads WHERE file_id = :file_id AND project_id = :project_id",
    );
    let row = db.look_up(&BY_ID, &args! { file_id, project_id: project })?;
    Ok(row.map(|row| (head(&row), row)))
}

fn newest_at<'d>(db: &'d Db, project: Uuid, path: &str) -> Result<Option<Row<'d>>, Error> {
    static LIVE: Lookup = Lookup::new(
        c"project_file_heads",
        c"project_file_heads_live_path",
        &["project_id", "file_path"],
        "SELECT * FROM {s}.project_file_heads
          WHERE project_id = :project_id AND file_path = :file_path AND NOT is_deleted",
    );
    static AT_PATH: Lookup = Lookup::new(
        c"project_file_heads",
        c"project_file_heads_path",
        &["project_id", "file_path"],
        "SELECT * FROM {s}.project_file_heads WHERE project_id = :project_id AND file_path = :file_path",
    );
    let key = args! { project_id: project, file_path: path };
    if let Some(live) = db.look_up(&LIVE, &key)? {
        return Ok(Some(live));
    }
    let deleted = db.look_up_all(&AT_PATH, &key)?.into_iter().filter(|row| row.value("is_deleted"));
    let age = |row: &Row| (row.value::<Timestamp>("updated_at"), *row.value::<Uuid>("file_id").as_bytes());
    Ok(deleted.max_by_key(age))
}

fn head(row: &Row) -> Head {
    Head {
        file_id: row.value("file_id"),
        version: row.value("version"),
        is_deleted: row.value("is_deleted"),
        hash: hash(row),
        file_type: row.value("file_type"),
        chain: Chain {
            base: row.get("base_version"),
            base_cost: row.value("base_cost"),
            key_cost: row.value("key_cost"),
        },
    }
}

fn hash(row: &Row) -> Option<Hash> {
    row.get::<Bytes>("content_hash").and_then(|hash| hash.fetch().try_into().ok())
}

fn earlier(db: &Db, project: Uuid, EarlierTry { file_id, after }: EarlierTry) -> Result<Option<Earlier>, Error> {
    let after = match after {
        After::Version(version) => version,
        After::LastDeletion => match last_deletion(db, project, file_id) {
            Some(version) => version,
            None => return Ok(None),
        },
    };
    let Some(version) = after.checked_add(1) else { return Ok(None) };
    let Some(row) = content::version_row(db, project, file_id, version)? else { return Ok(None) };
    let before = content::version_row(db, project, file_id, after)?;
    Ok(Some(Earlier {
        file_id,
        version,
        path: row.value("file_path"),
        hash: hash(&row),
        file_type: row.value("file_type"),
        author: row.get("created_by"),
        before: before.map(|before| (before.value("file_path"), hash(&before))),
    }))
}

/// The version that last deleted a file, 0 if it was never deleted; `None` if that version may have been pruned.
fn last_deletion(db: &Db, project: Uuid, file_id: Uuid) -> Option<i32> {
    static LAST: Statement = Statement::new(
        "SELECT last.version
           FROM (SELECT coalesce(max(v.version), 0) AS version
                   FROM {s}.project_file_versions v
                  WHERE v.project_id = :project AND v.file_id = :file_id AND v.is_deleted) last
           JOIN {s}.project_file_heads h
             ON h.project_id = :project AND h.file_id = :file_id
            AND coalesce(upper(h.pruned_versions) - 1, 0) <= last.version",
    );
    db.read(&LAST, &args! { project, file_id }).first().map(|row| row.value("version"))
}

/// Fails with 40001 if the transaction's fixed snapshot does not show the current row of a project or the current files
/// at a path.
pub fn refuse_stale(db: &Db, project: Uuid, path: &str) -> Result<(), Error> {
    // The row lock itself fails in that case. It also prevents a later save from becoming part of an older project
    // version.
    static PROJECT: Statement = Statement::new("SELECT FROM {s}.projects WHERE id = :project FOR SHARE");
    static AT_PATH: Statement = Statement::new(
        "SELECT h.file_id, h.version
           FROM {s}.project_file_heads h
          WHERE h.project_id = :project AND h.file_path = :path AND NOT h.is_deleted
         UNION ALL
         SELECT h.file_id, h.version
           FROM {s}.project_file_heads h
          WHERE h.project_id = :project AND h.file_path = :path AND h.is_deleted
          ORDER BY file_id",
    );
    db.run(&PROJECT, &args! { project });
    let args = args! { project, path };
    let files = |rows: Rows| -> Vec<(Uuid, i32)> {
        rows.iter().map(|row| (row.value("file_id"), row.value("version"))).collect()
    };
    let seen = files(db.run(&AT_PATH, &args));
    let actual = files(db.read_latest(&AT_PATH, &args));
    if seen == actual { Ok(()) } else { Err(Error::LostRace(format!("file \"{path}\""))) }
}
