//! Endpoints: `application number, endpoint number`, in the order of creation within an application.

use super::parts::{KeyReader, KeyWriter};
use super::{KeyKind, KeyRange};
use crate::store::StoreError;
use model::{AppId, EndpointRef};

/// The key of a row.
#[must_use]
pub fn encode(target: EndpointRef) -> Vec<u8> {
    KeyWriter::new(KeyKind::Endpoint).target(target).finish()
}

/// Reads a key back.
///
/// # Errors
/// [`StoreError::CorruptRow`] for anything that [`encode`] would not have written.
pub fn decode(key: &[u8]) -> Result<EndpointRef, StoreError> {
    let mut reader = KeyReader::new(KeyKind::Endpoint, key)?;
    let target = reader.target()?;
    reader.finish()?;
    Ok(target)
}

/// Every one.
#[must_use]
pub fn all() -> KeyRange {
    KeyRange::prefix(KeyWriter::new(KeyKind::Endpoint).finish())
}

/// Those of one application.
#[must_use]
pub fn of_app(app: AppId) -> KeyRange {
    KeyRange::prefix(KeyWriter::new(KeyKind::Endpoint).app(app).finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::testing::{key_properties, targets};

    key_properties!(KeyKind::Endpoint, fixed, targets(), |target| encode(*target), decode);
}
