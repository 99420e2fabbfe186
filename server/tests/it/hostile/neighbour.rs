//! A tenant that only wants deliveries: it pushes at an even rate, and counts the deliveries and their delays.

use crate::harness::{Client, Receiver, Server, seconds};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, Instant};

/// Time that the last messages may take to arrive before they count as missing.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// An application of its own, with a key for it, an endpoint and a receiver.
pub(crate) struct Neighbour {
    client: Client,
    receiver: Receiver,
    pushed: u64,
}

/// The neighbour's deliveries over some time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    /// Pushes that were tried, of which `refused` were not taken.
    pub(crate) pushed: usize,
    pub(crate) refused: usize,
    pub(crate) delivered: usize,
    /// From before the push to the receipt.
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) max: Duration,
}

// === impl Neighbour ===

impl Neighbour {
    pub(crate) fn new(server: &Server) -> Neighbour {
        let receiver = Receiver::start();
        server.api_expect(201, "POST", "/api/v1/app", json!({"name": "neighbour", "uid": "neighbour"}));
        let endpoint = json!({"url": receiver.url("/neighbour"), "uid": "near"});
        server.api_expect(201, "POST", "/api/v1/app/neighbour/endpoint", endpoint);
        let key = server.api_expect(201, "POST", "/api/v1/api-key", json!({"name": "n", "appId": "neighbour"}));
        let client = server.anonymous().with_bearer(key["key"].as_str().expect("a key"));
        Neighbour { client, receiver, pushed: 0 }
    }

    /// Pushes one message every `gap` for `time`, each on the disk before the next; then waits for the last to arrive.
    pub(crate) fn watch(&mut self, time: Duration, gap: Duration) -> Seen {
        self.receiver.clear();
        let (started, first) = (Instant::now(), self.pushed);
        let mut sent = HashMap::new();
        let mut refused = 0;
        while started.elapsed() < time {
            let number = self.pushed;
            self.pushed += 1;
            let at = Instant::now();
            let body = json!({"eventType": "a.b", "payload": {"number": number}});
            match self.push(&body) {
                true => drop(sent.insert(number, at)),
                false => refused += 1,
            }
            let next = started + gap * u32::try_from(self.pushed - first).unwrap_or(u32::MAX);
            // The test is about the rate: nothing is waited for here but the time of the next push.
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        let expected = sent.len();
        let until = Instant::now() + LAST_WORDS;
        while self.receiver.count() < expected && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        let number_of = |body: &[u8]| serde_json::from_slice::<Value>(body).ok()?["number"].as_u64();
        let mut late: Vec<Duration> = Vec::new();
        for request in self.receiver.requests() {
            if let Some(at) = number_of(&request.body).and_then(|number| sent.remove(&number)) {
                late.push(request.at.saturating_duration_since(at));
            }
        }
        late.sort_unstable();
        let at = |part: f64| late.get(((late.len() as f64 * part) as usize).min(late.len().saturating_sub(1)));
        Seen {
            pushed: expected + refused,
            refused,
            delivered: late.len(),
            p50: at(0.5).copied().unwrap_or(seconds(999)),
            p99: at(0.99).copied().unwrap_or(seconds(999)),
            max: late.last().copied().unwrap_or(seconds(999)),
        }
    }

    /// Pushes one message; tells if it was taken.
    fn push(&self, body: &Value) -> bool {
        let body = body.to_string().into_bytes();
        let answer = self.client.send("POST", "/api/v1/app/neighbour/msg", &[], Some(&body));
        answer.is_ok_and(|answer| answer.status == 202)
    }
}

// === impl Seen ===

impl Seen {
    /// The share of pushed messages that arrived.
    pub(crate) fn share(&self) -> f64 {
        self.delivered as f64 / self.pushed.max(1) as f64
    }

    /// Fails when less than `share` of it arrived. Fails too when the slowest hundredth took more than twice as long as
    /// `alone`, with `slack` for the machine's other work.
    #[track_caller]
    pub(crate) fn assert_beside(&self, alone: &Seen, share: f64, slack: Duration) {
        eprintln!("  alone: {alone}\n beside: {self}");
        assert!(self.share() >= share, "{:.3} of what was pushed arrived", self.share());
        assert!(self.p99 <= alone.p99 * 2 + slack, "p99 {:?}, alone {:?}", self.p99, alone.p99);
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
        let (p50, p99, max) = (ms(self.p50), ms(self.p99), ms(self.max));
        let Seen { pushed, refused, delivered, .. } = self;
        write!(f, "{delivered} of {pushed} ({refused} refused), p50 {p50:.1} ms, p99 {p99:.1} ms, most {max:.1} ms")
    }
}
