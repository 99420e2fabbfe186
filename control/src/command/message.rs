//! Commands on messages: push them, forget the payload of one, call a scheduled one off.
//!
//! A push is no [`Command`]: the writer has a way of its own for messages, which joins those of many requests into
//! blocks.

use super::{At, Changed, Command, Reach, Thing};
use crate::checks::Checks;
use crate::error::Error;
use crate::find::MessageName;
use crate::limits;
use crate::snapshot::Fields;
use engine::{IngestOutcome, MessageMore, NewMessage};
use model::id::IdKind;
use model::{AppId, Event, Seq, UnixMs};
use storage::Txn;
use storage::tables::{expunge, schedule};

/// Takes messages in, durably and all at once.
pub struct PushMessages {
    /// Whose.
    pub app: AppId,
    /// In which [`check_message`] found nothing wrong.
    pub messages: Vec<NewMessage>,
}

impl PushMessages {
    /// As [`Command::NAME`].
    pub const NAME: &'static str = "message.push";
}

/// Notes the faults of a message, but for its payload, which is any bytes.
pub fn check_message(message: &NewMessage, checks: &mut Checks) {
    checks.name("eventType", &message.event_type);
    checks.path_name_if_any("eventId", IdKind::Message, message.event_id.as_deref());
    if !message.channels.is_empty() {
        checks.channels(&message.channels, limits::MESSAGE_CHANNELS_MAX, true);
    }
    message.more.iter().for_each(|more| {
        checks.tags(&more.tags);
        more.ordering_key.iter().for_each(|key| checks.label(&["orderingKey"], key, limits::ORDERING_KEY_BYTES_MAX));
    });
}

/// The time at which a message is checked, and how far ahead it may be scheduled.
#[derive(Clone, Copy, Debug)]
pub struct PushTimes {
    /// Now.
    pub now: UnixMs,
    /// As in [`Rules::deliver_within_ms`](crate::limits::Rules::deliver_within_ms).
    pub deliver_within_ms: u64,
}

/// Notes what is wrong with the times that a message names. `times` is only asked for when it names one.
pub fn check_times(more: &MessageMore, times: impl FnOnce() -> PushTimes, checks: &mut Checks) {
    if more.deliver_at.is_none() && more.expires_at.is_none() && more.ttl_ms.is_none() {
        return;
    }
    let PushTimes { now, deliver_within_ms } = times();
    let ready_at = more.deliver_at.map_or(now, |deliver_at| deliver_at.max(now));
    if ready_at > now.plus_ms(deliver_within_ms) {
        let hours = deliver_within_ms / 3_600_000;
        let msg = format!("must be at most {hours} hours ahead: 90 days, or as long as messages are kept");
        checks.wrong(&["deliverAt"], msg, "value_error.date");
    }
    if more.payload_kept_ms.is_some_and(|kept_ms| now.plus_ms(kept_ms) <= ready_at) {
        checks.wrong(&["deliverAt"], "is when the payload is expunged already, or later", "value_error.conflict");
    }
    if more.expires_at.is_some_and(|expires_at| expires_at <= ready_at) {
        checks.wrong(&["expiresAt"], "must be after now and after deliverAt", "value_error.date");
    }
    if more.expires_at.is_some() && more.ttl_ms.is_some() {
        checks.wrong(&["ttlSeconds"], "is given beside expiresAt", "value_error.conflict");
    }
}

/// The event of a message that was taken, by this push or by an earlier one with its idempotency key.
///
/// # Errors
/// Why it was not taken.
pub fn accepted(outcome: IngestOutcome) -> Result<Event, Error> {
    match outcome {
        IngestOutcome::Accepted(event) | IngestOutcome::Repeated(event) => Ok(event),
        IngestOutcome::DuplicateEventId => Err(Error::Conflict("a message with this eventId exists".into())),
        IngestOutcome::KeyReused => Err(Error::KeyReused),
        IngestOutcome::TooManyScheduled { most } => Err(Error::too_many_scheduled(most)),
        IngestOutcome::TooManyKeys { most } => Err(Error::too_many_keys(most)),
        IngestOutcome::Damaged { kind } => Err(Error::Damaged { kind }),
    }
}

/// Calls a scheduled message off, so that nobody gets it. The message stays what it is otherwise.
pub struct CallOff {
    /// Which message.
    pub message: MessageName,
}

/// A schedule that is no more, as the message that it belonged to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// The application.
    pub app: AppId,
    /// The id of the message.
    pub of: String,
}

impl Thing for Schedule {
    const KIND: &'static str = "schedule";

    fn app(&self) -> Option<AppId> {
        Some(self.app)
    }

    fn id(&self) -> String {
        self.of.clone()
    }

    fn fields(&self) -> Fields {
        Fields::default()
    }
}

impl Command for CallOff {
    const NAME: &'static str = "message.call-off";
    type Thing = Schedule;

    fn reach(&self) -> Option<Reach> {
        Some(Reach::Application(self.message.app))
    }

    fn apply(self, _: &At<'_>, txn: &mut Txn<'_>) -> Result<Changed<Schedule>, Error> {
        let event = self.message.find(txn)?;
        let called_off = Schedule { app: event.app, of: event.message_id() };
        match schedule::stage(txn, &event)? {
            // Asked for once more.
            schedule::Stage::CalledOff => Ok(Changed::Nothing(called_off)),
            _ if schedule::call_off(txn, &event)? => Ok(Changed::Deleted(called_off)),
            _ => Err(Error::Conflict("the message is not scheduled, or its time has come".into())),
        }
    }
}

/// Forgets the payload of a message. Its deliveries that were not made become dead letters.
pub struct ExpungePayload {
    /// Which message.
    pub message: MessageName,
}

/// Forgotten content, named by the message or attempt that it belonged to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// The application.
    pub app: AppId,
    /// The position of the message.
    pub seq: Seq,
    /// The id of the message or attempt.
    pub of: String,
}

impl Thing for Content {
    const KIND: &'static str = "content";

    fn app(&self) -> Option<AppId> {
        Some(self.app)
    }

    fn id(&self) -> String {
        self.of.clone()
    }

    fn fields(&self) -> Fields {
        Fields::default()
    }
}

impl Command for ExpungePayload {
    const NAME: &'static str = "message.expunge";
    type Thing = Content;

    fn reach(&self) -> Option<Reach> {
        Some(Reach::Application(self.message.app))
    }

    fn apply(self, at: &At<'_>, txn: &mut Txn<'_>) -> Result<Changed<Content>, Error> {
        let event = self.message.find(txn)?;
        let content = Content { app: event.app, seq: event.seq, of: event.message_id() };
        match expunge::message(txn, event.app, event.seq, at.now)? {
            true => Ok(Changed::Deleted(content)),
            false => Ok(Changed::Nothing(content)),
        }
    }
}
