//! What goes into a lane and what comes out, as plain data. Deliberately no behaviour.

use crate::dispatch::Lack;
use crate::endpoint::backlog::LogRead;
use crate::endpoint::breaker::{Ticket, Transition};
use crate::endpoint::retries::DueLoad;
use crate::endpoint::window::Slot;
use crate::outcome::decide::Decision;
use model::{AnswerNote, Cursor, DisabledReason, EndpointHealth, Event, OutcomeClass, Seq, Trigger, UnixMs};

/// Bounds of a lane's memory.
#[derive(Clone, Copy, Debug)]
pub struct LaneBounds {
    /// Deliveries that wait in memory.
    pub mailbox_capacity: usize,
    /// Retries that wait in memory.
    pub retries_in_memory: usize,
}

/// What the shard has room for.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Another attempt may start.
    pub attempt: bool,
    /// Bytes of payloads that memory may still take.
    pub bytes: usize,
}

/// Where a lane starts.
#[derive(Clone, Debug, Default)]
pub struct LaneStart {
    /// Its stored mark.
    pub cursor: Cursor,
    /// Its stored failure memory.
    pub health: EndpointHealth,
    /// Whether there may be retries on disk.
    pub retries_on_disk: bool,
}

/// What the shell is to do.
#[derive(Debug)]
pub enum Action {
    /// Make an attempt and tell [`super::Lane::finished`].
    Start(Attempt),
    /// Read the log and tell [`super::Lane::log_read`].
    ReadLog(LogRead),
    /// Take the report, wait until it and all before it are durable, read the due index and tell
    /// [`super::Lane::due_loaded`].
    LoadDue(DueLoad),
    /// Read one delivery's event and row and tell [`super::Lane::fetched`]. Waits for nothing: a row that is not there yet
    /// is found by the load that follows.
    Fetch(Fetch),
}

/// One attempt to make.
#[derive(Debug)]
pub struct Attempt {
    /// For this event.
    pub event: Event,
    /// Which attempt of its round, from 1.
    pub number: u16,
    /// When it was due; none for a first try.
    pub due: Option<UnixMs>,
}

/// One delivery whose rows are wanted: a retry with its due time, or a first try that a crash interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// The event.
    pub seq: Seq,
    /// The due time of its row.
    pub due: Option<UnixMs>,
}

/// What an attempt showed.
#[derive(Debug)]
pub struct Finished {
    /// For this event.
    pub seq: Seq,
    /// When it started.
    pub started_at: UnixMs,
    /// How long it took.
    pub duration_ms: u32,
    /// Its class.
    pub outcome: OutcomeClass,
    /// Its status, or 0.
    pub status: u16,
    /// The wait that its `Retry-After` asked for.
    pub retry_after_ms: Option<u64>,
    /// The start of the body, or the error in words.
    pub response: Vec<u8>,
    /// Which of the endpoint's URLs was called.
    pub url_number: u32,
    /// A defect of an answer whose status counts.
    pub note: Option<AnswerNote>,
    /// Set when there was no attempt, for want of something of ours.
    pub lack: Option<Lack>,
}

/// What is worth telling of a finished attempt, beyond the report.
#[derive(Clone, Copy, Debug)]
pub struct Ruled {
    /// What became of the delivery.
    pub decision: Decision,
    /// Which attempt this was.
    pub attempt: u16,
    /// When the event was accepted.
    pub accepted_at: UnixMs,
    /// It took from the retry budgets and succeeded: the shard's is owed what the lane's own got back.
    pub gives_back: bool,
    /// What the breaker did.
    pub transition: Option<Transition>,
    /// Set when the endpoint was disabled by this.
    pub disabled: Option<DisabledReason>,
}

/// A delivery that holds a ticket and a slot: its rows are being fetched or its attempt is under way.
pub(super) struct Flight {
    pub(super) was_due: Option<UnixMs>,
    pub(super) attempts_before: u16,
    pub(super) trigger: Trigger,
    pub(super) accepted_at: UnixMs,
    pub(super) ticket: Ticket,
    pub(super) slot: Slot,
    /// When it was let through.
    pub(super) since: UnixMs,
}

impl Flight {
    /// Whether it took from the retry budgets: a retry of the schedule does, one that was asked for by hand does not.
    pub(super) fn took_budget(&self) -> bool {
        self.was_due.is_some() && self.trigger == Trigger::Scheduled
    }
}

/// What is left of a flight once its ticket and slot are returned.
pub(super) struct Departed {
    pub(super) was_due: Option<UnixMs>,
    pub(super) attempts: u16,
    pub(super) trigger: Trigger,
    pub(super) accepted_at: UnixMs,
}

/// What admission let through.
pub(super) struct Chosen {
    pub(super) action: Action,
    pub(super) seq: Seq,
    pub(super) was_due: Option<UnixMs>,
    pub(super) accepted_at: UnixMs,
}

impl Chosen {
    pub(super) fn fetch(seq: Seq, due: Option<UnixMs>) -> Chosen {
        Chosen { action: Action::Fetch(Fetch { seq, due }), seq, was_due: due, accepted_at: UnixMs::ZERO }
    }
}
