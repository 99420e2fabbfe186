//! The plan of attempts that one revision of an endpoint leads to.

use super::failover::{FailoverPolicy, Side};
use super::filter::Filter;
use super::reference::Reference;
use super::sign::{SigningKey, stamp};
use super::signature_format::Form;
use crate::dispatch::{AttemptRequest, KeptDetails, Target, TargetError};
use crate::outcome::verification::ANSWER_LEN_MAX;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Uri};
use model::{AppId, ClientErrorPolicy, Event, OnGiveUp, Order, OutcomeClass, Policy, RetryPolicy, Seq, UnixMs};
use std::sync::Arc;

/// Time in ms for a receiver to send its challenge back.
const CHALLENGE_TIMEOUT_MS: u32 = 10_000;

/// A plan. Replaced as a whole by that of the next revision, never changed.
#[derive(Debug)]
pub struct Plan {
    /// Which events are for it.
    pub filter: Filter,
    /// The settings that its lane keeps to.
    pub policy: LanePolicy,
    /// Which of the endpoint's URLs its target has.
    pub url_number: u32,
    /// Deadline of one attempt.
    pub timeout_ms: u32,
    /// The attempts that keep details.
    pub details: KeptDetails,
    /// The target and the signing keys; or the reason why no request can be made, e.g. another master key. Plans of the same
    /// revision share it, when its application has other settings.
    pub(super) sending: Arc<Result<Sending, Unmakeable>>,
    /// The same of its backup, if it has one. Shared likewise.
    pub(super) backup: Option<Arc<BackupSending>>,
    /// The inherited settings that the endpoint sets itself; none when it sets nothing.
    pub(super) own: Option<Box<Policy>>,
}

/// How requests to a backup are made.
#[derive(Debug)]
pub(super) struct BackupSending {
    pub(super) sending: Result<Sending, Unmakeable>,
    /// The number of its URL among the endpoint's own.
    pub(super) url_number: u32,
}

/// The target and the keys that requests are made with.
#[derive(Debug)]
pub(super) struct Sending {
    pub(super) target: Arc<Target>,
    pub(super) keys: Vec<TimedKey>,
    /// The form of the signatures, if it is not Standard Webhooks alone.
    pub(super) form: Option<Box<Form>>,
    /// Makes the body that stands for a payload, if payloads are not sent.
    pub(super) reference: Option<Box<Reference>>,
}

/// A key, and the time from which on it is no longer used.
#[derive(Debug)]
pub(super) struct TimedKey {
    pub(super) key: SigningKey,
    pub(super) expires_at: Option<UnixMs>,
}

/// The settings that a lane keeps to.
#[derive(Clone, Debug)]
pub struct LanePolicy {
    /// The schedule of retries after failures.
    pub retry: RetryPolicy,
    /// The consequence of a plain 4xx.
    pub on_client_error: ClientErrorPolicy,
    /// Failing for this long disables it; 0 never.
    pub disable_after_failing_ms: u64,
    /// Deliveries per second.
    pub rate_limit: Option<u32>,
    /// Deliveries that this rate may save up; none for what a tenth of a second brings.
    pub burst: Option<u32>,
    /// So many deliveries in a row that used up their attempts disable it; none for never.
    pub disable_after_failed_deliveries: Option<u16>,
    /// Attempts at once.
    pub max_in_flight: u16,
    /// Nothing is to be sent.
    pub disabled: bool,
    /// In which order messages are tried for the first time.
    pub order: Order,
    /// The effect of a delivery that is given up.
    pub on_give_up: OnGiveUp,
    /// Its deliveries wait.
    pub paused: bool,
    /// Set when it has a backup.
    pub failover: Option<FailoverPolicy>,
}

/// The reason why no request can be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmakeable {
    /// The outcome of each attempt.
    pub outcome: OutcomeClass,
    /// The same for the attempt history. Never a secret.
    pub words: String,
}

// === impl Plan ===

impl Plan {
    /// The same with what another plan knows of the backup: for one whose backup could not be read. Nothing is taken from a
    /// plan with another backup.
    #[must_use]
    pub fn with_backup_of(mut self, other: &Plan) -> Plan {
        let known = other.policy.failover;
        if let Some((failover, known)) = self.policy.failover.as_mut().zip(known)
            && failover.backup == known.backup
        {
            failover.backup_ready = known.backup_ready;
            self.backup = other.backup.clone();
        }
        self
    }

    /// The request of one attempt. `now` is the engine's time, by which keys expire; `wall` is the time that is signed.
    ///
    /// # Errors
    /// When the endpoint's row allows no request, or no key is left to sign with.
    pub fn prepare(&self, event: Event, now: UnixMs, wall: UnixMs) -> Result<AttemptRequest, Unmakeable> {
        self.prepare_for(Side::Primary, event, now, wall)
    }

    /// The same for one of the two sides: with the target, headers and keys of that side, and the same id.
    ///
    /// # Errors
    /// As [`Plan::prepare`]; and when there is no backup any more.
    pub fn prepare_for(
        &self,
        side: Side,
        mut event: Event,
        now: UnixMs,
        wall: UnixMs,
    ) -> Result<AttemptRequest, Unmakeable> {
        let sending = match &self.backup {
            _ if !side.is_backup() => &*self.sending,
            Some(backup) => &backup.sending,
            None => return Err(Unmakeable::here("the endpoint has no backup any more")),
        };
        let sending = sending.as_ref().map_err(Unmakeable::clone)?;
        let (content_type, body) = match &sending.reference {
            None => body_of(&mut event),
            Some(reference) => (None, reference.body(&event)),
        };
        self.signed(sending, &event, content_type, body, (now, wall))
    }

    /// The request that asks the receiver for its proof: signed as any other, with ten seconds and a body of its own.
    ///
    /// # Errors
    /// As [`Plan::prepare`].
    pub fn prepare_challenge(
        &self,
        app: AppId,
        challenge: &str,
        now: UnixMs,
        wall: UnixMs,
    ) -> Result<AttemptRequest, Unmakeable> {
        let sending = Result::as_ref(&self.sending).map_err(Unmakeable::clone)?;
        // Hex digits: nothing in them ends the text.
        let body = Bytes::from(format!(r#"{{"type":"verification","challenge":"{challenge}"}}"#));
        let event = Event {
            app,
            seq: Seq::ZERO,
            accepted_at: wall,
            event_type: "verification".into(),
            event_id: None,
            channels: Vec::new(),
            only_for: None,
            more: None,
            payload: Bytes::new(),
        };
        let request = self.signed(sending, &event, None, body, (now, wall))?;
        let (timeout_ms, kept_len_least) = (CHALLENGE_TIMEOUT_MS, ANSWER_LEN_MAX);
        Ok(AttemptRequest { timeout_ms, kept_len_least, details: KeptDetails::None, ..request })
    }

    /// Signs a body, last: over what is sent.
    fn signed(
        &self,
        sending: &Sending,
        event: &Event,
        content_type: Option<HeaderValue>,
        body: Bytes,
        (now, wall): (UnixMs, UnixMs),
    ) -> Result<AttemptRequest, Unmakeable> {
        if sending.keys_at(now).next().is_none() {
            return Err(Unmakeable::unsigned());
        }
        let stamp = match &sending.form {
            None => stamp(sending.keys_at(now), |out| event.append_message_id(out), wall.seconds(), &body),
            Some(form) => form.stamp(sending.keys_at(now), event, wall, &body).map_err(Unmakeable::here)?,
        };
        let (target, timeout_ms) = (sending.target.clone(), self.timeout_ms);
        // The sender of an example wants to see how it went.
        let details = if event.is_test() { KeptDetails::All } else { self.details };
        Ok(AttemptRequest { app: event.app, target, stamp, content_type, body, timeout_ms, kept_len_least: 0, details })
    }

    /// The headers of its requests, if any can be made. Those that a message adds have empty values.
    #[must_use]
    pub fn headers(&self) -> Option<&HeaderMap> {
        Result::as_ref(&self.sending).ok().map(|sending| sending.target.headers())
    }

    /// The target of requests to its backup, if it has one and any can be made.
    #[must_use]
    pub fn backup_uri(&self) -> Option<&Uri> {
        self.backup.as_ref()?.sending.as_ref().ok().map(|sending| sending.target.uri())
    }

    /// The number of the URL of a side.
    #[must_use]
    pub fn url_number_of(&self, side: Side) -> u32 {
        self.backup.as_ref().filter(|_| side.is_backup()).map_or(self.url_number, |backup| backup.url_number)
    }

    /// The target of requests to the endpoint itself, if any can be made.
    #[must_use]
    pub fn uri(&self) -> Option<&Uri> {
        Result::as_ref(&self.sending).ok().map(|sending| sending.target.uri())
    }
}

/// The bytes that are sent for an event, and their type when it is not JSON.
fn body_of(event: &mut Event) -> (Option<HeaderValue>, Bytes) {
    let content_type = event.content_type().and_then(|text| HeaderValue::try_from(text).ok());
    (content_type, std::mem::take(&mut event.payload))
}

impl Sending {
    fn keys_at(&self, now: UnixMs) -> impl Iterator<Item = &SigningKey> {
        let valid = move |timed: &&TimedKey| timed.expires_at.is_none_or(|at| at > now);
        self.keys.iter().filter(valid).map(|timed| &timed.key)
    }
}

// === impl Unmakeable ===

impl Unmakeable {
    /// The reason lies in this process, not with the endpoint.
    pub(super) fn here(words: impl ToString) -> Unmakeable {
        Unmakeable { outcome: OutcomeClass::InternalError, words: words.to_string() }
    }

    /// Nothing is ever sent unsigned.
    pub(super) fn unsigned() -> Unmakeable {
        Unmakeable::here("there is no key to sign with")
    }
}

impl From<TargetError> for Unmakeable {
    /// An address that is refused now, though it was allowed when the URL was set, is as good as refused when dialled.
    fn from(error: TargetError) -> Unmakeable {
        match error {
            TargetError::Refused(_) | TargetError::RefusedPort(_) | TargetError::NotHttps => {
                Unmakeable { outcome: OutcomeClass::Refused, words: error.to_string() }
            }
            other => Unmakeable::here(other),
        }
    }
}
