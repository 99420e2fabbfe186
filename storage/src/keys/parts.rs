//! The parts that keys are made of, written and read the same way by every kind.
//!
//! Deliberately no meaning: which parts a kind has, and in which order, is in its own file.

use super::KeyKind;
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

/// Builds a key or a prefix of one.
pub(super) struct KeyWriter(Vec<u8>);

impl KeyWriter {
    pub(super) fn new(kind: KeyKind) -> KeyWriter {
        // Room for the longest key of numbers only: kind, endpoint, time and position.
        let mut bytes = Vec::with_capacity(25);
        bytes.push(kind as u8);
        KeyWriter(bytes)
    }

    pub(super) fn bytes(mut self, bytes: &[u8]) -> KeyWriter {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(super) fn u16(self, number: u16) -> KeyWriter {
        self.bytes(&number.to_be_bytes())
    }

    pub(super) fn u32(self, number: u32) -> KeyWriter {
        self.bytes(&number.to_be_bytes())
    }

    pub(super) fn app(self, app: AppId) -> KeyWriter {
        self.u32(app.0)
    }

    pub(super) fn target(self, target: EndpointRef) -> KeyWriter {
        self.app(target.app).u32(target.endpoint.0)
    }

    pub(super) fn seq(self, seq: Seq) -> KeyWriter {
        self.bytes(&seq.0.to_be_bytes())
    }

    pub(super) fn time(self, time: UnixMs) -> KeyWriter {
        self.bytes(&time.0.to_be_bytes())
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Takes a key apart. Every error is [`StoreError::CorruptRow`]: keys are only ever read back from the store.
pub(super) struct KeyReader<'a> {
    kind: KeyKind,
    rest: &'a [u8],
}

impl<'a> KeyReader<'a> {
    pub(super) fn new(kind: KeyKind, key: &'a [u8]) -> Result<KeyReader<'a>, StoreError> {
        match key.split_first() {
            Some((first, rest)) if *first == kind as u8 => Ok(KeyReader { kind, rest }),
            _ => Err(corrupt(kind, "a key of another kind")),
        }
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], StoreError> {
        let (array, rest) = self.rest.split_first_chunk().ok_or_else(|| corrupt(self.kind, "a key cut short"))?;
        self.rest = rest;
        Ok(*array)
    }

    pub(super) fn u16(&mut self) -> Result<u16, StoreError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, StoreError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn app(&mut self) -> Result<AppId, StoreError> {
        self.u32().map(AppId)
    }

    pub(super) fn target(&mut self) -> Result<EndpointRef, StoreError> {
        Ok(EndpointRef { app: self.app()?, endpoint: EndpointId(self.u32()?) })
    }

    pub(super) fn seq(&mut self) -> Result<Seq, StoreError> {
        self.array().map(u64::from_be_bytes).map(Seq)
    }

    pub(super) fn time(&mut self) -> Result<UnixMs, StoreError> {
        self.array().map(u64::from_be_bytes).map(UnixMs)
    }

    /// What is left, as text: always the last part.
    pub(super) fn text(self) -> Result<String, StoreError> {
        let text = std::str::from_utf8(self.rest).map_err(|_| corrupt(self.kind, "a key that is not UTF-8"))?;
        Ok(text.to_owned())
    }

    /// Nothing may be left.
    pub(super) fn finish(self) -> Result<(), StoreError> {
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
        let reader = KeyReader::new(KeyKind::Meta, &[KeyKind::Meta as u8, 0xff]).unwrap();
        assert!(reader.text().is_err());
    }
}
