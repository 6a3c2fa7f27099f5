//! `schema_fingerprint`: one hash over all that a schema holds.

use core::ffi::CStr;

use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;
use sha2::{Digest, Sha256};

use super::facts::{self, Fact, Include};
use crate::args;
use crate::backend::{Call, Db, Statement, connect};
use crate::error::Error;
use crate::{hex, input};

/// SHA-256 of the facts in an order of their own. Each text comes after its length, so that no other facts hash alike.
fn fingerprint(facts: &[Fact]) -> String {
    let mut texts: Vec<[&str; 3]> = facts.iter().map(|fact| [&*fact.kind, &*fact.object, &*fact.definition]).collect();
    texts.sort_unstable();
    let mut hash = Sha256::new();
    for text in texts.iter().flatten() {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    }
    hex::encode(&hash.finalize())
}

/// The schema `p_schema`. 22023 if there is none, or if it is one of Postgres' own.
fn schema(call: &Call, db: &Db) -> Result<Oid, Error> {
    static SCHEMA: Statement = Statement::new("SELECT oid::int8 AS oid FROM pg_namespace WHERE nspname = :name::name");
    let name = input::required(call.argument::<&CStr>(0), "p_schema")?.to_string_lossy();
    if name.starts_with("pg_") || name == "information_schema" {
        let name = input::abridged(&name);
        return Err(Error::Invalid(format!("p_schema: \"{name}\" belongs to Postgres, which nobody migrates")));
    }
    let rows = db.read(&SCHEMA, &args! { name: &*name });
    match rows.first() {
        Some(row) => Ok(Oid::from_u32(row.value::<i64>("oid") as u32)),
        None => Err(Error::Invalid(format!("p_schema: there is no schema \"{}\"", input::abridged(&name)))),
    }
}

/// See the COMMENT in `sql/migrations.sql`.
#[pg_extern(sql = false)]
fn schema_fingerprint(fcinfo: pg_sys::FunctionCallInfo) -> String {
    Call::run(fcinfo, |call| {
        let include = Include::from_argument(call, 1)?;
        connect(call, |db| {
            let schema = schema(call, db)?;
            Ok(fingerprint(&facts::read(db, &[schema], include)))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migration::address::Address;

    fn fact(kind: &str, object: &str, definition: &str, oid: u32) -> Fact {
        let address = Address { class: 1259, object: oid, sub: 0 };
        let [kind, object, definition] = [kind, object, definition].map(str::to_owned);
        Fact { kind, object, definition, parent: None, address }
    }

    #[test]
    fn neither_order_nor_oids_matter() {
        let (a, b) = (fact("table", "s.a", "TABLE", 1), fact("table", "s.b", "TABLE", 2));
        let other_oid = fact("table", "s.b", "TABLE", 3);
        assert_eq!(fingerprint(&[a.clone(), b]), fingerprint(&[other_oid, a]));
        assert_eq!(fingerprint(&[]), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }

    #[test]
    fn every_text_matters_and_where_it_ends() {
        let given = [fact("a", "b", "c", 1)];
        for other in [fact("ab", "", "c", 1), fact("a", "bc", "", 1), fact("a", "b", "d", 1), fact("", "ab", "c", 1)] {
            assert_ne!(fingerprint(&given), fingerprint(&[other]));
        }
    }
}
