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
    Pending, Seq, UnixMs,
};
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
    /// It was given up, and its dead letter is gone: deleted, displaced, or past its retention.
    Discarded,
    /// It was never tried because the endpoint was disabled.
    Cancelled(DisabledReason),
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
            DeliveryState::Cancelled(_) => Some(DeliveryStatus::Canceled),
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
    /// It lies in a stretch that the endpoint did not get: why, and whether the endpoint wanted it then.
    pub gap: Option<(DisabledReason, bool)>,
    /// Attempts of its time may have been forgotten.
    pub forgotten: bool,
    /// The endpoint is enabled and its filter lets the event pass now: what will happen when the endpoint comes to it.
    pub will_be_sent: bool,
    /// Set when the event's payload was removed: then nothing is left to send. When the event was accepted.
    pub expunged: Option<UnixMs>,
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
        })
    }

    /// True if the endpoint's filter lets an event pass now, however old it is.
    #[must_use]
    pub fn wants(&self, event: &Event) -> bool {
        self.ever.matches(event)
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
        };
        if facts.pending.is_some() {
            return Ok(facts);
        }
        facts.letter = dead_letter::get(read, target, seq)?;
        facts.tried = tried(read, target, seq)?;
        if facts.tried == Tried::No && facts.letter.is_none() {
            facts.will_be_sent = self.endpoint.disabled.is_none() && self.filter.matches(event);
            facts.gap = self.gap(read, event)?;
        }
        Ok(facts)
    }

    /// The gap that an event lies in. In one of a version that did not keep the filter, the present one stands in.
    fn gap(&self, read: &(impl Read + ?Sized), event: &Event) -> Result<Option<(DisabledReason, bool)>, StoreError> {
        let Some((_, gap)) = delivery::gap_before(read, self.endpoint.target(), event.seq)? else { return Ok(None) };
        if gap.last.is_some_and(|last| event.seq > last) {
            return Ok(None);
        }
        let wanted = match gap.wanted {
            Some(wanted) => Filter::then(self.endpoint.id, &wanted).matches(event),
            None => self.ever.matches(event),
        };
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
