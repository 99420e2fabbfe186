//! A start with much left to do: rows of retries and of messages that nobody tried yet, as an outage leaves them
//! behind. The server must be ready at once for any number of them, and deliver at once.
//!
//! The rows are written by the store's own code, which is much faster than having as many attempts fail. Their number is
//! small by default; `PINION_START_ROWS` sets another, for a release build by hand.

use crate::harness::{Receiver, Server, poll_until, seconds};
use bytes::Bytes;
use model::{AppId, Cursor, EndpointRef, Event, OutcomeClass, Pending, Seq, Trigger, UnixMs};
use serde_json::json;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use storage::disk::OpenOptions;
use storage::tables::{application, delivery, endpoint, log};
use storage::{Store, Txn};

/// The bound that is promised for a million rows of each kind.
const READY_WITHIN: Duration = Duration::from_secs(5);

/// Events in one transaction.
const PIECE: u64 = 1_000;

fn rows() -> u64 {
    std::env::var("PINION_START_ROWS").ok().and_then(|rows| rows.parse().ok()).unwrap_or(20_000)
}

/// The application and its one endpoint.
fn target(store: &dyn Store, uid: &str) -> EndpointRef {
    let app: AppId = application::by_uid(store, uid).unwrap().unwrap();
    EndpointRef { app, endpoint: endpoint::by_uid(store, app, uid).unwrap().unwrap() }
}

fn event(app: AppId, seq: Seq, now: UnixMs) -> Event {
    Event {
        app,
        seq,
        accepted_at: now,
        event_type: "a.b".into(),
        event_id: None,
        channels: Vec::new(),
        only_for: None,
        more: None,
        payload: Bytes::from_static(br#"{"some":"payload"}"#),
    }
}

/// Writes `rows` events of an application, and for each event the rows that `each` adds.
fn fill(store: &dyn Store, app: AppId, rows: u64, now: UnixMs, mut each: impl FnMut(&mut Txn<'_>, Seq)) {
    for first in (1..=rows).step_by(PIECE as usize) {
        let last = rows.min(first + PIECE - 1);
        let mut txn = Txn::new(store);
        let events: Vec<Event> = (first..=last).map(|seq| event(app, Seq(seq), now)).collect();
        log::append(&mut txn, app, &events).unwrap();
        delivery::put_routed(&mut txn, app, Seq(last));
        (first..=last).for_each(|seq| each(&mut txn, Seq(seq)));
        store.apply(txn.into_parts().batch).unwrap();
    }
}

/// Puts off every delivery of the one endpoint, half of them to a time that has passed; leaves those of the other untried.
fn leave_behind(server: &Server, rows: u64) {
    let store = OpenOptions::default().open(&server.data_dir()).unwrap();
    let now = UnixMs(u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap());
    let (retried, behind) = (target(&store, "retried"), target(&store, "behind"));
    fill(&store, retried.app, rows, now, |txn, seq| {
        let hours = if seq.0.is_multiple_of(2) { 2 } else { 0 };
        let due = UnixMs(now.0 - 3_600_000 + hours * 3_600_000 + seq.0 % 60_000);
        let pending =
            Pending { attempts: 1, due, last_outcome: Some(OutcomeClass::Timeout), trigger: Trigger::Scheduled };
        delivery::put_pending(txn, retried, seq, None, &pending);
    });
    fill(&store, behind.app, rows, now, |_, _| {});
    let mut txn = Txn::new(&store);
    delivery::put_cursor(&mut txn, behind, &Cursor::default());
    store.apply(txn.into_parts().batch).unwrap();
}

#[test]
fn a_start_with_much_left_to_do_is_ready_and_delivers_at_once() {
    let (rows, receiver) = (rows(), Receiver::start());
    let mut server = Server::start(&[]);
    for uid in ["retried", "behind"] {
        server.api_expect(201, "POST", "/api/v1/app", json!({"name": uid, "uid": uid}));
        let endpoint = json!({"url": receiver.url(&format!("/{uid}")), "uid": uid});
        server.api_expect(201, "POST", &format!("/api/v1/app/{uid}/endpoint"), endpoint);
    }
    assert_eq!(server.terminate(seconds(10)).code(), Some(0));
    leave_behind(&server, rows);

    let started = Instant::now();
    server.start_again();
    poll_until("readiness", seconds(60), || (server.monitor("/readyz").status == 200).then_some(()));
    let ready = started.elapsed();
    receiver.wait_until(seconds(60), |requests| {
        ["/retried", "/behind"].iter().all(|path| requests.iter().any(|request| request.path == *path))
    });
    let delivering = started.elapsed();
    eprintln!("{rows} retries and {rows} untried messages: ready after {ready:?}, both delivered from {delivering:?}");
    assert!(ready <= READY_WITHIN, "ready after {ready:?}");
    assert!(delivering <= READY_WITHIN, "delivering after {delivering:?}");

    // Due deliveries are made, each once, and those that are not yet due wait.
    let due = usize::try_from(rows / 2 + rows % 2).unwrap().min(10_000);
    receiver.wait_until(seconds(120), |requests| {
        let to = |path: &'static str| requests.iter().filter(|request| request.path == path).count();
        to("/retried") >= due && to("/behind") >= due
    });
    assert!(receiver.requests_to("/retried").len() <= usize::try_from(rows / 2 + rows % 2).unwrap());
}
