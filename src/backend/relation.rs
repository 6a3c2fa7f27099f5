//! What Postgres knows of the types and tables of users.

use pgrx::pg_sys::{self, Oid};

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

/// Whether the transaction has deferred triggers of the table to its end.
pub fn has_pending_triggers(table: Oid) -> bool {
    // SAFETY: reads the session's list of events; any OID is allowed.
    unsafe { pg_sys::AfterTriggerPendingOnRel(table) }
}
