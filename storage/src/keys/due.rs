//! Deliveries that wait, by when: `application number, endpoint number, due time, position`. The rows hold at most
//! a letter: whether the attempt was asked for by hand.

use super::parts::{KeyReader, KeyWriter};
use super::{KeyKind, KeyRange};
use crate::store::StoreError;
use model::{AppId, EndpointRef, Seq, UnixMs};

/// The key of a row.
#[must_use]
pub fn encode(target: EndpointRef, due: UnixMs, seq: Seq) -> Vec<u8> {
    KeyWriter::new(KeyKind::Due).target(target).time(due).seq(seq).finish()
}

/// Reads a key back.
///
/// # Errors
/// [`StoreError::CorruptRow`] for anything that [`encode`] would not have written.
pub fn decode(key: &[u8]) -> Result<(EndpointRef, UnixMs, Seq), StoreError> {
    let mut reader = KeyReader::new(KeyKind::Due, key)?;
    let parts = (reader.target()?, reader.time()?, reader.seq()?);
    reader.finish()?;
    Ok(parts)
}

/// Those of one application.
#[must_use]
pub fn of_app(app: AppId) -> KeyRange {
    KeyRange::prefix(KeyWriter::new(KeyKind::Due).app(app).finish())
}

/// Those of one endpoint.
#[must_use]
pub fn of_endpoint(target: EndpointRef) -> KeyRange {
    KeyRange::prefix(KeyWriter::new(KeyKind::Due).target(target).finish())
}

/// Those of one endpoint that are due at `now` or earlier.
#[must_use]
pub fn due_by(target: EndpointRef, now: UnixMs) -> KeyRange {
    let last = KeyRange::prefix(KeyWriter::new(KeyKind::Due).target(target).time(now).finish());
    KeyRange { start: of_endpoint(target).start, end: last.end }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::testing::{key_properties, seqs, targets, times};
    use model::EndpointId;

    key_properties!(
        KeyKind::Due,
        fixed,
        (targets(), times(), seqs()),
        |(target, due, seq)| encode(*target, *due, *seq),
        decode
    );

    #[test]
    fn due_by_ends_after_the_last_row_of_its_millisecond() {
        let target = EndpointRef { app: AppId(1), endpoint: EndpointId(2) };
        let range = due_by(target, UnixMs(500));
        assert!(range.contains(&encode(target, UnixMs(0), Seq(9))));
        assert!(range.contains(&encode(target, UnixMs(500), Seq(u64::MAX))));
        assert!(!range.contains(&encode(target, UnixMs(501), Seq(0))));
        assert_eq!(due_by(target, UnixMs(u64::MAX)), of_endpoint(target));
    }
}
