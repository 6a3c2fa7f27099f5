//! `versioning_report`: what racing has broken in a table of versions, and what will go on breaking it.
//!
//! [`numbers`] looks at the rows, [`parents`] at what they refer to, [`shape`] at the table's definition and [`functions`]
//! at code that numbers rows by itself, which [`suspects`] recognizes. Findings are in the order in which their fixes
//! can be run.

mod finding;
mod functions;
mod numbers;
mod parents;
mod shape;
mod suspects;

use pgrx::pg_sys;
use pgrx::prelude::*;

use self::finding::Finding;
use self::shape::Shape;
use super::table::{Column, Counted, array_of_names, column_list, repair};
use crate::backend::{Answer, Call, Db, connect, dynamic_into_result, equality_operator, past_forced_policies};
use crate::error::Error;

/// The columns of `p_order_columns`; none if it is NULL.
fn order_columns(call: &Call, counted: &Counted) -> Result<Vec<Column>, Error> {
    const ORDER: usize = 4;
    if call.argument::<Vec<Option<String>>>(ORDER).is_none() {
        return Ok(Vec::new());
    }
    let order = column_list(call, &counted.table, ORDER, "p_order_columns")?;
    if order.is_empty() {
        return Err(Error::Invalid("p_order_columns must name at least one column, or be null".to_owned()));
    }
    Ok(order)
}

/// 22023 for a column whose values have no order, by which they are also grouped.
fn require_order(columns: &[Column], argument: &str) -> Result<(), Error> {
    match columns.iter().find(|column| equality_operator(column.type_oid).is_none()) {
        None => Ok(()),
        Some(column) => Err(Error::Invalid(format!(
            "{argument}: column \"{}\" is of type {}, whose values cannot be ordered",
            column.name, column.type_name
        ))),
    }
}

fn findings(call: &Call, db: &Db, counted: &Counted, order: &[Column]) -> Result<Vec<Finding>, Error> {
    let shape = Shape::read(db, counted);
    let known = parents::foreign_keys(db, counted);
    let guesses = parents::guesses(db, counted, &known);
    let tally = numbers::examine(db, counted, order)?;
    let by_version = std::slice::from_ref(&counted.version);
    let repair = repair(call, counted, &array_of_names(if order.is_empty() { by_version } else { order }));

    let primary_key = shape::primary_key(counted, &shape);
    // The primary key of a partitioned table includes parents, which must not be NULL then.
    let (first, then) = if counted.table.is_partitioned { (None, primary_key) } else { (primary_key, None) };
    let mut findings: Vec<Finding> = first.into_iter().collect();
    findings.extend(parents::orphans(db, counted, &known));
    findings.extend(parents::orphans(db, counted, &guesses));
    findings.extend(shape::nullable_parents(counted, &tally));
    findings.extend(then);
    findings.extend(tally.findings(&counted.version, &repair, &numbers::move_flags(counted)));
    findings.extend(shape::version_column(counted, &shape, &tally));
    findings.extend(shape::indexes(counted, &shape));
    findings.extend(parents::references(counted, &known, &guesses));
    if !shape.is_protected {
        let tables: Vec<String> = known.iter().chain(&guesses).map(|reference| reference.relname.clone()).collect();
        findings.extend(functions::unsafe_ones(call, db, counted, &tables)?);
    }
    Ok(findings)
}

/// See the COMMENT in `sql/versioning_report.sql`.
#[pg_extern(sql = false)]
fn versioning_report(fcinfo: pg_sys::FunctionCallInfo) -> Answer {
    const ROWS: &str = "SELECT f.code, f.severity, f.description, f.rows, coalesce(f.parent || f.version, f.parent), f.fix
                          FROM jsonb_to_recordset($1::jsonb)
                            AS f (code text, severity text, description text, rows bigint, parent jsonb, version jsonb, fix text)";
    Call::answer(fcinfo, |call| {
        past_forced_policies(|| {
            connect(call, |db| {
                let counted = Counted::from_arguments(call, db, 3)?;
                let order = order_columns(call, &counted)?;
                require_order(&counted.parents, "p_parent_columns")?;
                require_order(&order, "p_order_columns")?;
                let findings = findings(call, db, &counted, &order)?;
                let findings = serde_json::to_string(&findings).map_err(|_| Error::Internal)?;
                Ok(dynamic_into_result(call, db, ROWS, &[findings.as_str().into()]))
            })
        })
    })
}
