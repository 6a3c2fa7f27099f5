//! Files of a project: how they change and how they are read.
//!
//! [`calls`], [`batch`], [`merge`] and [`view`] turn arguments into requests, and [`change`] executes them: [`find`]
//! finds the current state, [`decide`] decides, [`add`] adds a version, which [`write`] writes. [`read`], [`diff`] and [`feed`] read. [`version`] is
//! the result.

mod add;
mod batch;
mod calls;
mod change;
mod decide;
mod diff;
mod feed;
mod find;
mod history;
mod merge;
mod read;
mod version;
mod view;
mod write;

pub use add::{Adding, Addition, next_version};
pub use decide::{Body, Write};
pub use find::head_of;
pub use history::RewritingHistory;
