//! The end of the small world: everything answers, everything is served, time passes. Then nothing may be left.

use super::*;

impl World {
    /// Lets the lane finish and checks the end of every event.
    pub(in super::super) fn settle_down(&mut self) {
        for _ in 0..5_000 {
            self.tell_requeued();
            self.pump(true);
            self.go_on_reading(false);
            self.go_on_reading_keys(false);
            self.go_on_loading(false);
            (0..8).for_each(|pick| self.go_on_fetching(pick, false));
            (0..8).for_each(|pick| self.finish(pick, Answer::OK));
            self.report();
            while !self.reports.is_empty() {
                self.apply_report();
            }
            self.pump(true);
            if self.operations.any() || !self.reports.is_empty() {
                continue;
            }
            if self.lane.is_idle(self.now) {
                self.check_the_end();
                return;
            }
            self.now = self.lane.wake_at().unwrap_or(self.now.plus_ms(60_000));
        }
        panic!(
            "it never becomes idle: {:?} {:?} {:?}",
            self.lane.backlog,
            self.lane.retries,
            self.lane.breaker_state()
        );
    }

    fn check_the_end(&self) {
        let lane = &self.lane;
        assert!(lane.flights.is_empty() && lane.settled.is_empty(), "something is in flight");
        assert_eq!(lane.window.room(), lane.window.limit(), "a slot is lost");
        assert_eq!(lane.backlog.cursor().holes, []);
        assert!(
            !self.has_outstanding(),
            "rows are left: {} due, cursor {:?}",
            self.due_rows(),
            self.progress.position(TARGET)
        );
        for (seq, facts) in &self.facts {
            let ended = facts.delivered > 0 || facts.may_be_skipped || self.dead_letter(*seq).is_some();
            assert!(ended, "{seq:?} is lost: {facts:?}");
        }
    }
}
