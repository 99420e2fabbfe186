//! Deliveries that a job passed over: left as they were for a reason, or failed at because of damage.

use crate::id::{EndpointId, Seq};

/// Deliveries that a job names of those that it left as they are, and of those that it failed at: the first ones of each.
pub const SHOWN_MAX: usize = 20;

/// A delivery that a job left as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skip {
    /// The endpoint of the delivery.
    pub endpoint: EndpointId,
    /// The event of the delivery.
    pub seq: Seq,
    /// Why.
    pub reason: SkipReason,
}

/// Why a job left a delivery as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SkipReason {
    /// It was delivered.
    Delivered,
    /// It waits for its first attempt or for another one.
    OnItsWay,
    /// It was tried, and given up.
    GivenUp,
    /// The endpoint does not want this message now.
    NotMatched,
    /// It was not for the endpoint when it was taken.
    NeverForIt,
    /// Its attempts are past their retention: whether it was delivered is not known any more.
    HistoryGone,
    /// The message is past its retention.
    MessageGone,
    /// The payload of the message was removed on request.
    PayloadGone,
    /// The endpoint was disabled while the job ran.
    EndpointDisabled,
    /// The filter of the job does not name it.
    NotNamed,
    /// The message is past its own expiry.
    PastExpiry,
    /// The message was scheduled, and called off before its time.
    CalledOff,
}

impl SkipReason {
    /// Every reason.
    pub const ALL: [SkipReason; 12] = [
        SkipReason::Delivered,
        SkipReason::OnItsWay,
        SkipReason::GivenUp,
        SkipReason::NotMatched,
        SkipReason::NeverForIt,
        SkipReason::HistoryGone,
        SkipReason::MessageGone,
        SkipReason::PayloadGone,
        SkipReason::EndpointDisabled,
        SkipReason::NotNamed,
        SkipReason::PastExpiry,
        SkipReason::CalledOff,
    ];

    /// The word that the API shows.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            SkipReason::Delivered => "delivered",
            SkipReason::OnItsWay => "on_its_way",
            SkipReason::GivenUp => "given_up",
            SkipReason::NotMatched => "not_matched",
            SkipReason::NeverForIt => "never_for_it",
            SkipReason::HistoryGone => "history_gone",
            SkipReason::MessageGone => "message_gone",
            SkipReason::PayloadGone => "payload_gone",
            SkipReason::EndpointDisabled => "endpoint_disabled",
            SkipReason::NotNamed => "not_named",
            SkipReason::PastExpiry => "past_expiry",
            SkipReason::CalledOff => "called_off",
        }
    }
}

/// Numbers of deliveries that a job left as they are, by [`SkipReason`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Skipped([u64; SkipReason::ALL.len()]);

impl Skipped {
    /// Counts one.
    pub fn count(&mut self, reason: SkipReason) {
        self.add(reason, 1);
    }

    /// Counts several.
    pub fn add(&mut self, reason: SkipReason, number: u64) {
        let count = &mut self.0[reason as usize];
        *count = count.saturating_add(number);
    }

    /// The number for this reason.
    #[must_use]
    pub fn of(&self, reason: SkipReason) -> u64 {
        self.0[reason as usize]
    }

    /// The number in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().copied().fold(0, u64::saturating_add)
    }
}

/// A delivery that a job could not decide about, and passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The endpoint of the delivery.
    pub endpoint: EndpointId,
    /// The event of the delivery.
    pub seq: Seq,
    /// Why.
    pub reason: FailureReason,
}

/// Why a job could not decide about a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FailureReason {
    /// The message is damaged on the disk.
    MessageDamaged,
    /// Rows of the delivery are: its attempts, its dead letter, its place in line; or its endpoint.
    DeliveryDamaged,
}

impl FailureReason {
    /// Every reason.
    pub const ALL: [FailureReason; 2] = [FailureReason::MessageDamaged, FailureReason::DeliveryDamaged];

    /// The word that the API shows.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            FailureReason::MessageDamaged => "message_damaged",
            FailureReason::DeliveryDamaged => "delivery_damaged",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skipped_deliveries_are_counted_by_reason_and_all_reasons_have_their_own_number() {
        let mut skipped = Skipped::default();
        for (times, reason) in SkipReason::ALL.into_iter().enumerate() {
            (0..=times).for_each(|_| skipped.count(reason));
        }
        let counts: Vec<u64> = SkipReason::ALL.into_iter().map(|reason| skipped.of(reason)).collect();
        assert_eq!(counts, (1..=SkipReason::ALL.len() as u64).collect::<Vec<_>>());
        assert_eq!(skipped.total(), counts.iter().sum());
        assert_eq!(Skipped::default().of(SkipReason::Delivered), 0);
    }
}
