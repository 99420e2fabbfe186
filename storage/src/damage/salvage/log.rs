//! The records of a damaged log: every one whose checksum is right, also those behind a damaged one. Pure.
//!
//! Unlike [`recover`](crate::disk::commit::recover) it refuses nothing. One flipped bit is put right (see
//! [`flip`](crate::damage::flip)); more damage costs the record that it is in. The caller sees from the numbers which
//! commits are missing then.
//!
//! A record is only taken if its lap's salt opens it, so nothing that tenants sent is taken for one. Without the lap's
//! header the salt is that of the record right behind it, which begins at a known place. With neither, the file's
//! records are given up.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::damage::flip;
use crate::disk::commit::record::{BLOCK_BYTES, Lap, Record};

/// The findings in both files.
#[derive(Debug, Default)]
pub(crate) struct Salvaged {
    /// Every whole record by its commit.
    pub(crate) records: BTreeMap<u64, Record>,
    /// Bits that were put right: file, byte.
    pub(crate) corrected: Vec<(usize, usize)>,
    /// Spans that cannot be read: records of the same lap follow, or they stand in place of a file's beginning.
    pub(crate) damaged: Vec<Damaged>,
    /// Bytes behind the last record of a lap which begin like one: cut off by a power cut, or damaged.
    pub(crate) unfinished_bytes: usize,
}

/// A span that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Damaged {
    /// 0 or 1.
    pub(crate) file: usize,
    /// Its beginning in the file, in bytes.
    pub(crate) offset: usize,
    /// Its length in bytes.
    pub(crate) bytes: usize,
}

/// Reads both files; an empty one stands for one that is missing.
pub(crate) fn salvage(files: &[Bytes; 2]) -> Salvaged {
    let mut found = Salvaged::default();
    let mut laps: Vec<(u64, Vec<Record>)> = Vec::new();
    for (file, bytes) in files.iter().enumerate() {
        if let Some(lap) = lap_of(file, bytes, &mut found) {
            laps.push((lap.first_commit, records_of(file, bytes, lap, &mut found)));
        }
    }
    // A commit that is given out a second time is in the lap that begins later.
    laps.sort_by_key(|(first_commit, records)| (*first_commit, records.len()));
    for record in laps.into_iter().flat_map(|(_, records)| records) {
        found.records.insert(record.commit, record);
    }
    found
}

fn lap_of(file: usize, bytes: &Bytes, found: &mut Salvaged) -> Option<Lap> {
    let block = bytes.get(..BLOCK_BYTES)?;
    if let Some(lap) = Lap::decode(block) {
        return Some(lap);
    }
    let mut block = block.to_vec();
    if let Some((byte, mask)) = flip::search(&mut block, BLOCK_BYTES.min(64), |block| Lap::decode(block).is_some()) {
        found.corrected.push((file, byte));
        block[byte] ^= mask;
        return Lap::decode(&block);
    }
    found.damaged.push(Damaged { file, offset: 0, bytes: BLOCK_BYTES });
    let salt = *bytes.get(BLOCK_BYTES..)?.first_chunk()?;
    let first = Record::decode_any(bytes, BLOCK_BYTES, salt)?;
    Some(Lap { salt, first_commit: first.commit })
}

fn records_of(file: usize, bytes: &Bytes, lap: Lap, found: &mut Salvaged) -> Vec<Record> {
    let mut records: Vec<Record> = Vec::new();
    if lap.first_commit == 0 {
        return records;
    }
    let (mut offset, mut unreadable_from) = (BLOCK_BYTES, None);
    while offset < bytes.len() {
        let least = records.last().map_or(lap.first_commit, |record| record.commit + 1);
        let whole = Record::decode_any(bytes, offset, lap.salt);
        let record = match whole {
            // At the expected beginning of a record one bit may be wrong; further on, a tenant's text may look like a
            // record.
            None if unreadable_from.is_none() => Record::correct(bytes, offset, lap.salt).map(|(record, byte)| {
                found.corrected.push((file, offset + byte));
                record
            }),
            whole => whole,
        };
        match record.filter(|record| record.commit >= least) {
            Some(record) => {
                if let Some(from) = unreadable_from.take() {
                    found.damaged.push(Damaged { file, offset: from, bytes: offset - from });
                }
                offset += record.bytes.len().next_multiple_of(BLOCK_BYTES);
                records.push(record);
            }
            None => {
                unreadable_from = unreadable_from.or(Some(offset));
                offset += BLOCK_BYTES;
            }
        }
    }
    if let Some(from) = unreadable_from
        && bytes[from..].starts_with(&lap.salt)
    {
        found.unfinished_bytes += Record::claimed_bytes(bytes, from).min(bytes.len() - from);
    }
    records
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::store::Batch;

    fn file(salt: [u8; 8], commits: std::ops::Range<u64>) -> Vec<u8> {
        let mut file = Lap { salt, first_commit: commits.start }.encode();
        for commit in commits {
            let mut batch = Batch::new();
            batch.put(commit.to_be_bytes().to_vec(), vec![7; 5_000]);
            batch.put(vec![200], vec![commit as u8; 4_000]);
            file.extend_from_slice(&Record::encode(salt, commit, &batch, &mut BytesMut::new()).bytes);
        }
        file
    }

    fn commits(first: &[u8], second: &[u8]) -> (Vec<u64>, Salvaged) {
        let found = salvage(&[Bytes::copy_from_slice(first), Bytes::copy_from_slice(second)]);
        (found.records.keys().copied().collect(), found)
    }

    #[test]
    fn one_flipped_bit_anywhere_in_a_log_costs_nothing() {
        let (first, second) = (file(*b"saltsalt", 1..4), file(*b"pepperpe", 4..6));
        let whole = commits(&first, &second);
        assert_eq!(whole.0, [1, 2, 3, 4, 5]);
        for bit in (0..first.len() * 8).step_by(7) {
            let mut wrong = first.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            let (there, found) = commits(&wrong, &second);
            assert_eq!(there, [1, 2, 3, 4, 5], "bit {bit}");
            assert!(found.damaged.is_empty(), "bit {bit}");
            for (commit, record) in found.records {
                assert_eq!(record.rows().unwrap(), whole.1.records[&commit].rows().unwrap(), "bit {bit}");
            }
        }
    }

    #[test]
    fn more_damage_costs_the_record_that_it_is_in() {
        let (first, second) = (file(*b"saltsalt", 1..4), file(*b"pepperpe", 4..6));
        let record = (first.len() - BLOCK_BYTES) / 3;
        let mut wrong = first.clone();
        wrong[BLOCK_BYTES + record..][..512].fill(0x55);
        let (there, found) = commits(&wrong, &second);
        assert_eq!(there, [1, 3, 4, 5]);
        assert_eq!(found.damaged, [Damaged { file: 0, offset: BLOCK_BYTES + record, bytes: record }]);
        // Without its header a file is read by the salt of its first record; without both it is given up.
        let mut headless = first.clone();
        headless[..512].fill(0x55);
        assert_eq!(commits(&headless, &second).0, [1, 2, 3, 4, 5]);
        headless[BLOCK_BYTES..][..512].fill(0x55);
        assert_eq!(commits(&headless, &second).0, [4, 5]);
        assert_eq!(commits(&[], &second).0, [4, 5]);
    }

    #[test]
    fn a_record_within_what_a_tenant_sent_is_none() {
        let salt = *b"saltsalt";
        let mut inner = Batch::new();
        inner.put(vec![1], vec![1]);
        let forged = Record::encode(*b"forgedfo", 2, &inner, &mut BytesMut::new());
        let mut first = file(salt, 1..2);
        first[BLOCK_BYTES..][..512].fill(0x55);
        first.extend_from_slice(&forged.bytes);
        assert!(commits(&first, &[]).0.is_empty());
    }
}
