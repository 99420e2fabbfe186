//! A writer on a store whose commits a test lets through one by one, and a downstream that takes notes.

use super::super::*;
use crate::store::{Batch, Direction, MemoryStore, Store, Tail};
use crate::tables::application;
use crate::tables::audit::Chain;
use bytes::Bytes;
use model::{AppId, Application, Cursor, Seq};
use std::collections::HashSet;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Longer than anything here takes; only a failing test waits for it.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Default)]
struct Gate {
    open: bool,
    permits: usize,
    entered: usize,
    passed: usize,
}

/// A store in memory whose `apply` waits at a gate.
#[derive(Default)]
pub(super) struct GatedStore {
    pub(super) rows: MemoryStore,
    pub(super) says_poisoned: AtomicBool,
    gate: Mutex<Gate>,
    moved: Condvar,
}

impl GatedStore {
    pub(super) fn open(&self) {
        self.gate.lock().unwrap().open = true;
        self.moved.notify_all();
    }

    pub(super) fn close(&self) {
        self.gate.lock().unwrap().open = false;
    }

    /// Lets one commit through.
    pub(super) fn release(&self) {
        self.gate.lock().unwrap().permits += 1;
        self.moved.notify_all();
    }

    /// Waits until this many commits have come to the gate since the start.
    pub(super) fn wait_entered(&self, commits: usize) {
        let gate = self.gate.lock().unwrap();
        let (_gate, waited) = self.moved.wait_timeout_while(gate, PATIENCE, |gate| gate.entered < commits).unwrap();
        assert!(!waited.timed_out(), "commit {commits} did not come");
    }

    pub(super) fn commits(&self) -> usize {
        self.gate.lock().unwrap().passed
    }
}

impl Store for GatedStore {
    fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        let mut gate = self.gate.lock().unwrap();
        gate.entered += 1;
        self.moved.notify_all();
        while !gate.open && gate.permits == 0 {
            gate = self.moved.wait(gate).unwrap();
        }
        gate.permits = gate.permits.saturating_sub(1);
        gate.passed += 1;
        drop(gate);
        self.rows.apply(batch)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        Store::get(&self.rows, key)
    }

    fn get_many(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Bytes>>, StoreError> {
        self.rows.get_many(keys)
    }

    fn scan(&self, start: &[u8], end: &[u8], limit: usize, way: Direction) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
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
        let said = self.says_poisoned.load(Ordering::SeqCst).then(|| "a read failed".to_owned());
        said.or_else(|| self.rows.poisoned())
    }
}

/// The notes of the downstream, and its behaviour.
#[derive(Default)]
pub(super) struct Notes {
    pub(super) known: Mutex<HashSet<EndpointRef>>,
    pub(super) commits: Mutex<Vec<Vec<Event>>>,
    pub(super) settlements_taken: AtomicUsize,
    pub(super) panic_next: AtomicBool,
}

struct Scripted(Arc<Notes>);

impl Downstream for Scripted {
    fn knows(&self, target: EndpointRef) -> bool {
        self.0.known.lock().unwrap().contains(&target)
    }

    fn committed(&mut self, events: Vec<Event>, _changes: Vec<Change>, progress: &mut Progress) {
        assert!(!self.0.panic_next.load(Ordering::SeqCst), "on order");
        for run in events.chunk_by(|one, other| one.app == other.app) {
            let (first, last) = (run[0].seq, run[run.len() - 1].seq);
            for target in self.0.known.lock().unwrap().iter().filter(|target| target.app == run[0].app) {
                progress.offered(*target, first, last);
            }
            progress.set_routed(run[0].app, last);
        }
        self.0.commits.lock().unwrap().push(events);
    }

    fn settlements_taken(&mut self) {
        self.0.settlements_taken.fetch_add(1, Ordering::SeqCst);
    }
}

pub(super) const CONFIG: WriterConfig = WriterConfig {
    queue_capacity: 1_000,
    queue_bytes: 64 << 20,
    settled_high_water: SETTLED_HIGH_WATER,
    commit_max_events: 10_000,
    idempotency_ms: 1_000,
    quotas: WriterQuotas { dead_letters: 100, idempotency_keys: 100, scheduled_messages: 100 },
};

pub(super) const APP: AppId = AppId(1);
pub(super) const OTHER: AppId = AppId(2);

pub(super) struct World {
    pub(super) store: Arc<GatedStore>,
    pub(super) notes: Arc<Notes>,
    pub(super) writer: WriterHandle,
    thread: std::thread::JoinHandle<()>,
}

impl World {
    /// Two applications, the gate open.
    pub(super) fn new(config: WriterConfig) -> World {
        World::on(MemoryStore::new(), config, || UnixMs(500))
    }

    pub(super) fn on(rows: MemoryStore, config: WriterConfig, now: impl Fn() -> UnixMs + Send + 'static) -> World {
        let mut txn = Txn::new(&rows);
        for id in [APP, OTHER] {
            application::put(&mut txn, &app(id)).unwrap();
        }
        let batch = txn.into_parts().batch;
        rows.apply(batch).unwrap();
        let progress = Progress::load(&rows).unwrap();
        let store = Arc::new(GatedStore { rows, ..GatedStore::default() });
        store.open();
        let notes = Arc::new(Notes::default());
        let (writer, thread) = spawn(
            store.clone(),
            config,
            progress,
            Scripted(notes.clone()),
            Box::new(now),
            Chain::new(None),
            "writer".to_owned(),
        )
        .unwrap();
        World { store, notes, writer, thread }
    }

    /// Holds a commit of one message at the gate, so that all that follows gathers; gives that message's answer.
    pub(super) fn hold(&self) -> Pin<Box<impl Future<Output = Result<Vec<IngestOutcome>, IngestError>> + use<>>> {
        let entered = self.store.gate.lock().unwrap().entered;
        self.store.close();
        let writer = self.writer.clone();
        let first = start(async move { writer.ingest(OTHER, vec![message("first")]).await });
        self.store.wait_entered(entered + 1);
        first
    }

    /// Closes and waits for the end of the thread; says whether it ended well.
    pub(super) fn end(self) -> bool {
        self.store.open();
        self.writer.close();
        self.thread.join().is_ok()
    }
}

/// A writer that commits when it is told to, and knows these endpoints.
pub(super) fn stepped(
    store: SharedStore,
    config: WriterConfig,
    known: impl IntoIterator<Item = EndpointRef>,
) -> Writer<impl Downstream> {
    let downstream = Scripted(Arc::new(Notes::default()));
    downstream.0.known.lock().unwrap().extend(known);
    Writer::new(store, config, Progress::default(), downstream, Box::new(|| UnixMs(500)), Chain::new(None))
}

pub(super) fn app(id: AppId) -> Application {
    Application { salt: 7, name: "a".to_owned(), ..Application::plain(id, UnixMs(1)) }
}

pub(super) fn message(payload: &str) -> NewMessage {
    NewMessage {
        event_type: "invoice.paid".to_owned(),
        event_id: None,
        channels: Vec::new(),
        payload: Bytes::from(payload.to_owned()),
        idempotency_key: None,
        only_for: None,
        more: None,
    }
}

/// Polls once, which puts the request in line. It must not be answered yet.
pub(super) fn start<F: Future>(future: F) -> Pin<Box<F>> {
    let mut future = Box::pin(future);
    assert!(is_waiting(&mut future), "answered before its time");
    future
}

pub(super) fn is_waiting<F: Future>(future: &mut Pin<Box<F>>) -> bool {
    poll(future).is_pending()
}

pub(super) fn poll<F: Future>(future: &mut Pin<Box<F>>) -> Poll<F::Output> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

/// The position of an accepted or repeated message.
pub(super) fn seq(outcome: &IngestOutcome) -> Seq {
    match outcome {
        IngestOutcome::Accepted(event) | IngestOutcome::Repeated(event) => event.seq,
        other => panic!("not taken: {other:?}"),
    }
}

pub(super) fn report(target: EndpointRef, upto: u64) -> Settlement {
    let cursor = Cursor { upto: Seq(upto), holes: Vec::new() };
    Settlement {
        target,
        cursor,
        settled: Vec::new(),
        expired: None,
        health: None,
        disable: None,
        pause: None,
        switches: Vec::new(),
    }
}
