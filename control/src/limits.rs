//! Every bound on callers' values and on the number of things, in one file, so that the documentation can quote it.
//!
//! An operator may change [`Quotas`]; stored formats and clients rely on the constants.

use crate::rate::Tiers;
use engine::Partition;
use engine::config::SecretKind;
use engine::dispatch::Guard;
use engine::retry::schedule;

/// The most that one application may have, and the most event types of all together. A command beyond a quota is
/// refused. Things that were there before a quota was lowered stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotas {
    /// Endpoints of one application.
    pub endpoints: u32,
    /// API keys that are limited to one application.
    pub api_keys: u32,
    /// Event types of the catalogue, archived ones too.
    pub event_types: u32,
    /// Jobs of one application that have more to do: those that run, and those that wait for their time.
    pub running_jobs: u32,
    /// Jobs of one application that are kept, ended ones too.
    pub jobs: u32,
}

impl Default for Quotas {
    fn default() -> Quotas {
        Quotas { endpoints: 1_000, api_keys: 100, event_types: 10_000, running_jobs: 100, jobs: 10_000 }
    }
}

/// Deliveries per second that a job may be held to.
pub const JOB_RATE_MAX: u32 = 10_000;
/// The longest time that a job may be asked for ahead: 30 days. Each takes one of the places of those that run.
pub const JOB_START_WITHIN_MS: u64 = 30 * 24 * 3_600_000;

/// The operator's bounds and defaults, by which commands are judged.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// The quotas.
    pub quotas: Quotas,
    /// The tiers that applications may have.
    pub tiers: Tiers,
    /// Judges the URLs of endpoints.
    pub guard: Guard,
    /// The kind of secrets that are made.
    pub secret_kind: SecretKind,
    /// Milliseconds for which an idempotency key is remembered.
    pub idempotency_ms: u64,
    /// Idempotency keys of one application.
    pub idempotency_keys: u32,
    /// Milliseconds that a message may be scheduled ahead, see [`DELIVER_WITHIN_MS`].
    pub deliver_within_ms: u64,
}

impl Rules {
    /// Those of a running engine, `quotas` and `tiers`.
    #[must_use]
    pub fn of(engine: &Partition, quotas: Quotas, tiers: Tiers) -> Rules {
        let config = engine.config();
        Rules {
            quotas,
            tiers,
            guard: engine.guard().clone(),
            secret_kind: config.secret_kind,
            idempotency_ms: config.idempotency_ms,
            idempotency_keys: config.quotas.idempotency_keys,
            deliver_within_ms: deliver_within_ms(config.retention.events_ms),
        }
    }
}

/// The longest time that a message may be scheduled ahead: 90 days. Where messages are kept for less, it is that: a message
/// that is removed before its time is delivered to nobody.
pub const DELIVER_WITHIN_MS: u64 = 90 * 24 * 3_600_000;
/// Seconds that a message may ask to be delivered within.
pub const TTL_S: std::ops::RangeInclusive<i64> = 1..=90 * 24 * 3_600;

/// How far ahead a message may be scheduled where messages are kept for so long; 0 keeps them for ever.
fn deliver_within_ms(kept_ms: u64) -> u64 {
    if kept_ms == 0 { DELIVER_WITHIN_MS } else { kept_ms.min(DELIVER_WITHIN_MS) }
}

/// Characters of a uid, an event id or an event type.
pub const NAME_MAX: usize = 256;
/// Bytes of the name of an API key.
pub const KEY_NAME_BYTES_MAX: usize = 200;
/// Requests in a minute that an API key may be limited to: up to 100,000 a second.
pub const KEY_RATE_LIMITS: std::ops::RangeInclusive<u32> = 1..=6_000_000;
/// Seconds for which a rotated API key may work beside its successor: up to 30 days.
pub const KEY_GRACE_PERIOD_S: std::ops::RangeInclusive<u64> = 0..=30 * 24 * 3_600;
/// Characters of a channel.
pub const CHANNEL_MAX: usize = 128;
/// Channels of a message.
pub const MESSAGE_CHANNELS_MAX: usize = 5;
/// Tags of a message.
pub const MESSAGE_TAGS_MAX: usize = 10;
/// Bytes of a tag.
pub const TAG_BYTES_MAX: usize = 128;
/// Bytes of an ordering key.
pub const ORDERING_KEY_BYTES_MAX: usize = 256;
/// Bytes of the content type of a raw payload.
pub const CONTENT_TYPE_BYTES_MAX: usize = 256;
/// Days that a message may ask its payload to be kept.
pub const PAYLOAD_DAYS: std::ops::RangeInclusive<i64> = 5..=90;
/// The same in hours.
pub const PAYLOAD_HOURS: std::ops::RangeInclusive<i64> = 1..=90 * 24;
/// Channels of an endpoint.
pub const ENDPOINT_CHANNELS_MAX: usize = 10;
/// Entries of an endpoint's filter by event type.
pub const ENDPOINT_EVENT_TYPES_MAX: usize = 100;
/// Bytes of a name that is only for people.
pub const LABEL_BYTES_MAX: usize = 512;
/// Bytes of a description.
pub const DESCRIPTION_BYTES_MAX: usize = 2_048;
/// Bytes of the metadata of an application or endpoint as JSON.
pub const METADATA_BYTES_MAX: usize = 2_048;
/// Custom headers of an endpoint.
pub const TARGET_HEADERS_MAX: usize = 32;
/// Bytes of all custom headers of an endpoint, names and values.
pub const TARGET_HEADERS_BYTES_MAX: usize = 4_096;
/// Milliseconds between two requests to ask the receiver of one endpoint for its proof.
pub const VERIFY_EVERY_MS: u64 = 10_000;
/// Characters of the name of a header that an endpoint chooses for Pinion's own values.
pub const HEADER_NAME_MAX: usize = 64;
/// Custom headers that one patch may set, and that it may remove: all there can be, replaced by as many others.
pub const HEADERS_PATCHED_MAX: usize = 2 * TARGET_HEADERS_MAX;
/// Bytes of an endpoint's own root certificates in PEM.
pub const CA_PEM_BYTES_MAX: usize = 64 * 1024;
/// Messages per second, of an endpoint or application.
pub const RATE_MAX: u32 = 1_000_000;
/// Signing secrets that stay valid after rotations.
pub const OLD_SECRETS_MAX: usize = 10;
/// Seconds for which a replaced secret signs when the caller does not say.
pub const GRACE_PERIOD_DEFAULT_S: u64 = 24 * 3_600;
/// Seconds for which a replaced secret may go on to sign, at most.
pub const GRACE_PERIOD_MAX_S: u64 = 7 * 24 * 3_600;
/// Attempts that a retry policy may ask for, and gaps that it may list.
pub const ATTEMPTS_MAX: u16 = schedule::MAX_ATTEMPTS;
/// Gaps that a retry schedule may list.
pub const RETRY_GAPS_MAX: usize = schedule::MAX_SCHEDULE_ENTRIES;
/// The bounds of a gap that a retry policy may ask for. Never 0: all attempts would be spent on one short outage.
pub const RETRY_DELAY_MS: std::ops::RangeInclusive<u64> = 1..=schedule::MAX_DELAY_MS;
/// The bounds of an attempt's deadline.
pub const TIMEOUT_MS: std::ops::RangeInclusive<u32> = 100..=120_000;
/// Attempts at once over all endpoints of an application.
pub const MAX_IN_FLIGHT_TOTAL: std::ops::RangeInclusive<u32> = 1..=100_000;
/// Deliveries in a row that used up their attempts, after which an endpoint is disabled.
pub const FAILED_DELIVERIES: std::ops::RangeInclusive<u16> = 1..=1_000;
/// Days that dead letters are kept.
pub const DEAD_LETTER_DAYS: std::ops::RangeInclusive<u16> = 1..=90;
/// Deliveries that the rate of an endpoint may save up.
pub const BURST: std::ops::RangeInclusive<u32> = 1..=10_000;
/// Attempts at once that an endpoint may ask for. The engine's own default has the same bound: an endpoint's cursor
/// names every delivery that is in flight, and must fit in one row.
pub const MAX_IN_FLIGHT: std::ops::RangeInclusive<u16> = 1..=512;
