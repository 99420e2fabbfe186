//! The cost of a message to an endpoint: nanoseconds from its sending to its handling, by an actor on the same thread
//! (one message at a time, and 32 in a row), and per offer through a shard's inbox to another thread and back, both
//! asleep.

#![allow(clippy::expect_used, reason = "a benchmark that cannot be set up has nothing to measure")]

use benches::{APP, event, payload};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use engine::endpoint::actor::{EndpointActor, run_on_this_thread};
use engine::endpoint::mailbox::Mailbox;
use engine::endpoint::offer::Offer;
use engine::shard::inbox::ShardInbox;
use model::{EndpointId, EndpointRef};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Fewer than a mailbox holds.
const RUN: u64 = 32;

fn same_thread(count: u64, run: u64) -> Duration {
    let took = Rc::new(Cell::new(Duration::ZERO));
    let result = took.clone();
    run_on_this_thread(async move {
        let handled = Rc::new(Cell::new(0));
        let counter = handled.clone();
        let addr = EndpointActor::spawn(64, move |_, _| counter.set(counter.get() + 1));
        let all_handled = async |sent: u64| {
            while handled.get() < sent {
                tokio::task::yield_now().await;
            }
        };
        // An actor that has not run yet has a small mailbox.
        addr.poke();
        all_handled(1).await;
        let start = Instant::now();
        for round in 1..=count {
            for _ in 0..run {
                addr.poke();
            }
            all_handled(1 + round * run).await;
        }
        result.set(start.elapsed());
        addr.stop();
    });
    took.get()
}

/// An offer to a thread that sleeps until there is one, and the answer to this one.
fn across_threads(count: u64) -> Duration {
    let (there, back) = (Arc::new(ShardInbox::default()), Arc::new(ShardInbox::default()));
    let target = EndpointRef { app: APP, endpoint: EndpointId(1) };
    let events: Arc<[_]> = vec![event(1, "invoice.paid", &[], payload(1024))].into();
    let offer = move || Offer::new(events.clone(), vec![(target, 0)]);
    let on = |from: Arc<ShardInbox>| async move {
        loop {
            from.woken().await;
            let news = from.take();
            if !news.offers.is_empty() || news.stop {
                return news.stop;
            }
        }
    };
    let (their_offer, from, to) = (offer.clone(), there.clone(), back.clone());
    let other = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("it needs no more than memory");
        while !runtime.block_on(on(from.clone())) {
            to.offer(their_offer());
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("it needs no more than memory");
    let start = Instant::now();
    for _ in 0..count {
        there.offer(offer());
        runtime.block_on(on(back.clone()));
    }
    let took = start.elapsed();
    there.stop();
    assert!(other.join().is_ok());
    took
}

fn hop(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hop");
    group.bench_function("same_thread/one", |bencher| bencher.iter_custom(|count| same_thread(count, 1)));
    group.throughput(Throughput::Elements(RUN));
    group.bench_function("same_thread/32_in_a_row", |bencher| {
        bencher.iter_custom(|count| same_thread(count, RUN));
    });
    // There and back are two hops.
    group.throughput(Throughput::Elements(2));
    group.bench_function("across_threads/there_and_back", |bencher| bencher.iter_custom(across_threads));
    group.finish();
}

criterion_group!(benches, hop);
criterion_main!(benches);
