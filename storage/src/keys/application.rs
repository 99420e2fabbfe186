//! Applications: `application number`, in the order of creation.

use super::parts::{KeyReader, KeyWriter};
use super::{KeyKind, KeyRange};
use crate::store::StoreError;
use model::AppId;

/// The key of a row.
#[must_use]
pub fn encode(app: AppId) -> Vec<u8> {
    KeyWriter::new(KeyKind::Application).app(app).finish()
}

/// Reads a key back.
///
/// # Errors
/// [`StoreError::CorruptRow`] for anything that [`encode`] would not have written.
pub fn decode(key: &[u8]) -> Result<AppId, StoreError> {
    let mut reader = KeyReader::new(KeyKind::Application, key)?;
    let app = reader.app()?;
    reader.finish()?;
    Ok(app)
}

/// Every one.
#[must_use]
pub fn all() -> KeyRange {
    KeyRange::prefix(KeyWriter::new(KeyKind::Application).finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::testing::{apps, key_properties};

    key_properties!(KeyKind::Application, fixed, apps(), |app| encode(*app), decode);
}
