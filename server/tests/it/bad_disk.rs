//! A disk that is full, fails, returns other bits than it was given, or is slow. The real binary notices it, says so,
//! and loses nothing that it acknowledged.
//!
//! - `full`: too little room, and no room at all.
//! - `io_error`: an error at every call in turn.
//! - `flipped`: one bit anywhere.
//! - `repaired`: a sector of nonsense, and the rest of the store after a repair.
//! - `slow`: more comes in than it takes.
//! - `value`: one bit of a payload, and the deliveries beside it.
//!
//! Not the loss of power: that is in `power_cut`.

mod flipped;
mod full;
mod io_error;
mod repaired;
mod slow;
mod value;

use crate::events::{list_events, number_of, payload, push_events};
use crate::harness::{Client, Receiver, Server, seconds};
use serde_json::json;
use std::collections::{BTreeMap, HashSet};
use std::time::Instant;

const APP: &str = "shop";
const PATH: &str = "/hook";

/// One application with one endpoint.
fn create(server: &Server, receiver: &Receiver) -> std::io::Result<bool> {
    let client = server.client();
    let endpoint = json!({"url": receiver.url(PATH), "uid": "hook",
        "retryPolicy": {"type": "fixed", "delayMs": 200, "maxAttempts": 1000, "jitter": "none"}});
    for (path, body) in [("/api/v1/app", json!({"name": APP, "uid": APP})), ("/api/v1/app/shop/endpoint", endpoint)] {
        let answer = client.send("POST", path, &[], Some(body.to_string().as_bytes()))?;
        if answer.status != 201 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Pushes one event; its id when it was acknowledged, or status and code.
fn push(client: &Client, number: u64) -> std::io::Result<Result<String, (u16, String)>> {
    let (status, answer) = push_events(client, APP, &[number], None, false)?;
    let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
    Ok(if status == 202 { Ok(text("id")) } else { Err((status, text("code"))) })
}

/// All that was acknowledged is there as it was sent, and arrives if it has not `arrived` yet.
#[track_caller]
fn nothing_is_lost(server: &Server, receiver: &Receiver, acked: &BTreeMap<String, u64>) {
    if acked.is_empty() {
        return;
    }
    let there = list_events(&server.client(), APP).expect("an answer").expect("a list");
    for (id, number) in acked {
        assert!(there.get(id) == Some(&payload(*number)), "event {number} ({id}) is lost or another one");
    }
    let mut missing: HashSet<&str> = acked.keys().map(String::as_str).collect();
    let until = Instant::now() + seconds(30);
    // Each request is looked at once: they are large, and the receiver answers nobody meanwhile.
    let mut looked_at = 0;
    receiver.wait_until(seconds(40), |requests| {
        let new = &requests[looked_at..];
        looked_at = requests.len();
        for request in new.iter().filter(|request| request.answered == 200) {
            assert!(number_of(&request.body).is_some(), "{} arrived with another payload", request.id());
            missing.remove(request.id());
        }
        assert!(missing.is_empty() || Instant::now() < until, "{} never arrive: {missing:?}", missing.len());
        missing.is_empty()
    });
}
