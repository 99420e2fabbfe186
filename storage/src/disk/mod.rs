//! The embedded store on disk: sled 0.34.7 behind a redo log of our own. Only [`map`] names sled.
//!
//! A commit is durable, and acknowledged, by the log alone ([`commit`]): one write and one fdatasync. Its rows are
//! then in memory, in a table that reads look into first. A full table is frozen and written to sled by a thread of its
//! own ([`checkpoint`]), while commits go on in the other log file with a new table. So sled is the durable ordered
//! map, and waits and threads of its own are no part of an acknowledgement; a row that is rewritten often reaches it
//! once a lap.
//!
//! Our additions to sled, each for a reason found in its source or measured:
//!
//! - a real fdatasync at the end of every checkpoint ([`map`]), and at creation fsync of everything sled leaves
//!   unsynced ([`open`]);
//! - values bounded and segments enlarged so that no leaf overflows into `blobs/`, whose files sled never syncs
//!   ([`INLINE_MAX_BYTES`](crate::store::INLINE_MAX_BYTES), [`map`]), and a net below should one do so ([`map`]);
//! - a number per commit, kept in the log, in sled with each checkpoint, and in a file beside both, so that a log or a
//!   map cut short by damage is noticed ([`commit`]);
//! - panics of sled turned into errors without their message ([`map`]);
//! - a version of our own, checked before sled touches anything ([`open`]), and a lock with a clear refusal ([`open`]).
//!
//! The folder, below the data directory:
//!
//! ```text
//! DATA/LOCK              held for life by the process that has the store open
//! DATA/store/FORMAT      layout version, written last
//! DATA/store/WATERMARK   number of the last acknowledged commit
//! DATA/store/log/0, 1    the redo log
//! DATA/store/values/     values of events, and long ones
//! DATA/store/sled/       sled's: conf, db, snap.*, blobs/ (always empty)
//! DATA/store.new/        a creation that did not finish; removed by the next one
//! ```
//!
//! Memory: two tables of [`OpenOptions::log_max_bytes`] and the cache of sled. sled's background thread stays on
//! although we flush ourselves: it alone rewrites pages out of nearly empty segments, and without it the file would
//! never give space back to deleted rows.

mod checkpoint;
pub(crate) mod commit;
#[cfg(test)]
pub(crate) mod crash_tests;
mod erase;
#[cfg(test)]
mod erase_tests;
pub(crate) mod error;
pub(crate) mod map;
pub(crate) mod open;
mod shared;
mod store;
mod sync;
#[cfg(test)]
pub(crate) mod tests;
pub(crate) mod values;
mod writer;

pub use self::error::OpenError;
pub use self::map::SeparatedKeys;
pub use self::open::OpenOptions;
pub use self::store::DiskStore;
