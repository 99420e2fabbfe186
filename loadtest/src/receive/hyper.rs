//! The receiver behind hyper's HTTP/1.1 server, tuned: no timers, no date header, flat writes.

use super::intake::{Answer, Intake, Webhook};
use super::signature::{HEX_HEADER, Signed};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Incoming;
use hyper::header::HeaderMap;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::net::TcpStream;

/// No body is larger.
const BODY_LEN_MAX: usize = 2 << 20;

/// Serves one connection until its end.
pub(super) async fn serve(stream: TcpStream, lane: usize, intake: Arc<Intake>) {
    let service = service_fn(|request| answer(request, lane, &intake));
    let mut builder = http1::Builder::new();
    builder.auto_date_header(false).pipeline_flush(true).writev(false);
    // A connection that ends early is the sender's business.
    drop(builder.serve_connection(TokioIo::new(stream), service).await);
}

async fn answer(
    request: Request<Incoming>,
    lane: usize,
    intake: &Intake,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let mut response = Response::new(Empty::new());
    let Ok(body) = Limited::new(body, BODY_LEN_MAX).collect().await else {
        *response.status_mut() = StatusCode::BAD_REQUEST;
        return Ok(response);
    };
    let body = body.to_bytes();
    let signed = Signed {
        id: header(&head.headers, "webhook-id"),
        timestamp: header(&head.headers, "webhook-timestamp"),
        signatures: header(&head.headers, "webhook-signature"),
        hex: header(&head.headers, HEX_HEADER),
        body: &body,
    };
    let Answer { status, after } = intake.take(lane, Webhook { path: head.uri.path(), signed });
    if let Some(delay) = after {
        tokio::time::sleep(delay).await;
    }
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Ok(response)
}

fn header<'a>(headers: &'a HeaderMap, name: &'static str) -> &'a [u8] {
    headers.get(name).map(|value| value.as_bytes()).unwrap_or_default()
}
