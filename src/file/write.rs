//! How a change writes: a version and its head.
//!
//! The head is written conditionally: only the very head that was read is changed, or a new one is added if there was
//! none. The locks make this condition true almost always; if a writer bypasses them, the condition alone keeps the
//! result correct.

use pgrx::Uuid;
use pgrx::pg_sys::{INT4MULTIRANGEOID, Oid, XID8OID};

use super::decide::{Body, Head, Write};
use crate::args;
use crate::backend::{self, Allowed, Arg, Bytes, Db, Row, Rows, Statement, Timestamp, Value, Writer, column_type};
use crate::content::chain::{Chain, StoredForm};
use crate::error::Error;

/// The row that a change adds to a file's history.
pub struct NewVersion<'a> {
    pub project: Uuid,
    pub file_id: Uuid,
    pub version: i32,
    pub id: Uuid,
    pub path: &'a str,
    pub file_type: &'a str,
    /// `None` for a deletion.
    pub body: Option<Body<'a>>,
    /// The content in its stored form.
    pub form: Option<StoredForm>,
    /// The chain that the previous version left for the next one to stand on.
    pub chain: Chain,
    pub snapshot_seq: i32,
    pub actor: Option<Uuid>,
    pub at: Timestamp,
}

/// Writes a version and its head, whose row was `head`; returns whether the head was still that one, or still missing.
pub fn write(db: &Db, write: Write, head: Option<&Row>, new: &NewVersion) -> Result<bool, Error> {
    match (write, head) {
        (Write::Create, _) => create(db, new),
        (Write::Update, Some(head)) => match update_directly(db, head, new)? {
            Some(written) => Ok(written),
            None => update(db, new),
        },
        // A deletion takes no path that another file may have.
        (Write::Delete, _) => change_place(db, new),
        _ => db.undo_on_duplicate("project_file_heads_live_path", || change_place(db, new)).unwrap_or(Ok(false)),
    }
}

macro_rules! head_then_version {
    ($head:literal) => {
        concat!(
            "WITH head AS (",
            $head,
            "), version AS (
            INSERT INTO {s}.project_file_versions
                   (project_id, file_id, file_path, version, content_hash, file_type, created_at, id, size_bytes,
                    is_deleted, snapshot_seq, change_xid, created_by, encoding, base_version, stored)
            SELECT :project, :file_id, :path, :version, :hash, :file_type, :at, :id, :size,
                   :is_deleted, :snapshot_seq, :xid, :actor, :encoding, :stands_on, :stored
              FROM head
            RETURNING version)
            SELECT (SELECT count(*) FROM head) AS heads, (SELECT count(*) FROM version) AS versions"
        )
    };
}

/// Saves the first version of a new file, unless there is now a live file at the path.
fn create(db: &Db, new: &NewVersion) -> Result<bool, Error> {
    static CREATE: Statement = Statement::new(head_then_version!(
        "INSERT INTO {s}.project_file_heads
                (project_id, file_id, file_path, version, content_hash, file_type, is_deleted, snapshot_seq, updated_at,
                 base_version, base_cost, key_cost)
         VALUES (:project, :file_id, :path, :version, :hash, :file_type, :is_deleted, :snapshot_seq, :at,
                 :base, :base_cost, :key_cost)
         ON CONFLICT (project_id, file_path) WHERE NOT is_deleted DO NOTHING
         RETURNING version"
    ));
    is_written(&db.run(&CREATE, &parameters(new)), new)
}

/// Saves the next version of a live file, unless its head has changed.
fn update(db: &Db, new: &NewVersion) -> Result<bool, Error> {
    // Not INSERT ... ON CONFLICT (path) DO UPDATE: if a writer without locks moves the file away meanwhile, that finds
    // no conflict and inserts a second head for the same file, causing a duplicate key error.
    static UPDATE: Statement = Statement::new(head_then_version!(
        "UPDATE {s}.project_file_heads
            SET version = :version, content_hash = :hash, file_type = :file_type, snapshot_seq = :snapshot_seq,
                updated_at = :at, base_version = :base, base_cost = :base_cost, key_cost = :key_cost
          WHERE (project_id, file_id, version) = (:project, :file_id, :version - 1)
            AND file_path = :path AND NOT is_deleted AND base_version IS NOT DISTINCT FROM :base_before
         RETURNING version"
    ));
    is_written(&db.run(&UPDATE, &parameters(new)), new)
}

/// Saves a version that changes whether or where a file lives: deletes, revives or moves it. Does nothing if its head
/// has changed; fails if the path is taken.
fn change_place(db: &Db, new: &NewVersion) -> Result<bool, Error> {
    static CHANGE_PLACE: Statement = Statement::new(head_then_version!(
        "UPDATE {s}.project_file_heads
            SET file_path = :path, version = :version, content_hash = :hash, file_type = :file_type,
                is_deleted = :is_deleted, snapshot_seq = :snapshot_seq, updated_at = :at,
                base_version = :base, base_cost = :base_cost, key_cost = :key_cost
          WHERE (project_id, file_id, version) = (:project, :file_id, :version - 1)
            AND base_version IS NOT DISTINCT FROM :base_before
         RETURNING version"
    ));
    is_written(&db.run(&CHANGE_PLACE, &parameters(new)), new)
}

/// Whether the head was still as expected. If it was, there is a version as well, unless a trigger has suppressed it.
fn is_written(rows: &Rows, new: &NewVersion) -> Result<bool, Error> {
    let row = rows.one();
    match (row.value::<i64>("heads"), row.value::<i64>("versions")) {
        (0, _) => Ok(false),
        (_, 0) => Err(Error::Suppressed { path: new.path.to_owned() }),
        _ => Ok(true),
    }
}

fn parameters<'v>(new: &NewVersion) -> [Arg<'v>; 20] {
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

/// Does the same as [`update`] without a query. `None` if something is attached to the tables that only a query obeys.
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
    // The project of a head never changes. The row below does the work of the trigger.
    const OF_HEADS: Allowed = Allowed {
        trigger: None,
        foreign_key: Some("project_id"),
        indexes: &[c"project_file_heads_pkey", c"project_file_heads_live_path", c"project_file_heads_path"],
    };

    let (Some(body), Some(form), true) = (&new.body, &new.form, head.is_in_table()) else { return Ok(None) };
    let Some(heads) = Writer::of_updates(db, c"project_file_heads", &HEADS, &OF_HEADS)? else { return Ok(None) };
    let Some(versions) = writer_of_versions(db)? else { return Ok(None) };
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
        insert_version(&versions, new);
    }
    Ok(Some(written))
}

/// For the rows of versions; `None` if something is attached to the table that only a query obeys.
fn writer_of_versions(db: &Db) -> Result<Option<Writer>, Error> {
    const COLUMNS: [(&str, Oid); 16] = [
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
    // The row does the work of the trigger.
    const ALLOWED: Allowed = Allowed {
        trigger: Some(c"stamp_file_change"),
        foreign_key: None,
        indexes: &[c"project_file_versions_pkey", c"project_file_versions_id", c"project_file_versions_change"],
    };
    Writer::of_inserts(db, c"project_file_versions", &COLUMNS, &ALLOWED)
}

fn insert_version(versions: &Writer, new: &NewVersion) {
    versions.insert(&[
        new.project.into(),
        new.file_id.into(),
        new.id.into(),
        new.actor.into(),
        new.at.into(),
        Value::xid8(backend::current_xid()),
        new.version.into(),
        new.form.as_ref().and_then(|form| form.base).into(),
        new.size().into(),
        new.snapshot_seq.into(),
        new.form.as_ref().map(|form| form.encoded.encoding as i16).into(),
        new.body.is_none().into(),
        new.path.into(),
        new.file_type.into(),
        new.body.as_ref().map(|body| body.hash.as_slice()).into(),
        new.form.as_ref().map(|form| form.encoded.bytes.as_slice()).into(),
    ]);
}

/// Writes a version of a file whose head is written later, by [`create_head`] or [`advance_head`].
pub fn write_version(db: &Db, new: &NewVersion) -> Result<(), Error> {
    static INSERT: Statement = Statement::new(
        "WITH version AS (
            INSERT INTO {s}.project_file_versions
                   (project_id, file_id, file_path, version, content_hash, file_type, created_at, id, size_bytes,
                    is_deleted, snapshot_seq, change_xid, created_by, encoding, base_version, stored)
            VALUES (:project, :file_id, :path, :version, :hash, :file_type, :at, :id, :size,
                    :is_deleted, :snapshot_seq, :xid, :actor, :encoding, :stands_on, :stored)
            RETURNING version)
         SELECT count(*) AS versions FROM version",
    );
    if let Some(versions) = writer_of_versions(db)? {
        insert_version(&versions, new);
        return Ok(());
    }
    match db.run(&INSERT, &parameters(new)).one().value::<i64>("versions") {
        0 => Err(Error::Suppressed { path: new.path.to_owned() }),
        _ => Ok(()),
    }
}

/// Writes the head of a new file, whose versions have been written. Returns whether the path was still free.
pub fn create_head(db: &Db, newest: &NewVersion) -> bool {
    static CREATE: Statement = Statement::new(
        "INSERT INTO {s}.project_file_heads
                (project_id, file_id, file_path, version, content_hash, file_type, is_deleted, snapshot_seq, updated_at,
                 base_version, base_cost, key_cost)
         VALUES (:project, :file_id, :path, :version, :hash, :file_type, :is_deleted, :snapshot_seq, :at,
                 :base, :base_cost, :key_cost)
         ON CONFLICT (project_id, file_path) WHERE NOT is_deleted DO NOTHING
         RETURNING version",
    );
    !db.run(&CREATE, &parameters(newest)).is_empty()
}

/// Writes the head of a file that has got versions after `before`, which was its newest one. Returns whether it still was,
/// and its path was free.
pub fn advance_head(db: &Db, before: &Head, newest: &NewVersion) -> bool {
    static ADVANCE: Statement = Statement::new(
        "UPDATE {s}.project_file_heads
            SET version = :version, content_hash = :hash, file_type = :file_type, is_deleted = :is_deleted,
                snapshot_seq = :snapshot_seq, updated_at = :at, base_version = :base, base_cost = :base_cost,
                key_cost = :key_cost
          WHERE (project_id, file_id, version) = (:project, :file_id, :head_version)
            AND base_version IS NOT DISTINCT FROM :head_base
         RETURNING version",
    );
    let head = args! { head_version: before.version, head_base: before.chain.base };
    let args: Vec<Arg> = parameters(newest).into_iter().chain(head).collect();
    let advance = || !db.run(&ADVANCE, &args).is_empty();
    db.undo_on_duplicate("project_file_heads_live_path", advance).unwrap_or(false)
}
