//! The status of deliveries and attempts, in the five words of the API.

use engine::DeliveryState;
use model::{AttemptRecord, OutcomeClass, UnixMs};

/// The status of a delivery or an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Delivered; an attempt: succeeded.
    Success,
    /// Among the endpoints of a message: no attempt yet, or one that was asked for by hand is to come.
    Pending,
    /// Given up; an attempt: failed; among the endpoints of a message: the last attempt failed.
    Fail,
    /// Among the messages of an endpoint: on its way, with the time of the next attempt once there was one.
    Sending,
    /// Not sent, because the endpoint was disabled. Only for callers that ask for expanded statuses.
    Canceled,
}

/// A delivery that is known to stand somehow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its status.
    pub status: Status,
    /// When its next attempt is due, if one is.
    pub next_attempt: Option<UnixMs>,
}

/// The statuses that a caller wants to see.
#[derive(Clone, Copy, Debug, Default)]
pub struct StatusFilter {
    /// Only this one; all when none.
    pub wanted: Option<Status>,
    /// The caller tells canceled from given up.
    pub is_expanded: bool,
}

impl Status {
    /// As a caller sees it that does not know [`Status::Canceled`].
    #[must_use]
    pub fn plain(self) -> Status {
        if self == Status::Canceled { Status::Fail } else { self }
    }

    /// As an attempt stands.
    #[must_use]
    pub fn of_attempt(record: &AttemptRecord) -> Status {
        if record.outcome == OutcomeClass::Success { Status::Success } else { Status::Fail }
    }
}

impl Standing {
    /// The standing of a delivery among the messages of its endpoint. None when the message was not for the endpoint,
    /// or when that is not known any more.
    #[must_use]
    pub fn of_delivery(state: &DeliveryState) -> Option<Standing> {
        let (status, next_attempt) = match state {
            DeliveryState::Delivered => (Status::Success, None),
            DeliveryState::Waiting(pending) => (Status::Sending, Some(pending.due)),
            DeliveryState::Queued => (Status::Sending, None),
            DeliveryState::DeadLettered(_) | DeliveryState::Discarded => (Status::Fail, None),
            DeliveryState::Cancelled(_) | DeliveryState::CalledOff => (Status::Canceled, None),
            DeliveryState::NotMatched | DeliveryState::HistoryGone => return None,
        };
        Some(Standing { status, next_attempt })
    }

    /// The same among the endpoints of a message, where clients expect the outcome of the last attempt.
    #[must_use]
    pub fn of_destination(state: &DeliveryState) -> Option<Standing> {
        let standing = Standing::of_delivery(state)?;
        let status = match state {
            DeliveryState::Waiting(pending) if pending.last_outcome.is_some() => Status::Fail,
            DeliveryState::Waiting(_) | DeliveryState::Queued => Status::Pending,
            _ => standing.status.plain(),
        };
        Some(Standing { status, ..standing })
    }
}

impl StatusFilter {
    /// A status as this caller sees it.
    #[must_use]
    pub fn shown(self, status: Status) -> Status {
        if self.is_expanded { status } else { status.plain() }
    }

    /// True if the caller wants to see this status.
    #[must_use]
    pub fn passes(self, status: Status) -> bool {
        self.wanted.is_none_or(|wanted| self.shown(status) == self.shown(wanted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Pending, Trigger};

    const ALL: [Status; 5] = [Status::Success, Status::Pending, Status::Fail, Status::Sending, Status::Canceled];

    #[test]
    fn a_delivery_between_two_attempts_is_sending_from_one_side_and_failed_from_the_other() {
        let waits = |last_outcome| {
            DeliveryState::Waiting(Pending { attempts: 1, due: UnixMs(5), last_outcome, trigger: Trigger::Scheduled })
        };
        let due = Some(UnixMs(5));
        for (state, of_endpoint, of_message) in [
            (waits(Some(OutcomeClass::Timeout)), Some((Status::Sending, due)), Some((Status::Fail, due))),
            (waits(None), Some((Status::Sending, due)), Some((Status::Pending, due))),
            (DeliveryState::Queued, Some((Status::Sending, None)), Some((Status::Pending, None))),
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
        assert_eq!(filter(Status::Fail, false).shown(Status::Canceled), Status::Fail);
        assert_eq!(filter(Status::Fail, true).shown(Status::Canceled), Status::Canceled);
        assert!(filter(Status::Fail, false).passes(Status::Canceled));
        assert!(!filter(Status::Fail, true).passes(Status::Canceled));
        // A filter finds the status that is shown and nothing else.
        for (wanted, status) in ALL.iter().flat_map(|wanted| ALL.map(|status| (*wanted, status))) {
            assert_eq!(filter(wanted, true).passes(status), wanted == status);
        }
    }
}
