//! Events that were passed over in the log's order and stay in memory until their turn comes.
//!
//! *What bounds it:* [`BYTES_MAX`]. An event beyond that is read again when its turn comes; its hole says that it is owed.

use bytes::Bytes;
use model::{Event, Seq};
use std::collections::BTreeMap;

/// Bytes of one endpoint's events that were passed over, at most.
const BYTES_MAX: usize = 256 * 1_024;

/// See the head of this file.
#[derive(Debug, Default)]
pub(super) struct Passed {
    events: BTreeMap<Seq, Event>,
    bytes: usize,
}

impl Passed {
    /// Keeps an event, if there is room.
    pub(super) fn keep(&mut self, mut event: Event) {
        let bytes = event.memory_bytes();
        if self.bytes + bytes <= BYTES_MAX {
            // A payload that was read holds the whole block that it came in.
            event.payload = Bytes::copy_from_slice(&event.payload);
            self.bytes += bytes;
            self.events.insert(event.seq, event);
        }
    }

    /// Takes one out; none when it is to be read.
    pub(super) fn take(&mut self, seq: Seq) -> Option<Event> {
        let event = self.events.remove(&seq)?;
        self.bytes -= event.memory_bytes();
        Some(event)
    }

    /// Bytes that they take.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}
