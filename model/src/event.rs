//! An event that a tenant pushed, with its place in the log. The API calls it a message.

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

    /// Bytes this event holds in memory, near enough to budget by.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        size_of::<Event>() + self.payload.len() + self.event_type.len()
    }
}
