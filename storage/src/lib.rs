//! Where a byte reaches the disk, and what it means there.
//!
//! Bottom up: [`store`] is an ordered key-value map with atomic durable batches and nothing more; [`keys`] and
//! [`codec`] give its rows a shape; [`tables`] give them a meaning; [`txn`] collects writes; [`writer`] is the one
//! thread that makes them durable; [`repair`] saves what is left of a damaged store. Deliberately knows nothing of HTTP,
//! sockets or when to retry.

pub mod store;

pub mod block;
pub mod codec;
pub mod keys;
pub mod read;
pub mod txn;

pub mod tables;

pub mod writer;

pub mod repair;

pub use read::{Read, SharedStore};
pub use store::{Batch, Direction, Store, StoreError};
pub use txn::{Change, Growth, Txn, Wanted};
