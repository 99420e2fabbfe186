//! Endpoints that were deleted and have attempts yet: `application number, endpoint number`.

use super::parts::{KeyReader, KeyWriter};
use super::{KeyKind, KeyRange};
use crate::store::StoreError;
use model::{AppId, EndpointRef};

/// The key of a row.
#[must_use]
pub fn encode(target: EndpointRef) -> Vec<u8> {
    KeyWriter::new(KeyKind::DeletedEndpoint).target(target).finish()
}

/// Reads a key back.
///
/// # Errors
/// [`StoreError::CorruptRow`] for anything that [`encode`] would not have written.
pub fn decode(key: &[u8]) -> Result<EndpointRef, StoreError> {
    let mut reader = KeyReader::new(KeyKind::DeletedEndpoint, key)?;
    let target = reader.target()?;
    reader.finish()?;
    Ok(target)
}

/// Every one.
#[must_use]
pub fn all() -> KeyRange {
    KeyRange::prefix(KeyWriter::new(KeyKind::DeletedEndpoint).finish())
}

/// Those of one application.
#[must_use]
pub fn of_app(app: AppId) -> KeyRange {
    KeyRange::prefix(KeyWriter::new(KeyKind::DeletedEndpoint).app(app).finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::testing::{key_properties, targets};

    key_properties!(KeyKind::DeletedEndpoint, fixed, targets(), |target| encode(*target), decode);
}
