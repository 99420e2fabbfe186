//! A tenant with hundreds of names whose servers never answer: its lookups may hold threads, but never those that
//! another tenant needs.

use crate::harness::{Receiver, Server, poll_until, seconds};
use crate::preload;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

const SILENT: usize = 300;
const NEAR: usize = 25;

/// The library to preload, compiled once.
pub(super) fn library() -> &'static str {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    let library = LIBRARY.get_or_init(|| preload::compile("hostile/names/names.c"));
    library.to_str().expect("paths of tests are text")
}

fn endpoints(server: &Server, app: &str, urls: impl Iterator<Item = String>) {
    server.api_expect(201, "POST", "/api/v1/app", json!({"name": app, "uid": app}));
    for (number, url) in urls.enumerate() {
        let path = format!("/api/v1/app/{app}/endpoint");
        server.api_expect(201, "POST", &path, json!({"url": url, "uid": format!("e{number}")}));
    }
}

fn push(server: &Server, app: &str) {
    let message = json!({"eventType": "a", "payload": {}});
    server.api_expect(202, "POST", &format!("/api/v1/app/{app}/msg"), message);
}

#[test]
fn names_that_never_answer_cost_a_neighbour_who_needs_lookups_nothing() {
    let preload = library();
    let data = Arc::new(tempfile::tempdir().expect("a temporary folder"));
    let arguments = ["--shards", "1", "--retry-schedule", "60s"];
    let server = Server::try_start_in(data, &arguments, &[("LD_PRELOAD", preload)]).expect("the server starts");
    let receiver = Receiver::start();
    let port = receiver.address().port();
    endpoints(&server, "mean", (0..SILENT).map(|number| format!("http://n{number}.silent.test/")));
    endpoints(&server, "near", (0..NEAR).map(|number| format!("http://n{number}.near.test:{port}/{number}")));

    push(&server, "mean");
    let failed = || server.metric("pinion_attempts_total", &["outcome=\"dns_error\""]);
    poll_until("the first that is given up", seconds(15), || (failed() > 0.0).then_some(()));
    let started = Instant::now();
    push(&server, "near");
    let requests = receiver.wait_for(NEAR, seconds(3));
    let took = started.elapsed();
    let paths: HashSet<&str> = requests.iter().map(|request| request.path.as_str()).collect();
    assert_eq!(paths.len(), NEAR, "each of the neighbour's endpoints, with the first attempt");
    let succeeded = || server.metric("pinion_attempts_total", &["outcome=\"success\""]);
    poll_until("successes", seconds(2), || (succeeded() as usize == NEAR).then_some(()));
    let (waiting, given_up) = (server.metric("pinion_attempts_not_made_total", &["lack=\"lookups\""]), failed());
    eprintln!(
        "{NEAR} lookups and deliveries in {took:?}, beside {SILENT} names: {given_up} gave no answer, {waiting} waited"
    );
    assert!(waiting > 0.0, "those whose turn did not come wait, and no attempt is spent on them");
    let state = server.api_expect(200, "GET", "/api/v1/app/mean/endpoint/e299/msg", Value::Null);
    assert!(!state.is_null());
}
