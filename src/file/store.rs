//! Heads and versions of files as they lie in the tables: what a change finds there, and how it writes.
//!
//! The head is written under a guard: it changes only the very head that was read before, or makes one where there was
//! none. The locks make that guard hold nearly always; where a writer got past them, it alone keeps the result right.

use core::ffi::CStr;

use pgrx::Uuid;
use pgrx::pg_sys::{INT4MULTIRANGEOID, Oid, XID8OID};

use super::decide::{self, After, Body, Earlier, EarlierTry, Found, Head, Wanted, Write};
use crate::args;
use crate::backend::{
    self, Allowed, Arg, Bytes, Db, Lookup, Row, Rows, Statement, Timestamp, Use, Value, Writer, column_type,
};
use crate::content::chain::{Chain, StoredForm};
use crate::content::{self, Hash};
use crate::error::Error;

/// The tables that a change uses besides `rate_limits`, in the order in which they are locked.
pub const TABLES: [(&CStr, Use); 4] = [
    (c"projects", Use::Read),
    (c"project_members", Use::Read),
    (c"project_file_heads", Use::Write),
    (c"project_file_versions", Use::Write),
];

/// What a change found, and the head's row itself.
pub struct State<'d> {
    pub found: Found,
    head: Option<Row<'d>>,
}

/// The row a change adds to a file's history.
pub struct NewVersion<'a> {
    pub project: Uuid,
    pub file_id: Uuid,
    pub version: i32,
    pub id: Uuid,
    pub path: &'a str,
    pub file_type: &'a str,
    /// `None` for a deletion.
    pub body: Option<Body<'a>>,
    /// The content as it is stored.
    pub form: Option<StoredForm>,
    /// What the version before it left for the next to stand on.
    pub chain: Chain,
    pub snapshot_seq: i32,
    pub actor: Option<Uuid>,
    pub at: Timestamp,
}

/// Reads what the decision about a change needs, with the active snapshot.
pub fn find<'d>(db: &'d Db, project: Uuid, wanted: &Wanted) -> Result<State<'d>, Error> {
    let row = newest_at(db, project, wanted.path)?;
    let mut found = Found { head: row.as_ref().map(head), ..Found::default() };
    if let decide::Action::Move { to, .. } = wanted.action {
        found.destination = newest_at(db, project, to)?.as_ref().map(head);
    }
    if let Some(asked) = decide::earlier_try(&found, wanted) {
        found.earlier = earlier(db, project, asked)?;
    }
    Ok(State { found, head: row })
}

/// The file that a path means: the live one, else the one deleted there last.
pub fn head_at(db: &Db, project: Uuid, path: &str) -> Result<Option<Head>, Error> {
    Ok(newest_at(db, project, path)?.as_ref().map(head))
}

fn newest_at<'d>(db: &'d Db, project: Uuid, path: &str) -> Result<Option<Row<'d>>, Error> {
    static LIVE: Lookup = Lookup::new(
        c"project_file_heads",
        c"project_file_heads_live_path",
        &["project_id", "file_path"],
        "SELECT * FROM {s}.project_file_heads
          WHERE project_id = :project_id AND file_path = :file_path AND NOT is_deleted",
    );
    static HEAD: Lookup = Lookup::new(
        c"project_file_heads",
        c"project_file_heads_pkey",
        &["file_id", "project_id"],
        "SELECT * FROM {s}.project_file_heads WHERE file_id = :file_id AND project_id = :project_id",
    );
    static DELETED_LAST: Statement = Statement::new(
        "SELECT file_id
           FROM {s}.project_file_heads
          WHERE project_id = :project AND file_path = :path AND is_deleted
          ORDER BY updated_at DESC, file_id DESC
          LIMIT 1",
    );
    if let Some(live) = db.look_up(&LIVE, &args! { project_id: project, file_path: path })? {
        return Ok(Some(live));
    }
    let rows = db.read(&DELETED_LAST, &args! { project, path });
    let Some(deleted) = rows.first() else { return Ok(None) };
    db.look_up(&HEAD, &args! { file_id: deleted.value::<Uuid>("file_id"), project_id: project })
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

/// The version that deleted a file last, 0 when none ever did; `None` where it may have been pruned.
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

/// Fails with 40001 where the transaction's fixed snapshot does not show a project's row or the files at a path as
/// they are.
pub fn refuse_stale(db: &Db, project: Uuid, path: &str) -> Result<(), Error> {
    // The row lock fails by itself. It keeps a later save from going into an older project version.
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

impl State<'_> {
    /// When the head was written.
    pub fn updated_at(&self) -> Option<Timestamp> {
        self.head.as_ref().map(|head| head.value("updated_at"))
    }

    /// Writes a version and its head; whether the head was still the one that was read, or none.
    pub fn write(&self, db: &Db, write: Write, new: &NewVersion) -> Result<bool, Error> {
        match (write, &self.head) {
            (Write::Create, _) => Ok(create(db, new)),
            (Write::Update, Some(head)) => match update_directly(db, head, new)? {
                Some(written) => Ok(written),
                None => Ok(update(db, new)),
            },
            _ => Ok(change_place(db, new)),
        }
    }
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
            SELECT :project, :file_id, :path, :version, :hash, :file_type, :at, :id, :size,
                   :is_deleted, :snapshot_seq, :xid, :actor, :encoding, :stands_on, :stored
              FROM head
            RETURNING version"
        )
    };
}

/// Saves the first version of a new file, unless there is a live file at the path by now.
fn create(db: &Db, new: &NewVersion) -> bool {
    static CREATE: Statement = Statement::new(head_then_version!(
        "INSERT INTO {s}.project_file_heads
                (project_id, file_id, file_path, version, content_hash, file_type, is_deleted, snapshot_seq, updated_at,
                 base_version, base_cost, key_cost)
         VALUES (:project, :file_id, :path, :version, :hash, :file_type, :is_deleted, :snapshot_seq, :at,
                 :base, :base_cost, :key_cost)
         ON CONFLICT (project_id, file_path) WHERE NOT is_deleted DO NOTHING
         RETURNING version"
    ));
    !db.run(&CREATE, &parameters(new)).is_empty()
}

/// Saves the next version of a live file, unless its head is another by now.
fn update(db: &Db, new: &NewVersion) -> bool {
    // Not INSERT … ON CONFLICT (path) DO UPDATE: where a writer without locks moves the file away meanwhile, that
    // finds no conflict and inserts a second head of the same file, a duplicate key.
    static UPDATE: Statement = Statement::new(head_then_version!(
        "UPDATE {s}.project_file_heads
            SET version = :version, content_hash = :hash, file_type = :file_type, snapshot_seq = :snapshot_seq,
                updated_at = :at, base_version = :base, base_cost = :base_cost, key_cost = :key_cost
          WHERE (project_id, file_id, version) = (:project, :file_id, :version - 1)
            AND file_path = :path AND NOT is_deleted AND base_version IS NOT DISTINCT FROM :base_before
         RETURNING version"
    ));
    !db.run(&UPDATE, &parameters(new)).is_empty()
}

/// Saves a version that changes whether or where a file lives: deletes, revives or moves it. Not where its head is
/// another by now, or the path is taken.
fn change_place(db: &Db, new: &NewVersion) -> bool {
    static CHANGE_PLACE: Statement = Statement::new(head_then_version!(
        "UPDATE {s}.project_file_heads
            SET file_path = :path, version = :version, content_hash = :hash, file_type = :file_type,
                is_deleted = :is_deleted, snapshot_seq = :snapshot_seq, updated_at = :at,
                base_version = :base, base_cost = :base_cost, key_cost = :key_cost
          WHERE (project_id, file_id, version) = (:project, :file_id, :version - 1)
            AND base_version IS NOT DISTINCT FROM :base_before
         RETURNING version"
    ));
    let write = || !db.run(&CHANGE_PLACE, &parameters(new)).is_empty();
    db.undo_on_duplicate("project_file_heads_live_path", write).unwrap_or(false)
}

fn parameters(new: &NewVersion) -> [Arg; 20] {
    let chain = new.form.as_ref().map_or(new.chain, |form| form.chain);
    args! {
        project: new.project,
        file_id: new.file_id,
        version: new.version,
        id: new.id,
        path: new.path,
        file_type: new.file_type,
        hash: new.body.as_ref().map(|body| body.hash.as_slice()),
        size: new.size(),
        is_deleted: new.body.is_none(),
        at: new.at,
        snapshot_seq: new.snapshot_seq,
        xid: Value::xid8(backend::current_xid()),
        actor: new.actor,
        encoding: new.form.as_ref().map(|form| form.encoded.encoding as i16),
        stands_on: new.form.as_ref().and_then(|form| form.base),
        stored: new.form.as_ref().map(|form| form.encoded.bytes.as_slice()),
        base: chain.base,
        base_cost: chain.base_cost,
        key_cost: chain.key_cost,
        base_before: new.chain.base,
    }
}

impl NewVersion<'_> {
    fn size(&self) -> i32 {
        self.body.map_or(0, |body| body.text.len()) as i32
    }
}

/// Does what [`update`] does without a query. `None` where somebody attached to the tables what only a query obeys.
fn update_directly(db: &Db, head: &Row, new: &NewVersion) -> Result<Option<bool>, Error> {
    const HEADS: [(&str, Oid); 13] = [
        ("project_id", column_type::<Uuid>()),
        ("file_id", column_type::<Uuid>()),
        ("file_path", column_type::<String>()),
        ("file_type", column_type::<String>()),
        ("is_deleted", column_type::<bool>()),
        ("snapshot_seq", column_type::<i32>()),
        ("base_version", column_type::<i32>()),
        ("key_cost", column_type::<i32>()),
        ("base_cost", column_type::<i32>()),
        ("version", column_type::<i32>()),
        ("updated_at", column_type::<Timestamp>()),
        ("content_hash", column_type::<Bytes>()),
        ("pruned_versions", INT4MULTIRANGEOID),
    ];
    const VERSIONS: [(&str, Oid); 16] = [
        ("project_id", column_type::<Uuid>()),
        ("file_id", column_type::<Uuid>()),
        ("id", column_type::<Uuid>()),
        ("created_by", column_type::<Uuid>()),
        ("created_at", column_type::<Timestamp>()),
        ("change_xid", XID8OID),
        ("version", column_type::<i32>()),
        ("base_version", column_type::<i32>()),
        ("size_bytes", column_type::<i32>()),
        ("snapshot_seq", column_type::<i32>()),
        ("encoding", column_type::<i16>()),
        ("is_deleted", column_type::<bool>()),
        ("file_path", column_type::<String>()),
        ("file_type", column_type::<String>()),
        ("content_hash", column_type::<Bytes>()),
        ("stored", column_type::<Bytes>()),
    ];
    // The project of a head never changes. What the trigger would do, the row below does.
    const OF_HEADS: Allowed = Allowed { trigger: None, foreign_key: Some("project_id") };
    const OF_VERSIONS: Allowed = Allowed { trigger: Some(c"stamp_file_change"), foreign_key: None };

    let (Some(body), Some(form), true) = (&new.body, &new.form, head.is_in_table()) else { return Ok(None) };
    let Some(heads) = Writer::of_updates(db, c"project_file_heads", &HEADS, &OF_HEADS)? else { return Ok(None) };
    let Some(versions) = Writer::of_inserts(db, c"project_file_versions", &VERSIONS, &OF_VERSIONS)? else {
        return Ok(None);
    };
    let hash: Value = body.hash.as_slice().into();
    let written = heads.update(
        head,
        &args! {
            version: new.version,
            content_hash: hash,
            file_type: new.file_type,
            snapshot_seq: new.snapshot_seq,
            updated_at: new.at,
            base_version: form.chain.base,
            base_cost: form.chain.base_cost,
            key_cost: form.chain.key_cost,
        },
    );
    if written {
        versions.insert(&[
            new.project.into(),
            new.file_id.into(),
            new.id.into(),
            new.actor.into(),
            new.at.into(),
            Value::xid8(backend::current_xid()),
            new.version.into(),
            form.base.into(),
            new.size().into(),
            new.snapshot_seq.into(),
            (form.encoded.encoding as i16).into(),
            false.into(),
            new.path.into(),
            new.file_type.into(),
            hash,
            form.encoded.bytes.as_slice().into(),
        ]);
    }
    Ok(Some(written))
}
