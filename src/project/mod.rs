//! Projects: creating them once, their members, deleting them, and who may see them.

mod access;
mod create;
mod delete;
mod members;
