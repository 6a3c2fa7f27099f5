//! Tables of versions that people have already: what racing has broken in them is found, repaired, and kept from
//! happening again.
//!
//! Everything here runs with the caller's own rights, on tables that the caller owns. Names go into statements only as
//! quoted identifiers, see [`table`].

mod enable;
mod indexes;
mod numbering;
mod table;
mod trigger;
