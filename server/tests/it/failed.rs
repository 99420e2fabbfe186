//! `disableAfterFailedDeliveries`: so many deliveries in a row that used up their attempts.

use crate::harness::{Behaviour, Receiver, Server, poll_until, seconds};
use serde_json::{Value, json};

const ENDPOINT: &str = "/api/v1/app/failing/endpoint/hook";

fn push(server: &Server) {
    server.api_expect(202, "POST", "/api/v1/app/failing/msg", json!({"eventType": "a", "payload": {}}));
}

fn state(server: &Server) -> Value {
    server.api_expect(200, "GET", &format!("{ENDPOINT}/state"), Value::Null)
}

/// Pushes a message that is given up, and waits until the disk knows.
fn fail_one(server: &Server, count: u64) {
    push(server);
    poll_until(&format!("{count} failed"), seconds(30), || (state(server)["failedDeliveries"] == count).then_some(()));
}

fn warnings(server: &Server) -> f64 {
    server.metric("pinion_endpoint_warnings_total", &[])
}

#[test]
fn deliveries_that_use_up_their_attempts_in_a_row_disable_an_endpoint_with_a_warning_at_half() {
    let mut server = Server::start(&[]);
    let receiver = Receiver::start();
    server.api_expect(201, "POST", "/api/v1/app", json!({"name": "F", "uid": "failing"}));
    let endpoint = json!({
        "url": receiver.url("/status/404"),
        "uid": "hook",
        "disableAfterFailedDeliveries": 4,
        "retryPolicy": {"type": "fixed", "delayMs": 10, "maxAttempts": 3, "jitter": "none"},
    });
    server.api_expect(201, "POST", "/api/v1/app/failing/endpoint", endpoint);
    // A success ends a run.
    fail_one(&server, 1);
    receiver.script("/status/404", [Behaviour::status(200)]);
    push(&server);
    poll_until("a success", seconds(30), || (state(&server)["failedDeliveries"] == 0).then_some(()));

    fail_one(&server, 1);
    assert_eq!(warnings(&server), 0.0);
    fail_one(&server, 2);
    assert_eq!(warnings(&server), 1.0);
    server.kill();
    server.start_again();
    fail_one(&server, 3);
    assert_eq!(state(&server)["disabled"], false, "nine attempts failed, and three deliveries");
    fail_one(&server, 4);
    let shown = state(&server);
    assert_eq!((&shown["disabled"], &shown["disabledReason"]), (&true.into(), &"exhausted".into()));
    assert_eq!(warnings(&server), 0.0, "half was long ago");
    assert_eq!(server.metric("pinion_endpoints_disabled_total", &["reason=\"exhausted\""]), 1.0);

    server.api_expect(200, "PATCH", ENDPOINT, json!({"disabled": false}));
    fail_one(&server, 1);
    assert_eq!(state(&server)["disabled"], false, "enabled by hand, it starts over");
    for wrong in [0, 1_001] {
        let (status, answer) = server.api("PATCH", ENDPOINT, json!({"disableAfterFailedDeliveries": wrong}));
        assert_eq!((status, &answer["detail"][0]["loc"]), (422, &json!(["body", "disableAfterFailedDeliveries"])));
    }
}
