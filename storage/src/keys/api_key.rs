//! API keys: `SHA-256 of the key`, so that a copy of the store opens nothing.

use super::parts::{KeyReader, KeyWriter};
use super::{KeyKind, KeyRange};
use crate::store::StoreError;

/// The key of a row.
#[must_use]
pub fn encode(hash: [u8; 32]) -> Vec<u8> {
    KeyWriter::new(KeyKind::ApiKey).bytes(&hash).finish()
}

/// Reads a key back.
///
/// # Errors
/// [`StoreError::CorruptRow`] for anything that [`encode`] would not have written.
pub fn decode(key: &[u8]) -> Result<[u8; 32], StoreError> {
    let mut reader = KeyReader::new(KeyKind::ApiKey, key)?;
    let hash = reader.array()?;
    reader.finish()?;
    Ok(hash)
}

/// Every one.
#[must_use]
pub fn all() -> KeyRange {
    KeyRange::prefix(KeyWriter::new(KeyKind::ApiKey).finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::testing::key_properties;
    use proptest::prelude::any;

    key_properties!(KeyKind::ApiKey, fixed, any::<[u8; 32]>(), |hash| encode(*hash), decode);
}
