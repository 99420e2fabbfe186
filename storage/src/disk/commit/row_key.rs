//! The key of a row in memory, with its beginning beside it.
//!
//! A tree compares keys a dozen times for each row. The bytes of a key lie in the record of its commit, so that each look at
//! them is likely to wait for memory. Most keys differ within their first bytes, and these stand in the tree itself.

use std::cmp::Ordering;

use bytes::Bytes;

/// Bytes of a key that stand in the tree: the kind, two numbers of four bytes, and most of one of eight.
const BEGINNING_BYTES: usize = 16;

/// The beginning of a key, followed by zeros if the key is shorter: in the order of keys, as far as it tells.
type Beginning = u128;

/// A key in a tree. Ordered as its bytes are.
#[derive(Clone, Debug)]
pub(crate) struct RowKey {
    beginning: Beginning,
    key: Bytes,
}

fn beginning_of(key: &[u8]) -> Beginning {
    let mut bytes = [0; BEGINNING_BYTES];
    let length = key.len().min(BEGINNING_BYTES);
    bytes[..length].copy_from_slice(&key[..length]);
    Beginning::from_be_bytes(bytes)
}

// === impl RowKey ===

impl RowKey {
    /// Its bytes.
    pub(crate) fn bytes(&self) -> &Bytes {
        &self.key
    }
}

impl From<&[u8]> for RowKey {
    /// Copies it: cheaper than a tree that compares keys of two kinds.
    fn from(key: &[u8]) -> Self {
        Self::from(Bytes::copy_from_slice(key))
    }
}

impl From<Bytes> for RowKey {
    fn from(key: Bytes) -> Self {
        Self { beginning: beginning_of(&key), key }
    }
}

impl Ord for RowKey {
    fn cmp(&self, other: &Self) -> Ordering {
        // A key that ends within the beginning is followed by zeros there, which are at most what the other key has. Of
        // equal beginnings, all bytes tell.
        self.beginning.cmp(&other.beginning).then_with(|| self.key.cmp(&other.key))
    }
}

impl PartialOrd for RowKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for RowKey {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for RowKey {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![3 => Just(0u8), 1 => Just(1), 1 => any::<u8>()];
        (proptest::collection::vec(byte.clone(), 0..4), 0usize..20, proptest::collection::vec(byte, 0..4))
            .prop_map(|(first, zeros, last)| [first, vec![0; zeros], last].concat())
    }

    proptest! {
        #[test]
        fn keys_are_ordered_as_their_bytes_are(one in key(), other in key()) {
            let expected = one.cmp(&other);
            let (left, right) = (RowKey::from(&one[..]), RowKey::from(&other[..]));
            prop_assert_eq!(left.cmp(&right), expected);
            prop_assert_eq!(left == right, expected.is_eq());
        }
    }
}
