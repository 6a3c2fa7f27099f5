//! Projects: creating them once, their members, config and state, deleting them, and who may see them.

mod access;
mod config;
mod create;
mod delete;
mod members;
mod merge_patch;
mod state;
