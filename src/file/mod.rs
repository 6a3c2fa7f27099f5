//! Files of a project: what their paths may be, how they change, how they are read.

mod change;
mod history;
mod link;
pub mod path;
mod read;
mod store;

pub use history::RewritingHistory;
pub use store::content;
