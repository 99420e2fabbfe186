//! The writer of the small world: the real tables, one commit at a time.

use super::*;
use model::Verdict;
use storage::tables::history::LastRuns;
use storage::tables::{dead_letter, delivery, log, settle};
use storage::{Store, Txn};

impl World {
    pub(super) fn append(&self, events: &[Event]) {
        self.commit(|txn| {
            // One block for each, so that one can expire.
            events.iter().for_each(|event| log::append(txn, TARGET.app, std::slice::from_ref(event)).unwrap());
        });
    }

    fn commit(&self, work: impl FnOnce(&mut Txn<'_>)) {
        let mut txn = Txn::new(&self.store);
        work(&mut txn);
        self.store.apply(txn.into_parts().batch).unwrap();
    }

    /// Takes the lane's report, if it has one.
    pub(in super::super) fn report(&mut self) {
        self.reports.extend(self.lane.report());
    }

    /// Applies the oldest report as the writer does, and tells the lane if that disabled the endpoint.
    pub(in super::super) fn apply_report(&mut self) {
        let Some(mut report) = self.reports.pop_front() else { return };
        self.reports_applied += 1;
        self.note_ends(&report);
        let mut txn = Txn::new(&self.store);
        settle::apply(&mut txn, &mut LastRuns::default(), &mut report).unwrap();
        self.progress.settled(TARGET, report.cursor);
        self.progress.write(&mut txn, false);
        let batch = txn.into_parts().batch;
        self.store.apply(batch).unwrap();
        if report.disable.is_some() {
            self.set_disabled(true);
        }
    }

    /// Counts the rounds that this report ends, by the rule of `settle`: a row of another time is left alone.
    fn note_ends(&mut self, report: &Settlement) {
        let mut rows: BTreeMap<Seq, Option<UnixMs>> = BTreeMap::new();
        for settled in &report.settled {
            let stored = || delivery::pending(&self.store, TARGET, settled.seq).unwrap().map(|row| row.due);
            let row = rows.entry(settled.seq).or_insert_with(stored);
            let first_done = settled.was_due.is_none() && settled.verdict == Verdict::Done;
            if *row != settled.was_due && !first_done {
                continue;
            }
            match &settled.verdict {
                Verdict::Done | Verdict::DeadLetter(_) => {
                    self.facts.entry(settled.seq).or_default().ended += 1;
                    if !first_done {
                        *row = None;
                    }
                }
                Verdict::Retry(pending) => *row = Some(pending.due),
                Verdict::Cancelled => {}
            }
        }
    }

    /// By hand: durable at once; the lane hears of it when the test says so.
    pub(in super::super) fn requeue(&mut self, seq: Seq) {
        let Some(facts) = self.facts.get_mut(&seq) else { return };
        facts.requeued += 1;
        self.commit(|txn| delivery::requeue(txn, TARGET, seq, self.now).unwrap());
        self.untold_requeue = true;
    }

    pub(super) fn put_in_line(&mut self, seq: Seq, due: UnixMs) {
        let row = Pending { attempts: 0, due, last_outcome: None, trigger: Trigger::Scheduled };
        self.commit(|txn| delivery::put_pending(txn, TARGET, seq, None, &row));
        self.untold_requeue = true;
    }

    pub(in super::super) fn tell_requeued(&mut self) {
        if self.untold_requeue {
            self.note_told();
            self.lane.requeued();
        }
    }

    /// The lane is about to read all rows that are in line now.
    pub(super) fn note_told(&mut self) {
        self.untold_requeue = false;
        self.facts.values_mut().for_each(|facts| facts.told = true);
    }

    /// Durable and told.
    pub(in super::super) fn set_disabled(&mut self, disabled: bool) {
        self.policy.disabled = disabled;
        self.lane.configure(self.policy.clone(), self.now);
        self.note_skips();
    }

    /// Durable and told.
    pub(in super::super) fn set_order(&mut self, order: Order) {
        self.policy.order = order;
        self.order_since = self.head;
        self.lane.configure(self.policy.clone(), self.now);
    }

    /// While the endpoint is disabled, unsettled deliveries may end without an attempt.
    pub(super) fn note_skips(&mut self) {
        if self.lane.policy.disabled {
            let open = self.facts.values_mut().filter(|facts| facts.ended == 0);
            open.for_each(|facts| facts.may_be_skipped = true);
        }
    }

    /// Retention takes the event of the delivery that is due next.
    pub(in super::super) fn expire_one(&mut self) {
        let due = delivery::list_due(&self.store, TARGET, None, 1).unwrap();
        if let Some((_, seq, _)) = due.first() {
            self.commit(|txn| txn.delete(storage::rows::event::encode(TARGET.app, *seq)));
            self.facts.entry(*seq).or_default().expired = true;
        }
    }

    pub(super) fn due_rows(&self) -> usize {
        delivery::list_due(&self.store, TARGET, None, usize::MAX).unwrap().len()
    }

    pub(super) fn first_due(&self) -> Option<UnixMs> {
        delivery::list_due(&self.store, TARGET, None, 1).unwrap().first().map(|(due, _, _)| *due)
    }

    pub(in super::super) fn dead_letter(&self, seq: Seq) -> Option<DeadLetter> {
        dead_letter::get(&self.store, TARGET, seq).unwrap()
    }

    pub(super) fn has_outstanding(&self) -> bool {
        settle::has_outstanding(&self.store, TARGET).unwrap()
    }

    pub(super) fn stored_start(&self) -> LaneStart {
        LaneStart {
            cursor: self.progress.position(TARGET),
            health: delivery::health(&self.store, TARGET).unwrap(),
            retries_on_disk: self.due_rows() > 0,
        }
    }

    pub(in super::super) fn row(&self, seq: Seq) -> (Option<Event>, Option<Pending>) {
        let event = log::get(&self.store, TARGET.app, seq).unwrap();
        (event, delivery::pending(&self.store, TARGET, seq).unwrap())
    }

    pub(super) fn rows_after(&self, load: DueLoad) -> Vec<(DueKey, Urgency)> {
        let rows = delivery::list_due(&self.store, TARGET, load.after, load.limit).unwrap();
        rows.into_iter().map(|(due, seq, urgency)| ((due, seq), urgency)).collect()
    }

    pub(super) fn log_between(&self, read: LogRead) -> (Vec<Event>, Seq) {
        let mut events = log::read_after(&self.store, TARGET.app, read.after, usize::MAX, usize::MAX).unwrap();
        events.retain(|event| event.seq <= read.upto && &*event.event_type == MATCHING);
        // Events that came while the endpoint was disabled are not for it.
        events.retain(|event| self.facts.contains_key(&event.seq) && event.deliver_at().is_none());
        let more = events.len() > read.max_events;
        events.truncate(read.max_events);
        let looked = events.last().filter(|_| more).map_or(read.upto, |event| event.seq);
        (events, looked)
    }
}
