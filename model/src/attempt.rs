//! An attempt: one HTTP request for a delivery, and what it showed.

use crate::id::Seq;
use crate::time::UnixMs;
use bincode::{Decode, Encode};

/// Why an attempt was made. Persisted: never reorder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Trigger {
    /// First try or retry of the schedule.
    Scheduled,
    /// Asked for: resend, recover or redrive.
    Manual,
}

/// What an attempt showed, coarse enough for a metric label. Persisted: never reorder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub enum OutcomeClass {
    /// 2xx.
    Success,
    /// 3xx: never followed.
    Redirect,
    /// 4xx with no meaning of its own.
    ClientError,
    /// 410: the endpoint wants no more.
    Gone,
    /// 408 or 425: try again.
    RetryableClientError,
    /// 429: slow down.
    Throttled,
    /// 5xx.
    ServerError,
    /// The deadline passed before the answer was complete.
    Timeout,
    /// No connection: refused, unreachable, reset while connecting.
    ConnectError,
    /// The name did not resolve.
    DnsError,
    /// The address guard refused the target.
    Refused,
    /// TLS failed.
    TlsError,
    /// The connection broke, or the answer was not HTTP.
    TransportError,
    /// No request could be made: e.g. its secret did not open.
    InternalError,
}

impl OutcomeClass {
    /// Every class, for metrics that start at zero.
    pub const ALL: [OutcomeClass; 14] = [
        OutcomeClass::Success,
        OutcomeClass::Redirect,
        OutcomeClass::ClientError,
        OutcomeClass::Gone,
        OutcomeClass::RetryableClientError,
        OutcomeClass::Throttled,
        OutcomeClass::ServerError,
        OutcomeClass::Timeout,
        OutcomeClass::ConnectError,
        OutcomeClass::DnsError,
        OutcomeClass::Refused,
        OutcomeClass::TlsError,
        OutcomeClass::TransportError,
        OutcomeClass::InternalError,
    ];

    /// The word that the API, logs and metrics show.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            OutcomeClass::Success => "success",
            OutcomeClass::Redirect => "redirect",
            OutcomeClass::ClientError => "client_error",
            OutcomeClass::Gone => "gone",
            OutcomeClass::RetryableClientError => "retryable_client_error",
            OutcomeClass::Throttled => "throttled",
            OutcomeClass::ServerError => "server_error",
            OutcomeClass::Timeout => "timeout",
            OutcomeClass::ConnectError => "connect_error",
            OutcomeClass::DnsError => "dns_error",
            OutcomeClass::Refused => "refused",
            OutcomeClass::TlsError => "tls_error",
            OutcomeClass::TransportError => "transport_error",
            OutcomeClass::InternalError => "internal_error",
        }
    }
}

/// One attempt as the history keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct AttemptRecord {
    /// The event it was for.
    pub seq: Seq,
    /// When it started.
    pub started_at: UnixMs,
    /// From start to the last byte read or the error.
    pub duration_ms: u32,
    /// Which attempt of its delivery this was, from 1.
    pub attempt: u16,
    /// Why it was made.
    pub trigger: Trigger,
    /// What it showed.
    pub outcome: OutcomeClass,
    /// The HTTP status; 0 when there was none.
    pub status: u16,
    /// The start of the response body, or the error in words. Never a secret, at most a few KiB.
    pub response: Vec<u8>,
    /// When the next attempt is due, if one is.
    pub next_attempt_at: Option<UnixMs>,
}
