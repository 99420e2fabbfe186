//! The settings of an application that its endpoints inherit: `policy` of an application, and what is in force for an endpoint.

use crate::dto::retry_policy::{OnClientError, RetryPolicyBody};
use control::command::policy::PolicyFields;
use control::{Checks, Patch};
use engine::prepare::effective::{Effective, Sourced};
use engine::retry::preview::{Step, preview};
use engine::retry::schedule::Gap;
use model::{Application, Endpoint, Policy, RetryPolicy};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The settings of endpoints that do not say otherwise, each field by itself. A field that is null or left out is the server's.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PolicyIn {
    /// How failures are retried.
    retry_policy: Option<RetryPolicyBody>,
    /// The effect of a 4xx that has no meaning of its own.
    on_client_error: Option<OnClientError>,
    /// Deadline of one attempt in milliseconds.
    #[schema(minimum = 100, maximum = 120_000)]
    timeout_ms: Option<u32>,
    /// Attempts at once to each endpoint.
    #[schema(minimum = 1, maximum = 512)]
    max_in_flight: Option<u16>,
    /// An endpoint is disabled when so many deliveries in a row used up their attempts. Left out: never for that.
    #[schema(minimum = 1, maximum = 1000)]
    disable_after_failed_deliveries: Option<u16>,
    /// Days that dead letters are kept after their deliveries were given up.
    #[schema(minimum = 1, maximum = 90)]
    dead_letter_retention_days: Option<u16>,
}

/// Changes of it: a field that is left out stays, null clears it.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PolicyPatch {
    #[serde(default)]
    #[schema(value_type = Option<RetryPolicyBody>)]
    retry_policy: Patch<RetryPolicyBody>,
    #[serde(default)]
    #[schema(value_type = Option<OnClientError>)]
    on_client_error: Patch<OnClientError>,
    #[serde(default)]
    #[schema(value_type = Option<u32>)]
    timeout_ms: Patch<u32>,
    #[serde(default)]
    #[schema(value_type = Option<u16>)]
    max_in_flight: Patch<u16>,
    #[serde(default)]
    #[schema(value_type = Option<u16>)]
    disable_after_failed_deliveries: Patch<u16>,
    #[serde(default)]
    #[schema(value_type = Option<u16>)]
    dead_letter_retention_days: Patch<u16>,
}

/// The policy of an application.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PolicyOut {
    retry_policy: Option<RetryPolicyBody>,
    on_client_error: Option<OnClientError>,
    timeout_ms: Option<u32>,
    max_in_flight: Option<u16>,
    disable_after_failed_deliveries: Option<u16>,
    dead_letter_retention_days: Option<u16>,
}

/// The settings that are in force for an endpoint, and where each comes from.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EffectivePolicyOut {
    retry_policy: SourcedRetryPolicy,
    on_client_error: SourcedOnClientError,
    timeout_ms: SourcedNumber,
    max_in_flight: SourcedNumber,
    disable_after_failed_deliveries: SourcedLimit,
    dead_letter_retention_days: SourcedDays,
    /// Deliveries that this rate may save up; null for one, and those of a tenth of a second.
    burst: Option<u32>,
    /// Deliveries per second of this endpoint alone. Not inherited; null for no limit.
    throttle_rate: Option<u32>,
    /// Deliveries per second of all endpoints of the application together; null for no limit. Both hold.
    application_throttle_rate: Option<u32>,
    /// Attempts at once over all endpoints of the application; null for no limit. Both hold.
    application_max_in_flight: Option<u32>,
}

#[derive(Debug, Serialize, ToSchema)]
struct SourcedRetryPolicy {
    value: RetryPolicyBody,
    /// `endpoint`, `application` or `server`.
    source: &'static str,
}

#[derive(Debug, Serialize, ToSchema)]
struct SourcedOnClientError {
    value: OnClientError,
    /// `endpoint`, `application` or `server`.
    source: &'static str,
}

#[derive(Debug, Serialize, ToSchema)]
struct SourcedNumber {
    value: u32,
    /// `endpoint`, `application` or `server`.
    source: &'static str,
}

#[derive(Debug, Serialize, ToSchema)]
struct SourcedLimit {
    /// Null for never.
    value: Option<u16>,
    /// `endpoint`, `application` or `server`.
    source: &'static str,
}

#[derive(Debug, Serialize, ToSchema)]
struct SourcedDays {
    /// Null for ever. The server's own is set in hours, and rounded up here.
    value: Option<u16>,
    /// `endpoint`, `application` or `server`.
    source: &'static str,
}

/// A retry policy laid out in time. Attempts are taken to last no time: really they come later by their own durations, by a
/// `Retry-After`, and by whatever holds the endpoint back.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RetryPreviewOut {
    retry_policy: RetryPolicyBody,
    /// The attempts of a delivery that always fails, in order.
    attempts: Vec<PreviewedAttempt>,
    /// From the first attempt to the dead letter: it comes with the end of the last attempt.
    dead_letter_after: PreviewedGap,
}

#[derive(Debug, Serialize, ToSchema)]
struct PreviewedAttempt {
    /// From 1.
    attempt: u16,
    /// The time since the attempt before.
    gap: PreviewedGap,
    /// The time since the first attempt.
    offset: PreviewedGap,
}

/// A time in milliseconds, as early and as late as jitter may make it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct PreviewedGap {
    earliest_ms: u64,
    /// Without jitter.
    nominal_ms: u64,
    latest_ms: u64,
}

impl PolicyIn {
    /// The fields of a command. Notes policies without shape.
    pub(crate) fn into_fields(self, checks: &mut Checks) -> PolicyFields {
        let retry = self.retry_policy.iter();
        retry.for_each(|policy| policy.check(&["policy", "retryPolicy"], checks));
        PolicyFields {
            retry_policy: self.retry_policy.map(|policy| policy.to_model()).into(),
            on_client_error: self.on_client_error.map(Into::into).into(),
            timeout_ms: self.timeout_ms.into(),
            max_in_flight: self.max_in_flight.into(),
            disable_after_failed_deliveries: self.disable_after_failed_deliveries.into(),
            dead_letter_retention_days: self.dead_letter_retention_days.into(),
        }
    }
}

impl PolicyPatch {
    /// As [`PolicyIn::into_fields`].
    pub(crate) fn into_fields(self, checks: &mut Checks) -> PolicyFields {
        let retry = self.retry_policy.as_set();
        retry.iter().for_each(|policy| policy.check(&["policy", "retryPolicy"], checks));
        PolicyFields {
            retry_policy: self.retry_policy.map(|policy| policy.to_model()),
            on_client_error: self.on_client_error.map(Into::into),
            timeout_ms: self.timeout_ms,
            max_in_flight: self.max_in_flight,
            disable_after_failed_deliveries: self.disable_after_failed_deliveries,
            dead_letter_retention_days: self.dead_letter_retention_days,
        }
    }
}

impl From<&Policy> for PolicyOut {
    fn from(policy: &Policy) -> PolicyOut {
        PolicyOut {
            retry_policy: policy.retry_policy.as_ref().map(Into::into),
            on_client_error: policy.on_client_error.map(Into::into),
            timeout_ms: policy.timeout_ms,
            max_in_flight: policy.max_in_flight,
            disable_after_failed_deliveries: policy.disable_after_failed_deliveries,
            dead_letter_retention_days: policy.dead_letter_retention_days,
        }
    }
}

impl EffectivePolicyOut {
    /// Of an endpoint in its application.
    pub(crate) fn of(found: &Effective<'_>, endpoint: &Endpoint, app: &Application) -> EffectivePolicyOut {
        let number = |number: Sourced<u32>| SourcedNumber { value: number.value, source: number.source.as_str() };
        let Sourced { value: max_in_flight, source } = found.max_in_flight;
        EffectivePolicyOut {
            retry_policy: SourcedRetryPolicy {
                value: found.retry_policy.value.into(),
                source: found.retry_policy.source.as_str(),
            },
            on_client_error: SourcedOnClientError {
                value: found.on_client_error.value.into(),
                source: found.on_client_error.source.as_str(),
            },
            timeout_ms: number(found.timeout_ms),
            max_in_flight: number(Sourced { value: max_in_flight.into(), source }),
            disable_after_failed_deliveries: SourcedLimit {
                value: found.disable_after_failed_deliveries.value,
                source: found.disable_after_failed_deliveries.source.as_str(),
            },
            dead_letter_retention_days: SourcedDays {
                value: found.dead_letter_retention_days.value,
                source: found.dead_letter_retention_days.source.as_str(),
            },
            burst: endpoint.burst,
            throttle_rate: endpoint.rate_limit,
            application_throttle_rate: app.rate_limit,
            application_max_in_flight: app.max_in_flight,
        }
    }
}

impl RetryPreviewOut {
    /// Of a policy that is valid.
    pub(crate) fn of(policy: &RetryPolicy) -> RetryPreviewOut {
        let steps = preview(policy);
        let last = steps.last().map_or_else(Gap::default, |step| step.offset);
        RetryPreviewOut {
            retry_policy: policy.into(),
            attempts: steps.into_iter().map(Into::into).collect(),
            dead_letter_after: last.into(),
        }
    }
}

impl From<Step> for PreviewedAttempt {
    fn from(step: Step) -> PreviewedAttempt {
        PreviewedAttempt { attempt: step.attempt, gap: step.gap.into(), offset: step.offset.into() }
    }
}

impl From<Gap> for PreviewedGap {
    fn from(gap: Gap) -> PreviewedGap {
        PreviewedGap { earliest_ms: gap.earliest_ms, nominal_ms: gap.nominal_ms, latest_ms: gap.latest_ms }
    }
}
