//! A job: work over many deliveries that outlives the request that asked for it, with progress.

use crate::id::{EndpointRef, IdKind, IdParts, Seq};
use crate::time::UnixMs;
use bincode::{Decode, Encode};

/// One job. It continues after a restart from where it was.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Job {
    /// Its number, given out in order, never reused.
    pub number: u32,
    /// For whose endpoint; endpoint 0 when it is about the whole application.
    pub target: EndpointRef,
    /// What it does.
    pub kind: JobKind,
    /// How it stands.
    pub status: JobStatus,
    /// The last position looked at.
    pub position: Seq,
    /// Where it ends: the last position it looks at.
    pub last: Seq,
    /// Deliveries put back in line (or removed) so far.
    pub affected: u64,
    /// When it was created.
    pub created_at: UnixMs,
    /// When it last made progress.
    pub updated_at: UnixMs,
}

impl Job {
    /// The text id, `qtask_…`.
    #[must_use]
    pub fn public_id(&self) -> String {
        IdParts { at: self.created_at, number: self.number, low: 0 }.to_text(IdKind::Job)
    }
}

/// What a job does. Persisted: never reorder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum JobKind {
    /// Sends again what was accepted in a span of time and given up or cancelled.
    Recover(Span),
    /// Sends what was accepted in a span of time and never tried: before the endpoint existed, or while it was disabled.
    ReplayMissing(Span),
    /// Sends again all that was accepted in a span of time and matches, delivered or not.
    Replay(Span),
    /// Sends again every dead letter of the endpoint.
    RedriveDeadLetters,
    /// Forgets every dead letter of the endpoint.
    PurgeDeadLetters,
    /// Removes the rows of a deleted endpoint.
    PurgeEndpoint,
    /// Removes everything of a deleted application: its events, and the rows of all its endpoints.
    PurgeApplication,
}

/// How a job stands. Persisted: never reorder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum JobStatus {
    /// Has more to do.
    Running,
    /// Is done.
    Finished,
    /// Ended early: e.g. its endpoint was deleted.
    Failed,
}

/// A span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Span {
    /// From when, inclusive.
    pub since: UnixMs,
    /// Until when, inclusive.
    pub until: UnixMs,
}
