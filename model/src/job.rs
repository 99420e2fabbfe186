//! A job: work over many deliveries that outlives the request that asked for it, with progress.

use crate::id::{EndpointRef, IdKind, IdParts, Seq};
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
    /// Deliveries put back in line (or removed) so far.
    pub affected: u64,
    /// When it was created.
    pub created_at: UnixMs,
    /// When it last made progress.
    pub updated_at: UnixMs,
    /// Deliveries it has looked at so far: each is counted in `affected` or in `skipped`.
    pub looked_at: u64,
    /// Deliveries it left as they are, by reason.
    pub skipped: Skipped,
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
        }
    }

    /// The text id, `qtask_…`.
    #[must_use]
    pub fn public_id(&self) -> String {
        IdParts { at: self.created_at, number: self.number, low: 0 }.to_text(IdKind::Job)
    }
}

/// Why a job left a delivery as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SkipReason {
    /// It was delivered.
    Delivered,
    /// It waits for its first attempt or for another one.
    OnItsWay,
    /// It was tried, and given up.
    GivenUp,
    /// The endpoint does not want this message now.
    NotMatched,
    /// It was not for the endpoint when it was taken.
    NeverForIt,
    /// Its attempts are past their retention: whether it was delivered is not known any more.
    HistoryGone,
    /// The message is past its retention.
    MessageGone,
    /// The payload of the message was removed on request.
    PayloadGone,
    /// The endpoint was disabled while the job ran.
    EndpointDisabled,
    /// The message is past its own expiry.
    PastExpiry,
    /// The message was scheduled, and called off before its time.
    CalledOff,
}

impl SkipReason {
    /// Every reason.
    pub const ALL: [SkipReason; 11] = [
        SkipReason::Delivered,
        SkipReason::OnItsWay,
        SkipReason::GivenUp,
        SkipReason::NotMatched,
        SkipReason::NeverForIt,
        SkipReason::HistoryGone,
        SkipReason::MessageGone,
        SkipReason::PayloadGone,
        SkipReason::EndpointDisabled,
        SkipReason::PastExpiry,
        SkipReason::CalledOff,
    ];
}

/// Numbers of deliveries that a job left as they are, by [`SkipReason`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Skipped([u64; SkipReason::ALL.len()]);

impl Skipped {
    /// Counts one.
    pub fn count(&mut self, reason: SkipReason) {
        self.add(reason, 1);
    }

    /// Counts several.
    pub fn add(&mut self, reason: SkipReason, number: u64) {
        let count = &mut self.0[reason as usize];
        *count = count.saturating_add(number);
    }

    /// The number for this reason.
    #[must_use]
    pub fn of(&self, reason: SkipReason) -> u64 {
        self.0[reason as usize]
    }

    /// The number in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().copied().fold(0, u64::saturating_add)
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
    /// Sends again every dead letter of the endpoint.
    RedriveDeadLetters,
    /// Forgets every dead letter of the endpoint.
    PurgeDeadLetters,
    /// Removes the rows of a deleted endpoint, but for its attempts: retention takes those.
    PurgeEndpoint,
    /// Removes everything of a deleted application: its events, and the rows of all its endpoints.
    PurgeApplication,
}

/// The state of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobStatus {
    /// Has more to do.
    Running,
    /// Is done.
    Finished,
    /// Ended early: e.g. its endpoint was deleted.
    Failed,
}

/// A span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// From when, inclusive.
    pub since: UnixMs,
    /// Until when, inclusive.
    pub until: UnixMs,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skipped_deliveries_are_counted_by_reason_and_all_reasons_have_their_own_number() {
        let mut skipped = Skipped::default();
        for (times, reason) in SkipReason::ALL.into_iter().enumerate() {
            (0..=times).for_each(|_| skipped.count(reason));
        }
        let counts: Vec<u64> = SkipReason::ALL.into_iter().map(|reason| skipped.of(reason)).collect();
        assert_eq!(counts, (1..=SkipReason::ALL.len() as u64).collect::<Vec<_>>());
        assert_eq!(skipped.total(), counts.iter().sum());
        assert_eq!(Skipped::default().of(SkipReason::Delivered), 0);
    }
}
