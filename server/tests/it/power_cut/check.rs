//! The checks of a server that was started after a cut.

use super::ledger::Acked;
use super::load::push;
use super::policies::{check_orders, check_scheduled, check_sides, check_switch, check_times};
use super::recording::Recording;
use super::routes::{ROUTES, Route};
use crate::events::{list_events, number_of, payload};
use crate::harness::{Client, Random, Server, poll_until, seconds};
use crate::scheduled::now_ms;
use crate::turns::given_up;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::time::Instant;

/// Requests with a key that are repeated after each cut.
const REPEATS: usize = 3;

/// Bytes that retention may go below its limit: the largest event, and attempts.
const RETENTION_SLACK_BYTES: u64 = 3 << 19;

/// Looks at one server after the other.
pub(super) struct Check<'a> {
    recording: &'a Recording,
    seen: Counts,
    /// Bytes of payloads on the disk under the loupe.
    bytes_there: u64,
    /// The numbers and ids of its events.
    there: Vec<(u64, String)>,
}

#[derive(Debug, Default)]
struct Counts {
    events: usize,
    forgotten: usize,
    delivered_after: usize,
    dead_letters: usize,
    settled_before: usize,
    repeats: usize,
    objects: usize,
    scheduled_there: usize,
    scheduled_came: usize,
    in_order: usize,
    by_the_active_side: usize,
    by_the_backup: usize,
}

impl fmt::Display for Check<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.seen)
    }
}

// === impl Check ===

impl<'a> Check<'a> {
    pub(super) fn new(recording: &'a Recording) -> Check<'a> {
        Check { recording, seen: Counts::default(), bytes_there: 0, there: Vec::new() }
    }

    /// All that must hold on a disk that was cut when the record was `until` long.
    pub(super) fn run(&mut self, mut server: Server, until: u64, random: &mut Random) {
        let acked = self.recording.ledger.acked_until(until);
        let objects = self.recording.ledger.objects(until);
        let anything = !acked.is_empty() || objects.iter().any(|(_, may_show)| may_show[0].is_some());
        if anything {
            assert_eq!(server.root_key(), self.recording.root_key, "another root key");
        }
        let client = server.client();
        self.objects_are_as_acknowledged(&client, objects);
        let (mut owed, forgotten) = (Vec::new(), self.seen.forgotten);
        self.bytes_there = 0;
        self.there.clear();
        // Before anything is sent there that could change it: all succeed now.
        let shown = check_switch(&client, &self.recording.ledger, until);
        for app in super::load::APPS {
            let of_app: Vec<&Acked> = acked.iter().filter(|acked| acked.event.app == app).collect();
            if !of_app.is_empty() {
                let there = self.events_are_there(&client, app, &of_app);
                self.seen.scheduled_there += check_scheduled(&client, app, &there);
                owed.extend(there);
            }
        }
        // Retention removes the bytes over its limit, whole events and with them their attempts.
        let least = self.recording.forgets.saturating_sub(RETENTION_SLACK_BYTES);
        assert!(self.seen.forgotten == forgotten || self.bytes_there >= least, "only {} bytes left", self.bytes_there);
        self.deliveries_come(&client, &owed, until);
        if self.recording.forgets == 0 {
            self.repeats_count_once(&client, &owed, random);
        }
        server.kill();
        // Of the next server only, from here on.
        let receiver = &self.recording.receiver;
        poll_until("open connections", seconds(20), || (receiver.open_connections() == 0).then_some(()));
        let requests = receiver.requests();
        self.seen.scheduled_came += check_times(&requests, &self.recording.ledger);
        self.seen.in_order += check_orders(self.recording, until, &self.there, &requests);
        if let Some(shown) = shown {
            let came = check_sides(&requests, &shown);
            self.seen.by_the_active_side += came;
            self.seen.by_the_backup += if shown["active"] == "backup" { came } else { 0 };
        }
        receiver.clear();
    }

    fn objects_are_as_acknowledged(&mut self, client: &Client, objects: Vec<(String, Vec<Option<Value>>)>) {
        for (path, may_show) in objects {
            let (status, answer) = client.json("GET", &path, Value::Null);
            let shows = match status {
                200 => Some(answer.get("description").or(answer.get("name")).expect("it has a text").clone()),
                404 => None,
                _ => panic!("{path}: {status} {answer}"),
            };
            // An application's endpoints go with it.
            assert!(may_show.contains(&shows), "{path} shows {shows:?}, not one of {may_show:?}");
            self.seen.objects += 1;
        }
    }

    /// Those of `acked` that are there; the others may be gone only if they are the oldest.
    fn events_are_there<'b>(&mut self, client: &Client, app: &str, acked: &[&'b Acked]) -> Vec<&'b Acked> {
        let there = list_events(client, app).expect("an answer").expect("a list");
        for (id, text) in &there {
            let number = number_of(text.as_bytes()).unwrap_or_else(|| panic!("{id} has a payload that nobody sent"));
            assert_eq!(self.recording.ledger.sent(number).map(|sent| sent.app), Some(app), "{id}, number {number}");
            self.bytes_there += text.len() as u64;
            self.there.push((number, id.clone()));
        }
        let oldest = there.keys().next().cloned();
        let mut owed = Vec::new();
        for acked in acked {
            match there.get(&acked.id) {
                Some(text) => {
                    assert!(*text == payload(acked.event.number), "{acked:?} has the payload of another");
                    owed.push(*acked);
                }
                None => {
                    let gone = self.recording.forgets > 0 && oldest.as_ref().is_none_or(|oldest| *oldest > acked.id);
                    assert!(gone, "{acked:?} is lost; the oldest that is there: {oldest:?}");
                    self.seen.forgotten += 1;
                }
            }
        }
        self.seen.events += owed.len();
        owed
    }

    /// Events that were not delivered before the cut, and are no dead letters, arrive.
    fn deliveries_come(&mut self, client: &Client, owed: &[&Acked], until: u64) {
        let mut missing: HashMap<(&str, String), u64> = HashMap::new();
        let now = now_ms();
        for route in ROUTES {
            let dead = if route.gives_up { given_up(client, route.app, route.uid()) } else { HashSet::new() };
            let is_due = |acked: &Acked| acked.event.deliver_at.is_none_or(|at| at <= now);
            for acked in owed.iter().filter(|acked| route.wants(&acked.event) && is_due(acked)) {
                let delivery = (route.path, acked.id.clone());
                if dead.contains(&acked.id) {
                    self.seen.dead_letters += 1;
                } else if self.recording.delivered.get(&delivery).is_some_and(|mark| *mark <= until) {
                    self.seen.settled_before += 1;
                } else {
                    missing.insert(delivery, acked.event.number);
                }
            }
        }
        self.seen.delivered_after += missing.len();
        let (deadline, mut looked_at) = (Instant::now() + seconds(40), 0);
        self.recording.receiver.wait_until(seconds(60), |requests| {
            for request in &requests[looked_at..] {
                let number = number_of(&request.body).expect("what arrives was sent, byte for byte");
                let route = Route::of_path(&request.path).expect("a known path");
                let expected = missing.remove(&(route.path, request.id().to_owned()));
                assert!(expected.is_none_or(|expected| expected == number), "event {number} arrived as {expected:?}");
            }
            looked_at = requests.len();
            let some: Vec<_> = missing.keys().take(5).collect();
            assert!(missing.is_empty() || Instant::now() < deadline, "{} missing, such as {some:?}", missing.len());
            missing.is_empty()
        });
    }

    fn repeats_count_once(&mut self, client: &Client, owed: &[&Acked], random: &mut Random) {
        let keyed: Vec<&&Acked> = owed.iter().filter(|acked| acked.key.is_some()).collect();
        for _ in 0..REPEATS.min(keyed.len()) {
            let acked = keyed[random.below(keyed.len() as u64) as usize];
            let again = push(client, acked.event.app, &[acked.event], acked.key.as_deref(), false);
            let (status, answer) = again.expect("an answer");
            assert_eq!((status, &answer["id"]), (202, &json!(acked.id)), "{acked:?} repeated: {answer}");
            self.seen.repeats += 1;
        }
    }
}
