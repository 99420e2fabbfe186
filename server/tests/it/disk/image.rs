//! The model of a disk after a power cut: a record is played into it, and it gives a content that the disk may hold.
//!
//! - A file's bytes and length are durable as of the call of the last fsync or fdatasync that returned. Bytes that were
//!   written while it ran are not covered. `sync_file_range` counts for nothing.
//! - An entry of a folder (created, renamed, removed) is durable after an fsync of the folder; a rename is atomic.
//! - Of the rest, anything may be there: see [`Survives`]. Pages of one file are written back in any order, each as it
//!   stood at some moment. The length is written back by itself; bytes within it that were not written read as zeros.
//!
//! Deliberately crueller than any one file system: journals order more than this.

mod file;
#[cfg(test)]
mod tests;

use self::file::{FileState, What};
use super::record::{Change, Step};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, DirBuilder, File};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

const O_CREAT: u64 = 0o100;
const O_TRUNC: u64 = 0o1000;

/// The part of unsynced changes that survives a cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Survives {
    Nothing,
    /// Everything before a random one of them.
    Prefix,
    /// Any pages of 4 KiB, any entries.
    Pages,
    /// Any sectors of 512 B: pages may be torn.
    Sectors,
}

impl Survives {
    pub(crate) const ALL: [Survives; 4] = [Survives::Nothing, Survives::Prefix, Survives::Pages, Survives::Sectors];
}

type Inode = usize;

/// The folder itself.
const ROOT: Inode = 0;

/// Entries by name, each with the number of the change that made it so; `None`: removed.
type Entries = BTreeMap<String, (u64, Option<Inode>)>;

static NO_ENTRIES: Entries = Entries::new();

#[derive(Debug, Default)]
struct FolderState {
    mode: u32,
    durable: Entries,
    now: Entries,
}

#[derive(Debug)]
enum Node {
    File(FileState),
    Folder(FolderState),
}

/// A change of entries, of one folder or (a rename) two.
#[derive(Debug)]
struct NameChange {
    number: u64,
    /// Durable when this one is synced.
    folder: Inode,
    sets: Vec<(Inode, String, Option<Inode>)>,
}

/// A disk, at one moment of its record.
#[derive(Debug)]
pub(crate) struct Disk {
    root: PathBuf,
    nodes: Vec<Node>,
    names: Vec<NameChange>,
    handles: HashMap<u64, Inode>,
    syncs: HashMap<u64, (Inode, u64)>,
    /// Changes so far.
    number: u64,
}

// === impl Disk ===

impl Disk {
    /// An empty disk; the record's paths are below `root`.
    pub(crate) fn new(root: &Path) -> Disk {
        let root = root.canonicalize().expect("the root exists");
        let nodes = vec![Node::Folder(FolderState { mode: 0o700, ..FolderState::default() })];
        Disk { root, nodes, names: Vec::new(), handles: HashMap::new(), syncs: HashMap::new(), number: 0 }
    }

    /// The folder `root` as it is, all of it durable.
    pub(crate) fn of_folder(root: &Path) -> Disk {
        let mut disk = Disk::new(root);
        disk.take_over(ROOT, root);
        for change in std::mem::take(&mut disk.names) {
            disk.make_durable(&change);
        }
        disk
    }

    fn take_over(&mut self, folder: Inode, content: &Path) {
        for entry in fs::read_dir(content).expect("a folder") {
            let entry = entry.expect("an entry");
            let mode = entry.metadata().expect("metadata").permissions().mode() & 0o7777;
            let is_folder = entry.file_type().expect("a type").is_dir();
            let inode = self.add(if is_folder {
                Node::Folder(FolderState { mode, ..FolderState::default() })
            } else {
                Node::File(FileState::with_content(mode, fs::read(entry.path()).expect("a file")))
            });
            let name = entry.file_name().into_string().expect("names of tests are text");
            self.set_names(folder, vec![(folder, name, Some(inode))]);
            if is_folder {
                self.take_over(inode, &entry.path());
            }
        }
    }

    /// Plays one step.
    pub(crate) fn apply(&mut self, step: &Step) {
        self.number += 1;
        match &step.change {
            Change::Start => {
                self.handles.clear();
                self.syncs.clear();
            }
            Change::Open { handle, path, flags, mode } => self.open(*handle, path, *flags, *mode),
            Change::Write { handle, offset, bytes, durable } => {
                let what = What::Write { offset: *offset as usize, bytes: bytes.clone() };
                self.change_file(*handle, what, *durable);
            }
            Change::Resize { handle, size } => {
                self.change_file(*handle, What::Resize { size: *size as usize }, false);
            }
            Change::Zero { handle, offset, count } => {
                let what = What::Zero { offset: *offset as usize, count: *count as usize };
                self.change_file(*handle, what, false);
            }
            Change::Rename { from, to } => {
                let ((from_folder, from), (to_folder, to)) = (self.place(from), self.place(to));
                let inode = self.lookup(from_folder, &from);
                self.set_names(to_folder, vec![(from_folder, from, None), (to_folder, to, inode)]);
            }
            Change::Link { from, to } => {
                let ((from_folder, from), (to_folder, to)) = (self.place(from), self.place(to));
                let inode = self.lookup(from_folder, &from);
                self.set_names(to_folder, vec![(to_folder, to, inode)]);
            }
            Change::Unlink { path } => {
                let (folder, name) = self.place(path);
                self.set_names(folder, vec![(folder, name, None)]);
            }
            Change::Mkdir { path, mode } => {
                let (folder, name) = self.place(path);
                let inode = self.add(Node::Folder(FolderState { mode: mode & 0o7777, ..FolderState::default() }));
                self.set_names(folder, vec![(folder, name, Some(inode))]);
            }
            Change::SyncBegin { handle, id } => {
                let inode = self.handles[handle];
                self.syncs.insert(*id, (inode, self.number));
            }
            Change::SyncEnd { id } => {
                let (inode, begun) = self.syncs.remove(id).expect("a sync that began");
                self.synced(inode, begun);
            }
        }
    }

    fn open(&mut self, handle: u64, path: &str, flags: u64, mode: u32) {
        if Path::new(path) == self.root {
            self.handles.insert(handle, ROOT);
            return;
        }
        let (folder, name) = self.place(path);
        let inode = match self.lookup(folder, &name) {
            Some(inode) => inode,
            None => {
                assert!(flags & O_CREAT != 0, "{path} was opened and is not known: the record misses something");
                let inode = self.add(Node::File(FileState::new(mode & 0o7777)));
                self.set_names(folder, vec![(folder, name, Some(inode))]);
                inode
            }
        };
        self.handles.insert(handle, inode);
        if flags & O_TRUNC != 0 {
            self.change_file(handle, What::Resize { size: 0 }, false);
        }
    }

    fn add(&mut self, node: Node) -> Inode {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// The folder of a path, and the name in it.
    fn place(&self, path: &str) -> (Inode, String) {
        let below = Path::new(path).strip_prefix(&self.root).expect("a path below the root");
        let names: Vec<&str> = below.iter().map(|name| name.to_str().expect("text")).collect();
        let (name, folders) = names.split_last().expect("not the root itself");
        let folder = folders.iter().fold(ROOT, |folder, name| {
            self.lookup(folder, name).unwrap_or_else(|| panic!("{path}: no {name}: the record misses something"))
        });
        (folder, (*name).to_owned())
    }

    fn lookup(&self, folder: Inode, name: &str) -> Option<Inode> {
        let Node::Folder(folder) = &self.nodes[folder] else { panic!("not a folder") };
        folder.now.get(name).and_then(|(_, inode)| *inode)
    }

    fn set_names(&mut self, folder: Inode, sets: Vec<(Inode, String, Option<Inode>)>) {
        let change = NameChange { number: self.number, folder, sets };
        for (folder, name, inode) in &change.sets {
            let Node::Folder(folder) = &mut self.nodes[*folder] else { panic!("not a folder") };
            folder.now.insert(name.clone(), (change.number, *inode));
        }
        self.names.push(change);
    }

    fn change_file(&mut self, handle: u64, what: What, durable: bool) {
        let Node::File(file) = &mut self.nodes[self.handles[&handle]] else { panic!("not a file") };
        file.change(self.number, what, durable);
    }

    fn synced(&mut self, inode: Inode, begun: u64) {
        if let Node::File(file) = &mut self.nodes[inode] {
            file.synced(begun);
            return;
        }
        let (durable, rest) =
            std::mem::take(&mut self.names).into_iter().partition(|name| name.folder == inode && name.number < begun);
        self.names = rest;
        let durable: Vec<NameChange> = durable;
        for change in &durable {
            self.make_durable(change);
        }
    }

    fn make_durable(&mut self, change: &NameChange) {
        for (folder, name, inode) in &change.sets {
            let Node::Folder(folder) = &mut self.nodes[*folder] else { panic!("not a folder") };
            set_entry(&mut folder.durable, name, change.number, *inode);
        }
    }

    /// Writes into the folder `target` the files as the process saw them at this moment.
    pub(crate) fn write_seen(&self, target: &Path) {
        let files: Vec<&[u8]> = self.nodes.iter().map(|node| node.file().map_or(&[][..], FileState::now)).collect();
        let folders: Vec<&Entries> =
            self.nodes.iter().map(|node| node.folder().map_or(&NO_ENTRIES, |it| &it.now)).collect();
        self.write_tree(ROOT, target, &folders, &files);
    }

    /// Writes into the folder `target` one content that the disk may hold if the power went now. `random` gives a
    /// number below its argument, which is not 0.
    pub(crate) fn write_cut(&self, survives: Survives, random: &mut dyn FnMut(u64) -> u64, target: &Path) {
        let until = self.random_change(random);
        let mut folders: Vec<Entries> =
            self.nodes.iter().map(|node| node.folder().map_or(Entries::new(), |it| it.durable.clone())).collect();
        for change in &self.names {
            let there = match survives {
                Survives::Nothing => false,
                Survives::Prefix => change.number <= until,
                Survives::Pages | Survives::Sectors => random(2) == 0,
            };
            for (folder, name, inode) in change.sets.iter().filter(|_| there) {
                set_entry(&mut folders[*folder], name, change.number, *inode);
            }
        }
        let after_cut = |node: &Node| node.file().map_or(Vec::new(), |file| file.after_cut(survives, until, random));
        let files: Vec<Vec<u8>> = self.nodes.iter().map(after_cut).collect();
        let files: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
        self.write_tree(ROOT, target, &folders.iter().collect::<Vec<_>>(), &files);
    }

    /// The number of a random change that is not durable.
    fn random_change(&self, random: &mut dyn FnMut(u64) -> u64) -> u64 {
        let files = self.nodes.iter().filter_map(Node::file).flat_map(FileState::pending);
        let pending: BTreeSet<u64> = files.chain(self.names.iter().map(|change| change.number)).collect();
        if pending.is_empty() {
            return 0;
        }
        pending.iter().nth(random(pending.len() as u64) as usize).copied().unwrap_or(0)
    }

    fn write_tree(&self, folder: Inode, target: &Path, folders: &[&Entries], files: &[&[u8]]) {
        for (name, (_, inode)) in folders[folder] {
            let (path, Some(inode)) = (target.join(name), *inode) else { continue };
            match &self.nodes[inode] {
                Node::File(file) => {
                    let mut out =
                        File::options().write(true).create_new(true).mode(file.mode).open(&path).expect("a new file");
                    out.write_all(files[inode]).expect("room for an image");
                }
                Node::Folder(state) => {
                    DirBuilder::new().mode(state.mode).create(&path).expect("a new folder");
                    self.write_tree(inode, &path, folders, files);
                }
            }
        }
    }
}

impl Node {
    fn file(&self) -> Option<&FileState> {
        if let Node::File(file) = self { Some(file) } else { None }
    }

    fn folder(&self) -> Option<&FolderState> {
        if let Node::Folder(folder) = self { Some(folder) } else { None }
    }
}

/// A later change counts, whichever became durable first.
fn set_entry(entries: &mut Entries, name: &str, number: u64, inode: Option<Inode>) {
    match entries.get(name) {
        Some((later, _)) if *later > number => {}
        _ => {
            entries.insert(name.to_owned(), (number, inode));
        }
    }
}
