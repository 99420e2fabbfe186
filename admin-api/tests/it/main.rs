//! The HTTP surface as a client sees it: the router driven without a socket, over an engine on a store in memory.
//!
//! No deliveries: the engine tests those. Rows that deliveries would leave (attempts, dead letters) are
//! put there by hand.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod harness;

mod applications;
mod attempts;
mod audit;
mod backlog;
mod batches;
mod bounds;
mod bulk;
mod compatibility;
mod dead_letters;
mod documents;
mod endpoints;
mod event_types;
mod failover;
mod keys;
mod messages;
mod once;
mod paging;
mod pause;
mod rate;
mod scopes;
mod signature_format;
mod standing;
mod unknown_fields;
mod wire;
