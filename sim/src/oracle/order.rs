//! Order: where an endpoint keeps one, no first try starts before everything is over that it has to wait for.
//!
//! An end that crashes could take back is none: only a success that was seen, and an end that is durable, count. An attempt
//! that was asked for by hand may come at any time. Deliveries from before the last change of the order wait for nobody.

use super::deliveries::Facts;
use super::{Deliveries, Ledger, Violation, ensure, named};
use crate::node::Flight;
use model::{Order, Seq};

/// Checks an attempt that starts.
///
/// # Errors
/// It overtakes another one.
pub(super) fn check(deliveries: &Deliveries, ledger: &Ledger, flight: &Flight) -> Result<(), Violation> {
    let (target, seq) = (flight.mailbox.cell.target, flight.event.seq);
    let Some((order, since)) = deliveries.order_of(target) else { return Ok(()) };
    let known = deliveries.facts(target, seq);
    let is_free = known.is_some_and(|facts| facts.started > 0 || facts.requeued > 0);
    if order == Order::None || is_free || seq <= since {
        return Ok(());
    }
    let key = flight.event.ordering_key();
    let has_key = |seq: Seq| ledger.event(target.app, seq).is_some_and(|event| event.ordering_key() == key);
    for (earlier, facts) in deliveries.between(target, since, seq) {
        let is_before = order == Order::Endpoint || (key.is_some() && has_key(earlier));
        let is_over = is_over(facts) || ledger.is_gone(target.app, earlier) || ledger.is_expunged(target.app, earlier);
        ensure!(!is_before || is_over, "{} starts out of order, before {earlier}: {facts:?}", named(target, seq));
    }
    Ok(())
}

/// True if nobody has to wait for a delivery.
fn is_over(facts: &Facts) -> bool {
    let is_owed = facts.owed && !facts.disabled_since && !facts.unwanted_since;
    !is_owed || facts.delivered > 0 || facts.ended > 0 || facts.letter_gone
}
