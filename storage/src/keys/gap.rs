//! Stretches of the log that an endpoint did not get: `application number, endpoint number, first position`.

use super::parts::{KeyReader, KeyWriter};
use super::{KeyKind, KeyRange};
use crate::store::StoreError;
use model::{AppId, EndpointRef, Seq};

/// The key of a row.
#[must_use]
pub fn encode(target: EndpointRef, first: Seq) -> Vec<u8> {
    KeyWriter::new(KeyKind::Gap).target(target).seq(first).finish()
}

/// Reads a key back.
///
/// # Errors
/// [`StoreError::CorruptRow`] for anything that [`encode`] would not have written.
pub fn decode(key: &[u8]) -> Result<(EndpointRef, Seq), StoreError> {
    let mut reader = KeyReader::new(KeyKind::Gap, key)?;
    let parts = (reader.target()?, reader.seq()?);
    reader.finish()?;
    Ok(parts)
}

/// Every one.
#[must_use]
pub fn all() -> KeyRange {
    KeyRange::prefix(KeyWriter::new(KeyKind::Gap).finish())
}

/// Those of one application.
#[must_use]
pub fn of_app(app: AppId) -> KeyRange {
    KeyRange::prefix(KeyWriter::new(KeyKind::Gap).app(app).finish())
}

/// Those of one endpoint.
#[must_use]
pub fn of_endpoint(target: EndpointRef) -> KeyRange {
    KeyRange::prefix(KeyWriter::new(KeyKind::Gap).target(target).finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::testing::{key_properties, seqs, targets};

    key_properties!(KeyKind::Gap, fixed, (targets(), seqs()), |(target, first)| encode(*target, *first), decode);
}
