//! The checkpoint: the thread that puts the rows of a finished lap into the ordered map below, so that the lap's log file
//! can be used again.
//!
//! - *Who owns the state:* this thread, from the hand-over of a frozen table until the map has it durably.
//! - *What bounds it:* one table at a time.
//! - *When it is behind:* the writer, come to the end of the next lap, waits in [`Checkpoints::hand_over`]; commits then
//!   take as long as the map does. That is the bound on what the log holds.
//! - *When the process dies here:* the log still has every row, and opening writes them again.
//! - *When the disk fails, or this thread panics:* the store is poisoned; whoever waits is told.
//! - *When the store closes:* a checkpoint under way is given up between two pieces.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::Shared;
use super::base::Base;
use crate::store::StoreError;
use crate::store::redo::log;
use crate::store::redo::table::{Frozen, RowMap};

/// How much is written between two looks at whether to go on, in bytes of keys and values. Each piece is handed over, its
/// values down to the disk, before the next: otherwise the disk would get a lap in one go, and a commit that comes behind
/// it waits. With pieces of 256 KiB the 99th percentile of an acknowledgement at 20,000 events/s was 4 to 9 ms, with all
/// at the end 10 to 25.
const PIECE_BYTES: usize = if cfg!(test) { 8 * 1024 } else { 256 * 1024 };

/// Steps of the sweep after each checkpoint even if the next lap is waiting. A step goes through 1 MiB, a lap has 16.
const SWEEP_STEPS: usize = 24;

/// How often who waits for this thread looks whether it can still hope: sled does not say when a thread of its own died.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What the writer and the thread tell each other.
#[derive(Debug, Default)]
struct State {
    /// Handed over, and not taken up by the thread yet.
    frozen: Option<Frozen>,
    /// The log file of what was handed over last.
    frozen_file: usize,
    /// A log file of no lap that is to be wiped.
    wipe: Option<usize>,
    /// How often each log file was wiped.
    wiped: [u64; 2],
    /// Log files are wiped once a checkpoint has their rows.
    erasing: bool,
    /// Whether what was handed over last is not durable in the map yet.
    busy: bool,
    stopping: bool,
    ended: bool,
    #[cfg(test)]
    test: Test,
}

/// What a test does to the thread.
#[cfg(test)]
#[derive(Debug, Default)]
struct Test {
    /// How many more pieces it may write before it stands still; `None`: as it likes.
    pieces: Option<usize>,
    panics: bool,
    waiting: bool,
}

/// What the thread does next.
enum Work {
    /// Bring these rows to the map.
    Checkpoint(Frozen),
    /// Wipe this log file.
    Wipe(usize),
}

/// Where laps are handed over.
#[derive(Debug, Default)]
pub(super) struct Checkpoints {
    state: Mutex<State>,
    changed: Condvar,
}

/// The running thread; dropping it ends the thread and waits for that.
pub(super) struct Checkpointer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

// === impl Checkpoints ===

impl Checkpoints {
    /// Freezes the active table, which ends with `last_commit`, and hands it over. Waits until the one before is durable
    /// in the map: from then on the other log file is free. `file` is that of the lap that ends.
    pub(super) fn hand_over(&self, shared: &Shared, last_commit: u64, file: usize) -> Result<(), StoreError> {
        let mut state = self.lock();
        let asked_at = Instant::now();
        while state.busy {
            shared.check()?;
            #[cfg(test)]
            {
                state.test.waiting = true;
            }
            state = self.wait(state);
        }
        metrics::histogram!(model::metric::CHECKPOINT_WAIT_SECONDS).record(asked_at.elapsed().as_secs_f64());
        state.frozen = Some(shared.layers.freeze(last_commit));
        state.frozen_file = file;
        state.busy = true;
        self.changed.notify_all();
        Ok(())
    }

    /// From now on each log file that comes free is wiped. Answers how often each was so far.
    pub(super) fn begin_erasing(&self) -> [u64; 2] {
        let mut state = self.lock();
        state.erasing = true;
        state.wiped
    }

    /// Whether both log files were wiped since they had been so often.
    pub(super) fn both_wiped_since(&self, before: [u64; 2]) -> bool {
        let wiped = self.lock().wiped;
        wiped[0] > before[0] && wiped[1] > before[1]
    }

    /// Has this log file, which no lap uses, wiped, unless it was since. Only while nothing is under way.
    pub(super) fn wipe_unused(&self, file: usize, before: [u64; 2]) -> bool {
        let mut state = self.lock();
        let wanted = state.wiped[file] == before[file];
        if wanted {
            // Nobody turns to the file before it is done.
            (state.busy, state.wipe) = (true, Some(file));
            self.changed.notify_all();
        }
        wanted
    }

    /// Files that come free are not wiped any more.
    pub(super) fn end_erasing(&self) {
        self.lock().erasing = false;
    }

    /// Waits a moment for what is under way. Says whether nothing is now.
    pub(super) fn wait_for_rest(&self) -> bool {
        let state = self.lock();
        let state = if state.busy { self.wait(state) } else { state };
        !state.busy
    }

    /// Whether nothing is under way.
    pub(super) fn is_at_rest(&self) -> bool {
        !self.lock().busy
    }

    fn next(&self) -> Option<Work> {
        let mut state = self.lock();
        while state.frozen.is_none() && state.wipe.is_none() && !state.stopping {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.stopping {
            return None;
        }
        state.frozen.take().map(Work::Checkpoint).or_else(|| state.wipe.take().map(Work::Wipe))
    }

    /// The log file that a checkpoint has freed, if it is to be wiped.
    fn freed(&self) -> Option<usize> {
        let state = self.lock();
        state.erasing.then_some(state.frozen_file)
    }

    fn done(&self) {
        self.lock().busy = false;
        self.changed.notify_all();
    }

    /// Whether the thread is to write another piece, or to end a checkpoint.
    fn goes_on(&self) -> bool {
        #[cfg(test)]
        self.stand_still();
        !self.lock().stopping
    }

    /// Whether the thread is to sweep: if it must, or if nothing was handed over.
    fn may_sweep(&self, must: bool) -> bool {
        let state = self.lock();
        !state.stopping && (must || state.frozen.is_none())
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait_timeout(state, LOOK_EVERY).unwrap_or_else(PoisonError::into_inner).0
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
impl Checkpoints {
    /// Lets the thread write so many more pieces; the end of a checkpoint counts as one.
    pub(super) fn allow(&self, pieces: Option<usize>) {
        self.lock().test.pieces = pieces;
        self.changed.notify_all();
    }

    pub(super) fn panic_next(&self) {
        self.lock().test.panics = true;
    }

    /// Waits until what was handed over is durable in the map.
    pub(super) fn settle(&self) {
        let mut state = self.lock();
        while state.busy {
            state = self.wait(state);
        }
    }

    /// Lets the thread end if a commit might wait for it.
    pub(super) fn settle_or_allow(&self) {
        self.allow(None);
        self.settle();
    }

    /// Whether a commit waits in [`Checkpoints::hand_over`].
    pub(super) fn someone_waits(&self) -> bool {
        self.lock().test.waiting
    }

    fn stand_still(&self) {
        let mut state = self.lock();
        assert!(!state.test.panics, "as the test asked for");
        while state.test.pieces == Some(0) && !state.stopping {
            state = self.wait(state);
        }
        state.test.pieces = state.test.pieces.map(|pieces| pieces.saturating_sub(1));
    }
}

// === impl Checkpointer ===

impl Checkpointer {
    /// Starts the thread.
    pub(super) fn spawn(shared: Arc<Shared>) -> std::io::Result<Self> {
        let running = shared.clone();
        let thread = std::thread::Builder::new().name("pinion-checkpoint".to_owned()).spawn(move || {
            let _ending = Ending(&running);
            while let Some(work) = running.checkpoints.next() {
                let done = match work {
                    Work::Checkpoint(frozen) => checkpoint(&running, frozen).and_then(|()| sweep(&running)),
                    Work::Wipe(file) => wipe(&running, file).map(|()| running.checkpoints.done()),
                };
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
        let checkpoints = &self.shared.checkpoints;
        let mut state = checkpoints.lock();
        state.stopping = true;
        checkpoints.changed.notify_all();
        while !state.ended && self.shared.base.dead().is_none() {
            state = checkpoints.wait(state);
        }
        // Otherwise it waits for a dead thread of sled's, for ever, and is left alone: the process is about to end.
        if let Some(thread) = self.thread.take().filter(|_| state.ended) {
            drop(state);
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
        self.0.checkpoints.lock().ended = true;
        self.0.checkpoints.changed.notify_all();
    }
}

fn checkpoint(shared: &Shared, frozen: Frozen) -> Result<(), StoreError> {
    let started = Instant::now();
    let go_on = || {
        shared.check()?;
        Ok(shared.checkpoints.goes_on())
    };
    // Held throughout: nobody writes to a frozen table, and readers share it.
    if !write_all(&shared.base, &frozen.table.rows(), go_on)? || !go_on()? {
        return Ok(());
    }
    let freed = shared.checkpoints.freed();
    if freed.is_some() {
        shared.base.finish_sweeps()?;
    }
    shared.base.seal(frozen.last_commit)?;
    shared.layers.thaw();
    // Before the writer is told: it uses the memory of the lap's records again if nobody else holds it.
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
    shared.checkpoints.lock().wiped[file] += 1;
    Ok(())
}

/// Sweeps value files: at least as many bytes as a lap may have brought, and more while there is nothing else to do.
fn sweep(shared: &Shared) -> Result<(), StoreError> {
    for step in 0.. {
        if !shared.checkpoints.may_sweep(step < SWEEP_STEPS) || !shared.base.sweep()? {
            break;
        }
    }
    Ok(())
}

/// Writes `rows` to the map, a piece at a time, as long as `go_on` says so. Says whether all are written; none of them is
/// durable yet.
pub(super) fn write_all(
    base: &Base,
    rows: &RowMap,
    mut go_on: impl FnMut() -> Result<bool, StoreError>,
) -> Result<bool, StoreError> {
    let mut rows = rows.iter().peekable();
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
        base.write(&piece)?;
        base.flush()?;
    }
    Ok(true)
}
