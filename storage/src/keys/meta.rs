//! Counters and facts about the store itself: `name`.

use super::KeyKind;
use super::parts::{KeyReader, KeyWriter};
use crate::store::StoreError;

/// The key of a row.
#[must_use]
pub fn encode(name: &str) -> Vec<u8> {
    KeyWriter::new(KeyKind::Meta).bytes(name.as_bytes()).finish()
}

/// Reads a key back.
///
/// # Errors
/// [`StoreError::CorruptRow`] for anything that [`encode`] would not have written.
pub fn decode(key: &[u8]) -> Result<String, StoreError> {
    KeyReader::new(KeyKind::Meta, key)?.text()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::testing::{key_properties, texts};

    key_properties!(KeyKind::Meta, text, texts(), |name| encode(name), decode);
}
