//! The ledger: events sent and acknowledged, against deliveries that arrived.
//!
//! Events are numbered from 0 in the order they are sent; the number travels in the payload. For each event there are
//! two times and a hash of the message's id, and for each delivery (event x endpoint) two bits: seen, and seen again.
//! So a million events to ten endpoints take 14.5 MB. Pushers and receivers write it at the same time without a lock.
//! It has no I/O, no clock and no HTTP; [`judge`] judges it.

mod chunk;
mod judge;
mod order;

pub(crate) use self::judge::Account;
pub(crate) use self::order::Promise;

use self::chunk::{CHUNK_EVENTS, Chunk};
use self::order::{Arrival, Order};
use crate::drive::Streams;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

/// Chunks at most: 256 million events.
const CHUNKS_MAX: usize = 4_096;
/// A delivery that is earlier than its time by less than this is on time: the API takes whole ms.
const EARLY_US: u64 = 1_000;

/// The whole ledger.
#[derive(Debug)]
pub(crate) struct Ledger {
    streams: Arc<Streams>,
    chunks: Box<[OnceLock<Chunk>]>,
    next: AtomicU64,
    counts: Counts,
    order: Order,
    /// Events that are due long after the run.
    held: OnceLock<Range<u64>>,
    /// Deliveries may come again and again: `limit` repeats prepared requests.
    repeats: bool,
}

/// Running totals.
#[derive(Debug, Default)]
struct Counts {
    acked: AtomicU64,
    healthy_owed: AtomicU64,
    healthy: AtomicU64,
    received: AtomicU64,
    refused: AtomicU64,
    bad_signatures: AtomicU64,
    unexpected: AtomicU64,
    out_of_order: AtomicU64,
    early: AtomicU64,
    changed_ids: AtomicU64,
}

/// The kind of a request that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Receipt {
    /// The first of this delivery.
    First {
        /// From the intended send time, in µs.
        latency_us: u64,
        /// From the acknowledgement, in µs; 0 when it arrived before that.
        after_ack_us: u64,
    },
    /// It was here before.
    Again,
    /// Nobody sent it, or not here.
    Unexpected,
}

/// Running totals at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Events acknowledged.
    pub(crate) acked: u64,
    /// Deliveries that acknowledged events lead to, at healthy endpoints.
    pub(crate) healthy_owed: u64,
    /// Deliveries that arrived at healthy endpoints, each once.
    pub(crate) healthy: u64,
    /// Deliveries that arrived at any endpoint and were answered with success, each once.
    pub(crate) received: u64,
    /// Requests answered with a failure on purpose.
    pub(crate) refused: u64,
}

impl Ledger {
    /// An empty ledger. Arrivals must be in the order that is promised.
    pub(crate) fn new(streams: Arc<Streams>, promise: Promise) -> Ledger {
        Ledger {
            order: Order::new(promise, &streams),
            held: OnceLock::new(),
            streams,
            chunks: (0..CHUNKS_MAX).map(|_| OnceLock::new()).collect(),
            next: AtomicU64::new(0),
            counts: Counts::default(),
            repeats: false,
        }
    }

    /// A ledger for a sender that repeats itself: only counts are compared.
    pub(crate) fn with_repeats(streams: Arc<Streams>) -> Ledger {
        Ledger { repeats: true, ..Ledger::new(streams, Promise::None) }
    }

    /// The number that is given next.
    pub(crate) fn next_number(&self) -> u64 {
        self.next.load(Relaxed)
    }

    /// The next `count` numbers; `None` when the ledger is full.
    pub(crate) fn claim(&self, count: u32) -> Option<Range<u64>> {
        let first = self.next.fetch_add(count.into(), Relaxed);
        let last = first + u64::from(count);
        (last <= CHUNKS_MAX as u64 * CHUNK_EVENTS as u64).then_some(first..last)
    }

    /// Events of these numbers are due long after the run: they are owed to nobody, and must not arrive. Set once.
    pub(crate) fn hold(&self, numbers: Range<u64>) {
        self.held.get_or_init(|| numbers);
    }

    fn is_held(&self, number: u64) -> bool {
        self.held.get().is_some_and(|held| held.contains(&number))
    }

    /// An event is to be sent at `at_us`, or, scheduled, to be delivered then.
    pub(crate) fn intend(&self, number: u64, at_us: u64) {
        if let Some((chunk, place)) = self.place(number) {
            chunk.set_intended(place, at_us);
        }
    }

    /// An event was acknowledged.
    pub(crate) fn ack(&self, number: u64, at_us: u64) {
        let Some((chunk, place)) = self.place(number) else { return };
        chunk.set_acked(place, at_us);
        self.counts.acked.fetch_add(1, Relaxed);
        if !self.is_held(number) {
            self.counts.healthy_owed.fetch_add(self.streams.healthy_of(number).into(), Relaxed);
        }
    }

    /// An event goes by this id: it must be the same in the acknowledgement, at every endpoint, and every time.
    pub(crate) fn note_id(&self, number: u64, id: &[u8]) {
        if let Some((chunk, place)) = self.place(number)
            && !chunk.goes_by(place, id)
        {
            self.counts.changed_ids.fetch_add(1, Relaxed);
        }
    }

    /// An event arrived at an endpoint and is answered with success.
    pub(crate) fn receive(&self, number: u64, id: &[u8], stream: u32, member: u32, at_us: u64) -> Receipt {
        let is_ours = number < self.next.load(Relaxed)
            && stream < self.streams.count()
            && member < self.streams.fan_out()
            && !self.is_held(number)
            && (self.repeats || self.streams.of(number) == stream);
        let (true, Some((chunk, place))) = (is_ours, self.place(number)) else {
            self.counts.unexpected.fetch_add(1, Relaxed);
            return Receipt::Unexpected;
        };
        if !chunk.goes_by(place, id) {
            self.counts.changed_ids.fetch_add(1, Relaxed);
        }
        let is_first = chunk.see(place * self.streams.fan_out() as usize + member as usize);
        if !is_first && !self.repeats {
            return Receipt::Again;
        }
        self.counts.received.fetch_add(1, Relaxed);
        let endpoint = self.streams.endpoint(stream, member);
        if self.streams.is_healthy(endpoint) {
            self.counts.healthy.fetch_add(1, Relaxed);
        }
        let (sent_us, acked_us) = (chunk.intended(place), chunk.acked(place));
        let arrival = Arrival { endpoint, key: self.streams.key(number), number, sent_us, acked_us };
        if self.order.is_broken_by(arrival) {
            self.counts.out_of_order.fetch_add(1, Relaxed);
        }
        if at_us + EARLY_US < sent_us {
            self.counts.early.fetch_add(1, Relaxed);
        }
        let after_ack_us = acked_us.map_or(0, |acked_us| at_us.saturating_sub(acked_us));
        Receipt::First { latency_us: at_us.saturating_sub(sent_us), after_ack_us }
    }

    /// A request was answered with a failure on purpose.
    pub(crate) fn refuse(&self) {
        self.counts.refused.fetch_add(1, Relaxed);
    }

    /// A signature did not verify.
    pub(crate) fn bad_signature(&self) {
        self.counts.bad_signatures.fetch_add(1, Relaxed);
    }

    /// A request that makes no sense: no number, no such path.
    pub(crate) fn unexpected(&self) {
        self.counts.unexpected.fetch_add(1, Relaxed);
    }

    /// Running totals.
    pub(crate) fn totals(&self) -> Totals {
        Totals {
            acked: self.counts.acked.load(Relaxed),
            healthy_owed: self.counts.healthy_owed.load(Relaxed),
            healthy: self.counts.healthy.load(Relaxed),
            received: self.counts.received.load(Relaxed),
            refused: self.counts.refused.load(Relaxed),
        }
    }

    /// Healthy endpoints of an application, at least 1.
    pub(crate) fn healthy_fan_out(&self) -> u64 {
        u64::from(self.streams.healthy_fan_out()).max(1)
    }

    /// The chunk of an event and its place within; makes the chunk when it is the first.
    fn place(&self, number: u64) -> Option<(&Chunk, usize)> {
        let number = usize::try_from(number).ok()?;
        let chunk = self.chunks.get(number / CHUNK_EVENTS)?;
        let chunk = chunk.get_or_init(|| Chunk::new(self.streams.fan_out() as usize));
        Some((chunk, number % CHUNK_EVENTS))
    }
}
