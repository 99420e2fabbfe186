//! When a failed delivery is tried again: the in-memory clockwork of retries.
//!
//! Everything here is a cache over the durable `due` index and is rebuilt from it by the first refill; nothing
//! in this folder decides whether an outcome deserves a retry, and nothing reads a clock.

pub mod wheel;
