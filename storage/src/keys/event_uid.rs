//! The index of events by the tenant's own id: `application number, digest of the id`. Lies in no order that means
//! anything.

use super::parts::{KeyReader, KeyWriter};
use super::{DIGEST_BYTES, KeyKind, KeyRange};
use crate::store::StoreError;
use model::AppId;

/// The key of a row.
#[must_use]
pub fn encode(app: AppId, digest: [u8; DIGEST_BYTES]) -> Vec<u8> {
    KeyWriter::new(KeyKind::EventUid).app(app).bytes(&digest).finish()
}

/// Reads a key back.
///
/// # Errors
/// [`StoreError::CorruptRow`] for anything that [`encode`] would not have written.
pub fn decode(key: &[u8]) -> Result<(AppId, [u8; DIGEST_BYTES]), StoreError> {
    let mut reader = KeyReader::new(KeyKind::EventUid, key)?;
    let parts = (reader.app()?, reader.array()?);
    reader.finish()?;
    Ok(parts)
}

/// Those of one application.
#[must_use]
pub fn of_app(app: AppId) -> KeyRange {
    KeyRange::prefix(KeyWriter::new(KeyKind::EventUid).app(app).finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::testing::{apps, key_properties};
    use proptest::prelude::any;

    key_properties!(
        KeyKind::EventUid,
        fixed,
        (apps(), any::<[u8; DIGEST_BYTES]>()),
        |(app, digest)| encode(*app, *digest),
        decode
    );
}
