//! Bounds on how much is sent at once: a burst of an endpoint, attempts at once of an application, and what the state says.

use crate::harness::{Receiver, Server, poll_until, seconds};
use serde_json::{Value, json};
use std::time::Duration;

const APP: &str = "/api/v1/app/paced";

/// The receiver takes this long to answer.
const ANSWER: Duration = Duration::from_millis(200);

fn create(server: &Server, mut app: Value) {
    (app["name"], app["uid"]) = (json!("Paced"), json!("paced"));
    server.api_expect(201, "POST", "/api/v1/app", app);
}

fn push(server: &Server, count: usize) {
    let item = json!({"eventType": "a", "payload": {}});
    server.api_expect(202, "POST", &format!("{APP}/msg/batch"), json!(vec![item; count]));
}

fn held_back_by(server: &Server, uid: &str) -> Option<String> {
    let state = server.api_expect(200, "GET", &format!("{APP}/endpoint/{uid}/state"), Value::Null);
    state["heldBackBy"].as_str().map(str::to_owned)
}

/// Of any three requests, the third comes when the first is answered.
fn check_two_at_once(receiver: &Receiver) {
    let mut arrivals: Vec<_> = receiver.requests().iter().map(|request| request.at).collect();
    arrivals.sort_unstable();
    for three in arrivals.windows(3) {
        assert!(three[2] - three[0] >= ANSWER, "three at once: {:?}", three[2] - three[0]);
    }
}

#[test]
fn an_application_has_so_many_attempts_at_once_over_all_endpoints_and_shards() {
    let mut server = Server::start(&["--shards", "2"]);
    let receiver = Receiver::start();
    create(&server, json!({"maxInFlightTotal": 2}));
    for uid in ["one", "two", "three"] {
        let endpoint = json!({"url": receiver.url(&format!("/delay/{}/{uid}", ANSWER.as_millis())), "uid": uid});
        server.api_expect(201, "POST", &format!("{APP}/endpoint"), endpoint);
    }
    push(&server, 4);
    poll_until("one that waits for its application", seconds(20), || {
        let mut waits = ["one", "two", "three"].into_iter().filter_map(|uid| held_back_by(&server, uid));
        waits.find(|gate| gate == "application_in_flight")
    });
    receiver.wait_for(12, seconds(30));
    check_two_at_once(&receiver);

    push(&server, 4);
    receiver.wait_for(15, seconds(30));
    server.kill();
    receiver.wait_for_the_last_words(seconds(10));
    receiver.clear();
    server.start_again();
    receiver.wait_for(6, seconds(30));
    check_two_at_once(&receiver);

    // Without the bound, what waits goes at once.
    server.api_expect(200, "PATCH", APP, json!({"maxInFlightTotal": null}));
    poll_until("all delivered", seconds(30), || held_back_by(&server, "one").is_none().then_some(()));
    receiver.clear();
    push(&server, 4);
    let mut arrivals: Vec<_> = receiver.wait_for(12, seconds(30)).iter().map(|request| request.at).collect();
    arrivals.sort_unstable();
    assert!(arrivals.windows(3).any(|three| three[2] - three[0] < ANSWER), "more than two at once");
}

#[test]
fn a_burst_goes_at_once_and_the_rest_waits_for_the_rate() {
    let server = Server::start(&[]);
    let receiver = Receiver::start();
    create(&server, json!({}));
    let endpoint = json!({"url": receiver.url("/hook"), "uid": "hook", "throttleRate": 1, "burst": 5});
    server.api_expect(201, "POST", &format!("{APP}/endpoint"), endpoint);
    push(&server, 7);
    receiver.wait_for(5, seconds(20));
    poll_until("held back by the rate", seconds(20), || held_back_by(&server, "hook").filter(|gate| gate == "rate"));
    let requests = receiver.wait_for(7, seconds(30));
    assert!(requests[6].at - requests[4].at >= Duration::from_millis(900), "a second for each beyond the burst");
    poll_until("nothing is held back", seconds(20), || held_back_by(&server, "hook").is_none().then_some(()));

    let patch = |body: Value| server.api("PATCH", &format!("{APP}/endpoint/hook"), body);
    for (body, field) in
        [(json!({"burst": 0}), "burst"), (json!({"burst": 10_001}), "burst"), (json!({"throttleRate": null}), "burst")]
    {
        let (status, answer) = patch(body.clone());
        assert_eq!((status, &answer["detail"][0]["loc"]), (422, &json!(["body", field])), "{body}: {answer}");
    }
    assert_eq!(patch(json!({"throttleRate": null, "burst": null})).0, 200);
    let (status, answer) = server.api("PATCH", APP, json!({"maxInFlightTotal": 0}));
    assert_eq!((status, &answer["detail"][0]["loc"]), (422, &json!(["body", "maxInFlightTotal"])));
}
