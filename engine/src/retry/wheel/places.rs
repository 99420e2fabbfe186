//! The keys that name a pending timer: a generation for each place, and a stack of the places that stand free.
//!
//! The timers themselves are elsewhere, so that a place takes four bytes. Every cancel and every timer that fires asks
//! at random if a key is good. These generations are small enough to be near the processor when a slab of whole timers
//! is not. They lie in chunks and not in one vector: growing never copies, and never holds twice the memory it needs.

use std::num::NonZeroU32;

/// Logarithm of the places in a chunk: 1 MiB of them.
const CHUNK_BITS: u32 = 18;
const CHUNK: usize = 1 << CHUNK_BITS;

/// Names a timer from its insertion until it fires or is cancelled, and nothing ever after.
///
/// Eight bytes, also as an `Option`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimerKey {
    index: u32,
    generation: NonZeroU32,
}

/// Indices of free places (or blocks), last freed first.
///
/// Four bytes for each, none while it is in use. A list threaded through the places would cost none at all, but taking
/// the next place would have to wait for the last one to come from memory.
#[derive(Default)]
pub(super) struct FreeStack {
    full: Vec<Vec<u32>>,
    top: Vec<u32>,
    /// An empty chunk, kept so that a stack at the edge of one does not allocate again and again.
    spare: Vec<u32>,
}

impl FreeStack {
    const CHUNK: usize = 1 << 15;

    #[inline]
    pub(super) fn push(&mut self, index: u32) {
        if self.top.len() == Self::CHUNK {
            let mut next = std::mem::take(&mut self.spare);
            next.reserve_exact(Self::CHUNK);
            self.full.push(std::mem::replace(&mut self.top, next));
        }
        self.top.push(index);
    }

    #[inline]
    pub(super) fn pop(&mut self) -> Option<u32> {
        if self.top.is_empty() {
            let next = self.full.pop()?;
            self.spare = std::mem::replace(&mut self.top, next);
        }
        self.top.pop()
    }
}

/// All places.
#[derive(Default)]
pub(super) struct Places {
    /// For each place the generation of the key now valid or, while free, of the next key. All full but the last.
    chunks: Vec<Vec<NonZeroU32>>,
    free: FreeStack,
    pending: usize,
}

impl Places {
    /// Number of keys that are good.
    #[inline]
    pub(super) fn pending(&self) -> usize {
        self.pending
    }

    /// Issues a key, for the place freed last if there is one.
    ///
    /// # Panics
    /// At 2^32 keys that are good.
    #[inline]
    pub(super) fn issue(&mut self) -> TimerKey {
        self.pending += 1;
        let Some(index) = self.free.pop() else { return self.grow() };
        let generation = self.chunks[index as usize >> CHUNK_BITS][index as usize & (CHUNK - 1)];
        TimerKey { index, generation }
    }

    #[cold]
    fn grow(&mut self) -> TimerKey {
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let last = self.chunks.len() - 1;
        let index = last << CHUNK_BITS | self.chunks[last].len();
        assert!(index <= u32::MAX as usize, "too many timers for 32-bit places");
        let generation = NonZeroU32::MIN;
        self.chunks[last].push(generation);
        TimerKey { index: index as u32, generation }
    }

    /// True when the key names a pending timer.
    #[inline]
    pub(super) fn is_good(&self, key: TimerKey) -> bool {
        let chunk = self.chunks.get(key.index as usize >> CHUNK_BITS);
        chunk.and_then(|chunk| chunk.get(key.index as usize & (CHUNK - 1))) == Some(&key.generation)
    }

    /// Frees the place of a key, which is stale from here on; false, and nothing done, if it was stale before.
    ///
    /// A place whose generations are used up is never used again, so no stale key ever comes true: that loses one place
    /// for each four thousand million timers.
    #[inline]
    pub(super) fn release(&mut self, key: TimerKey) -> bool {
        let chunk = self.chunks.get_mut(key.index as usize >> CHUNK_BITS);
        let Some(generation) = chunk.and_then(|chunk| chunk.get_mut(key.index as usize & (CHUNK - 1))) else {
            return false;
        };
        if *generation != key.generation {
            return false;
        }
        *generation = generation.saturating_add(1);
        if *generation < NonZeroU32::MAX {
            self.free.push(key.index);
        }
        self.pending -= 1;
        true
    }

    /// The key that a place issues near the end of its generations; the one it had is stale.
    #[cfg(test)]
    pub(super) fn age(&mut self, key: TimerKey) -> TimerKey {
        let generation = NonZeroU32::new(u32::MAX - 1).unwrap();
        self.chunks[key.index as usize >> CHUNK_BITS][key.index as usize & (CHUNK - 1)] = generation;
        TimerKey { index: key.index, generation }
    }

    /// Number of places ever made.
    #[cfg(test)]
    pub(super) fn made(&self) -> usize {
        self.chunks.iter().map(Vec::len).sum()
    }
}

#[cfg(test)]
impl TimerKey {
    pub(super) fn index(self) -> u32 {
        self.index
    }
}
