//! The change feed: every committed version of a project's files, in an order in which nothing new ever appears before
//! a position that a reader has passed.
//!
//! Rows are ordered by the transactions that wrote them, and are shown once every transaction that started writing
//! earlier has ended: `change_xid < pg_snapshot_xmin(pg_current_snapshot())`. Anything that commits later has a greater
//! id than everything already shown.

use std::fmt;
use std::str::FromStr;

use pgrx::prelude::*;
use pgrx::{Uuid, pg_sys};

use crate::args;
use crate::backend::{self, Answer, Call, Db, ResultSet, Statement, Value};
use crate::caller::Caller;
use crate::error::Error;
use crate::input::{self, abridged};

/// Maximum number of rows per page.
const MAX_PAGE: i32 = 10_000;

/// A position in the feed: right after a version, in the cluster that counts the transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cursor {
    system: u64,
    xid: u64,
    file: u128,
    version: i32,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}.{:x}.{:032x}.{:x}", self.system, self.xid, self.file, self.version)
    }
}

impl FromStr for Cursor {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let parts: Vec<&str> = text.split('.').collect();
        let [system, xid, file, version] = parts[..] else { return Err(()) };
        let number = |part: &str| if part.starts_with('+') { None } else { u64::from_str_radix(part, 16).ok() };
        let cursor = Cursor {
            system: number(system).ok_or(())?,
            xid: number(xid).ok_or(())?,
            file: u128::from_str_radix(file, 16).map_err(|_| ())?,
            version: number(version).and_then(|version| version.try_into().ok()).ok_or(())?,
        };
        // Only one spelling is accepted, so that cursors can be compared as text.
        if cursor.to_string() == text { Ok(cursor) } else { Err(()) }
    }
}

/// The position given by a client, or the beginning of the feed.
fn start(text: Option<&str>) -> Result<Cursor, Error> {
    let system = backend::system_identifier();
    let Some(text) = text else { return Ok(Cursor { system, xid: 0, file: 0, version: 0 }) };
    let cursor: Cursor = text.parse().map_err(|()| {
        Error::ForeignCursor(format!("p_after \"{}\" is not a cursor of get_project_changes", abridged(text)))
    })?;
    if cursor.system != system {
        return Err(Error::ForeignCursor("p_after is from another database cluster".to_owned()));
    }
    // A standby may be behind the server that issued the cursor; a primary that is behind its own cursor was restored.
    if cursor.xid >= backend::next_xid() && !backend::is_standby() {
        return Err(Error::ForeignCursor("p_after is ahead of everything this server has written".to_owned()));
    }
    Ok(cursor)
}

fn page(db: &Db, project: Uuid, after: Cursor, limit: i32, push: impl Fn(&[Value])) {
    static PAGE: Statement = Statement::new(
        "SELECT v.change_xid::text AS change_xid, v.file_id, v.version, v.file_path, v.file_type,
                encode(v.content_hash, 'hex'), v.size_bytes, v.is_deleted, v.created_by, v.created_at
           FROM {s}.project_file_versions v
          WHERE uuid_hash_extended(v.project_id, 0) = uuid_hash_extended(:project, 0)
            AND v.project_id = :project
            AND (v.change_xid, v.file_id, v.version) > (:after, :file, :version)
            AND v.change_xid < pg_snapshot_xmin(pg_current_snapshot())
          ORDER BY v.change_xid, v.file_id, v.version
          LIMIT :limit",
    );
    let file = Uuid::from_bytes(after.file.to_be_bytes());
    let args = args! { project, after: Value::xid8(after.xid), file, version: after.version, limit: i64::from(limit) };
    for row in db.read(&PAGE, &args).iter() {
        let cursor = Cursor {
            system: after.system,
            xid: row.value::<String>("change_xid").parse().expect("a transaction id"),
            file: u128::from_be_bytes(*row.value::<Uuid>("file_id").as_bytes()),
            version: row.value("version"),
        };
        let mut columns = row.columns();
        let cursor = cursor.to_string();
        columns[0] = cursor.as_str().into();
        push(&columns);
    }
}

/// See the COMMENT in `sql/file_functions.sql`.
#[pg_extern(sql = false)]
fn get_project_changes(
    project: Option<Uuid>,
    after: Option<&str>,
    limit: Option<i32>,
    fcinfo: pg_sys::FunctionCallInfo,
) -> Answer {
    Call::answer(fcinfo, |call| {
        let project = input::project(project, "p_project_id")?;
        let limit = input::within(limit, "p_limit", 1, MAX_PAGE)?;
        let after = start(after)?;
        // As the owner, because row-level security would prevent the use of the hash index.
        Caller::reading(call, project, |db| {
            let rows = ResultSet::begin(call);
            page(db, project, after, limit, |columns| rows.push(columns));
            Ok(rows.done())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_have_one_spelling() {
        let cursor = Cursor { system: 7_423_001_122_334_455_667, xid: 4_294_968_000, file: 77, version: 12 };
        let text = cursor.to_string();
        assert_eq!(text.parse(), Ok(cursor));
        for wrong in ["", ".", "a.b", &text.to_uppercase(), &format!("0{text}"), &format!("{text}.0"), "1.2.3.4"] {
            assert!(wrong == text || wrong.parse::<Cursor>().is_err(), "{wrong}");
        }
    }
}
