//! Running one statement: the steps of execute_sql_string in extension.c, which runs the scripts of extensions.

use pgrx::{PgList, PgMemoryContexts, pg_sys};

use super::super::guard;
use super::{Script, Statement};

/// Runs a script that is known to be one.
pub fn run_script(sql: &str) {
    let script = Script::parse(sql).ok().expect("the script can be parsed");
    script.statements().iter().for_each(|&statement| script.run(statement));
}

impl Script {
    /// Runs a statement, whose result is thrown away.
    pub fn run(&self, statement: Statement) {
        let mut memory = PgMemoryContexts::new("pg_versioned statement of a script");
        // SAFETY: the tree is valid as long as the script. What the statement holds belongs to its subtransaction, which an
        // error ends.
        unsafe { memory.switch_to(|_| self.run_here(statement)) };
    }

    /// # Safety
    /// The statement must be one of the script, or a copy.
    unsafe fn run_here(&self, statement: Statement) {
        // SAFETY: see above, and `run`.
        unsafe {
            // Values of enums that this transaction has added may be used: nothing of it is ever committed.
            pg_sys::AtEOXact_Enum();
            let source = self.source().as_ptr();
            let none = core::ptr::null_mut();
            begin_command();
            let queries = guard::pg_analyze_and_rewrite_fixedparams(statement.tree, source, core::ptr::null(), 0, none);
            let plans = PgList::<pg_sys::PlannedStmt>::from_pg(guard::pg_plan_queries(
                queries,
                source,
                0,
                core::ptr::null_mut(),
            ));
            pg_sys::PopActiveSnapshot();
            let plans: Vec<_> = plans.iter_ptr().collect();
            for plan in plans {
                begin_command();
                if (*plan).utilityStmt.is_null() {
                    execute(plan, source)
                } else {
                    utility(plan, source)
                }
                pg_sys::PopActiveSnapshot();
            }
            pg_sys::CommandCounterIncrement();
        }
    }
}

/// Makes what was done visible to what comes.
unsafe fn begin_command() {
    // SAFETY: the snapshot is popped by the caller, or by the abort that an error leads to.
    unsafe {
        pg_sys::CommandCounterIncrement();
        pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
    }
}

unsafe fn nowhere() -> *mut pg_sys::DestReceiver {
    // SAFETY: this receiver is a constant.
    unsafe { pg_sys::CreateDestReceiver(pg_sys::CommandDest::DestNone) }
}

unsafe fn execute(plan: *mut pg_sys::PlannedStmt, source: *const core::ffi::c_char) {
    let none = core::ptr::null_mut();
    // SAFETY: the steps of an executor run in order.
    unsafe {
        let (snapshot, params, environment) =
            (pg_sys::GetActiveSnapshot(), core::ptr::null_mut(), core::ptr::null_mut());
        let query = pg_sys::CreateQueryDesc(plan, source, snapshot, none, nowhere(), params, environment, 0);
        guard::ExecutorStart(query, 0);
        #[cfg(not(feature = "pg18"))]
        guard::ExecutorRun(query, pg_sys::ScanDirection::ForwardScanDirection, 0, true);
        #[cfg(feature = "pg18")]
        guard::ExecutorRun(query, pg_sys::ScanDirection::ForwardScanDirection, 0);
        guard::ExecutorFinish(query);
        guard::ExecutorEnd(query);
        pg_sys::FreeQueryDesc(query);
    }
}

unsafe fn utility(plan: *mut pg_sys::PlannedStmt, source: *const core::ffi::c_char) {
    let context = pg_sys::ProcessUtilityContext::PROCESS_UTILITY_QUERY;
    let (params, environment, completion) = (core::ptr::null_mut(), core::ptr::null_mut(), core::ptr::null_mut());
    // SAFETY: the statement's own tree, which it may scribble on.
    unsafe { guard::ProcessUtility(plan, source, false, context, params, environment, nowhere(), completion) }
}
