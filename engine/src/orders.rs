//! Orders by hand, and what each comes to for a delivery: the one place that says whether a delivery is put
//! back in line, or left as it is and why.
//!
//! | stands | resend | recover | replay-missing | bulk-replay |
//! |---|---|---|---|---|
//! | waits, or queued | sent | on its way | on its way | on its way |
//! | delivered | sent | delivered | delivered | sent if it matches now |
//! | given up after attempts | sent | sent | given up | sent if it matches now |
//! | given up without one | sent | sent | sent if it matches now | sent if it matches now |
//! | cancelled | sent | sent | sent if it matches now | sent if it matches now |
//! | called off | sent | called off | called off | called off |
//! | not matched when taken | sent | never for it | sent if it matches now | sent if it matches now |
//! | history gone | sent | history gone | history gone | sent if it matches now |
//!
//! A resend names its message, so it is an order: the filter and the state do not matter. Recover is told by durable
//! facts alone.
//!
//! An order adds one attempt to those that are owed anyway. So a message that is queued is sent at once for its resend,
//! and again in its turn, under the same id. Only when the ordered attempt is in flight as its turn comes is that one
//! attempt enough for both. To skip the turn in every case, each endpoint would have to remember its carried-out orders
//! ahead of its cursor; at-least-once delivery permits the repeat, and the receiver knows it by its id.
//!
//! Pure.

use crate::delivery_state::DeliveryState;
use model::{JobKind, SkipReason};

/// The order that a job carries out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// This one message once more.
    Resend,
    /// Deliveries that were given up or cancelled.
    Recover,
    /// Deliveries that were never tried and match now.
    ReplayMissing,
    /// All that matches now.
    Replay,
}

impl Order {
    /// The order of a job over a span of the log; none for other jobs.
    #[must_use]
    pub fn of(kind: JobKind) -> Option<Order> {
        match kind {
            JobKind::Recover(_) => Some(Order::Recover),
            JobKind::ReplayMissing(_) => Some(Order::ReplayMissing),
            JobKind::Replay(_) => Some(Order::Replay),
            JobKind::RedriveDeadLetters
            | JobKind::PurgeDeadLetters
            | JobKind::Erase
            | JobKind::PurgeEndpoint
            | JobKind::PurgeApplication => None,
        }
    }

    /// True if the endpoint's present filter matters.
    #[must_use]
    pub fn asks_filter(self) -> bool {
        matches!(self, Order::ReplayMissing | Order::Replay)
    }

    /// Tells if a delivery in this state is put back in line; else the reason. `wanted` is true when the endpoint's
    /// filter lets its event pass now, whatever its age.
    ///
    /// # Errors
    /// The reason to leave it as it is.
    pub fn rule(self, state: &DeliveryState, wanted: bool) -> Result<(), SkipReason> {
        let if_wanted = if wanted { Ok(()) } else { Err(SkipReason::NotMatched) };
        if self == Order::Resend {
            return Ok(());
        }
        match (state, self) {
            (DeliveryState::Waiting(_) | DeliveryState::Queued, _) => Err(SkipReason::OnItsWay),
            (DeliveryState::CalledOff, _) => Err(SkipReason::CalledOff),
            (_, Order::Replay) => if_wanted,
            (DeliveryState::Delivered, _) => Err(SkipReason::Delivered),
            (DeliveryState::HistoryGone, _) => Err(SkipReason::HistoryGone),
            (
                DeliveryState::DeadLettered(_) | DeliveryState::Discarded | DeliveryState::Cancelled(_),
                Order::Recover,
            ) => Ok(()),
            (DeliveryState::NotMatched, Order::Recover) => Err(SkipReason::NeverForIt),
            (DeliveryState::DeadLettered(letter), _) if letter.attempts == 0 => if_wanted,
            (DeliveryState::DeadLettered(_) | DeliveryState::Discarded, _) => Err(SkipReason::GivenUp),
            (DeliveryState::Cancelled(_) | DeliveryState::NotMatched, _) => if_wanted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{DeadLetter, DeadLetterReason, DisabledReason, Pending, Trigger, UnixMs};

    fn letter(attempts: u16) -> DeliveryState {
        let reason = DeadLetterReason::EndpointDisabled;
        DeliveryState::DeadLettered(DeadLetter { at: UnixMs(1), attempts, reason, last_outcome: None, last_status: 0 })
    }

    #[test]
    fn every_standing_has_its_ruling_under_every_order() {
        use SkipReason::{Delivered, GivenUp, HistoryGone, NeverForIt, NotMatched, OnItsWay};
        let row = Pending { attempts: 0, due: UnixMs(1), last_outcome: None, trigger: Trigger::Manual };
        let unwanted = Err(NotMatched);
        // Recover; replay-missing of what matches now and of what does not; the same two of bulk-replay.
        let table = [
            (DeliveryState::Waiting(row), [Err(OnItsWay); 5]),
            (DeliveryState::Queued, [Err(OnItsWay); 5]),
            (DeliveryState::CalledOff, [Err(SkipReason::CalledOff); 5]),
            (DeliveryState::Delivered, [Err(Delivered), Err(Delivered), Err(Delivered), Ok(()), unwanted]),
            (letter(3), [Ok(()), Err(GivenUp), Err(GivenUp), Ok(()), unwanted]),
            (letter(0), [Ok(()), Ok(()), unwanted, Ok(()), unwanted]),
            (DeliveryState::Discarded, [Ok(()), Err(GivenUp), Err(GivenUp), Ok(()), unwanted]),
            (DeliveryState::Cancelled(DisabledReason::Gone), [Ok(()), Ok(()), unwanted, Ok(()), unwanted]),
            (DeliveryState::NotMatched, [Err(NeverForIt), Ok(()), unwanted, Ok(()), unwanted]),
            (DeliveryState::HistoryGone, [Err(HistoryGone), Err(HistoryGone), Err(HistoryGone), Ok(()), unwanted]),
        ];
        for (state, [recover, missing, missing_unwanted, replay, replay_unwanted]) in table {
            for wanted in [true, false] {
                assert_eq!(Order::Resend.rule(&state, wanted), Ok(()), "{state:?}");
                assert_eq!(Order::Recover.rule(&state, wanted), recover, "{state:?}");
            }
            assert_eq!(Order::ReplayMissing.rule(&state, true), missing, "{state:?}");
            assert_eq!(Order::ReplayMissing.rule(&state, false), missing_unwanted, "{state:?}");
            assert_eq!(Order::Replay.rule(&state, true), replay, "{state:?}");
            assert_eq!(Order::Replay.rule(&state, false), replay_unwanted, "{state:?}");
        }
    }
}
