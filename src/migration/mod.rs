//! Migrations: whether they still build what the schemas hold.
//!
//! [`list`] reads the argument `p_migrations`. Everything runs with the caller's own rights.

mod address;
mod call;
mod deferred;
mod extensions;
mod history;
pub mod list;
mod objects;
mod outcome;
mod replay;
mod schemas;
mod temporary;
