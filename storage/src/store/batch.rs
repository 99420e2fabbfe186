//! A set of writes that reaches the store as one. It knows limits and nothing of the meaning of its rows.

use std::collections::{BTreeMap, btree_map};
use std::ops::Bound;

use bytes::Bytes;

use super::{MAX_BATCH_BYTES, MAX_KEY_BYTES, MAX_VALUE_BYTES, StoreError};

/// The change that a batch makes to one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// The key has this value from now on.
    Put(Bytes),
    /// The key is gone from now on; deleting a key that is not there is fine.
    Delete,
}

impl Write {
    /// The length of the value, in bytes.
    pub(crate) fn value_bytes(&self) -> usize {
        match self {
            Self::Put(value) => value.len(),
            Self::Delete => 0,
        }
    }
}

/// Writes applied as one by [`Store::apply`](super::Store::apply): at most one per key, the last one given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    writes: BTreeMap<Bytes, Write>,
    bytes: usize,
}

impl Batch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets `key` to `value`, replacing this batch's earlier write to `key`. Limits are checked when it is applied.
    pub fn put(&mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        self.write(key.into(), Write::Put(value.into()));
    }

    /// Deletes `key`, replacing this batch's earlier write to it.
    pub fn delete(&mut self, key: impl Into<Bytes>) {
        self.write(key.into(), Write::Delete);
    }

    /// The write of this batch to `key`, if it has one.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<&Write> {
        self.writes.get(key)
    }

    /// Adds every write of a later batch.
    pub fn append(&mut self, later: Batch) {
        for (key, write) in later.writes {
            self.write(key, write);
        }
    }

    /// The number of keys that this batch writes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.writes.len()
    }

    /// True if this batch writes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// The sum of the lengths of its keys and values, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The writes to keys from `start` to before `end`, in ascending key order.
    pub(crate) fn range(&self, start: &[u8], end: &[u8]) -> impl DoubleEndedIterator<Item = (&Bytes, &Write)> {
        // BTreeMap::range panics on a range that is upside down.
        let end = end.max(start);
        self.writes.range::<[u8], _>((Bound::Included(start), Bound::Excluded(end)))
    }

    /// The writes in ascending key order.
    pub fn iter(&self) -> btree_map::Iter<'_, Bytes, Write> {
        self.writes.iter()
    }

    /// Checks the limits every implementation must enforce before it writes anything.
    ///
    /// # Errors
    ///
    /// The first limit that is exceeded; see [`StoreError::is_refusal`].
    pub fn check_limits(&self) -> Result<(), StoreError> {
        if self.bytes > MAX_BATCH_BYTES {
            return Err(StoreError::BatchTooLarge { bytes: self.bytes });
        }
        for (key, write) in &self.writes {
            if key.is_empty() || key.len() > MAX_KEY_BYTES {
                return Err(StoreError::KeyLength { bytes: key.len() });
            }
            if key[0] == 0 {
                return Err(StoreError::KeyReserved);
            }
            if write.value_bytes() > MAX_VALUE_BYTES {
                return Err(StoreError::ValueTooLarge { bytes: write.value_bytes(), most: MAX_VALUE_BYTES });
            }
        }
        Ok(())
    }

    fn write(&mut self, key: Bytes, write: Write) {
        self.bytes += key.len() + write.value_bytes();
        let key_bytes = key.len();
        if let Some(replaced) = self.writes.insert(key, write) {
            self.bytes -= key_bytes + replaced.value_bytes();
        }
    }
}

impl IntoIterator for Batch {
    type Item = (Bytes, Write);
    type IntoIter = btree_map::IntoIter<Bytes, Write>;

    fn into_iter(self) -> Self::IntoIter {
        self.writes.into_iter()
    }
}

impl<'a> IntoIterator for &'a Batch {
    type Item = (&'a Bytes, &'a Write);
    type IntoIter = btree_map::Iter<'a, Bytes, Write>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_write_of_a_key_wins_and_bytes_follow() {
        let mut batch = Batch::new();
        assert!(batch.is_empty());
        batch.put("b", "12345");
        batch.put("a", "1");
        assert_eq!((batch.len(), batch.bytes()), (2, 8));
        batch.put("b", "1");
        assert_eq!((batch.len(), batch.bytes()), (2, 4));
        batch.delete("b");
        assert_eq!((batch.len(), batch.bytes()), (2, 3));

        let writes: Vec<_> = batch.into_iter().collect();
        assert_eq!(writes, vec![(Bytes::from("a"), Write::Put("1".into())), (Bytes::from("b"), Write::Delete)]);
    }
}
