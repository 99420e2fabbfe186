//! Gauges that several partitions of one process share: a series shows their sum, or the highest of what they say.
//!
//! A partition that ends takes its part back.

use crate::partition_id::PartitionId;
use metrics::Gauge;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// One part of a gauge that shows a sum.
pub(crate) struct Part {
    gauge: Gauge,
    shown: f64,
}

/// A gauge that shows the highest of what partitions say.
pub(crate) struct Highest {
    gauge: Gauge,
    /// One for each partition that says something.
    said: Mutex<BTreeMap<PartitionId, f64>>,
}

/// One partition's word in a [`Highest`].
pub(crate) struct Said {
    highest: Arc<Highest>,
    partition: PartitionId,
}

// === impl Part ===

impl Part {
    /// Nothing yet.
    pub(crate) fn new(gauge: Gauge) -> Part {
        Part { gauge, shown: 0.0 }
    }

    /// From now on it is this.
    pub(crate) fn set(&mut self, value: f64) {
        self.gauge.increment(value - self.shown);
        self.shown = value;
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.set(0.0);
    }
}

// === impl Highest ===

impl Highest {
    /// Shows 0 while nobody says anything.
    pub(crate) fn new(gauge: Gauge) -> Arc<Highest> {
        gauge.set(0.0);
        Arc::new(Highest { gauge, said: Mutex::default() })
    }

    /// This partition's word; it says nothing yet.
    pub(crate) fn of(self: &Arc<Highest>, partition: PartitionId) -> Said {
        Said { highest: self.clone(), partition }
    }

    fn say(&self, partition: PartitionId, value: Option<f64>) {
        // Each change is one call: a panic leaves the map in order.
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        match value {
            Some(value) => said.insert(partition, value),
            None => said.remove(&partition),
        };
        self.gauge.set(said.values().copied().fold(0.0, f64::max));
    }
}

// === impl Said ===

impl Said {
    /// From now on it is this.
    pub(crate) fn set(&self, value: f64) {
        self.highest.say(self.partition, Some(value));
    }
}

impl Drop for Said {
    fn drop(&mut self) {
        self.highest.say(self.partition, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use metrics::GaugeFn;

    #[derive(Default)]
    struct Value(Mutex<f64>);

    impl GaugeFn for Value {
        fn increment(&self, value: f64) {
            *self.0.lock().unwrap() += value;
        }

        fn decrement(&self, value: f64) {
            *self.0.lock().unwrap() -= value;
        }

        fn set(&self, value: f64) {
            *self.0.lock().unwrap() = value;
        }
    }

    fn gauge() -> (Gauge, impl Fn() -> f64) {
        let value = Arc::new(Value::default());
        (Gauge::from_arc(value.clone()), move || *value.0.lock().unwrap())
    }

    #[test]
    fn parts_add_up_and_go_with_their_owner() {
        let (gauge, shown) = gauge();
        let (mut one, mut other) = (Part::new(gauge.clone()), Part::new(gauge));
        one.set(3.0);
        other.set(5.0);
        one.set(2.0);
        assert_eq!(shown(), 7.0);
        drop(other);
        assert_eq!(shown(), 2.0);
    }

    #[test]
    fn the_highest_counts_until_its_partition_ends() {
        let (gauge, shown) = gauge();
        let highest = Highest::new(gauge);
        let (low, high) = (highest.of(PartitionId(0)), highest.of(PartitionId(1)));
        low.set(2.0);
        high.set(9.0);
        low.set(3.0);
        assert_eq!(shown(), 9.0);
        drop(high);
        assert_eq!(shown(), 3.0);
    }
}
