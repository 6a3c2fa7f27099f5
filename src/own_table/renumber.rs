//! The function `renumber_versions`.

use pgrx::prelude::*;

use super::backup::{Backup, Notices, Own, carried, key_json, parent_json, parents_of};
use super::numbers::{self, Direction, largest, unexpected};
use super::obstacles::refuse_obstacles;
use super::silence::silence;
use super::table::{Column, Counted, column_list, list, refuse_unfit_transaction};
use crate::backend::{
    self, Answer, Call, Db, FreshSnapshot, ResultSet, connect, dynamic_into_result, past_forced_policies,
    quoted_literal,
};
use crate::error::Error;
use crate::input;

/// What the arguments name.
struct Wanted {
    counted: Counted,
    /// The columns that a parent's rows are ordered by.
    order: Vec<Column>,
}

impl Wanted {
    /// Reads the arguments, and refuses what they cannot be about.
    fn read(call: &Call, db: &Db) -> Result<Wanted, Error> {
        let counted = Counted::from_arguments(call, db, 4)?;
        let order = column_list(call, &counted.table, 3, "p_order_columns")?;
        if order.is_empty() {
            return Err(Error::Invalid("p_order_columns must name at least one column".to_owned()));
        }
        refuse_obstacles(db, &counted, &order)?;
        Ok(Wanted { counted, order })
    }

    fn own(&self) -> Own {
        let carried = carried(&self.counted);
        Own::beside(carried.iter().map(|column| column.name.as_str()))
    }

    /// A query for all rows that have a parent: what a backup takes over of them, and the numbers and flags that they have
    /// and are to have.
    fn numbered(&self) -> String {
        let Counted { table, version, current, .. } = &self.counted;
        let (own, parents) = (self.own(), self.counted.parent_list());
        let carried = list(&carried(&self.counted));
        let Own { old_version, new_version, old_current, new_current, rows, flagged, flagged_so_far, .. } = &own;
        let key = table.primary_key();
        let order: Vec<String> =
            self.order.iter().chain(key).map(|column| format!("{} ASC NULLS FIRST", column.quoted)).collect();
        // Flagged is who is flagged alone, the newest of several, or the newest of all.
        let (flag, new_flag) = match current {
            Some(current) => (
                current.quoted.as_str(),
                format!(
                    "CASE WHEN {flagged} = 0 AND {new_version} = {rows} THEN true
                          WHEN {old_current} AND {flagged_so_far} < {flagged} THEN false
                          ELSE {old_current} END"
                ),
            ),
            None => ("NULL::boolean", old_current.clone()),
        };
        format!(
            "SELECT {carried}, {old_version}, {new_version}, {old_current}, {new_flag} AS {new_current}, {flagged}
               FROM (SELECT {carried}, {version}::bigint AS {old_version}, row_number() OVER w AS {new_version},
                            {flag} AS {old_current}, count(*) OVER p AS {rows},
                            count(*) FILTER (WHERE {flag}) OVER p AS {flagged},
                            count(*) FILTER (WHERE {flag}) OVER (w ROWS UNBOUNDED PRECEDING) AS {flagged_so_far}
                       FROM {table}
                      WHERE num_nulls({parents}) = 0
                     WINDOW p AS (PARTITION BY {parents}), w AS (PARTITION BY {parents} ORDER BY {order})) AS found",
            version = version.quoted,
            table = table.name,
            order = order.join(", "),
        )
    }

    /// A query for the result, from rows as [`Wanted::numbered`] or a backup has them.
    fn result(&self, from: &str, backup: Option<&str>) -> String {
        let (counted, own) = (&self.counted, self.own());
        format!(
            "SELECT {key}, {parent}, n.{old_version}, n.{new_version}, n.{old_current}, n.{new_current}, {backup}::text
               FROM {from} AS n WHERE {changed} ORDER BY {parents}, n.{new_version}",
            key = key_json(counted, "n", &format!("n.{}", own.old_version)),
            parent = parent_json(counted, "n"),
            old_version = own.old_version,
            new_version = own.new_version,
            old_current = own.old_current,
            new_current = own.new_current,
            backup = backup.map_or("NULL".to_owned(), quoted_literal),
            changed = own.is_changed("n"),
            parents = parents_of(counted, "n"),
        )
    }

    /// Whether there is a row to change.
    fn is_due(&self, db: &Db) -> bool {
        let changed = self.own().is_changed("n");
        let sql = format!("SELECT FROM ({}) AS n WHERE {changed} LIMIT 1", self.numbered());
        !db.dynamic(&sql, &[]).is_empty()
    }

    /// Says how many rows stay as they are because they have no parent.
    fn mention_rows_without_parent(&self, db: &Db) {
        let Counted { table, parents, .. } = &self.counted;
        if parents.iter().all(|column| column.is_not_null) {
            return;
        }
        let sql =
            format!("SELECT count(*) AS rows FROM {} WHERE num_nulls({}) > 0", table.name, self.counted.parent_list());
        let rows: i64 = db.dynamic_read(&sql, &[]).one().value("rows");
        if rows > 0 {
            let (are, stay) = if rows == 1 { ("row has", "stays as it is") } else { ("rows have", "stay as they are") };
            backend::notice(&format!("{rows} {are} no parent in table {} and {stay}", table.name));
        }
    }
}

/// Locks a table so that nobody else can write to it or lock its rows.
///
/// The lock of statements that write would not do: who has locked a row and then waits to insert one is to get on, and not
/// to wait for the one who waits for the row.
pub fn lock(db: &Db, name: &str) {
    db.dynamic(&format!("LOCK TABLE {name} IN EXCLUSIVE MODE"), &[]);
}

fn apply(call: &Call, db: &Db) -> Result<Answer, Error> {
    refuse_unfit_transaction(call, "renumber_versions")?;
    let found = Wanted::read(call, db)?;
    lock(db, &found.counted.table.name);
    // What the table was like may have changed until it was locked.
    let wanted = {
        let _now = FreshSnapshot::take();
        let wanted = Wanted::read(call, db)?;
        wanted.mention_rows_without_parent(db);
        wanted
    };
    let counted = &wanted.counted;
    if counted.table.name != found.counted.table.name {
        return Err(Error::LostRace(format!("table {}", found.counted.table.name)));
    }
    if !wanted.is_due(db) {
        return Ok(ResultSet::begin(call).done());
    }
    let silenced = silence(db, &counted.table)?;
    let backup = Backup::create(db, counted, &wanted.numbered(), call.schema());
    let notices = refuse_overflow(db, counted, &backup)?;
    notices.say(&format!("the rows that change are in {}", backup.name));
    numbers::write(db, counted, &backup, Direction::Forth, &notices)?;
    silenced.restore(db);
    if wanted.is_due(db) {
        return Err(unexpected(counted));
    }
    notices.say("the numbers are checked");
    let _now = FreshSnapshot::take();
    Ok(dynamic_into_result(call, db, &wanted.result(&backup.name, Some(&backup.name)), &[]))
}

/// 55000 if the number's type cannot count the rows of a parent. Returns who is told of what follows.
fn refuse_overflow(db: &Db, counted: &Counted, backup: &Backup) -> Result<Notices, Error> {
    let sql = format!("SELECT count(*) AS rows, max({}) AS highest FROM {}", backup.own.new_version, backup.name);
    let rows = db.dynamic(&sql, &[]);
    let highest = rows.one().get::<i64>("highest").unwrap_or_default();
    let Counted { table, version, .. } = counted;
    if highest > largest(version) {
        return Err(Error::OwnTable {
            table: table.name.clone(),
            what: format!(
                "has a parent with {highest} rows, and the largest {} that column \"{}\" can hold is {}",
                version.type_name,
                version.name,
                largest(version)
            ),
            detail: None,
            hint: "Change the column's type to a larger one.",
        });
    }
    Ok(Notices::about(rows.one().value("rows")))
}

/// See the COMMENT in `sql/renumbering.sql`.
#[pg_extern(sql = false)]
fn renumber_versions(fcinfo: pg_sys::FunctionCallInfo) -> Answer {
    Call::answer(fcinfo, |call| {
        let is_dry_run = input::required(call.argument::<bool>(5), "p_dry_run")?;
        past_forced_policies(|| {
            connect(call, |db| {
                if !is_dry_run {
                    return apply(call, db);
                }
                let wanted = Wanted::read(call, db)?;
                wanted.mention_rows_without_parent(db);
                let numbered = format!("({})", wanted.numbered());
                Ok(dynamic_into_result(call, db, &wanted.result(&numbered, None), &[]))
            })
        })
    })
}
