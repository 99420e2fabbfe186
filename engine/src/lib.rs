//! From a committed event to a settled delivery. This crate opens no store of its own and serves no HTTP.

/// When a failed delivery is tried again.
pub mod retry;
