//! All endpoints fail for a while, under load, and come back: no metastable failure. The deliveries per second come
//! back to their former rate, no attempt is wasted, and all arrives once. Memory does not grow with the backlog.
//!
//! In real time, and short by default; `PINION_OUTAGE_SECONDS` sets another length of the outage.
//!
//! The receivers limit the rate, to about a thousand requests a second. The machine must not, also while other tests use
//! it: the load goes on while the backlog drains, and on a machine that cannot take it the backlog would grow for ever.

use crate::counter::Counter;
use crate::harness::{Client, Server, from_environment, seconds};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// One pusher each.
const APPS: usize = 4;

const ENDPOINTS_PER_APP: usize = 2;

/// The bounds of goodput: the time of an answer, and the requests that an endpoint gets at once.
const ANSWER: Duration = Duration::from_millis(60);
const MAX_IN_FLIGHT: u64 = 8;

/// Messages of one request.
const BATCH: u64 = 25;

/// Deliveries that a closed loop keeps open at most.
const WINDOW: u64 = 2_000;

/// Time over which normal goodput is measured, after as long again to warm up.
const MEASURED: Duration = Duration::from_secs(3);

/// Time of one measurement of goodput while the backlog drains.
const SLICE: Duration = Duration::from_secs(1);

/// Of the normal goodput.
const LOAD: f64 = 0.8;
const RECOVERED: f64 = 0.95;

/// When goodput must be back.
const BACK_WITHIN: Duration = Duration::from_secs(60);

/// Attempts per delivery after the outage.
const ATTEMPTS_MAX: f64 = 1.2;

/// Bound on the growth of memory in the outage, and about the size of the backlog, whatever the outage's length.
const GROWTH_MAX_KIB: u64 = 64 << 10;
const BACKLOG_KIB: u64 = 2 * GROWTH_MAX_KIB;

/// The pushers' orders, and their counts.
#[derive(Default)]
struct Pace {
    /// Messages per second and application in thousandths; 0: a closed loop.
    milli_per_s: AtomicU64,
    ends: std::sync::atomic::AtomicBool,
    /// Text that makes messages as large as the backlog wants them.
    fill: String,
    /// Acknowledged, by application.
    acked: [AtomicU64; APPS],
}

/// Ends the pushers when dropped.
struct Ends<'a>(&'a Pace);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.ends.store(true, Ordering::SeqCst);
    }
}

// === impl Pace ===

impl Pace {
    /// Deliveries that are owed to endpoints in all.
    fn owed(&self) -> u64 {
        self.acked.iter().map(|acked| acked.load(Ordering::SeqCst)).sum::<u64>() * ENDPOINTS_PER_APP as u64
    }

    fn ends(&self) -> bool {
        self.ends.load(Ordering::SeqCst)
    }
}

fn set_up(server: &Server, counter: &Counter) {
    let policy = json!({"type": "fixed", "delayMs": 2_000, "maxAttempts": 1_000, "jitter": "proportional"});
    for app in 0..APPS {
        let uid = format!("app-{app}");
        server.api_expect(201, "POST", "/api/v1/app", json!({"name": uid, "uid": uid}));
        for nth in 0..ENDPOINTS_PER_APP {
            let url = counter.url(app * ENDPOINTS_PER_APP + nth);
            let endpoint = json!({"url": url, "uid": format!("hook-{nth}"), "retryPolicy": policy,
                "maxInFlight": MAX_IN_FLIGHT});
            server.api_expect(201, "POST", &format!("/api/v1/app/{uid}/endpoint"), endpoint);
        }
    }
}

/// Pushes numbers in order until told to end.
fn push(client: &Client, counter: &Counter, pace: &Pace, app: usize) {
    let path = format!("/api/v1/app/app-{app}/msg/batch?with_content=false");
    let (mut next, mut paced) = (0, None);
    while !pace.ends() {
        let rate = pace.milli_per_s.load(Ordering::SeqCst) as f64 / 1_000.0;
        if rate == 0.0 {
            if pace.owed().saturating_sub(counter.successes()) > WINDOW {
                std::thread::sleep(Duration::from_millis(1));
                continue;
            }
        } else {
            let (since, first) = *paced.get_or_insert_with(|| (Instant::now(), next));
            if (next - first) as f64 > since.elapsed().as_secs_f64() * rate {
                std::thread::sleep(Duration::from_millis(1));
                continue;
            }
        }
        let payload = |number| json!({"number": number, "fill": pace.fill});
        let messages = (next..next + BATCH).map(|number| json!({"eventType": "a.b", "payload": payload(number)}));
        let body = Value::Array(messages.collect()).to_string();
        let answer = client.send("POST", &path, &[], Some(body.as_bytes())).expect("an answer");
        match answer.status {
            202 => {
                assert_eq!(answer.json()["rejected"], 0, "{}", answer.text());
                next += BATCH;
                pace.acked[app].store(next, Ordering::SeqCst);
            }
            // Refused as a whole: sent again.
            429 | 503 => assert!(answer.header("retry-after").is_some(), "{}", answer.text()),
            other => panic!("{other}: {}", answer.text()),
        }
    }
}

/// Deliveries per second over some time.
fn goodput(counter: &Counter, range: Duration) -> f64 {
    let (since, before) = (Instant::now(), counter.successes());
    std::thread::sleep(range);
    (counter.successes() - before) as f64 / since.elapsed().as_secs_f64()
}

/// The cost of an outage of this length.
#[derive(Debug)]
#[allow(dead_code, reason = "it is printed")]
struct Outcome {
    normal_per_s: f64,
    forced_attempts: u64,
    backlog: u64,
    grown_kib: u64,
    back_after: Duration,
    attempts_per_delivery: f64,
}

fn outage(server: &Server, counter: &Counter, pace: &Pace, length: Duration) -> Outcome {
    goodput(counter, MEASURED);
    let normal_per_s = goodput(counter, MEASURED);
    let messages_per_s = LOAD * normal_per_s / (APPS * ENDPOINTS_PER_APP) as f64;
    pace.milli_per_s.store((messages_per_s * 1_000.0) as u64, Ordering::SeqCst);

    let (before_kib, attempts_before) = (server.resident_kib(), counter.attempts());
    counter.set_down(true);
    let (began, mut grown_kib) = (Instant::now(), 0);
    while began.elapsed() < length {
        std::thread::sleep(Duration::from_millis(100));
        grown_kib = grown_kib.max(server.resident_kib().saturating_sub(before_kib));
    }
    counter.set_down(false);
    let (healed, attempts_then, successes_then) = (Instant::now(), counter.attempts(), counter.successes());
    let backlog = pace.owed().saturating_sub(successes_then);
    // Once all is made up for, the rate is that of the load, and never again the normal one.
    let left = || pace.owed().saturating_sub(counter.successes());
    while goodput(counter, SLICE) < RECOVERED * normal_per_s && left() > WINDOW {
        let left = left();
        assert!(healed.elapsed() < BACK_WITHIN, "not back after {BACK_WITHIN:?}: {left} of {backlog} are left");
    }
    let back_after = healed.elapsed();
    pace.ends.store(true, Ordering::SeqCst);
    let until = Instant::now() + BACK_WITHIN + length;
    while counter.successes() < pace.owed() {
        assert!(Instant::now() < until, "{} of {} delivered", counter.successes(), pace.owed());
        std::thread::sleep(Duration::from_millis(20));
    }
    let delivered = counter.successes() - successes_then;
    let attempts_per_delivery = (counter.attempts() - attempts_then) as f64 / delivered as f64;
    let forced_attempts = attempts_then - attempts_before;
    Outcome { normal_per_s, forced_attempts, backlog, grown_kib, back_after, attempts_per_delivery }
}

#[test]
fn after_an_outage_of_all_endpoints_under_load_goodput_is_back_without_a_storm() {
    let length = seconds(from_environment("PINION_OUTAGE_SECONDS", 6));
    let counter = Counter::start(APPS * ENDPOINTS_PER_APP, ANSWER);
    let server = Server::start(&["--store-log-bytes=8MiB"]);
    set_up(&server, &counter);
    let messages = LOAD * length.as_secs_f64() * MAX_IN_FLIGHT as f64 * APPS as f64 / ANSWER.as_secs_f64();
    let fill = "x".repeat(((BACKLOG_KIB << 10) as f64 / messages) as usize);
    let (client, pace) = (server.client(), Pace { fill, ..Pace::default() });
    let outcome = std::thread::scope(|scope| {
        let _ends = Ends(&pace);
        for app in 0..APPS {
            let (client, counter, pace) = (&client, &counter, &pace);
            scope.spawn(move || push(client, counter, pace, app));
        }
        outage(&server, &counter, &pace, length)
    });
    eprintln!("{length:?}: {outcome:?}");
    for endpoint in 0..APPS * ENDPOINTS_PER_APP {
        let acked = pace.acked[endpoint / ENDPOINTS_PER_APP].load(Ordering::SeqCst);
        let taken = counter.taken(endpoint, acked);
        assert!(taken.iter().all(|times| *times == 1), "endpoint {endpoint}: not each once");
    }
    assert!(outcome.attempts_per_delivery <= ATTEMPTS_MAX, "{outcome:?}");
    assert!(outcome.grown_kib <= GROWTH_MAX_KIB, "{outcome:?}");
}
