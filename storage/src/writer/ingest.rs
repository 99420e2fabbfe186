//! Taking messages in: positions, idempotency keys and event ids, decided where nothing can race.
//!
//! Not their validation (that is the API's) and not their layout on disk (that is
//! [`crate::rows::event::block`]).

use crate::rows::event::block;
use crate::rows::expunge_at;
use crate::rows::idempotency::Remembered;
use crate::store::{INLINE_MAX_BYTES, StoreError};
use crate::tables::{application, delivery, event_uid, idempotency, log, schedule};
use crate::txn::{Txn, Wanted};
use crate::writer::WriterQuotas;
use bytes::Bytes;
use foldhash::HashMap;
use model::{AppId, AuditEntry, EndpointId, Event, EventMore, Seq, UnixMs};
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
    /// Milliseconds for which the payload is kept after it was taken; without limit if none.
    pub payload_kept_ms: Option<u64>,
    /// Messages with the same one keep their order at endpoints that want that.
    pub ordering_key: Option<String>,
    /// When it is to be delivered; a time that has come when it is taken counts as at once.
    pub deliver_at: Option<UnixMs>,
    /// From when on it is not attempted any more.
    pub expires_at: Option<UnixMs>,
    /// The same in milliseconds from its delivery time, which is its acceptance if it names none. Not beside the other.
    pub ttl_ms: Option<u64>,
    /// An entry for the audit log once it is taken, which gets its id: of an example, for which somebody gave an order.
    pub audit: Option<AuditEntry>,
}

/// Bytes that a message takes beyond its texts, near enough to budget by: a header and its index rows.
const MESSAGE_OVERHEAD_BYTES: usize = 64;

impl NewMessage {
    /// When it is to be delivered, if not at once.
    fn deliver_at(&self) -> Option<UnixMs> {
        self.more.as_ref()?.deliver_at
    }

    /// Bytes to budget by.
    pub(super) fn bytes(&self) -> usize {
        let optional = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let texts = optional(&self.event_id) + optional(&self.idempotency_key) + self.event_type.len();
        let channels: usize = self.channels.iter().map(String::len).sum();
        let more = self.more.as_ref().map_or(0, |more| {
            let texts = optional(&more.content_type) + optional(&more.ordering_key);
            texts + more.tags.iter().map(String::len).sum::<usize>()
        });
        MESSAGE_OVERHEAD_BYTES + texts + channels + more + self.payload.len()
    }

    /// True if a block can hold its type, id and channels. They are never apart.
    pub(super) fn fits_a_block(&self) -> bool {
        let more = self.more.as_ref();
        let more = more.map(|more| (&more.tags[..], more.content_type.as_deref(), more.ordering_key.as_deref()));
        block::header_bytes_max(&self.event_type, self.event_id.as_deref(), &self.channels, more) <= INLINE_MAX_BYTES
    }
}

/// A message with the keys of the rows that its texts lead to. It is made by the caller, so that nothing is hashed on
/// the thread that all writes wait for.
#[derive(Debug)]
pub(super) struct Marked {
    message: NewMessage,
    /// For its idempotency key, with the fingerprint of its content.
    repeat: Option<(Vec<u8>, [u8; 16])>,
    /// For its event id.
    name: Option<Vec<u8>>,
}

impl Marked {
    pub(super) fn new(app: AppId, message: NewMessage) -> Marked {
        let key = message.idempotency_key.as_deref();
        let repeat = key.map(|key| (idempotency::row_key(app, key), fingerprint(&message)));
        let name = message.event_id.as_deref().map(|event_id| event_uid::row_key(app, event_id));
        Marked { message, repeat, name }
    }
}

/// The outcome of one message.
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
    /// Its application has as many scheduled messages as it may: it is not taken.
    TooManyScheduled {
        /// The quota.
        most: u32,
    },
    /// The row that would tell whether it was taken before is damaged: it is not taken.
    Damaged {
        /// The kind of the row.
        kind: &'static str,
    },
}

/// Messages that were not taken at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IngestError {
    /// Too much waits; nothing was taken.
    #[error("too much is waiting for the store; try again in {retry_after_s} s")]
    Busy {
        /// Seconds after which to try again.
        retry_after_s: u64,
    },
    /// The process is stopping; nothing was taken.
    #[error("stopping")]
    ShuttingDown,
    /// More than the store takes in one request, or one message's type, id and channels more than it takes for one;
    /// nothing was taken.
    #[error("more than the store takes at once")]
    TooLarge,
    /// The disk has less room than is kept for writes that cannot be refused; nothing was taken.
    #[error("the disk is nearly full")]
    StorageFull,
    /// The rows that say where the application's log ends are damaged; nothing was taken.
    #[error("a stored row of kind {kind} is damaged")]
    Damaged {
        /// The kind of the row.
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
    quotas: WriterQuotas,
}

impl Ingest {
    pub(super) fn new(idempotency_ms: u64, quotas: WriterQuotas) -> Ingest {
        Ingest { heads: HashMap::default(), idempotency_ms, quotas }
    }

    pub(super) fn forget(&mut self, app: AppId) {
        self.heads.remove(&app);
    }

    /// The rows that [`Ingest::take_in`] reads of these messages.
    pub(super) fn want(&self, app: AppId, messages: &[Marked], wanted: &mut Wanted) {
        if !self.heads.contains_key(&app) {
            application::want(app, wanted);
            delivery::want_routed(app, wanted);
        }
        if messages.iter().any(|message| message.repeat.is_some()) {
            idempotency::want_count(app, wanted);
        }
        if messages.iter().any(|message| message.message.deliver_at().is_some()) {
            schedule::want_count(app, wanted);
        }
        for message in messages {
            let repeat = message.repeat.iter().map(|(key, _)| key);
            repeat.chain(&message.name).for_each(|key| wanted.add(key.clone()));
        }
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
            // The application's first since the start: also the moment to notice that the application is gone.
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
        let Marked { mut message, repeat, name } = message;
        let repeat = match repeat {
            Some((key, fingerprint)) => Some((idempotency::find_at(txn, app, key)?, fingerprint)),
            None => None,
        };
        if let Some((found, fingerprint)) = &repeat
            && let Some(row) = found.row(now)
        {
            if row.fingerprint != *fingerprint {
                return Ok(IngestOutcome::KeyReused);
            }
            return Ok(IngestOutcome::Repeated(event(app, row.seq, row.accepted_at, message)));
        }
        if let Some(name) = &name
            && event_uid::get_at(txn, name)?.is_some()
        {
            return Ok(IngestOutcome::DuplicateEventId);
        }
        let deliver_at = message.deliver_at().filter(|at| *at > now);
        if deliver_at.is_some() && schedule::is_full(txn, app, self.quotas.scheduled_messages)? {
            return Ok(IngestOutcome::TooManyScheduled { most: self.quotas.scheduled_messages });
        }
        if let Some((found, fingerprint)) = repeat {
            let expires_at = now.plus_ms(self.idempotency_ms);
            let row = Remembered { seq, accepted_at: now, fingerprint, expires_at };
            if !found.remember(txn, &row, self.quotas.idempotency_keys)? {
                return Ok(IngestOutcome::TooManyKeys { most: self.quotas.idempotency_keys });
            }
        }
        if let Some(name) = name {
            event_uid::put_at(txn, name, seq)?;
        }
        if let Some(at) = deliver_at {
            schedule::put(txn, app, at, seq)?;
        }
        let audit = message.more.as_mut().and_then(|more| more.audit.take());
        let event = event(app, seq, now, message);
        if let Some(entry) = audit {
            txn.audit(AuditEntry { id: event.message_id(), ..entry });
        }
        if let Some(at) = event.expunge_at() {
            txn.put(expunge_at::encode(at, app, seq), Bytes::new());
        }
        Ok(IngestOutcome::Accepted(event))
    }
}

/// The head of an application's log, if there is such an application.
fn end_of_log(txn: &Txn<'_>, app: AppId) -> Result<Option<Seq>, StoreError> {
    let exists = application::get(txn, app)?.is_some();
    exists.then(|| log::head(txn, app)).transpose()
}

/// Keeps a damaged row from failing more than the messages that need it. Else a client that repeats its request would
/// stop the process again and again.
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
        more: message.more.and_then(|more| {
            let MessageMore {
                tags,
                content_type,
                payload_kept_ms,
                ordering_key,
                deliver_at,
                expires_at,
                ttl_ms,
                audit: _,
            } = *more;
            let expunge_at = payload_kept_ms.map(|kept_ms| accepted_at.plus_ms(kept_ms));
            let deliver_at = deliver_at.filter(|at| *at > accepted_at);
            let ready_at = deliver_at.unwrap_or(accepted_at);
            let expires_at = expires_at.or(ttl_ms.map(|ttl_ms| ready_at.plus_ms(ttl_ms)));
            let more = EventMore { tags, content_type, expunge_at, ordering_key, deliver_at, expires_at };
            // A time of delivery that has passed leaves nothing.
            (more != EventMore::default()).then(|| Arc::new(more))
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

/// The fingerprint of a message that has more: that of a message without more stays as it was before.
fn with_more(without: [u8; 16], more: &MessageMore) -> [u8; 16] {
    let mut hash = Sha256::new();
    hash.update(without);
    hash.update(more.payload_kept_ms.unwrap_or_default().to_le_bytes());
    for text in more.tags.iter().chain(&more.content_type) {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    }
    hash.update((more.tags.len() as u64).to_le_bytes());
    // Only where there is one: keys of messages from before there were any mean what they meant.
    if let Some(key) = &more.ordering_key {
        hash.update((key.len() as u64).to_le_bytes());
        hash.update(key);
    }
    let times = [more.deliver_at, more.expires_at, more.ttl_ms.map(UnixMs)];
    for (number, at) in (1u8..).zip(times).filter_map(|(number, at)| Some((number, at?))) {
        hash.update([number]);
        hash.update(at.0.to_le_bytes());
    }
    let mut short = [0; 16];
    short.copy_from_slice(&hash.finalize()[..16]);
    short
}
