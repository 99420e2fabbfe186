//! The bytes of a log file: the block that begins a lap, and the record that is one commit. Pure: no file, no clock.
//!
//! Everything begins at a multiple of [`BLOCK_BYTES`], so a block that holds acknowledged bytes is never written again:
//! whatever a torn write leaves behind, it is the record that was under way and no other. Numbers are little endian.
//!
//! ```text
//! block 0, a lap    magic "pinredo\n" 8 | layout u32 | salt 8 | first commit u64 | CRC32C u32 of all before | zeros
//! a record          salt 8 | CRC32C u32 of the salt and of all after | bytes of rows u32 | commit u64 | rows | zeros
//! ```
//! A row is as [`rows`] encodes it.
//!
//! A file is written again from its beginning, so behind the last record of a lap lie records of an older one, and
//! inside those whatever tenants sent. None of that can be taken for a record: the salt is drawn anew for every lap, is
//! 64 bits long, opens each record, and only the file knows it.

use bytes::{BufMut, Bytes, BytesMut};

use crate::damage::flip::{self, Flip};
use crate::store::Batch;
use crate::store::rows::{self, ROW_HEAD_BYTES, Rows};

/// The alignment of records, in bytes. The page of the kernel's cache: a write of whole pages never has to read one
/// first.
pub(crate) const BLOCK_BYTES: usize = 4096;

/// The only layout there is. One with values of 64 KiB at most was the first.
const LAYOUT: u32 = 2;
const MAGIC: [u8; 8] = *b"pinredo\n";
const LAP_BYTES: usize = 32;
const HEAD_BYTES: usize = 24;
const SALT_BYTES: usize = 8;
const SUM_BYTES: usize = 4;

/// The random bytes that tell one lap from every other.
pub(crate) type Salt = [u8; 8];

/// One filling of a log file from its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lap {
    /// Opens each of its records.
    pub(crate) salt: Salt,
    /// The number of its first commit; 0 for a file that was never used.
    pub(crate) first_commit: u64,
}

/// A record's checksum is right, but its rows are malformed: this program has a bug, or another one wrote it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the rows of commit {commit} are malformed")]
pub(crate) struct Malformed {
    commit: u64,
}

/// A record that is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// The commit's number.
    pub(crate) commit: u64,
    /// All of it, up to the next multiple of [`BLOCK_BYTES`].
    pub(crate) bytes: Bytes,
    rows_bytes: usize,
}

// === impl Lap ===

impl Lap {
    /// The lap's block.
    pub(crate) fn encode(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(BLOCK_BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&LAYOUT.to_le_bytes());
        bytes.extend_from_slice(&self.salt);
        bytes.extend_from_slice(&self.first_commit.to_le_bytes());
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        bytes.resize(BLOCK_BYTES, 0);
        bytes
    }

    /// The lap that a file's first block begins; `None` when it begins none.
    pub(crate) fn decode(file: &[u8]) -> Option<Self> {
        let block = file.get(..BLOCK_BYTES)?;
        let lap = Self { salt: array(block, 12)?, first_commit: u64::from_le_bytes(array(block, 20)?) };
        (lap.encode()[..LAP_BYTES] == block[..LAP_BYTES]).then_some(lap)
    }
}

// === impl Record ===

impl Record {
    /// The number of bytes that [`Record::encode`] would make of it.
    pub(crate) fn bytes_of(batch: &Batch) -> usize {
        (HEAD_BYTES + rows_bytes(batch)).next_multiple_of(BLOCK_BYTES)
    }

    /// The record of `batch`, which must be within the limits of a [`Store`](crate::store::Store), put into
    /// `buffer`, which must be empty, and split off it.
    ///
    /// # Panics
    /// Not for such a batch: its rows are shorter than 4 GiB, as there are fewer than 2^26 of them, each with 6 bytes
    /// in front.
    pub(crate) fn encode(salt: Salt, commit: u64, batch: &Batch, buffer: &mut BytesMut) -> Self {
        let rows_bytes = rows_bytes(batch);
        assert!(u32::try_from(rows_bytes).is_ok(), "the limits of a batch keep it below 4 GiB");
        debug_assert!(buffer.is_empty(), "each record was split off");
        buffer.reserve(Self::bytes_of(batch));
        buffer.put_slice(&salt);
        buffer.put_u32_le(0);
        buffer.put_u32_le(rows_bytes as u32);
        buffer.put_u64_le(commit);
        for (key, write) in batch {
            rows::put(key, write, buffer);
        }
        let sum = checksum(buffer);
        buffer[8..12].copy_from_slice(&sum.to_le_bytes());
        buffer.resize(Self::bytes_of(batch), 0);
        Self { commit, bytes: buffer.split().freeze(), rows_bytes }
    }

    /// The record of `commit` at `offset` of a file in the lap of `salt`; `None` when it is not there, or not whole.
    pub(crate) fn decode(file: &Bytes, offset: usize, salt: Salt, commit: u64) -> Option<Self> {
        (commit_at(file, offset, salt)? == commit).then(|| Self::decode_any(file, offset, salt))?
    }

    /// As [`Record::decode`], of whatever commit is there.
    pub(crate) fn decode_any(file: &Bytes, offset: usize, salt: Salt) -> Option<Self> {
        let bytes = file.get(offset..)?;
        let commit = commit_at(file, offset, salt)?;
        let end = claimed_end(bytes)?;
        if stored_sum(bytes)? != checksum(bytes.get(..end)?) {
            return None;
        }
        let padded = end.next_multiple_of(BLOCK_BYTES).min(bytes.len());
        Some(Self { commit, bytes: file.slice(offset..offset + padded), rows_bytes: end - HEAD_BYTES })
    }

    /// The record that would be at `offset` if one bit were another, with that bit's byte within it. What comes out is
    /// a record to its last row.
    pub(crate) fn correct(file: &Bytes, offset: usize, salt: Salt) -> Option<(Self, usize)> {
        let bytes = file.get(offset..)?;
        let claimed = claimed_end(bytes).filter(|end| *end <= bytes.len());
        // Of the rows, or of the sum: the difference of the sums says where.
        let in_rows = claimed.and_then(|end| {
            let difference = stored_sum(bytes)? ^ checksum(&bytes[..end]);
            match flip::find(flip::CRC32C, difference, end - SUM_BYTES)? {
                Flip::Sum => None,
                // The sum stands between the salt and the rest, and is not summed up itself.
                Flip::Message(byte, mask) => Some((if byte < SALT_BYTES { byte } else { byte + SUM_BYTES }, mask)),
            }
        });
        let right = |byte: usize, mask: u8| {
            let mut copy = bytes.to_vec();
            copy[byte] ^= mask;
            let record = Self::decode_any(&Bytes::from(copy), 0, salt)?;
            record.rows().is_ok().then_some((record, byte))
        };
        if let Some(record) = in_rows.and_then(|(byte, mask)| right(byte, mask)) {
            return Some(record);
        }
        let mut head = bytes.get(..HEAD_BYTES)?.to_vec();
        let (byte, mask) = flip::search(&mut head, HEAD_BYTES, |head| {
            let end = claimed_end(head).filter(|end| *end <= bytes.len() && head.starts_with(&salt));
            end.is_some_and(|end| {
                let sum = crc32c::crc32c_append(crc32c::crc32c(&head[..SALT_BYTES]), &head[SALT_BYTES + SUM_BYTES..]);
                stored_sum(head) == Some(crc32c::crc32c_append(sum, &bytes[HEAD_BYTES..end]))
            })
        })?;
        right(byte, mask)
    }

    /// The length that the record at `offset` claims, in bytes, whether or not it is a record.
    pub(crate) fn claimed_bytes(file: &[u8], offset: usize) -> usize {
        file.get(offset..).and_then(claimed_end).unwrap_or(HEAD_BYTES)
    }

    /// The bytes of its rows.
    pub(crate) fn encoded_rows(&self) -> Bytes {
        self.bytes.slice(HEAD_BYTES..HEAD_BYTES + self.rows_bytes)
    }

    /// Its rows. They share the record's memory: a row that is kept keeps all of it.
    pub(crate) fn rows(&self) -> Result<Rows, Malformed> {
        let malformed = Malformed { commit: self.commit };
        let rows = rows::split(self.encoded_rows()).ok_or(Malformed { commit: self.commit })?;
        let ascending = rows.windows(2).all(|pair| pair[0].0 < pair[1].0);
        if ascending { Ok(rows) } else { Err(malformed) }
    }
}

/// The commit that a record of the lap of `salt` at `offset` is of, whether or not the record is whole; `None` when
/// there is none. Nothing but a write of that lap can have put its salt there.
pub(crate) fn commit_at(file: &[u8], offset: usize, salt: Salt) -> Option<u64> {
    let bytes = file.get(offset..)?;
    (array(bytes, 0)? == salt).then_some(())?;
    Some(u64::from_le_bytes(array(bytes, 16)?))
}

fn rows_bytes(batch: &Batch) -> usize {
    batch.bytes() + batch.len() * ROW_HEAD_BYTES
}

/// Of a record up to the end of its rows, whatever stands in the checksum's own place.
fn checksum(record: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&record[..8]), &record[12..])
}

/// The end of the rows by the header's claim.
fn claimed_end(record: &[u8]) -> Option<usize> {
    HEAD_BYTES.checked_add(u32::from_le_bytes(array(record, 12)?) as usize)
}

fn stored_sum(record: &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(array(record, SALT_BYTES)?))
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::{MAX_KEY_BYTES, MAX_VALUE_BYTES, Write};

    const SALT: Salt = *b"saltsalt";

    fn batch() -> impl Strategy<Value = Batch> {
        let key = proptest::collection::vec(any::<u8>(), 1..40);
        let value = proptest::option::of(proptest::collection::vec(any::<u8>(), 0..300));
        proptest::collection::vec((key, value), 1..40).prop_map(|writes| {
            let mut batch = Batch::new();
            for (key, value) in writes {
                match value {
                    Some(value) => batch.put(key, value),
                    None => batch.delete(key),
                }
            }
            batch
        })
    }

    fn rows_of(batch: &Batch) -> Rows {
        batch.iter().map(|(key, write)| (key.clone(), write.clone())).collect()
    }

    #[test]
    fn a_lap_is_read_back_and_no_flipped_bit_is_missed() {
        let lap = Lap { salt: SALT, first_commit: 7 };
        let block = lap.encode();
        assert_eq!(block.len(), BLOCK_BYTES);
        assert_eq!(Lap::decode(&block), Some(lap));
        assert_eq!(Lap::decode(&block[..BLOCK_BYTES - 1]), None);
        for bit in 0..LAP_BYTES * 8 {
            let mut block = block.clone();
            block[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Lap::decode(&block), None, "bit {bit}");
        }
    }

    #[test]
    fn the_largest_row_is_kept_and_the_layout_is_the_documented_one() {
        let mut batch = Batch::new();
        batch.put(vec![0xff; MAX_KEY_BYTES], vec![1; MAX_VALUE_BYTES]);
        batch.delete("gone");
        let record = Record::encode(SALT, 0x0102, &batch, &mut BytesMut::new());
        assert_eq!(record.rows().unwrap(), rows_of(&batch));
        assert_eq!(record.bytes.len(), MAX_VALUE_BYTES + BLOCK_BYTES);
        assert_eq!(record.bytes[..8], SALT);
        assert_eq!(record.bytes[12..24], [0x10, 4, 0, 2, 2, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(record.bytes[24..34], *b"\x04\0\xff\xff\xff\xffgone");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

        #[test]
        fn a_record_is_read_back_where_it_was_put(batch in batch(), commit in 1u64.., blocks in 0usize..3) {
            let record = Record::encode(SALT, commit, &batch, &mut BytesMut::new());
            prop_assert_eq!(record.bytes.len(), Record::bytes_of(&batch));
            let mut file = vec![0xee; blocks * BLOCK_BYTES];
            let offset = file.len();
            file.extend_from_slice(&record.bytes);
            let file = Bytes::from(file);
            let read = Record::decode(&file, offset, SALT, commit).unwrap();
            prop_assert_eq!(read.rows().unwrap(), rows_of(&batch));
            prop_assert_eq!(read, record);
            prop_assert_eq!(Record::decode(&file, offset, SALT, commit ^ 1), None, "another commit");
            prop_assert_eq!(Record::decode(&file, offset, *b"another!", commit), None, "another lap");
        }

        #[test]
        fn no_truncation_and_no_flipped_bit_is_missed(batch in batch(), random in any::<usize>()) {
            let record = Record::encode(SALT, 3, &batch, &mut BytesMut::new());
            let length = HEAD_BYTES + rows_bytes(&batch);
            for cut in 0..length {
                prop_assert_eq!(Record::decode(&record.bytes.slice(..cut), 0, SALT, 3), None, "cut at {}", cut);
            }
            // Every bit of the head, and of the rest one bit of each byte.
            let bits = (0..HEAD_BYTES * 8).chain((HEAD_BYTES..length).map(|byte| byte * 8 + (random ^ byte) % 8));
            for bit in bits {
                let mut bytes = record.bytes.to_vec();
                bytes[bit / 8] ^= 1 << (bit % 8);
                prop_assert_eq!(Record::decode(&Bytes::from(bytes), 0, SALT, 3), None, "bit {}", bit);
            }
        }

        #[test]
        fn rows_that_are_no_rows_are_refused_and_never_panic(rows in proptest::collection::vec(0u8..6, 0..40)) {
            let bytes: Bytes = [vec![0; HEAD_BYTES], rows.clone()].concat().into();
            let record = Record { commit: 1, bytes, rows_bytes: rows.len() };
            if let Ok(read) = record.rows() {
                let mut batch = Batch::new();
                for (key, write) in read {
                    let Write::Put(value) = write else { panic!("no length here is 0xffff") };
                    batch.put(key, value);
                }
                prop_assert_eq!(rows_bytes(&batch), rows.len());
            }
        }
    }
}
