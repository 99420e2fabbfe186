//! Inputs and outputs of a lane, as plain data. No behaviour.

use crate::dispatch::Lack;
use crate::endpoint::backlog::LogRead;
use crate::endpoint::breaker::{Ticket, Transition};
use crate::endpoint::retries::DueLoad;
use crate::endpoint::window::Slot;
use crate::outcome::decide::Decision;
use crate::prepare::Side;
use model::{
    AnswerNote, AttemptDetails, Cursor, DisabledReason, EndpointHealth, Event, OutcomeClass, PausedReason, Seq,
    Trigger, UnixMs,
};

/// Bounds of a lane's memory.
#[derive(Clone, Copy, Debug)]
pub struct LaneBounds {
    /// Deliveries that wait in memory.
    pub mailbox_capacity: usize,
    /// Retries that wait in memory.
    pub retries_in_memory: usize,
}

/// The room that the shard has for a lane's next action.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Another attempt may start.
    pub attempt: bool,
    /// Bytes of payloads that memory may still take.
    pub bytes: usize,
}

/// The stored state that a lane starts from.
#[derive(Clone, Debug, Default)]
pub struct LaneStart {
    /// Its stored cursor.
    pub cursor: Cursor,
    /// Its stored failure memory.
    pub health: EndpointHealth,
    /// True if there may be retries on disk.
    pub retries_on_disk: bool,
}

/// An action for the shell.
#[derive(Debug)]
pub enum Action {
    /// Make an attempt and tell [`super::Lane::finished`].
    Start(Attempt),
    /// Read the log and tell [`super::Lane::log_read`].
    ReadLog(LogRead),
    /// Take the report, wait until it and all before it are durable, read the due index and tell
    /// [`super::Lane::due_loaded`].
    LoadDue(DueLoad),
    /// Read one delivery's event and row and tell [`super::Lane::fetched`]. The shell waits for nothing first: the load
    /// that follows finds a row that is not there yet.
    Fetch(Fetch),
    /// Read the ordering keys of these deliveries and tell [`super::Lane::keys_read`].
    ReadKeys(Vec<Seq>),
}

/// One attempt to make.
#[derive(Debug)]
pub struct Attempt {
    /// For this event.
    pub event: Event,
    /// Which attempt of its round, from 1.
    pub number: u16,
    /// The time at which it was due; none for a first try.
    pub due: Option<UnixMs>,
    /// The side that it goes to.
    pub side: Side,
}

/// One delivery whose rows are wanted: a retry with its due time, or a first try that a crash interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// The event.
    pub seq: Seq,
    /// The due time of its row.
    pub due: Option<UnixMs>,
}

/// A first try whose turn has come.
#[derive(Debug)]
pub(super) enum FirstTry {
    /// Its event is in memory.
    Event(Event),
    /// Its rows are to be read.
    Fetch(Fetch),
}

impl FirstTry {
    /// Of an event that was passed in the log.
    pub(super) fn hole(seq: Seq) -> FirstTry {
        FirstTry::Fetch(Fetch { seq, due: None })
    }
}

/// The result of an attempt.
#[derive(Debug)]
pub struct Finished {
    /// For this event.
    pub seq: Seq,
    /// When it started.
    pub started_at: UnixMs,
    /// Its duration.
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
    /// Set when there was no attempt, because this process lacked a resource.
    pub lack: Option<Lack>,
    /// How it went, where that is kept.
    pub details: Option<Box<AttemptDetails>>,
}

/// The ruling on a finished attempt: the part that the report does not have.
#[derive(Clone, Copy, Debug)]
pub struct Ruled {
    /// The decision on the delivery.
    pub decision: Decision,
    /// Which attempt this was.
    pub attempt: u16,
    /// When the event was accepted.
    pub accepted_at: UnixMs,
    /// It took from the retry budgets and succeeded. The lane's own has its token back, the shard's is owed one.
    pub gives_back: bool,
    /// The breaker's change of state, if any.
    pub transition: Option<Transition>,
    /// Set when the endpoint was disabled by this.
    pub disabled: Option<DisabledReason>,
    /// Set when the endpoint was paused by this.
    pub paused: Option<PausedReason>,
    /// Set when half of the deliveries that disable the endpoint failed in a row: how many.
    pub warns: Option<u16>,
}

/// A delivery that holds a ticket and a slot: its rows are being fetched or its attempt is under way.
pub(super) struct Flight {
    pub(super) was_due: Option<UnixMs>,
    pub(super) attempts_before: u16,
    pub(super) trigger: Trigger,
    pub(super) accepted_at: UnixMs,
    pub(super) expires_at: Option<UnixMs>,
    /// Its attempt is not to be judged.
    pub(super) is_test: bool,
    pub(super) ticket: Ticket,
    pub(super) slot: Slot,
    /// The time at which admission let it through.
    pub(super) since: UnixMs,
    /// The side that it goes to.
    pub(super) side: Side,
}

impl Flight {
    /// True if it took from the retry budgets: a scheduled retry does, a retry by hand does not.
    pub(super) fn took_budget(&self) -> bool {
        self.was_due.is_some() && self.trigger != Trigger::Manual && self.attempts_before > 0
    }
}

/// The rest of a flight once its ticket and slot are returned.
pub(super) struct Departed {
    pub(super) was_due: Option<UnixMs>,
    pub(super) attempts: u16,
    pub(super) trigger: Trigger,
    /// Why the next attempt will be made, if one will.
    pub(super) next_trigger: Trigger,
    pub(super) accepted_at: UnixMs,
}

/// A delivery that admission let through, with its action.
pub(super) struct Chosen {
    pub(super) action: Action,
    pub(super) seq: Seq,
    pub(super) was_due: Option<UnixMs>,
    pub(super) accepted_at: UnixMs,
    pub(super) expires_at: Option<UnixMs>,
    pub(super) is_test: bool,
}

impl Chosen {
    pub(super) fn fetch(fetch: Fetch) -> Chosen {
        // The event that is fetched says when it expires and if it is a test.
        let (action, accepted_at) = (Action::Fetch(fetch), UnixMs::ZERO);
        Chosen { action, seq: fetch.seq, was_due: fetch.due, accepted_at, expires_at: None, is_test: false }
    }
}
