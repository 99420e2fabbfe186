//! Operations: the actions that the shell of the small world has been asked for.
//!
//! Each operation is read from the store at one step and handed to the lane at a later one. So anything may happen in
//! between.

use super::*;

/// A delivery's event and row.
type Rows = (Option<Event>, Option<Pending>);

/// Events that match, and the last position that was looked at.
type Found = (Vec<Event>, Seq);

#[derive(Default)]
pub(in super::super) struct Operations {
    pub(in super::super) attempts: Vec<Attempt>,
    pub(super) fetches: Vec<(Fetch, Option<Rows>)>,
    pub(super) read: Option<(LogRead, Option<Found>)>,
    pub(super) load: Option<Load>,
    /// Ordering keys to read.
    pub(super) keys: Option<Vec<Seq>>,
}

pub(in super::super) struct Load {
    asked: DueLoad,
    /// To be read once so many reports were applied.
    reports_before: usize,
    rows: Option<Vec<(DueKey, Urgency)>>,
}

impl Operations {
    pub(super) fn in_flight(&self) -> usize {
        self.attempts.len() + self.fetches.len()
    }

    pub(super) fn any(&self) -> bool {
        self.in_flight() > 0 || self.read.is_some() || self.load.is_some() || self.keys.is_some()
    }
}

impl World {
    pub(super) fn take_on(&mut self, action: Action) {
        match action {
            Action::Start(attempt) => self.start(attempt),
            Action::Fetch(fetch) => {
                assert!(fetch.due.is_none_or(|due| due <= self.now), "{fetch:?} is early");
                // Scheduled messages keep no order while memory does not hold every row.
                if fetch.due.is_some() && self.lane.retries.knows_all() {
                    self.check_order(fetch.seq);
                }
                self.operations.fetches.push((fetch, None));
            }
            Action::ReadLog(read) => {
                assert!(self.operations.read.replace((read, None)).is_none(), "two reads at once");
            }
            Action::ReadKeys(asked) => {
                assert!(self.operations.keys.replace(asked).is_none(), "two reads of keys at once");
            }
            Action::LoadDue(asked) => {
                self.report();
                let reports_before = self.reports_applied + self.reports.len();
                let load = Load { asked, reports_before, rows: None };
                assert!(self.operations.load.replace(load).is_none(), "two loads at once");
            }
        }
    }

    /// Runs every operation and applies every report, until only attempts are under way.
    pub(in super::super) fn serve(&mut self) {
        for _ in 0..60 {
            self.tell_requeued();
            self.pump(true);
            self.go_on_reading(false);
            self.go_on_reading_keys(false);
            self.go_on_loading(false);
            self.go_on_fetching(0, false);
            self.report();
            self.apply_report();
        }
        let operations = &self.operations;
        assert!(
            operations.fetches.is_empty()
                && operations.read.is_none()
                && operations.load.is_none()
                && operations.keys.is_none(),
            "it goes on and on"
        );
    }

    /// Deliveries under way, in the order they were started.
    pub(in super::super) fn under_way(&self) -> Vec<u64> {
        self.operations.attempts.iter().map(|attempt| attempt.event.seq.0).collect()
    }

    /// Moves a read of the log on by one step, or lets it fail.
    pub(in super::super) fn go_on_reading(&mut self, fails: bool) {
        match self.operations.read.take() {
            Some(_) if fails => self.lane.log_read(None),
            Some((read, None)) => self.operations.read = Some((read, Some(self.log_between(read)))),
            Some((_, found)) => self.lane.log_read(found),
            None => {}
        }
    }

    /// Ends a read of ordering keys, or lets it fail.
    pub(in super::super) fn go_on_reading_keys(&mut self, fails: bool) {
        let Some(asked) = self.operations.keys.take() else { return };
        let key = |seq: Seq| Keyed::of(seq, self.row(seq).0.as_ref());
        let found = asked.into_iter().map(key).collect();
        self.lane.keys_read((!fails).then_some(found));
    }

    /// Moves a load of the due index on by one step, or lets it fail.
    pub(in super::super) fn go_on_loading(&mut self, fails: bool) {
        let Some(mut load) = self.operations.load.take() else { return };
        if fails {
            self.lane.due_loaded(load.asked, None);
        } else if load.rows.is_some() {
            self.lane.due_loaded(load.asked, load.rows);
        } else {
            if self.reports_applied >= load.reports_before {
                load.rows = Some(self.rows_after(load.asked));
            }
            self.operations.load = Some(load);
        }
    }

    /// Moves one fetch on by one step, or lets it fail. It waits for no report: see [`Action::Fetch`].
    pub(in super::super) fn go_on_fetching(&mut self, pick: usize, fails: bool) {
        if self.operations.fetches.is_empty() {
            return;
        }
        let (fetch, rows) = self.operations.fetches.swap_remove(pick % self.operations.fetches.len());
        match rows {
            _ if fails => self.lane.fetch_failed(fetch),
            None => self.operations.fetches.push((fetch, Some(self.row(fetch.seq)))),
            Some((event, row)) => {
                if let Some(attempt) = self.lane.fetched(fetch, event, row, self.now) {
                    self.start(attempt);
                }
            }
        }
    }
}
