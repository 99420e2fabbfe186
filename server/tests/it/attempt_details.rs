//! An attempt tells how it went: headers of both sides, address, protocol and the time of each step, also after a crash.

use crate::harness::{Behaviour, Receiver, Server, poll_until, seconds};
use serde_json::{Value, json};

const ATTEMPTS: &str = "/api/v1/app/acme/attempt/endpoint/hook?limit=250";

/// An application `acme` with one endpoint that has a secret header.
fn acme(server: &Server, url: &str) {
    server.api_expect(201, "POST", "/api/v1/app", json!({"name": "Acme", "uid": "acme"}));
    let endpoint = json!({
        "url": url,
        "uid": "hook",
        "headers": {"x-tenant": "7", "x-api-key": "canary-sent"},
        "retryPolicy": {"type": "fixed", "delayMs": 100, "maxAttempts": 2, "jitter": "none"},
    });
    server.api_expect(201, "POST", "/api/v1/app/acme/endpoint", endpoint);
}

fn push(server: &Server) -> String {
    let message = json!({"eventType": "a", "payload": {"n": 1}});
    let answer = server.api_expect(202, "POST", "/api/v1/app/acme/msg", message);
    answer["id"].as_str().unwrap().to_owned()
}

/// The attempts, newest first, once there are so many.
fn attempts(server: &Server, count: usize) -> Vec<Value> {
    poll_until("attempts", seconds(20), || {
        let list = server.api_expect(200, "GET", ATTEMPTS, Value::Null);
        let items = list["data"].as_array().unwrap().clone();
        (items.len() >= count).then_some(items)
    })
}

fn failing() -> Behaviour {
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Behaviour::Answer {
        status: 503,
        headers: vec![header("X-Reason", "maintenance"), header("Set-Cookie", "session=canary-answered")],
        body: b"later".to_vec(),
        delay: std::time::Duration::ZERO,
    }
}

#[test]
fn a_failed_attempt_shows_how_it_went_and_a_success_does_not_by_default() {
    let (mut server, receiver) = (Server::start(&[]), Receiver::start());
    receiver.script("/hook", [failing(), Behaviour::status(200)]);
    acme(&server, &receiver.url("/hook"));
    let message = push(&server);
    let before = attempts(&server, 2);
    server.restart();
    let list = attempts(&server, 2);
    assert_eq!(list, before, "a crash forgets nothing of them");
    let (success, failure) = (&list[0], &list[1]);
    assert!(success.get("details").is_none(), "{success}");
    let details = &failure["details"];
    let headers = details["responseHeaders"].as_array().unwrap();
    assert!(headers.contains(&json!(["x-reason", "maintenance"])), "{details}");
    assert!(headers.contains(&json!(["set-cookie", "***"])), "{details}");
    assert_eq!(details["peer"], receiver.address().to_string());
    assert_eq!((&details["protocol"], &details["connectionReused"]), (&json!("HTTP/1.1"), &json!(false)));
    assert!(details["connectUs"].is_u64() && details["firstByteUs"].is_u64(), "{details}");
    assert_eq!((&details["lookupUs"], &details["tlsUs"]), (&Value::Null, &Value::Null));

    let path = format!("/api/v1/app/acme/msg/{message}/attempt/{}", failure["id"].as_str().unwrap());
    let shown = server.api_expect(200, "GET", &format!("{path}/headers"), Value::Null);
    let sent = &shown["sentHeaders"];
    assert_eq!((&sent["x-tenant"], &sent["webhook-id"]), (&json!("7"), &json!(message)));
    assert!(sent["webhook-timestamp"].as_str().unwrap().parse::<u64>().is_ok());
    let sensitive = shown["sensitive"].as_array().unwrap();
    assert!(sensitive.contains(&json!("x-api-key")) && sensitive.contains(&json!("webhook-signature")), "{shown}");
    assert!(shown["responseHeaders"].as_array().unwrap().contains(&json!(["x-reason", "maintenance"])));
    assert!(!format!("{shown}{list:?}").contains("canary"), "a credential is shown");

    // The content of an attempt is its answer: body and headers.
    let without = server.api_expect(200, "GET", &format!("{ATTEMPTS}&with_content=false"), Value::Null);
    assert_eq!(without["data"][1]["details"]["responseHeaders"], json!([]));
    server.api_expect(204, "DELETE", &format!("{path}/content"), Value::Null);
    let expunged = server.api_expect(200, "GET", &path, Value::Null);
    assert_eq!((&expunged["response"], &expunged["details"]["responseHeaders"]), (&json!("EXPUNGED"), &json!([])));
}

#[test]
fn headers_of_an_attempt_are_for_keys_of_its_application_only() {
    let (server, receiver) = (Server::start(&[]), Receiver::start());
    receiver.script("/hook", [failing()]);
    acme(&server, &receiver.url("/hook"));
    let message = push(&server);
    let attempt = attempts(&server, 1)[0]["id"].as_str().unwrap().to_owned();
    server.api_expect(201, "POST", "/api/v1/app", json!({"name": "Other", "uid": "other"}));
    let key = server.api_expect(201, "POST", "/api/v1/api-key", json!({"name": "o", "appId": "other"}));
    let other = server.anonymous().with_bearer(key["key"].as_str().unwrap());
    let path = format!("/api/v1/app/acme/msg/{message}/attempt/{attempt}/headers");
    assert_eq!(other.json("GET", &path, Value::Null).0, 403);
    let of_other = format!("/api/v1/app/other/msg/{message}/attempt/{attempt}/headers");
    assert_eq!(server.api("GET", &of_other, Value::Null).0, 404);
    let unknown = format!("/api/v1/app/acme/msg/{message}/attempt/atmpt_none/headers");
    assert_eq!(server.api("GET", &unknown, Value::Null).0, 404);
}

#[test]
fn all_attempts_keep_details_or_none_do_as_the_server_is_told() {
    let receiver = Receiver::start();
    for (setting, keeps) in [("all", true), ("none", false)] {
        let server = Server::start(&["--attempt-details", setting]);
        receiver.script(&format!("/{setting}"), [failing(), Behaviour::status(200)]);
        acme(&server, &receiver.url(&format!("/{setting}")));
        push(&server);
        for attempt in attempts(&server, 2) {
            assert_eq!(attempt.get("details").is_some(), keeps, "{setting}: {attempt}");
        }
        if keeps {
            // The second attempt of an endpoint is made on the connection of the first.
            let list = attempts(&server, 2);
            assert_eq!(
                (&list[0]["details"]["connectionReused"], &list[0]["details"]["connectUs"]),
                (&json!(true), &Value::Null)
            );
        }
    }
}
