//! The parts that keys are made of, written and read the same way by every kind.
//!
//! The file of each kind says which parts it has, and in which order.

use super::{KeyKind, KeyRange};
use crate::store::StoreError;
use model::{AppId, EndpointId, EndpointRef, Seq, UnixMs};
use sha2::{Digest, Sha256};

/// Bytes of a [`digest`].
pub const DIGEST_BYTES: usize = 16;

/// Stands in a key for text of any length: the first half of its SHA-256. Two texts with one digest are not to be
/// found, even by someone who looks for them (2^64 tries).
#[must_use]
pub fn digest(text: &str) -> [u8; DIGEST_BYTES] {
    let whole = Sha256::digest(text.as_bytes());
    let mut half = [0; DIGEST_BYTES];
    half.copy_from_slice(&whole[..DIGEST_BYTES]);
    half
}

/// A part of a key: its bytes lie in the order of its values.
pub trait KeyPart: Sized {
    /// The same as it is read: text is borrowed when it is written and owned when it is read.
    type Read;
    /// True if it takes all that is left of a key.
    const IS_TEXT: bool = false;

    /// Appends it to a key.
    fn write(self, key: &mut Vec<u8>);

    /// Takes it from the beginning of the rest of a key.
    ///
    /// # Errors
    /// [`StoreError::CorruptRow`] when the key is too short, or the text is not UTF-8.
    fn read(from: &mut KeyReader<'_>) -> Result<Self::Read, StoreError>;
}

/// Parts that are a number, big-endian and at full width.
macro_rules! number_parts {
    ($($type:ty: $number:ty, $take:expr, $make:expr;)+) => {
        $(impl KeyPart for $type {
            type Read = $type;

            fn write(self, key: &mut Vec<u8>) {
                let take: fn($type) -> $number = $take;
                key.extend_from_slice(&take(self).to_be_bytes());
            }

            fn read(from: &mut KeyReader<'_>) -> Result<$type, StoreError> {
                from.array().map(<$number>::from_be_bytes).map($make)
            }
        })+
    };
}

number_parts! {
    u16: u16, |number| number, |number| number;
    u32: u32, |number| number, |number| number;
    u64: u64, |number| number, |number| number;
    AppId: u32, |id| id.0, AppId;
    EndpointId: u32, |id| id.0, EndpointId;
    Seq: u64, |seq| seq.0, Seq;
    UnixMs: u64, |time| time.0, UnixMs;
}

impl KeyPart for EndpointRef {
    type Read = EndpointRef;

    fn write(self, key: &mut Vec<u8>) {
        self.app.write(key);
        self.endpoint.write(key);
    }

    fn read(from: &mut KeyReader<'_>) -> Result<EndpointRef, StoreError> {
        Ok(EndpointRef { app: AppId::read(from)?, endpoint: EndpointId::read(from)? })
    }
}

impl<const N: usize> KeyPart for [u8; N] {
    type Read = [u8; N];

    fn write(self, key: &mut Vec<u8>) {
        key.extend_from_slice(&self);
    }

    fn read(from: &mut KeyReader<'_>) -> Result<[u8; N], StoreError> {
        from.array()
    }
}

/// Text, always the last part.
impl KeyPart for &str {
    type Read = String;
    const IS_TEXT: bool = true;

    fn write(self, key: &mut Vec<u8>) {
        key.extend_from_slice(self.as_bytes());
    }

    fn read(from: &mut KeyReader<'_>) -> Result<String, StoreError> {
        let text = std::str::from_utf8(std::mem::take(&mut from.rest));
        text.map(str::to_owned).map_err(|_| corrupt(from.kind, "a key that is not UTF-8"))
    }
}

/// Builds a key or a prefix of one.
pub struct KeyWriter(Vec<u8>);

impl KeyWriter {
    /// Begins with the kind.
    #[must_use]
    pub fn new(kind: KeyKind) -> KeyWriter {
        // Room for the longest key of numbers only: kind, endpoint, time and position.
        let mut bytes = Vec::with_capacity(25);
        bytes.push(kind as u8);
        KeyWriter(bytes)
    }

    /// Adds a part.
    #[must_use]
    pub fn part(mut self, part: impl KeyPart) -> KeyWriter {
        part.write(&mut self.0);
        self
    }

    /// The key.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.0
    }

    /// Every key that begins so.
    #[must_use]
    pub fn prefix(self) -> KeyRange {
        KeyRange::prefix(self.0)
    }
}

/// Takes a key apart. Every error is [`StoreError::CorruptRow`]: keys are only ever read back from the store.
pub struct KeyReader<'a> {
    kind: KeyKind,
    rest: &'a [u8],
}

impl<'a> KeyReader<'a> {
    /// Begins behind the kind.
    ///
    /// # Errors
    /// [`StoreError::CorruptRow`] for a key of another kind.
    pub fn new(kind: KeyKind, key: &'a [u8]) -> Result<KeyReader<'a>, StoreError> {
        match key.split_first() {
            Some((first, rest)) if *first == kind as u8 => Ok(KeyReader { kind, rest }),
            _ => Err(corrupt(kind, "a key of another kind")),
        }
    }

    /// Takes the next part.
    ///
    /// # Errors
    /// [`StoreError::CorruptRow`] when the key is too short, or its text is not UTF-8.
    pub fn part<P: KeyPart>(&mut self) -> Result<P::Read, StoreError> {
        P::read(self)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], StoreError> {
        let (array, rest) = self.rest.split_first_chunk().ok_or_else(|| corrupt(self.kind, "a key cut short"))?;
        self.rest = rest;
        Ok(*array)
    }

    /// Nothing may be left.
    ///
    /// # Errors
    /// [`StoreError::CorruptRow`] when something is.
    pub fn finish(self) -> Result<(), StoreError> {
        if self.rest.is_empty() { Ok(()) } else { Err(corrupt(self.kind, "a key that is too long")) }
    }
}

/// Names the kind and never the key: tenants' words do not belong into logs.
fn corrupt(kind: KeyKind, detail: &str) -> StoreError {
    StoreError::CorruptRow { kind: kind.name(), detail: detail.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_the_first_half_of_the_sha256() {
        // FIPS 180-4's example "abc": ba7816bf 8f01cfea 414140de 5dae2223 …
        assert_eq!(
            digest("abc"),
            [0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23]
        );
    }

    #[test]
    fn text_that_is_not_utf8_is_corrupt() {
        let mut reader = KeyReader::new(KeyKind::Meta, &[KeyKind::Meta as u8, 0xff]).unwrap();
        assert!(reader.part::<&str>().is_err());
    }
}
