//! The cost of deciding on one delivery: nanoseconds per event from its offer over admission, the result of its attempt
//! and its settlement, in commits of 1, 16 and 256 events. No store, no socket, no actor: only the lane.

use benches::{APP, event, payload};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use engine::EngineConfig;
use engine::endpoint::backlog::Wants;
use engine::endpoint::breaker::BreakerConfig;
use engine::endpoint::lane::{Action, Finished, Lane, LaneBounds, LaneStart, Room};
use engine::prepare::LanePolicy;
use engine::retry::budget::{BudgetConfig, RetryBudget};
use model::{EndpointId, EndpointRef, Event, OnGiveUp, Order, OutcomeClass, Seq, Settlement, UnixMs};
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::hint::black_box;

/// A lane with the engine's defaults, and what its shard shares with it.
struct Delivering {
    lane: Lane,
    budget: RetryBudget,
    rng: StdRng,
    now: UnixMs,
    offered: Seq,
}

impl Delivering {
    fn new() -> Delivering {
        let config = EngineConfig::default();
        let policy = LanePolicy {
            retry: config.retry_policy,
            on_client_error: config.on_client_error,
            disable_after_failing_ms: config.disable_after_failing_ms,
            rate_limit: None,
            burst: None,
            disable_after_failed_deliveries: None,
            max_in_flight: config.max_in_flight_per_endpoint,
            disabled: false,
            order: Order::None,
            on_give_up: OnGiveUp::Skip,
            paused: false,
            failover: None,
        };
        let bounds =
            LaneBounds { mailbox_capacity: config.mailbox_capacity, retries_in_memory: config.retries_in_memory };
        let target = EndpointRef { app: APP, endpoint: EndpointId(1) };
        let now = UnixMs(1_000_000);
        Delivering {
            lane: Lane::new(target, policy, bounds, BreakerConfig::default(), LaneStart::default(), now),
            budget: RetryBudget::new(BudgetConfig::default(), now.0),
            rng: StdRng::seed_from_u64(1),
            now,
            offered: Seq::ZERO,
        }
    }

    /// One commit's events, delivered at once.
    fn deliver(&mut self, events: &mut [Event]) -> Option<Settlement> {
        for event in &mut *events {
            self.offered = self.offered.next();
            event.seq = self.offered;
        }
        self.now = self.now.plus_ms(1);
        self.lane.offer(events.iter(), usize::MAX, |_| Wants::Yes);
        let room = Room { attempt: true, bytes: usize::MAX };
        while let Some(action) = self.lane.next_action(self.now, room, &mut self.budget) {
            let Action::Start(attempt) = action else { panic!("nothing else is to be done: {action:?}") };
            let finished = Finished {
                seq: attempt.event.seq,
                started_at: self.now,
                duration_ms: 1,
                outcome: OutcomeClass::Success,
                status: 200,
                retry_after_ms: None,
                response: Vec::new(),
                note: None,
                url_number: 0,
                lack: None,
                details: None,
            };
            black_box(self.lane.finished(finished, self.now, &mut self.rng));
        }
        self.lane.report()
    }
}

fn lane(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("lane");
    for events in [1, 16, 256] {
        let mut delivering = Delivering::new();
        let mut commit: Vec<Event> = (0..events).map(|_| event(0, "invoice.paid", &[], payload(1024))).collect();
        group.throughput(Throughput::Elements(events as u64));
        group.bench_function(BenchmarkId::new("offer_to_settlement", events), |bencher| {
            bencher.iter(|| delivering.deliver(&mut commit));
        });
        assert_eq!(delivering.lane.in_flight(), 0);
    }
    group.finish();
}

criterion_group!(benches, lane);
criterion_main!(benches);
