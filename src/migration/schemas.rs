//! The argument `p_schemas`, and whether the caller may replay migrations on these schemas.

use pgrx::pg_sys::Oid;

use crate::args;
use crate::backend::{Call, Db, Statement};
use crate::error::Error;
use crate::input;

/// A schema, as it is before it is moved aside.
pub struct Schema {
    pub oid: Oid,
    pub name: String,
}

static NAMED: Statement = Statement::new(
    "SELECT w.name::text AS name, n.oid,
            pg_catalog.pg_has_role(n.nspowner, 'USAGE') AS is_owner,
            n.nspname LIKE 'pg\\_%' OR n.nspname IN ('information_schema', 'versioned_internal') AS is_reserved,
            pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE') AS may_create,
            pg_catalog.current_database()::text AS database
       FROM ROWS FROM (pg_catalog.unnest(:names)) WITH ORDINALITY AS w (name, position)
       LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = w.name
      ORDER BY w.position",
);

/// Reads `p_schemas`, argument number `index` of the call. 22023 if a schema is not there or cannot be replayed on, 42501 if
/// the caller does not own it or must not create schemas in the database.
pub fn schemas(call: &Call, db: &Db, index: usize) -> Result<Vec<Schema>, Error> {
    let names = names(call, index)?;
    db.read(&NAMED, &args! { names })
        .iter()
        .map(|row| {
            let name: String = row.value("name");
            let Some(oid) = row.get::<Oid>("oid") else {
                return Err(Error::Invalid(format!("p_schemas: schema \"{}\" does not exist", input::abridged(&name))));
            };
            if row.value("is_reserved") {
                return Err(Error::Invalid(format!("p_schemas: schema \"{name}\" is not one of migrations")));
            }
            if !row.value::<bool>("is_owner") {
                return Err(Error::NoRightToReplay(format!("must be owner of schema {name}")));
            }
            if !row.value::<bool>("may_create") {
                let database: String = row.value("database");
                return Err(Error::NoRightToReplay(format!(
                    "permission denied for database {database}: CREATE is needed"
                )));
            }
            Ok(Schema { oid, name })
        })
        .collect()
}

fn names(call: &Call, index: usize) -> Result<Vec<String>, Error> {
    let names = input::required(call.argument::<Vec<Option<String>>>(index), "p_schemas")?;
    let names: Vec<String> =
        names.into_iter().map(|name| input::required(name, "a name in p_schemas")).collect::<Result<_, _>>()?;
    if names.is_empty() {
        return Err(Error::Invalid("p_schemas must name at least one schema".to_owned()));
    }
    match names.iter().enumerate().find(|(at, name)| names[..*at].contains(name)) {
        Some((_, twice)) => Err(Error::Invalid(format!("p_schemas names \"{}\" twice", input::abridged(twice)))),
        None => Ok(names),
    }
}
