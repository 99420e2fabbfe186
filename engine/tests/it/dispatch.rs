//! Dispatch against receivers that answer, misbehave, or must not be reached.

mod answers;
mod connections;
mod proxy;
mod refusals;
mod tls;

use crate::receiver::{Receiver, read_request};
use bytes::Bytes;
use engine::EngineConfig;
use engine::dispatch::{AttemptRequest, AttemptResult, Dispatch, DispatchConfig, Guard, HttpDispatcher};
use engine::prepare::{Compiler, SigningKey};
use engine::seal::{MasterKey, SealContext, SealPurpose};
use model::endpoint::EndpointSecret;
use model::{AppId, Endpoint, EndpointId, EndpointRef, Event, Seq, UnixMs};
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

fn event(payload: Bytes) -> Event {
    Event {
        app: AppId(1),
        seq: Seq(1),
        accepted_at: UnixMs(1_700_000_000_000),
        event_type: "invoice.paid".into(),
        event_id: None,
        channels: vec![],
        only_for: None,
        more: None,
        payload,
    }
}

/// A request to an endpoint with one header and, in PEM, roots of its own, as its plan prepares it.
fn prepared(url: &str, own_roots: &str, guard: Arc<Guard>, timeout_ms: u32, payload: Bytes) -> AttemptRequest {
    let target = EndpointRef { app: AppId(1), endpoint: EndpointId(1) };
    let master = MasterKey::new([3; 32]);
    let seal = |purpose, text: &str| {
        let context = SealContext { app: target.app, endpoint: target.endpoint, purpose };
        master.seal(text.as_bytes(), context).unwrap()
    };
    let row = Endpoint {
        url: url.to_owned(),
        timeout_ms: Some(timeout_ms),
        secrets: vec![EndpointSecret { sealed: seal(SealPurpose::SigningSecret, SECRET), expires_at: None }],
        sealed_headers: Some(seal(SealPurpose::Headers, r#"{"x-tenant":"7"}"#)),
        ca_pem: own_roots.to_owned(),
        ..Endpoint::plain(target, UnixMs(0))
    };
    let compiler = Compiler { config: Arc::new(EngineConfig::default()), master: Arc::new(master), guard };
    let plan = compiler.plan(&row, None, 0, UnixMs(0));
    plan.prepare(event(payload), UnixMs(0), UnixMs(1_700_000_123_000)).unwrap()
}

fn request_to(url: &str, timeout_ms: u32) -> AttemptRequest {
    prepared(url, "", loopback_allowed(), timeout_ms, Bytes::from_static(PAYLOAD))
}

/// One attempt by `dispatcher`, bounded from outside too: a missed deadline fails the test instead of hanging it.
async fn attempt_by(dispatcher: &HttpDispatcher, url: &str, timeout_ms: u32) -> AttemptResult {
    let request = request_to(url, timeout_ms);
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

/// A receiver that reads one request, sends `head`, then `piece` again and again until the connection is closed.
///
/// It pauses between the pieces. Without a pause it sends as fast as the client takes them.
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
