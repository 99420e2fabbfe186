//! What was answered to an idempotency key: `application number, digest of the key`.

use super::parts::{KeyReader, KeyWriter};
use super::{DIGEST_BYTES, KeyKind, KeyRange};
use crate::store::StoreError;
use model::AppId;

/// The key of a row.
#[must_use]
pub fn encode(app: AppId, digest: [u8; DIGEST_BYTES]) -> Vec<u8> {
    KeyWriter::new(KeyKind::Idempotency).app(app).bytes(&digest).finish()
}

/// Reads a key back.
///
/// # Errors
/// [`StoreError::CorruptRow`] for anything that [`encode`] would not have written.
pub fn decode(key: &[u8]) -> Result<(AppId, [u8; DIGEST_BYTES]), StoreError> {
    let mut reader = KeyReader::new(KeyKind::Idempotency, key)?;
    let parts = (reader.app()?, reader.array()?);
    reader.finish()?;
    Ok(parts)
}

/// Every one.
#[must_use]
pub fn all() -> KeyRange {
    KeyRange::prefix(KeyWriter::new(KeyKind::Idempotency).finish())
}

/// Those of one application.
#[must_use]
pub fn of_app(app: AppId) -> KeyRange {
    KeyRange::prefix(KeyWriter::new(KeyKind::Idempotency).app(app).finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::testing::{apps, key_properties};
    use proptest::prelude::any;

    key_properties!(
        KeyKind::Idempotency,
        fixed,
        (apps(), any::<[u8; DIGEST_BYTES]>()),
        |(app, digest)| encode(*app, *digest),
        decode
    );
}
