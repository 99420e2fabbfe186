//! The router's offer: a commit's events with the endpoints that get them.
//!
//! Deliberately shared and never changed: every endpoint of a shard reads its part of the same offer.

use model::{EndpointRef, Event};
use std::sync::Arc;

/// Everything that one commit has for one shard.
#[derive(Debug)]
pub struct Offer {
    /// The commit's events.
    pub events: Arc<[Event]>,
    /// The endpoints with the index of each event they get: by application and endpoint, ascending within each.
    pub targets: Vec<(EndpointRef, u32)>,
}
