//! Files of a project: what their paths may be, how they change, how they are read.
//!
//! [`change`] has the changes themselves; [`calls`], [`merge`] and [`view`] are the ways to them. [`read`], [`diff`] and
//! [`feed`] read. [`store`] and [`link`] know the tables.

mod calls;
mod change;
mod diff;
mod feed;
mod history;
mod link;
mod merge;
pub mod path;
mod read;
mod store;
mod view;

pub use history::RewritingHistory;
pub use store::content;
