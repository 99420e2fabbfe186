//! The timers of each slot, first in first out, in blocks of [`BLOCK`] that all slots draw from one pool.
//!
//! A timer is only ever added at the end of a slot and taken from its front. So it lies still, next to those that were
//! inserted about when it was: firing or refiling a slot reads memory in a row. A queue knows neither the time nor
//! which timers were cancelled.
//!
//! Timers lie in blocks and not in one vector per slot. So growing never copies (a slot may hold all timers there are),
//! and a block that one slot no longer needs goes to the next one.

use super::places::{FreeStack, TimerKey};

/// No block.
const NIL: u32 = u32::MAX;

/// Timers in a block: the more, the less its link counts; the fewer, the less a slot with one timer takes.
const BLOCK: usize = 16;

/// Logarithm of the blocks in a chunk: 784 KiB of them for a payload of 8 bytes.
const CHUNK_BITS: u32 = 11;
const CHUNK: usize = 1 << CHUNK_BITS;

// The memory per timer that the module above promises: this, and four bytes of its place.
const _: () = assert!(size_of::<Item<u64>>() == 24 && size_of::<Block<u64>>() == BLOCK * 24 + 8);

/// A timer, pending or cancelled.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item<T> {
    pub(super) deadline_ms: u64,
    pub(super) payload: T,
    pub(super) key: TimerKey,
}

struct Block<T> {
    /// Those outside of the queue's bounds are copies that mean nothing.
    items: [Item<T>; BLOCK],
    /// The block after it in its queue, or free of meaning in the last one.
    next: u32,
}

/// The timers of a slot.
#[derive(Debug, Clone, Copy)]
struct Queue {
    /// First block; [`NIL`] if the queue is empty.
    head: u32,
    /// Last block.
    tail: u32,
    len: u32,
    /// Items of the first block that were taken.
    taken: u8,
    /// Items of the last block that were put there.
    put: u8,
}

const EMPTY: Queue = Queue { head: NIL, tail: NIL, len: 0, taken: 0, put: 0 };

/// The queues of all slots.
pub(super) struct Queues<T> {
    queues: Vec<Queue>,
    chunks: Vec<Vec<Block<T>>>,
    free: FreeStack,
    len: usize,
}

impl<T: Copy> Queues<T> {
    /// As many empty queues.
    pub(super) fn new(slots: usize) -> Self {
        Self { queues: vec![EMPTY; slots], chunks: Vec::new(), free: FreeStack::default(), len: 0 }
    }

    /// Timers in all queues.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Timers in one queue.
    #[inline]
    pub(super) fn len_of(&self, slot: u32) -> u32 {
        self.queues[slot as usize].len
    }

    /// Adds timers at the end.
    ///
    /// # Panics
    /// At 2^32 timers in one queue, or about 2^36 in all.
    #[inline]
    pub(super) fn extend(&mut self, slot: u32, items: impl IntoIterator<Item = Item<T>>) {
        let mut queue = self.queues[slot as usize];
        let len_before = queue.len;
        for item in items {
            if queue.head == NIL {
                let block = self.take_block(item);
                queue = Queue { head: block, tail: block, ..EMPTY };
            } else if usize::from(queue.put) == BLOCK {
                let block = self.take_block(item);
                self.block_mut(queue.tail).next = block;
                queue.tail = block;
                queue.put = 0;
            }
            self.block_mut(queue.tail).items[usize::from(queue.put)] = item;
            queue.put += 1;
            queue.len += 1;
        }
        self.len += (queue.len - len_before) as usize;
        self.queues[slot as usize] = queue;
    }

    /// Moves timers from the front to the end of `taken`: at most `max`, and as many as lie in one block.
    #[inline]
    pub(super) fn take(&mut self, slot: u32, max: usize, taken: &mut Vec<Item<T>>) {
        let mut queue = self.queues[slot as usize];
        if queue.len == 0 {
            return;
        }
        let from = usize::from(queue.taken);
        let to = BLOCK.min(from + max.min(queue.len as usize));
        let block = self.block(queue.head);
        taken.extend_from_slice(&block.items[from..to]);
        let next = block.next;
        queue.len -= (to - from) as u32;
        queue.taken = to as u8;
        if queue.len == 0 {
            self.free.push(queue.head);
            queue = EMPTY;
        } else if to == BLOCK {
            self.free.push(queue.head);
            queue.head = next;
            queue.taken = 0;
        }
        self.queues[slot as usize] = queue;
        self.len -= to - from;
    }

    #[inline]
    fn block(&self, index: u32) -> &Block<T> {
        &self.chunks[index as usize >> CHUNK_BITS][index as usize & (CHUNK - 1)]
    }

    #[inline]
    fn block_mut(&mut self, index: u32) -> &mut Block<T> {
        &mut self.chunks[index as usize >> CHUNK_BITS][index as usize & (CHUNK - 1)]
    }

    /// A block that nobody uses; `filler` stands in a new one until something else does.
    #[inline]
    fn take_block(&mut self, filler: Item<T>) -> u32 {
        self.free.pop().unwrap_or_else(|| self.grow(filler))
    }

    #[cold]
    fn grow(&mut self, filler: Item<T>) -> u32 {
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let last = self.chunks.len() - 1;
        let index = last << CHUNK_BITS | self.chunks[last].len();
        assert!(index < NIL as usize, "too many timers for 32-bit blocks");
        self.chunks[last].push(Block { items: [filler; BLOCK], next: NIL });
        index as u32
    }

    /// Every timer of a queue, from the front.
    #[cfg(test)]
    pub(super) fn items(&self, slot: u32) -> Vec<Item<T>> {
        let queue = &self.queues[slot as usize];
        let mut block = queue.head;
        let mut at = usize::from(queue.taken);
        let mut items = Vec::new();
        while items.len() < queue.len as usize {
            if at == BLOCK {
                (block, at) = (self.block(block).next, 0);
            }
            items.push(self.block(block).items[at]);
            at += 1;
        }
        assert!(queue.len == 0 || (block == queue.tail && at == usize::from(queue.put)), "{queue:?} ends elsewhere");
        items
    }

    /// Number of blocks ever made.
    #[cfg(test)]
    pub(super) fn blocks_made(&self) -> usize {
        self.chunks.iter().map(Vec::len).sum()
    }
}
