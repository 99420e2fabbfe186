//! One attempt over HTTP/2: many at once on one connection, spoken by hyper.
//!
//! Deliberately nothing of TLS, where HTTP/2 is agreed on (`connect`), or of who shares a connection (`pool`).

use super::answer::{Answer, Failure};
use super::connect::VettedStream;
use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::time::Duration;

/// Flow control: what a receiver may send before we read it, per answer and per connection.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 512 * 1024;
/// How soon a dead connection is noticed: a ping when nothing came for this long, and the wait for its answer. Without
/// it every attempt would go to the dead connection until TCP gives up, after a quarter of an hour.
const PING_INTERVAL: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// The way to one connection; cheap to clone. The connection closes with its last clone and its last answer.
pub(super) type Http2 = SendRequest<Full<Bytes>>;

/// What is taken of an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Bytes of a head.
    pub(super) head_len_max: usize,
}

/// Begins HTTP/2 on a connection. The connection lives on in a task of its own.
pub(super) async fn start(stream: VettedStream, bounds: &Bounds) -> hyper::Result<Http2> {
    let (sender, connection) = Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(bounds.head_len_max).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .handshake(TokioIo::new(stream))
        .await?;
    // Whoever has a request on it is told why it ended.
    tokio::spawn(async move { connection.await.ok() });
    Ok(sender)
}

/// How an attempt on a connection ended without an answer.
pub(super) enum Unanswered {
    /// Nothing of the request was sent: the connection was closing.
    Unsent(Failure),
    /// Some of it may have been.
    Failed(Failure),
}

/// Sends the request and reads the answer into `answer`, which holds what came so far if this is cut short.
pub(super) async fn exchange(
    connection: &mut Http2,
    request: Request<Full<Bytes>>,
    answer: &mut Answer,
) -> Result<(), Unanswered> {
    let response = connection.try_send_request(request).await.map_err(|mut error| {
        let unsent = error.take_message().is_some();
        let failure = Failure::of_transport(&error.into_error());
        if unsent { Unanswered::Unsent(failure) } else { Unanswered::Failed(failure) }
    })?;
    take_head(&response, answer);
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Unanswered::Failed(Failure::of_transport(&error)))?;
        let Ok(data) = frame.into_data() else { continue };
        // An empty frame counts too, so that their number is bounded.
        if !answer.take_body(&data, data.len().max(1)) {
            break;
        }
    }
    Ok(())
}

fn take_head(response: &Response<Incoming>, answer: &mut Answer) {
    let retry_after = response.headers().get(RETRY_AFTER);
    answer.take_head(response.status().as_u16(), retry_after.map(|value| value.as_bytes()));
}
