//! The words of Pinion, one file each, in the order a message meets them.
//!
//! Plain data and its text forms. No I/O, no clock, no randomness and no policy: `engine`
//! decides with these words, and `storage` keeps them.

pub mod hex;
pub mod id;
pub mod time;
pub mod url;

pub mod api_key;
pub mod application;
pub mod audit;
pub mod event_type;

pub mod endpoint;
pub mod failover;
pub mod policy;
pub mod retry_policy;
pub mod secret;
pub mod signature_format;
pub mod verification;

pub mod event;

pub mod attempt;
pub mod attempt_details;
pub mod delivery;
pub mod job;
pub mod metric;

pub use api_key::{ApiKeyRow, KeyScope, KeyScopes};
pub use application::Application;
pub use attempt::{AnswerNote, AttemptRecord, OutcomeClass, Trigger};
pub use attempt_details::{AttemptDetails, HeaderLine, Protocol};
pub use audit::{Actor, ActorKind, AppName, AuditEntry, AuditRecord, FieldChange};
pub use delivery::{
    Cursor, DeadLetter, DeadLetterReason, Expired, Gap, Pending, Settled, Settlement, Urgency, Verdict, Wanted,
};
pub use endpoint::{Disabled, DisabledReason, Endpoint, EndpointHealth, OnGiveUp, Order, Paused, PausedReason};
pub use event::{Event, EventMore};
pub use event_type::EventType;
pub use failover::{DecidedSwitch, Failover, Switch, SwitchedBy};
pub use hex::hex;
pub use id::{AppId, EndpointId, EndpointRef, Seq};
pub use job::{
    DeliveryStatus, Failure, FailureReason, Job, JobFilter, JobKind, JobStatus, LetterPlace, SHOWN_MAX, Skip,
    SkipReason, Skipped, Span,
};
pub use policy::{AppSettings, Policy};
pub use retry_policy::{ClientErrorPolicy, Jitter, Multiplier, RetryPolicy, Spacing};
pub use secret::{SealedBytes, SecretBytes};
pub use signature_format::{PayloadMode, SignatureFormat, SignatureScheme, TimestampFormat};
pub use time::UnixMs;
pub use url::mask_user_info;
pub use verification::Verification;
