//! Attempts and deliveries as they are shown, and resend.

use crate::harness::{Api, column, place, target};
use model::id::{IdKind, IdParts};
use model::{AttemptRecord, Endpoint, EndpointId, OutcomeClass, Seq, Trigger, UnixMs};
use serde_json::{Value, json};
use storage::tables::endpoint;
use storage::tables::history::{self, LastRuns};

pub(crate) fn record(seq: Seq, at: UnixMs, attempt: u16, status: u16) -> AttemptRecord {
    AttemptRecord {
        seq,
        started_at: at,
        duration_ms: 12,
        attempt,
        trigger: Trigger::Scheduled,
        outcome: if status == 200 { OutcomeClass::Success } else { OutcomeClass::ServerError },
        status,
        response: b"said \xff".to_vec(),
        next_attempt_at: None,
        note: None,
        url_number: 0,
        details: None,
    }
}

/// Two messages; the first failed once and then succeeded, the second failed.
pub(crate) async fn with_history(api: &Api) -> (Value, Value) {
    let app = api.app("acme").await;
    let endpoint = api.endpoint("acme", "one").await;
    let first = api.message("acme", "a.x").await;
    let second = api.message("acme", "a.y").await;
    let target = target(&app, &endpoint);
    let ((_, one, at), (_, two, at_two)) = (place(&first), place(&second));
    api.rows(move |txn| {
        history::put_first(
            txn,
            &mut LastRuns::default(),
            target,
            vec![record(one, at, 1, 500), record(two, at_two.plus_ms(1), 1, 404)],
        )?;
        history::put_later(txn, target, record(one, at.plus_ms(5_000), 2, 200))
    })
    .await;
    (first, second)
}

#[tokio::test]
async fn attempts_are_listed_by_endpoint_newest_first() {
    let api = Api::start();
    let (first, second) = with_history(&api).await;
    let path = "/app/acme/attempt/endpoint/one";
    let (items, pages) = api.all(&format!("{path}?limit=1")).await;
    let expected = [&first, &second, &first].map(|message| message["id"].as_str().unwrap().to_owned());
    assert_eq!(column(&items, "msgId"), expected);
    assert!(pages >= 3);
    let newest = &items[0];
    assert_eq!(
        (&newest["status"], &newest["statusText"], &newest["responseStatusCode"]),
        (&0.into(), &"success".into(), &200.into())
    );
    assert_eq!((&newest["triggerType"], &newest["responseDurationMs"]), (&0.into(), &12.into()));
    assert_eq!((&newest["response"], &newest["url"]), (&"said \u{fffd}".into(), &api.target_url().into()));
    assert!(newest.get("msg").is_none());
    for (query, count) in [
        ("status=0", 1),
        ("status=2", 2),
        ("status_code_class=400", 1),
        ("event_types=a.y", 1),
        ("event_types=b", 0),
        ("before=2000-01-01T00:00:00", 0),
        ("after=2000-01-01T00:00:00Z", 3),
    ] {
        assert_eq!(api.all(&format!("{path}?{query}")).await.0.len(), count, "{query}");
    }
    let slim = api.get(&format!("{path}?with_content=false&with_msg=true")).await.expect(200);
    assert_eq!((&slim["data"][0]["response"], &slim["data"][0]["msg"]["payload"]), (&"".into(), &json!({})));
    api.get(&format!("{path}?status=9")).await.expect_invalid("query.status");
}

#[tokio::test]
async fn attempts_are_listed_by_message_and_read_and_expunged_one_by_one() {
    let api = Api::start();
    let (first, second) = with_history(&api).await;
    let id = first["id"].as_str().unwrap();
    let (items, _) = api.all(&format!("/app/acme/attempt/msg/{id}?limit=1")).await;
    assert_eq!(items.iter().map(|item| item["attempt"].as_u64().unwrap()).collect::<Vec<_>>(), [2, 1]);
    let (at_one, _) = api.all(&format!("/app/acme/attempt/msg/{id}?endpoint_id=one&status=2")).await;
    assert_eq!(at_one, items[1..]);
    for attempt in items.iter().map(|item| item["id"].as_str().unwrap()) {
        let path = format!("/app/acme/msg/{id}/attempt/{attempt}");
        assert_eq!(api.get(&path).await.expect(200)["id"], attempt);
        api.delete(&format!("{path}/content")).await.expect(204);
        assert_eq!(api.get(&path).await.expect(200)["response"], "EXPUNGED");
        let other = second["id"].as_str().unwrap();
        api.get(&format!("/app/acme/msg/{other}/attempt/{attempt}")).await.expect_error(404, "not_found");
    }
}

#[tokio::test]
async fn deliveries_are_shown_from_either_side() {
    let api = Api::start();
    let (first, second) = with_history(&api).await;
    let (messages, _) = api.all("/app/acme/endpoint/one/msg?limit=1&with_content=false").await;
    let expected = [&second, &first].map(|message| message["id"].as_str().unwrap().to_owned());
    assert_eq!(column(&messages, "id"), expected);
    assert!(messages[0]["status"].is_u64() && messages[0]["statusText"].is_string());
    assert_eq!(messages[0]["payload"], json!({}));
    let path = format!("/app/acme/msg/{}/endpoint", first["id"].as_str().unwrap());
    let (endpoints, _) = api.all(&path).await;
    assert_eq!((&endpoints[0]["uid"], &endpoints[0]["version"]), (&"one".into(), &1.into()));
    let stats = api.get("/app/acme/endpoint/one/stats").await.expect(200);
    let counted: u64 =
        ["success", "pending", "sending", "fail", "canceled"].iter().map(|name| stats[name].as_u64().unwrap()).sum();
    assert_eq!((counted, &stats["truncated"]), (2, &false.into()));
    let early = api.get("/app/acme/endpoint/one/stats?until=2000-01-01T00:00:00Z").await.expect(200);
    assert_eq!(early["sending"], 0);
}

#[tokio::test]
async fn a_resend_answers_with_an_empty_object() {
    let api = Api::start();
    let (first, _) = with_history(&api).await;
    let path = format!("/app/acme/msg/{}/endpoint/one/resend", first["id"].as_str().unwrap());
    assert_eq!(api.request("POST", &path, &[("content-length", "0")], "").await.expect(202), json!({}));
    api.patch("/app/acme/endpoint/one", json!({"disabled": true})).await.expect(200);
    api.request("POST", &path, &[], "").await.expect_error(409, "endpoint_disabled");
    api.request("POST", "/app/acme/msg/none/endpoint/one/resend", &[], "").await.expect_error(404, "not_found");
}

#[tokio::test]
async fn the_attempts_of_a_message_are_all_there_however_many_endpoints_there_are() {
    let api = Api::start();
    let app = api.app("acme").await;
    let first = target(&app, &api.endpoint("acme", "one").await);
    let message = api.message("acme", "a").await;
    let (_, seq, at) = place(&message);
    let row = endpoint::get(&**api.engine.store(), first).unwrap().unwrap();
    // Attempts around the 10,000th endpoint, where one page stops looking, and at the last endpoint.
    let tried = [1, 5_000, 9_999, 10_000, 10_001, 20_000, 20_001];
    api.rows(move |txn| {
        for number in 1..=20_001 {
            let row = Endpoint { id: EndpointId(number), uid: None, ..row.clone() };
            endpoint::put(txn, &row)?;
            if tried.contains(&number) {
                let attempt = record(seq, at.plus_ms(number.into()), 1, 500);
                history::put_first(txn, &mut LastRuns::default(), row.target(), vec![attempt])?;
            }
        }
        Ok(())
    })
    .await;
    let path = format!("/app/acme/attempt/msg/{}", message["id"].as_str().unwrap());
    let (items, pages) = api.all(&format!("{path}?limit=3")).await;
    let numbers: Vec<u32> = column(&items, "endpointId")
        .iter()
        .map(|id| IdParts::from_text(IdKind::Endpoint, id).unwrap().number)
        .collect();
    assert_eq!(numbers, [10_000, 9_999, 5_000, 1, 20_000, 10_001, 20_001], "newest first in each range");
    assert_eq!(pages, 4);
    // Nothing fits: the pages are empty and go on to the end all the same.
    assert_eq!(api.all(&format!("{path}?status=0")).await, (Vec::new(), 3));
}
