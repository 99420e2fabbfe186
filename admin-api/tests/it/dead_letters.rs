//! Dead letters and the jobs over them.

use crate::harness::{Api, column, place, target};
use model::{DeadLetter, DeadLetterReason, EndpointRef, OutcomeClass, Seq, UnixMs};
use serde_json::{Value, json};
use storage::tables::{dead_letter, delivery};

/// Three messages that were given up.
async fn given_up(api: &Api) -> (EndpointRef, Vec<Value>) {
    let app = api.app("acme").await;
    let endpoint = api.endpoint("acme", "one").await;
    let target = target(&app, &endpoint);
    let mut messages = Vec::new();
    for _ in 0..3 {
        messages.push(api.message("acme", "a").await);
    }
    let places: Vec<Seq> = messages.iter().map(|message| place(message).1).collect();
    api.rows(move |txn| {
        let letter = DeadLetter {
            at: UnixMs(1_000),
            attempts: 8,
            reason: DeadLetterReason::AttemptsExhausted,
            last_outcome: Some(OutcomeClass::ServerError),
            last_status: 503,
        };
        places.iter().try_for_each(|seq| dead_letter::put(txn, target, *seq, &letter))
    })
    .await;
    (target, messages)
}

#[tokio::test]
async fn dead_letters_are_listed_with_their_reason() {
    let api = Api::start();
    let (_, messages) = given_up(&api).await;
    let (items, pages) = api.all("/app/acme/endpoint/one/dead-letter?limit=2").await;
    assert_eq!((column(&items, "msgId"), pages), (column(&messages, "id"), 2));
    let one = &items[0];
    assert_eq!(
        (&one["reason"], &one["lastStatusCode"], &one["attempts"]),
        (&"attempts_exhausted".into(), &503.into(), &8.into())
    );
    assert_eq!((&one["lastOutcome"], &one["failedAt"]), (&"server_error".into(), &"1970-01-01T00:00:01.000Z".into()));
    assert_eq!(api.get("/app/acme/endpoint/one/state").await.expect(200)["deadLetters"], 3);
    assert_eq!(api.get("/app/acme/endpoint/one/stats").await.expect(200)["fail"], 3);
}

#[tokio::test]
async fn one_dead_letter_is_redriven_and_another_forgotten() {
    let api = Api::start();
    let (target, messages) = given_up(&api).await;
    let path = |index: usize| format!("/app/acme/endpoint/one/dead-letter/{}", messages[index]["id"].as_str().unwrap());
    assert_eq!(api.request("POST", &format!("{}/redrive", path(0)), &[], "").await.expect(202), json!({}));
    let pending = delivery::pending(&**api.engine.store(), target, place(&messages[0]).1).unwrap().unwrap();
    assert_eq!(pending.attempts, 0);
    api.request("POST", &format!("{}/redrive", path(0)), &[], "").await.expect_error(404, "not_found");
    api.delete(&path(1)).await.expect(204);
    api.delete(&path(1)).await.expect_error(404, "not_found");
    assert_eq!(
        column(&api.all("/app/acme/endpoint/one/dead-letter").await.0, "msgId"),
        [messages[2]["id"].as_str().unwrap()]
    );
}

#[tokio::test]
async fn all_of_them_are_a_job_that_can_be_asked_about() {
    let api = Api::start();
    given_up(&api).await;
    let redrive = api.request("POST", "/app/acme/endpoint/one/dead-letter/redrive", &[], "").await.expect(202);
    let since = json!({"since": "2020-01-01T00:00:00Z"});
    let recover = api.post("/app/acme/endpoint/one/recover", since).await.expect(202);
    let purge = api.delete("/app/acme/endpoint/one/dead-letter").await.expect(202);
    assert_eq!((&recover["task"], &redrive["task"]), (&"endpoint.recover".into(), &"endpoint.recover".into()));
    for job in [&redrive, &recover, &purge] {
        let id = job["id"].as_str().unwrap();
        assert!(job["updatedAt"].is_string() && job["status"].is_string());
        let shown = api.get(&format!("/background-task/{id}")).await.expect(200);
        assert!(shown["data"].is_object() && shown["id"] == *id);
    }
    let (items, _) = api.all("/background-task?limit=1").await;
    assert_eq!(column(&items, "id"), [&purge, &recover, &redrive].map(|job| job["id"].as_str().unwrap().to_owned()));
    assert_eq!((&recover["kind"], &redrive["kind"]), (&"recover".into(), &"redrive_dead_letters".into()));
    assert_eq!(api.all("/background-task?task=endpoint.recover").await.0.len(), 2);
    api.get("/background-task/qtask_00000000000000000000000000").await.expect_error(404, "not_found");
}

#[tokio::test]
async fn a_recovery_needs_a_span_of_time_and_an_endpoint_that_takes_it() {
    let api = Api::start();
    given_up(&api).await;
    let path = "/app/acme/endpoint/one/recover";
    api.post(path, json!({})).await.expect_invalid("body.since");
    api.post(path, json!({"since": "yesterday"})).await.expect_invalid("body.since");
    let backwards = json!({"since": "2021-01-01T00:00:00Z", "until": "2020-01-01T00:00:00Z"});
    api.post(path, backwards).await.expect_invalid("body.until");
    let empty = json!({"since": "2020-01-01T00:00:00", "until": "2020-01-02T00:00:00"});
    let job = api.post(path, empty).await.expect(202);
    let shown = api.get(&format!("/background-task/{}", job["id"].as_str().unwrap())).await.expect(200);
    assert_eq!(shown["data"]["position"], shown["data"]["last"], "nothing was taken in that span");
    api.patch("/app/acme/endpoint/one", json!({"disabled": true})).await.expect(200);
    api.post(path, json!({"since": "2020-01-01T00:00:00Z"})).await.expect_error(409, "endpoint_disabled");
}

#[tokio::test]
async fn a_replay_is_of_a_span_and_of_what_its_filter_names_in_it() {
    let api = Api::start();
    given_up(&api).await;
    let since = json!({"since": "2020-01-01T00:00:00Z"});
    let missing = api.post("/app/acme/endpoint/one/replay-missing", since.clone()).await.expect(202);
    let all = api.post("/app/acme/endpoint/one/bulk-replay", since).await.expect(202);
    assert_eq!((&missing["task"], &all["task"]), (&"endpoint.replay".into(), &"endpoint.bulk-replay".into()));
    let filtered = json!({"since": "2020-01-01T00:00:00Z", "eventTypes": ["a"], "channel": "c", "status": 2});
    let some = api.post("/app/acme/endpoint/one/bulk-replay", filtered).await.expect(202);
    assert_eq!(some["kind"], "replay");
    for (wrong, at) in [
        (json!({"eventTypes": ["a b"]}), "body.eventTypes.0"),
        (json!({"channel": "c", "channels": ["d"]}), "body.channel"),
        (json!({"status": 7}), "body.status"),
        (json!({"ratePerSecond": 0}), "body.ratePerSecond"),
    ] {
        let mut body = json!({"since": "2020-01-01T00:00:00Z"});
        body.as_object_mut().unwrap().extend(wrong.as_object().unwrap().clone());
        api.post("/app/acme/endpoint/one/bulk-replay", body).await.expect_invalid(at);
    }
}
