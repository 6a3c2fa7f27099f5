//! Files of a project: what their paths may be, how they change, how they are read.

mod change;
pub mod path;
mod read;
mod store;

pub use store::content;
