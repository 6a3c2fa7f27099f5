//! The functions `replay_migrations` and `schema_drift`.

use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;

use super::drift;
use super::facts::{self, Include};
use super::list::migrations;
use super::outcome::{Failure, Outcome};
use super::replay::replay;
use super::schemas::schemas;
use crate::backend::{self, Answer, Call, ResultSet, Value, connect};
use crate::error::Error;
use crate::input;

/// Failed migrations that are named in warnings.
const LISTED_FAILURES: usize = 10;

/// See the COMMENT in `sql/migrations.sql`.
#[pg_extern(sql = false)]
fn replay_migrations(fcinfo: pg_sys::FunctionCallInfo) -> Answer {
    Call::answer(fcinfo, |call| {
        let migrations = migrations(call, 0)?;
        let schemas = connect(call, |db| schemas(call, db, 1))?;
        let stops: bool = input::required(call.argument(2), "p_stop_on_error")?;
        let (outcomes, ()) = replay(call, &migrations, &schemas, stops, |_| ())?;
        let rows = ResultSet::begin(call);
        for outcome in &outcomes {
            push(&rows, outcome)?;
        }
        Ok(rows.done())
    })
}

/// See the COMMENT in `sql/migrations.sql`.
#[pg_extern(sql = false)]
fn schema_drift(fcinfo: pg_sys::FunctionCallInfo) -> Answer {
    Call::answer(fcinfo, |call| {
        let migrations = migrations(call, 0)?;
        let schemas = connect(call, |db| schemas(call, db, 1))?;
        let include = Include::from_argument(call, 2)?;
        let names: Vec<&str> = migrations.iter().map(|migration| &*migration.name).collect();
        let oids: Vec<Oid> = schemas.iter().map(|schema| schema.oid).collect();
        let live = connect(call, |db| facts::read(db, &oids, include));
        let (outcomes, differences) = replay(call, &migrations, &schemas, false, |replay| {
            let built = connect(call, |db| facts::read(db, &replay.built(), include));
            let differences = drift::compare(&built, &live).into_iter();
            let left_out = replay.left_out();
            let checked = differences.filter(|difference| !difference.is_foreign_key_to(&left_out));
            let with_migration = checked.map(|difference| {
                let touched = match difference.address {
                    Some(address) => replay.history.last_touched(address),
                    None => replay.history.dropper(&difference.kind, &difference.object),
                };
                (difference, touched.map(|index| names[index]))
            });
            with_migration.collect::<Vec<_>>()
        })?;
        warn_of_failures(&outcomes);
        if !differences.is_empty() {
            warn_of_unchecked(&outcomes);
        }
        let rows = ResultSet::begin(call);
        for (difference, migration) in &differences {
            drift::push(&rows, difference, *migration);
        }
        Ok(rows.done())
    })
}

/// What did not run is not among what is compared.
fn warn_of_failures(outcomes: &[Outcome]) {
    let failed: Vec<(&Outcome, &Failure)> =
        outcomes.iter().filter_map(|outcome| Some((outcome, outcome.failure.as_ref()?))).collect();
    for (Outcome { name, more_failures, .. }, failure) in failed.iter().take(LISTED_FAILURES) {
        let more = match more_failures {
            0 => String::new(),
            1 => ", and so does one more of its statements".to_owned(),
            more => format!(", and so do {more} more of its statements"),
        };
        backend::warning(&format!("migration \"{name}\" fails in line {}: {}{more}", failure.line, failure.message));
    }
    if failed.len() > LISTED_FAILURES {
        backend::warning(&format!("{} more migrations fail", failed.len() - LISTED_FAILURES));
    }
}

/// Nor is what was left out, which may be why there are differences.
fn warn_of_unchecked(outcomes: &[Outcome]) {
    let unchecked: Vec<&str> =
        outcomes.iter().filter(|outcome| outcome.has_unchecked()).map(|outcome| &*outcome.name).collect();
    if let Some(first) = unchecked.first() {
        let more = match unchecked.len() - 1 {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        backend::warning(&format!(
            "not all of migration \"{first}\"{more} was run; replay_migrations says which statements were not checked"
        ));
    }
}

fn push(rows: &ResultSet, outcome: &Outcome) -> Result<(), Error> {
    let number = |n: usize| i32::try_from(n).map_err(|_| Error::Internal);
    let failure = outcome.failure.as_ref();
    let (sqlstate, message) = failure.map(|failure| (&*failure.sqlstate, &*failure.message)).unzip();
    let (line, column) = failure.map(|failure| (failure.line, failure.column)).unzip();
    let statement = failure.and_then(|failure| failure.statement.as_deref());
    let explanation = outcome.explanation();
    rows.push(&[
        Value::from(&*outcome.name),
        Value::from(failure.is_none()),
        Value::from(number(outcome.statements)?),
        Value::from(sqlstate),
        Value::from(message),
        Value::from(line.map(number).transpose()?),
        Value::from(column.map(number).transpose()?),
        Value::from(statement),
        Value::from(explanation.as_deref()),
    ]);
    Ok(())
}
