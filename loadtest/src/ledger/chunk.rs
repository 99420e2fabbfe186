//! 65,536 events of the ledger: two times and an id each, and two bits per delivery.
//!
//! The atomics are relaxed: each cell stands for itself, and the judgement comes after the threads have stopped.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// Events of a chunk.
pub(super) const CHUNK_EVENTS: usize = 65_536;

/// Times are µs in 32 bits (71 minutes), 0 for none.
#[derive(Debug)]
pub(super) struct Chunk {
    intended_us: Box<[AtomicU32]>,
    acked_us: Box<[AtomicU32]>,
    /// A hash of the message's id, 0 for none.
    ids: Box<[AtomicU32]>,
    seen: Box<[AtomicU64]>,
    again: Box<[AtomicU64]>,
}

impl Chunk {
    /// Empty, for events with `fan_out` deliveries each.
    pub(super) fn new(fan_out: usize) -> Chunk {
        let words = (CHUNK_EVENTS * fan_out).div_ceil(64);
        Chunk {
            intended_us: (0..CHUNK_EVENTS).map(|_| AtomicU32::new(0)).collect(),
            acked_us: (0..CHUNK_EVENTS).map(|_| AtomicU32::new(0)).collect(),
            ids: (0..CHUNK_EVENTS).map(|_| AtomicU32::new(0)).collect(),
            seen: (0..words).map(|_| AtomicU64::new(0)).collect(),
            again: (0..words).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    pub(super) fn set_intended(&self, place: usize, at_us: u64) {
        self.intended_us[place].store(cell(at_us), Relaxed);
    }

    pub(super) fn intended(&self, place: usize) -> u64 {
        self.intended_us[place].load(Relaxed).into()
    }

    pub(super) fn set_acked(&self, place: usize, at_us: u64) {
        self.acked_us[place].store(cell(at_us), Relaxed);
    }

    /// When it was acknowledged, if it was.
    pub(super) fn acked(&self, place: usize) -> Option<u64> {
        match self.acked_us[place].load(Relaxed) {
            0 => None,
            at_us => Some(at_us.into()),
        }
    }

    /// Notes the id that an event goes by; `false` when it went by another before.
    pub(super) fn goes_by(&self, place: usize, id: &[u8]) -> bool {
        let hash = fnv(id);
        match self.ids[place].compare_exchange(0, hash, Relaxed, Relaxed) {
            Ok(_) => true,
            Err(known) => known == hash,
        }
    }

    /// Marks a delivery as seen; `false` when it was already.
    pub(super) fn see(&self, delivery: usize) -> bool {
        let (word, bit) = (delivery / 64, 1 << (delivery % 64));
        let is_first = self.seen[word].fetch_or(bit, Relaxed) & bit == 0;
        if !is_first {
            self.again[word].fetch_or(bit, Relaxed);
        }
        is_first
    }

    /// True when a delivery was seen; and true when it was seen again.
    pub(super) fn is_seen(&self, delivery: usize) -> (bool, bool) {
        let (word, bit) = (delivery / 64, 1 << (delivery % 64));
        (self.seen[word].load(Relaxed) & bit != 0, self.again[word].load(Relaxed) & bit != 0)
    }
}

/// 32 bits of FNV-1a, never 0.
fn fnv(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811C_9DC5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)).max(1)
}

fn cell(at_us: u64) -> u32 {
    u32::try_from(at_us).unwrap_or(u32::MAX).max(1)
}
