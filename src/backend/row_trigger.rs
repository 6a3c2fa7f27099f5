//! Calls of row triggers on tables of users: the rows passed to them, what there is to know about the table, and the row
//! they return.

use core::ffi::CStr;

use pgrx::pg_sys;

use super::row::attribute;
use super::trigger::{misused, trigger_data};
use super::value::Value;
use super::version_index::{VersionIndex, integer};
use super::{Answer, Call, RoleId, guard};
use crate::error::Error;

/// When a row trigger is called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    BeforeInsert,
    BeforeUpdate,
    AfterInsert,
    AfterUpdate,
    AfterDelete,
}

/// A call for one row of a user's table.
pub struct RowTrigger<'c> {
    call: &'c Call,
    data: &'c pg_sys::TriggerData,
    pub when: When,
}

impl<'c> RowTrigger<'c> {
    /// 22023 if the function is not called by a row trigger in one of these ways.
    pub fn of(call: &'c Call, allowed: &[When]) -> Result<Self, Error> {
        // SAFETY: trigger data lives as long as the call.
        let data = unsafe { trigger_data(call.fcinfo) }.ok_or_else(misused)?;
        let when = when(data.tg_event).filter(|when| allowed.contains(when)).ok_or_else(misused)?;
        Ok(RowTrigger { call, data, when })
    }

    /// The trigger's only argument. 22023 if it has none or several.
    pub fn argument(&self) -> Result<&'c str, Error> {
        // SAFETY: a trigger has that many arguments, which are strings and live as long as the call.
        unsafe {
            let trigger = &*self.data.tg_trigger;
            let argument = (trigger.tgnargs == 1).then(|| CStr::from_ptr(*trigger.tgargs));
            argument.and_then(|argument| argument.to_str().ok()).ok_or_else(misused)
        }
    }

    fn relation(&self) -> pg_sys::Relation {
        self.data.tg_relation
    }

    /// The number of the column of this name.
    pub fn column_number(&self, name: &str) -> Option<i32> {
        // SAFETY: the relation is open.
        let desc = unsafe { (*self.relation()).rd_att };
        // SAFETY: the descriptor has that many attributes; their names are strings.
        let is_it = |number: &i32| unsafe {
            let column = &*attribute(desc, *number);
            !column.attisdropped && CStr::from_ptr(column.attname.data.as_ptr()).to_bytes() == name.as_bytes()
        };
        // SAFETY: as above.
        (1..=unsafe { (*desc).natts }).find(is_it)
    }

    /// A column's type.
    pub fn column_type(&self, number: i32) -> pg_sys::Oid {
        // SAFETY: the number is one of the relation's.
        unsafe { (*attribute((*self.relation()).rd_att, number)).atttypid }
    }

    /// A column of the row that is inserted, deleted, or has been updated.
    pub fn old_column(&self, number: i32) -> Value<'c> {
        // SAFETY: a row trigger has this row.
        unsafe { self.value(self.data.tg_trigtuple, number) }
    }

    /// A column of the row that is inserted, or of the new row of an update.
    pub fn new_column(&self, number: i32) -> Value<'c> {
        // SAFETY: an update has both rows.
        unsafe { self.value(self.new_tuple(), number) }
    }

    fn new_tuple(&self) -> pg_sys::HeapTuple {
        let is_update = matches!(self.when, When::BeforeUpdate | When::AfterUpdate);
        if is_update { self.data.tg_newtuple } else { self.data.tg_trigtuple }
    }

    unsafe fn value(&self, tuple: pg_sys::HeapTuple, number: i32) -> Value<'c> {
        // SAFETY: ensured by the caller; the tuple lives as long as the call.
        unsafe {
            let (desc, mut is_null) = ((*self.relation()).rd_att, false);
            let datum = pg_sys::SPI_getbinval(tuple, desc, number, &mut is_null);
            Value::new((*attribute(desc, number)).atttypid, (!is_null).then_some(datum))
        }
    }

    /// Whether a column is the same in the old and the new row of an update, as its type compares.
    pub fn is_same(&self, number: i32) -> bool {
        match (self.old_column(number).datum(), self.new_column(number).datum()) {
            (None, None) => true,
            // SAFETY: both are values of the column.
            (Some(old), Some(new)) => unsafe {
                let column = &*attribute((*self.relation()).rd_att, number);
                guard::datumIsEqual(old, new, column.attbyval, column.attlen.into()) || equal(column, old, new)
            },
            _ => false,
        }
    }

    /// Returns the row it was called for, unchanged.
    pub fn same_row(&self) -> Answer {
        Answer(pg_sys::Datum::from(self.new_tuple()))
    }

    /// Returns the row it was called for with other values in some columns.
    pub fn changed_row(&self, columns: &[(i32, Value)]) -> Answer {
        let mut numbers: Vec<i32> = columns.iter().map(|(number, _)| *number).collect();
        let (mut datums, mut nulls): (Vec<_>, Vec<_>) = columns.iter().map(|(_, value)| value.parts()).unzip();
        // SAFETY: the values are of the columns' types; the row is made where the executor expects it.
        unsafe {
            let before = pg_sys::MemoryContextSwitchTo(self.call.memory);
            let row = pg_sys::heap_modify_tuple_by_cols(
                self.new_tuple(),
                (*self.relation()).rd_att,
                columns.len() as _,
                numbers.as_mut_ptr(),
                datums.as_mut_ptr(),
                nulls.as_mut_ptr(),
            );
            pg_sys::MemoryContextSwitchTo(before);
            Answer(pg_sys::Datum::from(row))
        }
    }

    /// A number as a value of an integer column; `None` if its type cannot hold it.
    pub fn integer(&self, column: i32, number: i64) -> Option<Value<'c>> {
        let of_type = self.column_type(column);
        // SAFETY: the value is of that type, which is passed by value.
        integer(of_type, number).map(|datum| unsafe { Value::new(of_type, Some(datum)) })
    }

    /// The table's owner.
    pub fn table_owner(&self) -> RoleId {
        // SAFETY: the relation is open.
        unsafe { (*(*self.relation()).rd_rel).relowner }
    }

    /// The table as SQL writes it.
    pub fn table_name(&self) -> String {
        // SAFETY: the relation is open.
        unsafe {
            let entry = &*(*self.relation()).rd_rel;
            qualified(entry.relnamespace, &entry.relname)
        }
    }

    /// The schema, quoted, of the table, or of the topmost partitioned table that it is a partition of.
    pub fn schema(&self) -> String {
        // SAFETY: the table exists, and the name is a string.
        unsafe {
            let schema = pg_sys::get_namespace_name(pg_sys::get_rel_namespace(self.root().into()));
            super::quoted_identifier(&CStr::from_ptr(schema).to_string_lossy())
        }
    }

    /// Whether the table is a partition.
    pub fn is_partition(&self) -> bool {
        // SAFETY: the relation is open.
        unsafe { (*(*self.relation()).rd_rel).relispartition }
    }

    /// The OID of the table, or of the topmost partitioned table that it is a partition of.
    pub fn root(&self) -> u32 {
        // SAFETY: a partition has ancestors, the topmost of which is the last.
        unsafe {
            let oid = (*self.relation()).rd_id;
            if !self.is_partition() {
                return oid.to_u32();
            }
            let ancestors = guard::get_partition_ancestors(oid);
            if ancestors.is_null() { oid } else { pg_sys::list_nth_oid(ancestors, (*ancestors).length - 1) }.to_u32()
        }
    }

    /// A hash that is equal for equal values of some columns, as their types compare; columns of types that have no such
    /// hash do not count.
    pub fn hash(&self, columns: &[(i32, Value)]) -> i64 {
        columns.iter().fold(0, |hash, (number, value)| {
            // SAFETY: the value is one of the column.
            value.datum().map_or(hash, |datum| unsafe {
                hash_extended(&*attribute((*self.relation()).rd_att, *number), datum, hash)
            })
        })
    }

    /// Name of a `BEFORE` trigger that is called after this one, and could change what it has decided.
    pub fn later_trigger(&self) -> Option<String> {
        const CHANGES: u32 = pg_sys::TRIGGER_TYPE_INSERT | pg_sys::TRIGGER_TYPE_UPDATE;
        // SAFETY: a relation whose trigger is called has a description of its triggers; their names are strings.
        unsafe {
            let (own, function) = (CStr::from_ptr((*self.data.tg_trigger).tgname), (*self.data.tg_trigger).tgfoid);
            let description = &*(*self.relation()).trigdesc;
            let triggers = core::slice::from_raw_parts(description.triggers, description.numtriggers as usize);
            let is_later = |trigger: &&pg_sys::Trigger| {
                let kind = trigger.tgtype as u32;
                kind & pg_sys::TRIGGER_TYPE_ROW != 0
                    && kind & pg_sys::TRIGGER_TYPE_BEFORE != 0
                    && kind & CHANGES != 0
                    && fires(trigger)
                    && trigger.tgfoid != function
                    && CStr::from_ptr(trigger.tgname) > own
            };
            let later = triggers.iter().find(is_later)?;
            Some(CStr::from_ptr(later.tgname).to_string_lossy().into_owned())
        }
    }

    /// The versions below a parent: `parents` are its columns and their values, none of them NULL.
    pub fn versions<'t>(&'t self, parents: &[(i32, Value<'t>)], version: i32) -> Option<VersionIndex<'t>> {
        // SAFETY: the relation is open and locked by the statement that calls the trigger.
        unsafe { VersionIndex::open(self.relation(), parents, version) }
    }
}

/// A row of another table, or of the same, that a foreign key of the new row refers to.
pub struct Referenced<'c> {
    pub owner: RoleId,
    /// A query that locks it as the foreign key will.
    pub lock: String,
    /// The query's parameters.
    pub key: Vec<Value<'c>>,
}

impl<'c> RowTrigger<'c> {
    /// The rows that the foreign keys of the new row refer to, except by the column `but`.
    pub fn referenced(&self, but: Option<i32>) -> Vec<Referenced<'c>> {
        // SAFETY: the list belongs to the relation, which may be read anew while names are looked up; so it is copied first.
        let keys: Vec<pg_sys::ForeignKeyCacheInfo> = unsafe {
            let keys = pg_sys::RelationGetFKeyList(self.relation());
            let count = if keys.is_null() { 0 } else { (*keys).length };
            (0..count).map(|n| *pg_sys::list_nth(keys, n).cast::<pg_sys::ForeignKeyCacheInfo>()).collect()
        };
        keys.iter().filter_map(|key| self.referenced_by(key, but)).collect()
    }

    fn referenced_by(&self, key: &pg_sys::ForeignKeyCacheInfo, but: Option<i32>) -> Option<Referenced<'c>> {
        let count = key.nkeys as usize;
        let columns = || key.conkey[..count].iter().map(|&number| i32::from(number));
        let values: Vec<Value> = columns().map(|number| self.new_column(number)).collect();
        if columns().any(|number| Some(number) == but) || values.iter().any(|value| value.is_null()) {
            return None;
        }
        // SAFETY: a foreign key refers to columns of an existing table, and all of these functions return strings.
        unsafe {
            let entry = pg_sys::SearchSysCache1(pg_sys::SysCacheIdentifier::RELOID as _, key.confrelid.into());
            if entry.is_null() {
                return None;
            }
            let class = &*(pg_sys::GETSTRUCT(entry) as *const pg_sys::FormData_pg_class);
            let (owner, kind) = (class.relowner, class.relkind as u8);
            let table = qualified(class.relnamespace, &class.relname);
            pg_sys::ReleaseSysCache(entry);
            let clauses = pg_sys::makeStringInfo();
            for (n, value) in values.iter().enumerate() {
                let number = key.confkey[n];
                let of_type = pg_sys::get_atttype(key.confrelid, number);
                let name = CStr::from_ptr(pg_sys::get_attname(key.confrelid, number, false)).to_string_lossy();
                let left = std::ffi::CString::new(format!("x.{}", super::quoted_identifier(&name))).ok()?;
                let right = std::ffi::CString::new(format!("${}", n + 1)).ok()?;
                if n > 0 {
                    pg_sys::appendStringInfoString(clauses, c" AND ".as_ptr());
                }
                let (left, right, operator) = (left.as_ptr(), right.as_ptr(), key.conpfeqop[n]);
                pg_sys::generate_operator_clause(clauses, left, of_type, operator, right, value.oid());
            }
            let clauses = CStr::from_ptr((*clauses).data).to_string_lossy();
            // As in RI_FKey_check (ri_triggers.c).
            let only = if kind == pg_sys::RELKIND_PARTITIONED_TABLE { "" } else { "ONLY " };
            let lock = format!("SELECT 1 FROM {only}{table} x WHERE {clauses} FOR KEY SHARE OF x");
            Some(Referenced { owner, lock, key: values })
        }
    }
}

/// A relation's name as SQL writes it.
unsafe fn qualified(namespace: pg_sys::Oid, name: &pg_sys::NameData) -> String {
    // SAFETY: the schema exists, and both names are strings.
    unsafe {
        let schema = CStr::from_ptr(pg_sys::get_namespace_name(namespace)).to_string_lossy();
        let name = CStr::from_ptr(name.data.as_ptr()).to_string_lossy();
        format!("{}.{}", super::quoted_identifier(&schema), super::quoted_identifier(&name))
    }
}

/// Whether it is called in sessions that are not applying another server's changes.
fn fires(trigger: &pg_sys::Trigger) -> bool {
    [pg_sys::TRIGGER_FIRES_ON_ORIGIN, pg_sys::TRIGGER_FIRES_ALWAYS].contains(&(trigger.tgenabled as u8))
}

fn when(event: u32) -> Option<When> {
    if event & pg_sys::TRIGGER_EVENT_ROW == 0 {
        return None;
    }
    let is_before = match event & pg_sys::TRIGGER_EVENT_TIMINGMASK {
        pg_sys::TRIGGER_EVENT_BEFORE => true,
        pg_sys::TRIGGER_EVENT_AFTER => false,
        _ => return None,
    };
    match (event & pg_sys::TRIGGER_EVENT_OPMASK, is_before) {
        (pg_sys::TRIGGER_EVENT_INSERT, true) => Some(When::BeforeInsert),
        (pg_sys::TRIGGER_EVENT_UPDATE, true) => Some(When::BeforeUpdate),
        (pg_sys::TRIGGER_EVENT_INSERT, false) => Some(When::AfterInsert),
        (pg_sys::TRIGGER_EVENT_UPDATE, false) => Some(When::AfterUpdate),
        (pg_sys::TRIGGER_EVENT_DELETE, false) => Some(When::AfterDelete),
        _ => None,
    }
}

/// Whether two values of a column are equal by the default operator of its type.
unsafe fn equal(column: &pg_sys::FormData_pg_attribute, a: pg_sys::Datum, b: pg_sys::Datum) -> bool {
    // SAFETY: ensured by the caller; entries of the cache live forever.
    unsafe {
        let of_type = pg_sys::lookup_type_cache(column.atttypid, pg_sys::TYPECACHE_EQ_OPR_FINFO as _);
        let function = &raw mut (*of_type).eq_opr_finfo;
        (*function).fn_oid != pg_sys::InvalidOid
            && guard::FunctionCall2Coll(function, column.attcollation, a, b).value() as u8 != 0
    }
}

/// The seed itself if the column's type has no hash function.
unsafe fn hash_extended(column: &pg_sys::FormData_pg_attribute, value: pg_sys::Datum, seed: i64) -> i64 {
    // SAFETY: as above.
    unsafe {
        let of_type = pg_sys::lookup_type_cache(column.atttypid, pg_sys::TYPECACHE_HASH_EXTENDED_PROC_FINFO as _);
        let function = &raw mut (*of_type).hash_extended_proc_finfo;
        if (*function).fn_oid == pg_sys::InvalidOid {
            return seed;
        }
        guard::FunctionCall2Coll(function, column.attcollation, value, pg_sys::Datum::from(seed)).value() as i64
    }
}
