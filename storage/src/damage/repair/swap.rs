//! Two folders change places, so that whatever moment the process dies at, the next run knows how to go on.
//!
//! | found | then |
//! |---|---|
//! | no `repair.new/DONE` | the content of `repair.new/` is unfinished: it goes |
//! | DONE, and both stores | the exchange had not begun: it starts over, for the old store may have changed since |
//! | DONE, no `store/` | the old one was moved away: the new one moves in |
//! | DONE, no `repair.new/store/` | only the tidying up is left |
//!
//! Ignorant of their content.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

/// The folder that a complete repair leaves until the exchange is done. A server does not start while only this is
/// there.
pub(crate) const BUILDING: &str = "repair.new";

const DONE: &str = "DONE";
const REPORT: &str = "REPORT";
const STORE: &str = "store";

/// Moves within one data directory.
pub(super) struct Swap {
    data_dir: PathBuf,
    building: PathBuf,
}

/// True if an exchange was under way when a process died, and the new store has not moved in yet.
pub(crate) fn is_under_way(data_dir: &Path) -> bool {
    data_dir.join(BUILDING).join(DONE).exists() && !data_dir.join(STORE).exists()
}

// === impl Swap ===

impl Swap {
    pub(super) fn new(data_dir: &Path) -> Self {
        Self { data_dir: data_dir.to_owned(), building: data_dir.join(BUILDING) }
    }

    /// The data directory that the new store is built in.
    pub(super) fn building(&self) -> &Path {
        &self.building
    }

    /// Ends an exchange that an earlier run left under way, and answers its report. Otherwise removes the remains of
    /// it.
    pub(super) fn resume(&self) -> io::Result<Option<String>> {
        let done = match fs::read_to_string(self.building.join(DONE)) {
            Ok(done) => done,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return self.clear().map(|()| None),
            Err(error) => return Err(error),
        };
        let (old, new) = (self.data_dir.join(STORE).exists(), self.building.join(STORE).exists());
        let named = done.split_once('\n').filter(|(kept_in, _)| is_ours(kept_in));
        match (named, old && new) {
            (Some((kept_in, report)), false) => self.move_in(kept_in, report).map(Some),
            _ if old => self.clear().map(|()| None),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "repair.new/DONE cannot be read: restore a backup")),
        }
    }

    /// Puts the new store in the old one's place, which goes to the folder `kept_in`. Answers the report.
    pub(super) fn exchange(&self, kept_in: &str, report: &str) -> io::Result<String> {
        let beside = self.building.join("DONE.new");
        let mut file = File::create(&beside)?;
        write!(file, "{kept_in}\n{report}")?;
        file.sync_all()?;
        sync(&self.building.join(STORE))?;
        fs::rename(beside, self.building.join(DONE))?;
        sync(&self.building)?;
        sync(&self.data_dir)?;
        let kept = self.data_dir.join(kept_in);
        DirBuilder::new().mode(0o700).create(&kept)?;
        sync(&self.data_dir)?;
        fs::rename(self.data_dir.join(STORE), kept.join(STORE))?;
        sync(&kept)?;
        sync(&self.data_dir)?;
        self.move_in(kept_in, report)
    }

    fn move_in(&self, kept_in: &str, report: &str) -> io::Result<String> {
        let (from, to) = (self.building.join(STORE), self.data_dir.join(STORE));
        if from.exists() {
            fs::rename(from, to)?;
            sync(&self.building)?;
            sync(&self.data_dir)?;
        }
        let kept = self.data_dir.join(kept_in);
        fs::write(kept.join(REPORT), report)?;
        sync(&kept.join(REPORT))?;
        sync(&kept)?;
        self.clear()?;
        Ok(report.to_owned())
    }

    fn clear(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.building) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => sync(&self.data_dir),
        }
    }
}

fn is_ours(name: &str) -> bool {
    name.starts_with("damaged-") && !name.contains('/')
}

fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
