//! The standing of a delivery follows from its history and not from today's filter. An order is carried out, or
//! answered with the reason.

use crate::harness::{Api, place, target};
use model::{AttemptRecord, Seq};
use model::{Endpoint, EndpointRef, OutcomeClass, Pending, Trigger, UnixMs};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use storage::tables::history::{self, LastRuns};
use storage::tables::{delivery, endpoint, endpoint_url, retained};

/// A finished task.
async fn finished(api: &Api, task: &Value) -> Value {
    let path = format!("/background-task/{}", task["id"].as_str().unwrap());
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let shown = api.get(&path).await.expect(200);
        if shown["status"] == "finished" {
            return shown["data"].clone();
        }
        assert!(Instant::now() < deadline, "{shown}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// An endpoint that wanted `a` when `a` came, a message `b` that it has passed, and its filter wide open since.
async fn widened(api: &Api, patch: Value) -> (EndpointRef, Value) {
    let app = api.app("acme").await;
    let endpoint = api.endpoint("acme", "one").await;
    let narrow = json!({"eventTypes": ["a"], "channels": ["north"]});
    api.patch("/app/acme/endpoint/one", narrow).await.expect(200);
    let message = api.message("acme", "b").await;
    api.patch("/app/acme/endpoint/one", patch).await.expect(200);
    (target(&app, &endpoint), message)
}

#[tokio::test]
async fn a_message_from_before_the_filter_was_widened_is_not_on_its_way() {
    let api = Api::start();
    let (target, message) = widened(&api, json!({"eventTypes": ["a", "b"], "channels": null})).await;
    let id = message["id"].as_str().unwrap();
    assert_eq!(api.all("/app/acme/endpoint/one/msg?expanded_statuses=true").await.0, Vec::<Value>::new());
    assert_eq!(api.all(&format!("/app/acme/msg/{id}/endpoint")).await.0, Vec::<Value>::new());
    let stats = api.get("/app/acme/endpoint/one/stats").await.expect(200);
    assert_eq!((&stats["sending"], &stats["pending"], &stats["historyGone"]), (&0.into(), &0.into(), &0.into()));
    // Recover is for deliveries that were given up or cancelled, and says that this one was neither.
    let since = json!({"since": "2020-01-01T00:00:00Z"});
    let task = api.post("/app/acme/endpoint/one/recover", since.clone()).await.expect(202);
    let data = finished(&api, &task).await;
    assert_eq!((&data["lookedAt"], &data["queued"], &data["skipped"]["neverForIt"]), (&1.into(), &0.into(), &1.into()));
    assert!(delivery::pending(&**api.engine.store(), target, place(&message).1).unwrap().is_none());
    // It was never tried and matches now.
    let task = api.post("/app/acme/endpoint/one/replay-missing", since.clone()).await.expect(202);
    let data = finished(&api, &task).await;
    assert_eq!((&data["queued"], &data["affected"], &data["skipped"]["total"]), (&1.into(), &1.into(), &0.into()));
    let shown = api.all("/app/acme/endpoint/one/msg").await.0;
    assert_eq!((&shown[0]["id"], &shown[0]["status"]), (&id.into(), &3.into()));
    // Now it is on its way, for every job.
    for (path, reason) in [("recover", "onItsWay"), ("replay-missing", "onItsWay"), ("bulk-replay", "onItsWay")] {
        let task = api.post(&format!("/app/acme/endpoint/one/{path}"), since.clone()).await.expect(202);
        let data = finished(&api, &task).await;
        assert_eq!((&data["queued"], &data["skipped"][reason]), (&0.into(), &1.into()), "{path}");
    }
}

#[tokio::test]
async fn a_resend_is_carried_out_whatever_the_filter_says() {
    for patch in [json!({"eventTypes": null, "channels": null}), json!({"eventTypes": ["c"]})] {
        let api = Api::start();
        let (target, message) = widened(&api, patch.clone()).await;
        let path = format!("/app/acme/msg/{}/endpoint/one/resend", message["id"].as_str().unwrap());
        api.request("POST", &path, &[], "").await.expect(202);
        let row = delivery::pending(&**api.engine.store(), target, place(&message).1).unwrap();
        assert!(row.is_some(), "{patch}");
        api.patch("/app/acme/endpoint/one", json!({"disabled": true})).await.expect(200);
        api.request("POST", &path, &[], "").await.expect_error(409, "endpoint_disabled");
    }
}

#[tokio::test]
async fn a_replay_of_what_does_not_match_now_says_so() {
    let api = Api::start();
    widened(&api, json!({"eventTypes": ["c"]})).await;
    let since = json!({"since": "2020-01-01T00:00:00Z"});
    for path in ["replay-missing", "bulk-replay"] {
        let task = api.post(&format!("/app/acme/endpoint/one/{path}"), since.clone()).await.expect(202);
        let data = finished(&api, &task).await;
        let counts = (&data["lookedAt"], &data["queued"], &data["skipped"]["notMatched"]);
        assert_eq!(counts, (&1.into(), &0.into(), &1.into()), "{path}");
    }
}

#[tokio::test]
async fn a_message_whose_attempts_are_forgotten_is_not_shown_as_anything() {
    let api = Api::start();
    let (_, message) = widened(&api, json!({"eventTypes": null, "channels": null})).await;
    let after = place(&message).2.plus_ms(1);
    api.rows(move |txn| retained::note_attempts_forgotten(txn, after)).await;
    assert_eq!(api.all("/app/acme/endpoint/one/msg").await.0, Vec::<Value>::new());
    let stats = api.get("/app/acme/endpoint/one/stats").await.expect(200);
    assert_eq!((&stats["sending"], &stats["historyGone"]), (&0.into(), &1.into()));
    let since = json!({"since": "2020-01-01T00:00:00Z"});
    let task = api.post("/app/acme/endpoint/one/replay-missing", since.clone()).await.expect(202);
    assert_eq!(finished(&api, &task).await["skipped"]["historyGone"], 1);
    let task = api.post("/app/acme/endpoint/one/bulk-replay", since).await.expect(202);
    assert_eq!(finished(&api, &task).await["queued"], 1);
}

#[tokio::test]
async fn a_delivery_between_two_attempts_has_one_status_and_is_found_by_it() {
    let api = Api::start();
    let app = api.app("acme").await;
    let endpoint = api.endpoint("acme", "one").await;
    let message = api.message("acme", "a").await;
    let (id, (_, seq, _), target) = (message["id"].as_str().unwrap(), place(&message), target(&app, &endpoint));
    let due = UnixMs(4_000_000_000_000);
    let waits =
        Pending { attempts: 1, due, last_outcome: Some(OutcomeClass::ServerError), trigger: Trigger::Scheduled };
    api.rows(move |txn| {
        delivery::put_pending(txn, target, seq, None, &waits);
        Ok(())
    })
    .await;
    for expanded in ["true", "false"] {
        for (status, count) in [(0, 0), (1, 0), (2, 0), (3, 1), (4, 0)] {
            let query = format!("/app/acme/endpoint/one/msg?status={status}&expanded_statuses={expanded}");
            let (found, _) = api.all(&query).await;
            assert_eq!(found.len(), count, "{query}");
            for item in found {
                assert_eq!((&item["status"], &item["statusText"]), (&3.into(), &"sending".into()));
                assert!(item["nextAttempt"].is_string());
            }
        }
    }
    let shown = api.all(&format!("/app/acme/msg/{id}/endpoint")).await.0;
    assert_eq!((&shown[0]["status"], shown[0]["nextAttempt"].is_string()), (&2.into(), true));
    let stats = api.get("/app/acme/endpoint/one/stats").await.expect(200);
    assert_eq!((&stats["sending"], &stats["pending"], &stats["fail"]), (&1.into(), &0.into(), &0.into()));
}

#[tokio::test]
async fn what_passed_a_disabled_endpoint_is_cancelled_by_the_filter_of_then() {
    let api = Api::start();
    let app = api.app("acme").await;
    let endpoint_out = api.endpoint("acme", "one").await;
    let off = json!({"disabled": true, "eventTypes": ["a"]});
    api.patch("/app/acme/endpoint/one", off).await.expect(200);
    let (wanted, _unwanted) = (api.message("acme", "a").await, api.message("acme", "b").await);
    api.patch("/app/acme/endpoint/one", json!({"disabled": false, "eventTypes": ["b"]})).await.expect(200);
    let listed = api.all("/app/acme/endpoint/one/msg?expanded_statuses=true").await.0;
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!((&listed[0]["id"], &listed[0]["status"]), (&wanted["id"], &4.into()));
    // Recover sends it, though the filter of today would not.
    let since = json!({"since": "2020-01-01T00:00:00Z"});
    let task = api.post("/app/acme/endpoint/one/recover", since).await.expect(202);
    let data = finished(&api, &task).await;
    assert_eq!((&data["queued"], &data["skipped"]["neverForIt"]), (&1.into(), &1.into()));
    let row: Option<Endpoint> = endpoint::get(&**api.engine.store(), target(&app, &endpoint_out)).unwrap();
    assert!(row.is_some());
}

/// An attempt at the URL of this number.
fn attempt(seq: Seq, at: UnixMs, attempt: u16, url_number: u32) -> AttemptRecord {
    AttemptRecord {
        seq,
        started_at: at,
        duration_ms: 1,
        attempt,
        trigger: Trigger::Scheduled,
        outcome: OutcomeClass::ServerError,
        status: 500,
        response: Vec::new(),
        next_attempt_at: None,
        note: None,
        url_number,
        details: None,
    }
}

/// A message with an attempt at either of two URLs of one endpoint, of which the first had a password in it.
async fn moved(api: &Api) -> (Value, Value) {
    let app = api.app("acme").await;
    let endpoint = api.endpoint("acme", "one").await;
    let message = api.message("acme", "a").await;
    let ((_, seq, at), target) = (place(&message), target(&app, &endpoint));
    let mut row = endpoint::get(&**api.engine.store(), target).unwrap().unwrap();
    row.url = api.target_url().replace("http://", "http://me:secret@");
    api.rows(move |txn| endpoint::put(txn, &row)).await;
    let other = json!({"url": api.target_url() + "other"});
    api.patch("/app/acme/endpoint/one", other).await.expect(200);
    assert_eq!(endpoint_url::number(&**api.engine.store(), target).unwrap(), 2);
    api.rows(move |txn| {
        history::put_first(txn, &mut LastRuns::default(), target, vec![attempt(seq, at, 1, 1)])?;
        history::put_later(txn, target, attempt(seq, at.plus_ms(5), 2, 2))
    })
    .await;
    (endpoint, message)
}

#[tokio::test]
async fn each_attempt_shows_the_url_that_it_called_without_its_password() {
    let api = Api::start();
    let (_, message) = moved(&api).await;
    let id = message["id"].as_str().unwrap();
    let called = [api.target_url() + "other", api.target_url().replace("http://", "http://***@")];
    for path in [format!("/app/acme/attempt/msg/{id}"), "/app/acme/attempt/endpoint/one".to_owned()] {
        let attempts = api.all(&path).await.0;
        let urls: Vec<&str> = attempts.iter().map(|attempt| attempt["url"].as_str().unwrap()).collect();
        assert_eq!(urls, called, "{path}");
        for (attempt, url) in attempts.iter().zip(&called) {
            let path = format!("/app/acme/msg/{id}/attempt/{}", attempt["id"].as_str().unwrap());
            assert_eq!(&api.get(&path).await.expect(200)["url"], url);
        }
    }
}

#[tokio::test]
async fn a_deleted_endpoint_and_its_attempts_stay_in_the_history_of_the_message() {
    let api = Api::start();
    let (gone, message) = moved(&api).await;
    let id = message["id"].as_str().unwrap();
    api.endpoint("acme", "two").await;
    let before = api.all(&format!("/app/acme/attempt/msg/{id}")).await.0;
    api.delete("/app/acme/endpoint/one").await.expect(204);
    // Its job has run: the endpoint's pending deliveries are gone, its attempts are not.
    for task in api.all("/background-task").await.0 {
        finished(&api, &task).await;
    }
    assert_eq!(api.all(&format!("/app/acme/attempt/msg/{id}?limit=1")).await.0, before);
    let of_it = format!("/app/acme/attempt/msg/{id}?endpoint_id={}", gone["id"].as_str().unwrap());
    assert_eq!(api.all(&of_it).await.0, before);
    for attempt in &before {
        let path = format!("/app/acme/msg/{id}/attempt/{}", attempt["id"].as_str().unwrap());
        assert_eq!(&api.get(&path).await.expect(200), attempt);
    }
    let destinations = api.all(&format!("/app/acme/msg/{id}/endpoint?limit=1")).await.0;
    let shown: Vec<_> = destinations.iter().map(|shown| (&shown["uid"], &shown["status"], &shown["deleted"])).collect();
    assert_eq!(shown, [(&"one".into(), &2.into(), &true.into())], "and not the one that was made later");
    // Nothing else finds it, its name is free, and another application never saw it.
    api.get("/app/acme/endpoint/one").await.expect_error(404, "not_found");
    api.get("/app/acme/attempt/endpoint/one").await.expect_error(404, "not_found");
    api.endpoint("acme", "one").await;
    api.app("other").await;
    let foreign = api.message("other", "a").await;
    let path = format!("/app/other/msg/{}/endpoint", foreign["id"].as_str().unwrap());
    assert_eq!(api.all(&path).await.0, Vec::<Value>::new());
}
