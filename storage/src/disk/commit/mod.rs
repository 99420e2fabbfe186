//! How a commit becomes durable: a redo log of two files written in turns, with one write and one fdatasync for each
//! commit, and the rows of both in memory until a checkpoint has put them into the map.
//!
//! Bottom up: [`record`] is the bytes, [`log`] the files, [`recover`] what is read from them after a crash; [`table`] is the
//! rows in memory, [`merge`] lays them over what is below; [`watermark`] tells whether any were lost. Who puts rows into
//! the map, and when a file may be used again, is decided above.

pub(crate) mod log;
pub(crate) mod merge;
pub(crate) mod record;
pub(crate) mod recover;
#[cfg(test)]
mod recover_tests;
pub(crate) mod table;
pub(crate) mod watermark;

/// Where a lap ends, in bytes of its file and of its table's memory: twice this is what the log takes at most of either,
/// but for a commit that is larger.
pub(crate) const MAX_BYTES: usize = 16 * 1024 * 1024;
