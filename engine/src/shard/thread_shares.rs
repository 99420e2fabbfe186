//! Places for attempts, and memory for payloads that wait: shared by the partitions on one shard thread.
//!
//! Each partition has a [`ShardCore`] of its own on the thread. An application may hold as many places as are free on
//! the thread, whatever its partition. Cores that have lanes in line for a place are asked in turn.
//!
//! - *Who owns the state:* the thread.
//! - *What bounds it:* `max_in_flight_per_shard` and `queue_memory_bytes_per_shard`, over all partitions; one entry for
//!   each core.
//! - *When a partition ends:* its core gives back its places and memory ([`super::handles::end`]).

use super::core::ShardCore;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

/// Shared by the cores on one thread.
pub struct ThreadShares {
    places_free: Cell<usize>,
    /// Bytes of payloads that may wait in memory; see [`ThreadShares::room_bytes`].
    queue_bytes_max: usize,
    /// Bytes of payloads that wait in memory.
    pub queued_bytes: Cell<usize>,
    /// Bytes of payloads that reads under way may bring.
    pub reading_bytes: Cell<usize>,
    /// Bytes of payloads that are converted for content filters; see [`crate::endpoint::offer`].
    pub(super) converted: Arc<AtomicUsize>,
    /// Endpoints with an actor.
    pub endpoints: Cell<usize>,
    /// Lanes in line for a place.
    in_line: Cell<usize>,
    /// The next one to be asked in front.
    cores: RefCell<VecDeque<Rc<ShardCore>>>,
}

impl ThreadShares {
    /// So many places, and so much memory for payloads.
    #[must_use]
    pub fn new(places: usize, queue_bytes_max: usize) -> Rc<ThreadShares> {
        Rc::new(ThreadShares {
            places_free: Cell::new(places),
            queue_bytes_max,
            queued_bytes: Cell::new(0),
            reading_bytes: Cell::new(0),
            converted: Arc::default(),
            endpoints: Cell::new(0),
            in_line: Cell::new(0),
            cores: RefCell::default(),
        })
    }

    /// Places that nobody has.
    #[must_use]
    pub fn places_free(&self) -> usize {
        self.places_free.get()
    }

    pub(super) fn take_place(&self) {
        self.places_free.set(self.places_free.get() - 1);
    }

    pub(super) fn give_places_back(&self, count: usize) {
        self.places_free.set(self.places_free.get() + count);
    }

    pub(super) fn line_grew(&self) {
        self.in_line.set(self.in_line.get() + 1);
    }

    pub(super) fn line_shrank(&self) {
        self.in_line.set(self.in_line.get() - 1);
    }

    /// Bytes of payloads that an endpoint may queue beyond `its_queued_bytes`.
    ///
    /// It is the larger of two: the bytes that the thread has left, and the rest of the endpoint's equal share. So
    /// endpoints that cannot deliver never take all memory from those that can. All together have no more than twice
    /// the bound, and one event each.
    #[must_use]
    pub fn room_bytes(&self, its_queued_bytes: usize) -> usize {
        let left = self.queue_bytes_max.saturating_sub(self.queued_bytes.get() + self.reading_bytes.get());
        let share = self.queue_bytes_max / self.endpoints.get().max(1);
        left.max(share.saturating_sub(its_queued_bytes))
    }

    /// A core begins to share in this.
    pub(super) fn add(&self, core: &Rc<ShardCore>) {
        self.cores.borrow_mut().push_back(core.clone());
    }

    /// A core does so no more.
    pub(super) fn remove(&self, core: &Rc<ShardCore>) {
        self.cores.borrow_mut().retain(|other| !Rc::ptr_eq(other, core));
    }

    /// Every core, for the end of the thread.
    pub(super) fn take_cores(&self) -> VecDeque<Rc<ShardCore>> {
        self.cores.take()
    }

    /// Wakes the next lane in line for a place, of each core in turn; of `caller` where none was added.
    pub(super) fn wake_next(&self, caller: &ShardCore) {
        if self.in_line.get() == 0 {
            return;
        }
        let cores = self.cores.borrow().len();
        if cores == 0 {
            caller.wake_one();
        }
        for _ in 0..cores {
            let next = {
                let mut cores = self.cores.borrow_mut();
                cores.rotate_left(1);
                cores.back().cloned()
            };
            if next.is_some_and(|core| core.wake_one()) {
                return;
            }
        }
    }
}
