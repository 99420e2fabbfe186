//! A backup of a store that is written to meanwhile, restored: the rows are those of the commit that it names.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use model::UnixMs;
use proptest::prelude::*;

use super::check::check;
use super::chunk::{Chunk, Kind, Name};
use super::collect::{CollectError, Collector, Sink};
use super::copy::{Copier, CopyError};
use super::folder::{self, Folder, FolderError, Writing, chunk_path};
use super::frame::{Frame, FrameReader};
use super::manifest::Manifest;
use super::restore::{RestoreError, Restoring};
use crate::disk::OpenOptions;
use crate::disk::tests::OPTIONS;
use crate::read::SharedStore;
use crate::store::conformance::dump;
use crate::store::{Batch, MemoryStore, Store, Write};

const NOW: UnixMs = UnixMs(1_764_374_400_000);
const ROOM: usize = 1 << 20;

type Rows = BTreeMap<Bytes, Bytes>;
type Writes = Vec<(u8, u16, Option<usize>)>;

/// A few kinds, that of blocks and that of payloads among them.
const KINDS: [u8; 4] = [1, 16, 17, 200];

fn key(kind: u8, number: u16) -> Vec<u8> {
    [&[KINDS[usize::from(kind) % KINDS.len()]][..], &number.to_be_bytes()].concat()
}

fn batch(writes: &Writes) -> Batch {
    let mut batch = Batch::new();
    for (kind, number, value_bytes) in writes {
        match value_bytes {
            Some(bytes) => batch.put(key(*kind, *number), vec![*number as u8 | 1; *bytes]),
            None => batch.delete(key(*kind, *number)),
        }
    }
    batch
}

/// Copies `store` into `folder`, with the next of `meanwhile` before each step.
fn back_up(store: &SharedStore, folder: &Path, meanwhile: impl FnMut()) -> (Manifest, folder::Written) {
    try_back_up(store, folder, ROOM, meanwhile).unwrap()
}

#[derive(Debug)]
#[expect(dead_code, reason = "they are shown when a test fails")]
enum Failed {
    Copy(CopyError),
    Collect(CollectError<FolderError>),
    Folder(FolderError),
}

fn try_back_up(
    store: &SharedStore,
    folder: &Path,
    room: usize,
    mut meanwhile: impl FnMut(),
) -> Result<(Manifest, folder::Written), Failed> {
    let mut writing = Writing::open(folder).map_err(Failed::Folder)?;
    let mut copier = Copier::begin(store.clone(), room, "test", NOW).unwrap();
    let (mut reader, mut collector) = (FrameReader::default(), Collector::default());
    while let Some(frame) = copier.step(NOW).map_err(Failed::Copy)? {
        meanwhile();
        reader.push(&frame.encode());
        let frame = reader.next_frame().unwrap().expect("a whole frame was sent");
        if let Some(manifest) = collector.take(frame, &mut writing).map_err(Failed::Collect)? {
            let written = writing.publish(&manifest).map_err(Failed::Folder)?;
            return Ok((manifest, written));
        }
    }
    panic!("the copy ended without an end")
}

fn restored(folder: &Path, data_dir: &Path) -> Result<Manifest, RestoreError> {
    let folder = Folder::open(folder)?;
    let (_, manifest) = folder.manifest(None)?;
    let restoring = Restoring::begin(OPTIONS, data_dir)?;
    drop(restoring.fill(&folder, &manifest)?);
    restoring.publish()?;
    Ok(manifest)
}

/// Rows as a store shows them.
fn rows_of(store: &dyn Store) -> Rows {
    dump(store).into_iter().collect()
}

fn writes() -> impl Strategy<Value = Vec<Writes>> {
    let bytes = prop_oneof![8 => 0usize..200, 3 => 2_000usize..9_000, 1 => 60_000usize..70_000];
    let write = (0u8..4, 0u16..60, proptest::option::weighted(0.7, bytes));
    proptest::collection::vec(proptest::collection::vec(write, 1..12), 1..40)
}

/// A store with the rows of `before`, that gets those of `meanwhile` one by one, and its rows at each commit.
struct Written {
    store: SharedStore,
    model: MemoryStore,
    states: BTreeMap<u64, Rows>,
    left: VecDeque<Writes>,
}

impl Written {
    fn new(store: SharedStore, before: &[Writes], meanwhile: &[Writes]) -> Self {
        let states = BTreeMap::from([(store.follow(Weak::new()).unwrap(), Rows::new())]);
        let mut written = Self { store, model: MemoryStore::new(), states, left: before.iter().cloned().collect() };
        (0..before.len()).for_each(|_| written.step());
        written.left = meanwhile.iter().cloned().collect();
        written
    }

    fn step(&mut self) {
        if let Some(writes) = self.left.pop_front() {
            self.store.apply(batch(&writes)).unwrap();
            self.model.apply(batch(&writes)).unwrap();
            self.states.insert(self.states.keys().last().unwrap() + 1, rows_of(&self.model));
        }
    }
}

/// Chunks in memory.
#[derive(Default)]
struct Kept(BTreeMap<Name, Bytes>);

impl Sink for Kept {
    type Error = std::convert::Infallible;

    fn take(&mut self, chunk: &Chunk) -> Result<(), Self::Error> {
        self.0.insert(chunk.entry.name, chunk.bytes.clone());
        Ok(())
    }
}

/// The rows that the chunks of a backup come to.
fn laid_over(kept: &Kept, manifest: &Manifest) -> Rows {
    let mut rows = Rows::new();
    let mut put = |key, write| match write {
        Write::Put(value) => drop(rows.insert(key, value)),
        Write::Delete => drop(rows.remove(&key)),
    };
    for entry in &manifest.chunks {
        let file = kept.0[&entry.name].clone();
        match entry.kind {
            Kind::Rows => entry.rows(file).unwrap().into_iter().for_each(|(key, write)| put(key, write)),
            Kind::Commits => {
                let commits = entry.commits(file).unwrap().into_iter();
                commits.flat_map(|(_, rows)| rows).for_each(|(key, write)| put(key, write));
            }
        }
    }
    rows
}

proptest! {
    #[test]
    fn rows_and_the_commits_over_them_are_those_of_the_last_commit(
        before in writes(),
        meanwhile in writes(),
        steps in proptest::collection::vec(0usize..5, 60),
    ) {
        let mut written = Written::new(Arc::new(MemoryStore::new()), &before, &meanwhile);
        let mut copier = Copier::begin(written.store.clone(), ROOM, "test", NOW).unwrap();
        let (mut collector, mut kept, mut steps) = (Collector::default(), Kept::default(), steps.into_iter());
        let manifest = loop {
            (0..steps.next().unwrap_or(0)).for_each(|_| written.step());
            let frame = copier.step(NOW).unwrap().expect("it ends with an end");
            if let Some(manifest) = collector.take(frame, &mut kept).unwrap() {
                break manifest;
            }
        };
        prop_assert_eq!(Some(&laid_over(&kept, &manifest)), written.states.get(&manifest.commit));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 6 } else { 128 }))]

    #[test]
    fn a_backup_of_a_disk_store_under_writes_comes_back_as_it_was_at_its_commit(before in writes(), meanwhile in writes()) {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(OPTIONS.open(&dir.path().join("source")).unwrap());
        let mut written = Written::new(store, &before, &meanwhile);
        let folder = dir.path().join("backup");
        let (manifest, _) = back_up(&written.store.clone(), &folder, || written.step());
        let data_dir = dir.path().join("data");
        restored(&folder, &data_dir).unwrap();
        let again = OPTIONS.open(&data_dir).unwrap();
        prop_assert_eq!(again.follow(Weak::new()).unwrap(), manifest.commit, "commits go on from there");
        prop_assert_eq!(Some(&rows_of(&again)), written.states.get(&manifest.commit));
        again.apply(batch(&vec![(0, 9_999, Some(1))])).unwrap();
    }
}

/// A store with events whose blocks fill several chunks.
fn filled(rows: u16) -> SharedStore {
    let store = MemoryStore::new();
    for number in 0..rows {
        store.apply(batch(&vec![(1, number, Some(500 + usize::from(number) % 100))])).unwrap();
    }
    Arc::new(store)
}

fn chunks_in(folder: &Path) -> Vec<PathBuf> {
    let folders = fs::read_dir(folder.join("chunks")).unwrap().map(|entry| entry.unwrap().path());
    folders
        .flat_map(|path| fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>())
        .collect()
}

#[test]
fn a_second_backup_writes_what_is_new_and_old_ones_go_with_what_only_they_need() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(400);
    let (first, of_first) = back_up(&store, dir.path(), || {});
    assert!(first.chunks.len() > 10 && of_first.chunks == first.chunks.len() as u64, "{first:?}");
    let (same, of_same) = back_up(&store, dir.path(), || {});
    assert_eq!((of_same.chunks, of_same.number, &same.chunks), (0, 2, &first.chunks));
    store.apply(batch(&vec![(1, 200, Some(77)), (1, 500, Some(900))])).unwrap();
    let (third, of_third) = back_up(&store, dir.path(), || {});
    assert!((1..=6).contains(&of_third.chunks), "{of_third:?} of {}", third.chunks.len());

    let there = chunks_in(dir.path()).len();
    let writing = Writing::open(dir.path()).unwrap();
    assert_eq!(writing.folder().numbers().unwrap(), [1, 2, 3]);
    let (backups, chunks) = writing.keep(1).unwrap();
    assert_eq!((backups, writing.folder().numbers().unwrap()), (2, vec![3]));
    assert!(chunks > 0 && chunks_in(dir.path()).len() == there - chunks && there - chunks == third.chunks.len());
    writing.folder().check_sums(&third).unwrap();
    assert!(matches!(Writing::open(dir.path()), Err(FolderError::InUse(_))));
    drop(writing);
    restored(dir.path(), &dir.path().join("data")).unwrap();
}

#[test]
fn a_flipped_bit_and_a_missing_chunk_are_found_and_named_and_the_next_backup_writes_them_again() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("backup");
    let store = filled(100);
    let (manifest, _) = back_up(&store, &folder, || {});
    let of = |at: usize| folder.join(chunk_path(manifest.chunks[at].name));
    let mut bytes = fs::read(of(1)).unwrap();
    bytes[1_000] ^= 8;
    fs::write(of(1), bytes).unwrap();
    let refused = |damaged: &Path| {
        let data_dir = dir.path().join("data");
        let error = restored(&folder, &data_dir).unwrap_err().to_string();
        assert!(error.contains(damaged.to_str().unwrap()), "{error}");
        assert_eq!(fs::read_dir(&data_dir).unwrap().count(), 1, "only the lock is left");
        let error = Folder::open(&folder).unwrap().check_sums(&manifest).unwrap_err().to_string();
        assert!(error.contains(damaged.to_str().unwrap()), "{error}");
        error
    };
    assert!(refused(&of(1)).contains("does not fit its name"));
    let (_, healed) = back_up(&store, &folder, || {});
    assert_eq!(healed.chunks, 1);
    fs::remove_file(of(2)).unwrap();
    assert!(refused(&of(2)).contains("it is missing"));
    back_up(&store, &folder, || {});
    assert_eq!(restored(&folder, &dir.path().join("data")).unwrap().chunks, manifest.chunks);
}

#[test]
fn a_damaged_manifest_is_named_and_keeps_chunks_from_going() {
    let dir = tempfile::tempdir().unwrap();
    back_up(&filled(20), dir.path(), || {});
    let path = dir.path().join("backups/00000001");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("rows 20", "rows 21")).unwrap();
    let error = Folder::open(dir.path()).unwrap().manifest(None).unwrap_err().to_string();
    assert!(error.contains(path.to_str().unwrap()) && error.contains("sum is wrong"), "{error}");
    let there = chunks_in(dir.path()).len();
    assert!(Writing::open(dir.path()).unwrap().keep(1).is_err());
    assert_eq!(chunks_in(dir.path()).len(), there);
}

#[test]
fn a_reader_that_is_too_slow_ends_the_backup_and_never_the_writer() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(300);
    let failed = try_back_up(&store, dir.path(), 10_000, || {
        (0..30).for_each(|_| store.apply(batch(&vec![(1, 7, Some(900))])).unwrap());
    });
    assert!(matches!(failed, Err(Failed::Copy(CopyError::Behind(_)))), "{failed:?}");
    let folder = Folder::open(dir.path()).unwrap();
    assert!(matches!(folder.manifest(None), Err(FolderError::Empty(_))));
    drop(folder);
    back_up(&store, dir.path(), || {});
}

#[test]
fn a_stream_that_is_cut_or_out_of_order_makes_no_backup() {
    let store = filled(50);
    let mut copier = Copier::begin(store, ROOM, "test", NOW).unwrap();
    let frames: Vec<Frame> = std::iter::from_fn(|| copier.step(NOW).unwrap()).collect();
    let dir = tempfile::tempdir().unwrap();
    for left_out in 0..frames.len() - 1 {
        let mut writing = Writing::open(dir.path()).unwrap();
        let mut collector = Collector::default();
        let some = frames.iter().enumerate().filter(|(at, _)| *at != left_out).map(|(_, frame)| frame.clone());
        let failed = some.map(|frame| collector.take(frame, &mut writing)).find_map(Result::err);
        assert!(matches!(failed, Some(CollectError::Disorder(_))), "{left_out}: {failed:?}");
    }
}

#[test]
fn a_folder_of_something_else_and_a_data_directory_in_use_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("letter.txt"), "dear").unwrap();
    assert!(matches!(Writing::open(dir.path()), Err(FolderError::Foreign(_))));
    assert!(matches!(Folder::open(dir.path()), Err(FolderError::Empty(_))));
    let (folder, data_dir) = (dir.path().join("backup"), dir.path().join("data"));
    back_up(&filled(5), &folder, || {});
    fs::create_dir(&data_dir).unwrap();
    fs::write(data_dir.join("master.key"), "key").unwrap();
    restored(&folder, &data_dir).unwrap();
    let error = restored(&folder, &data_dir).unwrap_err().to_string();
    assert!(error.contains("is not empty: it has `store`"), "{error}");
    let _open = OpenOptions::default().open(&data_dir).unwrap();
    assert!(restored(&folder, &data_dir).unwrap_err().to_string().contains("in use"));
}

#[test]
fn no_server_starts_where_a_restore_did_not_end() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, data_dir) = (dir.path().join("backup"), dir.path().join("data"));
    back_up(&filled(5), &folder, || {});
    // As a kill leaves it.
    std::mem::forget(Restoring::begin(OPTIONS, &data_dir).unwrap());
    let copy = dir.path().join("copy");
    crate::disk::crash_tests::copy_folder(&data_dir, &copy);
    let error = OPTIONS.open(&copy).err().unwrap().to_string();
    assert!(error.contains("a restore was interrupted"), "{error}");
    restored(&folder, &copy).unwrap();
    // Killed behind the rename.
    fs::create_dir_all(copy.join("restore.new/backup")).unwrap();
    assert_eq!(rows_of(&OPTIONS.open(&copy).unwrap()).len(), 5);
    assert!(!copy.join("restore.new").exists());
}

#[test]
fn rows_that_cannot_be_read_or_lack_another_are_faults_without_content() {
    let store = MemoryStore::new();
    assert_eq!(check(&store).unwrap().faulty, 0);
    let target = crate::tables::testing::target(1, 2);
    let mut batch = Batch::new();
    batch.put(crate::rows::cursor::encode(target), "secret");
    batch.put(crate::rows::due::encode(target, NOW, model::Seq(3)), "");
    batch.put(vec![222, 1], "secret");
    store.apply(batch).unwrap();
    let found = check(&store).unwrap();
    assert_eq!((found.rows, found.faulty), (3, 3), "{found:?}");
    for (fault, words) in found.faults.iter().zip(["cursor of application 1", "it is in line", "kind 222"]) {
        assert!(fault.contains(words) && !fault.contains("secret"), "{fault}");
    }
}
