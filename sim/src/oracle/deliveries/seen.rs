//! Questions about what is known of deliveries. Nothing here changes it.

use super::{Deliveries, Facts};
use crate::oracle::{at, named};
use model::{Endpoint, EndpointRef, Order, Seq};

impl Deliveries {
    /// The first end of an attempt that is not on disk.
    #[must_use]
    pub fn any_unsettled(&self) -> Option<String> {
        let ((target, seq), ended) = self.unsettled.first_key_value()?;
        Some(format!(
            "{} ended and it is not on disk: {} at {}",
            named(*target, *seq),
            ended.len(),
            at(ended[0].started_at)
        ))
    }

    /// Endpoints as they are on disk.
    pub fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.endpoints.values().map(|known| &known.row)
    }

    /// The facts about one delivery.
    #[must_use]
    pub fn facts(&self, target: EndpointRef, seq: Seq) -> Option<&Facts> {
        self.facts.get(&(target, seq))
    }

    /// The order that an endpoint keeps, and the position from which on it does.
    #[must_use]
    pub fn order_of(&self, target: EndpointRef) -> Option<(Order, Seq)> {
        self.endpoints.get(&target).map(|known| (known.row.order, known.order_since))
    }

    /// Deliveries between two positions, both excluded.
    pub fn between(&self, target: EndpointRef, after: Seq, before: Seq) -> impl Iterator<Item = (Seq, &Facts)> {
        let of_target = self.facts.range((target, Seq::ZERO)..(target, before));
        of_target.filter(move |((_, seq), _)| *seq > after).map(|((_, seq), facts)| (*seq, facts))
    }

    /// Attempts started so far.
    #[must_use]
    pub fn attempts(&self) -> u64 {
        self.facts.values().map(|facts| u64::from(facts.started)).sum()
    }
}
