//! What Postgres knows of the types and tables of users.

use core::ffi::CStr;

use pgrx::pg_sys::{self, Oid};

use super::dynamic::quoted_identifier;

/// The operator by which a type's default order says that two values are equal; `None` if the type has no such order.
pub fn equality_operator(type_oid: Oid) -> Option<Oid> {
    let flags = pg_sys::TYPECACHE_EQ_OPR | pg_sys::TYPECACHE_LT_OPR;
    // SAFETY: the type is that of a column; its entry lives as long as the session.
    let (equal, less) = unsafe {
        let entry = pg_sys::lookup_type_cache(type_oid, flags as _);
        ((*entry).eq_opr, (*entry).lt_opr)
    };
    (equal != pg_sys::InvalidOid && less != pg_sys::InvalidOid).then_some(equal)
}

/// Keeps a table from being changed, renamed or dropped until the transaction ends, and nobody from reading or writing it.
pub fn keep_as_it_is(table: Oid) {
    // SAFETY: locking an OID is safe even if the table no longer exists.
    unsafe { pg_sys::LockRelationOid(table, pg_sys::AccessShareLock as _) };
}

/// Whether the transaction has deferred triggers of the table to its end.
pub fn has_pending_triggers(table: Oid) -> bool {
    // SAFETY: reads the session's list of events; any OID is allowed.
    unsafe { pg_sys::AfterTriggerPendingOnRel(table) }
}

/// The name of a relation with its schema, quoted; its OID if there is no such relation. `schema_name` may know a schema by
/// another name than its present one.
pub fn qualified_name(relation: Oid, schema_name: impl FnOnce(Oid) -> Option<String>) -> String {
    // SAFETY: any OID is allowed; the names are strings in the current memory context, or null.
    unsafe {
        let name = |name: *const core::ffi::c_char| {
            (!name.is_null()).then(|| CStr::from_ptr(name).to_string_lossy().into_owned())
        };
        let schema = pg_sys::get_rel_namespace(relation);
        let schema = schema_name(schema).or_else(|| name(pg_sys::get_namespace_name(schema)));
        match (schema, name(pg_sys::get_rel_name(relation))) {
            (Some(schema), Some(name)) => format!("{}.{}", quoted_identifier(&schema), quoted_identifier(&name)),
            _ => format!("the relation with OID {}", u32::from(relation)),
        }
    }
}
