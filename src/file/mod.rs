//! Files of a project: how they change and how they are read.
//!
//! [`calls`], [`batch`], [`merge`] and [`view`] turn arguments into requests, and [`change`] executes them: [`find`]
//! finds the current state, [`decide`] decides, [`add`] adds a version, which [`write`] writes; [`append`] adds many to one
//! file. [`read`], [`diff`] and [`feed`] read. [`version`] is the result.

mod add;
mod append;
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
pub use append::Appending;
pub use decide::{Body, Head, Write};
pub use find::{head_at, head_of};
pub use history::RewritingHistory;
