//! Deliveries that were given up: `application number, endpoint number, position`.

use super::parts::{KeyReader, KeyWriter};
use super::{KeyKind, KeyRange};
use crate::store::StoreError;
use model::{AppId, EndpointRef, Seq};

/// The key of a row.
#[must_use]
pub fn encode(target: EndpointRef, seq: Seq) -> Vec<u8> {
    KeyWriter::new(KeyKind::DeadLetter).target(target).seq(seq).finish()
}

/// Reads a key back.
///
/// # Errors
/// [`StoreError::CorruptRow`] for anything that [`encode`] would not have written.
pub fn decode(key: &[u8]) -> Result<(EndpointRef, Seq), StoreError> {
    let mut reader = KeyReader::new(KeyKind::DeadLetter, key)?;
    let parts = (reader.target()?, reader.seq()?);
    reader.finish()?;
    Ok(parts)
}

/// Every one.
#[must_use]
pub fn all() -> KeyRange {
    KeyRange::prefix(KeyWriter::new(KeyKind::DeadLetter).finish())
}

/// Those of one application.
#[must_use]
pub fn of_app(app: AppId) -> KeyRange {
    KeyRange::prefix(KeyWriter::new(KeyKind::DeadLetter).app(app).finish())
}

/// Those of one endpoint.
#[must_use]
pub fn of_endpoint(target: EndpointRef) -> KeyRange {
    KeyRange::prefix(KeyWriter::new(KeyKind::DeadLetter).target(target).finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::testing::{key_properties, seqs, targets};

    key_properties!(KeyKind::DeadLetter, fixed, (targets(), seqs()), |(target, seq)| encode(*target, *seq), decode);
}
