//! How far an application's log is routed: `application number`.

use super::parts::{KeyReader, KeyWriter};
use super::{KeyKind, KeyRange};
use crate::store::StoreError;
use model::AppId;

/// The key of a row.
#[must_use]
pub fn encode(app: AppId) -> Vec<u8> {
    KeyWriter::new(KeyKind::Routed).app(app).finish()
}

/// Reads a key back.
///
/// # Errors
/// [`StoreError::CorruptRow`] for anything that [`encode`] would not have written.
pub fn decode(key: &[u8]) -> Result<AppId, StoreError> {
    let mut reader = KeyReader::new(KeyKind::Routed, key)?;
    let app = reader.app()?;
    reader.finish()?;
    Ok(app)
}

/// Every one.
#[must_use]
pub fn all() -> KeyRange {
    KeyRange::prefix(KeyWriter::new(KeyKind::Routed).finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::testing::{apps, key_properties};

    key_properties!(KeyKind::Routed, fixed, apps(), |app| encode(*app), decode);
}
