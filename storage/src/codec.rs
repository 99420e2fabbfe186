//! The one codec of stored values: a format version, then bincode with variable-length integers.
//!
//! Deliberately the only file that names bincode's calls. A value whose layout changes gets a new version byte here
//! and a decoder for the old one; rows that are not encoded by this file (blocks of events and attempts, empty index
//! rows) state their own layout.

use crate::store::StoreError;
use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use bincode::{Decode, Encode};
use bytes::Bytes;

/// The first layout of every value, and the one of most. Persisted: never reuse a number.
const FIRST: u8 = 1;

/// No decoded value may claim more than this, so that a corrupt length cannot make us allocate the world.
const MAX_DECODED_BYTES: usize = 1 << 20;

fn config() -> Configuration<LittleEndian, Varint, Limit<MAX_DECODED_BYTES>> {
    bincode::config::standard().with_limit::<MAX_DECODED_BYTES>()
}

/// Encodes a value for the store, in its first layout.
#[must_use]
pub fn encode<T: Encode>(value: &T) -> Bytes {
    encode_as(FIRST, value)
}

/// Encodes a value in a later layout of its kind.
///
/// # Panics
/// Never: the types of `model` hold nothing that bincode refuses, and the target grows as needed.
#[must_use]
pub fn encode_as<T: Encode>(version: u8, value: &T) -> Bytes {
    let mut bytes = vec![version];
    let encoded = bincode::encode_into_std_write(value, &mut bytes, bincode::config::standard());
    debug_assert!(encoded.is_ok(), "encoding into memory cannot fail");
    Bytes::from(bytes)
}

/// The layout that a value was written in; none for an empty one.
#[must_use]
pub fn version_of(bytes: &[u8]) -> Option<u8> {
    bytes.first().copied()
}

/// Decodes a value that has its first layout; `kind` names the row in the error.
///
/// # Errors
/// [`StoreError::CorruptRow`] when the version is unknown, the bytes do not decode or some are left over.
pub fn decode<T: Decode<()>>(kind: &'static str, bytes: &[u8]) -> Result<T, StoreError> {
    decode_as(FIRST, kind, bytes)
}

/// Decodes a value of this layout.
///
/// # Errors
/// As [`decode`].
pub fn decode_as<T: Decode<()>>(expected: u8, kind: &'static str, bytes: &[u8]) -> Result<T, StoreError> {
    let corrupt = |detail: String| StoreError::CorruptRow { kind, detail };
    match bytes.split_first() {
        Some((version, rest)) if *version == expected => {
            let (value, read) =
                bincode::decode_from_slice(rest, config()).map_err(|error| corrupt(error.to_string()))?;
            if read == rest.len() { Ok(value) } else { Err(corrupt(format!("{} bytes left over", rest.len() - read))) }
        }
        Some((version, _)) => Err(corrupt(format!("written in layout {version}, this is {expected}"))),
        None => Err(corrupt("empty value".to_owned())),
    }
}
