//! Recovery: every row of its table of crashes, then random histories torn at random, then damage.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::record::{BLOCK_BYTES, Lap, Record, Salt};
use super::recover::{Damage, Recovered, recover};
use crate::store::{Batch, Write};

const SECTOR_BYTES: usize = 512;

/// Two log files as the writer would fill them, and the writes of each commit.
#[derive(Clone, Debug, Default)]
struct Disk {
    files: [Vec<u8>; 2],
    current: usize,
    offset: usize,
    salt: Salt,
    laps: u8,
    commits: Vec<Batch>,
    /// The last commit of each finished lap.
    lap_ends: Vec<u64>,
    /// The last commit that the last opening found, and brought to the tree.
    opened_at: u64,
}

impl Disk {
    /// As a store begins: two files that were never used.
    fn new() -> Self {
        let mut disk = Self::default();
        for file in 0..2 {
            disk.files[file] = Lap { salt: disk.next_salt(), first_commit: 0 }.encode();
        }
        disk
    }

    fn next_salt(&mut self) -> Salt {
        self.laps += 1;
        // Nothing that the rows here hold.
        u64::from(self.laps).wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes()
    }

    fn last_commit(&self) -> u64 {
        self.commits.len() as u64
    }

    fn begin_lap(&mut self) {
        let salt = self.next_salt();
        self.lap_ends.push(self.last_commit());
        (self.current, self.offset, self.salt) = (1 - self.current, 0, salt);
    }

    fn append(&mut self, batch: Batch) {
        let commit = self.last_commit() + 1;
        let record = Record::encode(self.salt, commit, &batch, &mut BytesMut::new());
        if self.offset == 0 {
            let lap = Lap { salt: self.salt, first_commit: commit };
            self.write(0, &lap.encode());
            self.offset = BLOCK_BYTES;
        }
        self.write(self.offset, &record.bytes);
        self.offset += record.bytes.len();
        self.commits.push(batch);
    }

    fn write(&mut self, at: usize, bytes: &[u8]) {
        let file = &mut self.files[self.current];
        file.resize(file.len().max(at + bytes.len()), 0);
        file[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn recover(&self, checkpointed: u64) -> Result<Recovered, Damage> {
        recover(&self.files.clone().map(Bytes::from), checkpointed)
    }

    /// The rows of the commits after `from` up to `to` together.
    fn rows(&self, from: u64, to: u64) -> BTreeMap<Bytes, Write> {
        let commits = &self.commits[from as usize..to as usize];
        commits.iter().flatten().map(|(key, write)| (key.clone(), write.clone())).collect()
    }

    /// The earliest checkpoint that the log can be found with.
    fn oldest_checkpoint(&self) -> u64 {
        let laps = self.lap_ends.len();
        let handed_over = if laps < 2 { 0 } else { self.lap_ends[laps - 2] };
        handed_over.max(self.opened_at)
    }

    /// As an opening leaves it that found commits up to `last_commit`, the last of them in file `newest`.
    fn opened(mut self, last_commit: u64, newest: usize) -> Self {
        self.commits.truncate(last_commit as usize);
        (self.opened_at, self.current) = (last_commit, newest);
        self
    }

    fn expect(&self, checkpointed: u64, last_commit: u64) {
        let found = self.recover(checkpointed).unwrap();
        assert_eq!(found.last_commit, last_commit);
        assert_eq!(found.rows, self.rows(checkpointed, last_commit));
    }
}

fn row(key: &str, value_bytes: usize) -> Batch {
    let mut batch = Batch::new();
    // Never the same bytes as another row's.
    batch.put(key.to_owned(), key.bytes().cycle().take(value_bytes).collect::<Vec<u8>>());
    batch
}

/// Two laps of three commits each, the second one over several blocks; the next lap is not begun.
fn two_laps() -> Disk {
    let mut disk = Disk::new();
    for lap in 0..2 {
        disk.begin_lap();
        for commit in 0..3 {
            let mut batch = row(&format!("row {lap} {commit}"), 8000);
            batch.put("rewritten", vec![lap * 3 + commit]);
            batch.delete(format!("gone {commit}"));
            disk.append(batch);
        }
    }
    disk
}

#[test]
fn an_unused_log_holds_nothing() {
    Disk::new().expect(0, 0);
    let disk = Disk { commits: vec![Batch::new(); 9], ..Disk::new() };
    disk.expect(9, 9);
}

#[test]
fn whatever_the_tree_does_not_have_is_read_in_order_from_both_files() {
    let disk = two_laps();
    disk.expect(0, 6);
    disk.expect(3, 6);
    disk.expect(6, 6);
}

#[test]
fn a_last_record_that_was_cut_is_left_out_wherever_it_was_cut() {
    let before = two_laps();
    let mut after = before.clone();
    after.append(row("torn", 8000));
    let (start, end) = (before.offset, after.offset);
    let file = after.current;
    for cut in (start..end).step_by(97) {
        let mut disk = after.clone();
        disk.files[file].truncate(cut);
        let whole = cut >= start + 24 + 4 + 4 + 8000;
        disk.expect(3, if whole { 7 } else { 6 });
        // Older bytes of the file stand behind the cut, instead of nothing.
        disk.files[file].resize(end, 0xaa);
        disk.expect(3, if whole { 7 } else { 6 });
    }
}

#[test]
fn the_beginning_of_a_lap_may_be_torn_in_every_way() {
    let before = two_laps();
    let mut after = before.clone();
    after.begin_lap();
    after.append(row("first of the lap", 5000));
    let file = after.current;
    let parts = [0..BLOCK_BYTES, BLOCK_BYTES..2 * BLOCK_BYTES, 2 * BLOCK_BYTES..3 * BLOCK_BYTES];
    for persisted in 0..1 << parts.len() {
        let mut disk = Disk { commits: after.commits.clone(), ..before.clone() };
        for (at, part) in parts.iter().enumerate() {
            if persisted & (1 << at) != 0 {
                disk.files[file][part.clone()].copy_from_slice(&after.files[file][part.clone()]);
            }
        }
        disk.expect(3, if persisted == 0b111 { 7 } else { 6 });
        // The header torn too.
        disk.files[file][9] ^= 1;
        if persisted & 0b110 != 0b110 {
            disk.expect(3, 6);
        } else {
            assert_eq!(disk.recover(3).unwrap_err().file, Some(file), "a whole record behind no header");
        }
    }
}

#[test]
fn a_lap_begun_in_vain_and_begun_again_in_the_other_file_is_no_overlap() {
    let mut disk = two_laps();
    disk.begin_lap();
    disk.append(row("torn", 10));
    disk.files[disk.current][BLOCK_BYTES + 30] ^= 1;
    disk.commits.pop();
    disk.expect(6, 6);
    disk.begin_lap();
    disk.append(row("again", 10));
    disk.expect(6, 7);
}

#[test]
fn a_torn_record_is_followed_by_another_lap_and_stays_harmless() {
    let mut disk = two_laps();
    disk.append(row("torn", 8000));
    let torn_at = disk.offset - BLOCK_BYTES;
    disk.files[disk.current][torn_at] ^= 1;
    disk.commits.pop();
    disk.expect(3, 6);
    disk.begin_lap();
    disk.append(row("another of the same number", 10));
    disk.append(row("next", 10));
    disk.expect(6, 8);
}

#[test]
fn a_record_torn_by_a_cut_is_no_damage_when_a_second_cut_tears_the_lap_that_overwrites_it() {
    let mut disk = Disk::new();
    disk.begin_lap();
    disk.append(row("acknowledged", 10));
    disk.append(row("torn", 8000));
    let file = disk.current;
    disk.files[file][2 * BLOCK_BYTES + 4000] ^= 1;
    disk.expect(0, 1);
    // An opening, and a lap in the other file, which is handed over; its checkpoint is not done yet.
    let mut disk = disk.opened(1, file);
    disk.begin_lap();
    disk.append(row("the second of that number", 10));
    let before = disk.clone();
    disk.begin_lap();
    disk.append(row("torn too", 10));
    // Of the new lap's header nothing reached the disk, of its first record a part.
    disk.files[file][..BLOCK_BYTES].copy_from_slice(&before.files[file][..BLOCK_BYTES]);
    disk.files[file][BLOCK_BYTES + 20] ^= 1;
    disk.expect(1, 2);
    disk.expect(2, 2);
}

#[test]
fn damage_that_is_no_crash_is_named_by_file_and_offset() {
    let disk = two_laps();
    let (older, newer) = (1 - disk.current, disk.current);
    let damaged = |file: usize, at: usize| {
        let mut disk = disk.clone();
        disk.files[file][at] ^= 0x10;
        disk.recover(0)
    };
    let second = disk.files[older].len() / 3;
    let second = second.next_multiple_of(BLOCK_BYTES);
    for (file, last) in [(older, false), (newer, true)] {
        // The first record of each file: its salt, checksum, length, number, rows.
        for at in [0, 8, 12, 16, 30, 5000] {
            let damage = damaged(file, BLOCK_BYTES + at).unwrap_err();
            assert_eq!((damage.file, damage.offset), (Some(file), BLOCK_BYTES), "byte {at}: {}", damage.reason);
        }
        let at_end = damaged(file, disk.files[file].len() - BLOCK_BYTES);
        if last {
            assert_eq!(at_end.unwrap().last_commit, 5, "only the watermark can tell");
        } else {
            assert_eq!(at_end.unwrap_err().file, Some(file), "{second}: the later file goes on behind it");
        }
    }
    let damage = damaged(older, 3).unwrap_err();
    assert_eq!((damage.file, damage.offset), (Some(older), 0), "{}", damage.reason);
    let damage = damaged(newer, 3).unwrap_err();
    assert_eq!((damage.file, damage.offset), (Some(newer), 0), "{}", damage.reason);
}

#[test]
fn two_bad_headers_and_a_tree_that_is_too_old_are_refused() {
    let mut disk = two_laps();
    disk.begin_lap();
    disk.append(row("third lap", 10));
    let too_old = disk.recover(2).unwrap_err();
    assert_eq!(too_old.file, None, "{}", too_old.reason);
    disk.expect(3, 7);
    disk.files[0][0] ^= 1;
    disk.files[1][0] ^= 1;
    assert!(disk.recover(7).is_err());
}

#[test]
fn what_tenants_send_is_not_taken_for_a_record() {
    let mut disk = two_laps();
    // An older lap full of bytes that would be the very next record, but for the salt.
    disk.begin_lap();
    let forged = Record::encode([0; 8], 8, &row("forged", 10), &mut BytesMut::new());
    let file = disk.current;
    disk.append(row("honest", 10));
    let end = disk.offset;
    disk.files[file].truncate(end);
    for _ in 0..4 {
        disk.files[file].extend_from_slice(&forged.bytes);
    }
    disk.expect(6, 7);
}

fn batches() -> impl Strategy<Value = Vec<Vec<Batch>>> {
    let write = (0u8..12, proptest::option::of(prop_oneof![3 => 0usize..50, 1 => 3000usize..8192]));
    let batch = proptest::collection::vec(write, 1..5).prop_map(|writes| {
        let mut batch = Batch::new();
        for (key, value_bytes) in writes {
            match value_bytes {
                Some(bytes) => batch.put(vec![key], vec![key; bytes]),
                None => batch.delete(vec![key]),
            }
        }
        batch
    });
    proptest::collection::vec(proptest::collection::vec(batch, 1..6), 1..6)
}

/// `after`, of whose bytes that differ from `before` only some sectors reached the disk.
fn torn(before: &Disk, after: &Disk, mut reached: impl FnMut() -> bool) -> Disk {
    let mut disk = after.clone();
    for (file, old) in disk.files.iter_mut().zip(&before.files) {
        for (sector, bytes) in file.chunks_mut(SECTOR_BYTES).enumerate() {
            if !reached() {
                let old = old.get(sector * SECTOR_BYTES..).unwrap_or_default();
                for (at, byte) in bytes.iter_mut().enumerate() {
                    *byte = old.get(at).copied().unwrap_or(0);
                }
            }
        }
    }
    disk
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_power_cut_at_any_commit_leaves_all_before_it(laps in batches(), seed in any::<u64>()) {
        let mut random = seed | 1;
        let mut bit = move || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random & 1 == 1
        };
        let (mut disk, mut begins) = (Disk::new(), true);
        for lap in laps {
            for batch in lap {
                let before = disk.clone();
                if std::mem::take(&mut begins) {
                    disk.begin_lap();
                }
                disk.append(batch);
                // Before a lap's first commit the checkpoint of the one before the last is over.
                let oldest = disk.oldest_checkpoint();
                let cut = torn(&before, &disk, &mut bit);
                let mut opened = None;
                for checkpointed in oldest..=before.last_commit() {
                    let found = cut.recover(checkpointed).unwrap();
                    prop_assert!(found.last_commit >= before.last_commit(), "an acknowledged commit is gone");
                    prop_assert_eq!(&found.rows, &disk.rows(checkpointed, found.last_commit));
                    opened = Some((found.last_commit, found.newest));
                }
                // Now and then the store goes on from what the cut left.
                if let Some((last_commit, newest)) = opened.filter(|_| bit() && bit()) {
                    (disk, begins) = (cut.opened(last_commit, newest), true);
                }
            }
            begins = true;
        }
    }

    #[test]
    fn a_flipped_bit_is_refused_or_leaves_a_beginning(laps in batches(), at in any::<proptest::sample::Index>()) {
        let mut disk = Disk::new();
        for lap in laps {
            disk.begin_lap();
            lap.into_iter().for_each(|batch| disk.append(batch));
        }
        let checkpointed = disk.oldest_checkpoint();
        let bit = at.index((disk.files[0].len() + disk.files[1].len()) * 8);
        let (file, bit) = if bit < disk.files[0].len() * 8 { (0, bit) } else { (1, bit - disk.files[0].len() * 8) };
        disk.files[file][bit / 8] ^= 1 << (bit % 8);
        if let Ok(found) = disk.recover(checkpointed) {
            // Short of the last commit only: the watermark knows of that one.
            prop_assert!(found.last_commit + 1 >= disk.last_commit());
            prop_assert_eq!(&found.rows, &disk.rows(checkpointed, found.last_commit));
        }
    }

    #[test]
    fn no_bytes_make_it_panic(
        first in proptest::collection::vec(any::<u8>(), 0..200),
        second in proptest::collection::vec(any::<u8>(), 0..200),
        lengths in any::<u32>(),
    ) {
        let mut disk = two_laps();
        for (file, bytes) in [first, second].into_iter().enumerate() {
            let at = BLOCK_BYTES + 8;
            let end = (at + bytes.len()).min(disk.files[file].len());
            disk.files[file][at..end].copy_from_slice(&bytes[..end - at]);
        }
        disk.files[0][BLOCK_BYTES + 12..BLOCK_BYTES + 16].copy_from_slice(&lengths.to_le_bytes());
        drop(disk.recover(0));
    }
}
