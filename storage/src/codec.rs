//! The one codec of stored values: a format version, then bincode with variable-length integers.
//!
//! Deliberately the only file that names bincode's calls. A field that is added behind all others is read as its default
//! from rows that end before it (`model`'s own decoders see to that, and a test here). A value whose layout changes in
//! any other way gets a new version byte here and a decoder for the old one; rows that are not encoded by this file (blocks of events and attempts, empty index
//! rows) state their own layout.

use crate::store::StoreError;
use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use bincode::{Decode, Encode};
use bytes::Bytes;

/// Layout of every value written by this version. Persisted: never reuse a number.
const VERSION: u8 = 1;

/// No decoded value may claim more than this, so that a corrupt length cannot make us allocate the world.
const MAX_DECODED_BYTES: usize = 1 << 20;

fn config() -> Configuration<LittleEndian, Varint, Limit<MAX_DECODED_BYTES>> {
    bincode::config::standard().with_limit::<MAX_DECODED_BYTES>()
}

/// Encodes a value for the store.
///
/// # Panics
/// Never: the types of `model` hold nothing that bincode refuses, and the target grows as needed.
#[must_use]
pub fn encode<T: Encode>(value: &T) -> Bytes {
    let mut bytes = vec![VERSION];
    let encoded = bincode::encode_into_std_write(value, &mut bytes, bincode::config::standard());
    debug_assert!(encoded.is_ok(), "encoding into memory cannot fail");
    Bytes::from(bytes)
}

/// Decodes a value of the store; `kind` names the row in the error.
///
/// # Errors
/// [`StoreError::CorruptRow`] when the version is unknown, the bytes do not decode or some are left over.
pub fn decode<T: Decode<()>>(kind: &'static str, bytes: &[u8]) -> Result<T, StoreError> {
    let corrupt = |detail: String| StoreError::CorruptRow { kind, detail };
    match bytes.split_first() {
        Some((&VERSION, rest)) => {
            let (value, read) =
                bincode::decode_from_slice(rest, config()).map_err(|error| corrupt(error.to_string()))?;
            if read == rest.len() { Ok(value) } else { Err(corrupt(format!("{} bytes left over", rest.len() - read))) }
        }
        Some((version, _)) => Err(corrupt(format!("written by format version {version}, this is {VERSION}"))),
        None => Err(corrupt("empty value".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::testing::{plain_endpoint, target};
    use model::{AnswerNote, AttemptRecord, Endpoint, EndpointHealth, OutcomeClass, SealedBytes, Seq, Trigger, UnixMs};

    /// A row as it was written before a field was added behind all others: the same, without the end.
    fn read_without_its_end<T: Encode + Decode<()>>(row: &T, bytes: usize) -> T {
        let written = encode(row);
        decode("row", &written[..written.len() - bytes]).unwrap()
    }

    #[test]
    fn rows_from_before_a_field_was_added_are_read() {
        let attempt = AttemptRecord {
            seq: Seq(7),
            started_at: UnixMs(1_000),
            duration_ms: 5,
            attempt: 2,
            trigger: Trigger::Manual,
            outcome: OutcomeClass::Success,
            status: 200,
            response: b"ok".to_vec(),
            next_attempt_at: Some(UnixMs(9)),
            note: None,
            url_number: 0,
        };
        assert_eq!(read_without_its_end(&attempt, 1), attempt);
        let noted = AttemptRecord { note: Some(AnswerNote::BrokenOff), ..attempt };
        assert_eq!(decode::<AttemptRecord>("row", &encode(&noted)).unwrap(), noted);
        let health =
            EndpointHealth { failing_since: Some(UnixMs(3)), breaker_openings: 2, ..EndpointHealth::default() };
        assert_eq!(read_without_its_end(&health, 1), health);
        let paused = EndpointHealth { paused_until: Some(UnixMs(5)), ..health };
        assert_eq!(decode::<EndpointHealth>("row", &encode(&paused)).unwrap(), paused);
        let endpoint = plain_endpoint(target(1, 2));
        assert_eq!(read_without_its_end(&endpoint, 3), endpoint);
        let sealed_user_info = Some(SealedBytes(vec![1, 2, 3]));
        let private = Endpoint { sealed_user_info, ca_pem: "PEM".to_owned(), ..endpoint };
        assert_eq!(decode::<Endpoint>("row", &encode(&private)).unwrap(), private);
    }
}
