//! A version's content read by its key, and the stored form of a file's next version.

use std::rc::Rc;

use pgrx::Uuid;

use super::cache;
use super::chain::{self, Base, Bases, Chain, StoredForm};
use super::stored::{self, Hash, Stored};
use crate::args;
use crate::backend::{self, Db, Lookup, Row};
use crate::error::{Error, Flaw};

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

/// The text of a version, from its row; `None` for a deletion. XX001 when it cannot be read.
pub fn read_text(db: &Db, project: Uuid, row: &Row) -> Result<Option<String>, Error> {
    let (Some(stored), Some(hash)) = (Stored::of(row), row.get::<Vec<u8>>("content_hash")) else { return Ok(None) };
    let damaged = |flaw| Error::Damaged { project, path: row.value("file_path"), version: row.value("version"), flaw };
    let base = match row.get("base_version") {
        None => None,
        Some(base) => {
            let file_id = row.value("file_id");
            let rows = BaseRows::read(db, project, file_id, base)?;
            Some(rows.contents(file_id).map_err(damaged)?.base.1)
        }
    };
    stored::text(stored, base.as_deref().map(Vec::as_slice), &hash).map(Some).map_err(damaged)
}

/// Encodes `content` as the version after `previous`, a file's newest version and what its chain is.
pub fn next_form(
    db: &Db,
    project: Uuid,
    previous: Option<(Uuid, i32, Chain)>,
    content: &str,
) -> Result<StoredForm, Error> {
    let content = content.as_bytes();
    let Some((file_id, version, chain)) = previous else {
        return Ok(chain::next(1, content, Chain::default(), Bases::None));
    };
    let rows = chain.base_to_try().map(|base| BaseRows::read(db, project, file_id, base)).transpose()?;
    // A new version needs no damaged one: it is saved as a keyframe.
    let log = |flaw: &Flaw| backend::log(&format!("project {project}, file {file_id}: {flaw}"));
    let contents = rows.as_ref().and_then(|rows| rows.contents(file_id).inspect_err(log).ok());
    let bases = contents.as_ref().map_or(Bases::None, BaseContents::bases);
    Ok(chain::next(version + 1, content, chain, bases))
}

/// The rows of a base, and of the keyframe it stands on if it is none itself.
struct BaseRows<'d> {
    base: Option<Row<'d>>,
    keyframe: Option<Row<'d>>,
}

/// What they hold.
struct BaseContents<'r> {
    base: (Stored<'r>, Rc<Vec<u8>>, i32),
    keyframe: Option<(Stored<'r>, Rc<Vec<u8>>, i32)>,
}

impl<'d> BaseRows<'d> {
    fn read(db: &'d Db, project: Uuid, file_id: Uuid, version: i32) -> Result<Self, Error> {
        let base = version_row(db, project, file_id, version)?;
        let keyframe = match base.as_ref().and_then(|base| base.get("base_version")) {
            Some(keyframe) => version_row(db, project, file_id, keyframe)?,
            None => None,
        };
        Ok(BaseRows { base, keyframe })
    }

    fn contents(&self, file_id: Uuid) -> Result<BaseContents<'_>, Flaw> {
        let keyframe = self.keyframe.as_ref().map(|row| content(row, file_id, None)).transpose()?;
        let base = self.base.as_ref().ok_or(Flaw::BaseMissing)?;
        let stands_on = keyframe.as_ref().map(|(stored, content, _)| (*stored, content.as_slice()));
        Ok(BaseContents { base: content(base, file_id, stands_on)?, keyframe })
    }
}

impl BaseContents<'_> {
    fn bases(&self) -> Bases<'_> {
        match &self.keyframe {
            None => Bases::Keyframe(as_base(&self.base)),
            Some(keyframe) => Bases::Middle { middle: as_base(&self.base), keyframe: as_base(keyframe) },
        }
    }
}

fn as_base<'c>((stored, content, version): &'c (Stored, Rc<Vec<u8>>, i32)) -> Base<'c> {
    Base { version: *version, content, stored: stored.bytes.len() as i32 }
}

/// The content of a version that others stand on: kept from an earlier call, or decoded. `stands_on` is what it stands
/// on itself, and that one's content.
fn content<'r>(
    row: &'r Row,
    file_id: Uuid,
    stands_on: Option<(Stored, &[u8])>,
) -> Result<(Stored<'r>, Rc<Vec<u8>>, i32), Flaw> {
    let stored = Stored::of(row).ok_or(Flaw::Undecodable)?;
    let hash: Hash = row.get::<Vec<u8>>("content_hash").and_then(|h| h.try_into().ok()).ok_or(Flaw::HashMismatch)?;
    let version = row.value("version");
    let name = (*file_id.as_bytes(), version, hash);
    let mut rows = stored.identity();
    if let Some((base, _)) = stands_on {
        rows.extend(base.identity());
    }
    if let Some(content) = cache::get(&name, &rows) {
        return Ok((stored, content, version));
    }
    let content = stored.decode(stands_on.map(|(_, content)| content))?;
    stored::check(&content, &hash)?;
    let content = Rc::new(content);
    cache::put(name, rows, content.clone());
    Ok((stored, content, version))
}
