//! Heads and versions of files as they lie in the tables.
//!
//! The head is written by one guarded statement: it changes only the very head that was read before, or makes
//! one where there was none. The locks make that guard hold nearly always; where a writer got past them, it alone
//! keeps the result right.

use pgrx::Uuid;

use crate::backend::{self, Db, Lookup, Owner, Row, Rows, Statement, Timestamp, Value};
use crate::caller::{Caller, Role};
use crate::content::chain::{Chain, Link};
use crate::content::{Hash, content_of, join_bases};
use crate::error::{Error, FileState};

/// A project's row as a change to its files needs it, and the live file at a path.
pub struct State {
    pub snapshot_seq: i32,
    pub live: Option<Head>,
}

/// The current version of a file, or its tombstone (no hash).
pub struct Head {
    pub file_id: Uuid,
    pub version: i32,
    pub hash: Option<Hash>,
    pub file_type: String,
    pub updated_at: Timestamp,
    pub chain: Chain,
}

impl Head {
    pub fn state(&self) -> FileState {
        FileState { version: self.version, hash: self.hash.as_ref().map(hex) }
    }
}

/// A text with its hash.
#[derive(Clone, Copy)]
pub struct Content<'a> {
    pub text: &'a str,
    pub hash: Hash,
    /// The text as a column.
    pub value: Value,
}

/// The row a change adds to a file's history.
pub struct NewVersion<'a> {
    pub project: Uuid,
    pub file_id: Uuid,
    pub id: Uuid,
    pub path: &'a str,
    pub file_type: &'a str,
    /// `None` for a tombstone.
    pub content: Option<Content<'a>>,
    /// Its content as it is stored.
    pub link: Option<Link>,
    /// What the version before it left for the next to stand on.
    pub chain: Chain,
    pub snapshot_seq: i32,
    pub actor: Option<Uuid>,
    pub at: Timestamp,
}

/// Author and time of a version that exists.
pub struct Existing {
    pub id: Uuid,
    pub created_by: Option<Uuid>,
    pub created_at: Timestamp,
}

/// Lower-case hexadecimal.
pub fn hex(hash: &Hash) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads rights, snapshot stamp and live head after the lock, and refuses who may no longer save.
pub fn state(db: &Db, caller: Caller, project: Uuid, path: &str, owner: &Owner) -> Result<State, Error> {
    static PROJECT: Lookup = Lookup::new(c"projects_pkey", "SELECT * FROM {s}.projects WHERE id = $1");
    let row = db.look_up_root(&PROJECT, &[project.into()]).ok_or(Error::ProjectNotFound(project))?;
    if !(caller.privileged || caller.actor == Some(row.value(c"owner_id"))) {
        caller.check(db, project, Role::Editor, owner)?;
    }
    Ok(State { snapshot_seq: row.value(c"snapshot_seq"), live: live(db, project, path) })
}

/// Fails with 40001 where the transaction's fixed snapshot does not show a project's row or the files at a path as
/// they are.
pub fn refuse_stale(db: &Db, project: Uuid, path: &str) -> Result<(), Error> {
    // The row lock fails by itself. It keeps a later save from going into an older project version.
    static PROJECT: Statement = Statement::new("SELECT FROM {s}.projects WHERE id = $1 FOR SHARE");
    static AT_PATH: Statement = Statement::new(
        "SELECT h.file_id, h.version
           FROM {s}.project_file_heads h
          WHERE h.project_id = $1 AND h.file_path = $2 AND NOT h.is_deleted
         UNION ALL
         SELECT h.file_id, h.version
           FROM {s}.project_file_heads h
          WHERE h.project_id = $1 AND h.file_path = $2 AND h.is_deleted
          ORDER BY file_id",
    );
    db.run(&PROJECT, &[project.into()]);
    let args = [project.into(), path.into()];
    let files = |rows: Rows| (0..rows.len()).map(|row| (rows.value(row, 1), rows.value(row, 2))).collect();
    let seen: Vec<(Uuid, i32)> = files(db.run(&AT_PATH, &args));
    let actual: Vec<(Uuid, i32)> = files(db.read_latest(&AT_PATH, &args));
    if seen == actual { Ok(()) } else { Err(Error::LostRace(format!("file \"{path}\""))) }
}

/// The newest tombstone of a path, whose identity a new file there takes up.
pub fn tombstone(db: &Db, project: Uuid, path: &str) -> Option<Head> {
    static NEWEST: Statement = Statement::new(
        "SELECT file_id
           FROM {s}.project_file_heads
          WHERE project_id = $1 AND file_path = $2 AND is_deleted
          ORDER BY updated_at DESC, file_id DESC
          LIMIT 1",
    );
    static HEAD: Lookup = Lookup::new(
        c"project_file_heads_pkey",
        "SELECT * FROM {s}.project_file_heads WHERE file_id = $1 AND project_id = $2",
    );
    let rows = db.run(&NEWEST, &[project.into(), path.into()]);
    if rows.is_empty() {
        return None;
    }
    db.look_up(&HEAD, &[rows.value::<Uuid>(0, 1).into(), project.into()]).map(|row| head(&row))
}

/// The live file at a path, whoever may see it.
pub fn live(db: &Db, project: Uuid, path: &str) -> Option<Head> {
    static LIVE: Lookup = Lookup::new(
        c"project_file_heads_live_path",
        "SELECT * FROM {s}.project_file_heads WHERE project_id = $1 AND file_path = $2 AND NOT is_deleted",
    );
    db.look_up(&LIVE, &[project.into(), path.into()]).map(|row| head(&row))
}

fn head(row: &Row) -> Head {
    Head {
        file_id: row.value(c"file_id"),
        version: row.value(c"version"),
        hash: row.bytes(c"content_hash").and_then(|hash| hash.fetch().try_into().ok()),
        file_type: row.value(c"file_type"),
        updated_at: row.time(c"updated_at"),
        chain: Chain {
            base: row.get(c"base_version"),
            base_cost: row.value(c"base_cost"),
            key_cost: row.value(c"key_cost"),
        },
    }
}

/// A version that exists, when it has this hash, type and author (`None` for any author).
pub fn matching(
    db: &Db,
    project: Uuid,
    file_id: Uuid,
    version: i32,
    hash: Option<&Hash>,
    file_type: Option<&str>,
) -> Option<Existing> {
    static MATCHING: Statement = Statement::new(
        "SELECT id, created_by, created_at
           FROM {s}.project_file_versions
          WHERE project_id = $1 AND file_id = $2 AND version = $3
            AND content_hash IS NOT DISTINCT FROM $4 AND ($5 IS NULL OR file_type = $5)",
    );
    let hash = hash.map(|hash| hash.as_slice());
    let rows = db.run(&MATCHING, &[project.into(), file_id.into(), version.into(), hash.into(), file_type.into()]);
    (!rows.is_empty()).then(|| Existing {
        id: rows.value(0, 1),
        created_by: rows.get(0, 2),
        created_at: rows.time(0, 3).expect("created_at is not null"),
    })
}

/// The version that deleted a file last, 0 when none ever did; `None` where it may have been pruned.
pub fn last_deletion(db: &Db, project: Uuid, file_id: Uuid) -> Option<i32> {
    static LAST: Statement = Statement::new(
        "SELECT last.version
           FROM (SELECT coalesce(max(v.version), 0) AS version
                   FROM {s}.project_file_versions v
                  WHERE v.project_id = $1 AND v.file_id = $2 AND v.is_deleted) last
           JOIN {s}.project_file_heads h
             ON h.project_id = $1 AND h.file_id = $2 AND coalesce(upper(h.pruned_versions) - 1, 0) <= last.version",
    );
    let rows = db.run(&LAST, &[project.into(), file_id.into()]);
    (!rows.is_empty()).then(|| rows.value(0, 1))
}

/// What a version holds.
pub struct Held {
    /// `None` for a deletion.
    pub content: Option<String>,
    pub file_type: String,
}

/// Content and type of a version.
pub fn version(db: &Db, project: Uuid, file_id: Uuid, version: i32) -> Option<Held> {
    static VERSION: Statement = Statement::new(concat!(
        "SELECT ",
        content_of!("v"),
        ", v.file_type FROM {s}.project_file_versions v",
        join_bases!("v"),
        "WHERE v.project_id = $1 AND v.file_id = $2 AND v.version = $3",
    ));
    let rows = db.run(&VERSION, &[project.into(), file_id.into(), version.into()]);
    (!rows.is_empty()).then(|| Held { content: rows.get(0, 1), file_type: rows.value(0, 2) })
}

/// Content of a version.
pub fn content(db: &Db, project: Uuid, file_id: Uuid, number: i32) -> Option<String> {
    version(db, project, file_id, number)?.content
}

macro_rules! head_then_version {
    ($head:literal) => {
        concat!(
            "WITH head AS (",
            $head,
            ")
            INSERT INTO {s}.project_file_versions
                   (project_id, file_id, file_path, version, content_hash, file_type, created_at, id, size_bytes,
                    is_deleted, snapshot_seq, change_xid, created_by, encoding, base_version, stored)
            SELECT $1, $2, $3, head.version, $5, $6, $7, $9, $10, $11, $12, $13, $14, $15, $16, $17
              FROM head
            RETURNING version"
        )
    };
}

/// Saves the first version of a new file; its number. `None`: there is a live file at the path by now.
pub fn write_first(db: &Db, new: &NewVersion) -> Option<i32> {
    static WRITE: Statement = Statement::new(head_then_version!(
        "INSERT INTO {s}.project_file_heads
                (project_id, file_id, file_path, version, content_hash, file_type, is_deleted, snapshot_seq, updated_at,
                 base_version, base_cost, key_cost)
         VALUES ($1, $2, $3, $4, $5, $6, $11, $12, $7, $18, $19, $20)
         ON CONFLICT (project_id, file_path) WHERE NOT is_deleted DO NOTHING
         RETURNING version"
    ));
    written(&db.run(&WRITE, &parameters(new, 0)))
}

/// Saves the next version of the live file at a path; its number. `read` is the version of its head that was
/// read. `None`: the head is another by now.
pub fn write_next(db: &Db, new: &NewVersion, read: i32) -> Option<i32> {
    // Not INSERT … ON CONFLICT (path) DO UPDATE: where a writer without locks moves the file away meanwhile, that
    // finds no conflict and inserts a second head of the same file, a duplicate key.
    static WRITE: Statement = Statement::new(head_then_version!(
        "UPDATE {s}.project_file_heads
            SET version = $4, content_hash = $5, file_type = $6, snapshot_seq = $12, updated_at = $7,
                base_version = $18, base_cost = $19, key_cost = $20
          WHERE (project_id, file_id, version) = ($1, $2, $8) AND file_path = $3 AND NOT is_deleted
            AND base_version IS NOT DISTINCT FROM $21
         RETURNING version"
    ));
    written(&db.run(&WRITE, &parameters(new, read)))
}

/// Saves a version that changes whether or where a file lives: deletes, revives or moves it. `read` is the
/// version of its head that was read. `None`: the head is another by now, or the path is taken.
pub fn write_moved(db: &Db, new: &NewVersion, read: i32) -> Option<i32> {
    static WRITE: Statement = Statement::new(head_then_version!(
        "UPDATE {s}.project_file_heads
            SET file_path = $3, version = $4, content_hash = $5, file_type = $6, is_deleted = $11,
                snapshot_seq = $12, updated_at = $7,
                base_version = $18, base_cost = $19, key_cost = $20
          WHERE (project_id, file_id, version) = ($1, $2, $8) AND base_version IS NOT DISTINCT FROM $21
         RETURNING version"
    ));
    let write = || written(&db.run(&WRITE, &parameters(new, read)));
    backend::undo_on_duplicate("project_file_heads_live_path", write).flatten()
}

fn written(rows: &Rows) -> Option<i32> {
    if rows.is_empty() { None } else { rows.get(0, 1) }
}

fn parameters(new: &NewVersion, read: i32) -> [Value; 21] {
    let chain = new.link.as_ref().map_or(new.chain, |link| link.chain);
    [
        new.project.into(),
        new.file_id.into(),
        new.path.into(),
        (read + 1).into(),
        new.content.as_ref().map(|content| content.hash.as_slice()).into(),
        new.file_type.into(),
        new.at.into(),
        read.into(),
        new.id.into(),
        (new.content.map_or(0, |content| content.text.len()) as i32).into(),
        new.content.is_none().into(),
        new.snapshot_seq.into(),
        Value::xid8(backend::current_xid()),
        new.actor.into(),
        new.link.as_ref().map(|link| link.encoded.encoding as i16).into(),
        new.link.as_ref().and_then(|link| link.base).into(),
        new.link.as_ref().map(|link| link.encoded.bytes.as_slice()).into(),
        chain.base.into(),
        chain.base_cost.into(),
        chain.key_cost.into(),
        new.chain.base.into(),
    ]
}
