//! A project's history as a `git fast-import` stream.
//!
//! [`history`] reads what was saved, in the order of commits, and [`call`] answers with it. The rest knows nothing about
//! Postgres: [`lines`] writes the stream, [`authors`] names those who saved, and [`tree`] finds paths that git cannot hold
//! together.

mod authors;
mod call;
mod history;
mod lines;
mod tree;
