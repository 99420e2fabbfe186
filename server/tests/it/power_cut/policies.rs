//! The checks of policies: order, time and side of a delivery, on a disk that was cut.

use super::ledger::{Acked, Ledger};
use super::recording::Recording;
use super::routes::{PRIMARY, ROUTES, Route, secret};
use crate::audit::check_switches;
use crate::events::number_of;
use crate::failover::check_follows;
use crate::harness::{Client, Received};
use crate::scheduled::now_ms;
use crate::turns::check_order;
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::time::UNIX_EPOCH;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Scheduled messages are listed at least until so long before their time.
const LISTED_MS: u64 = 5_000;

/// No request came before the time of its event. Answers how many had one.
pub(super) fn check_times(requests: &[Received], ledger: &Ledger) -> usize {
    let mut scheduled = 0;
    for request in requests {
        let number = number_of(&request.body).expect("what arrives was sent, byte for byte");
        let event = ledger.sent(number).unwrap_or_else(|| panic!("nobody sent event {number}"));
        let Some(at) = event.deliver_at else { continue };
        let came = request.at_wall.duration_since(UNIX_EPOCH).expect("a clock after 1970").as_millis();
        assert!(u128::from(at) <= came, "{event:?} came {} ms early", u128::from(at) - came);
        scheduled += 1;
    }
    scheduled
}

/// Acknowledged events whose time is yet to come are on the list, with their times. Answers how many there are.
pub(super) fn check_scheduled(client: &Client, app: &str, acked: &[&Acked]) -> usize {
    let since = now_ms();
    let (status, page) = client.json("GET", &format!("/api/v1/app/{app}/scheduled-msg?limit=250"), Value::Null);
    assert_eq!((status, &page["done"]), (200, &Value::Bool(true)), "{page}");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let time = |value: &Value| OffsetDateTime::parse(&text(value), &Rfc3339).expect("a time").unix_timestamp_nanos();
    let items = page["data"].as_array().expect("a list").iter();
    let listed: HashMap<String, i128> =
        items.map(|item| (text(&item["id"]), time(&item["deliverAt"]) / 1_000_000)).collect();
    let mut there = 0;
    for acked in acked {
        let Some(at) = acked.event.deliver_at.filter(|at| *at > since + LISTED_MS) else { continue };
        assert_eq!(listed.get(&acked.id), Some(&i128::from(at)), "{acked:?} is not scheduled");
        there += 1;
    }
    there
}

/// The switch that was shown before a cut at `until` is there, and the audit log has as many as there were. Answers the present look.
pub(super) fn check_switch(client: &Client, ledger: &Ledger, until: u64) -> Option<Value> {
    let before = ledger.last_look(until);
    let (status, after) = client.json("GET", &format!("{PRIMARY}/failover"), Value::Null);
    if let Some(before) = before {
        assert_eq!(status, 200, "{after}");
        check_follows(&before, &after);
    }
    if status == 200 {
        check_switches(client, PRIMARY);
    }
    Some(after).filter(|_| status == 200)
}

/// While all succeed, nothing switches: the requests of an endpoint with a backup go to the active side, and each is
/// signed by the side that it goes to. Answers how many there were.
pub(super) fn check_sides(requests: &[Received], shown: &Value) -> usize {
    let mut came = 0;
    for request in requests {
        assert!(request.is_signed_with(&secret(&request.path)), "{} to {}", request.id(), request.path);
        let route = Route::of_path(&request.path).expect("a known path");
        if let Some(backup) = route.backup {
            let active = if shown["active"] == "backup" { backup } else { route.path };
            assert_eq!(request.path, active, "{} while {shown}", request.id());
            came += 1;
        }
    }
    came
}

/// No event came for the first time before an earlier one of its line was over, before a cut at `until` or after it.
/// `there` are the numbers and ids of the events on the disk. Answers how many came behind another one.
pub(super) fn check_orders(recording: &Recording, until: u64, there: &[(u64, String)], requests: &[Received]) -> usize {
    let mut behind = 0;
    for route in ROUTES.iter().filter(|route| route.order != "none") {
        let messages = there.iter().filter_map(|(number, id)| {
            let event = recording.ledger.sent(*number)?;
            let is_in_line = route.wants(&event) && event.deliver_at.is_none();
            is_in_line.then_some(())?;
            Some((id.as_str(), route.line(*number)?))
        });
        let before = recording.requests.iter().filter(|request| request.stamp <= until);
        let came = before.chain(requests).filter(|request| request.path == route.path);
        let came = came.map(|request| (request.id(), request.answered));
        let found = check_order(messages, came, &HashSet::new());
        behind += found.unwrap_or_else(|early| panic!("{}: {early}", route.path));
    }
    behind
}
