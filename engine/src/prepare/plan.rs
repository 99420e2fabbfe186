//! The plan of attempts that one revision of an endpoint leads to.

use super::filter::Filter;
use super::reference::Reference;
use super::sign::{SigningKey, stamp};
use super::signature_format::Form;
use crate::dispatch::{AttemptRequest, Target, TargetError};
use bytes::Bytes;
use http::{HeaderValue, Uri};
use model::{ClientErrorPolicy, Event, Order, OutcomeClass, Policy, RetryPolicy, UnixMs};
use std::sync::Arc;

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
    /// The target and the signing keys; or the reason why no request can be made, e.g. another master key. Plans of the same
    /// revision share it, when its application has other settings.
    pub(super) sending: Arc<Result<Sending, Unmakeable>>,
    /// The inherited settings that the endpoint sets itself; none when it sets nothing.
    pub(super) own: Option<Box<Policy>>,
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
    /// Its deliveries wait.
    pub paused: bool,
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
    /// The request of one attempt. `now` is the engine's time, by which keys expire; `wall` is the time that is signed.
    ///
    /// # Errors
    /// When the endpoint's row allows no request, or no key is left to sign with.
    pub fn prepare(&self, mut event: Event, now: UnixMs, wall: UnixMs) -> Result<AttemptRequest, Unmakeable> {
        let sending = Result::as_ref(&self.sending).map_err(Unmakeable::clone)?;
        let target = sending.target.clone();
        let (content_type, body) = match &sending.reference {
            None => body_of(&mut event),
            Some(reference) => (None, reference.body(&event)),
        };
        if sending.keys_at(now).next().is_none() {
            return Err(Unmakeable::unsigned());
        }
        let stamp = match &sending.form {
            None => stamp(sending.keys_at(now), |out| event.append_message_id(out), wall.seconds(), &body),
            Some(form) => form.stamp(sending.keys_at(now), &event, wall, &body).map_err(Unmakeable::here)?,
        };
        Ok(AttemptRequest { app: event.app, target, stamp, content_type, body, timeout_ms: self.timeout_ms })
    }

    /// The URI that requests go to, if any can be made.
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
