//! A shard of one thread around lanes: takes offers, makes every attempt succeed at once, reads the log for those that are
//! behind, reports what was settled. It has no actors, no wheel and no network.

use benches::APP;
use engine::EngineConfig;
use engine::endpoint::backlog::LogRead;
use engine::endpoint::breaker::BreakerConfig;
use engine::endpoint::lane::{Action, Finished, Lane, LaneBounds, LaneStart, Room};
use engine::prepare::LanePolicy;
use engine::retry::budget::{BudgetConfig, RetryBudget};
use engine::shard::inbox::{News, ShardInbox};
use model::{EndpointRef, Event, OutcomeClass, Seq, Settlement, UnixMs};
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::collections::HashMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use storage::SharedStore;
use storage::tables::log;
use storage::writer::WriterHandle;
use tokio::sync::watch;

/// Payload bytes that one lane may hold, and one read may bring.
const ROOM_BYTES: usize = 4 << 20;

/// The shard's thread.
pub(crate) struct Running {
    inbox: Arc<ShardInbox>,
    delivered: watch::Receiver<u64>,
    thread: JoinHandle<()>,
}

impl Running {
    /// Deliveries so far.
    pub(crate) fn delivered(&self) -> u64 {
        *self.delivered.borrow()
    }

    /// Waits until there were so many.
    pub(crate) async fn wait_for(&self, deliveries: u64) {
        let waited = self.delivered.clone().wait_for(|delivered| *delivered >= deliveries).await.map(|_| ());
        assert!(waited.is_ok(), "the shard ended");
    }

    /// Ends it.
    pub(crate) fn stop(self) {
        self.inbox.stop();
        assert!(self.thread.join().is_ok());
    }
}

/// Starts one.
pub(crate) fn start(inbox: Arc<ShardInbox>, store: SharedStore, writer: WriterHandle) -> Running {
    let (told, delivered) = watch::channel(0);
    let news = inbox.clone();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("it needs no more than memory");
        let mut shard = Shard::new(store, writer);
        loop {
            runtime.block_on(news.woken());
            let taken = news.take();
            let stop = taken.stop;
            shard.take(taken);
            told.send_if_modified(|told| std::mem::replace(told, shard.delivered) != shard.delivered);
            if stop {
                return;
            }
        }
    });
    Running { inbox, delivered, thread }
}

struct Shard {
    store: SharedStore,
    writer: WriterHandle,
    lanes: HashMap<EndpointRef, Lane>,
    budget: RetryBudget,
    rng: StdRng,
    delivered: u64,
}

/// Time stands still: nothing here waits for it.
const NOW: UnixMs = UnixMs(1_000_000);

impl Shard {
    fn new(store: SharedStore, writer: WriterHandle) -> Shard {
        let budget = RetryBudget::new(BudgetConfig::default(), NOW.0);
        Shard { store, writer, lanes: HashMap::new(), budget, rng: StdRng::seed_from_u64(1), delivered: 0 }
    }

    fn take(&mut self, news: News) {
        let mut settlements: Vec<Settlement> = Vec::new();
        for offer in &news.offers {
            for run in offer.targets.chunk_by(|one, other| one.0 == other.0) {
                let events = run.iter().map(|(_, index)| &offer.events[*index as usize]);
                self.lanes.entry(run[0].0).or_insert_with(|| lane(run[0].0)).offer(events, ROOM_BYTES);
                self.pump(run[0].0, &mut settlements);
            }
        }
        for (target, behind) in news.behind {
            self.lanes.entry(target).or_insert_with(|| lane(target)).missed(behind.upto);
            self.pump(target, &mut settlements);
        }
        if !settlements.is_empty() {
            self.writer.settle(&mut settlements);
        }
    }

    /// Does what a lane asks for until it asks for no more.
    fn pump(&mut self, target: EndpointRef, settlements: &mut Vec<Settlement>) {
        let Some(lane) = self.lanes.get_mut(&target) else { return };
        let room = Room { attempt: true, bytes: ROOM_BYTES };
        while let Some(action) = lane.next_action(NOW, room, &mut self.budget) {
            match action {
                Action::Start(attempt) => {
                    lane.finished(success(attempt.event.seq), NOW, &mut self.rng);
                    self.delivered += 1;
                }
                Action::ReadLog(read) => lane.log_read(read_log(&self.store, read)),
                other => panic!("nothing failed and nothing was interrupted: {other:?}"),
            }
        }
        settlements.extend(lane.report());
    }
}

fn success(seq: Seq) -> Finished {
    Finished {
        seq,
        started_at: NOW,
        duration_ms: 1,
        outcome: OutcomeClass::Success,
        status: 200,
        retry_after_ms: None,
        response: Vec::new(),
        note: None,
        url_number: 0,
        lack: None,
    }
}

/// Everyone here wants every event.
fn read_log(store: &SharedStore, read: LogRead) -> Option<(Vec<Event>, Seq)> {
    let mut events = log::read_after(&**store, APP, read.after, read.max_events, ROOM_BYTES).ok()?;
    events.retain(|event| event.seq <= read.upto);
    let upto = events.last()?.seq;
    Some((events, upto))
}

fn lane(target: EndpointRef) -> Lane {
    let config = EngineConfig::default();
    let policy = LanePolicy {
        retry: config.retry_policy,
        on_client_error: config.on_client_error,
        disable_after_failing_ms: config.disable_after_failing_ms,
        rate_limit: None,
        max_in_flight: config.max_in_flight_per_endpoint,
        disabled: false,
    };
    let bounds = LaneBounds { mailbox_capacity: config.mailbox_capacity, retries_in_memory: config.retries_in_memory };
    Lane::new(target, policy, bounds, BreakerConfig::default(), LaneStart::default(), NOW)
}
