//! The order in which one endpoint got its events, for an endpoint that is promised one after the other.
//!
//! The order is that of a tenant: of two events of one pusher, the one pushed first was accepted first, because a pusher
//! waits for each answer. Between two pushers nothing is promised.

use std::collections::HashMap;

/// The place of an event among those that were pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The pusher.
    pub(super) pusher: usize,
    /// Its number: each pusher's rise.
    pub(super) number: u32,
}

/// The requests of one endpoint, as far as order is concerned.
#[derive(Debug, Default)]
pub(super) struct Sequence {
    /// The event whose last attempt failed: nothing else may come before its success.
    failed: Option<String>,
    /// Requests that passed one that had failed.
    overtakes: u64,
    /// Each event once, at its first success.
    delivered: Vec<String>,
}

// === impl Sequence ===

impl Sequence {
    /// A request came in. `is_first` is true for the first success of its event; a later one is a duplicate, which the
    /// promise allows.
    pub(super) fn note(&mut self, message_id: &str, success: bool, is_first: bool) {
        if self.failed.as_deref().is_some_and(|failed| failed != message_id) {
            self.overtakes += 1;
        }
        self.failed = (!success).then(|| message_id.to_owned());
        if is_first {
            self.delivered.push(message_id.to_owned());
        }
    }

    /// Requests out of order: those that passed a failed one, and those behind a later event of the same pusher.
    pub(super) fn out_of_order(&self, place: impl Fn(&str) -> Option<Place>) -> u64 {
        let mut highest: HashMap<usize, u32> = HashMap::new();
        let mut late = 0;
        for Place { pusher, number } in self.delivered.iter().filter_map(|id| place(id)) {
            let highest = highest.entry(pusher).or_default();
            late += u64::from(number < *highest);
            *highest = number.max(*highest);
        }
        self.overtakes + late
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The events `a`, `b`, … of two pushers that take turns.
    fn place(id: &str) -> Option<Place> {
        let number = u32::from(id.as_bytes()[0] - b'a');
        Some(Place { pusher: number as usize % 2, number })
    }

    /// Requests in the order of arrival; a failed one is in capitals.
    fn out_of_order(requests: &str) -> u64 {
        let mut sequence = Sequence::default();
        for letter in requests.chars() {
            let id = letter.to_ascii_lowercase().to_string();
            let success = letter.is_ascii_lowercase();
            let is_first = success && !sequence.delivered.contains(&id);
            sequence.note(&id, success, is_first);
        }
        sequence.out_of_order(place)
    }

    #[test]
    fn one_after_the_other_is_in_order_with_failures_and_duplicates_too() {
        assert_eq!(out_of_order("abcdef"), 0);
        assert_eq!(out_of_order("aBBbccd"), 0);
        assert_eq!(out_of_order("badcfe"), 0, "events of two pushers");
    }

    #[test]
    fn an_event_behind_a_later_one_of_its_pusher_is_out_of_order() {
        assert_eq!(out_of_order("cab"), 1);
        assert_eq!(out_of_order("eca"), 2);
    }

    #[test]
    fn a_failed_event_that_is_passed_is_out_of_order_although_it_comes_later() {
        assert_eq!(out_of_order("Aba"), 1);
        assert_eq!(out_of_order("aCc"), 0);
    }
}
