//! The places where the rows of a backup are cut into chunks. Pure.
//!
//! A chunk ends behind a row by that row alone, its key and its length, once the chunk has [`CUT_BYTES_MIN`]. So rows that
//! come or go elsewhere move no cut but the next one or two, and a second backup has most chunks already. A row is the
//! more likely to be the last the longer it is: so chunks are as long where rows are short. A chunk is 2 MiB on average.

use bytes::Bytes;

use super::chunk::{Chunk, Filling, Kind};
use crate::store::Write;
use crate::store::rows::{self, ROW_HEAD_BYTES};

/// Bytes of rows in a chunk at least, but for the last one.
pub const CUT_BYTES_MIN: usize = if cfg!(test) { 1 << 12 } else { 1 << 20 };

/// Bytes of rows after which a chunk ends in any case. It has one row more at most.
pub const CUT_BYTES_MAX: usize = 4 * CUT_BYTES_MIN;

/// Rows on their way into chunks.
#[derive(Debug)]
pub struct Cutter {
    filling: Filling,
}

impl Default for Cutter {
    fn default() -> Self {
        Cutter { filling: Filling::new(Kind::Rows) }
    }
}

impl Cutter {
    /// Takes a row; rows come in the order of their keys. Gives the chunk that ends with it.
    pub fn push(&mut self, key: &Bytes, value: Bytes) -> Option<Chunk> {
        let row_bytes = ROW_HEAD_BYTES + key.len() + value.len();
        rows::put(key, &Write::Put(value), &mut self.filling.bytes);
        self.filling.count += 1;
        let bytes = self.filling.content_bytes();
        let ends = bytes >= CUT_BYTES_MAX || (bytes >= CUT_BYTES_MIN && ends_with(key, row_bytes));
        if ends { self.filling.end() } else { None }
    }

    /// The last chunk, if there are rows left.
    pub fn finish(&mut self) -> Option<Chunk> {
        self.filling.end()
    }
}

/// True for one row of [`CUT_BYTES_MIN`] bytes of rows, on average.
fn ends_with(key: &[u8], row_bytes: usize) -> bool {
    // A checksum of keys that count up counts up in its way: the multiplication (by 2^64 over the golden ratio) mixes it.
    let mixed = u64::from(crc32c::crc32c(key)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    mixed % (CUT_BYTES_MIN as u64) < row_bytes as u64
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    type Rows = BTreeMap<Bytes, Bytes>;

    fn chunks(rows: &Rows) -> Vec<Chunk> {
        let mut cutter = Cutter::default();
        let mut chunks: Vec<_> = rows.iter().filter_map(|(key, value)| cutter.push(key, value.clone())).collect();
        chunks.extend(cutter.finish());
        chunks
    }

    fn counted(numbers: std::ops::Range<u32>, value_bytes: usize) -> Rows {
        numbers
            .map(|number| (Bytes::copy_from_slice(&(2 * number).to_be_bytes()), vec![7; value_bytes].into()))
            .collect()
    }

    proptest! {
        #[test]
        fn chunks_have_all_rows_in_order_and_are_bounded(lens in proptest::collection::vec(0usize..3_000, 0..300)) {
            let rows: Rows = lens.iter().enumerate().map(|(at, len)| {
                (Bytes::copy_from_slice(&((1 << 24) + at as u32).to_be_bytes()), vec![1; *len].into())
            }).collect();
            let chunks = chunks(&rows);
            let mut read = Vec::new();
            for chunk in &chunks {
                prop_assert!(chunk.bytes.len() < CUT_BYTES_MAX + 3_100);
                read.extend(chunk.entry.rows(chunk.bytes.clone()).unwrap());
            }
            let expected: Vec<_> = rows.into_iter().map(|(key, value)| (key, Write::Put(value))).collect();
            prop_assert_eq!(read, expected);
            for chunk in chunks.iter().rev().skip(1) {
                prop_assert!(chunk.bytes.len() >= CUT_BYTES_MIN);
            }
        }
    }

    #[test]
    fn a_row_that_comes_or_goes_changes_few_chunks() {
        let before = counted(0..20_000, 30);
        let names = |rows: &Rows| chunks(rows).iter().map(|chunk| chunk.entry.name).collect::<BTreeSet<_>>();
        let names_before = names(&before);
        assert!(names_before.len() > 60, "{}", names_before.len());
        let new: Vec<_> = (0..30u32)
            .map(|nth| {
                let (at, mut after) = (nth * 661, before.clone());
                // One more, between two others, and one less.
                after.insert(Bytes::copy_from_slice(&(2 * at + 1).to_be_bytes()), vec![7; 30].into());
                after.remove(&before.keys().nth(at as usize + 5).unwrap().clone());
                names(&after).difference(&names_before).count()
            })
            .collect();
        assert!(new.iter().sum::<usize>() <= 2 * new.len() && new.iter().all(|count| *count <= 12), "{new:?}");
    }

    #[test]
    fn chunks_are_about_as_long_whatever_the_length_of_rows() {
        for value_bytes in [1, 30, 300] {
            let chunks = chunks(&counted(0..4_000_000 / (value_bytes as u32 + 10), value_bytes));
            let average = chunks.iter().map(|chunk| chunk.bytes.len()).sum::<usize>() / chunks.len();
            assert!((CUT_BYTES_MIN * 3 / 2..CUT_BYTES_MIN * 5 / 2).contains(&average), "{value_bytes}: {average}");
        }
    }
}
