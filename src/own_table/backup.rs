//! The table in which renumbering keeps what the rows it changes were.

use serde::{Deserialize, Serialize};

use super::table::{Column, Counted, Table};
use crate::args;
use crate::backend::{self, Db, Statement, Value, quoted_identifier, quoted_literal};
use crate::error::Error;
use crate::id;

/// Names may have so many bytes (NAMEDATALEN - 1).
const LONGEST_NAME: usize = 63;

/// Beyond so many changed rows, notices say how far it is.
const MANY_ROWS: i64 = 100_000;

/// A backup table.
pub struct Backup {
    /// Schema and name, quoted for SQL.
    pub name: String,
    pub own: Own,
}

/// Names of the columns that a backup has besides those it takes over from the table: unlike any of those.
#[derive(Debug, PartialEq, Eq)]
pub struct Own {
    pub old_version: String,
    pub new_version: String,
    pub old_current: String,
    pub new_current: String,
    /// Whether the row has been put back.
    pub restored: String,
    /// Why it was left alone when it was to be put back.
    pub reason: String,
    /// Whether its flag is left alone when it is put back.
    pub keeps_flag: String,
    /// While the numbers are computed: how many rows its parent has.
    pub rows: String,
    /// The same: how many of them are flagged.
    pub flagged: String,
    /// The same: how many of those are not newer.
    pub flagged_so_far: String,
}

impl Own {
    /// For a table of which these columns are taken over.
    pub fn beside<'n>(names: impl Iterator<Item = &'n str> + Clone) -> Own {
        let own = |name: &str| {
            let mut own = name.to_owned();
            while names.clone().any(|taken| taken == own) {
                own.push('_');
            }
            own
        };
        Own {
            old_version: own("old_version"),
            new_version: own("new_version"),
            old_current: own("old_current"),
            new_current: own("new_current"),
            restored: own("restored"),
            reason: own("reason"),
            keeps_flag: own("keeps_flag"),
            rows: own("rows"),
            flagged: own("flagged"),
            flagged_so_far: own("flagged_so_far"),
        }
    }

    /// A condition: the row `of` has another number than before.
    pub fn is_renumbered(&self, of: &str) -> String {
        format!("{of}.{} IS DISTINCT FROM {of}.{}", self.old_version, self.new_version)
    }

    /// A condition: it has another flag than before.
    fn is_reflagged(&self, of: &str) -> String {
        format!("{of}.{} IS DISTINCT FROM {of}.{}", self.old_current, self.new_current)
    }

    /// A condition: it is changed by renumbering.
    pub fn is_changed(&self, of: &str) -> String {
        format!("({} OR {})", self.is_renumbered(of), self.is_reflagged(of))
    }

    /// A condition: its flag is to be written.
    pub fn is_flagged_anew(&self, of: &str) -> String {
        format!("{} AND NOT {of}.{}", self.is_reflagged(of), self.keeps_flag)
    }

    /// A condition: it is changed by renumbering, and neither put back already nor to be left alone.
    pub fn is_to_change(&self, of: &str) -> String {
        format!("{} AND NOT {of}.{} AND {of}.{} IS NULL", self.is_changed(of), self.restored, self.reason)
    }
}

/// The columns that a backup takes over: those that find a row again, apart from its number, and its parent's.
pub fn carried(counted: &Counted) -> Vec<Column> {
    let mut carried: Vec<Column> = Vec::new();
    for column in counted.table.primary_key().into_iter().chain(&counted.parents) {
        let is_known = carried.iter().any(|known| known.number == column.number);
        if !is_known && column.number != counted.version.number {
            carried.push(column.clone());
        }
    }
    carried
}

/// The primary key of row `of` as JSON, with `number` as its number if that is part of it.
pub fn key_json(counted: &Counted, of: &str, number: &str) -> String {
    json(counted.table.primary_key().into_iter().map(|column| {
        let is_number = column.number == counted.version.number;
        (column, if is_number { number.to_owned() } else { format!("{of}.{}", column.quoted) })
    }))
}

/// The parent of row `of` as JSON.
pub fn parent_json(counted: &Counted, of: &str) -> String {
    json(counted.parents.iter().map(|column| (column, format!("{of}.{}", column.quoted))))
}

fn json<'c>(columns: impl Iterator<Item = (&'c Column, String)>) -> String {
    let pairs: Vec<_> = columns.map(|(column, value)| format!("{}, {value}", quoted_literal(&column.name))).collect();
    format!("jsonb_build_object({})", pairs.join(", "))
}

/// The parent's columns of row `of` as a list.
pub fn parents_of(counted: &Counted, of: &str) -> String {
    counted.parents.iter().map(|column| format!("{of}.{}", column.quoted)).collect::<Vec<_>>().join(", ")
}

/// The backup's name: the table's, cut off so that the ULID stays whole.
fn backup_name(table: &str, ulid: &str) -> String {
    let suffix = format!("_backup_{ulid}");
    let mut end = table.len().min(LONGEST_NAME - suffix.len());
    while !table.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{suffix}", &table[..end])
}

/// What undoing needs to know, as the last line of the backup's COMMENT.
#[derive(Serialize, Deserialize, Debug, PartialEq, Eq)]
pub struct Description {
    pub schema: String,
    pub table: String,
    pub primary_key: Vec<String>,
    pub parent_columns: Vec<String>,
    pub version_column: String,
    pub current_column: Option<String>,
}

impl Description {
    fn of(counted: &Counted) -> Description {
        let names = |columns: &mut dyn Iterator<Item = &Column>| columns.map(|column| column.name.clone()).collect();
        Description {
            schema: counted.table.schema.clone(),
            table: counted.table.relname.clone(),
            primary_key: names(&mut counted.table.primary_key().into_iter()),
            parent_columns: names(&mut counted.parents.iter()),
            version_column: counted.version.name.clone(),
            current_column: counted.current.as_ref().map(|column| column.name.clone()),
        }
    }

    /// Reads a COMMENT; `None` if it is not that of a backup.
    fn parse(comment: &str) -> Option<Description> {
        let description: Description = serde_json::from_str(comment.lines().next_back()?).ok()?;
        // Anybody may have written it.
        let is_name = |name: &String| !name.is_empty() && !name.contains('\0');
        let is_fit = !description.parent_columns.is_empty()
            && [&description.schema, &description.table].into_iter().all(is_name);
        is_fit.then_some(description)
    }
}

impl Backup {
    /// Makes a table of the rows that change, which `numbered` returns, and keeps everybody but its owner out.
    pub fn create(db: &Db, counted: &Counted, numbered: &str, schema: &str) -> Backup {
        let table = &counted.table;
        let relname = backup_name(&table.relname, &id::next().to_string());
        let name = format!("{}.{}", quoted_identifier(&table.schema), quoted_identifier(&relname));
        let carried = carried(counted);
        let own = Own::beside(carried.iter().map(|column| column.name.as_str()));
        // The one that keeps the flag is there too where flags change: what has it later on is then told from it.
        let sql = format!(
            "CREATE TABLE {name} AS
             SELECT {}, n.{}, n.{}, n.{}, n.{}, false AS {}, NULL::text AS {}, false AS {}
               FROM ({numbered}) AS n
              WHERE {} OR n.{} AND n.{} <> 1",
            carried.iter().map(|column| format!("n.{}", column.quoted)).collect::<Vec<_>>().join(", "),
            own.old_version,
            own.new_version,
            own.old_current,
            own.new_current,
            own.restored,
            own.reason,
            own.keeps_flag,
            own.is_changed("n"),
            own.new_current,
            own.flagged,
        );
        db.dynamic(&sql, &[]);
        close_to_others(db, &name);
        // Without statistics, a million rows would be expected to be a few, and looked up one by one.
        db.dynamic(&format!("ANALYZE {name}"), &[]);
        let description = serde_json::to_string(&Description::of(counted)).expect("texts");
        let comment = format!(
            "The rows of {} that renumber_versions changed, as they were. SELECT * FROM {schema}.undo_renumber({}) puts them back.\n{description}",
            table.name,
            quoted_literal(&name),
        );
        db.dynamic(&format!("COMMENT ON TABLE {name} IS {}", quoted_literal(&comment)), &[]);
        Backup { name, own }
    }

    /// What the COMMENT of a backup says it is of. 22023 if the table is not a backup.
    pub fn describe(db: &Db, table: &Table) -> Result<Description, Error> {
        static COMMENT: Statement = Statement::new("SELECT obj_description(:table::oid, 'pg_class') AS comment");
        let rows = db.read(&COMMENT, &args! { table: Value::oid_of(table.oid) });
        let description = rows.one().get::<String>("comment").and_then(|comment| Description::parse(&comment));
        description.ok_or_else(|| {
            Error::Invalid(format!("p_backup: table {} is not a backup that renumber_versions made", table.name))
        })
    }

    /// The backup that `table` is, of a table described by it. 22023 if it lacks columns of one.
    pub fn open(table: &Table, counted: &Counted) -> Result<Backup, Error> {
        let carried = carried(counted);
        let own = Own::beside(carried.iter().map(|column| column.name.as_str()));
        let due = [
            &own.old_version,
            &own.new_version,
            &own.old_current,
            &own.new_current,
            &own.restored,
            &own.reason,
            &own.keeps_flag,
        ];
        for name in carried.iter().map(|column| &column.name).chain(due) {
            table.column(name, "p_backup")?;
        }
        Ok(Backup { name: table.name.clone(), own })
    }
}

/// Takes away what default privileges have given to others on a new table and its row type, and enables row-level security.
fn close_to_others(db: &Db, name: &str) {
    static GRANTED: Statement = Statement::new(
        "SELECT DISTINCT granted.kind,
                CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS role
           FROM pg_class c
           JOIN pg_type t ON t.oid = c.reltype
          CROSS JOIN LATERAL (VALUES ('TABLE', c.relacl), ('TYPE', coalesce(t.typacl, acldefault('T', t.typowner))))
                AS granted (kind, acl)
          CROSS JOIN LATERAL aclexplode(granted.acl) AS a
          WHERE c.oid = to_regclass(:name) AND a.grantee <> c.relowner",
    );
    for row in db.run(&GRANTED, &args! { name }).iter() {
        let (kind, role): (String, String) = (row.value("kind"), row.value("role"));
        db.dynamic(&format!("REVOKE ALL ON {kind} {name} FROM {role}"), &[]);
    }
    db.dynamic(&format!("ALTER TABLE {name} ENABLE ROW LEVEL SECURITY"), &[]);
}

/// What is said between the steps of a long call.
pub struct Notices {
    is_long: bool,
}

impl Notices {
    /// For a call that changes so many rows of a table.
    pub fn about(rows: i64) -> Notices {
        Notices { is_long: rows >= MANY_ROWS }
    }

    pub fn say(&self, line: &str) {
        if self.is_long {
            backend::notice(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ULID: &str = "01ARZ3NDEKTSV4RRFFQ69G5FAV";

    #[test]
    fn names_are_cut_between_characters() {
        assert_eq!(backup_name("t", ULID), format!("t_backup_{ULID}"));
        for name in ["a".repeat(63), "é".repeat(31), "日".repeat(21), format!("x{}", "𝄞".repeat(15))] {
            let backup = backup_name(&name, ULID);
            assert!((60..=63).contains(&backup.len()), "{backup}");
            assert!(backup.ends_with(&format!("_backup_{ULID}")), "{backup}");
            assert!(name.starts_with(backup.split("_backup_").next().unwrap()), "{backup}");
        }
    }

    #[test]
    fn own_columns_are_unlike_those_taken_over() {
        let plain = Own::beside(["id"].into_iter());
        assert_eq!(plain.old_version, "old_version");
        let own = Own::beside(["old_version", "old_version_", "reason"].into_iter());
        assert_eq!((own.old_version.as_str(), own.reason.as_str()), ("old_version__", "reason_"));
        assert_eq!(own.new_version, plain.new_version);
    }

    #[test]
    fn descriptions_survive_their_comment() {
        let description = Description {
            schema: "a\nb".to_owned(),
            table: "\"; drop table x; --".to_owned(),
            primary_key: vec!["id".to_owned()],
            parent_columns: vec!["fileId".to_owned()],
            version_column: "version".to_owned(),
            current_column: None,
        };
        let comment = format!("The rows.\n{}", serde_json::to_string(&description).unwrap());
        assert_eq!(Description::parse(&comment), Some(description));
        let forged = |schema: &str, parents: &str| {
            format!(
                r#"{{"schema": "{schema}", "table": "t", "primary_key": ["id"], "parent_columns": [{parents}],
                     "version_column": "no", "current_column": null}}"#
            )
            .replace('\n', "")
        };
        assert!(Description::parse(&forged("s", "\"doc\"")).is_some());
        let [no_name, no_parents] = [forged("a\\u0000b", "\"doc\""), forged("s", "")];
        for comment in ["", "The rows.", "{}", "The rows.\n{\"schema\": 1}", &no_name, &no_parents] {
            assert_eq!(Description::parse(comment), None);
        }
    }
}
