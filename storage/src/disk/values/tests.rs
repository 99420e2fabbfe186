//! The files by themselves: the values that an opening takes up, and those that a sweep leaves.

use std::collections::HashMap;

use super::*;

struct Subject {
    folder: tempfile::TempDir,
    values: Values,
    /// The pointers that a map would hold.
    map: HashMap<Vec<u8>, (Pointer, Vec<u8>)>,
    /// The usage of files that the map would know.
    recorded: BTreeMap<u32, Usage>,
}

impl Subject {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let values = Values::open(folder.path(), &BTreeMap::new()).unwrap();
        Self { folder, values, map: HashMap::new(), recorded: BTreeMap::new() }
    }

    fn put(&mut self, key: u32, bytes: usize) {
        let (key, value) = (key.to_be_bytes().to_vec(), vec![key as u8; bytes]);
        let pointer = self.values.append(&key, &value).unwrap();
        if let Some((before, _)) = self.map.insert(key.clone(), (pointer, value)) {
            self.values.forget(&key, before);
        }
    }

    fn delete(&mut self, key: u32) {
        let key = key.to_be_bytes().to_vec();
        let (pointer, _) = self.map.remove(&key).unwrap();
        self.values.forget(&key, pointer);
    }

    fn seal(&mut self) {
        self.values.sync().unwrap();
        for (number, usage) in self.values.changed() {
            match usage {
                Some(usage) => self.recorded.insert(number, usage),
                None => self.recorded.remove(&number),
            };
        }
        self.values.sealed().unwrap();
    }

    fn sweep(&mut self) {
        loop {
            let alive = |key: &[u8], pointer| Ok(self.map.get(key).is_some_and(|(at, _)| *at == pointer));
            let Some(step) = self.values.sweep::<io::Error>(alive).unwrap() else { return };
            for (key, pointer) in &step.moved {
                let (at, _) = self.map.get_mut(key).unwrap();
                let before = std::mem::replace(at, *pointer);
                self.values.forget(key, before);
            }
            self.values.swept(&step);
            if self.values.writing().condemned.contains(&step.number()) {
                return;
            }
        }
    }

    fn reopen(&mut self) -> Result<(), OpenError> {
        self.values = Values::open(self.folder.path(), &self.recorded)?;
        Ok(())
    }

    fn check(&self) {
        self.values.write_out().unwrap();
        for (key, (pointer, value)) in &self.map {
            assert!(self.values.read(key, *pointer).unwrap().as_deref() == Some(&value[..]), "{pointer:?}");
        }
    }

    fn lengths(&self) -> BTreeMap<u32, u64> {
        found(self.folder.path()).unwrap()
    }
}

/// 30 values a file, over four files.
fn filled() -> Subject {
    let mut subject = Subject::new();
    for key in 0..120 {
        subject.put(key, 2100);
    }
    subject.seal();
    subject
}

#[test]
fn values_are_read_back_from_any_file_and_after_opening_again() {
    let mut subject = filled();
    assert_eq!(subject.lengths().len(), 4);
    assert!(subject.lengths().values().all(|bytes| *bytes <= FILE_BYTES));
    subject.check();
    subject.reopen().unwrap();
    assert!(subject.values.changed().is_empty());
    assert_eq!(subject.values.bytes(), subject.lengths().values().sum());
    subject.check();
    subject.put(500, 300);
    subject.seal();
    assert_eq!(subject.lengths().len(), 5, "a file of a process before is not written to again");
    subject.check();
}

#[test]
fn a_file_that_is_missing_or_shorter_than_it_was_is_refused_by_name() {
    let mut subject = filled();
    let path = subject.folder.path().join("0000000001");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    let refusal = subject.reopen().unwrap_err().to_string();
    assert!(refusal.contains("0000000001") && refusal.contains("and had"), "{refusal}");
    fs::remove_file(&path).unwrap();
    let refusal = subject.reopen().unwrap_err().to_string();
    assert!(refusal.contains("0000000001") && refusal.contains("missing"), "{refusal}");
    fs::write(&path, bytes).unwrap();
    subject.reopen().unwrap();
    subject.check();
}

#[test]
fn what_no_seal_vouches_for_counts_as_dead_and_a_torn_end_is_cut_off() {
    let mut subject = filled();
    let last = 3;
    let sealed = subject.lengths()[&last];
    subject.map.clear();
    subject.put(1000, 500);
    subject.put(1001, 500);
    subject.values.sync().unwrap();
    let path = subject.folder.path().join("0000000003");
    let torn = subject.lengths()[&last] - 1;
    OpenOptions::new().write(true).open(&path).unwrap().set_len(torn).unwrap();
    subject.reopen().unwrap();
    let whole = sealed + 10 + 4 + 500;
    assert_eq!(subject.lengths()[&last], whole);
    let told = subject.values.changed();
    assert_eq!(told, [(last, Some(Usage { total: whole, dead: whole - sealed }))]);
}

#[test]
fn a_sweep_keeps_what_is_alive_and_files_go_only_after_a_seal() {
    let mut subject = filled();
    for key in 0..25 {
        subject.delete(key);
    }
    subject.seal();
    let before = subject.lengths();
    subject.sweep();
    assert!(subject.lengths().contains_key(&0), "the map that is sealed may still lead here");
    // A process that dies here finds the values in both places.
    subject.reopen().unwrap();
    subject.check();
    subject.sweep();
    subject.check();
    subject.seal();
    subject.check();
    assert!(!subject.lengths().contains_key(&0));
    assert!(subject.lengths().values().sum::<u64>() < before.values().sum());
    assert!(!subject.recorded.contains_key(&0));
    subject.reopen().unwrap();
    subject.check();
}

#[test]
fn a_file_with_a_damaged_value_is_never_swept_away() {
    let mut subject = filled();
    (0..25).for_each(|key| subject.delete(key));
    subject.seal();
    let path = subject.folder.path().join("0000000000");
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.len() - 1;
    bytes[at] ^= 1;
    fs::write(&path, bytes).unwrap();
    subject.sweep();
    subject.seal();
    assert!(subject.lengths().contains_key(&0));
    let last = (FILE_BYTES / (2100 + 14)) as u32 - 1;
    let (pointer, value) = &subject.map[&last.to_be_bytes().to_vec()];
    let read = subject.values.read(&last.to_be_bytes(), *pointer).unwrap().unwrap();
    assert_eq!(read.len(), value.len());
    assert!(read != value[..], "it is for the reader to find out");
    assert_eq!(subject.values.sweep::<io::Error>(|_, _| Ok(true)).unwrap().map(drop), None, "tried once");
}

#[test]
fn a_failed_sync_is_told() {
    let mut subject = filled();
    subject.put(1, 300);
    subject.values.fail_next_sync();
    subject.values.sync().unwrap_err();
}
