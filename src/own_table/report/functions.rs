//! Functions of the database that number the table's rows by themselves.

use super::finding::{Finding, Severity};
use super::suspects::{Counting, Subject, Suspect, unsafe_counting};
use crate::args;
use crate::backend::{Call, Db, Statement, Value, quoted_literal};
use crate::error::Error;
use crate::own_table::table::{Counted, array_of_names};

/// Functions that the table's triggers call, and those that name it, if they count without a lock. `parents` are the names
/// of the tables that the parents are in.
pub fn unsafe_ones(call: &Call, db: &Db, counted: &Counted, parents: &[String]) -> Result<Vec<Finding>, Error> {
    static FUNCTIONS: Statement = Statement::new(
        "SELECT format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)) AS name,
                coalesce(b.body, '') AS body, p.provolatile = 'v' AS is_volatile, t.names AS triggers
           FROM pg_proc p
           JOIN pg_namespace n ON n.oid = p.pronamespace
           JOIN pg_language l ON l.oid = p.prolang
          CROSS JOIN LATERAL (
                SELECT CASE WHEN p.prosqlbody IS NULL THEN p.prosrc ELSE pg_get_function_sqlbody(p.oid) END AS body) b
          CROSS JOIN LATERAL (
                SELECT string_agg(quote_ident(t.tgname), ', ' ORDER BY t.tgname) AS names
                  FROM pg_trigger t
                 WHERE t.tgrelid = :table::oid AND t.tgfoid = p.oid AND NOT t.tgisinternal
                   AND t.tgenabled IN ('O', 'A')) t
          WHERE l.lanname IN ('sql', 'plpgsql') AND p.prokind IN ('f', 'p')
            AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'versioned_internal')
            AND (t.names IS NOT NULL
                 OR strpos(lower(b.body), lower(replace(:name, '\"', '\"\"'))) > 0)
            AND NOT EXISTS (SELECT FROM pg_depend d
                             WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid
                               AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e')
          ORDER BY 1",
    );
    let table = &counted.table;
    let subject = Subject {
        schema: &table.schema,
        table: &table.relname,
        version: &counted.version.name,
        current: counted.current.as_ref().map(|column| column.name.as_str()),
        parents,
    };
    let mut findings = Vec::new();
    let args = args! { table: Value::oid_of(table.oid), name: table.relname.as_str() };
    db.each(&FUNCTIONS, &args, |row| {
        let (body, triggers): (String, Option<String>) = (row.value("body"), row.get("triggers"));
        let suspect = Suspect { body: &body, is_volatile: row.value("is_volatile"), is_trigger: triggers.is_some() };
        if let Some(counting) = unsafe_counting(&suspect, &subject) {
            let name: String = row.value("name");
            findings.push(finding(&name, triggers.as_deref(), counting, protection(call, counted)));
        }
        Ok(())
    })?;
    Ok(findings)
}

fn finding(name: &str, triggers: Option<&str>, counting: Counting, fix: String) -> Finding {
    let (code, who) = match triggers {
        Some(triggers) => ("unsafe_trigger", format!("function {name}, called by trigger {triggers},")),
        None => ("unsafe_function", format!("function {name}")),
    };
    let from = match counting {
        Counting::Maximum => "highest version",
        Counting::Latest => "latest version",
        Counting::Current => "current row",
    };
    let description =
        format!("{who} counts from the {from} without a lock on the parent: two calls at a time get the same number");
    Finding::new(code, Severity::Error, description, fix)
}

/// The call that lets a trigger give the numbers, ready to be run.
fn protection(call: &Call, counted: &Counted) -> String {
    let (parents, current) = (array_of_names(&counted.parents), counted.current_argument());
    format!(
        "SELECT * FROM {}.enable_versioning({}, {parents}, {}{current})",
        call.schema(),
        quoted_literal(&counted.table.name),
        quoted_literal(&counted.version.name),
    )
}
