//! Keys: which rows exist, and the byte order they lie in.
//!
//! One ordered tree holds everything. The first byte of a key is its [`KeyKind`]; numbers follow big-endian and at full
//! width, so that byte order is the order of the tuple that the key stands for; text stands only at the end of a key,
//! so that it needs no terminator. One file per kind: its encoding, its decoding and the ranges that are read of it.
//!
//! Deliberately nothing about values: what a row holds is for [`crate::tables`].

pub mod api_key;
pub mod application;
pub mod application_uid;
pub mod endpoint;
pub mod endpoint_part;
pub mod endpoint_uid;
pub mod endpoint_url;
pub mod event_type;
pub mod meta;

pub mod chunk;
pub mod event;
pub mod event_uid;
pub mod idempotency;
pub mod routed;

pub mod cursor;
pub mod dead_letter;
pub mod dead_letter_by_time;
pub mod deleted_endpoint;
pub mod due;
pub mod expired;
pub mod expunge_at;
pub mod gap;
pub mod health;
pub mod pending;

pub mod attempt_first;
pub mod attempt_later;
pub mod attempt_later_by_seq;

pub mod job;

mod describe;
mod parts;
mod range;
#[cfg(test)]
mod testing;

use crate::store::StoreError;
use model::{AppId, EndpointRef};

pub(crate) use describe::{app_of, describe, kind_of};
pub use parts::{DIGEST_BYTES, digest};
pub use range::KeyRange;

/// The first byte of every key. Persisted: never renumber, never reuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum KeyKind {
    /// Counters and facts about the store itself, by name.
    Meta = 1,
    /// Applications by number.
    Application = 2,
    /// The number of an application by the tenant's own name for it.
    ApplicationUid = 3,
    /// Endpoints by application and number.
    Endpoint = 4,
    /// The number of an endpoint by application and the tenant's own name for it.
    EndpointUid = 5,
    /// Event types by name.
    EventType = 6,
    /// API keys by the hash of their secret.
    ApiKey = 7,
    /// Blocks of events by application and first position.
    Event = 16,
    /// Pieces of payloads that do not fit a block, by application, position and index.
    Chunk = 17,
    /// The position of an event by application and digest of the tenant's own id for it.
    EventUid = 18,
    /// How far an application's log is routed.
    Routed = 19,
    /// How far an endpoint has come.
    Cursor = 20,
    /// Deliveries that wait for another attempt.
    Pending = 21,
    /// The same by due time: an index; its values say no more than whether it was asked for by hand.
    Due = 22,
    /// Deliveries that were given up.
    DeadLetter = 23,
    /// Runs of first attempts by endpoint and lowest position.
    AttemptFirst = 24,
    /// Further attempts by endpoint and start.
    AttemptLater = 25,
    /// The same by position: an index without values.
    AttemptLaterBySeq = 26,
    /// Stretches of the log that an endpoint did not get, by endpoint and first position.
    Gap = 27,
    /// What is remembered of an endpoint's failures.
    Health = 28,
    /// What was answered to an idempotency key, by application and digest of the key.
    Idempotency = 29,
    /// Jobs by number.
    Job = 30,
    /// What endpoints did not get because retention removed it first.
    Expired = 31,
    /// Dead letters by application and age: an index without values.
    DeadLetterByTime = 32,
    /// Payloads that are to be expunged, by when: an index without values.
    ExpungeAt = 33,
    /// Pieces of an endpoint's row beyond the first.
    EndpointPart = 36,
    /// URLs that an endpoint had before its present one, by endpoint and number.
    EndpointUrl = 40,
    /// Endpoints that were deleted and have attempts yet.
    DeletedEndpoint = 41,
}

impl KeyKind {
    /// Those whose keys begin with the number of an application. The mark of what was routed is last, and goes last when an
    /// application does: nobody may take its log for an empty one while there is some of it left.
    pub(crate) const OF_APPS: [KeyKind; 22] = [
        KeyKind::Application,
        KeyKind::Event,
        KeyKind::Chunk,
        KeyKind::EventUid,
        KeyKind::Endpoint,
        KeyKind::EndpointPart,
        KeyKind::EndpointUid,
        KeyKind::Cursor,
        KeyKind::Pending,
        KeyKind::Due,
        KeyKind::DeadLetter,
        KeyKind::DeadLetterByTime,
        KeyKind::AttemptFirst,
        KeyKind::AttemptLater,
        KeyKind::AttemptLaterBySeq,
        KeyKind::Gap,
        KeyKind::Health,
        KeyKind::Idempotency,
        KeyKind::Expired,
        KeyKind::EndpointUrl,
        KeyKind::DeletedEndpoint,
        KeyKind::Routed,
    ];

    /// Those whose keys do not.
    const OF_THE_STORE: [KeyKind; 6] =
        [KeyKind::Meta, KeyKind::ApplicationUid, KeyKind::EventType, KeyKind::ApiKey, KeyKind::Job, KeyKind::ExpungeAt];

    /// The word that errors show.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            KeyKind::Meta => "meta",
            KeyKind::Application => "application",
            KeyKind::ApplicationUid => "application_uid",
            KeyKind::Endpoint => "endpoint",
            KeyKind::EndpointUid => "endpoint_uid",
            KeyKind::EventType => "event_type",
            KeyKind::ApiKey => "api_key",
            KeyKind::Event => "event",
            KeyKind::Chunk => "chunk",
            KeyKind::EventUid => "event_uid",
            KeyKind::Routed => "routed",
            KeyKind::Cursor => "cursor",
            KeyKind::Pending => "pending",
            KeyKind::Due => "due",
            KeyKind::DeadLetter => "dead_letter",
            KeyKind::AttemptFirst => "attempt_first",
            KeyKind::AttemptLater => "attempt_later",
            KeyKind::AttemptLaterBySeq => "attempt_later_by_seq",
            KeyKind::Gap => "gap",
            KeyKind::Health => "health",
            KeyKind::Idempotency => "idempotency",
            KeyKind::Job => "job",
            KeyKind::Expired => "expired",
            KeyKind::DeadLetterByTime => "dead_letter_by_time",
            KeyKind::ExpungeAt => "expunge_at",
            KeyKind::EndpointPart => "endpoint_part",
            KeyKind::EndpointUrl => "endpoint_url",
            KeyKind::DeletedEndpoint => "deleted_endpoint",
        }
    }
}

/// Every row of a kind that belongs to an application, whose keys begin with its number.
#[must_use]
pub fn of_app(kind: KeyKind, app: AppId) -> KeyRange {
    KeyRange::prefix(parts::KeyWriter::new(kind).app(app).finish())
}

/// The endpoint that the first row of a kind belongs to, of those beyond `after`: its range, to be scanned for one row.
#[must_use]
pub fn beyond_endpoint(kind: KeyKind, after: Option<EndpointRef>) -> KeyRange {
    let mut range = KeyRange::prefix(vec![kind as u8]);
    if let Some(after) = after {
        range.start = KeyRange::prefix(parts::KeyWriter::new(kind).target(after).finish()).end;
    }
    range
}

/// The endpoint that a key belongs to, of a kind whose keys begin with application and endpoint.
///
/// # Errors
/// [`StoreError::CorruptRow`] for a key of another kind or cut short.
pub fn endpoint_of(kind: KeyKind, key: &[u8]) -> Result<EndpointRef, StoreError> {
    parts::KeyReader::new(kind, key)?.target()
}
