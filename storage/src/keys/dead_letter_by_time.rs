//! The index of dead letters by age within an application: `application number, time given up, endpoint number, position`.
//! The rows are empty.

use super::parts::{KeyReader, KeyWriter};
use super::{KeyKind, KeyRange};
use crate::store::StoreError;
use model::{AppId, EndpointId, EndpointRef, Seq, UnixMs};

/// The key of a row.
#[must_use]
pub fn encode(target: EndpointRef, at: UnixMs, seq: Seq) -> Vec<u8> {
    KeyWriter::new(KeyKind::DeadLetterByTime).app(target.app).time(at).u32(target.endpoint.0).seq(seq).finish()
}

/// Reads a key back.
///
/// # Errors
/// [`StoreError::CorruptRow`] for anything that [`encode`] would not have written.
pub fn decode(key: &[u8]) -> Result<(EndpointRef, UnixMs, Seq), StoreError> {
    let mut reader = KeyReader::new(KeyKind::DeadLetterByTime, key)?;
    let (app, at) = (reader.app()?, reader.time()?);
    let parts = (EndpointRef { app, endpoint: EndpointId(reader.u32()?) }, at, reader.seq()?);
    reader.finish()?;
    Ok(parts)
}

/// Every one.
#[must_use]
pub fn all() -> KeyRange {
    KeyRange::prefix(KeyWriter::new(KeyKind::DeadLetterByTime).finish())
}

/// Those of one application, oldest first.
#[must_use]
pub fn of_app(app: AppId) -> KeyRange {
    KeyRange::prefix(KeyWriter::new(KeyKind::DeadLetterByTime).app(app).finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::testing::{apps, key_properties, seqs, times, u32s};

    key_properties!(
        KeyKind::DeadLetterByTime,
        fixed,
        (apps(), times(), u32s(), seqs()),
        |(app, at, endpoint, seq)| encode(EndpointRef { app: *app, endpoint: EndpointId(*endpoint) }, *at, *seq),
        |key| decode(key).map(|(target, at, seq)| (target.app, at, target.endpoint.0, seq))
    );
}
