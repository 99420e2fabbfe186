//! The answer of a request that waits for its commit.
//!
//! Owned by the writer's thread until the commit is durable, then by the reply queue of the thread that asked, if there is one.

use super::ingest::{IngestError, IngestOutcome};
use tokio::sync::oneshot;

/// An answer that is sent once the commit is durable. Dropped unsent when it fails: the waiter sees that.
pub(super) enum Waiting {
    Ingest(oneshot::Sender<Result<Vec<IngestOutcome>, IngestError>>, Result<Vec<IngestOutcome>, IngestError>),
    Change(Box<dyn FnOnce() + Send>),
}

impl Waiting {
    pub(super) fn answer(self) {
        match self {
            // A requester that went away does not undo its request.
            Waiting::Ingest(reply, outcome) => drop(reply.send(outcome)),
            Waiting::Change(answer) => answer(),
        }
    }
}
