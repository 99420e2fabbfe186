//! The log against a plain vector: whatever was appended, however it is read.

use super::*;
use crate::store::{INLINE_MAX_BYTES, MemoryStore, Store};
use crate::tables::testing::TestStore;
use model::{EndpointId, UnixMs};
use proptest::collection::vec;
use proptest::prelude::*;
use std::sync::Arc;

const APPS: [AppId; 2] = [AppId(1), AppId(2)];

fn event(app: AppId, seq: u64, payload: Vec<u8>) -> Event {
    Event {
        app,
        seq: Seq(seq),
        accepted_at: UnixMs(1_000 + seq),
        event_type: Arc::from("invoice.paid"),
        event_id: seq.is_multiple_of(3).then(|| Arc::from(format!("event {seq}"))),
        channels: (0..seq % 3).map(|n| Arc::from(format!("channel {n}"))).collect(),
        only_for: seq.is_multiple_of(5).then_some(EndpointId(9)),
        more: None,
        payload: Bytes::from(payload),
    }
}

/// Sizes: mostly small, now and then around the edge of a block, now and then far beyond.
fn sizes() -> impl Strategy<Value = usize> {
    prop_oneof![
        6 => 0usize..600,
        1 => INLINE_MAX_BYTES - 120..INLINE_MAX_BYTES + 20,
        1 => 0usize..80_000,
    ]
}

#[derive(Clone, Debug)]
enum Op {
    Append {
        app: usize,
        sizes: Vec<usize>,
    },
    /// Events by their place among all there are, all in one transaction.
    Expunge {
        app: usize,
        at: Vec<prop::sample::Index>,
    },
    Restart,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        4 => (0..2usize, vec(sizes(), 1..12)).prop_map(|(app, sizes)| Op::Append { app, sizes }),
        2 => (0..2usize, vec(any::<prop::sample::Index>(), 1..4)).prop_map(|(app, at)| Op::Expunge { app, at }),
        1 => Just(Op::Restart),
    ];
    vec(op, 1..12)
}

/// The same operations on the log and on vectors.
fn run(ops: Vec<Op>) -> (MemoryStore, [Vec<Event>; 2]) {
    let mut store = MemoryStore::new();
    let mut model = [Vec::new(), Vec::new()];
    for op in ops {
        let mut txn = Txn::new(&store);
        match op {
            Op::Append { app, sizes } => {
                let from = model[app].len() as u64 + 1;
                let new: Vec<Event> =
                    (from..).zip(sizes).map(|(seq, n)| event(APPS[app], seq, vec![seq as u8; n])).collect();
                append(&mut txn, APPS[app], &new).unwrap();
                model[app].extend(new);
            }
            Op::Expunge { app, at } if !model[app].is_empty() => {
                for index in at {
                    let event: &mut Event = index.get_mut(&mut model[app]);
                    let had_one = !event.payload.is_empty();
                    event.payload = Bytes::new();
                    let seq = event.seq;
                    assert_eq!(had_one, expunge(&mut txn, APPS[app], seq).unwrap());
                }
            }
            Op::Expunge { app, .. } => assert!(!expunge(&mut txn, APPS[app], Seq(1)).unwrap()),
            Op::Restart => {}
        }
        let batch = txn.into_parts().batch;
        store.apply(batch).unwrap();
        store = store.restart();
    }
    (store, model)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_event_is_found_at_its_place_and_no_other(ops in ops()) {
        let (store, model) = run(ops);
        for (app, events) in APPS.into_iter().zip(&model) {
            prop_assert_eq!(head(&store, app).unwrap(), Seq(events.len() as u64));
            for event in events {
                let found = get(&store, app, event.seq).unwrap();
                prop_assert_eq!(found.as_ref(), Some(event));
            }
            for nowhere in [Seq(0), Seq(events.len() as u64 + 1), Seq::MAX, Seq(u64::MAX)] {
                prop_assert_eq!(get(&store, app, nowhere).unwrap(), None);
            }
        }
        // Nothing is left of removed payloads: as many payloads have rows of their own as do not fit a block.
        let lengths = || model.iter().flatten().map(|event| event.payload.len());
        let separated = lengths().filter(|length| *length > INLINE_MAX_BYTES).count();
        let near = lengths().filter(|length| (INLINE_MAX_BYTES - 120..=INLINE_MAX_BYTES).contains(length)).count();
        let rows = APPS.map(|app| {
            let range = rows::payload::of_app(app);
            let rows = Store::scan(&store, &range.start, &range.end, usize::MAX, Direction::Forward).unwrap();
            rows.iter().filter(|(_, payload)| !payload.is_empty()).count()
        });
        let rows: usize = rows.iter().sum();
        prop_assert!((separated..=separated + near).contains(&rows), "{} payload rows, {} to {}", rows, separated, separated + near);
    }

    #[test]
    fn pages_in_both_directions_lose_and_repeat_nothing(
        ops in ops(),
        pages in vec((1usize..20, 1usize..60_000), 1..6),
        start in any::<prop::sample::Index>(),
    ) {
        let (store, model) = run(ops);
        for (app, events) in APPS.into_iter().zip(&model) {
            let start = start.index(events.len() + 1);
            let mut seen: Vec<Event> = Vec::new();
            for step in 0.. {
                let (max_events, max_bytes) = pages[step % pages.len()];
                let after = Seq((start + seen.len()) as u64);
                let page = read_after(&store, app, after, max_events, max_bytes).unwrap();
                if page.is_empty() {
                    break;
                }
                prop_assert!(page.len() <= max_events);
                let without_last: usize = page[..page.len() - 1].iter().map(|event| event.payload.len()).sum();
                prop_assert!(without_last < max_bytes, "only the last may pass the bound");
                seen.extend(page);
            }
            prop_assert_eq!(&seen[..], &events[start..]);

            let mut seen: Vec<Event> = Vec::new();
            for step in 0.. {
                let before = Seq((start - seen.len()) as u64 + 1);
                let limit = pages[step % pages.len()].0;
                let page = read_before(&store, app, before, limit).unwrap();
                if page.is_empty() {
                    break;
                }
                prop_assert!(page.len() <= limit);
                seen.extend(page);
            }
            seen.reverse();
            prop_assert_eq!(&seen[..], &events[..start]);
        }
    }
}

#[test]
fn pages_of_nothing_and_beyond_the_end_are_empty() {
    let store = TestStore::default();
    store.write(|txn| append(txn, APPS[0], &[event(APPS[0], 1, vec![1])]));
    assert!(read_after(&store, APPS[0], Seq(0), 0, 100).unwrap().is_empty());
    assert!(read_after(&store, APPS[0], Seq::MAX, 10, 100).unwrap().is_empty());
    assert!(read_after(&store, APPS[0], Seq(u64::MAX), 10, 100).unwrap().is_empty());
    assert_eq!(read_after(&store, APPS[0], Seq(0), 10, 0).unwrap().len(), 1, "at least one");
    assert_eq!(read_before(&store, APPS[0], Seq(u64::MAX), 10).unwrap().len(), 1);
    assert!(read_before(&store, APPS[0], Seq(0), 10).unwrap().is_empty());
}

/// Events with a payload of a byte until a block is full to the last byte or two.
fn full_block() -> Vec<Event> {
    let mut builder = BlockBuilder::new();
    let mut events: Vec<Event> = Vec::new();
    while builder.push(&event(APPS[0], events.len() as u64 + 1, vec![7])).is_some() {
        events.push(event(APPS[0], events.len() as u64 + 1, vec![7]));
    }
    let room = INLINE_MAX_BYTES - builder.finish().unwrap().1.len();
    let last = events.last_mut().unwrap();
    last.payload = Bytes::from(vec![7; 1 + room]);
    events
}

fn blocks_of(store: &TestStore) -> usize {
    let range = rows::event::of_app(APPS[0]);
    Store::scan(store, &range.start, &range.end, usize::MAX, Direction::Forward).unwrap().len()
}

#[test]
fn a_full_block_stays_one_when_payloads_go() {
    let mut events = full_block();
    let store = TestStore::default();
    store.write(|txn| append(txn, APPS[0], &events));
    assert_eq!(blocks_of(&store), 1);
    // Three in one transaction.
    let seqs = [Seq(1), Seq(events.len() as u64 - 1), Seq(2)];
    store.write(|txn| seqs.iter().try_for_each(|seq| expunge(txn, APPS[0], *seq).map(|had_one| assert!(had_one))));
    assert_eq!(blocks_of(&store), 1);
    for seq in seqs {
        events[seq.0 as usize - 1].payload = Bytes::new();
    }
    assert_eq!(read_after(&store, APPS[0], Seq(0), usize::MAX, usize::MAX).unwrap(), events);
    assert_eq!(head(&store, APPS[0]).unwrap(), Seq(events.len() as u64));
    let again = Seq(events.len() as u64);
    store.write(|txn| expunge(txn, APPS[0], again).map(drop));
    store.write(|txn| expunge(txn, APPS[0], again).map(|had_one| assert!(!had_one)));
    events.last_mut().unwrap().payload = Bytes::new();
    assert_eq!(read_after(&store, APPS[0], Seq(0), usize::MAX, usize::MAX).unwrap(), events);
}

#[test]
fn two_payloads_removed_in_one_commit_are_both_gone() {
    let store = TestStore::default();
    let events: Vec<Event> = (1..=4).map(|seq| event(APPS[0], seq, vec![seq as u8; 20_000])).collect();
    store.write(|txn| append(txn, APPS[0], &events));
    store.write(|txn| [2, 3].into_iter().try_for_each(|seq| expunge(txn, APPS[0], Seq(seq)).map(drop)));
    let payload = |seq| get(&store, APPS[0], Seq(seq)).unwrap().unwrap().payload;
    assert_eq!((payload(2), payload(3)), (Bytes::new(), Bytes::new()));
    assert_eq!((payload(1).len(), payload(4).len()), (20_000, 20_000));
}

#[test]
fn removing_a_payload_does_not_write_its_neighbours_again() {
    let store = TestStore::default();
    let events: Vec<Event> = (1..=20).map(|seq| event(APPS[0], seq, vec![seq as u8; 40_000])).collect();
    store.write(|txn| append(txn, APPS[0], &events));
    let mut txn = Txn::new(&store);
    expunge(&mut txn, APPS[0], Seq(7)).unwrap();
    assert!(txn.bytes() < INLINE_MAX_BYTES, "{} bytes", txn.bytes());
}

/// A store whose first read of a payload comes just after the payload was removed.
struct RemovedBetweenReads(TestStore);

impl Read for RemovedBetweenReads {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        if rows::payload::decode(key).is_ok() {
            self.0.write(|txn| expunge(txn, APPS[0], Seq(1)).map(drop));
        }
        Store::get(&self.0, key)
    }

    fn scan(&self, start: &[u8], end: &[u8], limit: usize, way: Direction) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        Store::scan(&self.0, start, end, limit, way)
    }
}

#[test]
fn a_payload_removed_while_it_is_read_is_no_damage() {
    let store = TestStore::default();
    store.write(|txn| append(txn, APPS[0], &[event(APPS[0], 1, vec![1; 20_000])]));
    let read = RemovedBetweenReads(store);
    assert_eq!(get(&read, APPS[0], Seq(1)).unwrap().unwrap().payload, Bytes::new());
}

#[test]
fn what_a_transaction_removed_it_does_not_take_for_damage() {
    let store = TestStore::default();
    let events = [event(APPS[0], 1, vec![1; 2 * INLINE_MAX_BYTES]), event(APPS[0], 2, vec![2; 10])];
    for event in &events {
        store.write(|txn| append(txn, APPS[0], std::slice::from_ref(event)));
    }
    store.write(|txn| {
        remove_upto(txn, APPS[0], Seq(1), 9)?;
        // A job that shares its commit with retention.
        assert_eq!(read_after(txn, APPS[0], Seq::ZERO, 9, usize::MAX)?, events[1..]);
        assert_eq!(get(txn, APPS[0], Seq(1))?, None);
        Ok(())
    });
}

#[test]
fn a_missing_payload_is_damage() {
    let store = TestStore::default();
    store.write(|txn| append(txn, APPS[0], &[event(APPS[0], 1, vec![1; 20_000])]));
    store.write(|txn| {
        txn.delete(rows::payload::encode(APPS[0], Seq(1)));
        Ok(())
    });
    assert!(matches!(get(&store, APPS[0], Seq(1)), Err(StoreError::CorruptRow { kind: "payload", .. })));
}

#[test]
fn a_damaged_block_costs_its_own_events_and_no_others() {
    let store = TestStore::default();
    let app = APPS[0];
    for first in [1, 4, 7] {
        let events: Vec<_> = (first..first + 3).map(|seq| event(app, seq, vec![1; 50])).collect();
        store.write(|txn| append(txn, app, &events));
    }
    store.write(|txn| append(txn, app, &[event(app, 10, vec![1; 20_000])]));
    let damage = |key: Vec<u8>| {
        let mut value = Read::get(&store, &key).unwrap().unwrap().to_vec();
        value[30] ^= 4;
        store.write(|txn| {
            txn.put(key.clone(), value.clone());
            Ok(())
        });
    };
    let seqs = |events: Vec<Event>| events.iter().map(|event| event.seq.0).collect::<Vec<_>>();
    let damaged = |seq| matches!(get(&store, app, Seq(seq)), Err(StoreError::CorruptRow { .. }));

    damage(rows::event::encode(app, Seq(4)));
    assert_eq!(seqs(read_after(&store, app, Seq(2), 9, usize::MAX).unwrap()), [3, 7, 8, 9, 10]);
    assert_eq!(seqs(read_after(&store, app, Seq(4), 2, usize::MAX).unwrap()), [7, 8]);
    assert_eq!(seqs(read_before(&store, app, Seq(9), 9).unwrap()), [8, 7, 3, 2, 1]);
    assert!(damaged(5) && !damaged(3) && !damaged(7));
    assert_eq!(get_undamaged(&store, app, Seq(5)).unwrap(), None);

    damage(rows::payload::encode(app, Seq(10)));
    assert_eq!(seqs(read_after(&store, app, Seq(8), 9, usize::MAX).unwrap()), [9]);
    assert_eq!(seqs(read_before(&store, app, Seq(12), 2).unwrap()), [9, 8]);
    assert!(damaged(10));
    assert_eq!(head(&store, app).unwrap(), Seq(10), "the block is whole");

    damage(rows::event::encode(app, Seq(1)));
    assert_eq!(oldest(&store, app).unwrap(), Some(UnixMs(1_007)));
    damage(rows::event::encode(app, Seq(10)));
    assert!(head(&store, app).unwrap() >= Seq(10), "no position is given out twice");
}

#[test]
fn any_number_of_damaged_blocks_in_a_row_is_passed_over() {
    let store = TestStore::default();
    let (app, many) = (APPS[0], 2 * BLOCKS_PER_SCAN as u64 + 3);
    for seq in 1..=many + 1 {
        store.write(|txn| append(txn, app, &[event(app, seq, vec![1])]));
    }
    store.write(|txn| {
        (1..=many).for_each(|seq| txn.put(rows::event::encode(app, Seq(seq)), Bytes::from_static(&[9])));
        Ok(())
    });
    let seqs = |after| {
        read_after(&store, app, Seq(after), 9, usize::MAX).unwrap().iter().map(|event| event.seq.0).sum::<u64>()
    };
    assert_eq!([seqs(0), seqs(many - 1), seqs(many), seqs(many + 1)], [many + 1, many + 1, many + 1, 0]);
    assert_eq!(read_before(&store, app, Seq(many + 1), 9).unwrap(), []);
}

#[test]
fn texts_that_no_block_holds_are_refused_and_not_written() {
    let store = TestStore::default();
    let mut txn = Txn::new(&store);
    let large = Event { event_id: Some(Arc::from("x".repeat(INLINE_MAX_BYTES))), ..event(APPS[0], 1, Vec::new()) };
    assert!(append(&mut txn, APPS[0], &[large]).unwrap_err().is_refusal());
    assert!(txn.is_empty());
}
