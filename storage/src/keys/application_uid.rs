//! The index of applications by the tenant's own name: `uid`.

use super::parts::{KeyReader, KeyWriter};
use super::{KeyKind, KeyRange};
use crate::store::StoreError;

/// The key of a row.
#[must_use]
pub fn encode(uid: &str) -> Vec<u8> {
    KeyWriter::new(KeyKind::ApplicationUid).bytes(uid.as_bytes()).finish()
}

/// Reads a key back.
///
/// # Errors
/// [`StoreError::CorruptRow`] for anything that [`encode`] would not have written.
pub fn decode(key: &[u8]) -> Result<String, StoreError> {
    KeyReader::new(KeyKind::ApplicationUid, key)?.text()
}

/// Every one.
#[must_use]
pub fn all() -> KeyRange {
    KeyRange::prefix(KeyWriter::new(KeyKind::ApplicationUid).finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::testing::{key_properties, texts};

    key_properties!(KeyKind::ApplicationUid, text, texts(), |uid| encode(uid), decode);
}
