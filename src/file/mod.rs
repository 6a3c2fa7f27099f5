//! Files of a project: how they change and how they are read.
//!
//! [`calls`], [`batch`], [`merge`] and [`view`] turn arguments into what is wanted, [`change`] does it: [`store`] finds
//! what is there, [`decide`] decides, [`store`] writes. [`read`], [`diff`] and [`feed`] read.

mod batch;
mod calls;
mod change;
mod decide;
mod diff;
mod feed;
mod history;
mod merge;
mod read;
mod store;
mod view;

pub use history::RewritingHistory;
