//! The router's offer: a commit's events with the endpoints that get them.
//!
//! All endpoints of a shard share one offer, and each reads its part of it. The offer keeps the events that content filters
//! ask about in converted form too, so that each is converted once.

use crate::prepare::content::{Content, content_of};
use model::{EndpointRef, Event};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock};

/// Everything that one commit has for one shard.
#[derive(Debug)]
pub struct Offer {
    /// The commit's events.
    pub events: Arc<[Event]>,
    /// The endpoints with the index of each event they get: by application and endpoint, ascending within each.
    pub targets: Vec<(EndpointRef, u32)>,
    /// Empty while no content filter has asked.
    converted: OnceLock<Converted>,
}

/// Converted events of an offer.
///
/// - *Who owns the state:* the offer; only the thread of its shard asks.
/// - *What bounds it:* [`CONVERTED_BYTES_MAX`] over all offers of a shard thread. It goes with its offer, which goes
///   when its last endpoint has taken it.
/// - *When it is full:* the event is not converted here, and its endpoints read it from the log.
#[derive(Debug)]
struct Converted {
    /// One for each event.
    contents: Box<[OnceLock<Content>]>,
    /// Bytes of the payloads of those that are converted.
    bytes: AtomicUsize,
    /// The same over all offers of the thread.
    of_thread: Arc<AtomicUsize>,
}

impl Drop for Converted {
    fn drop(&mut self) {
        self.of_thread.fetch_sub(self.bytes.load(Relaxed), Relaxed);
    }
}

/// Payload bytes of the events that one shard thread keeps converted. As values they take some twenty times that.
const CONVERTED_BYTES_MAX: usize = 4 * 1024 * 1024;

impl Offer {
    /// An offer of some of a commit's events.
    #[must_use]
    pub fn new(events: Arc<[Event]>, targets: Vec<(EndpointRef, u32)>) -> Offer {
        Offer { events, targets, converted: OnceLock::new() }
    }

    /// The content of one event, if it is converted.
    pub(crate) fn content(&self, index: u32) -> Option<&Content> {
        self.converted.get()?.contents.get(index as usize)?.get()
    }

    /// Converts one event, unless there is no room: `of_thread` counts the bytes of all offers of a thread.
    pub(crate) fn convert(&self, index: u32, of_thread: &Arc<AtomicUsize>) -> Option<&Content> {
        let event = self.events.get(index as usize)?;
        let bytes = event.payload.len();
        if of_thread.load(Relaxed).saturating_add(bytes) > CONVERTED_BYTES_MAX {
            return None;
        }
        let converted = self.converted.get_or_init(|| Converted {
            contents: self.events.iter().map(|_| OnceLock::new()).collect(),
            bytes: AtomicUsize::new(0),
            of_thread: of_thread.clone(),
        });
        // One thread asks, so nobody converts the same event in between.
        let content = converted.contents.get(index as usize)?.get_or_init(|| content_of(event));
        converted.bytes.fetch_add(bytes, Relaxed);
        of_thread.fetch_add(bytes, Relaxed);
        Some(content)
    }
}
