//! An endpoint: where an application's events go, with its filter, secrets and policies.

use crate::failover::Failover;
use crate::id::{AppId, EndpointId, EndpointRef, IdKind, IdParts, Seq};
use crate::policy::Policy;
use crate::retry_policy::{ClientErrorPolicy, RetryPolicy};
use crate::secret::SealedBytes;
use crate::signature_format::{PayloadMode, SignatureFormat};
use crate::time::UnixMs;
use crate::verification::Verification;

/// A URL of an application, with all settings of the sending to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its number.
    pub id: EndpointId,
    /// The application it belongs to.
    pub app: AppId,
    /// Random, below 2^48: part of the text id.
    pub salt: u64,
    /// The tenant's own name for it, unique within the application.
    pub uid: Option<String>,
    /// `http` or `https`, with a host; checked when it was set. User name and password are masked in it; a row from
    /// before they were sealed has them in the clear.
    pub url: String,
    /// For people.
    pub description: String,
    /// Exact names and `prefix.*`; empty means every type.
    pub event_types: Vec<String>,
    /// Empty means every channel; else a message must share one.
    pub channels: Vec<String>,
    /// Deliveries per second; none means no limit.
    pub rate_limit: Option<u32>,
    /// Attempts at once; none means the configured default.
    pub max_in_flight: Option<u16>,
    /// Deadline of one attempt; none means the configured default.
    pub timeout_ms: Option<u32>,
    /// The policy for retries of failures; none means the configured default.
    pub retry_policy: Option<RetryPolicy>,
    /// The policy for a 4xx other than 408, 410, 425, 429; none means the configured default.
    pub on_client_error: Option<ClientErrorPolicy>,
    /// Why nothing is sent to it, if nothing is.
    pub disabled: Option<Disabled>,
    /// Events at or below this position are not for it: the head of the log when it was created or last enabled.
    pub active_from: Seq,
    /// Signing secrets, sealed: the current one first, then those still valid after a rotation.
    pub secrets: Vec<EndpointSecret>,
    /// Custom headers as one sealed JSON object (they often carry credentials).
    pub sealed_headers: Option<SealedBytes>,
    /// A JSON object, kept as the text that came in.
    pub metadata: String,
    /// When it was created.
    pub created_at: UnixMs,
    /// When it was last changed.
    pub updated_at: UnixMs,
    /// The number that clients of the first generation give their endpoints; none means 1. Shown, and of no effect.
    pub version: Option<u16>,
    /// User name and password of the URL, as they stand in it, sealed.
    pub sealed_user_info: Option<SealedBytes>,
    /// Root certificates that its receiver's may lead to, besides everyone's, in PEM; empty for none.
    pub ca_pem: String,
    /// In which order its messages are sent.
    pub order: Order,
    /// The effect of a delivery that is given up.
    pub on_give_up: OnGiveUp,
    /// Set while deliveries to it wait on disk.
    pub paused: Option<Paused>,
    /// The form of its signatures; none means Standard Webhooks.
    pub signature_format: Option<SignatureFormat>,
    /// The body of its requests; none means the payload.
    pub payload_mode: Option<PayloadMode>,
    /// It is disabled when so many deliveries in a row used up their attempts; none for inherited.
    pub disable_after_failed_deliveries: Option<u16>,
    /// Deliveries that its rate may save up; none for what a tenth of a second brings.
    pub burst: Option<u32>,
    /// The proof of its receiver that it wants deliveries; none when nobody asks for one.
    pub verification: Option<Verification>,
    /// The endpoint that gets its deliveries while it fails.
    pub failover: Option<Failover>,
    /// The endpoints that have this one as their backup; few.
    pub backup_of: Vec<EndpointId>,
    /// An expression over messages, checked when it was set; none wants every message.
    pub filter: Option<String>,
    /// Days that its dead letters are kept; none for inherited.
    pub dead_letter_retention_days: Option<u16>,
}

impl Endpoint {
    /// One that gets every event at no address yet, with no settings of its own: the base that others are made from.
    #[must_use]
    pub fn plain(target: EndpointRef, created_at: UnixMs) -> Endpoint {
        Endpoint {
            id: target.endpoint,
            app: target.app,
            salt: 1,
            uid: None,
            url: String::new(),
            description: String::new(),
            event_types: Vec::new(),
            channels: Vec::new(),
            rate_limit: None,
            max_in_flight: None,
            timeout_ms: None,
            retry_policy: None,
            on_client_error: None,
            disabled: None,
            active_from: Seq::ZERO,
            secrets: Vec::new(),
            sealed_headers: None,
            metadata: "{}".to_owned(),
            created_at,
            updated_at: created_at,
            version: None,
            sealed_user_info: None,
            ca_pem: String::new(),
            order: Order::None,
            on_give_up: OnGiveUp::Skip,
            paused: None,
            signature_format: None,
            payload_mode: None,
            disable_after_failed_deliveries: None,
            burst: None,
            verification: None,
            failover: None,
            backup_of: Vec::new(),
            filter: None,
            dead_letter_retention_days: None,
        }
    }

    /// Its own values of the settings that are inherited.
    #[must_use]
    pub fn policy(&self) -> Policy {
        Policy {
            retry_policy: self.retry_policy.clone(),
            on_client_error: self.on_client_error,
            timeout_ms: self.timeout_ms,
            max_in_flight: self.max_in_flight,
            disable_after_failed_deliveries: self.disable_after_failed_deliveries,
            dead_letter_retention_days: self.dead_letter_retention_days,
        }
    }

    /// Its key.
    #[must_use]
    pub fn target(&self) -> EndpointRef {
        EndpointRef { app: self.app, endpoint: self.id }
    }

    /// True if its receiver must prove something before anything is sent to it.
    #[must_use]
    pub fn is_unverified(&self) -> bool {
        self.verification.as_ref().is_some_and(|verification| verification.verified_at.is_none())
    }

    /// True if its deliveries wait on disk by its own settings: it is paused, or not verified yet.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.paused.is_some() || self.is_unverified()
    }

    /// When its receiver is to be asked for its proof next; none for never, and while it is disabled.
    #[must_use]
    pub fn challenge_at(&self) -> Option<UnixMs> {
        let verification = self.verification.as_ref().filter(|_| self.disabled.is_none());
        verification.filter(|verification| verification.verified_at.is_none())?.next_at
    }

    /// The text id, `ep_…`.
    #[must_use]
    pub fn public_id(&self) -> String {
        IdParts { at: self.created_at, number: self.id.0, low: self.salt }.to_text(IdKind::Endpoint)
    }
}

/// One signing secret of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSecret {
    /// The secret's text (`whsec_…` or `whsk_…`), sealed.
    pub sealed: SealedBytes,
    /// When it stops signing; none for the current one.
    pub expires_at: Option<UnixMs>,
}

/// Why and since when an endpoint gets nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disabled {
    /// Since when.
    pub at: UnixMs,
    /// The cause of the disabling.
    pub reason: DisabledReason,
}

/// The cause for which an endpoint was disabled: a person or a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisabledReason {
    /// Through the API.
    Operator,
    /// It answered 410 Gone.
    Gone,
    /// It failed without a success for the configured period.
    Failing,
    /// So many deliveries in a row used up their attempts as its policy allows.
    Exhausted,
}

impl DisabledReason {
    /// The word that the API and logs show.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            DisabledReason::Operator => "operator",
            DisabledReason::Gone => "gone",
            DisabledReason::Failing => "failing",
            DisabledReason::Exhausted => "exhausted",
        }
    }
}

/// In which order an endpoint's messages are tried for the first time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// In that of the log as a rule, several at once; one that fails holds up nobody.
    #[default]
    None,
    /// One after the other: the next one when the one before was delivered or given up.
    Endpoint,
    /// One after the other of each ordering key.
    Key,
}

/// Why and since when deliveries to an endpoint wait on disk. Unlike a disabled endpoint, it gets all of them later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paused {
    /// Since when.
    pub at: UnixMs,
    /// The one who paused it.
    pub reason: PausedReason,
}

/// The one who paused an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PausedReason {
    /// The caller, through the API.
    Operator,
    /// Pinion: it gave up a delivery that others must not overtake.
    GaveUp,
}

impl PausedReason {
    /// The word that the API and logs show.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            PausedReason::Operator => "operator",
            PausedReason::GaveUp => "gave_up",
        }
    }
}

/// The effect that a delivery has on its endpoint when its attempts are used up, or were refused for good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnGiveUp {
    /// The next one goes on.
    #[default]
    Skip,
    /// The endpoint is paused until somebody resumes it.
    Pause,
}

/// The memory of an endpoint's failures, so that a restart does not start over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndpointHealth {
    /// The first failure since the last success.
    pub failing_since: Option<UnixMs>,
    /// The last failure of that spell, roughly: a long pause after it ends the spell.
    pub failing_seen_at: Option<UnixMs>,
    /// Until when its breaker rejects; none when it is closed.
    pub breaker_open_until: Option<UnixMs>,
    /// The number of times that the breaker opened since it was last closed: the exponent of its hold.
    pub breaker_openings: u32,
    /// Until when it asked to be left alone, by `Retry-After`; a short pause is not noted, and one that is over may be.
    pub paused_until: Option<UnixMs>,
    /// Deliveries in a row that used up their attempts; counted for endpoints whose policy asks for it.
    pub failed_deliveries: u16,
    /// Failures in a row, counted only with a failover, while the endpoint itself is active.
    pub failures_in_row: u32,
    /// The last probe of the endpoint itself while its backup was active.
    pub probed_at: Option<UnixMs>,
}
