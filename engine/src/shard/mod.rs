//! A shard: one thread with its endpoint actors, its timing wheel and its connections.
//!
//! Nothing is shared between shards; what reaches one comes through its [`inbox`], what leaves it goes to the writer in
//! batches. Declared in the order of the flow.

pub mod inbox;

mod run;
mod seats;

pub mod core;
pub mod work;
pub mod workers;

mod reads;
mod report;
mod timers;

mod housekeeping;

pub mod metrics;

pub use run::{ShardParts, ShardThread, SpawnError, spawn};
