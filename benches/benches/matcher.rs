//! The cost of finding the endpoints of an event: nanoseconds per event when an application has 1, 100 and 10,000
//! endpoints. `filter` asks one endpoint; `router` asks the index over all of them, as the writer does after each
//! commit, and notes each offer. `content` asks the content filters of a thousand endpoints about one event.
//!
//! The cost of the index should grow with the matches and not with the endpoints: `one_wants_it` should hardly grow
//! with the endpoints, `by_channel` (all want the type, one the channel) and `all_want_it` grow with the endpoints to
//! look at.

#![allow(clippy::expect_used, reason = "a benchmark that cannot be set up has nothing to measure")]

use benches::{APP, application, endpoint, event, payload};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use engine::prepare::content::{ContentFilter, Verdict, content_of};
use engine::prepare::filter::Filter;
use engine::router::Router;
use engine::shard::inbox::ShardInbox;
use model::{Endpoint, Event};
use std::hint::black_box;
use std::sync::Arc;
use storage::Store as _;
use storage::store::MemoryStore;
use storage::tables::progress::Progress;
use storage::writer::Downstream;
use tokio::sync::Notify;

/// Events in one commit.
const COMMIT_EVENTS: u64 = 64;

fn filter(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("matcher/filter");
    let paid = event(1, "invoice.paid", &["eu", "vip"], payload(1024));
    let texts = |list: &[&str]| -> Vec<String> { list.iter().map(|text| (*text).to_owned()).collect() };
    let cases = [
        ("every_type", texts(&[]), texts(&[])),
        ("exact_type", texts(&["invoice.paid"]), texts(&[])),
        ("prefix_and_channel", texts(&["user.*", "invoice.*"]), texts(&["us", "eu"])),
    ];
    for (name, types, channels) in cases {
        let filter = Filter::of(&endpoint(1, &types, &channels));
        assert!(filter.matches(&paid));
        group.bench_function(name, |bencher| bencher.iter(|| black_box(&filter).matches(black_box(&paid))));
    }
    group.finish();
}

/// Event types and channels of endpoint number `id`.
type Wants = fn(id: u32) -> (Vec<String>, Vec<String>);

fn one_wants_it(id: u32) -> (Vec<String>, Vec<String>) {
    (vec![if id == 1 { "invoice.paid".to_owned() } else { format!("invoice.paid{id}") }], Vec::new())
}

fn by_channel(id: u32) -> (Vec<String>, Vec<String>) {
    (vec!["invoice.paid".to_owned()], vec![format!("channel{id}")])
}

fn all_want_it(_: u32) -> (Vec<String>, Vec<String>) {
    (Vec::new(), Vec::new())
}

/// Commits to a router with so many endpoints, and what it says to its shard.
struct Routing {
    router: Router,
    inbox: Arc<ShardInbox>,
    progress: Progress,
    events: Vec<Event>,
}

impl Routing {
    fn new(endpoints: u32, wants: Wants) -> Routing {
        let store = MemoryStore::new();
        let mut txn = storage::Txn::new(&store);
        storage::tables::application::put(&mut txn, &application(APP)).expect("it fits");
        store.apply(txn.into_parts().batch).expect("memory takes it");
        let inbox = Arc::new(ShardInbox::default());
        let mut router = Router::new(vec![inbox.clone()], Arc::new(Notify::new()));
        let rows = (1..=endpoints).map(|id| -> Endpoint {
            let (types, channels) = wants(id);
            endpoint(id, &types, &channels)
        });
        rows.for_each(|row| router.put(&row));
        let progress = Progress::load(&store).expect("memory can be read");
        let events = (0..COMMIT_EVENTS).map(|_| event(0, "invoice.paid", &["channel1"], payload(64))).collect();
        Routing { router, inbox, progress, events }
    }

    fn commit(&mut self) -> usize {
        let mut seq = self.events.last().map_or(0, |event| event.seq.0);
        for event in &mut self.events {
            seq += 1;
            event.seq.0 = seq;
        }
        self.router.committed(self.events.clone(), Vec::new(), &mut self.progress);
        self.inbox.take().offers.iter().map(|offer| offer.targets.len()).sum()
    }
}

fn router(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("matcher/router");
    group.throughput(Throughput::Elements(COMMIT_EVENTS));
    let cases: [(&str, Wants); 3] =
        [("one_wants_it", one_wants_it), ("by_channel", by_channel), ("all_want_it", all_want_it)];
    for (name, wants) in cases {
        for endpoints in [1, 100, 10_000] {
            let mut routing = Routing::new(endpoints, wants);
            assert!(routing.commit() > 0, "someone wants it");
            group.bench_function(BenchmarkId::new(name, endpoints), |bencher| {
                bencher.iter(|| black_box(routing.commit()));
            });
        }
    }
    group.finish();
}

/// Endpoints of one shard with a content filter each, asked about one event of 1 KiB that is converted once.
fn content(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("matcher/content");
    let items = r#"{"sku":"B1","n":1},{"sku":"A3","n":2}"#;
    let text =
        format!(r#"{{"amount":150,"customer":{{"country":"DE"}},"items":[{items}],"note":"{}"}}"#, "x".repeat(900));
    let paid = event(1, "invoice.paid", &["eu", "vip"], text.into());
    type Expression = fn(usize) -> String;
    let cases: [(&str, Expression); 3] = [
        ("one_field", |id| format!("payload.amount > {id}")),
        ("three_fields", |id| format!("payload.amount > {id} && payload.customer.country == 'DE' && 'eu' in channels")),
        ("a_loop", |id| format!("payload.items.exists(i, i.sku.startsWith('A') && i.n < {id})")),
    ];
    group.bench_function("convert_1_kib", |bencher| bencher.iter(|| black_box(content_of(black_box(&paid)))));
    for (name, text) in cases {
        let filters: Vec<ContentFilter> = (1..=1_000).map(|id| ContentFilter::new(&text(id))).collect();
        let ask = || {
            let content = content_of(&paid);
            filters.iter().filter(|filter| filter.judge(&content) == Verdict::Matches).count()
        };
        assert!(ask() > 0, "some of them match");
        group.bench_function(BenchmarkId::new(name, filters.len()), |bencher| bencher.iter(|| black_box(ask())));
    }
    group.finish();
}

criterion_group!(benches, filter, router, content);
criterion_main!(benches);
