//! Backups that were changed, or do not fit.

use super::{SOME, backup, create, done, failed, push, restore, start_server, verify};
use crate::disk::Shim;
use crate::harness::{Random, Receiver, seed};
use std::path::{Path, PathBuf};

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() { files.extend(files_below(&entry)) } else { files.push(entry) }
    }
    files.sort();
    files
}

#[test]
fn a_flipped_bit_and_a_missing_chunk_are_found_and_named() {
    let mut random = Random::new(seed("PINION_BACKUP_SEED"));
    let (server, receiver) = (start_server(&[]), Receiver::start());
    create(&server, &receiver);
    push(&server.client(), 0..SOME);
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("backup");
    done(&mut backup(&server, &folder, &[]));
    let data_dir = place.path().join("data");
    let chunks = files_below(&folder.join("chunks"));
    let named = |damaged: &Path| {
        for command in [&mut verify(&folder), &mut restore(&folder, &data_dir)] {
            let stderr = failed(command);
            assert!(stderr.contains(damaged.to_str().unwrap()), "{}: {stderr}", damaged.display());
        }
        assert!(!data_dir.join("store").exists());
    };
    for file in chunks.iter().chain(&files_below(&folder.join("backups"))) {
        let sound = std::fs::read(file).unwrap();
        let mut bytes = sound.clone();
        let at = random.below(bytes.len() as u64) as usize;
        bytes[at] ^= 1 << random.below(8);
        std::fs::write(file, &bytes).unwrap();
        named(file);
        std::fs::remove_file(file).unwrap();
        if chunks.contains(file) {
            named(file);
        }
        std::fs::write(file, sound).unwrap();
    }
    done(&mut verify(&folder));
    // The next backup mends the folder as far as the server still has the rows.
    std::fs::write(&chunks[0], b"nonsense").unwrap();
    assert!(done(&mut backup(&server, &folder, &["--verify"])).contains("every sum is right"));
}

#[test]
fn a_full_disk_is_a_clear_error_and_the_earlier_backup_stays() {
    let (server, receiver) = (start_server(&[]), Receiver::start());
    create(&server, &receiver);
    push(&server.client(), 0..SOME);
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("backup");
    let shim = Shim::new(place.path(), false);
    let on_shim = |mut command: std::process::Command| {
        command.envs(shim.environment());
        command
    };
    done(&mut on_shim(backup(&server, &folder, &[])));
    push(&server.client(), (0..8).map(|nth| 10_000 * 97 + 7 + 97 * nth));
    shim.set_capacity(shim.used() + (2 << 20));
    let stderr = failed(&mut on_shim(backup(&server, &folder, &[])));
    assert!(stderr.contains("could not write") && stderr.contains("No space left"), "{stderr}");
    assert!(done(&mut verify(&folder)).starts_with("backup 1 opens"));
    let data_dir = place.path().join("data");
    let stderr = failed(&mut on_shim(restore(&folder, &data_dir)));
    assert!(stderr.contains("No space left"), "{stderr}");
    assert!(!data_dir.join("store").exists() && !data_dir.join("restore.new").exists());
    shim.set_capacity(0);
    assert!(done(&mut on_shim(backup(&server, &folder, &["--verify"]))).contains("backup 2 opens"));
    done(&mut on_shim(restore(&folder, &data_dir)));
}
