//! The function `undo_renumber`.

use pgrx::prelude::*;

use super::backup::{Backup, Description, Notices, Own, key_json, parents_of};
use super::equality::{same, same_key};
use super::numbers::{self, Direction};
use super::obstacles::refuse_obstacles;
use super::renumber::lock;
use super::silence::silence;
use super::table::{Counted, Table, refuse_unfit_transaction};
use crate::args;
use crate::backend::{
    Answer, Call, Db, FreshSnapshot, Statement, Value, connect, dynamic_into_result, past_forced_policies,
    quoted_identifier, quoted_literal,
};
use crate::error::Error;

/// Why rows or their flags are left alone.
const GONE: &str = "there is no such row any more";
const RENUMBERED: &str = "it has got another number since";
const MOVED: &str = "it has got another parent since";
const DONE: &str = "it has been put back before";
const FLAG: &str = "its flag stays: its parent's current version has changed since";

/// A backup, with the table whose rows are to be put back.
struct Undoing {
    backup: Backup,
    counted: Counted,
}

impl Undoing {
    /// Reads the argument and what it leads to.
    fn read(call: &Call, db: &Db) -> Result<Undoing, Error> {
        let kept = Table::owned(call, db, 0, "p_backup")?;
        let description = Backup::describe(db, &kept)?;
        let table = renumbered_table(db, &kept, &description)?;
        let column = |name: &String| table.column(name, "p_backup").cloned();
        let counted = Counted {
            parents: description.parent_columns.iter().map(column).collect::<Result<_, _>>()?,
            version: column(&description.version_column)?,
            current: description.current_column.as_ref().map(column).transpose()?,
            table,
        };
        let key: Vec<&String> = counted.table.primary_key().iter().map(|column| &column.name).collect();
        if key != description.primary_key.iter().collect::<Vec<_>>() {
            return Err(Error::OwnTable {
                table: counted.table.name.clone(),
                what: format!("has another primary key than when {} was made", kept.name),
                detail: None,
                hint: "Its rows can only be found again by the primary key that they had.",
            });
        }
        refuse_obstacles(db, &counted, &[])?;
        Ok(Undoing { backup: Backup::open(&kept, &counted)?, counted })
    }

    fn own(&self) -> &Own {
        &self.backup.own
    }

    /// A condition: the row `t` with the primary key of the backup's row `b`, as renumbering left it.
    fn is_found(&self, db: &Db) -> Result<String, Error> {
        same_key(db, &self.counted, &format!("b.{}", self.own().new_version))
    }

    /// Writes down which rows are left alone, and why.
    fn decide(&self, db: &Db) -> Result<(), Error> {
        let Own { new_version, restored, reason, keeps_flag, .. } = self.own();
        let (backup, table) = (&self.backup.name, &self.counted.table.name);
        let (found, version) = (self.is_found(db)?, &self.counted.version.quoted);
        let same_parent = same(db, &self.counted.parents, "t", "b")?;
        // What an earlier call found may have changed.
        db.dynamic(
            &format!(
                "UPDATE {backup} SET {reason} = NULL, {keeps_flag} = false
                  WHERE NOT {restored} AND ({reason} IS NOT NULL OR {keeps_flag})"
            ),
            &[],
        );
        db.dynamic(
            &format!(
                "UPDATE {backup} AS o SET {reason} = s.why
                   FROM (SELECT b.ctid AS place,
                                CASE WHEN t.tableoid IS NULL THEN $1
                                     WHEN t.{version} IS DISTINCT FROM b.{new_version} THEN $2
                                     WHEN ({same_parent}) IS NOT TRUE THEN $3 END AS why
                           FROM {backup} AS b LEFT JOIN {table} AS t ON {found}
                          WHERE NOT b.{restored}) AS s
                  WHERE o.ctid = s.place AND s.why IS NOT NULL"
            ),
            &[GONE.into(), RENUMBERED.into(), MOVED.into()],
        );
        self.keep_flags(db)?;
        self.keep_what_was_null(db)?;
        self.keep_what_is_taken(db)
    }

    /// A parent's flags are put back only if the row that renumbering left flagged is still the only one that is.
    fn keep_flags(&self, db: &Db) -> Result<(), Error> {
        let Some(current) = &self.counted.current else { return Ok(()) };
        let Own { new_current, reason, keeps_flag, .. } = self.own();
        let (backup, table, current) = (&self.backup.name, &self.counted.table.name, &current.quoted);
        let parents = self.counted.parent_list();
        let (of_row, of_flagged) =
            (same(db, &self.counted.parents, "t", "b")?, same(db, &self.counted.parents, "f", "b")?);
        let (chosen, flagged_anew) = (self.own().is_to_change("o"), self.own().is_flagged_anew("o"));
        db.dynamic(
            &format!(
                "UPDATE {backup} AS o
                    SET {keeps_flag} = true, {reason} = CASE WHEN NOT ({renumbered}) THEN $1 END
                  WHERE {chosen} AND {flagged_anew}
                    AND NOT EXISTS (
                        SELECT FROM (SELECT {of_b}
                                       FROM {backup} AS b
                                       JOIN {table} AS t ON {found} AND {of_row}
                                       JOIN (SELECT {parents}, count(*) AS flags
                                               FROM {table} WHERE {current} GROUP BY {parents}) AS f ON {of_flagged}
                                      WHERE b.{new_current} AND t.{current} AND f.flags = 1) AS k
                         WHERE {of_kept})",
                renumbered = self.own().is_renumbered("o"),
                of_b = parents_of(&self.counted, "b"),
                found = self.is_found(db)?,
                of_kept = same(db, &self.counted.parents, "k", "o")?,
            ),
            &[FLAG.into()],
        );
        Ok(())
    }

    /// Where a column cannot be NULL any more and was, all rows of the parent are left alone.
    fn keep_what_was_null(&self, db: &Db) -> Result<(), Error> {
        let (own, backup) = (self.own(), &self.backup.name);
        let Counted { parents, version, current, .. } = &self.counted;
        let was_null = [
            (Some(version), &own.old_version, own.is_renumbered("b")),
            (current.as_ref(), &own.old_current, own.is_flagged_anew("b")),
        ];
        for (column, was, is_written) in was_null {
            let Some(column) = column.filter(|column| column.is_not_null) else { continue };
            let sql = format!(
                "UPDATE {backup} AS o SET {} = $1
                   FROM (SELECT DISTINCT {} FROM {backup} AS b WHERE {} AND {is_written} AND b.{was} IS NULL) AS k
                  WHERE {} AND {}",
                own.reason,
                parents_of(&self.counted, "b"),
                own.is_to_change("b"),
                own.is_to_change("o"),
                same(db, parents, "k", "o")?,
            );
            let why = format!("column {} was NULL in a row of its parent, and must not be any more", column.quoted);
            db.dynamic(&sql, &[why.as_str().into()]);
        }
        Ok(())
    }

    /// Where a unique index forbids what the rows of a parent were, all of them are left alone.
    fn keep_what_is_taken(&self, db: &Db) -> Result<(), Error> {
        static INDEXES: Statement = Statement::new(
            "SELECT format('unique index %I forbids what the rows of its parent were', c.relname) AS why,
                    (SELECT string_agg(pg_get_indexdef(i.indexrelid, n, true), ', ' ORDER BY n)
                       FROM generate_series(1, i.indnkeyatts) AS n) AS columns,
                    i.indnullsnotdistinct AS has_equal_nulls, pg_get_expr(i.indpred, i.indrelid) AS predicate
               FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
              WHERE i.indrelid = :table AND i.indisunique
                AND :parents <@ (i.indkey::int2[])[0 : i.indnkeyatts - 1]::int4[]
              ORDER BY c.relname",
        );
        let Counted { table, parents, version, current } = &self.counted;
        let (own, backup) = (self.own(), &self.backup.name);
        // The rows of the table as they would be, under the names that an index calls its columns by.
        let is_current = |number: i16| current.as_ref().is_some_and(|current| current.number == number);
        let columns: Vec<String> = table
            .columns
            .iter()
            .map(|column| {
                let name = &column.quoted;
                let (which, was) = match column.number {
                    number if number == version.number => (own.is_renumbered("b"), &own.old_version),
                    number if is_current(number) => (own.is_flagged_anew("b"), &own.old_current),
                    _ => return format!("t.{name}"),
                };
                format!(
                    "CASE WHEN b.{} IS NOT NULL AND {which} THEN b.{was} ELSE t.{name} END AS {name}",
                    own.new_version
                )
            })
            .collect();
        let mut mark = "is_put_back".to_owned();
        while table.columns.iter().any(|column| column.name == mark) {
            mark.push('_');
        }
        let as_before = format!(
            "SELECT {}, b.{new_version} IS NOT NULL AS {mark}
               FROM {} AS t LEFT JOIN (SELECT * FROM {backup} AS b WHERE {}) AS b ON {}",
            columns.join(", "),
            table.name,
            own.is_to_change("b"),
            self.is_found(db)?,
            new_version = own.new_version,
        );
        let numbers: Vec<i32> = parents.iter().map(|column| column.number.into()).collect();
        let indexes = args! { table: Value::oid_of(table.oid), parents: numbers.as_slice() };
        for index in db.run(&INDEXES, &indexes).iter() {
            let (why, columns): (String, String) = (index.value("why"), index.value("columns"));
            let mut counts: Vec<String> = Vec::new();
            counts.extend(index.get::<String>("predicate").map(|predicate| format!("({predicate})")));
            if !index.value::<bool>("has_equal_nulls") {
                counts.push(format!("num_nulls({columns}) = 0"));
            }
            let counts = if counts.is_empty() { "true".to_owned() } else { counts.join(" AND ") };
            let sql = format!(
                "UPDATE {backup} AS o SET {} = $1
                   FROM (SELECT DISTINCT {of_parent} FROM ({as_before}) AS x WHERE {counts}
                          GROUP BY {columns} HAVING count(*) > 1 AND bool_or({mark})) AS k
                  WHERE {} AND {}",
                own.reason,
                own.is_to_change("o"),
                same(db, parents, "k", "o")?,
                of_parent = self.counted.parent_list(),
            );
            db.dynamic(&sql, &[why.as_str().into()]);
        }
        Ok(())
    }

    /// How many rows are put back.
    fn rows(&self, db: &Db) -> i64 {
        let sql =
            format!("SELECT count(*) AS rows FROM {} AS b WHERE {}", self.backup.name, self.own().is_to_change("b"));
        db.dynamic(&sql, &[]).one().value("rows")
    }

    /// A query for the result, to be run before anything is put back.
    fn result(&self, db: &Db) -> Result<String, Error> {
        let Own { old_version, new_version, restored, reason, keeps_flag, .. } = self.own();
        let (counted, version) = (&self.counted, &self.counted.version.quoted);
        Ok(format!(
            "SELECT {key}, t.{version}::bigint,
                    CASE WHEN NOT b.{restored} AND b.{reason} IS NULL THEN b.{old_version} ELSE t.{version}::bigint END,
                    NOT b.{restored} AND b.{reason} IS NULL,
                    CASE WHEN b.{restored} THEN {done} WHEN b.{keeps_flag} THEN coalesce(b.{reason}, {flag})
                         ELSE b.{reason} END
               FROM {backup} AS b LEFT JOIN {table} AS t ON {found}
              WHERE {changed} ORDER BY {parents}, b.{new_version}",
            key = key_json(counted, "b", &format!("b.{new_version}")),
            done = quoted_literal(DONE),
            flag = quoted_literal(FLAG),
            backup = self.backup.name,
            table = counted.table.name,
            found = self.is_found(db)?,
            changed = self.own().is_changed("b"),
            parents = parents_of(counted, "b"),
        ))
    }
}

/// The table that a backup is of. 42501 unless the caller and the backup's owner may do what its owner may: whoever can
/// write a COMMENT could otherwise have others change tables.
fn renumbered_table(db: &Db, kept: &Table, description: &Description) -> Result<Table, Error> {
    static FIND: Statement = Statement::new("SELECT to_regclass(:name)::oid::bigint AS oid");
    static MAY: Statement = Statement::new("SELECT pg_has_role(:keeper::oid, :owner::oid, 'USAGE') AS may");
    let name = format!("{}.{}", quoted_identifier(&description.schema), quoted_identifier(&description.table));
    let found = db.read(&FIND, &args! { name: name.as_str() }).one().get::<i64>("oid");
    let oid = found.ok_or_else(|| Error::OwnTable {
        table: kept.name.clone(),
        what: format!("is a backup of {name}, which does not exist"),
        detail: None,
        hint: "If the table has got another name, put that into the JSON in the COMMENT of the backup.",
    })?;
    let table = Table::owned_oid(db, (oid as u32).into(), "p_backup")?;
    let roles = args! { keeper: Value::oid_of(kept.owner), owner: Value::oid_of(table.owner) };
    if db.read(&MAY, &roles).one().value("may") { Ok(table) } else { Err(Error::NotTableOwner(table.name)) }
}

fn undo(call: &Call, db: &Db) -> Result<Answer, Error> {
    refuse_unfit_transaction(call, "undo_renumber")?;
    let found = Undoing::read(call, db)?;
    lock(db, &found.counted.table.name);
    lock(db, &found.backup.name);
    // What they were like may have changed until they were locked.
    let undoing = {
        let _now = FreshSnapshot::take();
        Undoing::read(call, db)?
    };
    let names = |undoing: &Undoing| [undoing.counted.table.name.clone(), undoing.backup.name.clone()];
    if names(&undoing) != names(&found) {
        return Err(Error::LostRace(format!("table {}", found.counted.table.name)));
    }
    undoing.decide(db)?;
    let rows = undoing.rows(db);
    let notices = Notices::about(rows);
    notices.say(&format!("{rows} rows are put back"));
    let answer = {
        let _now = FreshSnapshot::take();
        dynamic_into_result(call, db, &undoing.result(db)?, &[])
    };
    if rows > 0 {
        let silenced = silence(db, &undoing.counted.table)?;
        numbers::write(db, &undoing.counted, &undoing.backup, Direction::Back, &notices)?;
        silenced.restore(db);
        let (own, backup) = (undoing.own(), &undoing.backup.name);
        let done = format!("UPDATE {backup} AS b SET {} = true WHERE {}", own.restored, own.is_to_change("b"));
        db.dynamic(&done, &[]);
    }
    Ok(answer)
}

/// See the COMMENT in `sql/renumbering.sql`.
#[pg_extern(sql = false)]
fn undo_renumber(fcinfo: pg_sys::FunctionCallInfo) -> Answer {
    Call::answer(fcinfo, |call| past_forced_policies(|| connect(call, |db| undo(call, db))))
}
