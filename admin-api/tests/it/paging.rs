//! Lists in pages: there and back, by ids, up to items that come later.

use crate::attempts::record;
use crate::harness::{Api, column, place, target};
use model::{DeadLetter, DeadLetterReason, Seq};
use serde_json::{Value, json};
use storage::tables::dead_letter;
use storage::tables::history::{self, LastRuns};

/// One of everything that is listed, seven of each; the paths of the lists.
async fn everything(api: &Api) -> Vec<String> {
    let app = api.app("acme").await;
    let endpoint = target(&app, &api.endpoint("acme", "one").await);
    // Apart, so that jobs put nothing back in line.
    api.endpoint("acme", "jobs").await;
    let mut messages = Vec::new();
    for number in 0..7 {
        if number > 0 {
            api.app(&format!("app-{number}")).await;
            api.endpoint("acme", &format!("ep-{number}")).await;
        }
        messages.push(api.message("acme", "a").await);
        let name = format!("a.{number}");
        api.post("/event-type", json!({"name": name, "description": ""})).await.expect(201);
        api.post("/api-key", json!({"name": name})).await.expect(201);
        let since = json!({"since": "2020-01-01T00:00:00Z"});
        api.post("/app/acme/endpoint/jobs/recover", since).await.expect(202);
    }
    let places: Vec<_> = messages.iter().map(place).collect();
    api.rows(move |txn| {
        let (_, _, start) = places[0];
        let firsts = places.iter().map(|(_, seq, _)| record(*seq, start.plus_ms(10 * seq.0), 1, 500));
        history::put_first(txn, &mut LastRuns::default(), endpoint, firsts.collect())?;
        for retry in 1..=6 {
            let at = start.plus_ms(25 * retry);
            history::put_later(txn, endpoint, record(Seq(1), at, 1 + retry as u16, 500))?;
        }
        let letter = DeadLetter {
            at: start,
            attempts: 8,
            reason: DeadLetterReason::AttemptsExhausted,
            last_outcome: None,
            last_status: 503,
        };
        places.iter().try_for_each(|(_, seq, _)| dead_letter::put(txn, endpoint, *seq, &letter))
    })
    .await;
    // Pushed when all endpoints were there.
    let (first, last) = (messages[0]["id"].as_str().unwrap(), messages[6]["id"].as_str().unwrap());
    let mut paths: Vec<String> = [
        "/app",
        "/app?order=descending",
        "/event-type",
        "/api-key",
        "/background-task",
        "/app/acme/endpoint",
        "/app/acme/endpoint?order=ascending",
        "/app/acme/msg",
        "/app/acme/endpoint/one/msg",
        "/app/acme/endpoint/one/dead-letter",
        "/app/acme/attempt/endpoint/one",
    ]
    .map(str::to_owned)
    .to_vec();
    paths.extend([format!("/app/acme/attempt/msg/{first}"), format!("/app/acme/msg/{last}/endpoint")]);
    paths
}

fn with(path: &str, query: &str) -> String {
    format!("{path}{}{query}", if path.contains('?') { '&' } else { '?' })
}

/// Follows `field` from `page` until it says that it is done; the pages.
async fn follow(api: &Api, path: &str, page: Value, field: &str) -> Vec<Value> {
    let mut pages = vec![page];
    while pages.len() == 1 || pages[pages.len() - 1]["done"] == false {
        let iterator = pages[pages.len() - 1][field].as_str().unwrap_or_else(|| panic!("{path}: no {field}"));
        pages.push(api.get(&with(path, &format!("limit=3&iterator={iterator}"))).await.expect(200));
        assert!(pages.len() < 20, "{path} does not end");
    }
    pages
}

#[tokio::test]
async fn every_list_leads_to_its_end_and_back_to_its_very_start() {
    let api = Api::start();
    for path in everything(&api).await {
        let all = api.get(&with(&path, "limit=100")).await.expect(200);
        assert_eq!(all["done"], true, "{path}");
        let all = all["data"].as_array().unwrap().clone();
        assert!(all.len() >= 7, "{path}: {}", all.len());

        let first = api.get(&with(&path, "limit=3")).await.expect(200);
        let there = follow(&api, &path, first.clone(), "iterator").await;
        let shown: Vec<Value> = there.iter().flat_map(|page| page["data"].as_array().unwrap().clone()).collect();
        assert_eq!(shown, all, "{path}");
        let last = there[there.len() - 1].clone();
        assert!(last["iterator"].is_string() && !last["data"].as_array().unwrap().is_empty(), "{path}: {last}");

        let back = follow(&api, &path, last, "prevIterator").await;
        let shown: Vec<Value> = back.iter().rev().flat_map(|page| page["data"].as_array().unwrap().clone()).collect();
        assert_eq!(shown, all, "{path}");
        for page in &back {
            let shown = page["data"].as_array().unwrap();
            let behind = all.iter().position(|item| item == &shown[shown.len() - 1]).unwrap() + 1;
            let next = with(&path, &format!("limit=3&iterator={}", page["iterator"].as_str().unwrap()));
            let next = api.get(&next).await.expect(200);
            assert_eq!(next["data"].as_array().unwrap(), &all[behind..all.len().min(behind + 3)], "{path}");
        }
        let start = &back[back.len() - 1];
        assert!(!start["data"].as_array().unwrap().is_empty(), "{path}: the page before the first is asked for");
    }
}

#[tokio::test]
async fn an_items_id_is_an_iterator() {
    let api = Api::start();
    for path in everything(&api).await {
        let field = if path.starts_with("/event-type") { "name" } else { "id" };
        let all = api.get(&with(&path, "limit=100")).await.expect(200)["data"].as_array().unwrap().clone();
        // Keys have no place of their own in time, and dead letters are known by their messages.
        let field = if path.ends_with("dead-letter") { "msgId" } else { field };
        if path == "/api-key" {
            continue;
        }
        for (index, item) in all.iter().enumerate() {
            let id = item[field].as_str().unwrap();
            let behind = api.get(&with(&path, &format!("limit=3&iterator={id}"))).await.expect(200);
            let expected = &all[index + 1..all.len().min(index + 4)];
            assert_eq!(behind["data"].as_array().unwrap(), expected, "{path} {index}");
            let before = api.get(&with(&path, &format!("limit=3&iterator=-{id}"))).await.expect(200);
            let expected = &all[index.saturating_sub(3)..index];
            assert_eq!(before["data"].as_array().unwrap(), expected, "{path} {index}");
        }
    }
}

#[tokio::test]
async fn what_comes_later_is_found_from_where_a_list_ended() {
    let api = Api::start();
    let app = api.app("acme").await;
    let row = target(&app, &api.endpoint("acme", "one").await);
    let (_, seq, at) = place(&api.message("acme", "a").await);
    let attempt = move |number: u16| record(seq, at.plus_ms(number.into()), number, 500);
    api.rows(move |txn| {
        history::put_first(txn, &mut LastRuns::default(), row, vec![attempt(1)])?;
        history::put_later(txn, row, attempt(2))
    })
    .await;
    let path = "/app/acme/attempt/endpoint/one";
    let page = api.get(path).await.expect(200);
    assert_eq!((page["data"].as_array().unwrap().len(), &page["done"]), (2, &json!(true)));
    let newer = format!("{path}?iterator={}", page["prevIterator"].as_str().unwrap());
    assert_eq!(api.get(&newer).await.expect(200)["data"], json!([]));
    api.rows(move |txn| history::put_later(txn, row, attempt(3))).await;
    let page = api.get(&newer).await.expect(200);
    assert_eq!((page["data"][0]["attempt"].as_u64(), page["data"].as_array().unwrap().len()), (Some(3), 1));

    // Oldest first, the same with the iterator of the last page.
    let page = api.get("/app").await.expect(200);
    api.app("later").await;
    let next = format!("/app?iterator={}", page["iterator"].as_str().unwrap());
    assert_eq!(column(api.get(&next).await.expect(200)["data"].as_array().unwrap(), "uid"), ["later"]);
}

#[tokio::test]
async fn a_rare_message_is_on_the_first_page() {
    let api = Api::start();
    api.app("acme").await;
    api.endpoint("acme", "one").await;
    let rare = api.message("acme", "rare").await["id"].as_str().unwrap().to_owned();
    let line = json!({"eventType": "common", "payload": {}}).to_string();
    let headers = [("content-type", "application/x-ndjson")];
    for _ in 0..3 {
        let body = format!("{line}\n").repeat(1_000);
        api.request("POST", "/app/acme/msg/batch", &headers, &body).await.expect(202);
    }
    for path in ["/app/acme/msg", "/app/acme/endpoint/one/msg"] {
        let page = api.get(&format!("{path}?event_types[]=rare")).await.expect(200);
        assert_eq!((column(page["data"].as_array().unwrap(), "id"), &page["done"]), (vec![rare.clone()], &json!(true)));
    }
}
