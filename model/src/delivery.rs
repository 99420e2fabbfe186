//! A delivery: one event for one endpoint, from routed to settled.
//!
//! A delivery on the happy path has no row of its own: it is part of its endpoint's [`Cursor`]. Only one that did not
//! succeed at first try becomes a [`Pending`], and only one that was given up becomes a [`DeadLetter`].

use crate::attempt::{AttemptRecord, OutcomeClass, Trigger};
use crate::endpoint::{DisabledReason, Endpoint, EndpointHealth, PausedReason};
use crate::failover::DecidedSwitch;
use crate::id::{EndpointRef, Seq};
use crate::time::UnixMs;

/// The progress of an endpoint in its application's log.
///
/// Everything at or below `upto` is settled or has a row of its own, except the `holes`: deliveries overtaken by later
/// ones. There are never more holes than attempts in flight at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// The highest settled or skipped position.
    pub upto: Seq,
    /// Unsettled positions below it, ascending.
    pub holes: Vec<Seq>,
}

/// A delivery that waits for another attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Attempts made so far in this round; 0 when it was asked for by hand and has not been tried.
    pub attempts: u16,
    /// When the next one is due.
    pub due: UnixMs,
    /// The result of the last attempt, if there was one.
    pub last_outcome: Option<OutcomeClass>,
    /// Why the next attempt will be made.
    pub trigger: Trigger,
}

/// The kind of a delivery that waits. It decides what else the delivery waits for once its time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// A retry: it waits for the retry budgets.
    Retry,
    /// The first try of a scheduled message: it waits for those before it, where its endpoint keeps an order.
    First,
    /// Asked for by hand: it waits for nothing.
    Manual,
}

impl Pending {
    /// Its kind.
    #[must_use]
    pub fn urgency(&self) -> Urgency {
        match self.trigger {
            Trigger::Manual if self.attempts == 0 => Urgency::Manual,
            Trigger::Scheduled if self.attempts == 0 => Urgency::First,
            _ => Urgency::Retry,
        }
    }
}

/// A delivery that was given up. Kept until purged, redriven or past its retention.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// When it was given up.
    pub at: UnixMs,
    /// Attempts made in its last round.
    pub attempts: u16,
    /// Why.
    pub reason: DeadLetterReason,
    /// The result of the last attempt, if there was one.
    pub last_outcome: Option<OutcomeClass>,
    /// The last HTTP status; 0 when there was none.
    pub last_status: u16,
}

/// Why a delivery was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeadLetterReason {
    /// The retry policy has no further attempt.
    AttemptsExhausted,
    /// A client error under the policy `dead_letter`.
    Rejected,
    /// The endpoint answered 410.
    Gone,
    /// The endpoint was disabled while this waited.
    EndpointDisabled,
    /// The event was past its retention when its turn came.
    Expired,
    /// The event's payload was expunged before the delivery succeeded.
    Expunged,
    /// The message has an expiry, and it came before the delivery succeeded.
    PastExpiry,
}

impl DeadLetterReason {
    /// Every reason, for metrics that start at zero.
    pub const ALL: [DeadLetterReason; 7] = [
        DeadLetterReason::AttemptsExhausted,
        DeadLetterReason::Rejected,
        DeadLetterReason::Gone,
        DeadLetterReason::EndpointDisabled,
        DeadLetterReason::Expired,
        DeadLetterReason::Expunged,
        DeadLetterReason::PastExpiry,
    ];

    /// The word that the API, logs and metrics show.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            DeadLetterReason::AttemptsExhausted => "attempts_exhausted",
            DeadLetterReason::Rejected => "rejected",
            DeadLetterReason::Gone => "gone",
            DeadLetterReason::EndpointDisabled => "endpoint_disabled",
            DeadLetterReason::Expired => "expired",
            DeadLetterReason::Expunged => "expunged",
            DeadLetterReason::PastExpiry => "past_expiry",
        }
    }
}

/// A range of the log that an endpoint did not get because it was disabled: of its events, those that the endpoint
/// wanted then are cancelled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The last position of the range; none while it is still growing.
    pub last: Option<Seq>,
    /// Why.
    pub reason: DisabledReason,
    /// The filter of the endpoint during the range: a change of it ends one range and begins another. None where it
    /// was too long to be kept.
    pub wanted: Option<Wanted>,
}

/// The filter of an endpoint at some time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Exact names and `prefix.*`; empty means every type.
    pub event_types: Vec<String>,
    /// Empty means every channel.
    pub channels: Vec<String>,
    /// The content filter; none means every content.
    pub filter: Option<String>,
}

impl Wanted {
    /// The filter that an endpoint has.
    #[must_use]
    pub fn by(endpoint: &Endpoint) -> Wanted {
        Wanted {
            event_types: endpoint.event_types.clone(),
            channels: endpoint.channels.clone(),
            filter: endpoint.filter.clone(),
        }
    }
}

/// Events that an endpoint did not get because retention removed them before their turn came. One row, however many
/// there were. It is no longer known which of them matched, so it counts positions: at most so many deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expired {
    /// The first position skipped.
    pub first: Seq,
    /// The last one.
    pub last: Seq,
    /// Positions skipped, which need not be all between the two.
    pub positions: u64,
    /// When it was first noted.
    pub since: UnixMs,
    /// When it was last noted.
    pub at: UnixMs,
}

impl Expired {
    /// A range of the log, both ends included, found missing at `at`.
    #[must_use]
    pub fn range(first: Seq, last: Seq, at: UnixMs) -> Expired {
        let positions = if last < first { 0 } else { last.0 - first.0 + 1 };
        Expired { first, last, positions, since: at, at }
    }

    /// Both together; `later` is a range found later. After a crash it may overlap the earlier note: positions
    /// counted then are not counted again.
    #[must_use]
    pub fn and(self, later: Expired) -> Expired {
        let before = self.first.0.saturating_sub(later.first.0).min(later.positions);
        let behind = later.last.0.saturating_sub(self.last.0.max(later.first.0.saturating_sub(1)));
        Expired {
            first: self.first.min(later.first),
            last: self.last.max(later.last),
            positions: self.positions.saturating_add(before).saturating_add(behind.min(later.positions - before)),
            since: self.since,
            at: later.at,
        }
    }
}

/// The fate of one delivery after an attempt (or without one).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Delivered.
    Done,
    /// Will be tried again.
    Retry(Pending),
    /// Given up.
    DeadLetter(DeadLetter),
    /// There was no delivery where one was looked for: at most its entry in the due index goes. A row that says
    /// otherwise stands.
    Cancelled,
}

/// One delivery's move, to be made durable together with the endpoint's cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The event.
    pub seq: Seq,
    /// When the event was accepted.
    pub accepted_at: UnixMs,
    /// The due time of the pending row that this replaces; none for a first try.
    pub was_due: Option<UnixMs>,
    /// The attempt, if one was made.
    pub record: Option<AttemptRecord>,
    /// The fate of the delivery.
    pub verdict: Verdict,
}

/// Everything that one endpoint settled since its last report: one write, or none of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// The endpoint, with its application.
    pub target: EndpointRef,
    /// The endpoint's place in the log after these.
    pub cursor: Cursor,
    /// The moves.
    pub settled: Vec<Settled>,
    /// Positions that the cursor passed untried because the log begins behind it.
    pub expired: Option<Expired>,
    /// Its failure memory, when that changed.
    pub health: Option<EndpointHealth>,
    /// Set when this outcome disables the endpoint.
    pub disable: Option<DisabledReason>,
    /// Set when this outcome pauses the endpoint.
    pub pause: Option<PausedReason>,
    /// Switches between the endpoint and its backup, oldest first.
    pub switches: Vec<DecidedSwitch>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_add_up_and_what_overlaps_counts_once() {
        let range = |first, last, at| Expired::range(Seq(first), Seq(last), UnixMs(at));
        assert_eq!(range(5, 4, 1).positions, 0);
        let both = range(1, 10, 1).and(range(21, 30, 2));
        assert_eq!((both.first, both.last, both.positions), (Seq(1), Seq(30), 20));
        assert_eq!((both.since, both.at), (UnixMs(1), UnixMs(2)));
        // Found again after a crash, from further back, and again.
        let again = range(151, 500, 1).and(range(101, 500, 2));
        assert_eq!((again.first, again.last, again.positions), (Seq(101), Seq(500), 400));
        assert_eq!(again.and(range(101, 500, 3)).positions, 400);
        assert_eq!(again.and(range(400, 600, 3)).positions, 500);
    }
}
