//! The index of endpoints by the tenant's own name: `application number, uid`.

use super::parts::{KeyReader, KeyWriter};
use super::{KeyKind, KeyRange};
use crate::store::StoreError;
use model::AppId;

/// The key of a row.
#[must_use]
pub fn encode(app: AppId, uid: &str) -> Vec<u8> {
    KeyWriter::new(KeyKind::EndpointUid).app(app).bytes(uid.as_bytes()).finish()
}

/// Reads a key back.
///
/// # Errors
/// [`StoreError::CorruptRow`] for anything that [`encode`] would not have written.
pub fn decode(key: &[u8]) -> Result<(AppId, String), StoreError> {
    let mut reader = KeyReader::new(KeyKind::EndpointUid, key)?;
    let app = reader.app()?;
    Ok((app, reader.text()?))
}

/// Those of one application.
#[must_use]
pub fn of_app(app: AppId) -> KeyRange {
    KeyRange::prefix(KeyWriter::new(KeyKind::EndpointUid).app(app).finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::testing::{apps, key_properties, texts};

    key_properties!(KeyKind::EndpointUid, text, (apps(), texts()), |(app, uid)| encode(*app, uid), decode);
}
