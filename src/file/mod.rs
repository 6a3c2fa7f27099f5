//! Files of a project: what their paths may be, how they change, how they are read.

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
