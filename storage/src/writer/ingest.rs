//! Taking messages in: positions, idempotency keys and event ids, decided where nothing can race.
//!
//! Deliberately not their validation (that is the API's) and not their layout on disk (that is [`crate::rows::event::block`]).

use crate::rows::event::block;
use crate::rows::expunge_at;
use crate::rows::idempotency::Remembered;
use crate::store::{MAX_VALUE_BYTES, StoreError};
use crate::tables::{event_uid, idempotency, log};
use crate::txn::Txn;
use bytes::Bytes;
use foldhash::HashMap;
use model::{AppId, EndpointId, Event, EventMore, Seq, UnixMs};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// A message as it came in, already validated.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// Its type.
    pub event_type: String,
    /// The tenant's own id for it.
    pub event_id: Option<String>,
    /// Its channels.
    pub channels: Vec<String>,
    /// Its JSON text.
    pub payload: Bytes,
    /// Makes sending it again harmless.
    pub idempotency_key: Option<String>,
    /// Set when it is for one endpoint only.
    pub only_for: Option<EndpointId>,
    /// Fields that most messages do not have.
    pub more: Option<Box<MessageMore>>,
}

/// Fields that only some messages have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageMore {
    /// Words to find it by in lists.
    pub tags: Vec<String>,
    /// The `Content-Type` of its payload, if not the usual one.
    pub content_type: Option<String>,
    /// How long the payload is kept after it was taken, in milliseconds; without limit if none.
    pub payload_kept_ms: Option<u64>,
}

/// What a message takes beyond its texts, near enough to budget by: a header and its index rows.
const MESSAGE_OVERHEAD_BYTES: usize = 64;

impl NewMessage {
    /// Bytes to budget by.
    pub(super) fn bytes(&self) -> usize {
        let optional = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let texts = optional(&self.event_id) + optional(&self.idempotency_key) + self.event_type.len();
        let channels: usize = self.channels.iter().map(String::len).sum();
        let more = self
            .more
            .as_ref()
            .map_or(0, |more| optional(&more.content_type) + more.tags.iter().map(String::len).sum::<usize>());
        MESSAGE_OVERHEAD_BYTES + texts + channels + more + self.payload.len()
    }

    /// Whether a block can hold its type, id and channels. They are not chunked.
    pub(super) fn fits_a_block(&self) -> bool {
        let more = self.more.as_ref().map(|more| (&more.tags[..], more.content_type.as_deref()));
        block::header_bytes_max(&self.event_type, self.event_id.as_deref(), &self.channels, more) <= MAX_VALUE_BYTES
    }
}

/// A message with its fingerprint, if it has an idempotency key: made where it came in, so that no payload is hashed on the
/// thread that all writes wait for.
#[derive(Debug)]
pub(super) struct Marked {
    message: NewMessage,
    fingerprint: Option<[u8; 16]>,
}

impl From<NewMessage> for Marked {
    fn from(message: NewMessage) -> Marked {
        Marked { fingerprint: message.idempotency_key.as_ref().map(|_| fingerprint(&message)), message }
    }
}

/// What became of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IngestOutcome {
    /// It is durable and will be delivered.
    Accepted(Event),
    /// It was taken before under the same idempotency key: this is that event.
    Repeated(Event),
    /// Another message has this event id.
    DuplicateEventId,
    /// The idempotency key was used for other content.
    KeyReused,
    /// Its application has as many idempotency keys as it may: it is not taken.
    TooManyKeys {
        /// The quota.
        most: u32,
    },
    /// The row that would tell whether it was taken before is damaged: it is not taken.
    Damaged {
        /// What kind of row.
        kind: &'static str,
    },
}

/// Messages that were not taken at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IngestError {
    /// Too much waits; nothing was taken.
    #[error("too much is waiting for the store; try again in {retry_after_s} s")]
    Busy {
        /// When to try again.
        retry_after_s: u64,
    },
    /// The process is stopping; nothing was taken.
    #[error("stopping")]
    ShuttingDown,
    /// More than the store takes in one request, or one message's type, id and channels more than it takes for one;
    /// nothing was taken.
    #[error("more than the store takes at once")]
    TooLarge,
    /// The disk has less room than is kept for what cannot be refused; nothing was taken.
    #[error("the disk is nearly full")]
    StorageFull,
    /// The rows that say where the application's log ends are damaged; nothing was taken.
    #[error("a stored row of kind {kind} is damaged")]
    Damaged {
        /// What kind of row.
        kind: &'static str,
    },
    /// There is no such application.
    #[error("unknown application")]
    UnknownApplication,
    /// The store failed: whether it was taken is unknown until it has been restarted.
    #[error("the store failed: {0}")]
    Store(String),
}

/// The heads of all logs that were written to since the start.
pub(super) struct Ingest {
    heads: HashMap<AppId, Seq>,
    idempotency_ms: u64,
    keys_most: u32,
}

impl Ingest {
    pub(super) fn new(idempotency_ms: u64, keys_most: u32) -> Ingest {
        Ingest { heads: HashMap::default(), idempotency_ms, keys_most }
    }

    pub(super) fn forget(&mut self, app: AppId) {
        self.heads.remove(&app);
    }

    /// Gives each message its place and collects its index rows; new events are appended to `events`.
    pub(super) fn take_in(
        &mut self,
        txn: &mut Txn<'_>,
        app: AppId,
        messages: Vec<Marked>,
        now: UnixMs,
        events: &mut Vec<Event>,
    ) -> Result<Result<Vec<IngestOutcome>, IngestError>, StoreError> {
        let mut head = match self.heads.get(&app) {
            Some(head) => *head,
            // The first since the start: also the moment to notice that the application is gone.
            None => match contained(end_of_log(txn, app))? {
                Ok(Some(head)) => head,
                Ok(None) => return Ok(Err(IngestError::UnknownApplication)),
                Err(kind) => return Ok(Err(IngestError::Damaged { kind })),
            },
        };
        let mut outcomes = Vec::with_capacity(messages.len());
        for message in messages {
            // Before it has written anything: a row is read first.
            let outcome = contained(self.take_one(txn, app, head.next(), message, now))?
                .unwrap_or_else(|kind| IngestOutcome::Damaged { kind });
            if let IngestOutcome::Accepted(event) = &outcome {
                head = event.seq;
                events.push(event.clone());
            }
            outcomes.push(outcome);
        }
        self.heads.insert(app, head);
        Ok(Ok(outcomes))
    }

    fn take_one(
        &self,
        txn: &mut Txn<'_>,
        app: AppId,
        seq: Seq,
        message: Marked,
        now: UnixMs,
    ) -> Result<IngestOutcome, StoreError> {
        let Marked { message, fingerprint } = message;
        let key = match (&message.idempotency_key, fingerprint) {
            (Some(key), Some(fingerprint)) => Some((idempotency::find(txn, app, key)?, fingerprint)),
            _ => None,
        };
        if let Some((found, fingerprint)) = &key
            && let Some(row) = found.row(now)
        {
            if row.fingerprint != *fingerprint {
                return Ok(IngestOutcome::KeyReused);
            }
            return Ok(IngestOutcome::Repeated(event(app, row.seq, row.accepted_at, message)));
        }
        if let Some(event_id) = &message.event_id
            && event_uid::get(txn, app, event_id)?.is_some()
        {
            return Ok(IngestOutcome::DuplicateEventId);
        }
        if let Some((found, fingerprint)) = key {
            let expires_at = now.plus_ms(self.idempotency_ms);
            let row = Remembered { seq, accepted_at: now, fingerprint, expires_at };
            if !found.remember(txn, &row, self.keys_most)? {
                return Ok(IngestOutcome::TooManyKeys { most: self.keys_most });
            }
        }
        if let Some(event_id) = &message.event_id {
            event_uid::put(txn, app, event_id, seq)?;
        }
        let event = event(app, seq, now, message);
        if let Some(at) = event.expunge_at() {
            txn.put(expunge_at::encode(at, app, seq), Bytes::new());
        }
        Ok(IngestOutcome::Accepted(event))
    }
}

/// Where an application's log ends, if there is such an application.
fn end_of_log(txn: &Txn<'_>, app: AppId) -> Result<Option<Seq>, StoreError> {
    let exists = crate::tables::application::get(txn, app)?.is_some();
    exists.then(|| log::head(txn, app)).transpose()
}

/// Keeps a damaged row from failing more than what needs it. Else a client that repeats its request would stop the process
/// again and again.
fn contained<T>(result: Result<T, StoreError>) -> Result<Result<T, &'static str>, StoreError> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(StoreError::CorruptRow { kind, detail }) => {
            tracing::error!(kind, detail, "a row is damaged; messages that need it are refused");
            Ok(Err(kind))
        }
        Err(error) => Err(error),
    }
}

fn event(app: AppId, seq: Seq, accepted_at: UnixMs, message: NewMessage) -> Event {
    Event {
        app,
        seq,
        accepted_at,
        event_type: Arc::from(message.event_type),
        event_id: message.event_id.map(Arc::from),
        channels: message.channels.into_iter().map(Arc::from).collect(),
        only_for: message.only_for,
        more: message.more.map(|more| {
            let MessageMore { tags, content_type, payload_kept_ms } = *more;
            let expunge_at = payload_kept_ms.map(|kept_ms| accepted_at.plus_ms(kept_ms));
            Arc::new(EventMore { tags, content_type, expunge_at })
        }),
        payload: message.payload,
    }
}

/// Tells whether two messages under one idempotency key are the same message.
fn fingerprint(message: &NewMessage) -> [u8; 16] {
    let mut hash = Sha256::new();
    for part in [Some(message.event_type.as_str()), message.event_id.as_deref()] {
        let part = part.unwrap_or_default();
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.update([u8::from(message.event_id.is_some())]);
    hash.update(message.only_for.map_or(0, |endpoint| endpoint.0).to_le_bytes());
    hash.update((message.channels.len() as u64).to_le_bytes());
    for channel in &message.channels {
        hash.update((channel.len() as u64).to_le_bytes());
        hash.update(channel);
    }
    hash.update(&message.payload);
    let digest = hash.finalize();
    let mut short = [0; 16];
    short.copy_from_slice(&digest[..16]);
    message.more.as_ref().map_or(short, |more| with_more(short, more))
}

/// The same for a message that has more: keys of those that have not mean what they meant before.
fn with_more(without: [u8; 16], more: &MessageMore) -> [u8; 16] {
    let mut hash = Sha256::new();
    hash.update(without);
    hash.update(more.payload_kept_ms.unwrap_or_default().to_le_bytes());
    for text in more.tags.iter().chain(&more.content_type) {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    }
    hash.update((more.tags.len() as u64).to_le_bytes());
    let mut short = [0; 16];
    short.copy_from_slice(&hash.finalize()[..16]);
    short
}
