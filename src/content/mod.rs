//! How contents are stored: a version costs what it changes, not what the file weighs.
//!
//! [`codec`] turns a content into stored bytes and back, [`chain`] decides what a version stands on, [`cache`] keeps
//! what others stand on, [`stored`] reads rows. The first two know nothing of Postgres.

mod cache;
pub mod chain;
pub mod codec;
mod stored;

pub use stored::{Ancestor, Bases, Flaw, Hash, Stored};

/// Joins what a row of `project_file_versions` stands on: `b`, and `k` that `b` stands on.
macro_rules! join_bases {
    ($version:literal) => {
        concat!(
            " LEFT JOIN {s}.project_file_versions b ON b.project_id = ",
            $version,
            ".project_id AND b.file_id = ",
            $version,
            ".file_id AND b.version = ",
            $version,
            ".base_version
              LEFT JOIN {s}.project_file_versions k
                ON k.project_id = b.project_id AND k.file_id = b.file_id AND k.version = b.base_version "
        )
    };
}

/// The content of a row joined by [`join_bases`].
macro_rules! content_of {
    ($version:literal) => {
        concat!(
            "{s}.stored_content(",
            $version,
            ".project_id, ",
            $version,
            ".file_path, ",
            $version,
            ".version, ",
            $version,
            ".content_hash, ",
            $version,
            ".size_bytes, ",
            $version,
            ".encoding, ",
            $version,
            ".stored, b.size_bytes, b.encoding, b.stored, k.size_bytes, k.encoding, k.stored)"
        )
    };
}

pub(crate) use {content_of, join_bases};
