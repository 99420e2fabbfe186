//! The seam between the meaning of rows and the place where they are kept: an ordered map of bytes with atomic, durable
//! batches.
//!
//! Everything above asks these few questions and no others, so that the embedded store, the in-memory model and, one
//! day, a distributed ordered store can stand behind the same code. Not here: key kinds, value codecs,
//! iterators that live across calls, snapshots, transactions with reads, compare-and-swap. The one writer above has no
//! use for them; a backup reads pages while rows change, and puts the commits of the meantime behind them.
//!
//! A new implementation is accepted when `conformance` passes on it.

mod batch;
pub(crate) mod busy;
#[cfg(test)]
pub(crate) mod conformance;
mod error;
pub mod memory;
pub(crate) mod rows;
mod tail;

use bytes::Bytes;
use std::sync::Weak;
use std::time::Duration;

pub use batch::{Batch, Write};
pub use error::{Poison, StoreError, is_out_of_descriptors};
pub use memory::MemoryStore;
pub use tail::{Behind, Noted, Tail};

/// Largest value in bytes: twice what a request may bring. The embedded store keeps the long ones in files of their
/// own.
pub const MAX_VALUE_BYTES: usize = 32 * 1024 * 1024;

/// Largest value in bytes that the embedded store keeps in the pages of its map: a page that outgrows its bound goes to
/// a file that is never made durable, and this limit keeps pages below it. Longer values are dearer to read, so rows
/// that are read often are kept within it.
pub const INLINE_MAX_BYTES: usize = 8 * 1024;

/// Largest key in bytes. Keys may not be empty, nor begin with 0: those are the store's own.
pub const MAX_KEY_BYTES: usize = 1024;

/// Largest batch in bytes, the sum of its keys and values. It bounds what one commit may hold in memory.
pub const MAX_BATCH_BYTES: usize = 64 * 1024 * 1024;

/// An ordered map of byte keys to byte values, ordered as unsigned bytes.
///
/// # Contract
///
/// - **Durable.** When `apply` returns `Ok`, its batch MUST survive a process kill and a power cut. Whatever a freshly
///   opened store shows MUST be as durable as that.
/// - **Atomic across restarts.** After any crash a batch MUST be there whole or not at all. A batch whose `apply`
///   failed, or had not returned, MAY be there: it was never acknowledged, yet it is not promised to be gone.
/// - **In order.** A batch MUST NOT survive a crash that an earlier batch did not survive.
/// - **One writer.** One thread calls `apply`; any number may read at the same time.
/// - **Reads see the writer's work early and in pieces.** A read MAY show rows of a batch whose `apply` has not
///   returned (hence not durable yet), and a `scan` MAY show part of such a batch. A reader that must act on durable
///   rows only stays below the position the writer announced after `apply`. A read that starts after an `apply`
///   returned MUST show all of it.
/// - **Refusals change nothing.** A batch over a limit is refused before anything is written, and does not poison.
/// - **Errors are final.** After the first I/O error or sign of damage, in a read or a write, the store MUST be
///   poisoned: every later `apply`, `get`, `get_many` and `scan` fails with [`StoreError::Poisoned`] and touches no
///   file. Nothing is retried: after a failed fsync the kernel may have dropped the very pages it could not write, and
///   a second one would answer "fine". The way on is to stop acknowledging and to open again.
/// - **Fenced is final too.** A store that several processes can reach MUST check in every `apply` that the caller
///   still owns it, and answer [`StoreError::Fenced`] when it does not: nothing of that batch is there then, now or
///   after any crash. From then on the store is poisoned, and `fenced` says why.
pub trait Store: Send + Sync + 'static {
    /// Writes `batch` atomically and returns once it is durable. An empty batch writes nothing. Blocks for the disk.
    ///
    /// # Errors
    ///
    /// A refusal ([`StoreError::is_refusal`]) changed nothing; any other error poisons the store.
    fn apply(&self, batch: Batch) -> Result<(), StoreError>;

    /// The value of `key`, or `None`. May block for a read from disk.
    ///
    /// # Errors
    ///
    /// Every error poisons the store.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError>;

    /// The values of several keys, in their order: each as [`Store::get`] would give it, not all of one moment. For a
    /// store that is far away it MUST cost one exchange and not one a key. A key may come twice.
    ///
    /// The answer holds up to `keys.len() * MAX_VALUE_BYTES` bytes: the caller bounds memory by the keys.
    ///
    /// # Errors
    ///
    /// Every error poisons the store.
    fn get_many(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Bytes>>, StoreError>;

    /// The rows with keys in `[start, end)`, at most `limit`: the lowest ones in ascending order
    /// ([`Direction::Forward`]) or the highest ones in descending order ([`Direction::Reverse`]).
    /// Empty when `start >= end` or `limit` is 0.
    ///
    /// The answer holds all values of up to `limit` rows: the caller bounds memory by `limit`, and asks for few rows at
    /// a time where values are longer than [`INLINE_MAX_BYTES`].
    ///
    /// # Errors
    ///
    /// Every error poisons the store.
    fn scan(
        &self,
        start: &[u8],
        end: &[u8],
        limit: usize,
        direction: Direction,
    ) -> Result<Vec<(Bytes, Bytes)>, StoreError>;

    /// From the next `apply` on, notes each batch in `tail` before that `apply` returns, in place of any earlier tail. An
    /// empty handle ends that. Answers the number of the last commit: all up to it, and none beyond, are noted in the
    /// earlier tail or were there before it, and every read that ended before this call shows no later one. Commits are
    /// numbered without gaps, over restarts too. Waits for an `apply` that is under way.
    ///
    /// # Errors
    ///
    /// When the store is poisoned.
    fn follow(&self, tail: Weak<Tail>) -> Result<u64, StoreError>;

    /// Overwrites the remains in the store's files of every value that was replaced by a shorter one of its own key
    /// before this was called. For data that must be gone and not only hidden; blocks for a checkpoint.
    /// Deleted rows and rows whose values are not kept apart are left to the store's own housekeeping. A store
    /// that keeps no file has nothing to do.
    ///
    /// # Errors
    ///
    /// Every error poisons the store.
    fn erase(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Bytes the store takes on disk (in memory, for the model). Answers on a poisoned store too.
    ///
    /// # Errors
    ///
    /// When the file system does not answer. This one does not poison.
    fn size_on_disk_bytes(&self) -> Result<u64, StoreError>;

    /// Bytes that the store may still grow by: the room on its disk, less the bytes that it has taken and has yet to
    /// write. `None` when nothing bounds it.
    ///
    /// # Errors
    ///
    /// When the file system does not answer. This one does not poison.
    fn free_bytes(&self) -> Result<Option<u64>, StoreError>;

    /// Why the store refuses to work, once it does; `None` while it is healthy. Cheap enough for a readiness probe.
    fn poisoned(&self) -> Option<String>;

    /// How long a thread of the store's own has been at one piece of work; zero when it waits for some, or has no thread.
    fn work_lasts(&self) -> Duration {
        Duration::ZERO
    }

    /// True if it is poisoned because another owner has taken it over. Never, for a store that one process alone can
    /// open.
    fn fenced(&self) -> bool {
        false
    }
}

/// Which end of a range a [`Store::scan`] starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the lowest key upwards.
    Forward,
    /// From the highest key downwards.
    Reverse,
}

/// The end of the range of all keys that begin with `prefix`: `scan(prefix, &prefix_end(prefix), ..)` shows them all
/// and no other. For an empty prefix, or one of 0xff bytes only, that is a string above every possible key, which
/// exists because keys are bounded.
#[must_use]
pub fn prefix_end(prefix: &[u8]) -> Vec<u8> {
    let kept = prefix.iter().rposition(|byte| *byte != u8::MAX);
    match kept {
        Some(last) => {
            let mut end = prefix[..=last].to_vec();
            end[last] += 1;
            end
        }
        None => vec![u8::MAX; MAX_KEY_BYTES + 1],
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn prefix_end_steps_over_trailing_ff() {
        assert_eq!(prefix_end(&[1, 2]), vec![1, 3]);
        assert_eq!(prefix_end(&[1, 0xff, 0xff]), vec![2]);
        assert_eq!(prefix_end(&[0xff]).len(), MAX_KEY_BYTES + 1);
        assert!(prefix_end(&[]) > vec![0xff; MAX_KEY_BYTES]);
    }

    proptest! {
        #[test]
        fn a_key_is_below_prefix_end_exactly_when_it_is_below_or_has_the_prefix(
            prefix in proptest::collection::vec(prop_oneof![Just(0u8), Just(1), Just(0xfe), Just(0xff)], 0..4),
            key in proptest::collection::vec(prop_oneof![Just(0u8), Just(1), Just(0xfe), Just(0xff)], 1..6),
        ) {
            let in_range = key >= prefix && key < prefix_end(&prefix);
            prop_assert_eq!(in_range, key.starts_with(&prefix));
        }
    }
}
