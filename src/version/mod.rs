//! Project versions: numbering, what is known about a version, creating one, changing what is said about it, listing,
//! comparing and restoring.

mod changes;
mod create;
mod cut;
mod diff;
mod files;
mod history;
mod lifecycle;
mod line_stats;
mod metadata;
mod restore;
mod result;
mod semver;
mod snapshot;
mod state;

pub use snapshot::lock_list;
pub use state::{find, semver};
