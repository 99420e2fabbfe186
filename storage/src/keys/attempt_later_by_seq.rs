//! The index of further attempts by event: `application number, endpoint number, position, start`. The rows are empty.

use super::parts::{KeyReader, KeyWriter};
use super::{KeyKind, KeyRange};
use crate::store::StoreError;
use model::{AppId, EndpointRef, Seq, UnixMs};

/// The key of a row.
#[must_use]
pub fn encode(target: EndpointRef, seq: Seq, started_at: UnixMs) -> Vec<u8> {
    KeyWriter::new(KeyKind::AttemptLaterBySeq).target(target).seq(seq).time(started_at).finish()
}

/// Reads a key back.
///
/// # Errors
/// [`StoreError::CorruptRow`] for anything that [`encode`] would not have written.
pub fn decode(key: &[u8]) -> Result<(EndpointRef, Seq, UnixMs), StoreError> {
    let mut reader = KeyReader::new(KeyKind::AttemptLaterBySeq, key)?;
    let parts = (reader.target()?, reader.seq()?, reader.time()?);
    reader.finish()?;
    Ok(parts)
}

/// Those of one application.
#[must_use]
pub fn of_app(app: AppId) -> KeyRange {
    KeyRange::prefix(KeyWriter::new(KeyKind::AttemptLaterBySeq).app(app).finish())
}

/// Those of one endpoint.
#[must_use]
pub fn of_endpoint(target: EndpointRef) -> KeyRange {
    KeyRange::prefix(KeyWriter::new(KeyKind::AttemptLaterBySeq).target(target).finish())
}

/// Those of one delivery, oldest first.
#[must_use]
pub fn of_delivery(target: EndpointRef, seq: Seq) -> KeyRange {
    KeyRange::prefix(KeyWriter::new(KeyKind::AttemptLaterBySeq).target(target).seq(seq).finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::testing::{key_properties, seqs, targets, times};

    key_properties!(
        KeyKind::AttemptLaterBySeq,
        fixed,
        (targets(), seqs(), times()),
        |(target, seq, started_at)| encode(*target, *seq, *started_at),
        decode
    );
}
