//! Entries of the model: when they are there for certain, and when not. Its bytes are tested in `file`.

use super::*;
use tempfile::TempDir;

/// A disk, and the paths in it.
fn disk() -> (TempDir, Disk) {
    let root = tempfile::tempdir().unwrap();
    let disk = Disk::new(root.path());
    (root, disk)
}

fn play(root: &TempDir, disk: &mut Disk, changes: impl IntoIterator<Item = Change>) {
    let root = root.path().canonicalize().unwrap();
    let below = |path: String| root.join(path).to_str().unwrap().trim_end_matches('/').to_owned();
    for change in changes {
        let change = match change {
            Change::Open { handle, path, flags, mode } => Change::Open { handle, path: below(path), flags, mode },
            Change::Mkdir { path, mode } => Change::Mkdir { path: below(path), mode },
            Change::Rename { from, to } => Change::Rename { from: below(from), to: below(to) },
            Change::Unlink { path } => Change::Unlink { path: below(path) },
            other => other,
        };
        disk.apply(&Step { change, end: 0 });
    }
}

fn create(handle: u64, path: &str) -> Change {
    Change::Open { handle, path: path.to_owned(), flags: O_CREAT, mode: 0o600 }
}

fn sync(handle: u64, id: u64) -> [Change; 2] {
    [Change::SyncBegin { handle, id }, Change::SyncEnd { id }]
}

fn rename(from: &str, to: &str) -> Change {
    Change::Rename { from: from.to_owned(), to: to.to_owned() }
}

/// Names on the disk after a cut.
fn left(disk: &Disk, survives: Survives, draw: u64) -> Vec<String> {
    let target = tempfile::tempdir().unwrap();
    disk.write_cut(survives, &mut |bound| draw % bound, target.path());
    let names = fs::read_dir(target.path()).unwrap();
    let mut names: Vec<String> = names.map(|name| name.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn an_entry_is_there_for_certain_once_its_folder_was_synced() {
    let (root, mut disk) = disk();
    play(&root, &mut disk, [create(1, "a"), create(9, "")]);
    play(&root, &mut disk, sync(1, 1));
    assert!(left(&disk, Survives::Nothing, 0).is_empty(), "only the file was synced");
    assert_eq!(left(&disk, Survives::Pages, 0), ["a"], "it may be there all the same");
    assert!(left(&disk, Survives::Pages, 1).is_empty());
    play(&root, &mut disk, sync(9, 2));
    assert_eq!(left(&disk, Survives::Nothing, 0), ["a"]);
}

#[test]
fn what_came_after_the_call_of_a_sync_is_not_covered_by_it() {
    let (root, mut disk) = disk();
    play(&root, &mut disk, [create(9, ""), Change::SyncBegin { handle: 9, id: 1 }, create(1, "a")]);
    play(&root, &mut disk, [Change::SyncEnd { id: 1 }]);
    assert!(left(&disk, Survives::Nothing, 0).is_empty());
}

#[test]
fn a_rename_is_there_or_not_and_never_half() {
    let (root, mut disk) = disk();
    play(&root, &mut disk, [create(1, "new"), create(9, "")]);
    play(&root, &mut disk, sync(9, 1));
    play(&root, &mut disk, [rename("new", "old")]);
    assert_eq!(left(&disk, Survives::Nothing, 0), ["new"]);
    assert_eq!(left(&disk, Survives::Sectors, 0), ["old"]);
    play(&root, &mut disk, [Change::Unlink { path: "old".to_owned() }]);
    play(&root, &mut disk, sync(9, 2));
    assert!(left(&disk, Survives::Nothing, 0).is_empty());
}

#[test]
fn what_lies_in_a_folder_without_a_name_is_gone() {
    let (root, mut disk) = disk();
    let mkdir = Change::Mkdir { path: "folder".to_owned(), mode: 0o700 };
    play(&root, &mut disk, [mkdir, create(1, "folder/a"), create(2, "folder"), create(9, "")]);
    play(&root, &mut disk, sync(2, 1));
    assert!(left(&disk, Survives::Nothing, 0).is_empty());
    play(&root, &mut disk, sync(9, 2));
    assert_eq!(left(&disk, Survives::Nothing, 0), ["folder"]);
}
