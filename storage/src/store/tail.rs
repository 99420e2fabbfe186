//! The commits since a moment, for a reader that follows the store beside its writer: a backup.
//!
//! - *Who owns the state:* the reader. The store has a weak handle, so a reader that is gone costs nothing more.
//! - *What bounds it:* the bytes of commits that were not taken yet, or one commit if that is longer.
//! - *When it is full:* it drops everything and says [`Behind`]: the reader fails, the writer never waits. The lock is
//!   held for a push or a swap.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

/// A commit, with its rows as [`rows`](super::rows) encodes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Noted {
    /// Its number.
    pub commit: u64,
    /// Its rows, in the order of their keys.
    pub rows: Bytes,
}

/// The reader did not keep up: commits are missing from here on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("commits came faster than they were read: more than {most_bytes} bytes of them waited")]
pub struct Behind {
    /// The bound.
    pub most_bytes: usize,
}

/// See above.
#[derive(Debug)]
pub struct Tail {
    most_bytes: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    commits: VecDeque<Noted>,
    bytes: usize,
    is_behind: bool,
}

impl Tail {
    /// One that holds `most_bytes` of commits.
    #[must_use]
    pub fn new(most_bytes: usize) -> Tail {
        Tail { most_bytes, state: Mutex::default() }
    }

    /// Takes a commit in. Copies its rows: they would keep the memory of a whole lap of the log otherwise.
    pub(crate) fn note(&self, commit: u64, rows: &[u8]) {
        let mut state = self.lock();
        if state.is_behind {
            return;
        }
        if !state.commits.is_empty() && state.bytes + rows.len() > self.most_bytes {
            *state = State { is_behind: true, ..State::default() };
            return;
        }
        state.bytes += rows.len();
        state.commits.push_back(Noted { commit, rows: Bytes::copy_from_slice(rows) });
    }

    /// The oldest commits, about `most_bytes` of them and one at least; none when none waits.
    ///
    /// # Errors
    /// When some were dropped.
    pub fn take(&self, most_bytes: usize) -> Result<Vec<Noted>, Behind> {
        let mut state = self.lock();
        if state.is_behind {
            return Err(Behind { most_bytes: self.most_bytes });
        }
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while bytes < most_bytes
            && let Some(noted) = state.commits.pop_front()
        {
            bytes += noted.rows.len();
            taken.push(noted);
        }
        state.bytes -= bytes;
        Ok(taken)
    }

    /// True if half of the room is taken, or commits were dropped: it is time to take some.
    #[must_use]
    pub fn is_half_full(&self) -> bool {
        let state = self.lock();
        state.is_behind || state.bytes > self.most_bytes / 2
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change is whole before anything could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_come_in_order_and_in_pieces() {
        let tail = Tail::new(10);
        (1..=4).for_each(|commit| tail.note(commit, b"ab"));
        assert!(tail.is_half_full());
        let numbers = |taken: Vec<Noted>| taken.iter().map(|noted| noted.commit).collect::<Vec<_>>();
        assert_eq!(numbers(tail.take(3).unwrap()), [1, 2]);
        assert_eq!(numbers(tail.take(usize::MAX).unwrap()), [3, 4]);
        assert!(tail.take(1).unwrap().is_empty());
        assert_eq!(tail.lock().bytes, 0);
    }

    #[test]
    fn a_reader_that_falls_behind_hears_of_it_and_holds_no_memory() {
        let tail = Tail::new(10);
        tail.note(1, &[0; 100]);
        assert_eq!(tail.take(1).unwrap().len(), 1, "one commit always fits");
        (2..=6).for_each(|commit| tail.note(commit, b"ab"));
        assert!(tail.is_half_full());
        tail.note(7, b"c");
        tail.note(8, b"");
        assert_eq!(tail.take(1), Err(Behind { most_bytes: 10 }));
        let state = tail.lock();
        assert_eq!((state.bytes, state.commits.len()), (0, 0));
    }
}
