//! The table that an import of files reads: which columns hold what, and its rows in the order of their versions.

use super::history::Known;
use super::mapping::{self, Term};
use super::projects;
use super::source::Source;
use crate::backend::{Call, Db};
use crate::error::Error;

const ID: Term = Term { name: "id", aliases: &[] };
const FILE_PATH: Term = Term { name: "file_path", aliases: &["path"] };
const CONTENT: Term = Term { name: "content", aliases: &[] };
const FILE_TYPE: Term = Term { name: "file_type", aliases: &["type"] };
const VERSION: Term = Term { name: "version", aliases: &["version_number"] };
const IS_CURRENT: Term = Term { name: "is_current", aliases: &["is_current_version", "current"] };
const IS_DELETED: Term = Term { name: "is_deleted", aliases: &["deleted"] };
const CONTENT_HASH: Term = Term { name: "content_hash", aliases: &["hash", "sha256"] };
const CREATED_BY: Term = Term { name: "created_by", aliases: &["author_id", "user_id"] };
pub const CREATED_AT: Term = Term { name: "created_at", aliases: &["inserted_at"] };

const TERMS: [Term; 14] = {
    let [project_id, owner_id, project_name, framework] = projects::TERMS;
    [
        ID,
        project_id,
        FILE_PATH,
        CONTENT,
        FILE_TYPE,
        VERSION,
        IS_CURRENT,
        IS_DELETED,
        CONTENT_HASH,
        CREATED_BY,
        CREATED_AT,
        owner_id,
        project_name,
        framework,
    ]
};

/// The query for all rows, file by file, oldest first, but the current one last.
fn query(db: &Db, source: &Source) -> Result<String, Error> {
    for required in [&FILE_PATH, &CONTENT] {
        source.required(required)?;
    }
    let (id, by_id) = source.identity(db, &ID)?;
    // Sorted as it is: a number is not sorted as a text.
    let by_version = source.column(&VERSION)?.map_or(String::new(), |column| format!("{}, ", source.quoted(column)));
    let at = source.time(&CREATED_AT)?;
    let ranked = format!(
        "SELECT {} AS project, {} AS path, {id} AS source_id, {} AS content, {} AS file_type, {} AS version,
                {} AS is_current, {} AS is_deleted, lower({}) AS hash, {} AS author, {at} AS at,
                row_number() OVER (PARTITION BY {}, {} ORDER BY {by_version}{at}, {by_id}) AS place
           FROM {}",
        projects::key(source)?,
        source.text(&FILE_PATH)?,
        source.text(&CONTENT)?,
        source.text(&FILE_TYPE)?,
        source.number(&VERSION)?,
        source.flag(&IS_CURRENT)?,
        source.flag(&IS_DELETED)?,
        source.hash(&CONTENT_HASH)?,
        source.text(&CREATED_BY)?,
        projects::key(source)?,
        source.text(&FILE_PATH)?,
        source.from()
    );
    let of_file = "OVER (PARTITION BY project, path)";
    Ok(format!(
        "SELECT *, max(CASE WHEN place = current_place THEN source_id END) {of_file} AS current_id,
                max(CASE WHEN place = last_place THEN source_id END) {of_file} AS last_id
           FROM (SELECT *, max(place) FILTER (WHERE is_current) {of_file} AS current_place,
                        max(place) FILTER (WHERE content IS NOT NULL OR is_deleted) {of_file} AS last_place,
                        min(at) {of_file} AS earliest
                   FROM ({ranked}) r) s
          ORDER BY project, path, place IS NOT DISTINCT FROM current_place, place"
    ))
}

/// The table that argument `p_source` names, with its mapping. 22023.
pub fn read(call: &Call, db: &Db, json: &str) -> Result<FileTable, Error> {
    let mapping = mapping::object(json, "p_mapping")?;
    let source = Source::read(call, db, (0, "p_source"), (&mapping, "p_mapping", &TERMS), "s")?;
    let query = query(db, &source)?;
    let has = |term: &Term| source.column(term).map(|column| column.is_some());
    let known = Known { version: has(&VERSION)?, file_type: has(&FILE_TYPE)?, at: has(&CREATED_AT)? };
    let has_current = has(&IS_CURRENT)?;
    Ok(FileTable { source, query, known, has_current })
}

/// A table of file versions.
pub struct FileTable {
    pub source: Source,
    /// The query for its rows.
    pub query: String,
    pub known: Known,
    /// Whether its rows say which of them is current.
    pub has_current: bool,
}
