//! An attempt: one HTTP request for a delivery, and its result.

use crate::attempt_details::AttemptDetails;
use crate::id::Seq;
use crate::time::UnixMs;

/// Why an attempt was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// First try or retry of the schedule.
    Scheduled,
    /// Asked for: resend, recover or redrive.
    Manual,
    /// Given up at the backup of its endpoint: once more at the endpoint itself.
    LastAtPrimary,
    /// Given up at its endpoint: once more at the backup.
    LastAtBackup,
}

/// The result of an attempt, coarse enough for a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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

/// A defect of an answer whose status counts all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AnswerNote {
    /// The status line came, but its headers did not end within the bound.
    HeadTooLong,
    /// A line of the head is malformed.
    HeadMalformed,
    /// `Content-Length` and `Transfer-Encoding` contradict each other, themselves or the version.
    LengthContradicts,
    /// A chunk of the body is malformed.
    BodyMalformed,
    /// More came than the answer said.
    Surplus,
    /// The connection or the stream ended before the answer did.
    BrokenOff,
    /// The deadline passed before the answer ended.
    TooLate,
}

impl AnswerNote {
    /// Every note, in the order of their numbers.
    pub const ALL: [AnswerNote; 7] = [
        AnswerNote::HeadTooLong,
        AnswerNote::HeadMalformed,
        AnswerNote::LengthContradicts,
        AnswerNote::BodyMalformed,
        AnswerNote::Surplus,
        AnswerNote::BrokenOff,
        AnswerNote::TooLate,
    ];

    /// The sentence that the API shows.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            AnswerNote::HeadTooLong => "the head of the answer is too long: its status counts",
            AnswerNote::HeadMalformed => "the head of the answer is malformed: its status counts",
            AnswerNote::LengthContradicts => "the answer contradicts itself about its length: its status counts",
            AnswerNote::BodyMalformed => "a chunk of the answer is malformed: its status counts",
            AnswerNote::Surplus => "more came than the answer's length: its status counts",
            AnswerNote::BrokenOff => "the answer broke off before its end: its status counts",
            AnswerNote::TooLate => "the answer was not complete within the deadline: its status counts",
        }
    }
}

/// One attempt as the history keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// Its result.
    pub outcome: OutcomeClass,
    /// The HTTP status; 0 when there was none.
    pub status: u16,
    /// The start of the response body, or the error in words. Never a secret, at most a few KiB.
    pub response: Vec<u8>,
    /// When the next attempt is due, if one is.
    pub next_attempt_at: Option<UnixMs>,
    /// The fault of an answer whose status counts.
    pub note: Option<AnswerNote>,
    /// Which of the endpoint's URLs was called, from 0: see `storage::tables::endpoint_url`.
    pub url_number: u32,
    /// How it went; none where the server does not keep that.
    pub details: Option<Box<AttemptDetails>>,
}
