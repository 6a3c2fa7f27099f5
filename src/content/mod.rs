//! How contents are stored: the cost of a version depends on what it changes, not on the size of the file.
//!
//! [`codec`] converts a content to stored bytes and back, and [`chain`] decides what a version stands on; both know
//! nothing about Postgres. [`stored`] decodes rows, [`cache`] keeps contents that others stand on, and [`version`]
//! reads a version's content and creates the stored form of the next one.

mod cache;
pub mod chain;
pub mod codec;
mod stored;
mod version;

pub use stored::{Decoder, Hash, Stored};
pub use version::{next_form, read_text, version_row};

/// Frees what the session keeps for the next save, and returns freed memory to the system when the transaction ends.
pub fn give_memory_back() {
    cache::clear();
    version::forget_decoded();
    crate::backend::zstd::forget_contexts();
    crate::backend::give_memory_back();
}
