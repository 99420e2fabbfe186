//! Bugs planted on purpose, so that a test can show that the oracle sees them.
//!
//! All of them sit in this crate: in the disk under the engine, or in the redone shells around its cores. Deliberately
//! none in the product.

use engine::endpoint::lane::Action;
use engine::endpoint::mailbox::Input;
use engine::endpoint::offer::Offer;
use engine::endpoint::order::Keyed;
use engine::endpoint::retries::{DueKey, Urgency};
use engine::prepare::filter::Filter;
use model::{AppId, Endpoint, EndpointId, EndpointRef, Event, Seq};
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use storage::Read;
use storage::tables::{endpoint, log};

/// A planted bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// Settlements lose their rows, but not the cursor that passes them.
    LostSettlement,
    /// The rows of retries that are decided do not reach the disk.
    LostRetryRow,
    /// A commit is acknowledged before it is durable.
    EarlyAck,
    /// A commit that failed is acknowledged.
    AckAfterFailure,
    /// A settled delivery is sent again.
    DoubleDelivery,
    /// An attempt's end is told to nobody.
    LeakedSlot,
    /// An attempt's end is told to its lane, but not to the shard.
    LeakedPlace,
    /// A place that one application takes is counted as another's.
    WrongTenant,
    /// A timer fires and wakes nobody.
    LostTimer,
    /// A read of the log skips an event.
    SkippedInCatchUp,
    /// An offer that finds no room is not noted.
    LostOffer,
    /// Rows put back in line are told to nobody.
    LostRequeue,
    /// An attempt starts before it is due.
    EarlyRetry,
    /// An attempt carries another event's id.
    WrongId,
    /// A second attempt of the same delivery starts beside the first.
    TwiceInFlight,
    /// A delivery that was asked for by hand is acknowledged and left as it is.
    ForgottenOrder,
    /// The mark of how far the log was routed does not reach the disk: passed events show as on their way.
    LostRouted,
    /// A job does not count deliveries that it leaves as they are.
    LostCount,
    /// A job looks past its filter.
    IgnoredFilter,
    /// A job goes on without waiting for its rate.
    IgnoredRate,
    /// A job begins before its time.
    EarlyJob,
    /// A job whose time has come is not begun.
    ForgottenJob,
    /// A job that erases spares the first message.
    SparedMessage,
    /// Shards are not told that an event was expunged.
    LostExpunge,
    /// Each shard paces an application for itself.
    PaceOfEachShard,
    /// A lane is not told that a message is an example.
    JudgedExample,
    /// An endpoint's order is not told to its lane.
    Inversion,
    /// That an endpoint pauses when it gives a delivery up is not told to its lane.
    ForgottenPause,
    /// Shards are not told that an endpoint or an application is paused.
    SendsWhilePaused,
    /// Shards are not told that a pause is over.
    LostResume,
    /// The number of deliveries in a row that used up their attempts does not reach the disk.
    LostRun,
    /// The row that says that a message is scheduled does not reach the disk.
    LostSchedule,
    /// A scheduled message is put in line as due at once.
    EarlySchedule,
    /// A scheduled message counts as asked for by hand.
    UrgentSchedule,
    /// The ordering key of a scheduled message is not read.
    ForgottenKey,
    /// An attempt starts after its message has expired.
    LateAttempt,
    /// Shards are not told that a receiver must prove something first.
    SendsUnverified,
    /// An attempt for the backup goes to the endpoint itself.
    WrongSide,
    /// A read of the log does not ask the content filter.
    UnaskedFilter,
    /// A read of the log takes what the content filter refuses for all, and drops what it agrees to.
    FilterUpsideDown,
    /// Records of the audit log do not reach the disk.
    LostAudit,
    /// The entries of how long dead letters are kept do not reach the disk.
    LostDays,
    /// Retention removes dead letters after an hour, whatever their days.
    EarlySweep,
}

impl Plant {
    /// All of them.
    pub const ALL: [Plant; 43] = [
        Plant::LostSettlement,
        Plant::LostRetryRow,
        Plant::EarlyAck,
        Plant::AckAfterFailure,
        Plant::DoubleDelivery,
        Plant::LeakedSlot,
        Plant::LeakedPlace,
        Plant::WrongTenant,
        Plant::LostTimer,
        Plant::SkippedInCatchUp,
        Plant::LostOffer,
        Plant::LostRequeue,
        Plant::EarlyRetry,
        Plant::WrongId,
        Plant::TwiceInFlight,
        Plant::ForgottenOrder,
        Plant::LostRouted,
        Plant::LostCount,
        Plant::IgnoredFilter,
        Plant::IgnoredRate,
        Plant::EarlyJob,
        Plant::ForgottenJob,
        Plant::SparedMessage,
        Plant::LostExpunge,
        Plant::PaceOfEachShard,
        Plant::JudgedExample,
        Plant::Inversion,
        Plant::ForgottenPause,
        Plant::SendsWhilePaused,
        Plant::LostResume,
        Plant::LostRun,
        Plant::LostSchedule,
        Plant::EarlySchedule,
        Plant::UrgentSchedule,
        Plant::ForgottenKey,
        Plant::LateAttempt,
        Plant::SendsUnverified,
        Plant::WrongSide,
        Plant::UnaskedFilter,
        Plant::FilterUpsideDown,
        Plant::LostAudit,
        Plant::LostDays,
        Plant::EarlySweep,
    ];
}

/// The examples that a shard's lanes do not know of.
#[derive(Debug, Default)]
pub(crate) struct Unmarked(RefCell<BTreeMap<(AppId, Seq), EndpointId>>);

impl Unmarked {
    /// An input whose examples look like any other message, as far as `filter` lets them pass without being examples.
    pub(crate) fn unmark(&self, input: Input, filter: &Filter) -> Input {
        match input {
            Input::Offer { offer, range } => {
                let events = offer.events.iter().map(|event| self.unmarked(event, filter)).collect();
                Input::Offer { offer: Arc::new(Offer::new(events, offer.targets.clone())), range }
            }
            Input::Fetched(fetch, Some((Some(event), row))) => {
                let event = self.unmarked(&event, filter);
                Input::Fetched(fetch, Some((Some(event), row)))
            }
            input => input,
        }
    }

    fn unmarked(&self, event: &Event, filter: &Filter) -> Event {
        let unmarked = Event { only_for: None, ..event.clone() };
        match event.only_for.filter(|_| filter.matches(&unmarked)) {
            Some(only_for) => {
                self.0.borrow_mut().insert((event.app, event.seq), only_for);
                unmarked
            }
            None => event.clone(),
        }
    }

    /// Makes the examples in actions such again: their receiver gets them as they are, only the lane does not know.
    pub(crate) fn mark(&self, actions: &mut [Action]) {
        for action in actions {
            if let Action::Start(attempt) = action
                && let Some(only_for) = self.0.borrow().get(&(attempt.event.app, attempt.event.seq))
            {
                attempt.event.only_for = Some(*only_for);
            }
        }
    }
}

/// The filter that a read of the log asks; another one under a planted bug.
pub(crate) fn filter_under<'f>(
    plant: Option<Plant>,
    read: &(impl Read + ?Sized),
    target: EndpointRef,
    filter: &'f Filter,
) -> Cow<'f, Filter> {
    let planted = match plant {
        Some(Plant::UnaskedFilter) => |_: String| None,
        Some(Plant::FilterUpsideDown) => |text: String| Some(format!("!({text})")),
        _ => return Cow::Borrowed(filter),
    };
    match endpoint::get(read, target) {
        Ok(Some(row)) => Cow::Owned(Filter::of(&Endpoint { filter: row.filter.clone().and_then(planted), ..row })),
        _ => Cow::Borrowed(filter),
    }
}

/// The rows of the due index that a read finds; others under a planted bug.
pub(crate) fn rows_under(plant: Option<Plant>, mut rows: Vec<(DueKey, Urgency)>) -> Vec<(DueKey, Urgency)> {
    if plant == Some(Plant::UrgentSchedule) {
        let firsts = rows.iter_mut().filter(|(_, urgency)| *urgency == Urgency::First);
        firsts.for_each(|(_, urgency)| *urgency = Urgency::Manual);
    }
    rows
}

/// The ordering keys that a read finds; others under a planted bug.
pub(crate) fn keys_under(
    plant: Option<Plant>,
    read: &(impl Read + ?Sized),
    app: AppId,
    mut keys: Vec<Keyed>,
) -> Vec<Keyed> {
    if plant == Some(Plant::ForgottenKey) {
        let is_scheduled = |seq| matches!(log::get(read, app, seq), Ok(Some(event)) if event.deliver_at().is_some());
        keys.iter_mut().filter(|keyed| is_scheduled(keyed.seq)).for_each(|keyed| keyed.key = None);
    }
    keys
}
