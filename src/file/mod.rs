//! Files of a project: how they change and how they are read.
//!
//! [`calls`], [`batch`], [`merge`] and [`view`] turn arguments into what is wanted, and [`change`] does it: [`find`] finds
//! what is there, [`decide`] decides, [`write`] writes. [`read`], [`diff`] and [`feed`] read. [`version`] is the answer.

mod batch;
mod calls;
mod change;
mod decide;
mod diff;
mod feed;
mod find;
mod history;
mod merge;
mod read;
mod version;
mod view;
mod write;

pub use history::RewritingHistory;
