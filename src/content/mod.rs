//! How contents are stored: a version costs what it changes, not what the file weighs.
//!
//! [`codec`] turns a content into stored bytes and back, [`chain`] decides what a version stands on; both know nothing of
//! Postgres. [`stored`] decodes rows, [`cache`] keeps what others stand on, [`version`] reads a version's content and
//! makes the stored form of the next.

mod cache;
pub mod chain;
pub mod codec;
mod stored;
mod version;

pub use stored::{Decoder, Hash, Stored};
pub use version::{next_form, read_text, version_row};

/// Gives back what the session keeps for the next save, and at the transaction's end the memory that was freed.
pub fn give_memory_back() {
    cache::clear();
    version::forget_decoded();
    crate::backend::zstd::forget_contexts();
    crate::backend::give_memory_back();
}
