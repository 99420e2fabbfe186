//! How much of everything an application may have: what is beyond is refused by name, counted, and changes nothing; what
//! was removed makes room.

use crate::harness::Server;
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

    // The counts are on the disk with what they count.
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
    // Whether a name is taken does not show.
    answers.truncate(2);
    assert_eq!(answers[0], answers[1]);
    let (status, after) = client.json("PUT", "/api/v1/app/acme", json!({"name": "renamed"}));
    assert_eq!((status, &after["uid"], &after["rateLimit"]), (200, &json!("acme"), &json!(5)));
}
