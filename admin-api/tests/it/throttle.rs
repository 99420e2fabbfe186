//! An application's own rate, where messages come in.

use crate::harness::Api;
use serde_json::{Value, json};

/// Any message.
fn message() -> Value {
    json!({"eventType": "a", "payload": {}})
}

#[tokio::test]
async fn messages_beyond_the_rate_are_refused_and_say_when_to_come_back() {
    let api = Api::start();
    api.post("/app", json!({"name": "slow", "uid": "slow", "throttleRate": 1})).await.expect(201);
    api.app("free").await;
    api.post("/app/slow/msg", message()).await.expect(202);
    let mut refused = 0;
    // Well within a second; on a machine that stalls, a second one may pass.
    for _ in 0..20 {
        let answer = api.post("/app/slow/msg", message()).await;
        if answer.status == 429 {
            assert_eq!(answer.headers["retry-after"], "1");
            answer.expect_error(429, "rate_limited");
            refused += 1;
        }
        api.post("/app/free/msg", message()).await.expect(202);
    }
    assert!(refused >= 10, "{refused} of 20 were refused");
    assert_eq!(api.all("/app/slow/msg").await.0.len(), 21 - refused);
    // Without the rate there is nothing to wait for.
    api.patch("/app/slow", json!({"throttleRate": null})).await.expect(200);
    for _ in 0..5 {
        api.post("/app/slow/msg", message()).await.expect(202);
    }
}

#[tokio::test]
async fn of_a_batch_as_many_pass_as_the_rate_allows_and_each_says_what_became_of_it() {
    let api = Api::start();
    api.post("/app", json!({"name": "slow", "uid": "slow", "throttleRate": 2})).await.expect(201);
    let batch = json!([message(), {"payload": {}}, message(), message(), message()]);
    let answer = api.post("/app/slow/msg/batch", batch).await.expect(202);
    let statuses: Vec<u64> =
        answer["data"].as_array().unwrap().iter().map(|item| item["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [202, 422, 202, 429, 429]);
    assert_eq!((&answer["accepted"], &answer["rejected"]), (&json!(2), &json!(3)));
    assert_eq!((&answer["data"][3]["code"], &answer["data"][3]["index"]), (&json!("rate_limited"), &json!(3)));
    assert_eq!(api.all("/app/slow/msg").await.0.len(), 2);
}
