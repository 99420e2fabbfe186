//! Jobs by the hundred: those of one application delay another's by a chunk, and no more run than may.

use crate::harness::{Client, Server, poll_until, seconds};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Messages that each job looks at: some chunks.
const MESSAGES: usize = 4_000;

/// Jobs of the tenant that means harm: as many as may run.
const JOBS: usize = 100;

/// An application with an endpoint that gets nothing and a log that a job has to look through.
fn application(server: &Server, uid: &str) {
    server.api_expect(201, "POST", "/api/v1/app", json!({"name": uid, "uid": uid}));
    let endpoint = json!({"url": "http://127.0.0.1:9/", "uid": "one", "eventTypes": ["none"]});
    server.api_expect(201, "POST", &format!("/api/v1/app/{uid}/endpoint"), endpoint);
    let body = Value::Array(vec![json!({"eventType": "a.b", "payload": {}}); 1_000]).to_string().into_bytes();
    for _ in 0..MESSAGES / 1_000 {
        let path = format!("/api/v1/app/{uid}/msg/batch");
        let answer = server.client().send("POST", &path, &[], Some(&body)).expect("an answer");
        assert_eq!(answer.status, 202, "{}", answer.text());
    }
}

fn recover(client: &Client, uid: &str) -> (u16, Value) {
    let path = format!("/api/v1/app/{uid}/endpoint/one/recover");
    client.json("POST", &path, json!({"since": "2020-01-01T00:00:00Z"}))
}

/// Time that a job takes from the order to its end.
fn time_of_job(server: &Server, uid: &str) -> Duration {
    let (client, started) = (server.client(), Instant::now());
    let (status, job) = recover(&client, uid);
    assert_eq!(status, 202, "{job}");
    let path = format!("/api/v1/background-task/{}", job["id"].as_str().expect("an id"));
    poll_until("the end of the job", seconds(60), || {
        let (_, job) = client.json("GET", &path, Value::Null);
        (job["status"] == "finished").then_some(())
    });
    started.elapsed()
}

#[test]
fn a_job_beside_a_hundred_of_another_application_takes_little_longer() {
    let server = Server::start(&[]);
    application(&server, "neighbour");
    application(&server, "crowd");
    let alone = time_of_job(&server, "neighbour");
    let client = server.client();
    let answers: Vec<(u16, Value)> = (0..3 * JOBS).map(|_| recover(&client, "crowd")).collect();
    let taken = answers.iter().filter(|(status, _)| *status == 202).count();
    let refused = answers.iter().filter(|(status, _)| *status == 429).count();
    assert_eq!(taken + refused, 3 * JOBS, "{:?}", answers.last());
    assert!(answers.iter().any(|(_, answer)| answer["code"] == "quota_exceeded") && taken >= JOBS, "{taken} taken");
    let beside = time_of_job(&server, "neighbour");
    eprintln!("a job alone {alone:?}, beside {taken} jobs ({refused} refused) {beside:?}");
    // One chunk of the other for each of its own, and the machine's other work.
    assert!(beside <= alone * 4 + Duration::from_millis(1_500), "alone {alone:?}, beside {beside:?}");
}
