//! The `Store` seam (stand-in signatures).
use bytes::Bytes;
use std::collections::BTreeMap;
/// Largest value.
pub const MAX_VALUE_BYTES: usize = 8 * 1024;
/// Direction of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Ascending.
    Forward,
    /// Descending.
    Reverse,
}
/// Error.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Corrupt row.
    #[error("corrupt row of kind {kind}: {detail}")]
    CorruptRow {
        /// kind
        kind: &'static str,
        /// detail
        detail: String,
    },
}
/// Batch.
#[derive(Debug, Default)]
pub struct Batch {
    rows: BTreeMap<Bytes, Option<Bytes>>,
}
impl Batch {
    /// Put.
    pub fn put(&mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        self.rows.insert(key.into(), Some(value.into()));
    }
    /// Delete.
    pub fn delete(&mut self, key: impl Into<Bytes>) {
        self.rows.insert(key.into(), None);
    }
    /// Pending value of a key in this batch: `Some(None)` if deleted.
    pub fn get(&self, key: &[u8]) -> Option<Option<&Bytes>> {
        self.rows.get(key).map(Option::as_ref)
    }
    /// Adds all of another, later batch.
    pub fn append(&mut self, other: Batch) {
        self.rows.extend(other.rows);
    }
    /// Rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }
    /// None?
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}
/// Ordered KV map.
pub trait Store: Send + Sync + 'static {
    /// Atomic, durable.
    fn apply(&self, batch: Batch) -> Result<(), StoreError>;
    /// Point read.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError>;
    /// Range read of `[start, end)`.
    fn scan(
        &self,
        start: &[u8],
        end: &[u8],
        limit: usize,
        direction: Direction,
    ) -> Result<Vec<(Bytes, Bytes)>, StoreError>;
}
