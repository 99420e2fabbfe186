//! The settings that are in force for an endpoint: its own, else its application's, else the server's, each field by itself.
//!
//! One function answers both the plan of an endpoint and the API that shows it, so they cannot differ.

use crate::config::EngineConfig;
use model::{ClientErrorPolicy, Policy, RetryPolicy};

/// A day in milliseconds.
const DAY_MS: u64 = 86_400_000;

/// The row or file that a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The endpoint sets it.
    Endpoint,
    /// Its application does.
    Application,
    /// Neither does: the server's configuration, or the default of the program.
    Server,
}

/// A value, and where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sourced<T> {
    /// The value in force.
    pub value: T,
    /// The level that sets it.
    pub source: Source,
}

/// Everything that is inherited, as it is in force for one endpoint. Borrows the longest field: most callers look only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effective<'a> {
    /// How failures are retried.
    pub retry_policy: Sourced<&'a RetryPolicy>,
    /// The effect of a 4xx without a meaning of its own.
    pub on_client_error: Sourced<ClientErrorPolicy>,
    /// Deadline of one attempt.
    pub timeout_ms: Sourced<u32>,
    /// Attempts at once.
    pub max_in_flight: Sourced<u16>,
    /// Deliveries in a row that used up their attempts, after which it is disabled; none for never.
    pub disable_after_failed_deliveries: Sourced<Option<u16>>,
    /// Days that dead letters are kept, the server's rounded up; none for ever.
    pub dead_letter_retention_days: Sourced<Option<u16>>,
}

impl Source {
    /// For answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Source::Endpoint => "endpoint",
            Source::Application => "application",
            Source::Server => "server",
        }
    }
}

/// The settings in force for an endpoint that sets `own`, in an application that sets `app`.
#[must_use]
pub fn effective<'a>(own: &'a Policy, app: &'a Policy, server: &'a EngineConfig) -> Effective<'a> {
    Effective {
        retry_policy: pick(own.retry_policy.as_ref(), app.retry_policy.as_ref(), &server.retry_policy),
        on_client_error: pick(own.on_client_error, app.on_client_error, server.on_client_error),
        timeout_ms: pick(own.timeout_ms, app.timeout_ms, server.attempt_timeout_ms),
        max_in_flight: pick(own.max_in_flight, app.max_in_flight, server.max_in_flight_per_endpoint),
        disable_after_failed_deliveries: pick(
            own.disable_after_failed_deliveries.map(Some),
            app.disable_after_failed_deliveries.map(Some),
            None,
        ),
        dead_letter_retention_days: pick(
            own.dead_letter_retention_days.map(Some),
            app.dead_letter_retention_days.map(Some),
            whole_days(server.retention.dead_letters_ms),
        ),
    }
}

/// The days of a time that things are kept, rounded up; none for ever.
fn whole_days(kept_ms: u64) -> Option<u16> {
    let days = u16::try_from(kept_ms.div_ceil(DAY_MS)).unwrap_or(u16::MAX);
    (days > 0).then_some(days)
}

fn pick<T>(own: Option<T>, app: Option<T>, server: T) -> Sourced<T> {
    match (own, app) {
        (Some(value), _) => Sourced { value, source: Source::Endpoint },
        (None, Some(value)) => Sourced { value, source: Source::Application },
        (None, None) => Sourced { value: server, source: Source::Server },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_is_inherited_by_itself() {
        let server = EngineConfig { attempt_timeout_ms: 7, max_in_flight_per_endpoint: 3, ..EngineConfig::default() };
        let app = Policy {
            timeout_ms: Some(8),
            on_client_error: Some(ClientErrorPolicy::DeadLetter),
            retry_policy: Some(RetryPolicy { max_attempts: 2, ..RetryPolicy::standard() }),
            ..Policy::default()
        };
        let own = Policy { timeout_ms: Some(9), ..Policy::default() };
        let found = effective(&own, &app, &server);
        assert_eq!(found.timeout_ms, Sourced { value: 9, source: Source::Endpoint });
        assert_eq!(found.on_client_error.source, Source::Application);
        assert_eq!((found.retry_policy.value.max_attempts, found.retry_policy.source), (2, Source::Application));
        assert_eq!(found.max_in_flight, Sourced { value: 3, source: Source::Server });
        let days = [0, 1, DAY_MS, DAY_MS + 1].map(whole_days);
        assert_eq!(days, [None, Some(1), Some(1), Some(2)]);
        assert_eq!(found.dead_letter_retention_days, Sourced { value: Some(30), source: Source::Server });
        let nothing = Policy::default();
        assert_eq!(effective(&nothing, &nothing, &server).timeout_ms, Sourced { value: 7, source: Source::Server });
    }
}
