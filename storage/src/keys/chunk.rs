//! Pieces of payloads that do not fit a block: `application number, position, index of the piece`.

use super::parts::{KeyReader, KeyWriter};
use super::{KeyKind, KeyRange};
use crate::store::StoreError;
use model::{AppId, Seq};

/// The key of a row.
#[must_use]
pub fn encode(app: AppId, seq: Seq, index: u16) -> Vec<u8> {
    KeyWriter::new(KeyKind::Chunk).app(app).seq(seq).u16(index).finish()
}

/// Reads a key back.
///
/// # Errors
/// [`StoreError::CorruptRow`] for anything that [`encode`] would not have written.
pub fn decode(key: &[u8]) -> Result<(AppId, Seq, u16), StoreError> {
    let mut reader = KeyReader::new(KeyKind::Chunk, key)?;
    let parts = (reader.app()?, reader.seq()?, reader.u16()?);
    reader.finish()?;
    Ok(parts)
}

/// Those of one application.
#[must_use]
pub fn of_app(app: AppId) -> KeyRange {
    KeyRange::prefix(KeyWriter::new(KeyKind::Chunk).app(app).finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::testing::{apps, key_properties, seqs, u16s};

    key_properties!(
        KeyKind::Chunk,
        fixed,
        (apps(), seqs(), u16s()),
        |(app, seq, index)| encode(*app, *seq, *index),
        decode
    );
}
