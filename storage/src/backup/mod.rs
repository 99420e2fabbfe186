//! Backup and restore: the rows of a store that goes on working, and a new store made of them.
//!
//! ```text
//! store ─▶ copy (pages of rows, and the commits of the meantime) ─▶ frames, over the network ─▶ cut into chunks ─▶ folder or tar
//!                                                                                    folder ─▶ read, checked ─▶ restore ─▶ store
//! ```
//!
//! A fuzzy copy and its redo: rows are read in the order of their keys while the writer goes on, so each is as new as
//! the first commit of the copy or newer. Every commit from then to the end is kept, whole and in order. Rows are only
//! ever put or deleted whole, so the commits, laid over the rows in order, give exactly the store at the last of them.
//! `docs/adr/0025` has the reasons.
//!
//! - [`frame`]: the stream from a running server. [`copy`]: makes it.
//! - [`chunk`]: the files of a backup. [`cut`]: where a chunk ends, so that a second backup has most chunks already.
//! - [`manifest`]: the list that makes a backup of chunks. [`folder`]: backups on a disk.
//! - [`collect`]: from the stream to chunks. [`restore`]: from chunks to a store.

pub mod check;
pub mod chunk;
pub mod collect;
pub mod copy;
pub mod cut;
pub mod folder;
pub mod frame;
pub mod manifest;
pub mod restore;
#[cfg(test)]
mod tests;
