//! The attackers of `together`: tenants with silent endpoints, one with names that never answer, one whose receivers
//! flood, and strangers.

use super::authority::Authority;
use super::h2_receiver::{Attack, H2Receivers};
use super::moody::Moody;
use super::strangers::Strangers;
use crate::harness::{Client, Server, poll_until, seconds};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Clients that set things up at once.
const HANDS: usize = 8;
/// Time between two rounds of new receivers that flood: those of before are spoken to in HTTP/1.1.
const ROUND: Duration = Duration::from_secs(2);
/// One after the other.
const FLOODS: [Attack; 6] =
    [Attack::Informational, Attack::WindowUpdate, Attack::Priority, Attack::GoAway, Attack::Settings, Attack::Ping];

/// The number of attackers of each kind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Endpoints of one application that answer well and then go silent.
    turncoats: usize,
    /// Applications with silent endpoints, and the number of endpoints of each.
    silent_apps: usize,
    silent_each: usize,
    /// Endpoints on names whose servers never answer.
    names: usize,
    strangers: usize,
    /// Receivers that flood in each round.
    flooders: usize,
}

pub(crate) struct Attackers {
    size: Size,
    moody: Moody,
    strangers: Option<Strangers>,
}

// === impl Size ===

impl Size {
    /// For an attack of this length: the full size from half a minute on.
    pub(crate) fn of(time: Duration) -> Size {
        if time >= seconds(30) {
            let (turncoats, silent_apps, silent_each, names) = (24, 9, 1_000, 600);
            return Size { turncoats, silent_apps, silent_each, names, strangers: 10_000, flooders: 50 };
        }
        Size { turncoats: 8, silent_apps: 2, silent_each: 200, names: 100, strangers: 2_000, flooders: 10 }
    }

    fn silent_app(nth: usize) -> String {
        format!("silent{nth}")
    }
}

// === impl Attackers ===

impl Attackers {
    /// Sets up their applications and endpoints. The turncoats answer well, so that their windows grow.
    pub(crate) fn prepare(server: &Server, size: &Size) -> Attackers {
        let moody = Moody::start();
        let port = moody.port();
        let slow = json!({"maxInFlight": 512, "timeoutMs": 120_000});
        endpoints(server, "turncoat", size.turncoats, &slow, |n| format!("http://127.0.0.1:{port}/t{n}"));
        for nth in 0..size.silent_apps {
            let url = |n: usize| format!("http://127.0.0.1:{port}/s{nth}-{n}");
            endpoints(server, &Size::silent_app(nth), size.silent_each, &json!({"timeoutMs": 120_000}), url);
        }
        endpoints(server, "names", size.names, &json!({}), |n| format!("http://n{n}.silent.test:{port}/n{n}"));
        endpoints(server, "flood", 0, &json!({}), |_| String::new());
        push(server, "turncoat", 250, "well");
        poll_until("windows that grew", seconds(60), || (moody.answered() >= 250 * size.turncoats).then_some(()));
        Attackers { size: *size, moody, strangers: None }
    }

    /// All of them begin, but for the floods.
    pub(crate) fn begin(&mut self, server: &Server) {
        self.moody.set_silent(true);
        push(server, "turncoat", 1_000, "more");
        push(server, "turncoat", 1_000, "more");
        (0..self.size.silent_apps).for_each(|nth| push(server, &Size::silent_app(nth), 2, "more"));
        push(server, "names", 2, "more");
        self.strangers = Some(Strangers::start(server.api_address(), self.size.strangers));
    }

    /// Floods with new receivers again and again until `ended`; returns the number of receivers.
    pub(crate) fn flood(&self, server: &Server, authority: &Authority, ended: &AtomicBool) -> usize {
        let (mut count, mut kinds) = (0, FLOODS.iter().cycle());
        while !ended.load(Ordering::SeqCst) {
            let began = Instant::now();
            let receivers = H2Receivers::start(authority, *kinds.next().expect("a cycle"), self.size.flooders);
            let add = |port: &u16| {
                let endpoint = json!({"url": format!("https://127.0.0.1:{port}/"), "uid": format!("f{port}")});
                // A port may come again.
                server.api("POST", "/api/v1/app/flood/endpoint", endpoint);
            };
            receivers.ports.iter().for_each(add);
            push(server, "flood", 1, "more");
            while began.elapsed() < ROUND && !ended.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(50));
            }
            for port in &receivers.ports {
                server.api("DELETE", &format!("/api/v1/app/flood/endpoint/f{port}"), Value::Null);
            }
            count += receivers.ports.len();
        }
        count
    }

    /// Strangers whose connection is open.
    pub(crate) fn strangers(&self) -> usize {
        self.strangers.as_ref().map_or(0, Strangers::open)
    }

    /// They are well again, and each of their endpoints is to get a new message.
    pub(crate) fn stop(&mut self, server: &Server) {
        self.strangers = None;
        self.moody.set_silent(false);
        push(server, "turncoat", 1, "fresh");
        (0..self.size.silent_apps).for_each(|nth| push(server, &Size::silent_app(nth), 1, "fresh"));
        push(server, "names", 1, "fresh");
    }

    pub(crate) fn endpoints(&self) -> usize {
        self.size.turncoats + self.size.silent_apps * self.size.silent_each + self.size.names
    }

    /// Endpoints that got the new message.
    pub(crate) fn served(&self) -> usize {
        self.moody.fresh()
    }
}

/// An application with so many endpoints, which several clients make at once.
fn endpoints(server: &Server, app: &str, count: usize, settings: &Value, url: impl Fn(usize) -> String + Sync) {
    server.api_expect(201, "POST", "/api/v1/app", json!({"name": app, "uid": app}));
    let (client, path) = (server.client(), format!("/api/v1/app/{app}/endpoint"));
    let make = |client: &Client, number: usize| {
        let mut endpoint = settings.clone();
        endpoint["url"] = url(number).into();
        let (status, answer) = client.json("POST", &path, endpoint);
        assert_eq!(status, 201, "{answer}");
    };
    std::thread::scope(|scope| {
        for hand in 0..HANDS {
            let (client, make) = (&client, &make);
            scope.spawn(move || (hand..count).step_by(HANDS).for_each(|number| make(client, number)));
        }
    });
}

fn push(server: &Server, app: &str, count: usize, word: &str) {
    let messages: Vec<Value> = (0..count).map(|n| json!({"eventType": "a", "payload": {word: n}})).collect();
    let answer = server.api_expect(202, "POST", &format!("/api/v1/app/{app}/msg/batch"), Value::Array(messages));
    assert_eq!(answer["rejected"], 0, "{answer}");
}
