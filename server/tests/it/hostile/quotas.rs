//! The quotas of an application: a request beyond one is refused by name, is counted, and changes nothing. A removal
//! makes room.

use crate::harness::{Receiver, Server, poll_until, seconds};
use serde_json::{Value, json};

const SMALL: [&str; 10] = [
    "--max-endpoints-per-app",
    "3",
    "--max-api-keys-per-app",
    "2",
    "--max-event-types",
    "3",
    "--max-jobs-per-app",
    "2",
    "--max-running-jobs-per-app",
    "1",
];

#[track_caller]
fn refused(server: &Server, status: u16, path: &str, body: Value, quota: &str, most: u32) {
    let before = server.metric("pinion_quota_refusals_total", &[&format!("quota=\"{quota}\"")]);
    let answer = server.api_expect(status, "POST", path, body);
    assert_eq!(answer["code"], "quota_exceeded", "{answer}");
    assert!(answer["detail"].to_string().contains(&format!("at most {most}")), "{answer}");
    let after = server.metric("pinion_quota_refusals_total", &[&format!("quota=\"{quota}\"")]);
    assert_eq!(after - before, 1.0, "{quota}");
}

#[test]
fn each_quota_refuses_what_is_beyond_it_by_name_and_takes_it_again_when_there_is_room() {
    let mut server = Server::start(&SMALL);
    for app in ["acme", "other"] {
        server.api_expect(201, "POST", "/api/v1/app", json!({"name": app, "uid": app}));
    }
    let endpoints = "/api/v1/app/acme/endpoint";
    let endpoint = |uid: &str| json!({"url": "http://127.0.0.1:9/", "uid": uid});
    for uid in ["a", "b", "c"] {
        server.api_expect(201, "POST", endpoints, endpoint(uid));
    }
    refused(&server, 422, endpoints, endpoint("d"), "endpoints", 3);
    server.api_expect(422, "PUT", &format!("{endpoints}/d"), endpoint("d"));
    server.api_expect(200, "PUT", &format!("{endpoints}/a"), endpoint("a"));
    server.api_expect(201, "POST", "/api/v1/app/other/endpoint", endpoint("d"));

    let key = |name: &str, app: Option<&str>| json!({"name": name, "appId": app});
    for name in ["k1", "k2"] {
        server.api_expect(201, "POST", "/api/v1/api-key", key(name, Some("acme")));
    }
    refused(&server, 422, "/api/v1/api-key", key("k3", Some("acme")), "api_keys", 2);
    server.api_expect(201, "POST", "/api/v1/api-key", key("k3", None));

    let types = "/api/v1/event-type";
    for name in ["t1", "t2", "t3"] {
        server.api_expect(201, "POST", types, json!({"name": name, "description": ""}));
    }
    refused(&server, 422, types, json!({"name": "t4", "description": ""}), "event_types", 3);

    // The counts are on the disk with the rows that they count.
    server.restart();
    refused(&server, 422, endpoints, endpoint("d"), "endpoints", 3);
    refused(&server, 422, types, json!({"name": "t4", "description": ""}), "event_types", 3);
    server.api_expect(204, "DELETE", &format!("{endpoints}/b"), Value::Null);
    server.api_expect(201, "POST", endpoints, endpoint("d"));
    server.api_expect(204, "DELETE", &format!("{types}/t1?expunge=true"), Value::Null);
    server.api_expect(201, "POST", types, json!({"name": "t4", "description": ""}));
    server.api_expect(204, "DELETE", "/api/v1/app/acme", Value::Null);
    server.api_expect(201, "PUT", "/api/v1/app/acme", json!({"name": "acme"}));
    server.api_expect(201, "POST", endpoints, endpoint("a"));
}

/// The count and the quota that the usage route shows.
fn usage(server: &Server, app: &str, quota: &str) -> (u64, u64) {
    let usage = server.api_expect(200, "GET", &format!("/api/v1/app/{app}/usage"), Value::Null);
    (usage[quota]["used"].as_u64().unwrap(), usage[quota]["most"].as_u64().unwrap())
}

#[test]
fn the_oldest_dead_letter_makes_room_and_its_delivery_keeps_its_history() {
    let flags = ["--max-dead-letters-per-app", "3", "--on-client-error", "dead-letter"];
    let (mut server, receiver) = (Server::start(&flags), Receiver::start());
    for app in ["acme", "other"] {
        server.api_expect(201, "POST", "/api/v1/app", json!({"name": app, "uid": app}));
        for uid in ["one", "two"] {
            let endpoint = json!({"url": receiver.url("/status/404"), "uid": uid, "channels": [uid]});
            server.api_expect(201, "POST", &format!("/api/v1/app/{app}/endpoint"), endpoint);
        }
    }
    let given_up = |server: &Server, app: &str, event_id: &str, endpoint: &str| {
        let before = server.metric("pinion_dead_letters_total", &["reason=\"rejected\""]);
        let message = json!({"eventType": "a", "eventId": event_id, "payload": {}, "channels": [endpoint]});
        server.api_expect(202, "POST", &format!("/api/v1/app/{app}/msg"), message);
        let path = format!("/api/v1/app/{app}/msg/{event_id}/endpoint");
        poll_until("a dead letter", seconds(20), || {
            let standing = server.api_expect(200, "GET", &path, Value::Null);
            (standing["data"][0]["statusText"] == "fail").then_some(())
        });
        poll_until("its count", seconds(20), || {
            (server.metric("pinion_dead_letters_total", &["reason=\"rejected\""]) > before).then_some(())
        });
    };
    let letters = |server: &Server, endpoint: &str| {
        let path = format!("/api/v1/app/acme/endpoint/{endpoint}/dead-letter");
        server.api_expect(200, "GET", &path, Value::Null)["data"].as_array().unwrap().len()
    };
    given_up(&server, "other", "of-other", "one");
    for (number, endpoint) in [(1, "one"), (2, "two"), (3, "two"), (4, "two"), (5, "two")] {
        given_up(&server, "acme", &format!("e{number}"), endpoint);
    }
    assert_eq!((letters(&server, "one"), letters(&server, "two")), (0, 3), "whichever endpoint it was of");
    assert_eq!(server.metric("pinion_dead_letters_displaced_total", &[]), 2.0);
    server.wait_for_log(seconds(5), |line| line.contains("the oldest dead letters made room"));
    assert_eq!((usage(&server, "acme", "deadLetters"), usage(&server, "other", "deadLetters")), ((3, 3), (1, 3)));
    // Its delivery still counts as failed, and shows its attempts.
    let standing = server.api_expect(200, "GET", "/api/v1/app/acme/msg/e1/endpoint", Value::Null);
    assert_eq!(standing["data"][0]["statusText"], "fail");
    let attempts = server.api_expect(200, "GET", "/api/v1/app/acme/attempt/msg/e1", Value::Null);
    assert_eq!(attempts["data"][0]["responseStatusCode"], 404);

    // The count survives a restart, and follows a removal by hand.
    server.restart();
    given_up(&server, "acme", "e6", "one");
    assert_eq!((letters(&server, "one"), letters(&server, "two")), (1, 2));
    server.api_expect(204, "DELETE", "/api/v1/app/acme/endpoint/two/dead-letter/e5", Value::Null);
    assert_eq!(usage(&server, "acme", "deadLetters"), (2, 3));
    given_up(&server, "acme", "e7", "one");
    assert_eq!((letters(&server, "one"), letters(&server, "two"), usage(&server, "acme", "deadLetters").0), (2, 1, 3));
    poll_until("the fullest", seconds(30), || {
        (server.metric("pinion_quota_used_ratio_max", &["quota=\"dead_letters\""]) == 1.0).then_some(())
    });
}

#[test]
fn one_idempotency_key_too_many_is_refused_by_name_and_says_when_to_come_back() {
    let server = Server::start(&["--max-idempotency-keys-per-app", "2"]);
    for app in ["acme", "other"] {
        server.api_expect(201, "POST", "/api/v1/app", json!({"name": app, "uid": app}));
    }
    let send = |path: &str, key: &str, body: Value| {
        let headers: &[(&str, &str)] = if key.is_empty() { &[] } else { &[("idempotency-key", key)] };
        server
            .client()
            .send("POST", &format!("/api/v1/app/{path}"), headers, Some(body.to_string().as_bytes()))
            .unwrap()
    };
    let message = || json!({"eventType": "a", "payload": {}});
    assert_eq!(send("acme/msg", "one", message()).status, 202);
    let first = send("acme/msg", "two", message());
    let refused = send("acme/msg", "three", message());
    assert_eq!((refused.status, &refused.json()["code"]), (429, &json!("quota_exceeded")));
    assert!(refused.json()["detail"].to_string().contains("at most 2 idempotency keys"), "{}", refused.text());
    assert_eq!(refused.header("retry-after"), Some("60"));
    // Keys that are there keep their promise, and a request without a key is taken.
    assert_eq!(send("acme/msg", "two", message()).json()["id"], first.json()["id"]);
    assert_eq!((send("acme/msg", "", message()).status, send("other/msg", "three", message()).status), (202, 202));
    let endpoint = json!({"url": "http://127.0.0.1:9/", "uid": "a"});
    assert_eq!(send("acme/endpoint", "four", endpoint.clone()).status, 429);
    server.api_expect(404, "GET", "/api/v1/app/acme/endpoint/a", Value::Null);
    assert_eq!(send("acme/endpoint", "", endpoint).status, 201);
    let batch = send("acme/msg/batch", "five", json!([message(), message()]));
    assert_eq!((batch.status, &batch.json()["data"][1]["status"]), (202, &json!(429)), "{}", batch.text());
    assert_eq!(server.metric("pinion_quota_refusals_total", &["quota=\"idempotency_keys\""]), 4.0);
    assert_eq!(server.metric("pinion_ingest_rejected_total", &["reason=\"too_many_keys\""]), 3.0);
    assert_eq!(
        (usage(&server, "acme", "idempotencyKeys"), usage(&server, "other", "idempotencyKeys")),
        ((2, 2), (1, 2))
    );
}

#[test]
fn each_quota_shows_its_number_to_whom_it_concerns_and_to_nobody_else() {
    let server = Server::start(&SMALL);
    for app in ["acme", "other"] {
        server.api_expect(201, "POST", "/api/v1/app", json!({"name": app, "uid": app}));
    }
    for uid in ["a", "b"] {
        let endpoint = json!({"url": "http://127.0.0.1:9/", "uid": uid});
        server.api_expect(201, "POST", "/api/v1/app/acme/endpoint", endpoint);
    }
    let key = server.api_expect(201, "POST", "/api/v1/api-key", json!({"name": "k", "appId": "acme"}));
    server.api_expect(202, "POST", "/api/v1/app/acme/endpoint/a/dead-letter/redrive", json!({}));
    for (quota, used) in [("endpoints", (2, 3)), ("apiKeys", (1, 2)), ("jobs", (1, 2)), ("deadLetters", (0, 100_000))] {
        assert_eq!(usage(&server, "acme", quota), used, "{quota}");
    }
    assert_eq!((usage(&server, "other", "endpoints"), usage(&server, "acme", "runningJobs").1), ((0, 3), 1));
    let client = server.anonymous().with_bearer(key["key"].as_str().expect("a key"));
    assert_eq!(client.json("GET", "/api/v1/app/acme/usage", Value::Null).0, 200);
    assert_eq!(client.json("GET", "/api/v1/app/other/usage", Value::Null).0, 403);
    let ratio = |quota: &str| server.metric("pinion_quota_used_ratio_max", &[&format!("quota=\"{quota}\"")]);
    poll_until("the fullest", seconds(30), || (ratio("api_keys") == 0.5 && ratio("endpoints") > 0.6).then_some(()));
}

#[test]
fn a_key_for_one_application_may_not_do_what_is_the_operators() {
    let server = Server::start(&[]);
    for app in ["acme", "other"] {
        server.api_expect(201, "POST", "/api/v1/app", json!({"name": app, "uid": app, "rateLimit": 5}));
    }
    let key = server.api_expect(201, "POST", "/api/v1/api-key", json!({"name": "k", "appId": "acme"}));
    let client = server.anonymous().with_bearer(key["key"].as_str().expect("a key"));
    let attempts = [
        ("PATCH", json!({"uid": "other"})),
        ("PATCH", json!({"uid": "not-yet-there"})),
        ("PATCH", json!({"rateLimit": null})),
        ("PATCH", json!({"throttleRate": 1_000_000})),
        ("PUT", json!({"name": "acme", "uid": "other"})),
        ("DELETE", Value::Null),
    ];
    let mut answers: Vec<(u16, Value)> =
        attempts.into_iter().map(|(method, body)| client.json(method, "/api/v1/app/acme", body)).collect();
    assert!(
        answers.iter().all(|(status, answer)| *status == 403 && answer["code"] == "permission_denied"),
        "{answers:?}"
    );
    // The answers do not show if a name is taken.
    answers.truncate(2);
    assert_eq!(answers[0], answers[1]);
    let (status, after) = client.json("PUT", "/api/v1/app/acme", json!({"name": "renamed"}));
    assert_eq!((status, &after["uid"], &after["rateLimit"]), (200, &json!("acme"), &json!(5)));
}
