//! Dispatch against receivers that answer, misbehave, or must not be reached.

mod answers;
mod connections;
mod proxy;
mod refusals;
mod tls;

use crate::receiver::{Receiver, read_request};
use bytes::Bytes;
use engine::dispatch::{
    AttemptRequest, AttemptResult, Dispatch, DispatchConfig, Guard, HttpDispatcher, OwnRoots, SignatureHeaders,
    SigningKey, Target, check_url,
};
use model::{AppId, Event, Seq, UnixMs};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

/// Deadline of an attempt that is meant to miss it.
const SHORT_MS: u32 = 300;
/// Deadline of an attempt that is meant to meet it.
const LONG_MS: u32 = 10_000;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const PAYLOAD: &[u8] = br#"{"invoice":42}"#;

fn loopback_allowed() -> Arc<Guard> {
    Arc::new(Guard::new(vec!["127.0.0.0/8".parse().unwrap()]))
}

fn dispatcher() -> HttpDispatcher {
    HttpDispatcher::new(DispatchConfig::default(), loopback_allowed()).unwrap()
}

/// A dispatcher whose names are resolved by `lookup`.
fn dispatcher_resolving(
    guard: Arc<Guard>,
    lookup: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static,
) -> HttpDispatcher {
    HttpDispatcher::with_parts(DispatchConfig::default(), guard, Arc::new(lookup), tls::client(None))
}

fn target(url: &str, guard: &Guard) -> Arc<Target> {
    let url = check_url(url, guard).unwrap();
    let keys = vec![SigningKey::parse(SECRET).unwrap()];
    Arc::new(Target::new(&url, [("x-tenant", "7")], keys, SignatureHeaders::Both).unwrap())
}

fn attempt_to(target: Arc<Target>, timeout_ms: u32) -> AttemptRequest {
    let event = Event {
        app: AppId(1),
        seq: Seq(1),
        accepted_at: UnixMs(1_700_000_000_000),
        event_type: "invoice.paid".into(),
        event_id: None,
        channels: vec![],
        only_for: None,
        more: None,
        payload: Bytes::from_static(PAYLOAD),
    };
    AttemptRequest { target, event, now: UnixMs(1_700_000_123_000), timeout_ms }
}

/// One attempt by `dispatcher`, bounded from outside too: a missed deadline fails the test instead of hanging it.
async fn attempt_by(dispatcher: &HttpDispatcher, url: &str, timeout_ms: u32) -> AttemptResult {
    let request = attempt_to(target(url, &loopback_allowed()), timeout_ms);
    let patience = Duration::from_millis(u64::from(timeout_ms) + 1_000);
    tokio::time::timeout(patience, dispatcher.attempt(request)).await.expect("the deadline did not hold")
}

async fn attempt(url: &str, timeout_ms: u32) -> AttemptResult {
    attempt_by(&dispatcher(), url, timeout_ms).await
}

/// A receiver that reads one request after the other and answers each with these bytes.
async fn answering(answer: &'static str) -> Receiver {
    Receiver::start(move |mut stream, _| async move {
        while read_request(&mut stream).await.is_some() {
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    })
    .await
}

/// A receiver that reads one request, sends `head`, then `piece` again and again with a pause, or without one as
/// fast as it is taken, until the connection is closed.
async fn repeating(head: &'static str, piece: &'static [u8], pause: Duration) -> Receiver {
    Receiver::start(move |mut stream, _| async move {
        let _ = read_request(&mut stream).await;
        let mut alive = stream.write_all(head.as_bytes()).await.is_ok();
        while alive {
            alive = stream.write_all(piece).await.is_ok();
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
        }
    })
    .await
}

fn text(result: &AttemptResult) -> &str {
    std::str::from_utf8(&result.response).unwrap()
}
