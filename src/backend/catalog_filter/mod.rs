//! What queries see in the catalogs while schemas are aside: nothing that is in them, as in a database that never had them.
//!
//! The conditions are added when a query is planned, as the rewriter adds those of row-level security. By then views have
//! been replaced by what they read, so that `pg_indexes` and `information_schema` need no attention; and what is stored, the
//! definition of a view or a function, is never planned. Plans that are kept are made anew when a schema is renamed, or that
//! is undone, because Postgres then discards all of them.

mod hidden;

use core::ffi::{CStr, c_char, c_int, c_void};
use std::cell::Cell;

use pgrx::pg_sys::{self, Node, Oid, ParamListInfo, PlannedStmt, Query};

use self::hidden::Conditions;
use super::guard::{ANY_STATEMENT, STATEMENT};
use super::hook::Hook;

/// Functions that are called without a guard: an error leaves by `longjmp`, through functions of Postgres and those here,
/// which hold nothing that would need dropping.
mod unguarded {
    use super::*;

    pub type Walker = unsafe extern "C-unwind" fn(*mut Node, *mut c_void) -> bool;

    unsafe extern "C-unwind" {
        #[cfg_attr(not(feature = "pg15"), link_name = "query_tree_walker_impl")]
        pub fn query_tree_walker(query: *mut Query, walker: Walker, context: *mut c_void, flags: c_int) -> bool;
        #[cfg_attr(not(feature = "pg15"), link_name = "expression_tree_walker_impl")]
        pub fn expression_tree_walker(node: *mut Node, walker: Walker, context: *mut c_void) -> bool;
        pub fn copyObjectImpl(from: *const c_void) -> *mut c_void;
        pub fn lappend(list: *mut pg_sys::List, element: *mut c_void) -> *mut pg_sys::List;
        pub fn ChangeVarNodes(node: *mut Node, from: c_int, to: c_int, level: c_int);
        pub fn LockRelationOid(relation: Oid, mode: pg_sys::LOCKMODE);
        pub fn standard_planner(
            query: *mut Query,
            source: *const c_char,
            options: c_int,
            params: ParamListInfo,
        ) -> *mut PlannedStmt;
        pub fn SearchSysCache1(cache: c_int, key: pg_sys::Datum) -> pg_sys::HeapTuple;
        pub fn ReleaseSysCache(tuple: pg_sys::HeapTuple);
    }
}

type Plan = unsafe extern "C-unwind" fn(*mut Query, *const c_char, c_int, ParamListInfo) -> *mut PlannedStmt;
type IsCalled = unsafe extern "C-unwind" fn(Oid) -> bool;

thread_local! {
    /// Null while there is no filter.
    static CONDITIONS: Cell<*const Conditions> = const { Cell::new(core::ptr::null()) };
    static PLAN: Hook<Plan> = const { Hook::new() };
    static IS_CALLED: Hook<IsCalled> = const { Hook::new() };
}

/// While it exists, queries of others do not see what is in some schemas.
pub struct CatalogFilter(*mut Conditions);

impl CatalogFilter {
    /// Must begin before the schemas are renamed, so that plans made before are discarded.
    pub fn begin(schemas: &[Oid]) -> Self {
        let conditions = Box::into_raw(Box::new(Conditions::outside(schemas)));
        CONDITIONS.set(conditions);
        // SAFETY: the variables of these hooks.
        unsafe {
            PLAN.with(|hook| hook.install(&raw mut pg_sys::planner_hook, plan));
            IS_CALLED.with(|hook| hook.install(&raw mut pg_sys::needs_fmgr_hook, is_called));
        }
        CatalogFilter(conditions)
    }
}

impl Drop for CatalogFilter {
    fn drop(&mut self) {
        CONDITIONS.set(core::ptr::null());
        // SAFETY: the variables of these hooks; and nobody else has the box any more.
        unsafe {
            PLAN.with(|hook| {
                hook.remove(&raw mut pg_sys::planner_hook, |top| core::ptr::fn_addr_eq(top, plan as Plan));
            });
            IS_CALLED.with(|hook| {
                hook.remove(&raw mut pg_sys::needs_fmgr_hook, |top| core::ptr::fn_addr_eq(top, is_called as IsCalled));
            });
            drop(Box::from_raw(self.0));
        }
    }
}

/// Plans a query, with the conditions on the catalogs that it reads.
unsafe extern "C-unwind" fn plan(
    query: *mut Query,
    source: *const c_char,
    options: c_int,
    params: ParamListInfo,
) -> *mut PlannedStmt {
    // SAFETY: what Postgres passed; see `unguarded` about errors.
    unsafe {
        let conditions = CONDITIONS.get();
        if !conditions.is_null() && !is_own(source) {
            visit(query.cast(), conditions.cast_mut().cast());
        }
        match PLAN.with(|hook| hook.previous()) {
            Some(previous) => previous(query, source, options, params),
            None => unguarded::standard_planner(query, source, options, params),
        }
    }
}

/// Whether a query is one of the extension's own.
///
/// # Safety
/// The source must be a string or null.
unsafe fn is_own(source: *const c_char) -> bool {
    // SAFETY: see above; compared up to the first difference, because the source may be a long script.
    unsafe {
        let begins = || (0..).zip(ANY_STATEMENT.bytes()).all(|(at, byte)| *source.add(at) as u8 == byte);
        !source.is_null() && begins() && CStr::from_ptr(source).to_bytes().ends_with(STATEMENT[1].as_bytes())
    }
}

/// Visits the queries in a query and adds conditions to each.
///
/// # Safety
/// The node must be a valid tree or null, the context [`Conditions`].
unsafe extern "C-unwind" fn visit(node: *mut Node, context: *mut c_void) -> bool {
    // SAFETY: see above.
    unsafe {
        if node.is_null() {
            return false;
        }
        if (*node).type_ != pg_sys::NodeTag::T_Query {
            return unguarded::expression_tree_walker(node, visit, context);
        }
        // First what is in it, because the conditions themselves must see everything.
        unguarded::query_tree_walker(node.cast(), visit, context, 0);
        add_conditions(node.cast(), &*context.cast::<Conditions>());
        false
    }
}

/// # Safety
/// The query must be valid.
unsafe fn add_conditions(query: *mut Query, conditions: &Conditions) {
    // SAFETY: see above; the range table is a list of RangeTblEntry, or null if it is empty.
    unsafe {
        let query = &mut *query;
        let count = if query.rtable.is_null() { 0 } else { (*query.rtable).length };
        for number in 1..=count {
            let entry =
                &mut *(*(*query.rtable).elements.add(number as usize - 1)).ptr_value.cast::<pg_sys::RangeTblEntry>();
            let is_inserted_into = query.commandType == pg_sys::CmdType::CMD_INSERT && query.resultRelation == number;
            if entry.rtekind != pg_sys::RTEKind::RTE_RELATION || is_inserted_into {
                continue;
            }
            for condition in conditions.on(entry.relid) {
                let copy = unguarded::copyObjectImpl(condition.expression.cast());
                unguarded::ChangeVarNodes(copy.cast(), 1, number, 0);
                entry.securityQuals = unguarded::lappend(entry.securityQuals, copy);
                if let Some(catalog) = condition.reads {
                    // The parser would have taken it.
                    unguarded::LockRelationOid(catalog, pg_sys::AccessShareLock as _);
                    query.hasSubLinks = true;
                }
            }
        }
    }
}

/// OID of the language SQL (pg_language.dat).
const SQL_LANGUAGE: Oid = Oid::from_u32(14);

/// Whether a function must be called as one: those that return sets of rows and are written in SQL would else be replaced by
/// their queries after [`plan`] has seen the query.
unsafe extern "C-unwind" fn is_called(function: Oid) -> bool {
    // SAFETY: a look-up by OID; see `unguarded` about errors.
    unsafe {
        if IS_CALLED.with(|hook| hook.previous()).is_some_and(|previous| previous(function)) {
            return true;
        }
        if CONDITIONS.get().is_null() {
            return false;
        }
        let row = unguarded::SearchSysCache1(pg_sys::SysCacheIdentifier::PROCOID as _, function.into());
        if row.is_null() {
            return false;
        }
        let form = pg_sys::GETSTRUCT(row).cast::<pg_sys::FormData_pg_proc>();
        let is_replaced = (*form).proretset && (*form).prolang == SQL_LANGUAGE;
        unguarded::ReleaseSysCache(row);
        is_replaced
    }
}
