//! Event types: `name`, in byte order.

use super::parts::{KeyReader, KeyWriter};
use super::{KeyKind, KeyRange};
use crate::store::StoreError;

/// The key of a row.
#[must_use]
pub fn encode(name: &str) -> Vec<u8> {
    KeyWriter::new(KeyKind::EventType).bytes(name.as_bytes()).finish()
}

/// Reads a key back.
///
/// # Errors
/// [`StoreError::CorruptRow`] for anything that [`encode`] would not have written.
pub fn decode(key: &[u8]) -> Result<String, StoreError> {
    KeyReader::new(KeyKind::EventType, key)?.text()
}

/// Every one.
#[must_use]
pub fn all() -> KeyRange {
    KeyRange::prefix(KeyWriter::new(KeyKind::EventType).finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::testing::{key_properties, texts};

    key_properties!(KeyKind::EventType, text, texts(), |name| encode(name), decode);
}
