//! A wall clock that a test sets. The real binary runs with a small library in front of the C library (`clock.c`) that
//! adds an offset to the machine's time.
//!
//! Not the monotonic clock, which no one can set.

use crate::preload;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use tempfile::TempDir;

/// The settings to run a server with such a clock, and the handle to set it.
pub(crate) struct Wall {
    /// Of the control file.
    _folder: TempDir,
    control: File,
    environment: Vec<(String, String)>,
}

// === impl Wall ===

impl Wall {
    /// One that is right.
    pub(crate) fn new() -> Wall {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("offset");
        let control = File::options().write(true).read(true).create_new(true).open(&path).expect("a control file");
        control.write_all_at(&0_i64.to_ne_bytes(), 0).expect("a control file");
        let text = |path: &Path| path.to_str().expect("paths of tests are text").to_owned();
        let environment =
            vec![("LD_PRELOAD".to_owned(), text(library())), ("CLOCK_SHIM_CONTROL".to_owned(), text(&path))];
        Wall { _folder: folder, control, environment }
    }

    /// For the server's process.
    pub(crate) fn environment(&self) -> Vec<(&str, &str)> {
        self.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    /// Lets it be wrong by so much from now on.
    pub(crate) fn set_offset_ms(&self, offset_ms: i64) {
        // The other side maps the file; on Linux a mapping and the file are one memory.
        self.control.write_all_at(&offset_ms.to_ne_bytes(), 0).expect("the control file takes a number");
    }
}

/// The compiled library, made once per run of the tests.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| preload::compile("wall/clock.c"))
}
