//! An event that a tenant pushed, with its place in the log. The API calls it a message.

use crate::delivery::DeadLetterReason;
use crate::id::{AppId, EndpointId, IdKind, IdParts, Seq, message_id};
use crate::time::UnixMs;
use bytes::Bytes;
use std::sync::Arc;

/// Fields that only some events have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventMore {
    /// Words to find it by in lists.
    pub tags: Vec<String>,
    /// The `Content-Type` of the payload, where it is not a JSON object or the tenant named another one.
    pub content_type: Option<String>,
    /// When the payload is to be expunged.
    pub expunge_at: Option<UnixMs>,
    /// Messages with the same one keep their order at endpoints that want that.
    pub ordering_key: Option<String>,
    /// When it is to be delivered; none for at once. Nobody gets it before, and its place in the log is passed by.
    pub deliver_at: Option<UnixMs>,
    /// From when on it is not attempted any more.
    pub expires_at: Option<UnixMs>,
}

/// One accepted event. Cheap to clone: text and payload are shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The application that it belongs to.
    pub app: AppId,
    /// Its position in that application's log.
    pub seq: Seq,
    /// When it was taken.
    pub accepted_at: UnixMs,
    /// `[a-zA-Z0-9_.-]{1,256}`.
    pub event_type: Arc<str>,
    /// The tenant's own id for it, unique within the application while the event is retained.
    pub event_id: Option<Arc<str>>,
    /// At most 5; empty when none were named.
    pub channels: Vec<Arc<str>>,
    /// Set when it goes to this one endpoint whatever its filter says: an example sent on request.
    pub only_for: Option<EndpointId>,
    /// Fields that most events do not have.
    pub more: Option<Arc<EventMore>>,
    /// The JSON text exactly as it came in; exactly what is signed and sent. Never empty when it comes in: an empty one
    /// says that it was expunged.
    pub payload: Bytes,
}

impl Event {
    /// The text id, which is also the `webhook-id` of every attempt.
    #[must_use]
    pub fn message_id(&self) -> String {
        message_id(self.app, self.seq, self.accepted_at)
    }

    /// Appends the text id to `out`.
    pub fn append_message_id(&self, out: &mut String) {
        IdParts { at: self.accepted_at, number: self.app.0, low: self.seq.0 }.append_text(IdKind::Message, out);
    }

    /// True if the payload was removed, on request or at its time. Such an event is never sent.
    #[must_use]
    pub fn is_expunged(&self) -> bool {
        self.payload.is_empty()
    }

    /// True if it is an example that was sent on request. Only these go to one endpoint whatever its filter says. What an
    /// endpoint answers to one says nothing about the endpoint: breaker, statistics and disabling leave it out.
    #[must_use]
    pub fn is_test(&self) -> bool {
        self.only_for.is_some()
    }

    /// Its tags.
    #[must_use]
    pub fn tags(&self) -> &[String] {
        self.more.as_ref().map_or(&[], |more| &more.tags)
    }

    /// The `Content-Type` of its payload; none for the usual one.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        self.more.as_ref()?.content_type.as_deref()
    }

    /// When its payload is to be expunged.
    #[must_use]
    pub fn expunge_at(&self) -> Option<UnixMs> {
        self.more.as_ref()?.expunge_at
    }

    /// Its ordering key.
    #[must_use]
    pub fn ordering_key(&self) -> Option<&str> {
        self.more.as_ref()?.ordering_key.as_deref()
    }

    /// When it is to be delivered, if that was not at once.
    #[must_use]
    pub fn deliver_at(&self) -> Option<UnixMs> {
        self.more.as_ref()?.deliver_at
    }

    /// From when on it is not attempted any more.
    #[must_use]
    pub fn expires_at(&self) -> Option<UnixMs> {
        self.more.as_ref()?.expires_at
    }

    /// True when it is too late for another attempt at `now`.
    #[must_use]
    pub fn is_past_expiry(&self, now: UnixMs) -> bool {
        self.expires_at().is_some_and(|expires_at| expires_at <= now)
    }

    /// Why no attempt of it may start at `now`: it has lost its payload, or it is too late for it.
    #[must_use]
    pub fn unsendable(&self, now: UnixMs) -> Option<DeadLetterReason> {
        if self.is_expunged() {
            return Some(DeadLetterReason::Expunged);
        }
        self.is_past_expiry(now).then_some(DeadLetterReason::PastExpiry)
    }

    /// From when on it may be delivered: latencies are counted from here.
    #[must_use]
    pub fn ready_at(&self) -> UnixMs {
        self.deliver_at().map_or(self.accepted_at, |deliver_at| deliver_at.max(self.accepted_at))
    }

    /// Bytes this event holds in memory, near enough to budget by.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        size_of::<Event>() + self.payload.len() + self.event_type.len()
    }
}
