//! What the router offers: a commit's events with who is to get which.
//!
//! Deliberately shared and never changed: every endpoint of a shard reads its part of the same offer.

use model::{EndpointRef, Event};
use std::sync::Arc;

/// Everything that one commit has for one shard.
#[derive(Debug)]
pub struct Offer {
    /// The commit's events.
    pub events: Arc<[Event]>,
    /// Who gets which of them: by application and endpoint, ascending within each.
    pub targets: Vec<(EndpointRef, u32)>,
}
