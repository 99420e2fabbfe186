//! One file of the model: its durable bytes, and the changes since.
//!
//! Without names: a file does not know where it is.

use super::Survives;

const PAGE_BYTES: usize = 4096;
const SECTOR_BYTES: usize = 512;

#[derive(Debug)]
pub(super) enum What {
    Write { offset: usize, bytes: Vec<u8> },
    Resize { size: usize },
    Zero { offset: usize, count: usize },
}

#[derive(Debug)]
struct FileChange {
    number: u64,
    durable: bool,
    what: What,
}

#[derive(Debug)]
pub(super) struct FileState {
    pub(super) mode: u32,
    durable: Vec<u8>,
    now: Vec<u8>,
    /// Since the last sync, in order.
    pending: Vec<FileChange>,
}

// === impl What ===

impl What {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            What::Write { offset, bytes } => {
                let end = offset + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[*offset..end].copy_from_slice(bytes);
            }
            What::Resize { size } => content.resize(*size, 0),
            What::Zero { offset, count } => {
                let end = (offset + count).min(content.len());
                content.get_mut(*offset..end).unwrap_or_default().fill(0);
            }
        }
    }

    /// The bytes that are other ones afterwards.
    fn range(&self) -> (usize, usize) {
        match self {
            What::Write { offset, bytes } => (*offset, offset + bytes.len()),
            What::Resize { size } => (*size, usize::MAX),
            What::Zero { offset, count } => (*offset, offset + count),
        }
    }

    fn size_after(&self, size: usize) -> usize {
        match self {
            What::Write { offset, bytes } => size.max(offset + bytes.len()),
            What::Resize { size } => *size,
            What::Zero { .. } => size,
        }
    }

    /// Changes `block`, which is at `start`, as this changes the file; bytes beyond an end count as zeros.
    fn apply_to_block(&self, start: usize, block: &mut [u8]) {
        let (from, to) = self.range();
        let (from, to) = (from.max(start), to.min(start + block.len()));
        if from >= to {
            return;
        }
        let target = &mut block[from - start..to - start];
        match self {
            What::Write { offset, bytes } => target.copy_from_slice(&bytes[from - offset..to - offset]),
            What::Resize { .. } | What::Zero { .. } => target.fill(0),
        }
    }
}

// === impl FileState ===

impl FileState {
    pub(super) fn new(mode: u32) -> FileState {
        FileState::with_content(mode, Vec::new())
    }

    /// All of it durable.
    pub(super) fn with_content(mode: u32, content: Vec<u8>) -> FileState {
        FileState { mode, durable: content.clone(), now: content, pending: Vec::new() }
    }

    pub(super) fn now(&self) -> &[u8] {
        &self.now
    }

    /// Numbers of the changes that may be lost.
    pub(super) fn pending(&self) -> impl Iterator<Item = u64> {
        self.pending.iter().map(|change| change.number)
    }

    pub(super) fn change(&mut self, number: u64, what: What, durable: bool) {
        what.apply(&mut self.now);
        self.pending.push(FileChange { number, durable, what });
    }

    /// Everything before the change `begun` is durable.
    pub(super) fn synced(&mut self, begun: u64) {
        let later = self.pending.partition_point(|change| change.number < begun);
        for change in self.pending.drain(..later) {
            change.what.apply(&mut self.durable);
        }
    }

    /// A content that may be left of the file; `until` is the last change of a prefix.
    pub(super) fn after_cut(&self, survives: Survives, until: u64, random: &mut dyn FnMut(u64) -> u64) -> Vec<u8> {
        let sector = match survives {
            Survives::Nothing => return self.prefix(0),
            Survives::Prefix => return self.prefix(until),
            _ if self.pending.is_empty() => return self.durable.clone(),
            Survives::Pages => PAGE_BYTES,
            Survives::Sectors => SECTOR_BYTES,
        };
        let mut left = self.durable.clone();
        left.resize(self.random_size(random), 0);
        for (index, block) in left.chunks_mut(sector).enumerate() {
            let start = index * sector;
            let touches = |change: &&FileChange| {
                let (from, to) = change.what.range();
                from < start + block.len() && to > start
            };
            let changes: Vec<&FileChange> = self.pending.iter().filter(touches).collect();
            // As the block stood after so many of the changes that touched it.
            let least = changes.iter().rposition(|change| change.durable).map_or(0, |last| last + 1);
            let count = least + random((changes.len() - least) as u64 + 1) as usize;
            for change in &changes[..count] {
                change.what.apply_to_block(start, block);
            }
        }
        left
    }

    fn prefix(&self, until: u64) -> Vec<u8> {
        let least = self.pending.iter().rposition(|change| change.durable).map_or(0, |last| last + 1);
        let mut left = self.durable.clone();
        for (index, change) in self.pending.iter().enumerate() {
            if index < least || change.number <= until {
                change.what.apply(&mut left);
            }
        }
        left
    }

    /// The length as it was after any of the changes, but the ones that were durable at once.
    fn random_size(&self, random: &mut dyn FnMut(u64) -> u64) -> usize {
        let least = self.pending.iter().rposition(|change| change.durable).map_or(0, |last| last + 1);
        let count = least + random((self.pending.len() - least) as u64 + 1) as usize;
        self.pending[..count].iter().fold(self.durable.len(), |size, change| change.what.size_after(size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(offset: usize, byte: u8, count: usize) -> What {
        What::Write { offset, bytes: vec![byte; count] }
    }

    #[test]
    fn only_what_was_there_at_the_call_of_the_sync_is_durable() {
        let mut file = FileState::new(0o600);
        file.change(1, write(0, 1, 10), false);
        file.change(3, write(5, 2, 10), false);
        file.synced(2);
        assert_eq!(file.after_cut(Survives::Nothing, 0, &mut |_| 0), vec![1; 10]);
        assert_eq!(file.after_cut(Survives::Prefix, 3, &mut |_| 0).len(), 15);
    }

    #[test]
    fn pages_and_sectors_survive_one_by_one_as_they_once_stood() {
        let mut file = FileState::with_content(0o600, vec![0; 3 * PAGE_BYTES]);
        file.change(1, write(0, 1, 2 * PAGE_BYTES), false);
        file.change(2, write(PAGE_BYTES, 2, 100), false);
        // Length; then per page: both changes of three touch the second, none the third.
        let mut draws = [2, 0, 2, 0].into_iter();
        let left = file.after_cut(Survives::Pages, 0, &mut |_| draws.next().unwrap());
        assert!(left[..PAGE_BYTES].iter().all(|byte| *byte == 0), "the first is lost");
        assert!(left[PAGE_BYTES..PAGE_BYTES + 100].iter().all(|byte| *byte == 2), "both changes");
        assert!(left[PAGE_BYTES + 100..2 * PAGE_BYTES].iter().all(|byte| *byte == 1));
        let mut draw = 0;
        let torn = file.after_cut(Survives::Sectors, 0, &mut |bound| {
            draw += 1;
            draw % bound
        });
        assert!(torn[..PAGE_BYTES].contains(&0) && torn[..PAGE_BYTES].contains(&1), "a torn page");
    }

    #[test]
    fn a_length_that_is_not_durable_may_be_any_of_those_it_had() {
        let mut file = FileState::with_content(0o600, vec![9; 100]);
        file.change(1, What::Resize { size: 10 }, false);
        file.change(2, write(10, 1, 30), false);
        let lengths: Vec<usize> =
            (0..3).map(|nth| file.after_cut(Survives::Pages, 0, &mut |bound| nth.min(bound - 1)).len()).collect();
        assert_eq!(lengths, [100, 10, 40]);
    }

    #[test]
    fn what_was_written_through_stays() {
        let mut file = FileState::new(0o600);
        file.change(1, write(0, 1, 10), false);
        file.change(2, write(20, 2, 10), true);
        file.change(3, write(40, 3, 10), false);
        for survives in Survives::ALL {
            assert!(file.after_cut(survives, 0, &mut |_| 0).len() >= 30, "{survives:?}");
        }
    }
}
