//! Messages: pushed, listed, filtered, forgotten.

use crate::harness::{Api, column, place, target};
use model::{Pending, Trigger, UnixMs};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use storage::rows::expunge_at;
use storage::tables::{delivery, expunge};

#[tokio::test]
async fn a_message_is_taken_and_read_back_by_either_id() {
    let api = Api::start();
    api.app("acme").await;
    let body = json!({"eventType": "invoice.paid", "eventId": "e-1", "channels": ["c1"], "payload": {"a": 1}});
    let taken = api.post("/app/acme/msg", body).await.expect(202);
    assert_eq!(
        (&taken["eventType"], &taken["eventId"], &taken["payload"]),
        (&"invoice.paid".into(), &"e-1".into(), &json!({"a": 1}))
    );
    for name in [taken["id"].as_str().unwrap(), "e-1"] {
        assert_eq!(api.get(&format!("/app/acme/msg/{name}")).await.expect(200), taken);
    }
    assert_eq!(api.get("/app/acme/msg/e-1?with_content=false").await.expect(200)["payload"], json!({}));
    for name in ["e-2", "msg_00000000000000000000000000"] {
        api.get(&format!("/app/acme/msg/{name}")).await.expect_error(404, "not_found");
    }
}

#[tokio::test]
async fn a_payload_goes_out_as_it_came_in() {
    let api = Api::start();
    api.app("acme").await;
    let body = r#"{"eventType":"a","payload":{"n": 1.50,"u":"\u00e9"}}"#;
    let taken = api.request("POST", "/app/acme/msg", &[], body).await.expect(202);
    let (app, seq, _) = place(&taken);
    let event = storage::tables::log::get(&**api.engine.store(), app, seq).unwrap().unwrap();
    assert_eq!(event.payload, r#"{"n": 1.50,"u":"\u00e9"}"#);
}

#[tokio::test]
async fn sending_again_under_one_key_gives_the_first_answer() {
    let api = Api::start();
    api.app("acme").await;
    let headers = [("idempotency-key", "k-1")];
    let body = r#"{"eventType":"a","eventId":"e-1","payload":{}}"#;
    let first = api.request("POST", "/app/acme/msg?with_content=false", &headers, body).await.expect(202);
    assert_eq!(api.request("POST", "/app/acme/msg?with_content=false", &headers, body).await.expect(202), first);
    let other = r#"{"eventType":"a","payload":{"other":1}}"#;
    let refused = api.request("POST", "/app/acme/msg", &headers, other).await.expect(422);
    assert_eq!(refused["code"], "idempotency_key_reused");
    assert_eq!(refused["detail"][0]["loc"], json!(["header", "idempotency-key"]));
    assert_eq!(api.all("/app/acme/msg").await.0.len(), 1);
    let long = "k".repeat(257);
    api.request("POST", "/app/acme/msg", &[("idempotency-key", &long)], body)
        .await
        .expect_invalid("header.idempotency-key");
}

#[tokio::test]
async fn an_event_id_is_taken_once() {
    let api = Api::start();
    api.app("acme").await;
    let body = json!({"eventType": "a", "eventId": "e-1", "payload": {}});
    api.post("/app/acme/msg", body.clone()).await.expect(202);
    api.post("/app/acme/msg", body).await.expect_error(409, "conflict");
}

#[tokio::test]
async fn a_message_may_bring_its_application() {
    let api = Api::start();
    let body = json!({"eventType": "a", "payload": {}});
    api.post("/app/acme/msg", body).await.expect_error(404, "not_found");
    let body = json!({"eventType": "a", "payload": {}, "application": {"name": "Acme", "uid": "acme"}});
    api.post("/app/acme/msg", body.clone()).await.expect(202);
    api.post("/app/acme/msg", body).await.expect(202);
    assert_eq!(column(&api.all("/app").await.0, "name"), ["Acme"]);
    let other = json!({"eventType": "a", "payload": {}, "application": {"name": "x", "uid": "other"}});
    assert_eq!(api.post("/app/third/msg", other).await.expect(422)["code"], "application_uid_mismatch");
    assert_eq!(api.all("/app").await.0.len(), 1);
}

#[tokio::test]
async fn lists_are_newest_first_and_page_to_the_end() {
    let api = Api::start();
    api.app("acme").await;
    let mut ids = Vec::new();
    for _ in 0..7 {
        ids.push(api.message("acme", "a").await["id"].as_str().unwrap().to_owned());
    }
    ids.reverse();
    let (items, pages) = api.all("/app/acme/msg?limit=3").await;
    assert_eq!((column(&items, "id"), pages), (ids, 3));
    let first = api.get("/app/acme/msg?limit=3").await.expect(200);
    let second =
        api.get(&format!("/app/acme/msg?limit=3&iterator={}", first["iterator"].as_str().unwrap())).await.expect(200);
    let back = format!("/app/acme/msg?limit=3&iterator={}", second["prevIterator"].as_str().unwrap());
    assert_eq!(api.get(&back).await.expect(200)["data"], first["data"]);
    api.app("empty").await;
    let empty = api.get("/app/empty/msg").await.expect(200);
    assert_eq!(empty, json!({"data": [], "iterator": null, "prevIterator": null, "done": true}));
}

#[tokio::test]
async fn lists_filter_by_type_channel_and_time() {
    let api = Api::start();
    api.app("acme").await;
    let mut taken: Vec<Value> = Vec::new();
    for (kind, channel) in [("a.x", "c1"), ("a.y", "c2"), ("b.x", "c1")] {
        // Apart in time, so that the bounds tell them apart.
        tokio::time::sleep(Duration::from_millis(3)).await;
        let body = json!({"eventType": kind, "channels": [channel], "payload": {}});
        taken.push(api.post("/app/acme/msg", body).await.expect(202));
    }
    let at = |index: usize| taken[index]["timestamp"].as_str().unwrap().to_owned();
    let kinds = async |query: String| column(&api.all(&format!("/app/acme/msg?{query}")).await.0, "eventType");
    assert_eq!(kinds("event_types=a.x%2Cb.x".to_owned()).await, ["b.x", "a.x"]);
    assert_eq!(kinds("event_types=a.x&event_types=a.y".to_owned()).await, ["a.y", "a.x"]);
    assert_eq!(kinds("channel=c2".to_owned()).await, ["a.y"]);
    assert_eq!(kinds(format!("before={}", at(2))).await, ["a.y", "a.x"]);
    assert_eq!(kinds(format!("after={}", at(0))).await, ["b.x", "a.y", "a.x"], "the very time is not before it");
    assert_eq!(kinds(format!("after={}", at(1))).await, ["b.x", "a.y"]);
    assert_eq!(kinds(format!("after={}&before={}", at(1), at(2))).await, ["a.y"]);
    for list in ["event_types[]=a.x&event_types[]=a.y", "event_types%5B0%5D=a.x&event_types%5B1%5D=a.y"] {
        assert_eq!(kinds(list.to_owned()).await, ["a.y", "a.x"], "{list}");
    }
    assert_eq!(kinds("before=2000-01-01T00%3A00%3A00%2B00%3A00".to_owned()).await, [""; 0]);
    api.get("/app/acme/msg?before=yesterday").await.expect_invalid("query.before");
}

#[tokio::test]
async fn an_expunged_payload_is_gone_and_the_message_stays() {
    let api = Api::start();
    api.app("acme").await;
    let id = api.message("acme", "a").await["id"].as_str().unwrap().to_owned();
    api.delete(&format!("/app/acme/msg/{id}/content")).await.expect(204);
    let shown = api.get(&format!("/app/acme/msg/{id}")).await.expect(200);
    assert_eq!((&shown["payload"], &shown["eventType"]), (&json!({"expired": true}), &"a".into()));
    assert_eq!(api.all("/app/acme/msg").await.0[0]["payload"], json!({"expired": true}));
    let path = format!("/app/acme/msg/{id}?with_content=false");
    assert_eq!(api.get(&path).await.expect(200)["payload"], json!({}));
    api.delete(&format!("/app/acme/msg/{id}/content")).await.expect(204);
    // One that was sent so is not expunged.
    let sent = api.post("/app/acme/msg", json!({"eventType": "a", "payload": {}})).await.expect(202);
    assert_eq!(sent["payload"], json!({}));
}

#[tokio::test]
async fn nothing_of_an_expunged_message_is_put_in_line_and_what_waited_ends_with_the_reason() {
    let api = Api::start();
    let (app, endpoint) = (api.app("acme").await, api.endpoint("acme", "one").await);
    let first = api.message("acme", "a").await;
    let ((_, seq, _), target) = (place(&first), target(&app, &endpoint));
    let row = Pending { attempts: 2, due: UnixMs(u64::MAX / 2), last_outcome: None, trigger: Trigger::Scheduled };
    api.rows(move |txn| {
        delivery::put_pending(txn, target, seq, None, &row);
        Ok(())
    })
    .await;
    let id = first["id"].as_str().unwrap();
    let status = async || {
        let (shown, _) = api.all("/app/acme/endpoint/one/msg").await;
        shown.iter().find(|shown| shown["id"] == id).unwrap()["status"].clone()
    };
    assert_ne!(status().await, json!(2));
    api.delete(&format!("/app/acme/msg/{id}/content")).await.expect(204);
    assert_eq!(status().await, json!(2), "given up");
    let (letters, _) = api.all("/app/acme/endpoint/one/dead-letter").await;
    assert_eq!(
        (column(&letters, "msgId"), column(&letters, "reason")),
        (vec![id.to_owned()], vec!["expunged".to_owned()])
    );
    for path in [format!("msg/{id}/endpoint/one/resend"), format!("endpoint/one/dead-letter/{id}/redrive")] {
        api.request("POST", &format!("/app/acme/{path}"), &[], "").await.expect_error(400, "missing_payload");
    }
    // Jobs pass it by.
    let since = "2000-01-01T00:00:00Z";
    for (path, body) in [
        ("recover", json!({"since": since})),
        ("replay-missing", json!({"since": since})),
        ("bulk-replay", json!({"since": since})),
        ("dead-letter/redrive", Value::Null),
    ] {
        let job = api.post(&format!("/app/acme/endpoint/one/{path}"), body).await.expect(202);
        let task = format!("/background-task/{}", job["id"].as_str().unwrap());
        let started = Instant::now();
        while api.get(&task).await.expect(200)["status"] == "running" {
            assert!(started.elapsed() < Duration::from_secs(10), "{path} does not end");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let waits = delivery::pending(&**api.engine.store(), target, seq).unwrap();
        assert_eq!(waits, None, "{path} put it in line");
    }
}

#[tokio::test]
async fn wrong_messages_are_named_and_not_taken() {
    let api = Api::start();
    api.app("acme").await;
    api.post("/app/acme/msg", json!({"payload": {}})).await.expect_invalid("body.eventType");
    api.post("/app/acme/msg", json!({"eventType": "a"})).await.expect_invalid("body.payload");
    api.post("/app/acme/msg", json!({"eventType": "a", "payload": "text"})).await.expect_invalid("body.payload");
    api.post("/app/acme/msg", json!({"eventType": "ä", "payload": {}})).await.expect_invalid("body.eventType");
    api.post("/app/acme/msg", json!({"eventType": 7, "payload": {}})).await.expect_invalid("body.eventType");
    api.request("POST", "/app/acme/msg", &[], r#"{"eventType":"a","payload":{"#).await.expect(422);
    assert_eq!(api.all("/app/acme/msg").await.0.len(), 0);
}

#[tokio::test]
async fn an_example_is_a_message_for_one_endpoint() {
    let api = Api::start();
    api.app("acme").await;
    api.endpoint("acme", "one").await;
    let path = "/app/acme/endpoint/one/send-example";
    api.post(path, json!({"eventType": "a.b"})).await.expect_error(404, "not_found");
    api.post("/event-type", json!({"name": "a.b", "description": ""})).await.expect(201);
    let plain = api.post(path, json!({"eventType": "a.b"})).await.expect(200);
    assert_eq!(plain["payload"]["type"], "a.b");
    let ping = api.post(path, json!({"eventType": "svix.ping"})).await.expect(200);
    assert_eq!(ping["payload"], json!({"success": true}));
    let schemas = json!({"1": {"type": "object", "examples": [{"v": 1}]}});
    api.post("/event-type", json!({"name": "c.d", "description": "", "schemas": schemas})).await.expect(201);
    assert_eq!(api.post(path, json!({"eventType": "c.d"})).await.expect(200)["payload"], json!({"v": 1}));
    api.post(path, json!({"eventType": "c.d", "exampleIndex": 3})).await.expect_invalid("body.exampleIndex");
    let own = api.post(path, json!({"eventType": "c.d", "payload": {"own": 1}})).await.expect(200);
    assert_eq!(own["payload"], json!({"own": 1}));
}

#[tokio::test]
async fn tags_come_back_and_lists_are_filtered_by_them() {
    let api = Api::start();
    api.app("acme").await;
    api.endpoint("acme", "one").await;
    let message = |tags: Value| json!({"eventType": "a", "payload": {}, "tags": tags});
    let taken = api.post("/app/acme/msg", message(json!(["red", "a b"]))).await.expect(202);
    assert_eq!(taken["tags"], json!(["red", "a b"]));
    let id = taken["id"].as_str().unwrap();
    assert_eq!(api.get(&format!("/app/acme/msg/{id}")).await.expect(200)["tags"], taken["tags"]);
    let plain = api.message("acme", "a").await;
    assert_eq!(plain.get("tags"), None);
    let batch = json!([message(json!(["blue"])), message(json!(["x", "x"]))]);
    let answer = api.post("/app/acme/msg/batch", batch).await.expect(202);
    assert_eq!((&answer["accepted"], &answer["data"][1]["status"]), (&1.into(), &422.into()));
    assert!(answer["data"][1]["detail"].as_str().unwrap().starts_with("body.tags"), "{answer}");
    for list in ["msg", "endpoint/one/msg"] {
        for (query, found) in [("tag=red", 1), ("tag=a%20b", 1), ("tag=blue", 1), ("tag=green", 0), ("limit=9", 3)] {
            assert_eq!(api.all(&format!("/app/acme/{list}?{query}")).await.0.len(), found, "{list} {query}");
        }
    }
    for list in ["attempt/endpoint/one".to_owned(), format!("attempt/msg/{id}")] {
        api.get(&format!("/app/acme/{list}?tag=red")).await.expect(200);
    }
    // Its tags outlive its payload.
    api.delete(&format!("/app/acme/msg/{id}/content")).await.expect(204);
    assert_eq!(api.all("/app/acme/msg?tag=red").await.0[0]["payload"], json!({"expired": true}));
}

#[tokio::test]
async fn a_payload_is_expunged_when_its_time_has_come_and_one_without_a_time_has_no_row() {
    let api = Api::start();
    api.app("acme").await;
    let timed = |field: &str, value: u64| {
        let mut message = json!({"eventType": "a", "payload": {"a": 1}});
        message[field] = value.into();
        message
    };
    let first = api.post("/app/acme/msg", timed("payloadRetentionHours", 1)).await.expect(202);
    let second = api.post("/app/acme/msg", timed("payloadRetentionPeriod", 5)).await.expect(202);
    let third = api.message("acme", "a").await;
    let range = expunge_at::due_by(UnixMs(u64::MAX));
    let rows = storage::Store::scan(&**api.engine.store(), &range.start, &range.end, 9, storage::Direction::Forward);
    assert_eq!(rows.unwrap().len(), 2);
    for (field, value) in
        [("payloadRetentionPeriod", 0), ("payloadRetentionPeriod", 4), ("payloadRetentionPeriod", 100)]
    {
        api.post("/app/acme/msg", timed(field, value)).await.expect_invalid(&format!("body.{field}"));
    }
    let (_, _, taken_at) = place(&first);
    let hour_ms = 3_600_000;
    for (after_ms, left) in [(hour_ms - 1, 3), (hour_ms, 2), (120 * hour_ms - 1, 2), (121 * hour_ms, 1)] {
        api.rows(move |txn| expunge::due(txn, taken_at.plus_ms(after_ms), 9).map(drop)).await;
        let mut shown = Vec::new();
        for message in [&first, &second, &third] {
            shown.push(api.get(&format!("/app/acme/msg/{}", message["id"].as_str().unwrap())).await.expect(200));
        }
        let kept = shown.iter().filter(|message| message["payload"] != json!({"expired": true})).count();
        assert_eq!(kept, left, "after {after_ms} ms");
    }
}

#[tokio::test]
async fn what_a_message_may_not_have_is_named_alone_and_in_a_batch() {
    let api = Api::start();
    api.app("acme").await;
    let params = |params: Value| json!({"eventType": "a", "payload": {}, "transformationsParams": params});
    for (message, loc) in [
        (json!({"eventType": "a", "payload": {}, "colour": 1}), "body.colour"),
        (json!({"eventType": "a", "payload": {}, "deliverAt": "2030-01-01T00:00:00Z"}), "body.deliverAt"),
        (params(json!({"url": "http://x"})), "body.transformationsParams.url"),
        (params(json!({"rawPayload": "<a/>"})), "body.transformationsParams.rawPayload"),
    ] {
        api.post("/app/acme/msg", message.clone()).await.expect_invalid(loc);
        let answer = api.post("/app/acme/msg/batch", json!([message])).await.expect(202);
        let item = &answer["data"][0];
        assert_eq!(item["status"], 422, "{answer}");
        assert!(item["detail"].as_str().unwrap().starts_with(loc), "{answer}");
    }
    let raw = params(json!({"rawPayload": "<a/>", "headers": {"content-type": "application/xml"}}));
    assert_eq!(api.post("/app/acme/msg", raw).await.expect(202)["payload"], json!({}));
    for application in [json!({"name": "x"}), json!({"name": "x", "uid": "other"})] {
        let message = json!({"eventType": "a", "payload": {}, "application": application});
        let refused = api.post("/app/new/msg", message).await.expect(422);
        assert_eq!(refused["code"], "application_uid_mismatch");
        assert_eq!(refused["detail"][0]["loc"], json!(["body", "application", "uid"]));
    }
    api.get("/app/new").await.expect(404);
}

#[tokio::test]
async fn a_body_with_a_content_coding_is_refused_by_name_and_a_byte_order_mark_is_taken() {
    let api = Api::start();
    api.app("acme").await;
    let body = r#"{"eventType":"a","payload":{},"name":"n","uid":"u"}"#;
    for path in ["/app", "/app/acme/msg", "/app/acme/msg/batch", "/app/acme/endpoint", "/event-type"] {
        for coding in ["gzip", "br, identity"] {
            let answer = api.request("POST", path, &[("content-encoding", coding)], body).await;
            assert_eq!(answer.headers["accept-encoding"], "identity");
            answer.expect_error(415, "unsupported_content_encoding");
        }
    }
    let marked = |body: &str| format!("\u{feff}{body}");
    let plain = [("content-encoding", "Identity")];
    let message = r#"{"eventType":"a","payload":{"a": 1.0}}"#;
    let taken = api.request("POST", "/app/acme/msg", &plain, &marked(message)).await.expect(202);
    let (app, seq, _) = place(&taken);
    let event = storage::tables::log::get(&**api.engine.store(), app, seq).unwrap().unwrap();
    assert_eq!(event.payload, r#"{"a": 1.0}"#);
    for (kind, body) in [("application/json", format!("[{message}]")), ("application/x-ndjson", message.to_owned())] {
        let headers = [("content-type", kind)];
        let answer = api.request("POST", "/app/acme/msg/batch", &headers, &marked(&body)).await.expect(202);
        assert_eq!(answer["accepted"], 1, "{kind}");
    }
    api.request("POST", "/app", &[], &marked(r#"{"name":"n"}"#)).await.expect(201);
}
