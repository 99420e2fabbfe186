//! Storage: the way of a byte to the disk, and its meaning there.
//!
//! Bottom up: [`store`] is the contract of an ordered key-value map with atomic durable batches; [`disk`] keeps one in
//! a data directory, [`damage`] saves what is left of it when the disk lost a part, [`backup`] copies it while it runs; [`rows`] gives every row its
//! layout; [`tables`] give them a meaning; [`txn`] collects writes; [`writer`] is the one thread that makes them
//! durable. This crate knows nothing of HTTP, sockets or when to retry.

pub mod store;

pub mod disk;

pub mod damage;

pub mod backup;

pub mod read;
pub mod rows;
pub mod txn;

pub mod tables;

pub mod writer;

pub use read::{Read, SharedStore};
pub use store::{Batch, Direction, Store, StoreError};
pub use txn::{Change, Collected, Growth, Txn, Wanted};
