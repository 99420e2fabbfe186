//! Shards: threads with endpoint actors, timing wheels and connections. Each partition of the node has lanes on each of them.
//!
//! Nothing is shared between the shards of a partition but the paces of applications ([`crate::pace`]); what reaches one comes through its
//! [`inbox`], what leaves it goes to the writer in batches. Declared in the order of the flow.

mod expunged;
pub mod inbox;

mod run;
mod thread;
pub mod thread_shares;

pub mod seats;

pub mod core;
mod offered;
mod pacing;
pub mod places;
pub mod work;
pub mod workers;

mod shell;

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
