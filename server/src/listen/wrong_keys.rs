//! Requests without a known key: all are counted, some are logged.
//!
//! A line of the log names the address and the request's id, never the key. There is one line a second at most, so that a
//! stranger cannot fill the disk.

use super::ms_since;
use http::HeaderValue;
use model::metric;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::time::Instant;

/// The least time between two lines.
const LOG_EVERY_MS: u64 = 1_000;

/// The count of refused requests that the log has not reported yet.
#[derive(Debug)]
pub(super) struct WrongKeys {
    epoch: Instant,
    /// When the next line may be written.
    next_ms: AtomicU64,
    unsaid: AtomicU64,
}

// === impl WrongKeys ===

impl WrongKeys {
    pub(super) fn new() -> WrongKeys {
        metrics::counter!(metric::API_UNAUTHORIZED).increment(0);
        WrongKeys { epoch: Instant::now(), next_ms: AtomicU64::new(0), unsaid: AtomicU64::new(0) }
    }

    /// A request from `peer` was refused.
    pub(super) fn note(&self, peer: SocketAddr, request_id: &HeaderValue) {
        metrics::counter!(metric::API_UNAUTHORIZED).increment(1);
        if let Some(requests) = self.to_say(ms_since(self.epoch)) {
            let request_id = request_id.to_str().unwrap_or_default();
            tracing::warn!(%peer, request_id, requests, "requests without a known key were refused; this is the last");
        }
    }

    /// The number of refusals since the last line, when a line may be written.
    fn to_say(&self, now_ms: u64) -> Option<u64> {
        self.unsaid.fetch_add(1, Ordering::Relaxed);
        let next_ms = self.next_ms.load(Ordering::Relaxed);
        if now_ms < next_ms {
            return None;
        }
        let order = Ordering::Relaxed;
        // Only one of the threads that see the time come writes.
        self.next_ms.compare_exchange(next_ms, now_ms + LOG_EVERY_MS, order, order).ok()?;
        Some(self.unsaid.swap(0, order))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_a_second_says_how_many_there_were() {
        let wrong = WrongKeys::new();
        let said: Vec<Option<u64>> = [0, 1, 999, 1_000, 1_500, 5_000].map(|now| wrong.to_say(now)).to_vec();
        assert_eq!(said, [Some(1), None, None, Some(3), None, Some(2)]);
    }
}
