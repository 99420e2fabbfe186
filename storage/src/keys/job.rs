//! Jobs: `number`, in the order of creation.

use super::parts::{KeyReader, KeyWriter};
use super::{KeyKind, KeyRange};
use crate::store::StoreError;

/// The key of a row.
#[must_use]
pub fn encode(number: u32) -> Vec<u8> {
    KeyWriter::new(KeyKind::Job).u32(number).finish()
}

/// Reads a key back.
///
/// # Errors
/// [`StoreError::CorruptRow`] for anything that [`encode`] would not have written.
pub fn decode(key: &[u8]) -> Result<u32, StoreError> {
    let mut reader = KeyReader::new(KeyKind::Job, key)?;
    let number = reader.u32()?;
    reader.finish()?;
    Ok(number)
}

/// Every one.
#[must_use]
pub fn all() -> KeyRange {
    KeyRange::prefix(KeyWriter::new(KeyKind::Job).finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::testing::{key_properties, u32s};

    key_properties!(KeyKind::Job, fixed, u32s(), |number| encode(*number), decode);
}
