//! The handing over of laps from the writer to the checkpoint thread, and the waits for it.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::disk::commit::table::Frozen;
use crate::store::StoreError;

/// The period at which a waiting thread looks whether it can still hope: sled does not say when a thread of its own
/// died.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// State that the writer and the thread share.
#[derive(Debug, Default)]
struct State {
    /// Handed over, and not taken up by the thread yet.
    frozen: Option<Frozen>,
    /// The log file of the lap that was handed over last.
    frozen_file: usize,
    /// A log file of no lap that is to be wiped.
    wipe: Option<usize>,
    /// The number of times that each log file was wiped.
    wiped: [u64; 2],
    /// Log files are wiped once a checkpoint has their rows.
    erasing: bool,
    /// True while the last thing handed over is not durable in the map yet.
    busy: bool,
    stopping: bool,
    ended: bool,
    #[cfg(test)]
    test: Test,
}

/// Controls of the thread for tests.
#[cfg(test)]
#[derive(Debug, Default)]
struct Test {
    /// The number of pieces that it may still write before it stands still; `None`: as it likes.
    pieces: Option<usize>,
    panics: bool,
    waiting: bool,
    /// The thread is to stand still between two steps, while a test copies the files.
    held: bool,
    /// It stands still.
    still: bool,
}

/// The next work of the thread.
pub(crate) enum Work {
    /// Bring these rows to the map.
    Checkpoint(Frozen),
    /// Wipe this log file.
    Wipe(usize),
}

/// The place where laps are handed over.
#[derive(Debug, Default)]
pub(crate) struct Checkpoints {
    state: Mutex<State>,
    changed: Condvar,
}

// === impl Checkpoints ===

impl Checkpoints {
    /// Hands over the table that `freeze` freezes, of the lap in log file `file`. Waits until the one before is durable
    /// in the map, and so the other log file free, as long as `check` finds nothing wrong.
    pub(crate) fn hand_over(
        &self,
        file: usize,
        check: impl Fn() -> Result<(), StoreError>,
        freeze: impl FnOnce() -> Frozen,
    ) -> Result<(), StoreError> {
        let mut state = self.lock();
        let asked_at = Instant::now();
        while state.busy {
            check()?;
            #[cfg(test)]
            {
                state.test.waiting = true;
            }
            state = self.wait(state);
        }
        metrics::histogram!(model::metric::CHECKPOINT_WAIT_SECONDS).record(asked_at.elapsed().as_secs_f64());
        state.frozen = Some(freeze());
        state.frozen_file = file;
        state.busy = true;
        self.changed.notify_all();
        Ok(())
    }

    /// From now on each log file that comes free is wiped. Answers how often each was so far.
    pub(crate) fn begin_erasing(&self) -> [u64; 2] {
        let mut state = self.lock();
        state.erasing = true;
        state.wiped
    }

    /// True if both log files were wiped since the counts were `before`.
    pub(crate) fn both_wiped_since(&self, before: [u64; 2]) -> bool {
        let wiped = self.lock().wiped;
        wiped[0] > before[0] && wiped[1] > before[1]
    }

    /// Has this log file, which no lap uses, wiped, unless it was since. Only while nothing is under way.
    pub(crate) fn wipe_unused(&self, file: usize, before: [u64; 2]) -> bool {
        let mut state = self.lock();
        let wanted = state.wiped[file] == before[file];
        if wanted {
            // The writer does not turn to the file before it is done.
            (state.busy, state.wipe) = (true, Some(file));
            self.changed.notify_all();
        }
        wanted
    }

    /// Files that come free are not wiped any more.
    pub(crate) fn end_erasing(&self) {
        self.lock().erasing = false;
    }

    /// Waits a moment for the work under way. True if none is under way now.
    pub(crate) fn wait_for_rest(&self) -> bool {
        let state = self.lock();
        let state = if state.busy { self.wait(state) } else { state };
        !state.busy
    }

    /// True if nothing is under way.
    pub(crate) fn is_at_rest(&self) -> bool {
        !self.lock().busy
    }

    pub(crate) fn next(&self) -> Option<Work> {
        let mut state = self.lock();
        #[cfg(test)]
        {
            state = self.stand_while_held(state);
        }
        while state.frozen.is_none() && state.wipe.is_none() && !state.stopping {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            #[cfg(test)]
            {
                state = self.stand_while_held(state);
            }
        }
        if state.stopping {
            return None;
        }
        state.frozen.take().map(Work::Checkpoint).or_else(|| state.wipe.take().map(Work::Wipe))
    }

    /// The log file that a checkpoint has freed, if it is to be wiped.
    pub(crate) fn freed(&self) -> Option<usize> {
        let state = self.lock();
        state.erasing.then_some(state.frozen_file)
    }

    pub(crate) fn done(&self) {
        self.lock().busy = false;
        self.changed.notify_all();
    }

    /// True if the thread is to write another piece, or to end a checkpoint.
    pub(crate) fn goes_on(&self) -> bool {
        #[cfg(test)]
        self.stand_still();
        !self.lock().stopping
    }

    /// True if the thread is to sweep: if it must, or if nothing was handed over.
    pub(crate) fn may_sweep(&self, must: bool) -> bool {
        let state = self.lock();
        #[cfg(test)]
        let state = self.stand_while_held(state);
        !state.stopping && (must || state.frozen.is_none())
    }

    /// This log file was wiped.
    pub(crate) fn wiped(&self, file: usize) {
        self.lock().wiped[file] += 1;
    }

    /// Ends the thread, and waits for that as long as `is_alive`. True if it ended.
    pub(crate) fn stop(&self, is_alive: impl Fn() -> bool) -> bool {
        let mut state = self.lock();
        state.stopping = true;
        self.changed.notify_all();
        while !state.ended && is_alive() {
            state = self.wait(state);
        }
        state.ended
    }

    /// The thread has ended.
    pub(crate) fn ended(&self) {
        self.lock().ended = true;
        self.changed.notify_all();
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
    pub(crate) fn allow(&self, pieces: Option<usize>) {
        self.lock().test.pieces = pieces;
        self.changed.notify_all();
    }

    pub(crate) fn panic_next(&self) {
        self.lock().test.panics = true;
    }

    /// Waits until the rows handed over are durable in the map.
    pub(crate) fn settle(&self) {
        let mut state = self.lock();
        while state.busy {
            state = self.wait(state);
        }
    }

    /// Lets the thread end if a commit might wait for it.
    pub(crate) fn settle_or_allow(&self) {
        self.allow(None);
        self.settle();
    }

    /// True if a commit waits in [`Checkpoints::hand_over`].
    pub(crate) fn someone_waits(&self) -> bool {
        self.lock().test.waiting
    }

    /// Runs `look` while the thread stands between two steps: so a copy of the files shows them at one instant, as a crash
    /// leaves them. A copy beside a running checkpoint could have an old part of a file and a later part of another.
    pub(crate) fn at_an_instant<T>(&self, look: impl FnOnce() -> T) -> T {
        let mut state = self.lock();
        state.test.held = true;
        self.changed.notify_all();
        while !state.test.still && !state.ended {
            state = self.wait(state);
        }
        drop(state);
        let seen = look();
        self.lock().test.held = false;
        self.changed.notify_all();
        seen
    }

    fn stand_while_held<'a>(&self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        while state.test.held && !state.stopping {
            state.test.still = true;
            self.changed.notify_all();
            state = self.wait(state);
        }
        state.test.still = false;
        state
    }

    fn stand_still(&self) {
        let mut state = self.stand_while_held(self.lock());
        assert!(!state.test.panics, "as the test asked for");
        while state.test.pieces == Some(0) && !state.stopping {
            state = self.wait(state);
            state = self.stand_while_held(state);
        }
        state.test.pieces = state.test.pieces.map(|pieces| pieces.saturating_sub(1));
    }
}
