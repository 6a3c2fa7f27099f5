//! The functions `replay_migrations` and `schema_drift`.

use pgrx::pg_sys;
use pgrx::prelude::*;

use super::list::migrations;
use super::outcome::Outcome;
use super::replay::replay;
use super::schemas::schemas;
use crate::backend::{Answer, Call, ResultSet, Value, connect};
use crate::error::Error;
use crate::input;

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
