//! Commands on attempts: forget the response of one.

use super::message::Content;
use super::{At, Changed, Command, Reach};
use crate::error::Error;
use crate::find::MessageName;
use crate::query::attempt;
use storage::Txn;
use storage::tables::history;

/// Forgets the response of an attempt, which may hold data that a tenant must not keep.
pub struct ExpungeResponse {
    /// Of which message.
    pub message: MessageName,
    /// The attempt's id.
    pub attempt: String,
}

impl Command for ExpungeResponse {
    const NAME: &'static str = "attempt.expunge";
    type Thing = Content;

    fn reach(&self) -> Option<Reach> {
        Some(Reach::Application(self.message.app))
    }

    fn apply(self, _: &At<'_>, txn: &mut Txn<'_>) -> Result<Changed<Content>, Error> {
        let event = self.message.find(txn)?;
        let found = attempt::find(txn, &event, &self.attempt)?.ok_or(Error::NotFound("attempt"))?;
        history::expunge(txn, found.endpoint.target(), event.seq, found.record.started_at)?;
        Ok(Changed::Deleted(Content { app: event.app, seq: event.seq, of: self.attempt }))
    }
}
