//! The checkpoint: the thread that puts the rows of a finished lap into the ordered map below, so that the lap's log
//! file can be used again.
//!
//! - *Who owns the state:* this thread, from the hand-over of a frozen table until the map has it durably.
//! - *What bounds it:* one table at a time.
//! - *When it is behind:* the writer, come to the end of the next lap, waits in [`Checkpoints::hand_over`]; commits
//!   then take as long as the map does. That is the bound on the log.
//! - *When the process dies here:* the log still has every row, and opening writes them again.
//! - *When the disk fails, or this thread panics:* the store is poisoned; each waiting thread is told.
//! - *When the store closes:* a checkpoint under way is given up between two pieces.

mod hand_over;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use bytes::Bytes;

use self::hand_over::Work;
use super::commit::log;
use super::commit::table::Frozen;
use super::map::Map;
use super::shared::Shared;
use crate::store::{StoreError, Write};

pub(crate) use self::hand_over::Checkpoints;

/// The amount written between two looks at whether to go on, in bytes of keys and values. Each piece is handed over,
/// its values down to the disk, before the next. Otherwise the disk would get a lap in one go, and a commit behind it
/// would wait. With pieces of 256 KiB the 99th percentile of an acknowledgement at 20,000 events/s was 4 to 9 ms, with
/// all at the end 10 to 25.
const PIECE_BYTES: usize = if cfg!(test) { 8 * 1024 } else { 256 * 1024 };

/// Steps of the sweep after each checkpoint even if the next lap is waiting. A step goes through 1 MiB, a lap has 16.
const SWEEP_STEPS: usize = 24;

/// The running thread; dropping it ends the thread and waits for that.
pub(crate) struct Checkpointer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

// === impl Checkpointer ===

impl Checkpointer {
    /// Starts the thread.
    pub(crate) fn spawn(shared: Arc<Shared>) -> std::io::Result<Self> {
        let running = shared.clone();
        let thread = std::thread::Builder::new().name("pinion-checkpoint".to_owned()).spawn(move || {
            let _ending = Ending(&running);
            while let Some(work) = running.checkpoints.next() {
                let done = running.checkpoint_busy.during(|| match work {
                    Work::Checkpoint(frozen) => checkpoint(&running, frozen).and_then(|()| sweep(&running)),
                    Work::Wipe(file) => wipe(&running, file).map(|()| running.checkpoints.done()),
                });
                if let Err(error) = done {
                    tracing::error!(%error, "a checkpoint failed; nothing more will be acknowledged");
                    running.poison.latch(error);
                    return;
                }
            }
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        let has_ended = self.shared.checkpoints.stop(|| self.shared.map.dead().is_none());
        // Otherwise it waits for a dead thread of the map's, for ever, and is left alone: the process is about to end.
        if let Some(thread) = self.thread.take().filter(|_| has_ended) {
            // A panic of it was told already.
            drop(thread.join());
        }
    }
}

/// Tells that the thread ended, however it does.
struct Ending<'a>(&'a Shared);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let source = std::io::Error::other("the thread panicked");
            self.0.poison.latch(StoreError::Io { operation: "checkpoint", source });
        }
        self.0.checkpoints.ended();
    }
}

fn checkpoint(shared: &Shared, frozen: Frozen) -> Result<(), StoreError> {
    let started = Instant::now();
    let go_on = || {
        shared.check()?;
        Ok(shared.checkpoints.goes_on())
    };
    // Held throughout: no thread writes to a frozen table, and readers share it.
    {
        let table = frozen.table.rows();
        let rows = table.iter().map(|(key, write)| (key.bytes(), write));
        if !write_all(&shared.map, rows, go_on)? || !go_on()? {
            return Ok(());
        }
    }
    let freed = shared.checkpoints.freed();
    if freed.is_some() {
        shared.map.finish_sweeps()?;
    }
    shared.map.seal(frozen.last_commit)?;
    shared.layers.thaw();
    // Before the writer is told: it uses the memory of the lap's records again if no reader holds it.
    drop(frozen);
    if let Some(file) = freed {
        wipe(shared, file)?;
    }
    shared.checkpoints.done();
    metrics::histogram!(model::metric::CHECKPOINT_SECONDS).record(started.elapsed().as_secs_f64());
    Ok(())
}

/// Wipes a log file whose rows are all in the map.
fn wipe(shared: &Shared, file: usize) -> Result<(), StoreError> {
    let wiped = log::wipe(&shared.log_files[file], || shared.checkpoints.goes_on());
    wiped.map_err(|source| StoreError::Io { operation: "wipe of the log", source })?;
    shared.checkpoints.wiped(file);
    Ok(())
}

/// Sweeps value files: at least as many bytes as a lap may have brought, and more while there is nothing else to do.
fn sweep(shared: &Shared) -> Result<(), StoreError> {
    for step in 0.. {
        if !shared.checkpoints.may_sweep(step < SWEEP_STEPS) || !shared.map.sweep()? {
            break;
        }
    }
    Ok(())
}

/// Writes `rows` to the map, a piece at a time, as long as `go_on` says so. True if all are written; none of them
/// is durable yet.
pub(crate) fn write_all<'a>(
    map: &Map,
    rows: impl Iterator<Item = (&'a Bytes, &'a Write)>,
    mut go_on: impl FnMut() -> Result<bool, StoreError>,
) -> Result<bool, StoreError> {
    let mut rows = rows.peekable();
    while rows.peek().is_some() {
        if !go_on()? {
            return Ok(false);
        }
        let mut bytes = 0;
        let piece: Vec<_> = std::iter::from_fn(|| {
            let row = rows.next_if(|_| bytes < PIECE_BYTES)?;
            bytes += row.0.len() + row.1.value_bytes();
            Some(row)
        })
        .collect();
        map.write(&piece)?;
        map.flush()?;
    }
    Ok(true)
}
