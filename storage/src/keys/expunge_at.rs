//! Payloads that are to be expunged, by when: `time, application number, position`. The rows are empty.

use super::parts::{KeyReader, KeyWriter};
use super::{KeyKind, KeyRange};
use crate::store::StoreError;
use model::{AppId, Seq, UnixMs};

/// The key of a row.
#[must_use]
pub fn encode(at: UnixMs, app: AppId, seq: Seq) -> Vec<u8> {
    KeyWriter::new(KeyKind::ExpungeAt).time(at).app(app).seq(seq).finish()
}

/// Reads a key back.
///
/// # Errors
/// [`StoreError::CorruptRow`] for anything that [`encode`] would not have written.
pub fn decode(key: &[u8]) -> Result<(UnixMs, AppId, Seq), StoreError> {
    let mut reader = KeyReader::new(KeyKind::ExpungeAt, key)?;
    let parts = (reader.time()?, reader.app()?, reader.seq()?);
    reader.finish()?;
    Ok(parts)
}

/// Those that are due at `now` or earlier.
#[must_use]
pub fn due_by(now: UnixMs) -> KeyRange {
    let all = KeyRange::prefix(KeyWriter::new(KeyKind::ExpungeAt).finish());
    KeyRange { start: all.start, end: KeyRange::prefix(KeyWriter::new(KeyKind::ExpungeAt).time(now).finish()).end }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::testing::{apps, key_properties, seqs, times};

    key_properties!(
        KeyKind::ExpungeAt,
        fixed,
        (times(), apps(), seqs()),
        |(at, app, seq)| encode(*at, *app, *seq),
        decode
    );

    #[test]
    fn what_is_due_by_a_time_ends_with_it() {
        let range = due_by(UnixMs(7));
        let within = |at| {
            let key = encode(UnixMs(at), AppId(u32::MAX), Seq::MAX);
            key >= range.start && key < range.end
        };
        assert_eq!([0, 7, 8].map(within), [true, true, false]);
    }
}
