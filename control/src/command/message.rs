//! Commands on messages: push them, forget the payload of one.
//!
//! A push is no [`Command`]: the writer has a way of its own for messages, which joins those of many requests into
//! blocks.

use super::{At, Changed, Command, Reach, Thing};
use crate::checks::Checks;
use crate::error::Error;
use crate::find::MessageName;
use crate::limits;
use engine::{IngestOutcome, NewMessage};
use model::id::IdKind;
use model::{AppId, Event, Seq};
use storage::Txn;
use storage::tables::expunge;

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

/// The event of a message that was taken, by this push or by an earlier one with its idempotency key.
///
/// # Errors
/// Why it was not taken.
pub fn accepted(outcome: IngestOutcome) -> Result<Event, Error> {
    match outcome {
        IngestOutcome::Accepted(event) | IngestOutcome::Repeated(event) => Ok(event),
        IngestOutcome::DuplicateEventId => Err(Error::Conflict("a message with this eventId exists".into())),
        IngestOutcome::KeyReused => Err(Error::KeyReused),
        IngestOutcome::TooManyKeys { most } => Err(Error::too_many_keys(most)),
        IngestOutcome::Damaged { kind } => Err(Error::Damaged { kind }),
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
}

impl Command for ExpungePayload {
    const NAME: &'static str = "message.expunge";
    type Thing = Content;

    fn reach(&self) -> Reach {
        Reach::Application(self.message.app)
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
