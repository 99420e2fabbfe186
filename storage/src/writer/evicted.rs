//! Dead letters that made room for others: each is counted in a metric; the log gets one line in ten seconds at most.
//!
//! An application at its quota displaces one with each delivery that it gives up.

use crate::tables::dead_letter::Evicted;
use metrics::Counter;
use std::time::{Duration, Instant};

/// The least time between two lines.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// The metric, and the number of dead letters that no line of the log has told of yet.
pub(super) struct EvictedLog {
    counter: Counter,
    unsaid: u64,
    said_at: Option<Instant>,
}

impl EvictedLog {
    pub(super) fn new() -> EvictedLog {
        let counter = metrics::counter!(model::metric::DEAD_LETTERS_EVICTED);
        counter.increment(0);
        EvictedLog { counter, unsaid: 0, said_at: None }
    }

    /// Notes dead letters that went with a commit that is durable now.
    pub(super) fn note(&mut self, evicted: &[Evicted]) {
        let Some(last) = evicted.last() else { return };
        let count: u64 = evicted.iter().map(|evicted| u64::from(evicted.count)).sum();
        self.counter.increment(count);
        if let Some(dead_letters) = self.due_line(count, Instant::now()) {
            tracing::warn!(
                app = last.app.0,
                dead_letters,
                "the oldest dead letters made room for new ones; the application is that of the last"
            );
        }
    }

    /// The number of dead letters since the last line, if a line may be written.
    fn due_line(&mut self, count: u64, now: Instant) -> Option<u64> {
        self.unsaid += count;
        if self.said_at.is_some_and(|said_at| now.saturating_duration_since(said_at) < LOG_EVERY) {
            return None;
        }
        self.said_at = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_in_ten_seconds_says_how_many_there_were() {
        let (mut log, begun) = (EvictedLog::new(), Instant::now());
        let at = |s| begun + Duration::from_secs(s);
        let said = [(2, 0), (3, 1), (5, 9), (1, 10), (4, 11), (1, 30)].map(|(count, s)| log.due_line(count, at(s)));
        assert_eq!(said, [Some(2), None, None, Some(9), None, Some(5)]);
    }
}
