//! Moving schemas aside, so that a replay finds empty ones under their names. All of it is undone with the subtransaction.
//!
//! The rows of the catalogs are changed directly: ALTER SCHEMA ... RENAME would lock the schema, so that others could not
//! create tables in it.

use std::ffi::{CStr, CString};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use pgrx::pg_sys::{self, Oid};

use super::guard::{self, PostgresError};
use crate::error::Error;

/// The name that a schema has while it is aside. No user can make one with it: `pg_` is Postgres' own.
fn name_aside(object: Oid) -> CString {
    CString::new(format!("pg_versioned_aside_{}", u32::from(object))).expect("no NUL")
}

/// Renames a schema and puts an empty one in its place, with its owner, privileges and comment. Returns the OID of that. The caller
/// must have checked that the current role may do this.
///
/// 40001 if somebody has changed or dropped the schema at the same time, or since the transaction's snapshot.
pub fn move_schema_aside(schema: Oid, name: &str) -> Result<Oid, Error> {
    if !is_still(schema, name) {
        return Err(Error::LostRace(format!("schema \"{name}\"")));
    }
    catch_unwind(AssertUnwindSafe(|| move_aside(schema, name))).map_err(|panic| {
        match panic.downcast_ref::<PostgresError>().map(PostgresError::raised) {
            // What CatalogTupleUpdate raises then has no SQLSTATE of its own.
            Some(raised) if raised.sqlstate == "XX000" => {
                Error::LostRace(format!("schema \"{name}\": {}", raised.message))
            }
            _ => resume_unwind(panic),
        }
    })
}

/// Whether a schema has this name now, and is the current role's.
fn is_still(schema: Oid, name: &str) -> bool {
    // SAFETY: a look-up by OID; what is found is released.
    unsafe {
        let row = pg_sys::SearchSysCache1(pg_sys::SysCacheIdentifier::NAMESPACEOID as _, schema.into());
        if row.is_null() {
            return false;
        }
        let form = pg_sys::GETSTRUCT(row).cast::<pg_sys::FormData_pg_namespace>();
        let is_named = CStr::from_ptr((*form).nspname.data.as_ptr()).to_bytes() == name.as_bytes();
        let is_owner = pg_sys::has_privs_of_role(pg_sys::GetUserId(), (*form).nspowner);
        pg_sys::ReleaseSysCache(row);
        is_named && is_owner
    }
}

fn move_aside(schema: Oid, name: &str) -> Oid {
    let name = CString::new(name).expect("names contain no NUL");
    // SAFETY: the steps of RenameSchema in schemacmds.c without its lock. What is opened is closed, or released by the
    // abort that an error leads to.
    unsafe {
        let catalog = pg_sys::table_open(pg_sys::NamespaceRelationId, pg_sys::RowExclusiveLock as _);
        let cache = pg_sys::SysCacheIdentifier::NAMESPACEOID as _;
        let old = pg_sys::SearchSysCacheCopy(cache, schema.into(), 0.into(), 0.into(), 0.into());
        assert!(!old.is_null(), "the schema is not in the catalog");
        let form = pg_sys::GETSTRUCT(old).cast::<pg_sys::FormData_pg_namespace>();
        let owner = (*form).nspowner;
        let mut no_privileges = false;
        let privileges = pg_sys::SysCacheGetAttr(cache, old, pg_sys::Anum_pg_namespace_nspacl as _, &mut no_privileges);
        pg_sys::namestrcpy(&mut (*form).nspname, name_aside(schema).as_ptr());
        guard::CatalogTupleUpdate(catalog, &mut (*old).t_self, old);
        pg_sys::CommandCounterIncrement();

        let copy = pg_sys::NamespaceCreate(name.as_ptr(), owner, false);
        pg_sys::CommandCounterIncrement();
        let made = pg_sys::SearchSysCacheCopy(cache, copy.into(), 0.into(), 0.into(), 0.into());
        const COLUMNS: usize = pg_sys::Natts_pg_namespace as usize;
        let (mut values, mut nulls, mut replaced) =
            ([pg_sys::Datum::null(); COLUMNS], [false; COLUMNS], [false; COLUMNS]);
        let column = pg_sys::Anum_pg_namespace_nspacl as usize - 1;
        (values[column], nulls[column], replaced[column]) = (privileges, no_privileges, true);
        let desc = (*catalog).rd_att;
        let with_privileges =
            pg_sys::heap_modify_tuple(made, desc, values.as_mut_ptr(), nulls.as_mut_ptr(), replaced.as_mut_ptr());
        guard::CatalogTupleUpdate(catalog, &mut (*made).t_self, with_privileges);
        pg_sys::table_close(catalog, pg_sys::RowExclusiveLock as _);
        pg_sys::CreateComments(
            copy,
            pg_sys::NamespaceRelationId,
            0,
            pg_sys::GetComment(schema, pg_sys::NamespaceRelationId, 0),
        );
        pg_sys::CommandCounterIncrement();
        copy
    }
}

/// The beginning of the rows of catalogs of objects that are in no schema.
#[repr(C)]
struct OidAndName {
    oid: Oid,
    name: pg_sys::NameData,
}

/// Catalogs of such objects that extensions have.
const NAMED: [u32; 5] = [
    2601, // pg_am
    2612, // pg_language
    pg_sys::ForeignDataWrapperRelationId.to_u32(),
    pg_sys::ForeignServerRelationId.to_u32(),
    pg_sys::EventTriggerRelationId.to_u32(),
];

/// Renames an extension, so that another one can be created under its name, and what would be in the way of it: `members`
/// are the extension's objects, by catalog and OID. Those in a schema are out of the way with that.
pub fn move_extension_aside(extension: Oid, members: &[(Oid, Oid)]) {
    rename_rows(pg_sys::ExtensionRelationId, &[extension]);
    let of = |catalog: Oid| members.iter().filter(|member| member.0 == catalog).map(|member| member.1).collect();
    for catalog in NAMED.map(Oid::from) {
        let objects: Vec<Oid> = of(catalog);
        if !objects.is_empty() {
            rename_rows(catalog, &objects);
        }
    }
    // A type has one default operator class per access method, whatever schema it is in.
    let classes: Vec<Oid> = of(pg_sys::OperatorClassRelationId);
    change_rows(pg_sys::OperatorClassRelationId, |tuple| {
        // SAFETY: a copy of a row of pg_opclass.
        unsafe {
            let form = pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_opclass>();
            classes.contains(&(*form).oid) && std::mem::take(&mut (*form).opcdefault)
        }
    });
}

/// Renames objects in a catalog whose rows begin with OID and name.
fn rename_rows(catalog: Oid, objects: &[Oid]) {
    change_rows(catalog, |tuple| {
        // SAFETY: a copy of a row of such a catalog.
        unsafe {
            let form = pg_sys::GETSTRUCT(tuple).cast::<OidAndName>();
            let is_one = objects.contains(&(*form).oid);
            if is_one {
                pg_sys::namestrcpy(&mut (*form).name, name_aside((*form).oid).as_ptr());
            }
            is_one
        }
    });
}

/// Keeps event triggers from firing, and publications of all tables from forbidding changes of tables without a primary
/// key: a fresh database has none.
pub fn disable_database_wide_rules() {
    const DISABLED: core::ffi::c_char = b'D' as _;
    let publications_changed = change_rows(pg_sys::PublicationRelationId, |tuple| {
        // SAFETY: a copy of a row of pg_publication.
        unsafe {
            let form = pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_publication>();
            std::mem::take(&mut (*form).puballtables)
        }
    });
    if publications_changed {
        // What a table's entry says of publications is not looked up again otherwise, neither now nor when this is undone.
        // SAFETY: a message to this session; others get it only if the transaction commits it.
        unsafe { pg_sys::CacheInvalidateRelcacheAll() };
    }
    change_rows(pg_sys::EventTriggerRelationId, |tuple| {
        // SAFETY: a copy of a row of pg_event_trigger.
        unsafe {
            let form = pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_event_trigger>();
            let was_enabled = (*form).evtenabled != DISABLED;
            (*form).evtenabled = DISABLED;
            was_enabled
        }
    });
}

/// Updates the rows of a small catalog that `change` changes; it gets a copy and says whether it did. True if there were any.
fn change_rows(catalog: Oid, change: impl Fn(pg_sys::HeapTuple) -> bool) -> bool {
    let mut changed = false;
    // SAFETY: a scan of a catalog as in many commands; what is opened is closed, or released after an error.
    unsafe {
        let catalog = pg_sys::table_open(catalog, pg_sys::RowExclusiveLock as _);
        let (newest, no_keys) = (core::ptr::null_mut(), core::ptr::null_mut());
        let scan = pg_sys::systable_beginscan(catalog, pg_sys::InvalidOid, false, newest, 0, no_keys);
        loop {
            let row = pg_sys::systable_getnext(scan);
            if row.is_null() {
                break;
            }
            let copy = pg_sys::heap_copytuple(row);
            if change(copy) {
                guard::CatalogTupleUpdate(catalog, &mut (*copy).t_self, copy);
                changed = true;
            }
        }
        pg_sys::systable_endscan(scan);
        pg_sys::table_close(catalog, pg_sys::RowExclusiveLock as _);
        pg_sys::CommandCounterIncrement();
    }
    changed
}

/// The schema that a name stands for now.
pub fn schema_named(name: &str) -> Option<Oid> {
    let name = CString::new(name).expect("names contain no NUL");
    // SAFETY: a look-up by name.
    let schema = unsafe { pg_sys::get_namespace_oid(name.as_ptr(), true) };
    (schema != pg_sys::InvalidOid).then_some(schema)
}

/// Drops a schema; an error, 2BP01, if there is anything in it.
pub fn drop_schema(schema: Oid) {
    drop_object(pg_sys::NamespaceRelationId, schema, pg_sys::DropBehavior::DROP_RESTRICT);
}

/// Drops a relation and what depends on it; nothing if it is gone.
pub fn drop_relation(relation: Oid) {
    // SAFETY: a look-up by OID.
    if unsafe { pg_sys::get_rel_relkind(relation) } != 0 {
        drop_object(pg_sys::RelationRelationId, relation, pg_sys::DropBehavior::DROP_CASCADE);
    }
}

fn drop_object(class: Oid, object: Oid, behavior: pg_sys::DropBehavior::Type) {
    let object = pg_sys::ObjectAddress { classId: class, objectId: object, objectSubId: 0 };
    let quietly = pg_sys::PERFORM_DELETION_QUIETLY as _;
    // SAFETY: the object exists; everything else is checked by Postgres.
    unsafe {
        guard::performDeletion(&object, behavior, quietly);
        pg_sys::CommandCounterIncrement();
    }
}
