//! The receiver of the small world: answers one attempt at a time, in any order.

use super::*;

/// The end of an attempt.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Answer {
    pub(in super::super) outcome: OutcomeClass,
    pub(in super::super) status: u16,
    pub(in super::super) retry_after_ms: Option<u64>,
}

impl Answer {
    pub(in super::super) const OK: Answer = Answer::of(OutcomeClass::Success, 200);

    pub(in super::super) const fn of(outcome: OutcomeClass, status: u16) -> Answer {
        Answer { outcome, status, retry_after_ms: None }
    }
}

impl World {
    /// Ends one attempt in flight, if there is one.
    pub(in super::super) fn finish(&mut self, pick: usize, answer: Answer) {
        if self.operations.attempts.is_empty() {
            return;
        }
        let attempt = self.operations.attempts.swap_remove(pick % self.operations.attempts.len());
        let seq = attempt.event.seq;
        if answer.outcome == OutcomeClass::Success {
            let facts = self.facts.entry(seq).or_default();
            facts.delivered += 1;
            let allowed = 1 + facts.requeued + facts.crashes;
            assert!(facts.delivered <= allowed, "{seq:?} was delivered again without a reason: {facts:?}");
        }
        let Answer { outcome, status, retry_after_ms } = answer;
        let finished = Finished { retry_after_ms, ..super::answer(seq, self.now, outcome, status) };
        let ruled = self.lane.finished(finished, self.now, &mut self.rng).expect("it was in flight");
        assert_eq!(ruled.attempt, attempt.number);
        if ruled.gives_back {
            self.shard_budget.give_back(self.now.0);
        }
        if matches!(status, 429 | 503) {
            self.slow_until = self.slow_until.max(self.now.plus_ms(retry_after_ms.unwrap_or(0).max(1_000)));
        }
        self.note_skips();
    }
}
