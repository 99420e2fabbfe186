//! Clients of the API: what they asked for and have no answer to yet, and what they will ask for again.
//!
//! Every message has a payload of its own, so that it is known wherever it turns up.

use crate::node::Reply;
use bytes::Bytes;
use model::{AppId, EndpointId, EndpointRef, Seq};
use storage::StoreError;
use storage::writer::{ChangeError, IngestError, IngestOutcome, MessageMore, NewMessage};

/// Requests repeated later at most.
const UNANSWERED_MAX: usize = 8;

/// Messages that a client sent in one request.
#[derive(Clone, Debug)]
pub struct Parcel {
    /// The application.
    pub app: AppId,
    /// The messages.
    pub messages: Vec<NewMessage>,
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Its subject is gone, or not in a state for it.
    #[error("not possible")]
    NotPossible,
    /// The store said so.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The answer to a change.
pub type Changed = Result<(), ChangeError<Refusal>>;

/// The answer to messages.
pub type Taken = Result<Vec<IngestOutcome>, IngestError>;

/// A request without an answer.
pub enum Request {
    /// Messages.
    Send(Parcel, Reply<Taken>),
    /// That a message is expunged.
    Expunge(AppId, Seq, Reply<Changed>),
    /// Anything else.
    Change(Asked, Reply<Changed>),
}

/// A change that was asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// In words.
    pub words: String,
    /// The delivery that was asked for once more, if it was that.
    pub order: Option<(EndpointRef, Seq)>,
}

/// An answer.
pub enum Answer {
    /// To messages.
    Taken(Parcel, Taken),
    /// A message is expunged, or not.
    Expunged(AppId, Seq, Changed),
    /// To anything else.
    Changed(Asked, Changed),
}

/// All clients.
#[derive(Default)]
pub struct Clients {
    waiting: Vec<Request>,
    unanswered: Vec<Parcel>,
    sent: u64,
}

impl Clients {
    /// A message like no other.
    pub fn message(
        &mut self,
        event_type: &str,
        padding: usize,
        key: Option<u64>,
        ordering_key: Option<&str>,
    ) -> NewMessage {
        self.sent += 1;
        NewMessage {
            event_type: event_type.to_owned(),
            event_id: None,
            channels: Vec::new(),
            payload: Bytes::from(format!("{{\"n\":{},\"p\":\"{:padding$}\"}}", self.sent, "")),
            idempotency_key: key.map(|key| format!("key-{key}")),
            only_for: None,
            more: ordering_key
                .map(|key| Box::new(MessageMore { ordering_key: Some(key.to_owned()), ..MessageMore::default() })),
        }
    }

    /// One for this endpoint only.
    pub fn example(&mut self, endpoint: EndpointId, event_type: &str) -> NewMessage {
        NewMessage { only_for: Some(endpoint), ..self.message(event_type, 0, None, None) }
    }

    /// Waits for an answer.
    pub fn wait(&mut self, request: Request) {
        self.waiting.push(request);
    }

    /// A request that one has no answer to: it may have been carried out or not.
    pub fn take_unanswered(&mut self) -> Option<Parcel> {
        self.unanswered.pop()
    }

    /// It will be sent again.
    pub fn repeat(&mut self, parcel: Parcel) {
        if self.unanswered.len() < UNANSWERED_MAX {
            self.unanswered.push(parcel);
        }
    }

    /// True if somebody waits.
    #[must_use]
    pub fn any_waits(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// An answer that has come.
    pub fn answer(&mut self) -> Option<Answer> {
        for index in 0..self.waiting.len() {
            let taken = match &mut self.waiting[index] {
                Request::Send(parcel, reply) => reply.poll().map(|taken| Answer::Taken(parcel.clone(), taken)),
                Request::Expunge(app, seq, reply) => reply.poll().map(|changed| Answer::Expunged(*app, *seq, changed)),
                Request::Change(asked, reply) => reply.poll().map(|changed| Answer::Changed(asked.clone(), changed)),
            };
            if taken.is_some() {
                drop(self.waiting.swap_remove(index));
                return taken;
            }
        }
        None
    }

    /// The process died: nobody will get an answer.
    pub fn cut_off(&mut self) {
        for request in std::mem::take(&mut self.waiting) {
            if let Request::Send(parcel, _) = request {
                self.repeat(parcel);
            }
        }
    }
}
