//! sled as it is opened here, and its failures in our words.

use std::path::Path;
use std::time::Duration;

use super::barrier::Barrier;
use super::contain::{Contained, Panicked, contain, watched};
use crate::disk::error::OpenError;

/// The period of sled's background thread, which flushes and cleans segments; it may spend half of it on cleaning.
const BACKGROUND_EVERY_MS: u64 = 500;

/// sled's unit of allocation; a page over a quarter of it overflows into `blobs/`. A leaf splits when it is next visited
/// with more than 16 rows, so it reaches 17, and merging adds up to 3 at a time: 20 rows of the largest size are 184
/// KB, too many for sled's own 512 KiB. Four times that leaves room for the largest leaf, and more than twice over.
/// Stored in `conf`: another number does not open a store made with this one.
pub(crate) const SEGMENT_BYTES: usize = 2 * 1024 * 1024;

/// A store dropped in this process lets go of its files a moment later: sled's threads hold them a little longer.
const LINGER_TRIES: u32 = 200;
const LINGER_PAUSE: Duration = Duration::from_millis(10);

/// sled, open.
pub(crate) struct Opened {
    pub(crate) db: Contained<::sled::Db>,
    /// With what: that is where sled tells of errors in its own threads.
    pub(crate) config: ::sled::Config,
    /// Older than the first write.
    pub(crate) barrier: Barrier,
}

// === impl Opened ===

impl Opened {
    /// Opens sled in `sled_dir`, or creates it there.
    pub(crate) fn open(sled_dir: &Path, cache_bytes: u64) -> Result<Self, OpenError> {
        let data_file = sled_dir.join("db");
        // Before sled writes anything: an error that one of its threads is told, and swallows, is told to every
        // descriptor of the file that is open by then, and to none that is opened later.
        let barrier = Barrier::open(&data_file).map_err(|error| OpenError::io("open", &data_file, error))?;
        let mut tries = 0;
        loop {
            // A fresh Config each time: sled seals the one it has opened.
            let config = ::sled::Config::new()
                .path(sled_dir)
                .cache_capacity(cache_bytes)
                .segment_size(SEGMENT_BYTES)
                .flush_every_ms(Some(BACKGROUND_EVERY_MS));
            let opening = config.clone();
            match outcome(sled_dir, watched(&config, move || opening.open())) {
                // We hold LOCK, so any other holder of the file is a store of this process on its way out.
                Err(OpenError::Io { source, .. })
                    if tries < LINGER_TRIES && source.to_string().contains("could not acquire lock") =>
                {
                    tries += 1;
                    std::thread::sleep(LINGER_PAUSE);
                }
                result => return result.map(|db| Opened { db: Contained::new(db), config, barrier }),
            }
        }
    }
}

/// Runs `call` in sled and gives its failure, or its panic, a path.
pub(crate) fn inside_sled<T>(sled_dir: &Path, call: impl FnOnce() -> Result<T, ::sled::Error>) -> Result<T, OpenError> {
    outcome(sled_dir, contain(call))
}

/// Gives a failure of sled, or its panic, a path.
pub(crate) fn outcome<T>(sled_dir: &Path, result: Result<Result<T, ::sled::Error>, Panicked>) -> Result<T, OpenError> {
    let corrupt = |reason| OpenError::Corrupt { path: sled_dir.to_owned(), reason };
    match result {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(::sled::Error::Io(source))) => Err(OpenError::io("open", sled_dir, source)),
        Ok(Err(other)) => Err(corrupt(describe(&other))),
        Err(panicked) => Err(corrupt(panicked.reason())),
    }
}

/// The error of sled as text, without the bytes it may quote.
pub(crate) fn describe(error: &::sled::Error) -> String {
    match error {
        ::sled::Error::Corruption { at: Some(at), .. } => {
            format!("the embedded store found damage at {at:?}")
        }
        ::sled::Error::Corruption { at: None, .. } => "the embedded store found damage".to_owned(),
        ::sled::Error::Io(source) => source.to_string(),
        ::sled::Error::Unsupported(what) => format!("the embedded store cannot read it: {what}"),
        ::sled::Error::ReportableBug(_) => "the embedded store found a state it does not know".to_owned(),
        ::sled::Error::CollectionNotFound(_) => "the embedded store misses a tree".to_owned(),
    }
}
