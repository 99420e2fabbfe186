//! The state of one delivery, told from what is stored: for the API, and for orders by hand.
//!
//! A delivery on the happy path has no row, so the position of its endpoint tells its state. Up to there the endpoint
//! has passed: an event with neither a row nor an attempt was not for it, whatever its filter says today. The present
//! filter says only what will become of the events ahead. See docs/adr/0012-delivery-standing.md.
//!
//! [`decide`] is the decision, over [`Facts`]; [`Standings`] reads them.

use crate::prepare::filter::Filter;
use model::{
    Cursor, DeadLetter, DeadLetterReason, DeliveryStatus, DisabledReason, Endpoint, EndpointRef, Event, OutcomeClass,
    Pending, Seq, Trigger, UnixMs,
};
use std::cell::Cell;
use storage::tables::schedule::{self, Stage};
use storage::tables::{dead_letter, delivery, history, retained};
use storage::{Read, StoreError};

/// The state of one delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryState {
    /// It was delivered.
    Delivered,
    /// It waits for an attempt: another one, or one that was asked for by hand.
    Waiting(Pending),
    /// Its endpoint has not come to it, or is making the first attempt.
    Queued,
    /// It was given up.
    DeadLettered(DeadLetter),
    /// It was given up, and its dead letter is gone: deleted, evicted, or past its retention.
    Discarded,
    /// It was never tried because the endpoint was disabled.
    Cancelled(DisabledReason),
    /// Its message was scheduled, and was called off before its time.
    CalledOff,
    /// The event was not for this endpoint when the endpoint came to it. A delivery that was given up without an
    /// attempt stands like this too once its dead letter is removed: no row tells of it any more.
    NotMatched,
    /// The endpoint has passed it, and attempts of that time are forgotten, or its message was expunged and it may have
    /// been given up for that: its outcome is not known any more.
    HistoryGone,
}

impl DeliveryState {
    /// The status that the delivery shows among the messages of its endpoint; none when the message was not for it, or
    /// when that is not known any more.
    #[must_use]
    pub fn status(&self) -> Option<DeliveryStatus> {
        match self {
            DeliveryState::Delivered => Some(DeliveryStatus::Success),
            DeliveryState::Waiting(_) | DeliveryState::Queued => Some(DeliveryStatus::Sending),
            DeliveryState::DeadLettered(_) | DeliveryState::Discarded => Some(DeliveryStatus::Fail),
            DeliveryState::Cancelled(_) | DeliveryState::CalledOff => Some(DeliveryStatus::Canceled),
            DeliveryState::NotMatched | DeliveryState::HistoryGone => None,
        }
    }
}

/// The outcome of a delivery as its attempts tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tried {
    /// None is known.
    No,
    /// All that are known failed.
    Failed,
    /// One succeeded.
    Succeeded,
}

/// The facts that are stored about one delivery and its endpoint.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Its row, while it waits for an attempt.
    pub pending: Option<Pending>,
    /// Its dead letter.
    pub letter: Option<DeadLetter>,
    /// Its attempts.
    pub tried: Tried,
    /// The endpoint's cursor has passed it.
    pub passed: bool,
    /// It lies in a range that the endpoint did not get: why, and whether the endpoint wanted it then.
    pub gap: Option<(DisabledReason, bool)>,
    /// Attempts of its time may have been forgotten.
    pub forgotten: bool,
    /// The endpoint is enabled and its filter lets the event pass now: what will happen when the endpoint comes to it.
    pub will_be_sent: bool,
    /// Set when the event's payload was removed: then nothing is left to send. When the event was accepted.
    pub expunged: Option<UnixMs>,
    /// Set while the message is scheduled, or was called off.
    pub schedule: Option<Schedule>,
}

/// The schedule of a message, as far as it decides where a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// It is put in line at this time.
    At(UnixMs),
    /// It was called off.
    CalledOff,
}

/// Decides the state of a delivery.
///
/// A delivery that waits shows as waiting, also when it was delivered before: it was asked for again. Else a success
/// stays one, whatever a later resend came to. The filter of today decides about the events ahead, and about nothing
/// else.
#[must_use]
pub fn decide(facts: Facts) -> DeliveryState {
    if let Some(row) = facts.pending {
        return match facts.expunged {
            Some(_) => expunged(row.due, row.attempts),
            None => DeliveryState::Waiting(row),
        };
    }
    if facts.tried == Tried::Succeeded {
        return DeliveryState::Delivered;
    }
    if let Some(letter) = facts.letter {
        return DeliveryState::DeadLettered(letter);
    }
    if facts.tried == Tried::Failed {
        return DeliveryState::Discarded;
    }
    if let Some(schedule) = facts.schedule {
        return match (schedule, facts.will_be_sent, facts.expunged) {
            (_, false, _) => DeliveryState::NotMatched,
            (Schedule::At(at), true, Some(_)) => expunged(at, 0),
            (Schedule::At(due), true, None) => {
                let trigger = Trigger::Scheduled;
                DeliveryState::Waiting(Pending { attempts: 0, due, last_outcome: None, trigger })
            }
            (Schedule::CalledOff, true, _) => DeliveryState::CalledOff,
        };
    }
    match facts.gap {
        // A gap may begin a little before the place that the endpoint stood at: some of it may have been tried.
        Some(_) if facts.forgotten => DeliveryState::HistoryGone,
        Some((reason, true)) => DeliveryState::Cancelled(reason),
        Some((_, false)) => DeliveryState::NotMatched,
        None if !facts.passed && facts.will_be_sent => match facts.expunged {
            Some(accepted_at) => expunged(accepted_at, 0),
            None => DeliveryState::Queued,
        },
        // Of an expunged message a delivery may have been given up without an attempt, and its dead letter be gone too.
        None if facts.passed && (facts.forgotten || facts.expunged.is_some()) => DeliveryState::HistoryGone,
        None => DeliveryState::NotMatched,
    }
}

/// Nothing is left to send: what the delivery becomes when its turn comes.
fn expunged(at: UnixMs, attempts: u16) -> DeliveryState {
    let reason = DeadLetterReason::Expunged;
    DeliveryState::DeadLettered(DeadLetter { at, attempts, reason, last_outcome: None, last_status: 0 })
}

/// Steps of content filters in the standings of one answer: about half a second.
const STEPS_PER_ANSWER: u64 = 10_000_000;

/// Reads where deliveries of one endpoint stand. Made anew for each page: it holds where the endpoint stood then.
#[derive(Clone, Debug)]
pub struct Standings<'a> {
    endpoint: &'a Endpoint,
    /// As it is now: for events ahead.
    filter: Filter,
    /// The same for events of any age: for replays.
    ever: Filter,
    cursor: Cursor,
    forgotten_before: UnixMs,
    /// Steps that content filters have taken so far.
    steps: Cell<u64>,
}

impl<'a> Standings<'a> {
    /// Reads where the endpoint stands.
    ///
    /// # Errors
    /// Whatever the store reports.
    pub fn read(read: &(impl Read + ?Sized), endpoint: &'a Endpoint) -> Result<Standings<'a>, StoreError> {
        let target = endpoint.target();
        // In this order: an endpoint without a mark of its own now has settled all that had been routed before.
        let routed = delivery::routed(read, target.app)?;
        let cursor = delivery::cursor(read, target)?.unwrap_or(Cursor { upto: routed, holes: Vec::new() });
        Ok(Standings {
            endpoint,
            filter: Filter::of(endpoint),
            ever: Filter::ever(endpoint),
            cursor,
            forgotten_before: retained::attempts_forgotten_before(read)?,
            steps: Cell::new(0),
        })
    }

    /// True if the endpoint's filter lets an event pass now, however old it is.
    #[must_use]
    pub fn wants(&self, event: &Event) -> bool {
        self.ever.matches_when_due_in(event, &self.steps)
    }

    /// Steps that content filters have taken so far.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps.get()
    }

    /// The state of the delivery of `event`.
    ///
    /// # Errors
    /// Whatever the store reports.
    pub fn of(&self, read: &(impl Read + ?Sized), event: &Event) -> Result<DeliveryState, StoreError> {
        let (target, seq) = (self.endpoint.target(), event.seq);
        let facts = self.facts(read, event)?;
        let state = decide(facts.clone());
        if matches!(state, DeliveryState::Discarded | DeliveryState::NotMatched | DeliveryState::HistoryGone) {
            // It may have been put back in line since its row was looked for.
            let pending = delivery::pending(read, target, seq)?;
            return Ok(if pending.is_some() { decide(Facts { pending, ..facts }) } else { state });
        }
        Ok(state)
    }

    /// True if the present filter lets an event ahead pass. Once content filters have taken as much time as one answer
    /// may cost, they are not asked: the event is queued, as its endpoint has not come to it.
    fn may_want(&self, event: &Event) -> bool {
        let is_spent = self.steps.get() > STEPS_PER_ANSWER;
        self.filter.selects(event) && (is_spent || self.filter.matches_in(event, &self.steps))
    }

    fn facts(&self, read: &(impl Read + ?Sized), event: &Event) -> Result<Facts, StoreError> {
        let (target, seq) = (self.endpoint.target(), event.seq);
        let mut facts = Facts {
            pending: delivery::pending(read, target, seq)?,
            letter: None,
            tried: Tried::No,
            passed: seq <= self.cursor.upto && self.cursor.holes.binary_search(&seq).is_err(),
            gap: None,
            forgotten: event.accepted_at < self.forgotten_before,
            will_be_sent: false,
            expunged: event.is_expunged().then_some(event.accepted_at),
            schedule: None,
        };
        if facts.pending.is_some() {
            return Ok(facts);
        }
        facts.letter = dead_letter::get(read, target, seq)?;
        facts.tried = tried(read, target, seq)?;
        if let Some(at) = event.deliver_at() {
            // The endpoint's place in the log says nothing about it.
            facts.passed = true;
            facts.schedule = match schedule::stage(read, event)? {
                Stage::Ahead(reached) if reached < target.endpoint => Some(Schedule::At(at)),
                Stage::CalledOff => Some(Schedule::CalledOff),
                Stage::Ahead(_) | Stage::Done => None,
            };
            facts.will_be_sent = facts.schedule.is_some() && self.wants(event);
            return Ok(facts);
        }
        if facts.tried == Tried::No && facts.letter.is_none() {
            // A content filter is asked only where its answer counts: for events ahead.
            facts.will_be_sent = !facts.passed && self.endpoint.disabled.is_none() && self.may_want(event);
            let gap = self.gap(read, event)?;
            facts.gap = gap.map(|(reason, wanted)| (reason, wanted == Some(true)));
            facts.forgotten |= gap.is_some_and(|(_, wanted)| wanted.is_none());
        }
        Ok(facts)
    }

    /// The gap that an event lies in, and if the endpoint wanted it then. That is not known of an expunged event and a
    /// content filter. In a gap of a version that did not keep the filter, the present one stands in.
    fn gap(
        &self,
        read: &(impl Read + ?Sized),
        event: &Event,
    ) -> Result<Option<(DisabledReason, Option<bool>)>, StoreError> {
        let Some((_, gap)) = delivery::gap_before(read, self.endpoint.target(), event.seq)? else { return Ok(None) };
        if gap.last.is_some_and(|last| event.seq > last) {
            return Ok(None);
        }
        let then = gap.wanted.map(|wanted| Filter::then(self.endpoint.id, &wanted));
        let filter = then.as_ref().unwrap_or(&self.ever);
        let wanted = (!filter.cannot_judge(event)).then(|| filter.matches_in(event, &self.steps));
        Ok(Some((gap.reason, wanted)))
    }
}

/// Reads what became of a delivery to an endpoint that was deleted: nothing is left of it but its attempts.
///
/// # Errors
/// Whatever the store reports.
pub fn delivery_state_of_deleted(
    read: &(impl Read + ?Sized),
    target: EndpointRef,
    seq: Seq,
) -> Result<DeliveryState, StoreError> {
    Ok(match tried(read, target, seq)? {
        Tried::Succeeded => DeliveryState::Delivered,
        Tried::Failed => DeliveryState::Discarded,
        Tried::No => DeliveryState::NotMatched,
    })
}

fn tried(read: &(impl Read + ?Sized), target: EndpointRef, seq: Seq) -> Result<Tried, StoreError> {
    let attempts = history::of_message(read, target, seq)?;
    let succeeded = attempts.iter().any(|attempt| attempt.outcome == OutcomeClass::Success);
    Ok(match (attempts.is_empty(), succeeded) {
        (true, _) => Tried::No,
        (false, true) => Tried::Succeeded,
        (false, false) => Tried::Failed,
    })
}

/// Reads where the delivery of `event` to `endpoint` stands.
///
/// # Errors
/// Whatever the store reports.
pub fn delivery_state(
    read: &(impl Read + ?Sized),
    endpoint: &Endpoint,
    event: &Event,
) -> Result<DeliveryState, StoreError> {
    Standings::read(read, endpoint)?.of(read, event)
}

#[cfg(test)]
mod tests;
