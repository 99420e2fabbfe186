//! The answer to a caller who asks why an endpoint sends nothing now.

use super::core::{Handle, ShardCore};
use crate::waiting::{Gate, Held, Holding, Waiting, WaitingFor};
use model::{EndpointRef, UnixMs};

impl ShardCore {
    /// The resource of this process that an endpoint waits for, and since when.
    #[must_use]
    pub fn waiting(&self, target: EndpointRef, now: UnixMs) -> Option<Waiting> {
        let endpoints = self.endpoints.borrow();
        let cell = &endpoints.get(&target)?.cell;
        // A lane whose work has gone meanwhile (to a purge, say) still stands in line.
        if cell.waiting.get() && cell.lane.borrow().has_work(now) {
            let wanted = if self.holding.get() { WaitingFor::Writer } else { WaitingFor::Places };
            return Some(Waiting { wanted, since: cell.waiting_since.get() });
        }
        let (lack, since) = cell.lane.borrow().lacking(now)?;
        Some(Waiting { wanted: WaitingFor::Lack(lack), since })
    }

    /// The reason for which an endpoint sends nothing now; empty for one without an actor, which has nothing to send.
    #[must_use]
    pub fn holding_of(&self, target: EndpointRef, now: UnixMs) -> Holding {
        let waiting = self.waiting(target, now);
        let endpoints = self.endpoints.borrow();
        let Some(Handle { cell, .. }) = endpoints.get(&target) else { return Holding { waiting, held: None } };
        let mut lane = cell.lane.borrow_mut();
        let own = lane.held(now, &mut self.budget.borrow_mut());
        let has_work = lane.has_work(now);
        // It has no turn while nothing of its own stands in the way and its application's rate lets it go on.
        let turn = || cell.pace.borrow().as_ref().and(cell.turn.get().waits_until(now));
        let held = own.or_else(|| {
            let slots = cell.slots.borrow();
            if has_work && slots.as_ref().is_some_and(|slots| slots.has_in_line(target)) {
                return Some(Held { by: Gate::ApplicationInFlight, until: None });
            }
            let until = turn().filter(|_| has_work);
            until.map(|until| Held { by: Gate::ApplicationRate, until: Some(until) })
        });
        Holding { waiting, held }
    }
}
