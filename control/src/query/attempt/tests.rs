//! Pages of attempts over the model store: followed to the end they show each attempt once, and lead back to the same.

use super::*;
use crate::query::paging::{Listed, Order, Page, Start};
use crate::query::testing::{append, message, plain_endpoint, put_endpoints, store_of, write};
use model::{OutcomeClass, Seq, Trigger, UnixMs};
use proptest::prelude::*;
use storage::store::MemoryStore;
use storage::tables::history::LastRuns;

const MESSAGES: u64 = 6;
const ENDPOINTS: u32 = 3;

fn record(seq: u64, at: u64, is_success: bool) -> AttemptRecord {
    AttemptRecord {
        seq: Seq(seq),
        started_at: UnixMs(at),
        duration_ms: 1,
        attempt: 1,
        trigger: Trigger::Scheduled,
        outcome: if is_success { OutcomeClass::Success } else { OutcomeClass::ServerError },
        status: if is_success { 200 } else { 500 },
        response: Vec::new(),
        next_attempt_at: None,
        note: None,
        url_number: 0,
    }
}

/// A first attempt of every message at every endpoint, then `laters`: further ones by endpoint and message, 1 ms apart.
fn store(laters: &[(u32, u64, bool)]) -> MemoryStore {
    let store = store_of(|txn| put_endpoints(txn, ENDPOINTS));
    append(&store, (1..=MESSAGES).map(|seq| message(seq, "a", 10)));
    for endpoint in 1..=ENDPOINTS {
        let firsts = (1..=MESSAGES).map(|seq| record(seq, 10 * seq + u64::from(endpoint), false)).collect();
        write(&store, |txn| {
            history::put_first(txn, &mut LastRuns::default(), plain_endpoint(endpoint).target(), firsts)
        });
    }
    for (&(endpoint, seq, is_success), at) in laters.iter().zip(100..) {
        let later = record(seq, at, is_success);
        write(&store, |txn| history::put_later(txn, plain_endpoint(endpoint).target(), later));
    }
    store
}

/// Follows a list to its end; checks that each page leads back to the one before. Answers starts with their endpoints.
fn followed<K: Clone, P: Clone>(
    list: impl Fn(Start<K>) -> Listed<Attempt, P>,
    place: impl Fn(P) -> K,
) -> Vec<(u64, u32)> {
    let shown = |listed: &Listed<Attempt, P>| -> Vec<(u64, u32)> {
        listed.items.iter().map(|item| (item.record.started_at.0, item.endpoint.id.0)).collect()
    };
    let (mut all, mut start) = (Vec::new(), Start::First);
    let mut before: Option<Vec<(u64, u32)>> = None;
    loop {
        let page = list(start.clone());
        if let (Some(before), Some(first)) = (&before, page.first.clone()) {
            assert_eq!(shown(&list(Start::Before(place(first)))), *before);
        }
        all.extend(shown(&page));
        before = Some(shown(&page));
        match page.last.filter(|_| !page.is_end) {
            Some(last) => start = Start::Behind(place(last)),
            None => return all,
        }
    }
}

fn any_laters() -> impl Strategy<Value = Vec<(u32, u64, bool)>> {
    proptest::collection::vec((1..=ENDPOINTS, 1..=MESSAGES, any::<bool>()), 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn attempts_of_a_message_are_gathered_newest_first(laters in any_laters(), limit in 1usize..6) {
        let (store, seq) = (store(&laters), 3);
        let event = message(seq, "a", 10);
        let list = |start| {
            let page = Page { limit, order: Order::Descending, start };
            list_of_message(&store, &event, None, &AttemptFilter::default(), &page).unwrap()
        };
        let firsts = (1..=ENDPOINTS).map(|endpoint| (10 * seq + u64::from(endpoint), endpoint));
        let laters = laters.iter().zip(100..).filter(|(later, _)| later.1 == seq).map(|(later, at)| (at, later.0));
        let mut expected: Vec<(u64, u32)> = firsts.chain(laters).collect();
        expected.sort_unstable_by(|one, other| other.cmp(one));
        prop_assert_eq!(followed(list, |place| place), expected);
    }

    #[test]
    fn attempts_at_an_endpoint_are_listed_newest_first(laters in any_laters(), limit in 1usize..6) {
        let store = store(&laters);
        let list = |start| {
            let page = Page { limit, order: Order::Descending, start };
            list_of_endpoint(&store, plain_endpoint(2), &AttemptFilter::default(), &page).unwrap()
        };
        let firsts = (1..=MESSAGES).map(|seq| (10 * seq + 2, 2));
        let laters = laters.iter().zip(100..).filter(|(later, _)| later.0 == 2).map(|(_, at)| (at, 2));
        let mut expected: Vec<(u64, u32)> = firsts.chain(laters).collect();
        expected.reverse();
        prop_assert_eq!(followed(list, EndpointPlace::Cut), expected);
    }
}

#[test]
fn a_filter_keeps_what_it_names_and_payloads_come_where_they_are_asked_for() {
    let store = store(&[(2, 3, true)]);
    let page = Page { limit: 50, order: Order::Descending, start: Start::First };
    let successes = StatusFilter { wanted: Some(model::DeliveryStatus::Success), is_expanded: false };
    for (filter, count) in [
        (AttemptFilter { statuses: successes, ..AttemptFilter::default() }, 1),
        (AttemptFilter { status_class: Some(500), ..AttemptFilter::default() }, MESSAGES as usize),
        (AttemptFilter { with_payloads: true, ..AttemptFilter::default() }, 1 + MESSAGES as usize),
    ] {
        let listed = list_of_endpoint(&store, plain_endpoint(2), &filter, &page).unwrap();
        assert_eq!(listed.items.len(), count);
        assert!(listed.items.iter().all(|item| item.event.is_expunged() != filter.with_payloads));
    }
}
