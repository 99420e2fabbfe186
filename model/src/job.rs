//! A job: work over many deliveries that outlives the request that asked for it, with progress.

mod passed;

pub use passed::{Failure, FailureReason, SHOWN_MAX, Skip, SkipReason, Skipped};

use crate::delivery::DeadLetterReason;
use crate::id::{EndpointId, EndpointRef, IdKind, IdParts, Seq};
use crate::time::UnixMs;

/// One job. It continues after a restart from where it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its number, given out in order, never reused.
    pub number: u32,
    /// The endpoint that it is for; endpoint 0 when it is about the whole application.
    pub target: EndpointRef,
    /// The work of the job.
    pub kind: JobKind,
    /// The state of the job.
    pub status: JobStatus,
    /// The last position looked at.
    pub position: Seq,
    /// The end of the job: the last position that it looks at.
    pub last: Seq,
    /// Deliveries put back in line (or removed) so far; of a job over messages, those.
    pub affected: u64,
    /// When it was created.
    pub created_at: UnixMs,
    /// When it last made progress.
    pub updated_at: UnixMs,
    /// Deliveries it has looked at so far: each is counted in `affected`, in `skipped` or in `failed`.
    pub looked_at: u64,
    /// Deliveries it left as they are, by reason.
    pub skipped: Skipped,
    /// The deliveries that it is about, of those in its positions; none for all of them.
    pub filter: Option<JobFilter>,
    /// Deliveries put in line per second, at most; none for as many as a chunk after the other has.
    pub rate_per_s: Option<u32>,
    /// It counts what it would do, and changes nothing.
    pub dry_run: bool,
    /// Its next chunk is not made before: it keeps to its rate.
    pub resume_at: UnixMs,
    /// The last dead letter looked at by a job over all endpoints of an application.
    pub letter: Option<LetterPlace>,
    /// The first deliveries that it left as they are; [`SHOWN_MAX`] at most.
    pub skips: Vec<Skip>,
    /// It begins then, and not when it was asked for. Until then it is [`JobStatus::Pending`].
    pub start_at: Option<UnixMs>,
    /// Deliveries that it could not decide about, and passed over.
    pub failed: u64,
    /// The first of those; [`SHOWN_MAX`] at most.
    pub failures: Vec<Failure>,
    /// Why it ended as [`JobStatus::Failed`]; shown to its application.
    pub error: Option<String>,
}

/// The deliveries that a job is about: those that pass every part that is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// Exact names and `prefix.*`; empty for every type.
    pub event_types: Vec<String>,
    /// The message has one of these channels; empty for every message.
    pub channels: Vec<String>,
    /// The message has one of these tags; empty for every message.
    pub tags: Vec<String>,
    /// The message has this id of its tenant's own; none for every message.
    pub event_id: Option<String>,
    /// Reasons of dead letters; empty for every reason.
    pub reasons: Vec<DeadLetterReason>,
    /// The time at which a delivery was given up.
    pub given_up: Option<Span>,
    /// The status that the delivery shows among the messages of its endpoint.
    pub status: Option<DeliveryStatus>,
    /// The status of the last answer in hundreds; 0 for an attempt without an answer.
    pub status_class: Option<u16>,
}

/// The status of a delivery or an attempt, in the five words of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryStatus {
    /// Delivered; an attempt: succeeded.
    Success,
    /// Among the endpoints of a message: no attempt yet, or one that was asked for by hand is to come.
    Pending,
    /// Given up; an attempt: failed; among the endpoints of a message: the last attempt failed.
    Fail,
    /// Among the messages of an endpoint: on its way, with the time of the next attempt once there was one.
    Sending,
    /// Not sent, because the endpoint was disabled. Only for callers that ask for expanded statuses.
    Canceled,
}

impl DeliveryStatus {
    /// As a caller sees it that does not know [`DeliveryStatus::Canceled`].
    #[must_use]
    pub fn plain(self) -> DeliveryStatus {
        if self == DeliveryStatus::Canceled { DeliveryStatus::Fail } else { self }
    }
}

/// The place of a dead letter among those of its application, oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LetterPlace {
    /// When the delivery was given up.
    pub at: UnixMs,
    /// The endpoint of the delivery.
    pub endpoint: EndpointId,
    /// The event of the delivery.
    pub seq: Seq,
}

impl Job {
    /// One that has done nothing yet; it looks at positions after `position`, up to `last`.
    #[must_use]
    pub fn new(number: u32, target: EndpointRef, kind: JobKind, (position, last): (Seq, Seq), now: UnixMs) -> Job {
        Job {
            number,
            target,
            kind,
            status: JobStatus::Running,
            position,
            last,
            affected: 0,
            created_at: now,
            updated_at: now,
            looked_at: 0,
            skipped: Skipped::default(),
            filter: None,
            rate_per_s: None,
            dry_run: false,
            resume_at: UnixMs::ZERO,
            letter: None,
            skips: Vec::new(),
            start_at: None,
            failed: 0,
            failures: Vec::new(),
            error: None,
        }
    }

    /// The same, begun at `start_at` and not before, if one is given.
    #[must_use]
    pub fn starting_at(self, start_at: Option<UnixMs>) -> Job {
        let status = if start_at.is_some() { JobStatus::Pending } else { self.status };
        Job { status, start_at, ..self }
    }

    /// The time that its work is reckoned from: of what came later it takes nothing.
    #[must_use]
    pub fn begins_at(&self) -> UnixMs {
        self.start_at.unwrap_or(self.created_at)
    }

    /// True if it is about all endpoints of its application.
    #[must_use]
    pub fn is_of_application(&self) -> bool {
        self.target.endpoint == EndpointId(0)
    }

    /// Counts a delivery that it looked at: put in line, or left as it is.
    pub fn note(&mut self, endpoint: EndpointId, seq: Seq, ruling: Result<(), SkipReason>) {
        self.looked_at += 1;
        match ruling {
            Ok(()) => self.affected += 1,
            Err(reason) => {
                self.skipped.count(reason);
                // Those that nobody asked for explain nothing.
                if reason != SkipReason::NotNamed && self.skips.len() < SHOWN_MAX {
                    self.skips.push(Skip { endpoint, seq, reason });
                }
            }
        }
    }

    /// Counts deliveries of events one behind the other that it could not decide about.
    pub fn note_failed(&mut self, endpoint: EndpointId, first: Seq, number: u64, reason: FailureReason) {
        self.looked_at = self.looked_at.saturating_add(number);
        self.failed = self.failed.saturating_add(number);
        let room = SHOWN_MAX.saturating_sub(self.failures.len());
        let seqs = (first.0..first.0.saturating_add(number)).map(Seq);
        self.failures.extend(seqs.take(room).map(|seq| Failure { endpoint, seq, reason }));
    }

    /// Ends it as failed.
    pub fn fail(&mut self, error: impl Into<String>) {
        self.status = JobStatus::Failed;
        self.error = Some(error.into());
    }

    /// The text id, `qtask_…`.
    #[must_use]
    pub fn public_id(&self) -> String {
        IdParts { at: self.created_at, number: self.number, low: 0 }.to_text(IdKind::Job)
    }
}

/// The work that a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobKind {
    /// Sends again the events that were accepted in a span of time and given up or cancelled.
    Recover(Span),
    /// Sends the events that were accepted in a span of time and never tried: before the endpoint existed, or while it
    /// was disabled.
    ReplayMissing(Span),
    /// Sends again all that was accepted in a span of time and matches, delivered or not.
    Replay(Span),
    /// Sends again the dead letters of the endpoint, or of the whole application.
    RedriveDeadLetters,
    /// Forgets the dead letters of the endpoint, or of the whole application.
    PurgeDeadLetters,
    /// Removes the payloads of the messages that its filter names, of a whole application.
    Erase,
    /// Removes the rows of a deleted endpoint, but for its attempts: retention takes those.
    PurgeEndpoint,
    /// Removes everything of a deleted application: its events, and the rows of all its endpoints.
    PurgeApplication,
}

/// The state of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobStatus {
    /// Waits for the time at which it is to begin.
    Pending,
    /// Has more to do.
    Running,
    /// Is done.
    Finished,
    /// Ended early: e.g. its endpoint was deleted.
    Failed,
    /// Ended early by a caller.
    Cancelled,
}

// === impl JobKind ===

impl JobKind {
    /// The word that the API shows.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            JobKind::Recover(_) => "recover",
            JobKind::ReplayMissing(_) => "replay_missing",
            JobKind::Replay(_) => "replay",
            JobKind::RedriveDeadLetters => "redrive_dead_letters",
            JobKind::PurgeDeadLetters => "purge_dead_letters",
            JobKind::Erase => "erase",
            JobKind::PurgeEndpoint => "purge_endpoint",
            JobKind::PurgeApplication => "purge_application",
        }
    }
}

// === impl JobStatus ===

impl JobStatus {
    /// True if it has ended: nothing more comes of it.
    #[must_use]
    pub fn is_over(self) -> bool {
        matches!(self, JobStatus::Finished | JobStatus::Failed | JobStatus::Cancelled)
    }

    /// The word that the API shows.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            JobStatus::Pending => "pending",
            JobStatus::Running => "running",
            JobStatus::Finished => "finished",
            JobStatus::Failed => "failed",
            JobStatus::Cancelled => "cancelled",
        }
    }
}

/// A span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// From when, inclusive.
    pub since: UnixMs,
    /// Until when, inclusive.
    pub until: UnixMs,
}
