//! A shard: one thread with its endpoint actors, its timing wheel and its connections.
//!
//! Nothing is shared between shards but the paces of applications ([`crate::pace`]); what reaches one comes through its
//! [`inbox`], what leaves it goes to the writer in batches. Declared in the order of the flow.

mod expunged;
pub mod inbox;

mod run;
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
pub use run::{ShardThread, SpawnError, spawn, spawn_with};

#[cfg(test)]
mod tests;
