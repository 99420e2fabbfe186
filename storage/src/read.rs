//! Reading, from the store itself or through a transaction that sees its own writes.
//!
//! The two read calls and nothing else: the meaning of rows is for [`crate::tables`].

use crate::store::{Direction, Store, StoreError};
use bytes::Bytes;
use std::sync::Arc;

/// A source of rows.
pub trait Read {
    /// The value of `key`, if there is one.
    ///
    /// # Errors
    /// Whatever the store reports; it is poisoned then.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError>;

    /// Rows with keys in `[start, end)`, at most `limit`.
    ///
    /// A transaction answers from the store alone here: no code may need a range of rows that it has just written.
    ///
    /// # Errors
    /// Whatever the store reports; it is poisoned then.
    fn scan(
        &self,
        start: &[u8],
        end: &[u8],
        limit: usize,
        direction: Direction,
    ) -> Result<Vec<(Bytes, Bytes)>, StoreError>;
}

impl<S: Store + ?Sized> Read for S {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        Store::get(self, key)
    }

    fn scan(
        &self,
        start: &[u8],
        end: &[u8],
        limit: usize,
        direction: Direction,
    ) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        Store::scan(self, start, end, limit, direction)
    }
}

/// The store as every reader outside the writer thread holds it.
pub type SharedStore = Arc<dyn Store>;
