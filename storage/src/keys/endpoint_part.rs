//! Pieces of an endpoint's row beyond the first, when it is longer than one value: `application number, endpoint number,
//! index of the piece`, from 0.

use super::KeyKind;
use super::parts::{KeyReader, KeyWriter};
use crate::store::StoreError;
use model::EndpointRef;

/// The key of a row.
#[must_use]
pub fn encode(target: EndpointRef, index: u16) -> Vec<u8> {
    KeyWriter::new(KeyKind::EndpointPart).target(target).u16(index).finish()
}

/// Reads a key back.
///
/// # Errors
/// [`StoreError::CorruptRow`] for anything that [`encode`] would not have written.
pub fn decode(key: &[u8]) -> Result<(EndpointRef, u16), StoreError> {
    let mut reader = KeyReader::new(KeyKind::EndpointPart, key)?;
    let parts = (reader.target()?, reader.u16()?);
    reader.finish()?;
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::testing::{key_properties, targets, u16s};

    key_properties!(
        KeyKind::EndpointPart,
        fixed,
        (targets(), u16s()),
        |(target, index)| encode(*target, *index),
        decode
    );
}
