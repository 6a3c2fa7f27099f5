//! The triggers of protected tables, declared in `sql/versioned_tables.sql`.
//!
//! `number_version` is called before a row is inserted or changed: it takes the lock of the row's parent and gives the row
//! its number, its flag and its link. `settle_version` is called after a statement, and makes other rows follow: the flag
//! leaves the row that had it, or passes to the newest one if its row was deleted, and a deleted row is skipped by the link
//! of the row after it.
//!
//! Both read and write the table as its owner, past all policies, as the actions of foreign keys do. A parent's versions are
//! read by its index; the few updates are statements, for which the table's other triggers are called.

use std::cell::RefCell;

use pgrx::prelude::*;

use super::numbering::{Config, Gap, number, takes_flag};
use super::table::is_integer;
use crate::backend::{
    self, Among, Answer, Call, Db, FreshSnapshot, From, LatestSnapshot, LockFor, RowLock, RowTrigger, Value,
    VersionIndex, VersionRow, When, as_table_owner, attempt, connect_for_user_code, within_foreign_key,
};
use crate::error::Error;
use crate::locks::Parent;
use crate::settings;

/// See the COMMENT in `sql/versioned_tables.sql`.
#[pg_extern(sql = false)]
fn number_version(fcinfo: pg_sys::FunctionCallInfo) -> Answer {
    const ALLOWED: [When; 2] = [When::BeforeInsert, When::BeforeUpdate];
    Call::run_internal(fcinfo, |call| {
        with_protected(call, fcinfo, &ALLOWED, |row| match row.trigger.when {
            When::BeforeInsert => row.before_insert(call),
            _ => row.before_update(),
        })
    })
}

/// See the COMMENT in `sql/versioned_tables.sql`.
#[pg_extern(sql = false)]
fn settle_version(fcinfo: pg_sys::FunctionCallInfo) -> Answer {
    const ALLOWED: [When; 3] = [When::AfterInsert, When::AfterUpdate, When::AfterDelete];
    Call::run_internal(fcinfo, |call| {
        with_protected(call, fcinfo, &ALLOWED, |row| {
            if settings::keeps_numbers() {
                return Ok(Answer::DONE);
            }
            let settle = |db: &Db| match row.trigger.when {
                When::AfterInsert => row.after_insert(db),
                When::AfterUpdate => row.after_update(db),
                _ => row.after_delete(db),
            };
            as_table_owner(row.trigger.table_owner(), || connect_for_user_code(call, row.trigger.schema(), settle))?;
            Ok(Answer::DONE)
        })
    })
}

fn with_protected(
    call: &Call,
    fcinfo: pg_sys::FunctionCallInfo,
    allowed: &[When],
    body: impl FnOnce(&ProtectedRow) -> Result<Answer, Error>,
) -> Result<Answer, Error> {
    let trigger = RowTrigger::of(call, allowed)?;
    backend::with_query_cache(fcinfo, |kept: &mut Kept| {
        if kept.config.is_none() {
            kept.config = Some(read_config(&trigger)?);
        }
        let config = kept.config.as_ref().expect("set above");
        let columns = Columns::find(&trigger, config)?;
        body(&ProtectedRow { columns, config, gap: &kept.gap, trigger: &trigger })
    })
}

/// What is kept for the other rows of a statement.
#[derive(Default)]
struct Kept {
    config: Option<Config>,
    gap: RefCell<Option<Gap>>,
}

fn read_config(trigger: &RowTrigger) -> Result<Config, Error> {
    serde_json::from_str(trigger.argument()?).map_err(|error| {
        not_as_enabled(trigger, format!("has a trigger of pg_versioned with an argument it did not write: {error}"))
    })
}

fn not_as_enabled(trigger: &RowTrigger, what: String) -> Error {
    Error::OwnTable {
        table: trigger.table_name(),
        what,
        detail: None,
        hint: "Call enable_versioning again with the columns as they are now.",
    }
}

/// Numbers of the columns that the configuration names.
struct Columns {
    parents: Vec<i32>,
    version: i32,
    current: Option<i32>,
    /// The link, and the column that it refers to.
    previous: Option<(i32, i32)>,
}

impl Columns {
    fn find(trigger: &RowTrigger, config: &Config) -> Result<Columns, Error> {
        let column = |name: &String| {
            trigger.column_number(name).ok_or_else(|| {
                not_as_enabled(trigger, format!("has no column \"{name}\", which enable_versioning was called with"))
            })
        };
        let previous = config.previous_id_column.as_ref().zip(config.id_column.as_ref());
        let columns = Columns {
            parents: config.parent_columns.iter().map(column).collect::<Result<_, _>>()?,
            version: column(&config.version_column)?,
            current: config.current_column.as_ref().map(column).transpose()?,
            previous: previous.map(|(link, id)| Ok::<_, Error>((column(link)?, column(id)?))).transpose()?,
        };
        let of_type = |number: i32| trigger.column_type(number);
        let retyped = [
            (!is_integer(of_type(columns.version))).then_some(Some(&config.version_column)),
            columns
                .current
                .is_some_and(|flag| of_type(flag) != pg_sys::BOOLOID)
                .then_some(config.current_column.as_ref()),
            columns
                .previous
                .is_some_and(|(link, id)| of_type(link) != of_type(id))
                .then_some(config.id_column.as_ref()),
        ];
        let retyped = retyped.into_iter().flatten().flatten().next();
        match retyped {
            Some(name) => Err(not_as_enabled(trigger, format!("has got another type for its column \"{name}\""))),
            None => Ok(columns),
        }
    }
}

/// A row that a trigger is called for.
struct ProtectedRow<'t> {
    trigger: &'t RowTrigger<'t>,
    config: &'t Config,
    columns: Columns,
    gap: &'t RefCell<Option<Gap>>,
}

/// What a trigger needs to know about the versions of a parent: the newest one in the first place, and the one that it is
/// going to change in the second.
type Found<'t> = [Option<VersionRow<'t>>; 2];

impl<'t> ProtectedRow<'t> {
    fn before_insert(&self, call: &Call) -> Result<Answer, Error> {
        let Columns { version, current, previous, .. } = self.columns;
        let given = self.trigger.new_column(version).as_integer();
        if given.is_some() && settings::keeps_numbers() {
            return Ok(self.trigger.same_row());
        }
        // A missing parent is an error of the NOT NULL constraint.
        let Some(parents) = self.parents(|number| self.trigger.new_column(number)) else {
            return Ok(self.trigger.same_row());
        };
        if let Some(version) = given
            && self.arrives(&parents, version)?
        {
            return Ok(self.trigger.same_row());
        }
        self.refuse_later_triggers()?;
        let parent = self.parent(&parents);
        if !parent.is_locked() {
            self.lock_referenced(call);
        }
        let flag = current.map(|current| (current, self.trigger.new_column(current).as_bool()));
        as_table_owner(self.trigger.table_owner(), || {
            let [newest, holder] = self.locked(&parent, &parents, |versions| {
                let newest = versions.first(From::Newest, Among::All);
                let taken = flag.filter(|(_, given)| takes_flag(*given, newest.is_none()));
                let current = taken.and_then(|(flag, _)| versions.newest_that(Among::All, |row| is_flagged(row, flag)));
                [newest, current]
            })?;
            let newest_number = newest.as_ref().and_then(|row| self.number(row));
            let number = number(given, newest_number, self.config.on_explicit)
                .map_err(|highest| self.not_next(&parents, given.unwrap_or_default(), highest))?;
            let mut changes = vec![(version, self.integer(number, newest_number)?)];
            if let Some((current, given)) = flag {
                // While numbers are kept, so is the flag where it is.
                let is_free = holder.is_none() || !settings::keeps_numbers();
                changes.push((current, (is_free && takes_flag(given, newest.is_none())).into()));
            }
            if let Some((link, id)) = previous {
                let of_type = self.trigger.column_type(link);
                changes.push((link, newest.as_ref().map_or(Value::null(of_type), |row| row.column(id))));
            }
            Ok(self.trigger.changed_row(&changes))
        })
    }

    fn before_update(&self) -> Result<Answer, Error> {
        let Columns { version, current, previous, .. } = self.columns;
        if settings::keeps_numbers() {
            return Ok(self.trigger.same_row());
        }
        self.refuse_later_triggers()?;
        if !self.trigger.is_same(version) {
            return Err(self.refused("version", &self.config.version_column));
        }
        let moves = !self.columns.parents.iter().all(|&parent| self.trigger.is_same(parent));
        // Unless the parent's own key changes, which its rows follow with the numbers that they have.
        if moves && !within_foreign_key() {
            return Err(self.refused("parent", &self.config.parent_columns.join(", ")));
        }
        if let Some((link, _)) = previous
            && !(self.trigger.is_same(link) || self.trigger.new_column(link).is_null() || within_foreign_key())
        {
            let name = self.config.previous_id_column.as_deref().unwrap_or_default();
            return Err(self.refused("link to the previous version", name));
        }
        let Some(parents) = self.parents(|number| self.trigger.new_column(number)) else {
            return Ok(self.trigger.same_row());
        };
        if moves {
            // Others who insert below the new parent do not see these rows yet.
            self.parent(&parents).lock();
            if self.trigger.is_partition() {
                self.leaves(&parents);
            }
        }
        let is_true = |value: Value| value.as_bool() == Some(true);
        if let Some(flag) =
            current.filter(|&flag| is_true(self.trigger.new_column(flag)) && !is_true(self.trigger.old_column(flag)))
        {
            as_table_owner(self.trigger.table_owner(), || {
                self.locked(&self.parent(&parents), &parents, |versions| {
                    [None, versions.newest_that(Among::All, |row| is_flagged(row, flag))]
                })
            })?;
        }
        Ok(self.trigger.same_row())
    }

    /// The row that was current, and has been locked before, is so no more. If the statement has inserted several, each of
    /// them takes the flag from one that had it: the one before it, usually.
    fn after_insert(&self, db: &Db) -> Result<(), Error> {
        let (Some(flag), Some((parents, version))) = (self.columns.current, self.place(|n| self.trigger.new_column(n)))
        else {
            return Ok(());
        };
        let before = {
            let _now = FreshSnapshot::take();
            let versions = self.versions(&parents)?;
            let newest = |among| versions.newest_that(among, |row| is_flagged(row, flag));
            // Other triggers may have moved the flag since.
            newest(Among::Below(version))
                .filter(|_| newest(Among::Exactly(version)).or_else(|| newest(Among::Above(version))).is_some())
        };
        before.map_or(Ok(()), |row| self.set_flag(db, &row, false))
    }

    fn after_update(&self, db: &Db) -> Result<(), Error> {
        let (Some(flag), Some((parents, version))) = (self.columns.current, self.place(|n| self.trigger.new_column(n)))
        else {
            return Ok(());
        };
        let others = {
            let _now = FreshSnapshot::take();
            let versions = self.versions(&parents)?;
            if versions.newest_that(Among::Exactly(version), |row| is_flagged(row, flag)).is_none() {
                // Another row of the same statement has taken the flag from it.
                return Ok(());
            }
            versions.all_that(|row| is_flagged(row, flag) && self.number(row) != Some(version))
        };
        others.iter().try_for_each(|row| self.set_flag(db, row, false))
    }

    fn after_delete(&self, db: &Db) -> Result<(), Error> {
        let Some((parents, version)) = self.place(|number| self.trigger.old_column(number)) else { return Ok(()) };
        if let Some((link, id)) = self.columns.previous {
            self.relink(db, &parents, version, link, id)?;
        }
        if let Some(flag) = self.columns.current.filter(|&flag| self.trigger.old_column(flag).as_bool() == Some(true)) {
            let [current, newest] = self.locked(&self.parent(&parents), &parents, |versions| {
                let current = versions.newest_that(Among::All, |row| is_flagged(row, flag));
                let newest = if current.is_none() { versions.first(From::Newest, Among::All) } else { None };
                [current, newest]
            })?;
            if let (None, Some(newest)) = (current, newest) {
                self.set_flag(db, &newest, true)?;
            }
        }
        Ok(())
    }

    /// The row after a deleted one refers to the one before it.
    fn relink(&self, db: &Db, parents: &[(i32, Value<'t>)], version: i64, link: i32, id: i32) -> Result<(), Error> {
        let parent: Vec<String> = parents.iter().map(|(_, value)| value.to_text().unwrap_or_default()).collect();
        if self.gap.borrow().as_ref().is_some_and(|gap| gap.has(&parent, version)) {
            return Ok(());
        }
        let is_taken_again = {
            let _now = FreshSnapshot::take();
            self.versions(parents)?.first(From::Newest, Among::Exactly(version)).is_some()
        };
        if is_taken_again {
            // By a row of the same statement, which was linked when it came.
            return Ok(());
        }
        let [before, next] = self.locked(&self.parent(parents), parents, |versions| {
            [versions.first(From::Newest, Among::Below(version)), versions.first(From::Oldest, Among::Above(version))]
        })?;
        let number = |row: &Option<VersionRow>| row.as_ref().and_then(|row| self.number(row));
        *self.gap.borrow_mut() = Some(Gap { parent, above: number(&before), below: number(&next) });
        if let Some(next) = next {
            let of_type = self.trigger.column_type(link);
            let id = before.map_or(Value::null(of_type), |row| row.column(id));
            if next.column(link).to_text() != id.to_text() {
                let name = self.config.previous_id_column.as_deref().unwrap_or_default();
                self.set(db, &next, name, id)?;
            }
        }
        Ok(())
    }

    /// The parent's columns and their values; `None` if one is NULL.
    fn parents(&self, value: impl Fn(i32) -> Value<'t>) -> Option<Vec<(i32, Value<'t>)>> {
        self.columns.parents.iter().map(|&number| (!value(number).is_null()).then(|| (number, value(number)))).collect()
    }

    /// The parent and the number of a row; `None` if it has none.
    fn place(&self, value: impl Fn(i32) -> Value<'t>) -> Option<(Vec<(i32, Value<'t>)>, i64)> {
        let version = value(self.columns.version).as_integer()?;
        Some((self.parents(value)?, version))
    }

    fn parent(&self, parents: &[(i32, Value<'t>)]) -> Parent {
        Parent::new(self.trigger.root(), self.trigger.hash(parents))
    }

    fn versions(&self, parents: &[(i32, Value<'t>)]) -> Result<VersionIndex<'t>, Error> {
        self.trigger.versions(parents, self.columns.version).ok_or_else(|| {
            let columns = [&self.config.parent_columns[..], std::slice::from_ref(&self.config.version_column)].concat();
            not_as_enabled(self.trigger, format!("has no index on {}", columns.join(", ")))
        })
    }

    /// Takes the parent's lock, finds out about its versions, and locks those that have been found. Another transaction may
    /// hold such a row and wait for the parent's lock: then the lock is given back, and everything starts again when the row
    /// is free.
    fn locked(
        &self,
        parent: &Parent,
        parents: &[(i32, Value<'t>)],
        find: impl Fn(&VersionIndex<'t>) -> Found<'t>,
    ) -> Result<Found<'t>, Error> {
        // Without flag and link, no row is waited for.
        let waits_for_rows = self.columns.current.is_some() || self.columns.previous.is_some();
        loop {
            let lock = if waits_for_rows { parent.lock_returnably() } else { parent.lock() };
            let _now = FreshSnapshot::take();
            let versions = self.versions(parents)?;
            let found = find(&versions);
            if backend::fixed_snapshot() && self.numbers(&found) != self.numbers(&latest(|| find(&versions))) {
                return Err(self.lost_race());
            }
            let not_free = self.lock_rows(&found, lock.was_held());
            match not_free {
                None => {
                    lock.keep();
                    return Ok(found);
                }
                Some((_, _, RowLock::Changed)) if backend::fixed_snapshot() => return Err(self.lost_race()),
                Some((row, how, state)) => {
                    drop(lock);
                    if state == RowLock::Busy {
                        // The row is only waited for: whoever gets the parent's lock before may need it.
                        attempt(|| row.lock(how, true), |_| false);
                    }
                }
            }
        }
    }

    /// Locks the rows found. The one that could not be locked; then none is.
    fn lock_rows<'f>(&self, found: &'f Found<'t>, wait: bool) -> Option<(&'f VersionRow<'t>, LockFor, RowLock)> {
        let try_lock = |row: &'f VersionRow<'t>, how| match row.lock(how, wait) {
            RowLock::Locked => None,
            state => Some((row, how, state)),
        };
        // The new row refers to the newest one, if there is a link.
        let newest = found[0].as_ref().filter(|_| self.columns.previous.is_some());
        match (newest, found[1].as_ref()) {
            (None, None) => None,
            (Some(newest), None) => try_lock(newest, LockFor::Reference),
            (None, Some(changed)) => try_lock(changed, LockFor::Update),
            (Some(newest), Some(changed)) if newest.is(changed) => try_lock(changed, LockFor::Update),
            (Some(newest), Some(changed)) => attempt(
                || try_lock(changed, LockFor::Update).or_else(|| try_lock(newest, LockFor::Reference)),
                Option::is_none,
            ),
        }
    }

    /// Locks the rows that the foreign keys of the new row will lock, before the parent's lock is taken: whoever holds such
    /// a row may be about to insert below the same parent.
    fn lock_referenced(&self, call: &Call) {
        let referenced = self.trigger.referenced(self.columns.previous.map(|(link, _)| link));
        if referenced.is_empty() {
            return;
        }
        connect_for_user_code(call, self.trigger.schema(), |db| {
            for row in referenced {
                as_table_owner(row.owner, || db.dynamic_kept(row.lock, &row.key));
            }
        });
    }

    fn numbers(&self, found: &Found) -> [Option<i64>; 2] {
        found.each_ref().map(|row| row.as_ref().and_then(|row| self.number(row)))
    }

    fn number(&self, row: &VersionRow) -> Option<i64> {
        row.column(self.columns.version).as_integer()
    }

    fn set_flag(&self, db: &Db, row: &VersionRow, is_current: bool) -> Result<(), Error> {
        let name = self.config.current_column.as_deref().unwrap_or_default();
        self.set(db, row, name, is_current.into())
    }

    /// Changes a column of another row than the trigger's, with a statement, so that other triggers are called for it.
    fn set(&self, db: &Db, row: &VersionRow, column: &str, value: Value) -> Result<(), Error> {
        let (table, column) = (self.trigger.table_name(), backend::quoted_identifier(column));
        let sql = format!("UPDATE ONLY {table} SET {column} = $2 WHERE ctid OPERATOR(pg_catalog.=) $1");
        if db.dynamic_kept(sql, &[row.ctid(), value]).is_empty() {
            return Err(Error::SuppressedRow(table));
        }
        Ok(())
    }

    fn integer(&self, number: i64, newest: Option<i64>) -> Result<Value<'t>, Error> {
        let value = self.trigger.integer(self.columns.version, number).filter(|_| newest != Some(number));
        value.ok_or_else(|| Error::OwnTable {
            table: self.trigger.table_name(),
            what: format!(
                "has no room in its column \"{}\" for a version after {}",
                self.config.version_column,
                newest.unwrap_or_default()
            ),
            detail: None,
            hint: "Call disable_versioning, give the column a larger type, and call enable_versioning again.",
        })
    }

    fn not_next(&self, parents: &[(i32, Value)], given: i64, current: i64) -> Error {
        let parent = self.config.parent_columns.iter().zip(parents);
        let parent = parent.map(|(name, (_, value))| (name.clone(), value.to_text().into()));
        Error::NotNextVersion {
            table: self.trigger.table_name(),
            parent: serde_json::Value::Object(parent.collect()),
            given,
            current,
        }
    }

    fn refused(&self, what: &str, column: &str) -> Error {
        Error::Invalid(format!("table {}: the {what} of a row cannot be changed ({column})", self.trigger.table_name()))
    }

    fn refuse_later_triggers(&self) -> Result<(), Error> {
        match self.trigger.later_trigger() {
            None => Ok(()),
            Some(later) => Err(later_trigger(self.trigger.table_name(), &later)),
        }
    }

    fn lost_race(&self) -> Error {
        Error::LostRace(format!("table {}", self.trigger.table_name()))
    }
}

/// 55000 for a trigger that could change what the triggers here decide.
pub fn later_trigger(table: String, name: &str) -> Error {
    Error::OwnTable {
        table,
        what: format!("has a trigger \"{name}\", which is called after that of pg_versioned"),
        detail: None,
        hint: "Rename that trigger, so that its name sorts before the other's.",
    }
}

fn latest<T>(read: impl FnOnce() -> T) -> T {
    let _latest = LatestSnapshot::take();
    read()
}

fn is_flagged(row: &VersionRow, flag: i32) -> bool {
    row.column(flag).as_bool() == Some(true)
}

/// A row on its way from one partition to another: Postgres deletes it there and inserts it here, where it keeps its
/// number.
#[derive(PartialEq, Eq)]
struct Moving {
    transaction: u32,
    table: u32,
    parent: i64,
    version: i64,
}

thread_local! {
    static MOVING: RefCell<Vec<Moving>> = const { RefCell::new(Vec::new()) };
}

impl<'t> ProtectedRow<'t> {
    fn moving(&self, parents: &[(i32, Value<'t>)], version: i64) -> Moving {
        let (table, parent) = (self.trigger.root(), self.trigger.hash(parents));
        Moving { transaction: backend::local_transaction_id(), table, parent, version }
    }

    /// The row may be about to leave its partition.
    fn leaves(&self, parents: &[(i32, Value<'t>)]) {
        let version = self.trigger.new_column(self.columns.version).as_integer().unwrap_or_default();
        let moving = self.moving(parents, version);
        MOVING.with_borrow_mut(|known| {
            known.retain(|other| other.transaction == moving.transaction);
            known.push(moving);
        });
    }

    /// Whether the row comes from another partition.
    fn arrives(&self, parents: &[(i32, Value<'t>)], version: i64) -> Result<bool, Error> {
        if MOVING.with_borrow(Vec::is_empty) {
            return Ok(false);
        }
        let moving = self.moving(parents, version);
        let at =
            |known: &mut Vec<Moving>| known.iter().position(|other| *other == moving).map(|at| known.swap_remove(at));
        if MOVING.with_borrow_mut(at).is_none() {
            return Ok(false);
        }
        // One that was about to leave may have found that it could stay.
        let _now = FreshSnapshot::take();
        Ok(self.versions(parents)?.first(From::Newest, Among::Exactly(version)).is_none())
    }
}
