//! The status of deliveries and attempts, in the five words of the API.

use engine::DeliveryState;
use model::{AttemptRecord, DeliveryStatus, OutcomeClass, UnixMs};

/// A delivery that is known to stand somehow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its status.
    pub status: DeliveryStatus,
    /// When its next attempt is due, if one is.
    pub next_attempt: Option<UnixMs>,
}

/// The statuses that a caller wants to see.
#[derive(Clone, Copy, Debug, Default)]
pub struct StatusFilter {
    /// Only this one; all when none.
    pub wanted: Option<DeliveryStatus>,
    /// The caller tells canceled from given up.
    pub is_expanded: bool,
}

/// The status of an attempt.
#[must_use]
pub fn of_attempt(record: &AttemptRecord) -> DeliveryStatus {
    if record.outcome == OutcomeClass::Success { DeliveryStatus::Success } else { DeliveryStatus::Fail }
}

impl Standing {
    /// The standing of a delivery among the messages of its endpoint. None when the message was not for the endpoint,
    /// or when that is not known any more.
    #[must_use]
    pub fn of_delivery(state: &DeliveryState) -> Option<Standing> {
        let status = state.status()?;
        let next_attempt = if let DeliveryState::Waiting(pending) = state { Some(pending.due) } else { None };
        Some(Standing { status, next_attempt })
    }

    /// The same among the endpoints of a message, where clients expect the outcome of the last attempt.
    #[must_use]
    pub fn of_destination(state: &DeliveryState) -> Option<Standing> {
        let standing = Standing::of_delivery(state)?;
        let status = match state {
            DeliveryState::Waiting(pending) if pending.last_outcome.is_some() => DeliveryStatus::Fail,
            DeliveryState::Waiting(_) | DeliveryState::Queued => DeliveryStatus::Pending,
            _ => standing.status.plain(),
        };
        Some(Standing { status, ..standing })
    }
}

impl StatusFilter {
    /// A status as this caller sees it.
    #[must_use]
    pub fn shown(self, status: DeliveryStatus) -> DeliveryStatus {
        if self.is_expanded { status } else { status.plain() }
    }

    /// True if the caller wants to see this status.
    #[must_use]
    pub fn passes(self, status: DeliveryStatus) -> bool {
        self.wanted.is_none_or(|wanted| self.shown(status) == self.shown(wanted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Pending, Trigger};

    const ALL: [DeliveryStatus; 5] = [
        DeliveryStatus::Success,
        DeliveryStatus::Pending,
        DeliveryStatus::Fail,
        DeliveryStatus::Sending,
        DeliveryStatus::Canceled,
    ];

    #[test]
    fn a_delivery_between_two_attempts_is_sending_from_one_side_and_failed_from_the_other() {
        let waits = |last_outcome| {
            DeliveryState::Waiting(Pending { attempts: 1, due: UnixMs(5), last_outcome, trigger: Trigger::Scheduled })
        };
        let due = Some(UnixMs(5));
        for (state, of_endpoint, of_message) in [
            (
                waits(Some(OutcomeClass::Timeout)),
                Some((DeliveryStatus::Sending, due)),
                Some((DeliveryStatus::Fail, due)),
            ),
            (waits(None), Some((DeliveryStatus::Sending, due)), Some((DeliveryStatus::Pending, due))),
            (DeliveryState::Queued, Some((DeliveryStatus::Sending, None)), Some((DeliveryStatus::Pending, None))),
            (DeliveryState::NotMatched, None, None),
            (DeliveryState::HistoryGone, None, None),
        ] {
            let pair = |standing: Option<Standing>| standing.map(|standing| (standing.status, standing.next_attempt));
            assert_eq!(pair(Standing::of_delivery(&state)), of_endpoint, "{state:?}");
            assert_eq!(pair(Standing::of_destination(&state)), of_message, "{state:?}");
        }
    }

    #[test]
    fn canceled_is_told_from_failed_to_callers_that_ask_for_it() {
        let filter = |wanted, is_expanded| StatusFilter { wanted: Some(wanted), is_expanded };
        assert_eq!(filter(DeliveryStatus::Fail, false).shown(DeliveryStatus::Canceled), DeliveryStatus::Fail);
        assert_eq!(filter(DeliveryStatus::Fail, true).shown(DeliveryStatus::Canceled), DeliveryStatus::Canceled);
        assert!(filter(DeliveryStatus::Fail, false).passes(DeliveryStatus::Canceled));
        assert!(!filter(DeliveryStatus::Fail, true).passes(DeliveryStatus::Canceled));
        // A filter finds the status that is shown and nothing else.
        for (wanted, status) in ALL.iter().flat_map(|wanted| ALL.map(|status| (*wanted, status))) {
            assert_eq!(filter(wanted, true).passes(status), wanted == status);
        }
    }
}
