//! Projects: creating them once, their members, deleting them, and holding one still.

mod access;
mod create;
mod delete;
mod held;
mod members;

pub use delete::is_deleting_history;
pub use held::Held;
