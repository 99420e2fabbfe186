//! Settings of delivery that are inherited: an endpoint's own, else its application's, else the server's, each field by
//! itself.
//!
//! Plain values. `engine::prepare::effective` decides which of them is in force.

use crate::retry_policy::{ClientErrorPolicy, RetryPolicy};

/// The inherited settings of an application, or those that an endpoint sets itself. A field that is none is inherited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// How failures are retried.
    pub retry_policy: Option<RetryPolicy>,
    /// The meaning of a 4xx other than 408, 410, 425, 429.
    pub on_client_error: Option<ClientErrorPolicy>,
    /// Deadline of one attempt.
    pub timeout_ms: Option<u32>,
    /// Attempts at once to one endpoint.
    pub max_in_flight: Option<u16>,
    /// An endpoint is disabled when so many deliveries in a row used up their attempts.
    pub disable_after_failed_deliveries: Option<u16>,
    /// Days that dead letters are kept after their deliveries were given up.
    pub dead_letter_retention_days: Option<u16>,
}

/// The part of an application's row that its endpoints' lanes keep to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppSettings {
    /// Deliveries per second to all its endpoints together; none for no limit.
    pub rate_limit: Option<u32>,
    /// The settings that its endpoints inherit.
    pub policy: Policy,
    /// Attempts at once over all its endpoints; none for no limit.
    pub max_in_flight: Option<u32>,
}

impl AppSettings {
    /// True if an application that never set anything has the same.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        *self == AppSettings::default()
    }
}
