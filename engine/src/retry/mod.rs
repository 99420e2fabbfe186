//! When a failed delivery is tried again, and whether there is room for it.
//!
//! Everything here is a cache over the durable due index and is rebuilt from it by the first refill; nothing in this
//! folder decides whether an outcome deserves a retry, and nothing reads a clock.

pub mod preview;
pub mod schedule;

pub mod budget;
pub mod recent;
pub mod token_bucket;

pub mod wheel;
