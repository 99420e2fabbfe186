//! Every bound of the HTTP surface in one file, so that the documentation can quote it.
//!
//! Deliberately split in two: what an operator may change is in [`ApiLimits`], what the stored formats and the clients
//! rely on is a constant.

use engine::retry::schedule;
use std::time::Duration;

/// Bounds that an operator may change. The defaults are what the documentation states.
#[derive(Clone, Debug)]
pub struct ApiLimits {
    /// Bytes of one request body, and so of one message with its payload.
    pub body_bytes: usize,
    /// Bytes of the body of one batch.
    pub batch_body_bytes: usize,
    /// Bytes of all larger bodies that are read or answered at once, of which a key may have half; more get 503 with
    /// `Retry-After`. One always fits.
    pub bodies_bytes: usize,
    /// Bytes of all larger answers that clients have not read yet, of which a key may have half; more get 503 with
    /// `Retry-After`.
    pub answers_bytes: usize,
    /// A body that comes slower is answered 408, after [`BODY_GRACE`].
    pub body_bytes_per_s: usize,
    /// Messages of one batch.
    pub batch_items: usize,
    /// Requests answered at once, of which a key may have half; more get 503 with `Retry-After`.
    pub concurrent_requests: usize,
    /// How long one request may take, its body included.
    pub request_timeout: Duration,
    /// How much of everything there may be.
    pub quotas: Quotas,
}

/// How much one application may have, and how many event types all may have together. What is beyond is refused; what was
/// there before a quota was lowered stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotas {
    /// Endpoints of one application.
    pub endpoints: u32,
    /// API keys that are limited to one application.
    pub api_keys: u32,
    /// Event types of the catalogue, archived ones too.
    pub event_types: u32,
    /// Jobs of one application that have more to do.
    pub running_jobs: u32,
    /// Jobs of one application that are kept, ended ones too.
    pub jobs: u32,
}

impl Default for Quotas {
    fn default() -> Quotas {
        Quotas { endpoints: 1_000, api_keys: 100, event_types: 10_000, running_jobs: 100, jobs: 10_000 }
    }
}

impl Default for ApiLimits {
    fn default() -> ApiLimits {
        ApiLimits {
            body_bytes: 1 << 20,
            batch_body_bytes: 16 << 20,
            bodies_bytes: 256 << 20,
            answers_bytes: 64 << 20,
            body_bytes_per_s: 16 * 1024,
            batch_items: 1_000,
            concurrent_requests: 4_096,
            request_timeout: Duration::from_secs(30),
            quotas: Quotas::default(),
        }
    }
}

/// Bytes of the request line and headers together: for the server that accepts the connections.
pub const HEADER_BYTES_MAX: usize = 32 * 1024;
/// Headers of one request: for the server that accepts the connections.
pub const HEADERS_MAX: usize = 100;
/// Bytes of a request's path and query.
pub const REQUEST_URI_BYTES_MAX: usize = 8 * 1024;

/// How long a body may come as slowly as it likes.
pub const BODY_GRACE: Duration = Duration::from_secs(5);

/// Bodies up to this many bytes are copied out of the connection's buffer, and take no room of
/// [`ApiLimits::bodies_bytes`] or [`ApiLimits::answers_bytes`]: what bounds them is how many requests there are at once.
pub(crate) const SMALL_BODY_BYTES_MAX: usize = 16 * 1024;

/// Items of a page when the caller does not say.
pub(crate) const PAGE_DEFAULT: usize = 50;
/// Items of a page at most.
pub(crate) const PAGE_MAX: usize = 250;
/// Rows that one page looks at once it has found an item; a page that ends for this reason says `done: false`.
pub(crate) const PAGE_SCAN_MAX: usize = 2_000;
/// Rows that one page looks at to find its first item.
pub(crate) const PAGE_SEARCH_MAX: usize = 20_000;
/// Bytes of payload that one page reads to find its first item.
pub(crate) const PAGE_SEARCH_BYTES: usize = 64 << 20;
/// Endpoints looked at for one page of the attempts of one message; a page that ends for this reason says `done: false`.
pub(crate) const ENDPOINTS_SCAN_MAX: usize = 10_000;
/// Bytes of payload after which a page ends early, with `done: false`.
pub(crate) const PAGE_PAYLOAD_BYTES: usize = 1 << 20;
/// Newest messages that an endpoint's statistics are counted over.
pub(crate) const STATS_EVENTS_MAX: usize = 10_000;

/// Characters of a uid, an event id or an event type.
pub(crate) const NAME_MAX: usize = 256;
/// Characters of a channel.
pub(crate) const CHANNEL_MAX: usize = 128;
/// Channels of a message.
pub(crate) const MESSAGE_CHANNELS_MAX: usize = 5;
/// Tags of a message.
pub(crate) const MESSAGE_TAGS_MAX: usize = 10;
/// Bytes of a tag.
pub(crate) const TAG_BYTES_MAX: usize = 128;
/// Bytes of the content type of a raw payload.
pub(crate) const CONTENT_TYPE_BYTES_MAX: usize = 256;
/// Days that a message may ask its payload to be kept.
pub(crate) const PAYLOAD_DAYS: std::ops::RangeInclusive<i64> = 5..=90;
/// The same in hours.
pub(crate) const PAYLOAD_HOURS: std::ops::RangeInclusive<i64> = 1..=90 * 24;
/// Channels of an endpoint.
pub(crate) const ENDPOINT_CHANNELS_MAX: usize = 10;
/// Entries of an endpoint's filter by event type.
pub(crate) const ENDPOINT_EVENT_TYPES_MAX: usize = 100;
/// Bytes of a name that is only for people.
pub(crate) const LABEL_BYTES_MAX: usize = 512;
/// Bytes of a description.
pub(crate) const DESCRIPTION_BYTES_MAX: usize = 2_048;
/// Bytes of the metadata of an application or endpoint as JSON.
pub(crate) const METADATA_BYTES_MAX: usize = 2_048;
/// Custom headers of an endpoint.
pub(crate) const TARGET_HEADERS_MAX: usize = 32;
/// Bytes of all custom headers of an endpoint, names and values.
pub(crate) const TARGET_HEADERS_BYTES_MAX: usize = 4_096;
/// Custom headers that one patch may set, and that it may remove: all there can be, replaced by as many others.
pub(crate) const HEADERS_PATCHED_MAX: usize = 2 * TARGET_HEADERS_MAX;
/// Bytes of an endpoint's own root certificates in PEM.
pub(crate) const CA_PEM_BYTES_MAX: usize = 64 * 1024;
/// Bytes of an `Idempotency-Key`.
pub(crate) const IDEMPOTENCY_KEY_BYTES_MAX: usize = 256;
/// Messages per second, of an endpoint or application.
pub(crate) const RATE_MAX: u32 = 1_000_000;
/// Signing secrets that stay valid after rotations.
pub(crate) const OLD_SECRETS_MAX: usize = 10;
/// How long a replaced secret signs when the caller does not say.
pub(crate) const GRACE_PERIOD_DEFAULT_S: u64 = 24 * 3_600;
/// How long a replaced secret may go on to sign.
pub(crate) const GRACE_PERIOD_MAX_S: u64 = 7 * 24 * 3_600;
/// Attempts that a retry policy may ask for, and gaps that it may list.
pub(crate) const ATTEMPTS_MAX: u16 = schedule::MAX_ATTEMPTS;
/// Gaps that a retry schedule may list.
pub(crate) const RETRY_GAPS_MAX: usize = schedule::MAX_SCHEDULE_ENTRIES;
/// The bounds of a gap that a retry policy may ask for. Never 0: all attempts would be spent on one short outage.
pub(crate) const RETRY_DELAY_MS: std::ops::RangeInclusive<u64> = 1..=schedule::MAX_DELAY_MS;
/// The bounds of an attempt's deadline.
pub(crate) const TIMEOUT_MS: std::ops::RangeInclusive<u32> = 100..=120_000;
/// Attempts at once that an endpoint may ask for. The engine's own default has the same bound: an endpoint's cursor
/// names every delivery that is in flight, and must fit in one row.
pub(crate) const MAX_IN_FLIGHT: std::ops::RangeInclusive<u16> = 1..=512;
