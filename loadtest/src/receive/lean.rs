//! The receiver behind a minimal HTTP/1.1 server: less CPU taken from the engine that shares the machine.
//!
//! Understood: `Content-Length` bodies, keep-alive, requests that follow each other without waiting. Not understood:
//! chunked bodies, `Expect`, upgrades; a request with those ends the connection, which the ledger shows as lost.

use super::intake::{Answer, Intake, Webhook};
use super::signature::{HEX_HEADER, Signed};
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// No request is larger.
const REQUEST_LEN_MAX: usize = 2 << 20;
/// Headers of a request.
const HEADERS_MAX: usize = 64;
/// Room for a usual request.
const BUFFER_LEN: usize = 8 * 1024;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
const UNAVAILABLE: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
const BAD: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";

/// A request at the start of the buffer.
#[derive(Debug, PartialEq, Eq)]
struct Parsed {
    answer: Answer,
    len: usize,
}

/// Serves one connection until its end.
pub(super) async fn serve(mut stream: TcpStream, lane: usize, intake: Arc<Intake>) {
    let mut buffer = Vec::with_capacity(BUFFER_LEN);
    loop {
        let parsed = match parse(&buffer, |webhook| intake.take(lane, webhook)) {
            Ok(Some(parsed)) => parsed,
            Ok(None) if buffer.len() < REQUEST_LEN_MAX => match stream.read_buf(&mut buffer).await {
                Ok(read) if read > 0 => continue,
                _ => return,
            },
            _ => return intake.ledger.unexpected(),
        };
        if parsed.len == buffer.len() {
            buffer.clear();
        } else {
            buffer.drain(..parsed.len);
        }
        if let Some(delay) = parsed.answer.after {
            tokio::time::sleep(delay).await;
        }
        let answer = match parsed.answer.status {
            200 => OK,
            503 => UNAVAILABLE,
            _ => BAD,
        };
        if stream.write_all(answer).await.is_err() {
            return;
        }
    }
}

/// Reads a request if it is complete and has it answered.
fn parse(buffer: &[u8], answer: impl FnOnce(Webhook<'_>) -> Answer) -> Result<Option<Parsed>, &'static str> {
    if buffer.is_empty() {
        return Ok(None);
    }
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let head_len = match request.parse(buffer) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err("no request"),
    };
    let mut signed = Signed { id: b"", timestamp: b"", signatures: b"", hex: b"", body: b"" };
    let mut body_len = 0;
    for header in request.headers.iter() {
        let name = header.name;
        if name.eq_ignore_ascii_case("content-length") {
            body_len = str::from_utf8(header.value).ok().and_then(|text| text.parse().ok()).ok_or("content-length")?;
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            return Err("a chunked request, which is not understood here");
        } else if name.eq_ignore_ascii_case("webhook-id") {
            signed.id = header.value;
        } else if name.eq_ignore_ascii_case("webhook-timestamp") {
            signed.timestamp = header.value;
        } else if name.eq_ignore_ascii_case("webhook-signature") {
            signed.signatures = header.value;
        } else if name.eq_ignore_ascii_case(HEX_HEADER) {
            signed.hex = header.value;
        }
    }
    if body_len > REQUEST_LEN_MAX {
        return Err("a body that is too large");
    }
    let len = head_len + body_len;
    let Some(body) = buffer.get(head_len..len) else { return Ok(None) };
    signed.body = body;
    let answer = answer(Webhook { path: request.path.unwrap_or_default(), signed });
    Ok(Some(Parsed { answer, len }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINE: Answer = Answer { status: 200, after: None };
    const REQUEST: &[u8] = b"POST /3/4 HTTP/1.1\r\nHost: x\r\nWebhook-Id: a\r\nwebhook-timestamp: 7\r\n\
        webhook-signature: v1,s\r\nContent-Length: 2\r\n\r\n{}";

    #[test]
    fn a_request_is_taken_when_it_is_whole() {
        for len in 0..REQUEST.len() {
            assert_eq!(parse(&REQUEST[..len], |_| unreachable!()), Ok(None));
        }
        let two = [REQUEST, REQUEST].concat();
        let parsed = parse(&two, |webhook| {
            assert_eq!(webhook.path, "/3/4");
            let Signed { id, timestamp, signatures, body, .. } = webhook.signed;
            assert_eq!((id, timestamp, signatures, body), (&b"a"[..], &b"7"[..], &b"v1,s"[..], &b"{}"[..]));
            FINE
        });
        assert_eq!(parsed, Ok(Some(Parsed { answer: FINE, len: REQUEST.len() })));
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        for wrong in [
            &b"\0\0\0\0"[..],
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"POST / HTTP/1.1\r\ncontent-length: x\r\n\r\n",
        ] {
            assert!(parse(wrong, |_| FINE).is_err());
        }
    }
}
