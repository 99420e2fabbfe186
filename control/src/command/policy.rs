//! The settings of an application that its endpoints inherit, checked and put into its row.

use crate::checks::Checks;
use crate::limits;
use crate::patch::Patch;
use model::{ClientErrorPolicy, Policy, RetryPolicy};

/// Settings; one that is left alone keeps the value that the row has before. The shape of a retry policy is checked by the
/// API that reads it.
#[derive(Clone, Debug, Default)]
pub struct PolicyFields {
    /// How failures are retried.
    pub retry_policy: Patch<RetryPolicy>,
    /// The consequence of a 4xx that has no meaning of its own.
    pub on_client_error: Patch<ClientErrorPolicy>,
    /// Deadline of one attempt, in milliseconds.
    pub timeout_ms: Patch<u32>,
    /// Attempts at once to each endpoint.
    pub max_in_flight: Patch<u16>,
    /// Deliveries in a row that used up their attempts, after which an endpoint is disabled.
    pub disable_after_failed_deliveries: Patch<u16>,
    /// Days that dead letters are kept.
    pub dead_letter_retention_days: Patch<u16>,
}

impl PolicyFields {
    /// Everything is inherited from the server again.
    #[must_use]
    pub fn cleared() -> PolicyFields {
        PolicyFields {
            retry_policy: Patch::Clear,
            on_client_error: Patch::Clear,
            timeout_ms: Patch::Clear,
            max_in_flight: Patch::Clear,
            disable_after_failed_deliveries: Patch::Clear,
            dead_letter_retention_days: Patch::Clear,
        }
    }

    /// Notes what is wrong, below `policy`.
    pub(super) fn check(&self, checks: &mut Checks) {
        let timeout_ms = self.timeout_ms.as_set();
        timeout_ms.iter().for_each(|ms| checks.within_at(&["policy", "timeoutMs"], **ms, &limits::TIMEOUT_MS));
        let attempts = self.max_in_flight.as_set();
        attempts.iter().for_each(|n| checks.within_at(&["policy", "maxInFlight"], **n, &limits::MAX_IN_FLIGHT));
        let (failed, field) = (self.disable_after_failed_deliveries.as_set(), "disableAfterFailedDeliveries");
        failed.iter().for_each(|n| checks.within_at(&["policy", field], **n, &limits::FAILED_DELIVERIES));
        let (days, field) = (self.dead_letter_retention_days.as_set(), "deadLetterRetentionDays");
        days.iter().for_each(|n| checks.within_at(&["policy", field], **n, &limits::DEAD_LETTER_DAYS));
    }

    /// The policy that `before` becomes.
    pub(super) fn apply(self, before: Policy) -> Policy {
        Policy {
            retry_policy: self.retry_policy.apply(before.retry_policy),
            on_client_error: self.on_client_error.apply(before.on_client_error),
            timeout_ms: self.timeout_ms.apply(before.timeout_ms),
            max_in_flight: self.max_in_flight.apply(before.max_in_flight),
            disable_after_failed_deliveries: self
                .disable_after_failed_deliveries
                .apply(before.disable_after_failed_deliveries),
            dead_letter_retention_days: self.dead_letter_retention_days.apply(before.dead_letter_retention_days),
        }
    }
}
