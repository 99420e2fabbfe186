//! Reads of a commit: one call of the store for all that is announced, however many requests share the commit.

use super::world::{APP, CONFIG, app, message, poll, report, start, stepped};
use super::*;
use crate::store::{Batch, Direction, Tail};
use crate::tables::testing::target;
use crate::tables::{delivery, event_uid, idempotency};
use crate::txn::{Txn, Wanted};
use crate::writer::{IngestOutcome, NewMessage, WriterQuotas};
use bytes::Bytes;
use model::{
    AttemptRecord, DeadLetter, DeadLetterReason, OutcomeClass, Pending, Settled, Settlement, Trigger, UnixMs, Verdict,
};
use std::sync::Weak;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

/// Requests, or settlements, of one commit.
const MANY: u32 = 256;

/// A store that is far away: each read is an exchange that takes time, and is counted.
#[derive(Default)]
struct FarStore {
    rows: MemoryStore,
    reads: AtomicUsize,
}

impl FarStore {
    fn exchange(&self) {
        self.reads.fetch_add(1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(1));
    }
}

impl Store for FarStore {
    fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        self.rows.apply(batch)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.exchange();
        Store::get(&self.rows, key)
    }

    fn get_many(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Bytes>>, StoreError> {
        self.exchange();
        self.rows.get_many(keys)
    }

    fn scan(&self, start: &[u8], end: &[u8], limit: usize, way: Direction) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        self.exchange();
        Store::scan(&self.rows, start, end, limit, way)
    }

    fn follow(&self, tail: Weak<Tail>) -> Result<u64, StoreError> {
        self.rows.follow(tail)
    }

    fn size_on_disk_bytes(&self) -> Result<u64, StoreError> {
        self.rows.size_on_disk_bytes()
    }

    fn free_bytes(&self) -> Result<Option<u64>, StoreError> {
        self.rows.free_bytes()
    }

    fn poisoned(&self) -> Option<String> {
        self.rows.poisoned()
    }
}

/// A store with one application, and the rows that `more` writes.
fn far_store(more: impl FnOnce(&mut Txn<'_>) -> Result<(), StoreError>) -> Arc<FarStore> {
    let store = FarStore::default();
    let mut txn = Txn::new(&store.rows);
    application::put(&mut txn, &app(APP)).unwrap();
    more(&mut txn).unwrap();
    let batch = txn.into_parts().batch;
    store.rows.apply(batch).unwrap();
    Arc::new(store)
}

fn config() -> WriterConfig {
    WriterConfig {
        quotas: WriterQuotas { dead_letters: 1_000, idempotency_keys: 1_000, scheduled_messages: 1_000 },
        ..CONFIG
    }
}

fn named(number: u32) -> NewMessage {
    let (event_id, idempotency_key) = (Some(format!("name {number}")), Some(format!("key {number}")));
    NewMessage { event_id, idempotency_key, ..message("payload") }
}

#[test]
fn a_commit_of_many_messages_with_ids_and_keys_asks_the_store_twice_at_most() {
    let store = far_store(|_| Ok(()));
    let mut writer = stepped(store.clone(), config(), []);
    let handle = writer.handle();
    for (round, reads_max) in [2, 1, 1].into_iter().enumerate() {
        let first = if round == 2 { 0 } else { round as u32 * MANY };
        let mut answers: Vec<_> =
            (first..first + MANY).map(|number| start(handle.ingest(APP, vec![named(number)]))).collect();
        store.reads.store(0, Ordering::SeqCst);
        assert!(writer.step());
        let reads = store.reads.load(Ordering::SeqCst);
        assert!(reads <= reads_max, "commit {round} asked the store {reads} times");
        let repeated = round == 2;
        for answer in &mut answers {
            let Poll::Ready(Ok(outcomes)) = poll(answer) else { panic!("not answered") };
            assert_eq!(matches!(outcomes[..], [IngestOutcome::Repeated(_)]), repeated);
            assert_eq!(matches!(outcomes[..], [IngestOutcome::Accepted(_)]), !repeated);
        }
    }
    let last = 2 * MANY - 1;
    assert_eq!(event_uid::get(&store.rows, APP, &format!("name {last}")).unwrap(), Some(Seq(u64::from(last) + 1)));
    assert_eq!(idempotency::count(&store.rows, APP).unwrap(), 2 * MANY);
}

fn record(seq: u64, attempt: u16, outcome: OutcomeClass) -> AttemptRecord {
    AttemptRecord {
        seq: Seq(seq),
        started_at: UnixMs(400 + u64::from(attempt)),
        duration_ms: 5,
        attempt,
        trigger: Trigger::Scheduled,
        outcome,
        status: 200,
        response: Vec::new(),
        next_attempt_at: None,
        note: None,
        url_number: 0,
        details: None,
    }
}

fn waits() -> Pending {
    Pending { attempts: 1, due: UnixMs(450), last_outcome: None, trigger: Trigger::Scheduled }
}

/// In turn: delivered at once, put off, delivered by a retry, given up after one.
fn settlement(number: u32) -> Settlement {
    let first_try = number % 4 < 2;
    let outcome = if (number % 4).is_multiple_of(2) { OutcomeClass::Success } else { OutcomeClass::ServerError };
    let verdict = match number % 4 {
        1 => Verdict::Retry(waits()),
        3 => Verdict::DeadLetter(DeadLetter {
            at: UnixMs(500),
            attempts: 2,
            reason: DeadLetterReason::AttemptsExhausted,
            last_outcome: Some(outcome),
            last_status: 503,
        }),
        _ => Verdict::Done,
    };
    let settled = Settled {
        seq: Seq(1),
        accepted_at: UnixMs(1),
        was_due: (!first_try).then_some(waits().due),
        record: Some(record(1, if first_try { 1 } else { 2 }, outcome)),
        verdict,
    };
    Settlement { settled: vec![settled], ..report(target(APP.0, number), 1) }
}

#[test]
fn a_commit_of_many_settlements_asks_the_store_once() {
    let store = far_store(|txn| {
        (1..=MANY).filter(|number| number % 4 >= 2).for_each(|number| {
            delivery::put_pending(txn, target(APP.0, number), Seq(1), None, &waits());
        });
        Ok(())
    });
    let mut writer = stepped(store.clone(), config(), (1..=MANY).map(|number| target(APP.0, number)));
    assert!(writer.handle().settle(&mut (1..=MANY).map(settlement).collect()));
    assert!(writer.step());
    assert_eq!(store.reads.load(Ordering::SeqCst), 1);
    for number in 1..=MANY {
        let (row, target) = (delivery::pending(&store.rows, target(APP.0, number), Seq(1)).unwrap(), number % 4);
        assert_eq!(row.is_some(), target == 1, "{number}");
    }
    assert_eq!(crate::tables::dead_letter::count(&store.rows, APP).unwrap(), MANY / 4);
}

#[test]
fn a_change_that_names_its_rows_shares_the_one_read_and_sees_what_came_before_it_in_the_commit() {
    let store = far_store(|txn| {
        delivery::put_pending(txn, target(APP.0, 1), Seq(1), None, &waits());
        Ok(())
    });
    let mut writer = stepped(store.clone(), config(), []);
    let handle = writer.handle();
    let ask = |seq: u64| {
        let (handle, target, mut wanted) = (handle.clone(), target(APP.0, 1), Wanted::default());
        delivery::want_requeue(target, Seq(seq), &mut wanted);
        start(async move {
            let requeue = move |txn: &mut Txn<'_>| delivery::requeue(txn, target, Seq(seq), UnixMs(450));
            handle.change_wanting(wanted, requeue).await
        })
    };
    // The second of the same delivery finds the row of the first, and not the one that was read for both: each is due a
    // millisecond after the last.
    let asked = [ask(1), ask(1), ask(2)];
    assert!(writer.step());
    assert_eq!(store.reads.load(Ordering::SeqCst), 1);
    for mut answer in asked {
        assert!(matches!(poll(&mut answer), Poll::Ready(Ok(()))));
    }
    let due = delivery::list_due(&store.rows, target(APP.0, 1), None, 9).unwrap();
    assert_eq!(due.iter().map(|(due, seq, _)| (due.0, seq.0)).collect::<Vec<_>>(), [(450, 2), (452, 1)]);
}
