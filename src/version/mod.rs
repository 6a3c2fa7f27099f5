//! Project versions: numbering, what is known about a version, creating one, changing what is said about it, listing,
//! comparing and restoring; taking over those that were made elsewhere.

mod adopt;
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

pub use adopt::{Adopted, adopt, created_at, has_published, is_taken, numbers, set_parent, set_published};
pub use lifecycle::settle_current;
pub use result::{BuildResult, parse as parse_result};
pub use semver::{ChangeType, Number, is_prerelease};
pub use snapshot::{Snapshot, cut, lock_list};
pub use state::{find, semver};
