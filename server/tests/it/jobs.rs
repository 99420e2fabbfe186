//! Jobs with a time of their own: they wait for it over a kill, take what is there by then, and can be called off.

use crate::harness::{Behaviour, Receiver, Server, poll_until, seconds};
use crate::scheduled::{now_ms, text};
use serde_json::{Value, json};

const APP: &str = "/api/v1/app/acme";
const LETTERS: &str = "/api/v1/app/acme/dead-letter";

/// An endpoint `one` that gives up at once: its receiver refuses the first messages, and takes those that follow.
fn set_up(server: &Server, receiver: &Receiver, refused: usize) {
    server.api_expect(201, "POST", "/api/v1/app", json!({"name": "Acme", "uid": "acme"}));
    let policy = json!({"type": "fixed", "delayMs": 1, "maxAttempts": 1, "jitter": "none"});
    let endpoint = json!({"url": receiver.url("/one"), "uid": "one", "retryPolicy": policy});
    server.api_expect(201, "POST", &format!("{APP}/endpoint"), endpoint);
    let answers = std::iter::repeat_n(500, refused).chain([200]).map(Behaviour::status);
    receiver.script("/one", answers.collect::<Vec<_>>());
}

fn give_up(server: &Server, count: usize, of: usize) {
    for _ in 0..count {
        server.api_expect(202, "POST", &format!("{APP}/msg"), json!({"eventType": "a", "payload": {"n": 1}}));
    }
    poll_until("the dead letters", seconds(20), || (letters(server) == of).then_some(()));
}

fn letters(server: &Server) -> usize {
    let listed = server.api_expect(200, "GET", &format!("{LETTERS}?limit=250"), Value::Null);
    listed["data"].as_array().unwrap().len()
}

fn task(server: &Server, started: &Value) -> Value {
    server.api_expect(200, "GET", &path_of(started), Value::Null)
}

fn path_of(started: &Value) -> String {
    format!("/api/v1/background-task/{}", started["id"].as_str().unwrap())
}

fn finished(server: &Server, started: &Value) -> Value {
    poll_until("an ended task", seconds(30), || {
        let shown = task(server, started);
        (shown["status"] == "finished").then(|| shown["data"].clone())
    })
}

#[test]
fn a_job_begins_at_its_time_through_a_kill_takes_what_is_there_then_and_one_that_is_cancelled_never_begins() {
    let (mut server, receiver) = (Server::start(&[]), Receiver::start());
    set_up(&server, &receiver, 3);
    give_up(&server, 1, 1);
    let at = now_ms() + 6_000;
    let redrive = format!("{LETTERS}/redrive");
    let started = server.api_expect(202, "POST", &redrive, json!({"startAt": text(at)}));
    assert_eq!((&started["status"], &started["data"]["lookedAt"]), (&json!("pending"), &json!(0)));
    let purge = server.api_expect(202, "POST", &format!("{LETTERS}/purge"), json!({"startAt": text(at - 2_000)}));
    let of_one = format!("{APP}/endpoint/one/dead-letter/redrive");
    let later = server.api_expect(202, "POST", &of_one, json!({"startAt": text(at + 3_600_000)}));
    let replay = json!({"since": "2020-01-01T00:00:00Z", "startAt": text(at), "dryRun": true});
    let replay = server.api_expect(202, "POST", &format!("{APP}/endpoint/one/bulk-replay"), replay);
    let waiting = server.api_expect(200, "GET", "/api/v1/background-task?status=pending", Value::Null);
    assert_eq!(waiting["data"].as_array().unwrap().len(), 4);
    let cancel = format!("{}/cancel", path_of(&purge));
    assert_eq!(server.api_expect(200, "POST", &cancel, json!({}))["status"], "cancelled");
    server.kill();
    server.start_again();
    // It came after the request, and before the time.
    give_up(&server, 2, 3);
    assert!(now_ms() < at, "the machine is too slow for this test");
    let began = finished(&server, &started);
    assert!(now_ms() >= at);
    assert_eq!((&began["affected"], &began["failed"]), (&json!(3), &json!(0)));
    receiver.wait_for(6, seconds(20));
    // The redrive may have put them in line before.
    assert_eq!(finished(&server, &replay)["lookedAt"], 3, "a span without an end goes up to its time");
    assert_eq!(letters(&server), 0);
    assert_eq!(task(&server, &purge)["data"]["lookedAt"], 0);
    assert_eq!(task(&server, &later)["status"], "pending");
}

#[test]
fn the_time_of_a_job_is_bounded_and_a_waiting_one_takes_a_place() {
    let (server, receiver) = (Server::start(&["--max-running-jobs-per-app", "2"]), Receiver::start());
    set_up(&server, &receiver, 0);
    let redrive = format!("{LETTERS}/redrive");
    let too_far = json!({"startAt": text(now_ms() + 30 * 86_400_000 + 60_000)});
    for (path, body) in [
        (redrive.clone(), too_far),
        (redrive.clone(), json!({"startAt": "soon"})),
        (redrive.clone(), json!({"startAt": 5})),
        (format!("{APP}/endpoint/one/dead-letter/redrive"), json!({"startsAt": text(now_ms())})),
    ] {
        let (status, answer) = server.api("POST", &path, body.clone());
        assert_eq!(status, 422, "{body}: {answer}");
        assert!(answer["detail"][0]["loc"].to_string().contains("start"), "{body}: {answer}");
    }
    // A time that has passed is now.
    let now = server.api_expect(202, "POST", &redrive, json!({"startAt": "2001-01-01T00:00:00Z"}));
    assert_eq!(finished(&server, &now)["startAt"], Value::Null);
    // An endpoint that is disabled now may not be when the job begins.
    server.api_expect(200, "PATCH", &format!("{APP}/endpoint/one"), json!({"disabled": true}));
    let later = json!({"since": "2020-01-01T00:00:00Z", "startAt": text(now_ms() + 3_600_000)});
    let recover = format!("{APP}/endpoint/one/recover");
    let first = server.api_expect(202, "POST", &recover, later.clone());
    server.api_expect(202, "POST", &recover, later.clone());
    let (status, answer) = server.api("POST", &recover, later.clone());
    assert_eq!((status, &answer["code"]), (429, &json!("quota_exceeded")), "{answer}");
    server.api_expect(200, "POST", &format!("{}/cancel", path_of(&first)), json!({}));
    server.api_expect(202, "POST", &recover, later);
}

#[test]
fn the_jobs_of_an_application_are_listed_for_it_and_for_no_other_key() {
    let (server, receiver) = (Server::start(&[]), Receiver::start());
    set_up(&server, &receiver, 0);
    server.api_expect(201, "POST", "/api/v1/app", json!({"name": "Other", "uid": "other"}));
    let later = json!({"startAt": text(now_ms() + 3_600_000)});
    let mut started: Vec<Value> = Vec::new();
    for (app, body) in [("acme", json!({})), ("other", later.clone()), ("acme", later.clone()), ("other", json!({}))] {
        let path = format!("/api/v1/app/{app}/dead-letter/redrive");
        started.push(server.api_expect(202, "POST", &path, body)["id"].clone());
    }
    let list = |app: &str, query: &str| {
        let path = format!("/api/v1/app/{app}/background-task{query}");
        let page = server.api_expect(200, "GET", &path, Value::Null);
        page["data"].as_array().unwrap().iter().map(|task| task["id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(list("acme", ""), [started[2].clone(), started[0].clone()], "the newest first");
    assert_eq!(list("acme", "?order=ascending&limit=1"), [started[0].clone()]);
    assert_eq!(list("other", "?status=pending&task=endpoint.recover"), [started[1].clone()]);
    assert_eq!(list("other", "?task=endpoint.replay"), Vec::<Value>::new());
    let next = format!("?limit=1&iterator={}", started[2].as_str().unwrap());
    assert_eq!(list("acme", &next), [started[0].clone()]);
    server.api_expect(404, "GET", "/api/v1/app/none/background-task", Value::Null);
    server.api_expect(422, "GET", "/api/v1/app/acme/background-task?state=pending", Value::Null);
    let key = server.api_expect(201, "POST", "/api/v1/api-key", json!({"name": "k", "appId": "other"}));
    let other = server.anonymous().with_bearer(key["key"].as_str().unwrap());
    assert_eq!(other.json("GET", "/api/v1/app/acme/background-task", Value::Null).0, 403);
    assert_eq!(other.json("GET", "/api/v1/app/other/background-task", Value::Null).0, 200);
}
