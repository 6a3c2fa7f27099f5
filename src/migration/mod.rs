//! Migrations: whether they still build what the schemas hold.
//!
//! [`list`] reads the argument `p_migrations`. Everything runs with the caller's own rights.

pub mod list;
