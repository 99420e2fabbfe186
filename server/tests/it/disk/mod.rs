//! A disk that records every change to it, and fails when told to. The real binary runs with a small library in front
//! of the C library. It is `shim.c`, compiled here with the C compiler that building Pinion needs anyway.
//!
//! [`Shim`] prepares a run, [`record`] reads its record, [`image`] gives the contents that a disk may hold after a
//! power cut. Black box: nothing here knows a file of the store.

mod image;
mod record;

pub(crate) use self::image::{Disk, Survives};
pub(crate) use self::record::Record;

use crate::preload;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use tempfile::TempDir;

/// Bytes of records at most: the shim ends the server beyond.
const RECORD_MAX_BYTES: u64 = 1 << 30;

/// A slot of the control file; the same numbers are in `shim.c`.
#[derive(Clone, Copy, Debug)]
enum Slot {
    Capacity,
    Die,
    FailKinds,
    FailAt,
    Calls,
    FailStays,
    Failed,
    Used,
    SlowMs,
}

const SLOTS: usize = 16;

/// Kinds of calls that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Open = 1,
    Write = 2,
    Sync = 4,
    Rename = 8,
    Unlink = 16,
    Mkdir = 32,
    Resize = 64,
    Read = 128,
}

/// The settings to run a server on such a disk, and the handle to tell the disk to fail.
pub(crate) struct Shim {
    /// The record and the control file.
    folder: TempDir,
    control: File,
    environment: Vec<(String, String)>,
}

// === impl Shim ===

impl Shim {
    /// For a data directory below `root`. `records` tells if changes are written down.
    pub(crate) fn new(root: &Path, records: bool) -> Shim {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let control_path = folder.path().join("control");
        let control =
            File::options().read(true).write(true).create_new(true).open(&control_path).expect("a control file");
        control.write_all_at(&[0; SLOTS * 8], 0).expect("a control file");
        let text = |path: &Path| path.to_str().expect("paths of tests are text").to_owned();
        let mut environment = vec![
            ("LD_PRELOAD".to_owned(), text(library())),
            ("DISK_SHIM_ROOT".to_owned(), text(root)),
            ("DISK_SHIM_CONTROL".to_owned(), text(&control_path)),
        ];
        if records {
            environment.push(("DISK_SHIM_RECORD".to_owned(), text(&folder.path().join("record"))));
            environment.push(("DISK_SHIM_MAX".to_owned(), RECORD_MAX_BYTES.to_string()));
        }
        Shim { folder, control, environment }
    }

    /// For the server's process.
    pub(crate) fn environment(&self) -> Vec<(&str, &str)> {
        self.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    pub(crate) fn record_path(&self) -> PathBuf {
        self.folder.path().join("record")
    }

    /// The process dies at its next change, as by SIGKILL, right after the change was written down.
    pub(crate) fn die_at_next_change(&self) {
        self.set(Slot::Die, 1);
    }

    /// Lets the next process live.
    pub(crate) fn live(&self) {
        self.set(Slot::Die, 0);
    }

    /// The disk holds this many bytes; 0: no limit.
    pub(crate) fn set_capacity(&self, bytes: u64) {
        self.set(Slot::Capacity, bytes);
    }

    /// Bytes on the disk, as the shim counts them.
    pub(crate) fn used(&self) -> u64 {
        self.get(Slot::Used)
    }

    /// Counts calls of a kind from now on, and lets the `at`-th fail (0: none), or all from there if it `stays` so.
    pub(crate) fn fail(&self, kind: Call, at: u64, stays: bool) {
        self.set(Slot::FailKinds, 0);
        self.set(Slot::Calls, 0);
        self.set(Slot::Failed, 0);
        self.set(Slot::FailStays, u64::from(stays));
        self.set(Slot::FailAt, at);
        self.set(Slot::FailKinds, kind as u64);
    }

    /// No more failures.
    pub(crate) fn heal(&self) {
        self.set(Slot::FailKinds, 0);
    }

    /// Every sync takes so much longer; 0: the disk is as fast as it is.
    pub(crate) fn set_slow_ms(&self, slow_ms: u64) {
        self.set(Slot::SlowMs, slow_ms);
    }

    /// Calls counted since [`Shim::fail`].
    pub(crate) fn calls(&self) -> u64 {
        self.get(Slot::Calls)
    }

    /// Calls that failed since then.
    pub(crate) fn failed(&self) -> u64 {
        self.get(Slot::Failed)
    }

    // The other side maps the file; on Linux a mapping and the file are one memory.
    fn set(&self, slot: Slot, value: u64) {
        self.control.write_all_at(&value.to_ne_bytes(), slot as u64 * 8).expect("the control file takes a number");
    }

    fn get(&self, slot: Slot) -> u64 {
        let mut bytes = [0; 8];
        self.control.read_exact_at(&mut bytes, slot as u64 * 8).expect("the control file has the number");
        u64::from_ne_bytes(bytes)
    }
}

/// The compiled library, made once per run of the tests.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| preload::compile("disk/shim.c"))
}
