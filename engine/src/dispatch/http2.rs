//! One attempt over HTTP/2: many at once on one connection, spoken by hyper.
//!
//! ```text
//! TLS ─▶ metered (frames, allowance, turns) ─▶ hyper ─▶ the attempts of one receiver
//! ```
//! TLS, where HTTP/2 is agreed on, is in `connect`. `pool` decides which attempts share a connection.

mod allowance;
mod frames;
mod metered;
mod shunned;

pub(super) use shunned::Shunned;

use super::answer::{Answer, Failure};
use super::connect::VettedStream;
use super::details::Making;
use super::identity::Identity;
use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use metered::{Meter, Metered};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// Flow control: what a receiver may send before we read it, per answer and per connection.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 512 * 1024;
/// Time without a byte after which a ping is sent, and the wait for its answer: so a dead connection is noticed.
/// Without it every attempt would go to the dead connection until TCP gives up, after a quarter of an hour.
const PING_INTERVAL: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// Streams that we reset and whose late frames are still told from nonsense.
const RESET_STREAMS_MAX: usize = 64;
/// Errors of a peer on single streams before the connection ends.
const STREAM_ERRORS_MAX: usize = 64;

/// The way to one connection; cheap to clone. The connection closes with its last clone and its last answer.
#[derive(Clone)]
pub(super) struct Http2 {
    sender: SendRequest<Full<Bytes>>,
    meter: Arc<Meter>,
    making: Arc<Making>,
    /// Dropped with the last clone, which the connection sees.
    _last_handle: Arc<oneshot::Sender<()>>,
}

/// Bounds of an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Bytes of a head.
    pub(super) head_len_max: usize,
    /// Bytes of a body that are read.
    pub(super) body_len_max: usize,
}

// === impl Http2 ===

impl Http2 {
    /// True if it takes no more requests.
    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// True while a request is under way on it.
    pub(super) fn is_busy(&self) -> bool {
        self.meter.is_busy()
    }

    /// How the connection was made.
    pub(super) fn making(&self) -> &Arc<Making> {
        &self.making
    }
}

/// Shows the counter of floods at zero, so that a scrape has it before the first one.
pub(super) fn show_metrics() {
    for kind in frames::Kind::ALL {
        metrics::counter!(model::metric::HTTP2_ABUSE, "frame" => kind.name()).increment(0);
    }
}

/// Begins HTTP/2 on a connection to `receiver`. The connection lives on in a task of its own; if its peer floods it, it
/// is closed and noted in `shunned`.
pub(super) async fn start(
    stream: VettedStream,
    bounds: &Bounds,
    receiver: &Identity,
    shunned: &Shunned,
) -> hyper::Result<Http2> {
    // The bytes that are read, and those that can be on their way when we stop reading.
    let data_per_request = bounds.body_len_max.saturating_add(2 * STREAM_WINDOW as usize);
    let making = stream.making().clone();
    let meter = Arc::new(Meter::new(data_per_request, CONNECTION_WINDOW as usize));
    let (last_handle, gone) = oneshot::channel();
    let metered = Metered::new(stream, meter.clone(), gone, receiver.clone(), shunned.clone());
    let (sender, connection) = Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(bounds.head_len_max).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_reset_streams(RESET_STREAMS_MAX)
        .max_pending_accept_reset_streams(RESET_STREAMS_MAX)
        .max_local_error_reset_streams(STREAM_ERRORS_MAX)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .handshake(TokioIo::new(metered))
        .await?;
    // Every attempt with a request on it is told why it ended.
    tokio::spawn(async move { connection.await.ok() });
    Ok(Http2 { sender, meter, making, _last_handle: Arc::new(last_handle) })
}

/// An attempt on a connection that ended without an answer.
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
    let body_len = usize::try_from(request.body().size_hint().lower()).unwrap_or(usize::MAX);
    let _under_way = connection.meter.begin(body_len);
    let response = connection.sender.try_send_request(request).await.map_err(|mut error| {
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
    let status = response.status().as_u16();
    answer.take_head(status, retry_after.map(|value| value.as_bytes()));
    if answer.trace.has_status(status) {
        response.headers().iter().for_each(|(name, value)| answer.trace.header(name.as_str(), value.as_bytes()));
    }
}
