//! Project versions: numbering, what a build reports about a version, creating one, and its files.

mod create;
mod files;
mod line_stats;
mod result;
pub mod semver;
