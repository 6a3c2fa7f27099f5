//! A version's content read by its key, and the stored form of a file's next version.

use std::cell::RefCell;
use std::rc::Rc;

use pgrx::Uuid;

use super::cache;
use super::chain::{Base, Chain, StoredForm};
use super::stored::{self, Decoder, Hash, Stored};
use crate::args;
use crate::backend::{self, Bytes, Db, Lookup, Row};
use crate::error::{Error, Flaw};
use crate::settings::BASE_CACHE_SIZE;

/// The row of a file's version.
pub fn version_row<'d>(db: &'d Db, project: Uuid, file_id: Uuid, version: i32) -> Result<Option<Row<'d>>, Error> {
    static VERSION: Lookup = Lookup::new(
        c"project_file_versions",
        c"project_file_versions_pkey",
        &["file_id", "version", "project_id"],
        "SELECT * FROM {s}.project_file_versions
          WHERE file_id = :file_id AND version = :version AND project_id = :project_id",
    );
    db.look_up(&VERSION, &args! { file_id, version, project_id: project })
}

thread_local! {
    /// For contents that are read repeatedly: what they stand on is decoded only once.
    static DECODER: RefCell<Decoder> = RefCell::default();
}

/// Discards what was decoded for reading.
pub fn forget_decoded() {
    DECODER.take();
}

/// The text of a version, from its row; `None` for a deletion. XX001 if it cannot be read.
pub fn read_text(db: &Db, project: Uuid, row: &Row) -> Result<Option<String>, Error> {
    let damaged = |flaw| {
        let (path, version) = (row.value("file_path"), row.value("version"));
        Error::Damaged { project, path, version, flaw }
    };
    let (Some(stored), Some(hash)) = (Stored::of(row), row.get::<Bytes>("content_hash")) else {
        return if row.value("is_deleted") { Ok(None) } else { Err(damaged(Flaw::Undecodable)) };
    };
    let base = match row.get("base_version") {
        None => None,
        Some(base) => Some(BaseRows::read(db, project, row.value("file_id"), base)?),
    };
    let stands_on = base.as_ref().map_or((None, None), |rows| {
        (rows.base.as_ref().and_then(Stored::of), rows.keyframe.as_ref().and_then(Stored::of))
    });
    let text = DECODER.with_borrow_mut(|decoder| {
        let text = decoder.text(stored, stands_on, hash.fetch());
        if decoder.bytes() > BASE_CACHE_SIZE.get() as usize * 1024 {
            *decoder = Decoder::default();
        }
        text
    });
    text.map(Some).map_err(damaged)
}

/// Encodes `content` as the version after `previous`, which is a file's newest version together with its chain.
pub fn next_form(
    db: &Db,
    project: Uuid,
    previous: Option<(Uuid, i32, Chain)>,
    content: &str,
) -> Result<StoredForm, Error> {
    let content = content.as_bytes();
    let Some((file_id, last, chain)) = previous else { return Ok(Chain::default().on_nothing(1, content)) };
    let version = last + 1;
    let Some(base) = chain.base_to_try() else { return Ok(chain.on_nothing(version, content)) };
    let rows = BaseRows::read(db, project, file_id, base)?;
    Ok(on_base(chain, version, content, &rows).unwrap_or_else(|flaw| {
        // A new version does not need a damaged one: it is saved as a keyframe.
        backend::log(&format!("project {project}, file {file_id}: {flaw}"));
        chain.on_nothing(version, content)
    }))
}

fn on_base(chain: Chain, version: i32, content: &[u8], rows: &BaseRows) -> Result<StoredForm, Flaw> {
    let base = rows.base()?;
    let Some(keyframe) = &rows.keyframe else { return Ok(chain.on_keyframe(version, content, base.as_base())) };
    match chain.on_middle(content, base.as_base()) {
        Some(form) => Ok(form),
        None => Ok(chain.on_keyframe(version, content, rows.decoded(keyframe, None)?.as_base())),
    }
}

/// The rows of a base, and of the keyframe it stands on unless it is a keyframe itself.
struct BaseRows<'d> {
    file_id: Uuid,
    base: Option<Row<'d>>,
    keyframe: Option<Row<'d>>,
}

/// A content that others stand on.
struct BaseContent {
    version: i32,
    content: Rc<Vec<u8>>,
    /// Length of its stored bytes.
    stored: i32,
}

impl BaseContent {
    fn as_base(&self) -> Base<'_> {
        Base { version: self.version, content: &self.content, stored: self.stored }
    }
}

impl<'d> BaseRows<'d> {
    fn read(db: &'d Db, project: Uuid, file_id: Uuid, version: i32) -> Result<Self, Error> {
        let base = version_row(db, project, file_id, version)?;
        let keyframe = match base.as_ref().and_then(|base| base.get("base_version")) {
            Some(keyframe) => version_row(db, project, file_id, keyframe)?,
            None => None,
        };
        Ok(BaseRows { file_id, base, keyframe })
    }

    /// The content of the base.
    fn base(&self) -> Result<BaseContent, Flaw> {
        self.decoded(self.base.as_ref().ok_or(Flaw::BaseMissing)?, self.keyframe.as_ref())
    }

    /// The content of a row, which stands on `keyframe` unless it is a keyframe itself: kept from an earlier call, or
    /// decoded.
    fn decoded(&self, row: &Row, keyframe: Option<&Row>) -> Result<BaseContent, Flaw> {
        let own = Stored::of(row).ok_or(Flaw::Undecodable)?;
        let stands_on = keyframe.map(|row| Stored::of(row).ok_or(Flaw::Undecodable)).transpose()?;
        let hash: Hash = row
            .get::<Bytes>("content_hash")
            .map_or(&[][..], Bytes::fetch)
            .try_into()
            .map_err(|_| Flaw::HashMismatch)?;
        let version = row.value("version");
        let key = (*self.file_id.as_bytes(), version, hash);
        let content = match cache::get(&key, own, stands_on) {
            Some(content) => content,
            None => {
                let keyframe = keyframe.map(|row| self.decoded(row, None)).transpose()?;
                let content = own.decode(keyframe.as_ref().map(|keyframe| keyframe.content.as_slice()))?;
                stored::check(&content, &hash)?;
                let content = Rc::new(content);
                cache::put(key, cache::Rows::of(own, stands_on), content.clone());
                content
            }
        };
        Ok(BaseContent { version, content, stored: own.bytes.len() as i32 })
    }
}
