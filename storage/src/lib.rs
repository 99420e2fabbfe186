//! Where a byte reaches the disk.
//!
//! `store` is the narrow seam: an ordered map of bytes with atomic, durable batches. All meaning (log, cursors, retries,
//! dead letters, configuration) belongs above it.

pub mod store;
