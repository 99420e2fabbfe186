//! A redo log of our own: two files written in turns, and the rows of both in memory. It makes a commit durable with one
//! write and one fdatasync, and keeps its rows readable until a checkpoint has put them into the ordered map below.
//!
//! Bottom up: [`record`] is the bytes, [`log`] the files, [`recover`] what is read from them after a crash, [`salvage`] what
//! is after damage; [`table`] is the rows in memory, [`merge`] lays them over what is below. Deliberately ignorant of what
//! is below: who puts rows there and when a file may be used again is decided in `store::sled`.

pub(super) mod log;
pub(super) mod merge;
pub(super) mod record;
pub(super) mod recover;
#[cfg(test)]
mod recover_tests;
pub(super) mod salvage;
pub(super) mod table;

/// Where a lap ends, in bytes of its file and of its table's memory: twice this is what the log takes at most of either,
/// but for a commit that is larger.
pub(super) const MAX_BYTES: usize = 16 * 1024 * 1024;
