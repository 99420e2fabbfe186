//! Blocks of events: `application number, position of the block's first event`.

use super::parts::{KeyReader, KeyWriter};
use super::{KeyKind, KeyRange};
use crate::store::StoreError;
use model::{AppId, Seq};

/// The key of a row.
#[must_use]
pub fn encode(app: AppId, first: Seq) -> Vec<u8> {
    KeyWriter::new(KeyKind::Event).app(app).seq(first).finish()
}

/// Reads a key back.
///
/// # Errors
/// [`StoreError::CorruptRow`] for anything that [`encode`] would not have written.
pub fn decode(key: &[u8]) -> Result<(AppId, Seq), StoreError> {
    let mut reader = KeyReader::new(KeyKind::Event, key)?;
    let parts = (reader.app()?, reader.seq()?);
    reader.finish()?;
    Ok(parts)
}

/// Those of one application.
#[must_use]
pub fn of_app(app: AppId) -> KeyRange {
    KeyRange::prefix(KeyWriter::new(KeyKind::Event).app(app).finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::testing::{apps, key_properties, seqs};

    key_properties!(KeyKind::Event, fixed, (apps(), seqs()), |(app, first)| encode(*app, *first), decode);
}
