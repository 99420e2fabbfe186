//! The consequence of every kind of answer, and of every way not to answer: one table, all rows at once, one server.
//!
//! | answer | meaning |
//! |---|---|
//! | 2xx | delivered, even if something is wrong behind the status line: that is noted |
//! | 3xx | failure, never followed |
//! | 410 | the endpoint is disabled, the delivery is a dead letter |
//! | 408, 425, 429, 5xx, no answer | retried; `Retry-After` honoured; 429, 502, 503, 504 also slow the endpoint down |
//! | other 4xx | by the endpoint's policy retried or a dead letter at once |
//!
//! Everything is checked through the HTTP API and at the receiver. Not where the rules are decided: those
//! have tests beside them.

use crate::harness::{Behaviour, Receiver, Server, poll_until, seconds};
use serde_json::{Value, json};
use std::net::ToSocketAddrs as _;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Gaps of the schedule: three attempts.
const GAPS_MS: [i64; 2] = [300, 600];
const ATTEMPT_TIMEOUT_MS: i64 = 1_000;

/// Time that a busy machine may add to a wait, in ms.
const LATE_MS: i64 = 1_500;

/// Pause in ms of an endpoint that asked for fewer requests without naming a time.
const SLOW_DOWN_MS: i64 = 1_000;

/// The end of the delivery.
#[derive(Clone, Debug, PartialEq)]
enum Then {
    /// One attempt, delivered.
    Delivered,
    /// One attempt, then a dead letter with this reason.
    GivenUp(&'static str),
    /// Three attempts as scheduled, then a dead letter.
    Retried,
    /// The same, with this wait in ms between the end of one attempt and the due time of the next instead.
    RetriedAfter(RangeInclusive<i64>),
    /// As [`Then::Retried`], and no attempt within a second of the last.
    RetriedSlowly,
}

/// One endpoint and the consequence that its answers must have.
#[derive(Debug)]
struct Row {
    name: &'static str,
    url: String,
    policy: Option<&'static str>,
    /// Of every attempt; 0 for no answer.
    status: u16,
    outcome: &'static str,
    /// Part of the response as the API shows it.
    words: &'static str,
    /// Part of the attempt's note; empty for none.
    note: &'static str,
    then: Then,
    /// True if attempts can be counted at the receiver.
    arrives: bool,
}

/// A port where nothing listens for as long as this lives. It is bound, so that nobody else gets it.
struct DeadPort(tokio::net::TcpSocket);

// === impl Row ===

impl Row {
    fn new(name: &'static str, url: String, status: u16, outcome: &'static str, then: Then) -> Row {
        Row { name, url, policy: None, status, outcome, words: "", note: "", then, arrives: true }
    }

    fn policy(self, policy: &'static str) -> Row {
        Row { policy: Some(policy), ..self }
    }

    fn words(self, words: &'static str) -> Row {
        Row { words, ..self }
    }

    fn noted(self, note: &'static str) -> Row {
        Row { note, ..self }
    }

    fn unseen(self) -> Row {
        Row { arrives: false, ..self }
    }

    fn path(&self) -> &str {
        let after_scheme = self.url.find("://").map_or(0, |at| at + 3);
        self.url[after_scheme..].find('/').map_or("/", |at| &self.url[after_scheme + at..])
    }

    fn attempts(&self) -> usize {
        match self.then {
            Then::Delivered | Then::GivenUp(_) => 1,
            Then::Retried | Then::RetriedAfter(_) | Then::RetriedSlowly => GAPS_MS.len() + 1,
        }
    }

    fn dead_letter(&self) -> Option<&'static str> {
        match self.then {
            Then::Delivered => None,
            Then::GivenUp(reason) => Some(reason),
            Then::Retried | Then::RetriedAfter(_) | Then::RetriedSlowly => Some("attempts_exhausted"),
        }
    }
}

impl DeadPort {
    fn new() -> DeadPort {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        DeadPort(socket)
    }

    fn url(&self) -> String {
        format!("http://{}/", self.0.local_addr().unwrap())
    }
}

fn rows(receiver: &Receiver, dead: &DeadPort) -> Vec<Row> {
    use Then::{Delivered, GivenUp, Retried, RetriedAfter, RetriedSlowly};
    // Every row has a path of its own, so that its requests can be counted: a text after the `?` does not change the
    // behaviour.
    let row = |path: &str, name, status, outcome, then| {
        Row::new(name, receiver.url(&format!("{path}?{name}")), status, outcome, then)
    };
    let slow_name = name_lookup_hangs();
    let (name_outcome, name_words) = if slow_name { ("timeout", "no answer") } else { ("dns_error", "pinion.invalid") };
    vec![
        row("/status/200", "ok", 200, "success", Delivered),
        row("/status/204", "no-content", 204, "success", Delivered),
        row("/endless/200", "endless-200", 200, "success", Delivered).words("...."),
        row("/redirect/followed", "moved", 301, "redirect", Retried),
        row("/redirect/followed", "moved-rejecting", 301, "redirect", Retried).policy("dead_letter"),
        row("/moved-absolutely", "moved-absolutely", 308, "redirect", Retried),
        row("/status/400", "bad-request", 400, "client_error", Retried),
        row("/status/404", "not-found", 404, "client_error", Retried).policy("retry"),
        row("/status/400", "bad-request-rejecting", 400, "client_error", GivenUp("rejected")).policy("dead_letter"),
        row("/status/404", "not-found-rejecting", 404, "client_error", GivenUp("rejected")).policy("dead_letter"),
        row("/retry-after/404/5", "not-found-later", 404, "client_error", Retried),
        row("/status/410", "gone", 410, "gone", GivenUp("gone")),
        row("/status/410", "gone-retrying", 410, "gone", GivenUp("gone")).policy("retry"),
        row("/status/408", "request-timeout", 408, "retryable_client_error", Retried),
        row("/status/408", "request-timeout-rejecting", 408, "retryable_client_error", Retried).policy("dead_letter"),
        row("/status/425", "too-early", 425, "retryable_client_error", Retried),
        row("/status/429", "throttled", 429, "throttled", RetriedSlowly).policy("dead_letter"),
        row("/retry-after/429/2", "throttled-seconds", 429, "throttled", RetriedAfter(2_000..=2_000)),
        // A date is in whole seconds, so the wait is up to one second less than the receiver asked for.
        row("/retry-after-date/429/3", "throttled-date", 429, "throttled", RetriedAfter(1_900..=3_000)),
        // It never shortens the schedule's gap: not by 0, nor by a date that is past to a receiver whose clock is slow.
        row("/retry-after/429/0", "throttled-zero", 429, "throttled", RetriedSlowly),
        row("/retry-after-past/503/3600", "unavailable-past", 503, "server_error", RetriedSlowly),
        row("/retry-after/500/0", "broken-zero", 500, "server_error", Retried),
        row("/retry-after-fraction/503/1", "unavailable-fraction", 503, "server_error", RetriedAfter(2_000..=2_000)),
        row("/status/500", "broken", 500, "server_error", Retried).policy("dead_letter"),
        row("/endless/500", "endless-500", 500, "server_error", Retried).words("...."),
        row("/status/503", "unavailable", 503, "server_error", RetriedSlowly),
        row("/retry-after/503/2", "unavailable-seconds", 503, "server_error", RetriedAfter(2_000..=2_000)),
        row("/reset", "reset", 0, "transport_error", Retried).words("the connection failed"),
        row("/close", "close", 0, "transport_error", Retried).words("the connection failed"),
        row("/garbage", "garbage", 0, "transport_error", Retried).words("the connection failed"),
        row("/stall", "stall", 0, "timeout", Retried).words("no answer within 1000 ms"),
        row("/drip", "drip", 0, "timeout", Retried).words("no answer within 1000 ms"),
        // The status line decides: a receiver that said 2xx must not get it again.
        row("/drip-body", "drip-body", 200, "success", Delivered).noted("within the deadline"),
        row("/stall-body", "stall-body", 200, "success", Delivered).words("half").noted("within the deadline"),
        row("/many-headers/150", "many-headers", 200, "success", Delivered),
        row("/cookies/20000", "cookies", 200, "success", Delivered),
        row("/cookies/200000", "too-many-cookies", 200, "success", Delivered).noted("too long"),
        row("/too-short", "too-short", 200, "success", Delivered).words("half").noted("broke off"),
        row("/bad-chunk", "bad-chunk", 200, "success", Delivered).words("ok").noted("malformed"),
        row("/no-last-chunk", "no-last-chunk", 200, "success", Delivered).words("ok").noted("broke off"),
        row("/old-chunks", "old-chunks", 200, "success", Delivered).words("ok").noted("contradicts"),
        row("/spaced-colon", "spaced-colon", 200, "success", Delivered).words("ok").noted("malformed"),
        Row::new("refused", dead.url(), 0, "connect_error", Retried).words("efused").unseen(),
        Row::new("unknown-name", "http://pinion.invalid/".to_owned(), 0, name_outcome, Retried)
            .words(name_words)
            .unseen(),
    ]
}

/// True if this machine's resolver, without a network perhaps, lets a name that cannot exist (RFC 6761) wait.
fn name_lookup_hangs() -> bool {
    let started = Instant::now();
    let found = ("pinion.invalid", 80).to_socket_addrs();
    assert!(found.is_err(), "a name that cannot exist has an address here");
    started.elapsed() > Duration::from_millis(500)
}

#[test]
fn every_outcome_leads_to_what_it_must() {
    // Many shards, since retries share a budget on each.
    let gaps = GAPS_MS.map(|gap| format!("{gap}ms")).join(",");
    let timeout = ATTEMPT_TIMEOUT_MS.to_string();
    let server = Server::start(&[
        "--retry-schedule",
        &gaps,
        "--retry-jitter",
        "none",
        "--attempt-timeout-ms",
        &timeout,
        "--shards",
        "16",
    ]);
    let (receiver, dead) = (Receiver::start(), DeadPort::new());
    let elsewhere = Behaviour::with_header(308, "location", &receiver.url("/followed"));
    receiver.script("/moved-absolutely?moved-absolutely", [elsewhere]);
    server.api_expect(201, "POST", "/api/v1/app", json!({"name": "Outcomes", "uid": "outcomes"}));
    let rows = rows(&receiver, &dead);
    for row in &rows {
        let mut endpoint = json!({"url": row.url, "uid": row.name, "eventTypes": [row.name]});
        if let Some(policy) = row.policy {
            endpoint["onClientError"] = policy.into();
        }
        server.api_expect(201, "POST", "/api/v1/app/outcomes/endpoint", endpoint);
    }
    let messages: Vec<String> = rows.iter().map(|row| push(&server, row)).collect();

    let until = Instant::now() + seconds(30);
    for (row, message) in rows.iter().zip(&messages) {
        let left = until.saturating_duration_since(Instant::now());
        poll_until(row.name, left, || {
            let attempts = attempts(&server, message);
            let over = attempts.len() >= row.attempts() && attempts[0]["nextAttempt"].is_null();
            over.then_some(())
        });
    }
    for (row, message) in rows.iter().zip(&messages) {
        check(&server, &receiver, row, message);
    }
    assert!(
        receiver.requests().iter().all(|request| !request.path.contains("/followed") || request.path.contains('?'))
    );
    assert_eq!(receiver.requests_to("/followed").len(), 0, "a redirect was followed");
}

fn push(server: &Server, row: &Row) -> String {
    let message = json!({"eventType": row.name, "payload": {"row": row.name}});
    let answer = server.api_expect(202, "POST", "/api/v1/app/outcomes/msg", message);
    answer["id"].as_str().unwrap().to_owned()
}

/// Newest first.
fn attempts(server: &Server, message: &str) -> Vec<Value> {
    let path = format!("/api/v1/app/outcomes/attempt/msg/{message}");
    server.api_expect(200, "GET", &path, Value::Null)["data"].as_array().unwrap().clone()
}

fn check(server: &Server, receiver: &Receiver, row: &Row, message: &str) {
    let mut attempts = attempts(server, message);
    attempts.reverse();
    assert_eq!(attempts.len(), row.attempts(), "{}: {attempts:#?}", row.name);
    for (number, attempt) in attempts.iter().enumerate() {
        check_attempt(row, number, attempt);
    }
    for (number, pair) in attempts.windows(2).enumerate() {
        check_wait(row, number, &pair[0], &pair[1]);
    }
    if row.arrives {
        let arrived = receiver.requests_to(row.path());
        assert_eq!(arrived.len(), row.attempts(), "{}: one request for each attempt", row.name);
        assert!(arrived.iter().all(|request| request.id() == message), "{}", row.name);
    }
    check_end(server, row, message);
}

fn check_attempt(row: &Row, number: usize, attempt: &Value) {
    let (status, text) = if row.then == Then::Delivered { (0, "success") } else { (2, "fail") };
    let shown = json!({
        "status": attempt["status"], "statusText": attempt["statusText"], "outcome": attempt["outcome"],
        "responseStatusCode": attempt["responseStatusCode"], "attempt": attempt["attempt"],
        "triggerType": attempt["triggerType"],
    });
    let expected = json!({
        "status": status, "statusText": text, "outcome": row.outcome,
        "responseStatusCode": row.status, "attempt": number + 1, "triggerType": 0,
    });
    assert_eq!(shown, expected, "{}", row.name);
    let response = attempt["response"].as_str().unwrap();
    assert!(response.contains(row.words), "{}: {response}", row.name);
    let note = attempt["note"].as_str().unwrap_or_default();
    assert!(note.contains(row.note) && note.is_empty() == row.note.is_empty(), "{}: {note}", row.name);
    assert!(row.status != 0 || !response.is_empty(), "{}: an attempt without an answer says why", row.name);
    let duration = attempt["responseDurationMs"].as_i64().unwrap();
    assert!(duration <= ATTEMPT_TIMEOUT_MS + LATE_MS, "{}: {duration}", row.name);
    assert!(row.outcome != "timeout" || duration >= ATTEMPT_TIMEOUT_MS, "{}: {duration}", row.name);
}

/// The due time of the next attempt is as the table says, and the attempt is made no earlier and not much later.
fn check_wait(row: &Row, number: usize, attempt: &Value, next: &Value) {
    let ended = millis(&attempt["timestamp"]) + attempt["responseDurationMs"].as_i64().unwrap();
    let (due, started) = (millis(&attempt["nextAttempt"]), millis(&next["timestamp"]));
    let wait = match &row.then {
        Then::RetriedAfter(wait) => wait.clone(),
        _ => GAPS_MS[number]..=GAPS_MS[number],
    };
    let waited = due - ended;
    // Times are cut to milliseconds, so an end can show as one earlier than it was.
    assert!((*wait.start() - 2..=*wait.end() + LATE_MS).contains(&waited), "{}: {waited} ms", row.name);
    let slow = if row.then == Then::RetriedSlowly { ended + SLOW_DOWN_MS - 2 } else { 0 };
    let earliest = due.max(slow);
    assert!((earliest..=earliest + LATE_MS).contains(&started), "{}: {} ms late", row.name, started - earliest);
}

fn check_end(server: &Server, row: &Row, message: &str) {
    let get = |path: &str| server.api_expect(200, "GET", &format!("/api/v1/app/outcomes/{path}"), Value::Null);
    let delivery = &get(&format!("msg/{message}/endpoint"))["data"][0];
    let text = if row.then == Then::Delivered { "success" } else { "fail" };
    assert_eq!((&delivery["statusText"], &delivery["nextAttempt"]), (&text.into(), &Value::Null), "{}", row.name);

    let letters = get(&format!("endpoint/{}/dead-letter", row.name))["data"].as_array().unwrap().clone();
    assert_eq!(letters.len(), usize::from(row.dead_letter().is_some()), "{}: {letters:#?}", row.name);
    for letter in &letters {
        assert_eq!(letter["msgId"], *message, "{}", row.name);
        assert_eq!(letter["reason"].as_str(), row.dead_letter(), "{}", row.name);
        assert_eq!(letter["attempts"], row.attempts(), "{}", row.name);
        assert_eq!(letter["lastOutcome"], row.outcome, "{}", row.name);
        assert_eq!(letter["lastStatusCode"], row.status, "{}", row.name);
    }

    let endpoint = get(&format!("endpoint/{}", row.name));
    let reason = (row.outcome == "gone").then_some("gone");
    assert_eq!(endpoint["disabled"], reason.is_some(), "{}", row.name);
    assert_eq!(endpoint["disabledReason"].as_str(), reason, "{}", row.name);
}

fn millis(value: &Value) -> i64 {
    let text = value.as_str().unwrap_or_else(|| panic!("{value} is no time"));
    let at = OffsetDateTime::parse(text, &Rfc3339).unwrap();
    i64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap()
}
