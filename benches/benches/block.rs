//! The cost of the log's layout: time per event to write it into a block (header, payload, checksum) and to read it
//! back, for blocks of seven events of 1 KiB and of as many of 100 bytes as one block takes.

#![allow(clippy::expect_used, reason = "a benchmark that cannot be set up has nothing to measure")]

use benches::{APP, event, payload};
use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use model::Event;
use std::hint::black_box;
use storage::rows::event::block::{self, BlockBuilder};

/// As many of the events as one block takes, and the block.
fn block_of(events: &[Event]) -> (usize, Bytes) {
    let mut builder = BlockBuilder::new();
    let count = events.iter().take_while(|event| builder.push(event).is_some()).count();
    let (_, bytes) = builder.finish().expect("an empty block takes any event");
    (count, bytes)
}

fn blocks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("block");
    for len in [100, 1024] {
        let events: Vec<Event> = (1..=200).map(|seq| event(seq, "invoice.paid", &["eu"], payload(len))).collect();
        let (count, bytes) = block_of(&events);
        assert_eq!(block::read(APP, &bytes).expect("we wrote it").len(), count);
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(BenchmarkId::new("write", len), |bencher| {
            bencher.iter(|| block_of(black_box(&events[..count])));
        });
        group.bench_function(BenchmarkId::new("read", len), |bencher| {
            bencher.iter(|| block::read(APP, black_box(&bytes)));
        });
    }
    group.finish();
}

criterion_group!(benches, blocks);
criterion_main!(benches);
