//! A store that is made of rows which are there already: those of a backup.
//!
//! It is made in [`UNFINISHED`] below the data directory, and moves into its place by one rename, so a crash leaves no
//! store or a whole one. Until then no server starts there: it would begin an empty store, and nobody would notice.
//!
//! - *What bounds it:* rows come in pieces, and the map is sealed after [`SEALED_AT`] bytes of them, so what it keeps of
//!   replaced values is no more than between two checkpoints.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::create::{create, create_data_dir, take_lock};
use super::{OpenOptions, exists, open_error};
use crate::disk::checkpoint;
use crate::disk::commit::watermark::{self, Watermark};
use crate::disk::error::OpenError;
use crate::disk::map::{self, Map};
use crate::disk::sync::{make_private_dir, sync};
use crate::store::rows::Rows;
use crate::store::{StoreError, Write};

/// The folder, below the data directory, in which the store is made.
pub(crate) const UNFINISHED: &str = "restore.new";

/// Bytes written between two seals: those of a lap by default.
const SEALED_AT: usize = 64 << 20;

/// Files that a data directory may have before there is a store in it. An operator brings the keys along, and a file
/// system of its own has the last one.
const MAY_BE_THERE: [&str; 5] = ["LOCK", "master.key", "root.key", UNFINISHED, "lost+found"];

/// A data directory without a store, held for one.
pub(crate) struct Place {
    data_dir: PathBuf,
    _lock: fs::File,
}

/// A store that is being filled.
pub(crate) struct Filling {
    home: PathBuf,
    map: Map,
    commit: u64,
    unsealed_bytes: usize,
}

/// Refuses a data directory in which a restore did not end; clears away what is left of one that did.
pub(super) fn refuse_unfinished(data_dir: &Path, home: &Path) -> Result<(), OpenError> {
    let unfinished = data_dir.join(UNFINISHED);
    if !exists(&unfinished)? {
        return Ok(());
    }
    if exists(home)? {
        return remove(&unfinished);
    }
    Err(OpenError::Unfinished { path: unfinished })
}

fn remove(folder: &Path) -> Result<(), OpenError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(OpenError::io("remove", folder, error)),
        _ => Ok(()),
    }
}

// === impl Place ===

impl Place {
    /// Takes a data directory, which may be missing, with nothing but keys in it, and clears away what an earlier run
    /// left unfinished.
    ///
    /// # Errors
    /// [`OpenError::NotEmpty`] for one with anything else; in use; any error of the file system.
    pub(crate) fn take(data_dir: &Path) -> Result<Place, OpenError> {
        let data_dir = std::path::absolute(data_dir).map_err(|error| OpenError::io("resolve", data_dir, error))?;
        create_data_dir(&data_dir)?;
        let lock = take_lock(&data_dir)?;
        let listed = |error| OpenError::io("list", &data_dir, error);
        for entry in fs::read_dir(&data_dir).map_err(listed)? {
            let name = entry.map_err(listed)?.file_name();
            if !MAY_BE_THERE.iter().any(|known| name == *known) {
                return Err(OpenError::NotEmpty { path: data_dir.clone(), name: name.to_string_lossy().into_owned() });
            }
        }
        let place = Place { data_dir, _lock: lock };
        place.clear()?;
        make_private_dir(&place.unfinished())?;
        sync(&place.data_dir)?;
        Ok(place)
    }

    /// The folder to make the store in.
    pub(crate) fn unfinished(&self) -> PathBuf {
        self.data_dir.join(UNFINISHED)
    }

    /// Puts the store that was made in its place. Everything else that was made beside it goes before.
    pub(crate) fn publish(self) -> Result<(), OpenError> {
        let unfinished = self.unfinished();
        let (from, to) = (unfinished.join("store"), self.data_dir.join("store"));
        sync(&unfinished)?;
        fs::rename(&from, &to).map_err(|error| OpenError::io("create", &to, error))?;
        sync(&self.data_dir)?;
        self.clear()
    }

    /// Removes what is unfinished.
    pub(crate) fn clear(&self) -> Result<(), OpenError> {
        remove(&self.unfinished())?;
        sync(&self.data_dir)
    }
}

// === impl Filling ===

impl Filling {
    /// Begins a store in `data_dir`, which has none, whose last commit is to be `commit`.
    pub(crate) fn begin(options: OpenOptions, data_dir: &Path, commit: u64) -> Result<Filling, OpenError> {
        let home = data_dir.join("store");
        create(options.cache_bytes, data_dir, &home)?;
        let (map, _) = Map::open(&home, options.cache_bytes, options.separated)?;
        Ok(Filling { home, map, commit, unsealed_bytes: 0 })
    }

    /// Writes rows.
    pub(crate) fn put(&mut self, rows: &Rows) -> Result<(), StoreError> {
        checkpoint::write_all(&self.map, rows.iter().map(|(key, write)| (key, write)), || Ok(true))?;
        self.unsealed_bytes += rows.iter().map(|(key, write)| key.len() + write.value_bytes()).sum::<usize>();
        if self.unsealed_bytes >= SEALED_AT {
            self.map.seal(self.commit)?;
            self.unsealed_bytes = 0;
        }
        Ok(())
    }

    /// Writes the rows of a commit over those that are there. Most are there already, as they were read later: those
    /// are not written again.
    pub(crate) fn put_over(&mut self, mut rows: Rows) -> Result<(), StoreError> {
        let mut failed = Ok(());
        rows.retain(|(key, write)| {
            let same = self.map.get(key).map(|there| match write {
                Write::Put(value) => there.as_ref() == Some(value),
                Write::Delete => there.is_none(),
            });
            same.map(|same| !same).unwrap_or_else(|error| {
                failed = Err(error);
                false
            })
        });
        failed?;
        self.put(&rows)
    }

    /// Makes all of it durable.
    pub(crate) fn finish(self) -> Result<(), OpenError> {
        let data_file = map::data_file(&self.home);
        self.map.seal(self.commit).map_err(|error| open_error(&data_file, error))?;
        drop(self.map);
        sync(&self.home.join(map::FOLDER))?;
        let mark = |error| OpenError::io("write", &self.home.join(watermark::FILE_NAME), error);
        let (watermark, _) = Watermark::open(&self.home).map_err(mark)?;
        watermark.write(self.commit).and_then(|()| watermark.sync()).map_err(mark)?;
        sync(&self.home)
    }
}
