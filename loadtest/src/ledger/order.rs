//! The order of arrivals at an endpoint, as far as a sender can know it.
//!
//! A sender with one connection knows that its events were accepted in the order of their numbers. A sender with
//! several knows less: an event whose acknowledgement came before another was sent was accepted before that. Such a
//! pair must arrive in its order; a pair that was under way together may arrive either way. Each arrival is compared
//! with the greatest of those before it, so that a run of any length takes one cell for each endpoint and key.

use crate::drive::Streams;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The order that was promised, of first arrivals at an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Promise {
    /// None.
    None,
    /// That of the numbers, from a sender with one connection.
    Numbers,
    /// That of acceptance: of all events, or of those with the same key if events have keys.
    Times,
}

/// The greatest arrival so far: a number plus one, or the time of sending.
#[derive(Debug)]
pub(super) struct Order {
    promise: Promise,
    keys: usize,
    greatest: Box<[AtomicU64]>,
}

/// A first arrival.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub(super) endpoint: usize,
    pub(super) key: u32,
    pub(super) number: u64,
    pub(super) sent_us: u64,
    /// `None` when it arrived before its acknowledgement.
    pub(super) acked_us: Option<u64>,
}

impl Order {
    pub(super) fn new(promise: Promise, streams: &Streams) -> Order {
        let (keys, cells) = match promise {
            Promise::None => (0, 0),
            Promise::Numbers => (1, streams.endpoints()),
            Promise::Times => (streams.keys().max(1) as usize, streams.endpoints() * streams.keys().max(1) as usize),
        };
        Order { promise, keys, greatest: (0..cells).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Notes an arrival; true when one was here before that should have come later.
    pub(super) fn is_broken_by(&self, arrival: Arrival) -> bool {
        let Arrival { endpoint, key, number, sent_us, acked_us } = arrival;
        let cell = |key: u32| self.greatest.get(endpoint * self.keys + key as usize);
        match self.promise {
            Promise::None => false,
            Promise::Numbers => cell(0).is_some_and(|cell| cell.fetch_max(number + 1, Relaxed) > number),
            Promise::Times => cell(key).is_some_and(|cell| {
                let greatest_us = cell.fetch_max(sent_us, Relaxed);
                acked_us.is_some_and(|acked_us| acked_us < greatest_us)
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrival(number: u64, endpoint: usize, key: u32) -> Arrival {
        Arrival { endpoint, key, number, sent_us: number * 100, acked_us: Some(number * 100 + 50) }
    }

    #[test]
    fn keys_and_endpoints_are_independent() {
        let order = Order::new(Promise::Times, &Streams::one(2).with_keys(3));
        assert!(!order.is_broken_by(arrival(5, 0, 1)));
        assert!(!order.is_broken_by(arrival(1, 0, 2)), "another key");
        assert!(!order.is_broken_by(arrival(1, 1, 1)), "another endpoint");
        assert!(order.is_broken_by(arrival(4, 0, 1)));
        assert!(!order.is_broken_by(arrival(6, 0, 1)));
    }

    #[test]
    fn what_is_not_acknowledged_yet_proves_nothing() {
        let order = Order::new(Promise::Times, &Streams::one(1));
        assert!(!order.is_broken_by(arrival(5, 0, 0)));
        assert!(!order.is_broken_by(Arrival { acked_us: None, ..arrival(1, 0, 0) }));
    }

    #[test]
    fn without_a_promise_any_order_is_right() {
        let order = Order::new(Promise::None, &Streams::one(1));
        assert!(!order.is_broken_by(arrival(5, 0, 0)) && !order.is_broken_by(arrival(1, 0, 0)));
    }
}
