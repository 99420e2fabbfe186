//! Durable commits: a redo log of two files written in turns, and the rows of both in memory. Each commit is one write
//! and one fdatasync. The rows stay in memory until a checkpoint has put them into the map.
//!
//! Bottom up: [`record`] is the bytes, [`log`] the files, and [`recover`] reads them after a crash. [`table`] is the
//! rows in memory, [`merge`] lays them over the rows below, and [`watermark`] tells whether any were lost. The layers
//! above put rows into the map, and decide when a file may be used again.

pub(crate) mod log;
pub(crate) mod merge;
pub(crate) mod record;
pub(crate) mod recover;
#[cfg(test)]
mod recover_tests;
pub(crate) mod row_key;
pub(crate) mod table;
pub(crate) mod watermark;

/// The length at which a lap ends, in bytes of its file and of its table's memory. The log takes at most twice this of
/// either, but for a commit that is larger.
pub(crate) const MAX_BYTES: usize = 16 * 1024 * 1024;
