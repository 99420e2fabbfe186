//! Room on the disk: while there is too little, messages are refused before the disk refuses anything.
//!
//! A full disk stops the store for good, in the middle of any work. So the last part of it is kept for work that cannot
//! be refused: settling deliveries and removing rows. Deliberately no look for single requests: `watch` looks at
//! intervals, and the speed of the disk bounds the messages that come in between two looks.

use crate::observe;
use std::sync::atomic::{AtomicBool, Ordering};
use storage::SharedStore;

/// Tells if messages are taken.
#[derive(Debug)]
pub(crate) struct Room {
    /// 0: always.
    reserve_bytes: u64,
    full: AtomicBool,
}

/// True if there is too little room, given whether there was. It takes an eighth more to end the lack than to begin it.
/// Otherwise a disk that is emptied as fast as it is filled would be full and not full in turn.
fn is_full(was_full: bool, free_bytes: u64, reserve_bytes: u64) -> bool {
    let least = if was_full { reserve_bytes.saturating_add(reserve_bytes / 8) } else { reserve_bytes };
    free_bytes < least
}

// === impl Room ===

impl Room {
    pub(crate) fn new(reserve_bytes: u64) -> Room {
        Room { reserve_bytes, full: AtomicBool::new(false) }
    }

    /// True if there is too little.
    pub(crate) fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    /// Takes note of the room there is; `None`: nothing bounds it.
    pub(crate) fn note(&self, free_bytes: Option<u64>) {
        observe::room(free_bytes);
        let was_full = self.is_full();
        let full = free_bytes.is_some_and(|free| is_full(was_full, free, self.reserve_bytes));
        if full && !was_full {
            tracing::error!(free_bytes, self.reserve_bytes, "the disk is nearly full: no messages are taken");
        } else if was_full && !full {
            tracing::warn!(free_bytes, self.reserve_bytes, "there is room on the disk again: messages are taken");
        }
        self.full.store(full, Ordering::Relaxed);
    }

    /// Looks once. A file system that does not answer changes nothing.
    pub(crate) fn look(&self, store: &SharedStore) {
        match store.free_bytes() {
            Ok(free_bytes) => self.note(free_bytes),
            Err(error) => tracing::debug!(%error, "how much room the disk has is unknown"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_full_below_the_reserve_until_there_is_an_eighth_more() {
        let room = Room::new(800);
        for (free, full) in [(800, false), (799, true), (800, true), (899, true), (900, false), (800, false), (0, true)]
        {
            room.note(Some(free));
            assert_eq!(room.is_full(), full, "{free}");
        }
        room.note(None);
        assert!(!room.is_full(), "nothing bounds it");
    }

    #[test]
    fn without_a_reserve_it_is_never_full() {
        let room = Room::new(0);
        room.note(Some(0));
        assert!(!room.is_full());
    }
}
