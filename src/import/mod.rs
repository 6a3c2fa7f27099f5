//! Histories that people have already, brought into the extension's own tables.
//!
//! A [`source`] is a table of the user's, whose columns a [`mapping`] names ([`file_table`], [`version_tables`]); it is read
//! with the caller's own rights, row by row and in order, so that memory does not grow with it. [`history`] and [`releases`] decide what a row becomes, [`files`]
//! and [`versions`] write that as the extension's owner, project by project, under the lock of [`projects`]. A [`report`] says
//! what was done.

mod file_table;
mod files;
mod history;
mod mapping;
mod projects;
mod releases;
mod report;
mod source;
mod start;
mod version_tables;
mod versions;
