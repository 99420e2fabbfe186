//! URLs that an endpoint had before its present one: `application number, endpoint number, number of the URL`.

use super::parts::{KeyReader, KeyWriter};
use super::{KeyKind, KeyRange};
use crate::store::StoreError;
use model::EndpointRef;

/// The key of a row.
#[must_use]
pub fn encode(target: EndpointRef, number: u32) -> Vec<u8> {
    KeyWriter::new(KeyKind::EndpointUrl).target(target).u32(number).finish()
}

/// Reads a key back.
///
/// # Errors
/// [`StoreError::CorruptRow`] for anything that [`encode`] would not have written.
pub fn decode(key: &[u8]) -> Result<(EndpointRef, u32), StoreError> {
    let mut reader = KeyReader::new(KeyKind::EndpointUrl, key)?;
    let parts = (reader.target()?, reader.u32()?);
    reader.finish()?;
    Ok(parts)
}

/// Every one.
#[must_use]
pub fn all() -> KeyRange {
    KeyRange::prefix(KeyWriter::new(KeyKind::EndpointUrl).finish())
}

/// Those of one endpoint.
#[must_use]
pub fn of_endpoint(target: EndpointRef) -> KeyRange {
    KeyRange::prefix(KeyWriter::new(KeyKind::EndpointUrl).target(target).finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::testing::{key_properties, targets, u32s};

    key_properties!(KeyKind::EndpointUrl, fixed, (targets(), u32s()), |(target, url)| encode(*target, *url), decode);
}
