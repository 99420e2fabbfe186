//! The use of each quota by an application.

use control::query::usage::{Usage, Used};
use serde::Serialize;
use utoipa::ToSchema;

/// A count, and its quota.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UsedOut {
    /// The number of things. It is above `most` where the quota was lowered.
    used: u32,
    /// The quota: the number of things that there may be.
    most: u32,
}

/// The use of each quota by an application.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UsageOut {
    endpoints: UsedOut,
    /// API keys that are limited to it.
    api_keys: UsedOut,
    /// Jobs that have more to do.
    running_jobs: UsedOut,
    /// Jobs that are kept, ended ones included.
    jobs: UsedOut,
    /// Beyond, the oldest make room for new ones.
    dead_letters: UsedOut,
    /// Idempotency keys that are remembered; beyond, requests with another one are refused.
    idempotency_keys: UsedOut,
    /// Messages whose time has not come; beyond, another one is refused.
    scheduled_messages: UsedOut,
}

impl From<Used> for UsedOut {
    fn from(Used { used, most }: Used) -> UsedOut {
        UsedOut { used, most }
    }
}

impl From<Usage> for UsageOut {
    fn from(usage: Usage) -> UsageOut {
        UsageOut {
            endpoints: usage.endpoints.into(),
            api_keys: usage.api_keys.into(),
            running_jobs: usage.running_jobs.into(),
            jobs: usage.jobs.into(),
            dead_letters: usage.dead_letters.into(),
            idempotency_keys: usage.idempotency_keys.into(),
            scheduled_messages: usage.scheduled_messages.into(),
        }
    }
}
