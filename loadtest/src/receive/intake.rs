//! Takes one webhook: where to, which event, is it signed, and how to answer.
//!
//! No HTTP is parsed here: the two servers hand over parsed requests.

use super::manner::{Manner, Manners, SILENCE};
use super::signature::{Keys, Signed};
use crate::drive::{Streams, payload};
use crate::ledger::{Ledger, Receipt};
use crate::measure::{Clock, Recorder};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The state that all receiving threads share.
#[derive(Debug)]
pub(crate) struct Intake {
    pub(crate) clock: Clock,
    pub(crate) streams: Arc<Streams>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) manners: Manners,
    pub(crate) keys: Keys,
    /// Check every Nth signature; 0 checks none.
    pub(crate) verify_every: u64,
    pub(crate) arrivals: AtomicU64,
    /// Connections accepted so far.
    pub(crate) connections: AtomicU64,
}

/// A request as it arrived.
#[derive(Clone, Copy, Debug)]
pub(super) struct Webhook<'a> {
    pub(super) path: &'a str,
    pub(super) signed: Signed<'a>,
}

/// The answer to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) after: Option<Duration>,
}

/// The path of an endpoint's URL.
pub(crate) fn path(stream: u32, member: u32) -> String {
    format!("/{stream}/{member}")
}

fn parse_path(path: &str) -> Option<(u32, u32)> {
    let (stream, member) = path.strip_prefix('/')?.split_once('/')?;
    Some((stream.parse().ok()?, member.parse().ok()?))
}

impl Intake {
    /// Enters a request in the ledger and says how to answer. `lane` is the thread's.
    pub(super) fn take(&self, lane: usize, webhook: Webhook<'_>) -> Answer {
        let Some((stream, member)) = parse_path(webhook.path) else {
            self.ledger.unexpected();
            return Answer { status: 404, after: None };
        };
        let endpoint = self.streams.endpoint(stream, member);
        let (status, after) = match self.manners.of(endpoint) {
            Manner::Healthy => (200, None),
            Manner::Slow(delay_ms) => (200, Some(Duration::from_millis(delay_ms.into()))),
            Manner::Down => (503, None),
            Manner::Silent => (503, Some(SILENCE)),
        };
        let arrival = self.arrivals.fetch_add(1, Relaxed);
        if self.verify_every > 0
            && arrival.is_multiple_of(self.verify_every)
            && !self.keys.is_valid(endpoint, webhook.signed, now_s())
        {
            self.ledger.bad_signature();
        }
        let Some(number) = payload::read_number(webhook.signed.body) else {
            self.ledger.unexpected();
            return Answer { status: 400, after: None };
        };
        if status != 200 {
            self.ledger.refuse();
            return Answer { status, after };
        }
        let receipt = self.ledger.receive(number, webhook.signed.id, stream, member, self.clock.now_us());
        if let Receipt::First { latency_us, after_ack_us } = receipt
            && self.streams.is_healthy(endpoint)
        {
            self.recorder.delivered(lane, latency_us, after_ack_us);
        }
        Answer { status, after }
    }
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_an_endpoint() {
        assert_eq!(parse_path(&path(12, 3)), Some((12, 3)));
        for wrong in ["", "/", "/1", "/1/", "/a/b", "1/2", "/1/2/3"] {
            assert_eq!(parse_path(wrong), None, "{wrong}");
        }
    }
}
