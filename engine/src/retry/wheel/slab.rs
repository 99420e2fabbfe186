//! The entries of the wheel: a slab with a stack of free places, in chunks, addressed by `u32` indices.
//!
//! Not a general slab: an entry is also a node of a slot's list, whose links the wheel sets. Chunks rather than
//! one vector, because growing never copies, and never holds twice what it needs.

use std::num::NonZeroU32;

/// No entry.
pub(super) const NIL: u32 = u32::MAX;

/// Marks a `prev` link that names a slot: the entry is the first of that slot's list.
const SLOT_TAG: u32 = 1 << 31;

/// Logarithm of the entries in a chunk: 1 MiB of 32-byte entries.
const CHUNK_BITS: u32 = 15;
const CHUNK: usize = 1 << CHUNK_BITS;

// The memory per timer that the module above promises.
const _: () = assert!(size_of::<Entry<u64>>() == 32 && size_of::<Entry<u32>>() == 24);

/// Names a timer from its insertion until it fires or is cancelled, and nothing ever after.
///
/// Eight bytes, also as an `Option`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimerKey {
    index: u32,
    generation: NonZeroU32,
}

impl TimerKey {
    pub(super) fn index(self) -> u32 {
        self.index
    }
}

/// One timer, or one free place (of which only the generation counts).
pub(super) struct Entry<T> {
    pub(super) deadline_ms: u64,
    payload: T,
    /// The entry before it in its slot, or the slot itself (see [`slot_link`]).
    pub(super) prev: u32,
    /// The entry after it in its slot, or [`NIL`].
    pub(super) next: u32,
    /// That of the key now valid or, while free, of the next key.
    generation: NonZeroU32,
}

/// The `prev` link of the first entry of a slot's list.
#[inline]
pub(super) fn slot_link(slot: u32) -> u32 {
    slot | SLOT_TAG
}

/// The slot that a `prev` link names, if it is not an entry.
#[inline]
pub(super) fn linked_slot(prev: u32) -> Option<u32> {
    (prev & SLOT_TAG != 0).then_some(prev & !SLOT_TAG)
}

/// The free places, last freed first.
///
/// Four bytes for each free place, none for a pending timer. A list threaded through the places would cost none
/// at all, but taking the next place would have to wait for the last one to come from memory: at ten million
/// that made refilling a scattered slab three times slower.
#[derive(Default)]
struct FreeStack {
    full: Vec<Vec<u32>>,
    top: Vec<u32>,
    /// An empty chunk, kept so that a stack at the edge of one does not allocate again and again.
    spare: Vec<u32>,
}

impl FreeStack {
    #[inline]
    fn push(&mut self, index: u32) {
        if self.top.len() == CHUNK {
            let mut next = std::mem::take(&mut self.spare);
            next.reserve_exact(CHUNK);
            self.full.push(std::mem::replace(&mut self.top, next));
        }
        self.top.push(index);
    }

    #[inline]
    fn pop(&mut self) -> Option<u32> {
        if self.top.is_empty() {
            let next = self.full.pop()?;
            self.spare = std::mem::replace(&mut self.top, next);
        }
        self.top.pop()
    }
}

/// All entries.
pub(super) struct Slab<T> {
    /// All full but the last.
    chunks: Vec<Vec<Entry<T>>>,
    free: FreeStack,
    len: usize,
}

impl<T: Copy> Slab<T> {
    pub(super) fn new() -> Self {
        Self { chunks: Vec::new(), free: FreeStack::default(), len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(super) fn entry(&self, index: u32) -> &Entry<T> {
        &self.chunks[index as usize >> CHUNK_BITS][index as usize & (CHUNK - 1)]
    }

    #[inline]
    pub(super) fn entry_mut(&mut self, index: u32) -> &mut Entry<T> {
        &mut self.chunks[index as usize >> CHUNK_BITS][index as usize & (CHUNK - 1)]
    }

    /// Whether the key names a pending timer.
    #[inline]
    pub(super) fn is_live(&self, key: TimerKey) -> bool {
        self.chunks
            .get(key.index as usize >> CHUNK_BITS)
            .and_then(|chunk| chunk.get(key.index as usize & (CHUNK - 1)))
            .is_some_and(|entry| entry.generation == key.generation)
    }

    /// Stores a timer, in the place freed last if there is one; the links are the caller's to set.
    #[inline]
    pub(super) fn insert(&mut self, deadline_ms: u64, payload: T) -> TimerKey {
        let Some(index) = self.free.pop() else {
            return self.grow(deadline_ms, payload);
        };
        let entry = self.entry_mut(index);
        entry.deadline_ms = deadline_ms;
        entry.payload = payload;
        let generation = entry.generation;
        self.len += 1;
        TimerKey { index, generation }
    }

    fn grow(&mut self, deadline_ms: u64, payload: T) -> TimerKey {
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let last = self.chunks.len() - 1;
        let index = last << CHUNK_BITS | self.chunks[last].len();
        assert!(index < SLOT_TAG as usize, "too many timers for 31-bit links");
        let generation = NonZeroU32::MIN;
        self.chunks[last].push(Entry { deadline_ms, payload, prev: NIL, next: NIL, generation });
        self.len += 1;
        TimerKey { index: index as u32, generation }
    }

    /// Frees the place of a timer and returns its payload; its key is stale from here on.
    ///
    /// A place whose generations are used up is never used again, so no stale key ever comes true: that loses
    /// one entry for each four thousand million timers.
    #[inline]
    pub(super) fn release(&mut self, index: u32) -> T {
        let entry = self.entry_mut(index);
        entry.generation = entry.generation.saturating_add(1);
        let payload = entry.payload;
        if entry.generation < NonZeroU32::MAX {
            self.free.push(index);
        }
        self.len -= 1;
        payload
    }

    /// Puts an entry near the end of its generations.
    #[cfg(test)]
    pub(super) fn age(&mut self, index: u32) -> TimerKey {
        let generation = NonZeroU32::new(u32::MAX - 1).unwrap();
        self.entry_mut(index).generation = generation;
        TimerKey { index, generation }
    }

    /// How many places were ever made.
    #[cfg(test)]
    pub(super) fn places(&self) -> usize {
        self.chunks.iter().map(Vec::len).sum()
    }
}
