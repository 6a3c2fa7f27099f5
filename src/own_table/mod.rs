//! Tables of versions that people have already: what racing has broken in them is found, repaired, and kept from
//! happening again.
//!
//! Everything here runs with the caller's own rights, on tables that the caller owns. Names go into statements only as
//! quoted identifiers, see [`table`].
//!
//! - [`report`] says what is wrong with a table.
//! - [`renumber`] and [`undo`] repair a table and take that back. [`backup`] keeps what a row was, [`numbers`] writes the
//!   numbers, [`silence`] keeps users' triggers quiet meanwhile, and [`obstacles`] says what cannot be repaired.
//! - [`enable`] protects a table, and [`trigger`] is what it then calls for each row. [`numbering`] decides about rows, and
//!   [`indexes`] about the table's indexes.

mod backup;
mod enable;
mod equality;
mod indexes;
mod numbering;
mod numbers;
mod obstacles;
mod renumber;
mod report;
mod silence;
mod table;
mod trigger;
mod undo;

pub use table::{Column, Table};
