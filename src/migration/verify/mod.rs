//! `verify_migrations`: what differs between the list of migrations and what was applied.
//!
//! [`choice`] finds out whose table says what was applied, [`table`] reads it. Each tool has a module that reads its rows and
//! judges them: what a migration is called there, and whether it was applied as it is. [`judge`] makes findings of that.

mod choice;
mod drizzle;
mod flyway;
mod judge;
mod names;
mod own;
mod prisma;
mod sqlx;
mod supabase;
mod table;

use pgrx::pg_sys;
use pgrx::prelude::*;

use self::choice::{Choice, Tool};
use self::judge::Finding;
use super::list::{self, Migration};
use crate::backend::{self, Answer, Call, Db, ResultSet, connect};
use crate::error::Error;
use crate::input;

/// The findings about `migrations` according to a tool's table, whose name is quoted.
fn findings(call: &Call, db: &Db, choice: &Choice, migrations: &[Migration]) -> Result<Vec<Finding>, Error> {
    let Choice { tool, table } = choice;
    let report = match tool {
        Tool::Own => own::report(migrations, &own::rows(call)?),
        Tool::Prisma => {
            let listed = prisma::listed(migrations)?;
            prisma::report(&listed, &prisma::rows(db, table)?)
        }
        Tool::Drizzle => {
            let listed = drizzle::listed(migrations)?;
            drizzle::report(&listed, &drizzle::rows(db, table)?)
        }
        Tool::Sqlx => {
            let listed = sqlx::listed(migrations)?;
            sqlx::report(&listed, &sqlx::rows(db, table)?)
        }
        Tool::Supabase => {
            let listed = supabase::listed(migrations)?;
            supabase::report(&listed, &supabase::rows(db, table)?)
        }
        Tool::Flyway => {
            let listed = flyway::listed(migrations)?;
            flyway::report(&listed, &flyway::rows(db, table)?)
        }
    };
    Ok(report.findings(&table.name))
}

/// See the COMMENT in `sql/migration_ledger.sql`.
#[pg_extern(sql = false)]
fn verify_migrations(fcinfo: pg_sys::FunctionCallInfo) -> Answer {
    Call::answer(fcinfo, |call| {
        let wanted: String = input::required(call.argument(1), "p_tool")?;
        let wanted = choice::wanted(&wanted)?;
        let migrations = list::migrations(call, 0)?;
        // Statements pin another one.
        let path = backend::search_path();
        let is_used = own::has_rows(call);
        connect(call, |db| {
            let choice = choice::choose(wanted, &own::name(call), is_used, table::candidates(db, &path))?;
            let findings = findings(call, db, &choice, &migrations)?;
            let Choice { tool, table } = &choice;
            backend::notice(&format!("compared with {}, the table of {}", table.name, tool.title()));
            let set = ResultSet::begin(call);
            for finding in &findings {
                set.push(&[finding.name.as_str().into(), finding.kind.into(), finding.detail.as_str().into()]);
            }
            Ok(set.done())
        })
    })
}
