//! Migrations: whether they still build what the schemas hold, and whether they are still what was applied.
//!
//! [`list`] reads the argument `p_migrations`, [`schemas`] the argument `p_schemas`. [`replay`] runs migrations on empty
//! copies of the schemas; [`objects`] says what each statement did, [`history`] remembers it, and [`explain`] finds the cause
//! of a failure in it. [`outcome`] is what is said of a migration. [`facts`] reads what schemas hold, which [`drift`]
//! compares and [`fingerprint`] hashes. [`ledger`] records what was applied, and [`verify`] compares the list with it or with
//! the tables of other tools. Everything runs with the caller's own rights, except what is done with the ledger itself.

mod address;
mod call;
mod deferred;
mod drift;
mod elsewhere;
mod explain;
mod extensions;
mod facts;
mod fingerprint;
mod history;
mod ledger;
pub mod list;
mod objects;
mod outcome;
mod replay;
mod schemas;
mod statement;
mod temporary;
mod verify;
