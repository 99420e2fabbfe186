//! The bytes of a value file, and of a pointer to a value in one. Pure: no file, no clock.
//!
//! ```text
//! a file        entries
//! an entry      CRC32C u32 of all after | bytes of key u16 | bytes of value u32 | key | value
//! a pointer     number of the file u32 | where its entry begins u32 | bytes of value u32
//! ```
//!
//! Numbers are little endian. An entry carries its key so that a file can be swept, and read without the map.

use crate::store::MAX_VALUE_BYTES;

/// Bytes of the head that an entry begins with.
pub(crate) const HEAD_BYTES: usize = 10;
pub(crate) const POINTER_BYTES: usize = 12;

/// The place of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pointer {
    /// The number of the file.
    pub(crate) file: u32,
    /// The offset at which its entry begins.
    pub(crate) offset: u32,
    pub(crate) value_bytes: u32,
}

/// The lengths an entry begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    sum: u32,
    pub(crate) key_bytes: usize,
    pub(crate) value_bytes: usize,
}

/// Bytes of an entry.
pub(crate) fn entry_bytes(key_bytes: usize, value_bytes: usize) -> usize {
    HEAD_BYTES + key_bytes + value_bytes
}

/// Adds an entry to `buffer`. Both are within the limits of a [`Store`](crate::store::Store).
pub(crate) fn encode(key: &[u8], value: &[u8], buffer: &mut Vec<u8>) {
    let from = buffer.len();
    buffer.extend_from_slice(&[0; 4]);
    buffer.extend_from_slice(&(key.len() as u16).to_le_bytes());
    buffer.extend_from_slice(&(value.len() as u32).to_le_bytes());
    buffer.extend_from_slice(key);
    buffer.extend_from_slice(value);
    let sum = crc32c::crc32c(&buffer[from + 4..]);
    buffer[from..from + 4].copy_from_slice(&sum.to_le_bytes());
}

/// The lengths at the beginning of `bytes`, if there are as many bytes and such an entry can be.
pub(crate) fn head(bytes: &[u8]) -> Option<Head> {
    let head = bytes.first_chunk::<HEAD_BYTES>()?;
    let [s0, s1, s2, s3, k0, k1, v0, v1, v2, v3] = *head;
    let key_bytes = usize::from(u16::from_le_bytes([k0, k1]));
    let value_bytes = u32::from_le_bytes([v0, v1, v2, v3]) as usize;
    let sum = u32::from_le_bytes([s0, s1, s2, s3]);
    (value_bytes <= MAX_VALUE_BYTES).then_some(Head { sum, key_bytes, value_bytes })
}

/// Key and value of the entry that `bytes` begin with; `None` when it is not whole.
pub(crate) fn decode(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let head = head(bytes)?;
    let entry = bytes.get(..entry_bytes(head.key_bytes, head.value_bytes))?;
    (crc32c::crc32c(&entry[4..]) == head.sum).then(|| entry[HEAD_BYTES..].split_at(head.key_bytes))
}

impl Pointer {
    /// The name of the file below the store's folder, and where in it the entry begins.
    pub(crate) fn place(self) -> (String, u64) {
        (format!("values/{:010}", self.file), self.offset.into())
    }

    pub(crate) fn entry_bytes(self, key: &[u8]) -> usize {
        entry_bytes(key.len(), self.value_bytes as usize)
    }

    pub(crate) fn encode(self) -> [u8; POINTER_BYTES] {
        let mut bytes = [0; POINTER_BYTES];
        bytes[..4].copy_from_slice(&self.file.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.offset.to_le_bytes());
        bytes[8..].copy_from_slice(&self.value_bytes.to_le_bytes());
        bytes
    }

    /// `None` when there are more or fewer bytes.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (file, rest) = bytes.split_first_chunk()?;
        let (offset, value_bytes) = rest.split_first_chunk()?;
        let number = |bytes: &[u8; 4]| u32::from_le_bytes(*bytes);
        Some(Self { file: number(file), offset: number(offset), value_bytes: number(value_bytes.try_into().ok()?) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_entry_is_read_back_and_no_flipped_bit_or_cut_is_missed(
            key in proptest::collection::vec(any::<u8>(), 1..40),
            value in proptest::collection::vec(any::<u8>(), 0..300),
            behind in proptest::collection::vec(any::<u8>(), 0..20),
            bit in any::<proptest::sample::Index>(),
        ) {
            let mut bytes = b"before".to_vec();
            encode(&key, &value, &mut bytes);
            let mut entry = bytes.split_off(6);
            let length = entry_bytes(key.len(), value.len());
            prop_assert_eq!(entry.len(), length);
            entry.extend_from_slice(&behind);
            prop_assert_eq!(decode(&entry), Some((&key[..], &value[..])));
            prop_assert_eq!(decode(&entry[..length - 1]), None);
            let bit = bit.index(length * 8);
            entry[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(decode(&entry), None);
        }
    }

    #[test]
    fn the_layout_is_the_documented_one() {
        let pointer = Pointer { file: 0x0102, offset: 0x0304, value_bytes: 0x0506 };
        assert_eq!(pointer.encode(), [2, 1, 0, 0, 4, 3, 0, 0, 6, 5, 0, 0]);
        assert_eq!(Pointer::decode(&pointer.encode()), Some(pointer));
        assert_eq!(Pointer::decode(&[0; 13]), None);
        let mut entry = Vec::new();
        encode(b"key", b"value", &mut entry);
        assert_eq!(entry[4..], *b"\x03\0\x05\0\0\0keyvalue");
    }
}
