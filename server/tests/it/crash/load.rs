//! Threads that push and threads that look, while the process is killed under them.

use super::ledger::{Event, Ledger, NUMBERS_OF_ONE};
use super::routes::{APPS, ROUTES, TYPES, key};
use crate::harness::{Client, Random, Response, Watched};
use crate::scheduled::{now_ms, text};
use serde_json::{Value, json};
use std::io;
use std::time::{Duration, Instant};

/// Longest time that anyone waits for the next process.
const OUTAGE_MAX: Duration = Duration::from_secs(60);

/// Events pushed per second, by all together: enough to be under load at any instant, few enough to look at them all.
const EVENTS_PER_S: f64 = 600.0;

/// Events of a batch at most.
const BATCH_MAX: u64 = 12;

/// One event of this many is scheduled.
const LATER: u64 = 8;

/// How far ahead it is.
const AHEAD_MS: std::ops::Range<u64> = 200..4_000;

/// The phase of the test for all threads, with a client of the present server if there is one.
pub(super) struct Front(Watched<Phase>);

#[derive(Debug, Default)]
struct Phase {
    client: Option<Client>,
    /// Counts processes.
    life: usize,
    finishing: bool,
    aborted: bool,
}

/// Ends all threads when dropped.
pub(super) struct Ends<'a>(&'a Front);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.0.change(|phase| phase.aborted = true);
    }
}

// === impl Front ===

impl Front {
    pub(super) fn new(client: Client) -> Front {
        let front = Front(Watched::default());
        front.up(client);
        front
    }

    pub(super) fn up(&self, client: Client) {
        self.0.change(|phase| {
            phase.client = Some(client);
            phase.life += 1;
        });
    }

    pub(super) fn down(&self) {
        self.0.change(|phase| phase.client = None);
    }

    /// No more kills and no new requests: those without an answer are still repeated.
    pub(super) fn finish(&self) {
        self.0.change(|phase| phase.finishing = true);
    }

    pub(super) fn ends_when_dropped(&self) -> Ends<'_> {
        Ends(self)
    }

    /// A client of a process later than `after`; none when the test has failed.
    pub(super) fn client(&self, after: usize) -> Option<(Client, usize)> {
        let found = self.0.wait(OUTAGE_MAX, |phase| match &phase.client {
            _ if phase.aborted => Some(None),
            Some(client) if phase.life > after => Some(Some((client.clone(), phase.life))),
            _ => None,
        });
        found.expect("a server within the deadline")
    }

    /// Lets `pause` pass; tells if the caller should go on.
    pub(super) fn goes_on(&self, pause: Duration) -> bool {
        self.0.wait(pause, |phase| (phase.finishing || phase.aborted).then_some(())).is_none()
    }
}

/// A request to push some events, to be sent until it is answered if it has a key.
struct Push {
    app: &'static str,
    events: Vec<Event>,
    key: Option<String>,
    batch: bool,
}

impl Push {
    fn send(&self, client: &Client) -> io::Result<Response> {
        let message = |event: &Event| {
            let payload = json!({"number": event.number});
            match event.deliver_at {
                None => json!({"eventType": TYPES[0], "payload": payload, "orderingKey": key(event.number)}),
                Some(at) => json!({"eventType": TYPES[1], "payload": payload, "orderingKey": key(event.number),
                    "deliverAt": text(at)}),
            }
        };
        let body =
            if self.batch { Value::Array(self.events.iter().map(message).collect()) } else { message(&self.events[0]) };
        let path = format!("/api/v1/app/{}/msg{}", self.app, if self.batch { "/batch" } else { "" });
        let headers: Vec<(&str, &str)> = self.key.iter().map(|key| ("idempotency-key", key.as_str())).collect();
        client.send("POST", &path, &headers, Some(body.to_string().as_bytes()))
    }

    fn note(&self, ledger: &Ledger, answer: &Value) {
        let items: Vec<&Value> =
            if self.batch { answer["data"].as_array().expect("a list").iter().collect() } else { vec![answer] };
        assert_eq!(items.len(), self.events.len(), "{answer}");
        for (event, item) in self.events.iter().zip(items) {
            ledger.acknowledged(event.number, item["id"].as_str().expect("an id").to_owned());
        }
    }
}

/// Time between two looks of a thread that waits for deliveries.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Pushes until told to finish, but not while deliveries are far `behind`.
pub(super) fn push(
    front: &Front,
    ledger: &Ledger,
    pusher: usize,
    random: &mut Random,
    behind: &(dyn Fn() -> bool + Sync),
) {
    let mut next = pusher as u64 * NUMBERS_OF_ONE;
    let (started, mut pushed, mut life) = (Instant::now(), 0.0, 0);
    let rate = EVENTS_PER_S / super::PUSHERS as f64;
    while front.goes_on(Duration::from_secs_f64(pushed / rate).saturating_sub(started.elapsed())) {
        if behind() {
            // Pushes that are skipped now are not made good for.
            pushed += rate * LOOK_EVERY.as_secs_f64();
            continue;
        }
        let batch = random.below(4) == 0;
        let count = if batch { 1 + random.below(BATCH_MAX) } else { 1 };
        let app = APPS[random.below(APPS.len() as u64) as usize];
        let push = Push {
            app,
            events: (next..next + count).map(|number| event(app, number, random)).collect(),
            key: (random.below(2) == 0).then(|| format!("{pusher}-{next}")),
            batch,
        };
        next += count;
        pushed += count as f64;
        ledger.sending(&push.events);
        if !push_until_answered(front, ledger, &push, &mut life) {
            return;
        }
    }
}

fn event(app: &'static str, number: u64, random: &mut Random) -> Event {
    let is_later = random.below(LATER) == 0;
    let ahead = AHEAD_MS.start + random.below(AHEAD_MS.end - AHEAD_MS.start);
    Event { app, number, deliver_at: is_later.then(|| now_ms() + ahead) }
}

/// `false` when the test has failed. `life` is the process that is known to be dead.
fn push_until_answered(front: &Front, ledger: &Ledger, push: &Push, life: &mut usize) -> bool {
    loop {
        let Some((client, lives)) = front.client(*life) else { return false };
        match push.send(&client) {
            Ok(response) if response.status == 202 => {
                push.note(ledger, &response.json());
                return true;
            }
            Ok(response) => panic!("{}: {}", response.status, response.text()),
            Err(_) => *life = lives,
        }
        if push.key.is_none() {
            // Perhaps it was taken, perhaps not: nobody knows, and nothing is owed.
            return true;
        }
        ledger.sending_again();
    }
}

/// Looks at the newest attempts of every endpoint, over and over.
pub(super) fn watch_attempts(front: &Front, ledger: &Ledger) {
    let mut dead = 0;
    while front.goes_on(Duration::from_millis(1)) {
        for route in ROUTES {
            let Some((client, life)) = front.client(dead) else { return };
            let path = format!(
                "/api/v1/app/{}/attempt/endpoint/{}?status=0&limit=250&with_content=false",
                route.app, route.uid
            );
            let Ok(response) = client.send("GET", &path, &[], None) else {
                dead = life;
                continue;
            };
            assert_eq!(response.status, 200, "{}", response.text());
            let page = response.json();
            let ids = page["data"].as_array().expect("a list").iter().map(|item| item["msgId"].as_str());
            ledger.seen_delivered(route.path, ids.map(|id| id.expect("an id").to_owned()).collect());
        }
    }
}
