//! Further attempts: `application number, endpoint number, start, position`.

use super::parts::{KeyReader, KeyWriter};
use super::{KeyKind, KeyRange};
use crate::store::StoreError;
use model::{AppId, EndpointRef, Seq, UnixMs};

/// The key of a row.
#[must_use]
pub fn encode(target: EndpointRef, started_at: UnixMs, seq: Seq) -> Vec<u8> {
    KeyWriter::new(KeyKind::AttemptLater).target(target).time(started_at).seq(seq).finish()
}

/// Reads a key back.
///
/// # Errors
/// [`StoreError::CorruptRow`] for anything that [`encode`] would not have written.
pub fn decode(key: &[u8]) -> Result<(EndpointRef, UnixMs, Seq), StoreError> {
    let mut reader = KeyReader::new(KeyKind::AttemptLater, key)?;
    let parts = (reader.target()?, reader.time()?, reader.seq()?);
    reader.finish()?;
    Ok(parts)
}

/// Those of one application.
#[must_use]
pub fn of_app(app: AppId) -> KeyRange {
    KeyRange::prefix(KeyWriter::new(KeyKind::AttemptLater).app(app).finish())
}

/// Those of one endpoint.
#[must_use]
pub fn of_endpoint(target: EndpointRef) -> KeyRange {
    KeyRange::prefix(KeyWriter::new(KeyKind::AttemptLater).target(target).finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::testing::{key_properties, seqs, targets, times};

    key_properties!(
        KeyKind::AttemptLater,
        fixed,
        (targets(), times(), seqs()),
        |(target, started_at, seq)| encode(*target, *started_at, *seq),
        decode
    );
}
