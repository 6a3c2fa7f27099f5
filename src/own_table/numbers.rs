//! Giving rows their numbers, also where a unique index forbids that two rows have the same for a moment.

use pgrx::pg_sys::{INT2OID, INT4OID};

use super::backup::{Backup, Notices};
use super::equality::same_key;
use super::table::{Column, Counted};
use crate::args;
use crate::backend::{Db, FreshSnapshot, Statement, Value};
use crate::error::Error;

/// Which numbers and flags rows get.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Those that renumbering gives.
    Forth,
    /// Those that they had before.
    Back,
}

/// The lowest numbers, one after the other, that no row has or gets.
///
/// Rows that change their number wait there: no number is negative or taken meanwhile, and those they get are all free when
/// they leave.
struct FreeWindow {
    /// How many there must be.
    size: i64,
    /// The window begins after this.
    offset: i64,
}

impl FreeWindow {
    fn of(size: i64) -> FreeWindow {
        FreeWindow { size, offset: 0 }
    }

    /// Takes note of a number that is taken. They must come in ascending order.
    fn avoid(&mut self, taken: i64) {
        if taken > self.offset && taken - self.offset <= self.size {
            self.offset = taken;
        }
    }

    /// What comes before the window's first number; `None` if its last one were beyond `largest`.
    fn offset(&self, largest: i64) -> Option<i64> {
        self.offset.checked_add(self.size).filter(|&last| last <= largest).map(|_| self.offset)
    }
}

/// The largest number that a column can hold.
pub fn largest(version: &Column) -> i64 {
    match version.type_oid {
        INT2OID => i16::MAX.into(),
        INT4OID => i32::MAX.into(),
        _ => i64::MAX,
    }
}

/// Gives the rows of a backup that are not left alone their numbers and flags.
pub fn write(
    db: &Db,
    counted: &Counted,
    backup: &Backup,
    direction: Direction,
    notices: &Notices,
) -> Result<(), Error> {
    let Backup { name, own, .. } = backup;
    let (from, to, flag) = match direction {
        Direction::Forth => (&own.old_version, &own.new_version, &own.new_current),
        Direction::Back => (&own.new_version, &own.old_version, &own.old_current),
    };
    let (table, version) = (&counted.table.name, &counted.version.quoted);
    let (renumbered, chosen) = (own.is_renumbered("b"), own.is_to_change("b"));
    let current = counted.current.as_ref().map(|current| {
        let current = &current.quoted;
        format!(", {current} = CASE WHEN {} THEN b.{flag} ELSE t.{current} END", own.is_flagged_anew("b"))
    });
    let current = current.unwrap_or_default();
    let update = |assignments: &str, number: &str, which: &str| -> Result<usize, Error> {
        let key = same_key(db, counted, number)?;
        let sql = format!("UPDATE {table} AS t SET {assignments} FROM {name} AS b WHERE {key} AND {which}");
        Ok(db.dynamic(&sql, &[]).count())
    };

    let sizes = format!(
        "SELECT count(*) AS rows, max(b.{}) FILTER (WHERE {renumbered}) AS size FROM {name} AS b WHERE {chosen}",
        own.new_version
    );
    let sizes = db.dynamic(&sizes, &[]);
    let (due, size) = (sizes.one().value::<i64>("rows"), sizes.one().get::<i64>("size"));
    let from = format!("b.{from}");
    let written = match size.filter(|_| has_unique_number(db, counted)) {
        None => update(
            &format!("{version} = CASE WHEN {renumbered} THEN b.{to} ELSE t.{version} END{current}"),
            &from,
            &chosen,
        )?,
        Some(size) => {
            let offset = free_window(db, counted, backup, to, size)?;
            let waiting = format!("b.{} + {offset}", own.new_version);
            let assignments =
                format!("{version} = CASE WHEN {renumbered} THEN {waiting} ELSE t.{version} END{current}");
            let written = update(&assignments, &from, &chosen)?;
            notices.say("the old numbers are out of the way");
            update(&format!("{version} = b.{to}"), &waiting, &format!("{chosen} AND {renumbered}"))?;
            written
        }
    };
    notices.say("the numbers are written");
    if written as i64 == due { Ok(()) } else { Err(unexpected(counted)) }
}

/// Numbers for `size` rows to wait at. 55000 if the column's type has no room for them.
fn free_window(db: &Db, counted: &Counted, backup: &Backup, to: &str, size: i64) -> Result<i64, Error> {
    let Counted { table, version, .. } = counted;
    let sql = format!(
        "SELECT DISTINCT n AS taken
           FROM (SELECT t.{}::bigint FROM {} AS t UNION ALL SELECT b.{to} FROM {} AS b) AS taken (n)
          WHERE n > 0 ORDER BY 1",
        version.quoted, table.name, backup.name
    );
    let mut window = FreeWindow::of(size);
    let _now = FreshSnapshot::take();
    db.dynamic_each(&sql, &[], |row| {
        window.avoid(row.value("taken"));
        Ok(())
    })?;
    window.offset(largest(version)).ok_or_else(|| Error::OwnTable {
        table: table.name.clone(),
        what: format!(
            "has no {size} consecutive numbers free that column \"{}\" can hold: the largest {} is {}",
            version.name,
            version.type_name,
            largest(version)
        ),
        detail: None,
        hint: "Rows wait at numbers that are free, because a unique index forbids equal ones. Change the column's type to a larger one.",
    })
}

/// Whether an index or a constraint may forbid that two rows have the same number, or the same of what is computed from it.
fn has_unique_number(db: &Db, counted: &Counted) -> bool {
    static UNIQUE: Statement = Statement::new(
        "WITH tree AS (SELECT :table::oid AS oid UNION SELECT relid FROM pg_partition_tree(:table::oid::regclass))
         SELECT FROM tree
           JOIN pg_attribute v ON v.attrelid = tree.oid AND v.attname = :name::name
           JOIN pg_attribute a ON a.attrelid = tree.oid AND a.attnum > 0
                              AND (a.attnum = v.attnum OR a.attgenerated <> '' AND EXISTS (
                                       SELECT FROM pg_depend d
                                        WHERE d.classid = 'pg_attrdef'::regclass
                                          AND d.objid = (SELECT f.oid FROM pg_attrdef f
                                                          WHERE f.adrelid = a.attrelid AND f.adnum = a.attnum)
                                          AND d.refclassid = 'pg_class'::regclass AND d.refobjid = tree.oid
                                          AND d.refobjsubid = v.attnum))
           JOIN pg_index i ON i.indrelid = tree.oid AND (i.indisunique OR i.indisexclusion)
          WHERE a.attnum = ANY (i.indkey::int2[])
             OR EXISTS (SELECT FROM pg_depend d
                         WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid
                           AND d.refclassid = 'pg_class'::regclass AND d.refobjid = tree.oid AND d.refobjsubid = a.attnum)
          LIMIT 1",
    );
    let table = Value::oid_of(counted.table.oid);
    !db.run(&UNIQUE, &args! { table, name: counted.version.name.as_str() }).is_empty()
}

/// Something that cannot be: all that could change or hide rows meanwhile is locked out.
pub fn unexpected(counted: &Counted) -> Error {
    Error::OwnTable {
        table: counted.table.name.clone(),
        what: "did not get the numbers that were due, so nothing has been changed".to_owned(),
        detail: None,
        hint: "Something changes or hides its rows while they are written: functions in its constraints, or an event trigger.",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn offset(taken: &[i64], size: i64, largest: i64) -> Option<i64> {
        let mut window = FreeWindow::of(size);
        taken.iter().for_each(|&number| window.avoid(number));
        window.offset(largest)
    }

    #[test]
    fn the_first_gap_that_is_large_enough() {
        assert_eq!(offset(&[], 3, 100), Some(0));
        assert_eq!(offset(&[1, 2, 3], 3, 100), Some(3));
        assert_eq!(offset(&[1, 4, 8], 3, 100), Some(4));
        assert_eq!(offset(&[2, 4, 6], 1, 100), Some(0));
    }

    #[test]
    fn the_type_must_have_room() {
        assert_eq!(offset(&[1, 2, 3], 3, 6), Some(3));
        assert_eq!(offset(&[1, 2, 3], 3, 5), None);
        assert_eq!(offset(&[1, 2, 9], 3, 9), Some(2));
        assert_eq!(offset(&[i64::MAX], i64::MAX - 1, i64::MAX), Some(0));
        assert_eq!(offset(&[1, i64::MAX], i64::MAX - 1, i64::MAX), None);
    }

    proptest! {
        #[test]
        fn the_lowest_window_that_is_free(taken in prop::collection::btree_set(-5..60i64, 0..30), size in 1..12i64, largest in 1..70i64) {
            let ascending: Vec<i64> = taken.iter().copied().filter(|&number| number > 0).collect();
            let is_free = |offset: i64, taken: &BTreeSet<i64>| taken.range(offset + 1..=offset + size).next().is_none();
            let lowest = (0..=largest - size).find(|&offset| is_free(offset, &taken));
            prop_assert_eq!(offset(&ascending, size, largest), lowest);
        }
    }
}
