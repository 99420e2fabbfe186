//! Reports: the settlements of lanes, handed to the writer once per turn of this thread, as one batch.
//!
//! There is no timer: the task runs after the tasks that were ready before it, so a batch grows with the load.

use super::core::{LaneCell, ShardCore, Watch};
use model::{Settlement, Verdict};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use tokio::sync::Notify;

/// The lanes that may have something to report.
#[derive(Default)]
pub struct Reports {
    lanes: RefCell<Vec<Rc<LaneCell>>>,
    wanted: Notify,
}

/// True while a lane is in [`Reports`].
#[derive(Default)]
pub(super) struct InReports(Cell<bool>);

impl InReports {
    pub(super) fn get(&self) -> bool {
        self.0.get()
    }
}

impl Reports {
    /// A lane may have something to report: its report is handed on soon.
    pub(super) fn soon(&self, cell: &Rc<LaneCell>) {
        if !cell.in_reports.0.replace(true) {
            self.lanes.borrow_mut().push(cell.clone());
            self.wanted.notify_one();
        }
    }

    /// Gauges must follow, even when no lane has anything to report.
    pub(super) fn want(&self) {
        self.wanted.notify_one();
    }

    /// Waits until a report is wanted.
    ///
    /// # Cancel safety
    /// A wish that nobody waited for is remembered.
    pub async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// True if no lane has anything to report.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lanes.borrow().is_empty()
    }
}

impl ShardCore {
    /// Hands every report to the writer now, and the counts to the metrics.
    pub fn report_now(&self) {
        self.metrics.hand_on(self.in_flight());
        let lanes = self.reports.lanes.take();
        let mut settlements: Vec<Settlement> = Vec::with_capacity(lanes.len());
        for cell in &lanes {
            cell.in_reports.0.set(false);
            if !cell.gone.get() {
                settlements.extend(cell.lane.borrow_mut().report());
            }
        }
        for settled in settlements.iter().flat_map(|settlement| &settlement.settled) {
            // Those given up after an attempt were counted when it ended.
            if let (None, Verdict::DeadLetter(letter)) = (&settled.record, &settled.verdict) {
                self.metrics.dead_letter(letter.reason);
            }
        }
        if !settlements.is_empty() && !self.writer.settle(&mut settlements) {
            self.holding.set(true);
        }
    }
}

/// Reports whenever there is something to report. Never ends.
pub(super) async fn run(shard: Rc<ShardCore>) {
    let _watch = Watch(&shard);
    loop {
        shard.reports.wanted().await;
        shard.report_now();
    }
}
