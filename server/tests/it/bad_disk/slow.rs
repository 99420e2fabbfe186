//! A disk that takes less than the pushers send. The rest is refused with a time to come again, and memory stays
//! bounded. All is as before once the disk is fast again.

use crate::counter::Counter;
use crate::disk::Shim;
use crate::harness::{Client, Server, poll_until, seconds};
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Time in ms that one sync takes longer.
const SLOW_MS: u64 = 250;

/// Connections that push at once, each a message of this size. All together they are twice the bytes that may wait.
const CONNECTIONS: usize = 128;
const PAYLOAD_BYTES: usize = 128 << 10;
const ARGUMENTS: [&str; 2] = ["--ingest-queue-bytes=8MiB", "--store-log-bytes=8MiB"];

/// Time that the connections push for.
const PUSHED_FOR: Duration = Duration::from_secs(5);

/// Bound on the growth of memory. There are the waiting messages and those of the commit: 8 MiB each, and as much again
/// in rows. There are also the tables of the log, and a request's buffers for each connection.
const GROWTH_MAX_KIB: u64 = (4 + 2) * 8 * 1024 + (CONNECTIONS * 3 * PAYLOAD_BYTES / 1024) as u64;

/// The state that the connections share, with the count of refusals.
#[derive(Default)]
struct Pushed {
    next: AtomicU64,
    refused: AtomicU64,
    ends: AtomicBool,
}

fn message(number: u64) -> String {
    json!({"eventType": "a.b", "payload": {"number": number, "fill": "x".repeat(PAYLOAD_BYTES)}}).to_string()
}

/// Pushes one message and tells if it was taken. The only other right answer is a refusal with a time to come again.
fn push(client: &Client, number: u64) -> bool {
    let path = "/api/v1/app/shop/msg?with_content=false";
    let answer = client.send("POST", path, &[], Some(message(number).as_bytes())).expect("an answer");
    match answer.status {
        202 => true,
        429 | 503 => {
            let after = answer.header("retry-after").and_then(|after| after.parse::<u64>().ok());
            assert!(after.is_some_and(|seconds| (1..=60).contains(&seconds)), "{:?}", answer.headers);
            false
        }
        other => panic!("{other}: {}", answer.text()),
    }
}

/// Pushes until told to end; returns the numbers that were taken.
fn push_on(client: &Client, pushed: &Pushed) -> Vec<u64> {
    let mut taken = Vec::new();
    while !pushed.ends.load(Ordering::Relaxed) {
        let number = pushed.next.fetch_add(1, Ordering::Relaxed);
        if push(client, number) {
            taken.push(number);
        } else {
            pushed.refused.fetch_add(1, Ordering::Relaxed);
            // Sooner than told to, as bad clients do.
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    taken
}

/// Ends the pushing, also when the test fails.
struct Ends<'a>(&'a Pushed);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.ends.store(true, Ordering::Relaxed);
    }
}

#[test]
fn what_a_slow_disk_does_not_take_is_refused_and_memory_stays_bounded() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let (shim, counter) = (Shim::new(folder.path(), false), Counter::start(1, Duration::ZERO));
    let server = Server::try_start_in(Arc::clone(&folder), &ARGUMENTS, &shim.environment()).unwrap();
    server.api_expect(201, "POST", "/api/v1/app", json!({"name": "shop", "uid": "shop"}));
    server.api_expect(201, "POST", "/api/v1/app/shop/endpoint", json!({"url": counter.url(0)}));
    let (client, pushed) = (server.client(), Pushed::default());
    let before_kib = server.resident_kib();
    shim.set_slow_ms(SLOW_MS);
    let (mut taken, grown_kib) = std::thread::scope(|scope| {
        let running = Ends(&pushed);
        let pushers: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(|| push_on(&client, &pushed))).collect();
        let (until, mut most_kib) = (Instant::now() + PUSHED_FOR, 0);
        while Instant::now() < until {
            most_kib = most_kib.max(server.resident_kib());
            std::thread::sleep(Duration::from_millis(20));
        }
        drop(running);
        let taken: BTreeSet<u64> = pushers.into_iter().flat_map(|pusher| pusher.join().unwrap()).collect();
        (taken, most_kib.saturating_sub(before_kib))
    });
    let refused = pushed.refused.load(Ordering::Relaxed);
    eprintln!("{} taken, {refused} refused, {grown_kib} KiB of at most {GROWTH_MAX_KIB} more", taken.len());
    assert!(!taken.is_empty() && refused > 0, "not beyond what it takes");
    assert!(grown_kib <= GROWTH_MAX_KIB, "memory grew by {grown_kib} KiB");
    assert!(server.metric("pinion_ingest_rejected_total", &["reason=\"busy\""]) >= refused as f64);

    shim.set_slow_ms(0);
    // One after the other, all of them are taken.
    poll_until("a disk that is fast again", seconds(10), || push_some(&client, &pushed, &mut taken).then_some(()));
    poll_until("deliveries", seconds(30), || (counter.successes() >= taken.len() as u64).then_some(()));
    let times = counter.taken(0, pushed.next.load(Ordering::Relaxed));
    for (number, times) in (0..).zip(times) {
        assert_eq!(times, u8::from(taken.contains(&number)), "{number}");
    }
}

/// True if twenty messages in a row are taken.
fn push_some(client: &Client, pushed: &Pushed, taken: &mut BTreeSet<u64>) -> bool {
    (0..20).all(|_| {
        let number = pushed.next.fetch_add(1, Ordering::Relaxed);
        let was_taken = push(client, number);
        if was_taken {
            taken.insert(number);
        }
        was_taken
    })
}
