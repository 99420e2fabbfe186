//! Shards: threads with endpoint actors, timing wheels and connections.
//!
//! Each partition of the node has lanes on each shard. The shards of a partition share nothing but the paces of
//! applications ([`crate::pace`]). News reach a shard through its [`inbox`]. Its settlements go to the writer in
//! batches. The modules are declared in the order of the flow.

mod expunged;
pub mod inbox;

mod run;
mod thread;
pub mod thread_shares;

pub mod handles;

pub mod core;
mod filtering;
mod held;
mod offered;
mod pacing;
pub mod places;
pub mod work;
pub mod workers;

mod shell;

pub mod challenges;
mod verify;

pub mod reads;
pub mod report;
pub mod timers;

pub mod housekeeping;

pub mod metrics;

pub use core::ShardParts;
pub use thread::{ShardThread, SpawnError, spawn, spawn_with};
pub use thread_shares::ThreadShares;

#[cfg(test)]
mod tests;
